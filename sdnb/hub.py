"""Where pipelines come from: login, which model, which device and dtype, and the cache."""

from __future__ import annotations

import gc
import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from sdnb import code, emoji

if TYPE_CHECKING:
    import torch
    from diffusers import DiffusionPipeline

STABLE_DIFFUSION = "CompVis/stable-diffusion-v1-4"  # the article's

log = logging.getLogger("sdnb")


@dataclass(frozen=True)
class Origin:
    """Where a pipeline came from: the key of the cache, and what a picture's facts say.

    `model` is "emoji", a folder's full path or a hub id; `dtype` is torch's name without the
    prefix, such as "float16".
    """

    model: str
    revision: str | None
    dtype: str
    device: str
    variant: str | None


_loaded: dict[Origin, DiffusionPipeline] = {}
_origins: WeakKeyDictionary[DiffusionPipeline, Origin] = WeakKeyDictionary()
_last: list[DiffusionPipeline] = []  # none or one: what `load` last returned


def notice(text: str) -> None:
    """Says something that the user should know, through the `sdnb` log.

    Where nobody has set up logging it is shown on stderr; in a notebook, which paints stderr red
    like an error, on stdout.
    """
    if not log.handlers and not logging.getLogger().handlers:
        handler = logging.StreamHandler(sys.stdout if "ipykernel" in sys.modules else sys.stderr)
        handler.setFormatter(logging.Formatter("%(message)s"))
        log.addHandler(handler)
    if log.level == logging.NOTSET:
        log.setLevel(logging.INFO)
    log.info(text)


# ---------------------------------------------------------------- login


def notebook_login() -> None:
    """Logs in to the Hugging Face hub; returns at once where a token is already there.

    The embedded model needs no login. A token is looked for where huggingface_hub looks: the
    environment (`HF_TOKEN`), the token file, a Colab secret. Without one, huggingface_hub's own
    login opens. The token itself is never shown.

    Example:
        >>> from unittest.mock import patch
        >>> with patch.dict("os.environ", HF_TOKEN="hf_example"):
        ...     notebook_login()
    """
    import huggingface_hub

    if huggingface_hub.get_token():
        notice("A Hugging Face token is there: already logged in.")
    elif default_model() == emoji.NAME:
        notice("No login needed: the embedded model is used here (set HF_TOKEN for others).")
    else:
        huggingface_hub.notebook_login()


# ---------------------------------------------------------------- loading


def default_model() -> str:
    """The model where none is named: `SDNB_MODEL`, or Stable Diffusion v1-4 on a GPU, or emoji."""
    if chosen := os.environ.get("SDNB_MODEL"):
        return chosen
    return emoji.NAME if best_device() == "cpu" else STABLE_DIFFUSION


def best_device() -> str:
    """ "cuda", "mps" or "cpu": the first that is there."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def load(
    model: str | os.PathLike[str] | None = None,
    *,
    revision: str | None = None,
    variant: str | None = None,
    dtype: str | torch.dtype = "auto",
    device: str | torch.device = "auto",
) -> DiffusionPipeline:
    """Loads a pipeline, or gives back the one already loaded.

    Arguments:
        model: "emoji" for the embedded model, a folder in diffusers' layout, or a hub id such
            as "CompVis/stable-diffusion-v1-4". None chooses: the embedded model on a machine
            without a GPU, Stable Diffusion v1-4 with one, and says which and why.
        revision: a branch, tag or commit of a hub repository.
        variant: of the weight files, such as "fp16".
        dtype: "float32", "float16", "bfloat16", or torch's own; "auto" is float16 on a GPU and
            float32 on a CPU, and for the embedded model always float32.
        device: "cpu", "cuda", "cuda:1", "mps"; "auto" takes the best that is there.

    The environment variable `SDNB_MODEL` names the model that None stands for.

    Returns:
        A plain diffusers pipeline. The same arguments give the same object, until `clear()`.

    Raises:
        ValueError: the folder holds no pipeline, or model, dtype or device make no sense.
        OSError: the hub cannot be reached, or does not give the model.

    Example:
        >>> pipe = load("emoji", device="cpu")
        >>> pipe is load("emoji", device="cpu")
        True
    """
    device = best_device() if str(device) == "auto" else check_device(str(device))
    why = _why() if model is None else ""
    model = default_model() if model is None else model
    source = locate(model)
    name = emoji.NAME if source == str(emoji.FOLDER) else source
    origin = Origin(name, revision, dtype_name(dtype, name, device), device, variant)
    if origin not in _loaded:
        if why:
            notice(why)
        _loaded[origin] = _from_pretrained(source, origin)
        _origins[_loaded[origin]] = origin
    _last[:] = [_loaded[origin]]
    return _loaded[origin]


def _why() -> str:
    """Which model is used where none was named, and why."""
    if chosen := os.environ.get("SDNB_MODEL"):
        return f"The model is {chosen}: SDNB_MODEL says so."
    if best_device() == "cpu":
        return (
            "No GPU here, so sdnb's own small model is used: it knows about a hundred emoji. "
            f"sdnb.load({STABLE_DIFFUSION!r}) loads Stable Diffusion."
        )
    return (
        f"There is a GPU here ({best_device()}), so {STABLE_DIFFUSION} is used. "
        f"sdnb.load({emoji.NAME!r}) loads sdnb's own small model."
    )


def check_device(device: str) -> str:
    """The device's name, if there is such a device here.

    Raises:
        ValueError: there is none.

    Example:
        >>> check_device("cpu")
        'cpu'
    """
    import torch

    try:
        kind = torch.device(device).type
        there = kind == "cpu" or getattr(torch, kind).is_available()
    except (RuntimeError, AttributeError) as error:
        raise ValueError(f"There is no device {device!r}: give 'cpu' or 'cuda'.") from error
    if not there:
        raise ValueError(f"There is no {kind} device on this machine: give 'cpu' or 'auto'.")
    return device


def locate(model: str | os.PathLike[str]) -> str:
    """The folder or hub id that a model's name stands for.

    Raises:
        ValueError: it is a folder without a pipeline, or neither a folder nor a hub id.

    Example:
        >>> locate("CompVis/stable-diffusion-v1-4")
        'CompVis/stable-diffusion-v1-4'
    """
    if model == emoji.NAME:
        return str(emoji.FOLDER)
    folder = Path(model).expanduser()
    if folder.is_dir():
        if not (folder / "model_index.json").is_file():
            raise ValueError(
                f"{folder} holds no pipeline: there is no model_index.json in it. "
                "Give the folder that DiffusionPipeline.save_pretrained wrote."
            )
        return str(folder.resolve())
    if re.fullmatch(r"[\w.-]+/[\w.-]+", str(model)) and not str(model).startswith("."):
        return str(model)
    raise ValueError(
        f"{str(model)!r} is no model: give 'emoji', a folder that exists, "
        f"or a hub id such as {STABLE_DIFFUSION!r}."
    )


def dtype_name(dtype: str | torch.dtype, model: str, device: str) -> str:
    """The dtype as torch names it, without the prefix; "auto" is worked out.

    Raises:
        ValueError: it is no floating-point dtype of torch.

    Example:
        >>> dtype_name("auto", "emoji", "cuda"), dtype_name("auto", "a/b", "cuda")
        ('float32', 'float16')
    """
    name = str(dtype).removeprefix("torch.")
    if name == "auto":
        return "float32" if device == "cpu" or model == emoji.NAME else "float16"
    if name not in ("float32", "float16", "bfloat16"):
        raise ValueError(f"dtype is {name!r}: give 'float32', 'float16', 'bfloat16' or 'auto'.")
    return name


def _from_pretrained(source: str, origin: Origin) -> DiffusionPipeline:
    import diffusers
    import torch

    try:
        with _quiet(bars=Path(source).is_dir(), warnings=origin.model == emoji.NAME):
            pipe = diffusers.DiffusionPipeline.from_pretrained(
                source,
                revision=origin.revision,
                variant=origin.variant,
                **{code.dtype_keyword(diffusers.__version__): getattr(torch, origin.dtype)},
            )
    except OSError as error:
        reason = str(error).strip().splitlines()[0]
        raise OSError(f"Could not load {source}: {reason}") from error
    return pipe.to(origin.device)


@contextmanager
def _quiet(bars: bool, warnings: bool) -> Iterator[None]:
    """Keeps the libraries from speaking of what is known and concerns nobody.

    Arguments:
        bars: no progress bars, for what takes a second; a download keeps the hub's own.
        warnings: none either: of the embedded model it is known that its VAE is a small one and
            that torchvision is not needed.
    """
    import diffusers
    import transformers

    logs = [diffusers.utils.logging, transformers.utils.logging]
    levels = [each.get_verbosity() for each in logs]
    shown = [each for each in logs if bars and each.is_progress_bar_enabled()]
    for each in shown:
        each.disable_progress_bar()
    for each in logs if warnings else []:
        each.set_verbosity_error()
    try:
        yield
    finally:
        for each, level in zip(logs, levels):
            each.set_verbosity(level)
        for each in shown:
            each.enable_progress_bar()


# ---------------------------------------------------------------- the cache


def current(pipe: DiffusionPipeline | None = None) -> DiffusionPipeline:
    """The given pipeline, or the one that `load` last returned, or the default one."""
    if pipe is not None:
        return pipe
    return _last[0] if _last else load()


def origin_of(pipe: DiffusionPipeline) -> Origin:
    """Where a pipeline came from, also one that `load` did not make; dtype and device as now."""
    path = str(pipe.config.get("_name_or_path") or type(pipe).__name__)
    name = emoji.NAME if path == str(emoji.FOLDER) else path
    known = _origins.get(pipe, Origin(name, None, "", "", None))
    dtype, device = str(pipe.dtype).removeprefix("torch."), str(pipe.device)
    return replace(known, dtype=dtype, device=device)


def loaded() -> list[Origin]:
    """The keys of the pipelines in the cache, in the order in which they were loaded."""
    return list(_loaded)


def clear() -> None:
    """Forgets all loaded pipelines and gives their memory back.

    Example:
        >>> clear()
        >>> loaded()
        []
    """
    _loaded.clear()
    _last.clear()
    gc.collect()  # pipelines hold reference cycles
    if best_device() == "cuda":
        import torch

        torch.cuda.empty_cache()
