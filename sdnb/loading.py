"""Pipelines: which model, loaded how, kept for the next call, and seen as image to image."""

from __future__ import annotations

import copy
import gc
import inspect
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet, ref

from sdnb import code, device, emoji, failures, hub, room, weights
from sdnb.notices import notice

if TYPE_CHECKING:
    import torch
    from diffusers import DiffusionPipeline

STABLE_DIFFUSION = "CompVis/stable-diffusion-v1-4"  # the article's
# The backends, and how many times its weights a model takes with each: OpenVINO has its own.
TIMES = {"torch": 1, "openvino": 2.5}


@dataclass(frozen=True)
class Request:
    """What was asked of `load`, worked out as far as that goes without the hub: the cache's key."""

    source: str  # a folder or a hub id
    revision: str | None
    variant: str | None
    dtype: str
    device: str
    use_safetensors: bool
    backend: str


@dataclass(frozen=True)
class Origin:
    """Where a pipeline came from, as a picture's facts say it.

    `model` is "emoji", a folder's full path or a hub id; `revision` is the commit where the hub
    gave one; `dtype` is torch's name without the prefix, such as "float16"; `backend` is empty for
    torch itself, else a name and a version.
    """

    model: str
    revision: str | None
    dtype: str
    device: str
    variant: str | None
    backend: str = ""


_loaded: dict[Request, DiffusionPipeline] = {}  # the least recently used first
_origins: WeakKeyDictionary[DiffusionPipeline, Origin] = WeakKeyDictionary()
_prints: WeakKeyDictionary[DiffusionPipeline, tuple[Any, ...]] = WeakKeyDictionary()
_pickled: WeakSet[DiffusionPipeline] = WeakSet()  # loaded where pickled weights were allowed
_last: list[DiffusionPipeline] = []  # none or one: what `load` last returned
_turn = threading.RLock()  # a panel's thread and a cell may load at once


def default_model() -> str:
    """The model where none is named: `SDNB_MODEL`, or Stable Diffusion v1-4 on a GPU, or emoji."""
    if chosen := os.environ.get("SDNB_MODEL"):
        return chosen
    return emoji.NAME if device.best() == "cpu" else STABLE_DIFFUSION


def load(
    model: str | os.PathLike[str] | None = None,
    *,
    revision: str | None = None,
    variant: str | None = "auto",
    dtype: str | torch.dtype = "auto",
    device: str | torch.device = "auto",
    use_safetensors: bool = True,
    backend: str = "torch",
) -> DiffusionPipeline:
    """Loads a pipeline, or gives back the one already loaded.

    Arguments:
        model: "emoji" for the embedded model, a folder in diffusers' layout, or a hub id such
            as "CompVis/stable-diffusion-v1-4". None chooses: the embedded model on a machine
            without a GPU, Stable Diffusion v1-4 with one, and says which and why.
        revision: a branch, tag or commit of a hub repository.
        variant: of the weight files, such as "fp16"; "auto" takes fp16 where the model has it and
            runs in half precision, which halves the download.
        dtype: "float32", "float16", "bfloat16", or torch's own; "auto" is float16 on a GPU, on a
            CPU bfloat16 where that is measured to be faster, else float32. The embedded model
            runs in float32.
        device: "cpu", "cuda", "cuda:1", "mps"; "auto" takes the best that is there.
        use_safetensors: False also takes pickled weights, which can run any program when opened.
        backend: what makes the denoiser's calls. "openvino" is Intel's runtime, for CPUs (`pip
            install 'sdnb[openvino]'`): large models are faster with it, and take 2.5 times the
            memory; a model is converted once, with its first picture.

    The environment variable `SDNB_MODEL` names the model that None stands for.

    Returns:
        A plain diffusers pipeline. The same arguments give the same object, until `clear()` or
        until its memory is needed for another.

    Raises:
        ValueError: the folder or repository holds no text-to-image pipeline, or model, dtype or
            device make no sense.
        OSError: the hub cannot be reached, or does not give the model, or the disk is full.
        MemoryError: the model is larger than what is free.
        ModuleNotFoundError: the backend is not installed.

    Example:
        >>> pipe = load("emoji", device="cpu")
        >>> pipe is load("emoji", device="cpu")
        True
    """
    request, why = _request(model, revision, variant, dtype, str(device), use_safetensors, backend)
    with _turn:
        if request in _loaded:
            _loaded[request] = _loaded.pop(request)  # now the most recently used
        else:
            if why:
                notice(why)
            pipe, origin = _from_pretrained(request)
            _loaded[request], _origins[pipe] = pipe, origin
            _prints[pipe] = _print(pipe)
            if not use_safetensors:
                _pickled.add(pipe)
        _last[:] = [_loaded[request]]
        return _loaded[request]


def _request(
    model: str | os.PathLike[str] | None, revision: str | None, variant: str | None,
    dtype: str | torch.dtype, where: str, use_safetensors: bool, backend: str,
) -> tuple[Request, str]:  # fmt: skip
    """The cache's key, and a sentence on what was chosen where the user left it open."""
    where = _check_backend(backend, where)
    where = device.best() if where == "auto" else device.check(where)
    why = _why() if model is None else ""
    source = locate(default_model() if model is None else model)
    embedded = source == str(emoji.FOLDER)
    name = "float32" if embedded and str(dtype) == "auto" else device.dtype_name(dtype, where)
    return Request(source, revision, variant, name, where, use_safetensors, backend), why


def _check_backend(backend: str, where: str) -> str:
    """The device that the backend leaves: OpenVINO runs on the CPU.

    Raises:
        ValueError: there is no such backend, or not for that device.
        ModuleNotFoundError: it is not installed.
    """
    if backend not in TIMES:
        raise ValueError(f"There is no backend {backend!r}: give 'torch' or 'openvino'.")
    if backend == "torch":
        return where
    if where not in ("auto", "cpu"):
        raise ValueError(f"OpenVINO runs on the CPU, and device is {where!r}: leave one out.")
    if not find_spec("openvino"):
        raise ModuleNotFoundError(
            "OpenVINO is not installed: pip install 'sdnb[openvino]', or leave backend= out."
        )
    return "cpu"


def _why() -> str:
    """Which model is used where none was named, and why."""
    if chosen := os.environ.get("SDNB_MODEL"):
        return f"The model is {chosen}: SDNB_MODEL says so."
    if device.best() == "cpu":
        return (
            "No GPU here, so sdnb's own small model is used: it knows about a hundred emoji. "
            f"sdnb.load({STABLE_DIFFUSION!r}) loads Stable Diffusion."
        )
    return (
        f"There is a GPU here ({device.best()}), so {STABLE_DIFFUSION} is used. "
        f"sdnb.load({emoji.NAME!r}) loads sdnb's own small model."
    )


def locate(model: str | os.PathLike[str]) -> str:
    """The folder or hub id that a model's name stands for; one that has moved, where it is now.

    Raises:
        ValueError: it is a folder without a pipeline, or neither a folder nor a hub id.

    Example:
        >>> locate("CompVis/stable-diffusion-v1-4")
        'CompVis/stable-diffusion-v1-4'
    """
    from huggingface_hub.utils import HFValidationError, validate_repo_id

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
    name = str(model)
    if name in hub.MOVED:
        notice(f"{name} is no longer on the hub; the same weights are at {hub.MOVED[name]}.")
        return hub.MOVED[name]
    wrong: ValueError | None = None
    if re.fullmatch(r"[\w.-]+/[\w.-]+", name) and not name.startswith("."):
        try:
            validate_repo_id(name)
        except HFValidationError as error:
            wrong = error
        else:
            return name
    raise ValueError(
        f"{name!r} is no model: give 'emoji', a folder that exists, "
        f"or a hub id such as {STABLE_DIFFUSION!r}."
    ) from wrong


# ---------------------------------------------------------------- from files to a pipeline


def _from_pretrained(request: Request) -> tuple[DiffusionPipeline, Origin]:
    import diffusers
    import torch

    half = request.dtype != "float32"
    found = hub.listing(
        request.source, request.revision, request.variant, half, request.use_safetensors
    )
    with _quiet(warnings=True):  # importing the class, transformers misses torchvision: not needed
        _check_class(found)
    times = TIMES[request.backend]
    there = room.make(found, request.dtype, request.device, _loaded, _forget, times)
    folder = hub.download(found, request.revision, there)
    embedded = request.source == str(emoji.FOLDER)
    try:
        dtype = getattr(torch, request.dtype)
        with _quiet(warnings=embedded), weights.read_as(dtype, _classes(found)):
            pipe = diffusers.DiffusionPipeline.from_pretrained(
                folder,
                variant=found.variant,
                use_safetensors=request.use_safetensors or None,  # None takes either
                **{code.dtype_keyword(diffusers.__version__): dtype},
            )
    except Exception as error:  # a damaged file gives any: tokenizers raise a bare Exception
        raise _failed(folder, found, error) from error
    try:
        if there.whole:
            pipe.to(request.device)
        else:
            notice(
                f"{found.model} needs {there.need / 1e6:,.0f} MB, and {there.free / 1e6:,.0f} MB "
                "are free on the GPU: its parts are kept in main memory and take turns on the GPU."
            )
            pipe.enable_model_cpu_offload(device=request.device)
    except torch.OutOfMemoryError as error:
        del pipe
        raise MemoryError(
            f"{found.model} needs {there.need / 1e6:,.0f} MB of memory in {request.dtype}, and the "
            f"GPU had too little left: end other programs that use it, or take a smaller model."
        ) from error
    if half and hasattr(pipe, "unet"):  # convolutions are a fifth faster so, on CPU and GPU
        weights.to_channels_last(pipe.unet)
    if embedded:
        _lean(pipe.unet)
    backend = ""
    if request.backend == "openvino":
        from sdnb import openvino

        backend = openvino.take_over(denoiser_of(pipe))
    name = emoji.NAME if embedded else found.model
    return pipe, Origin(name, found.commit, request.dtype, request.device, found.variant, backend)


def _lean(unet: Any) -> None:
    """Spares the embedded model's denoiser what would be done at each step to no effect."""
    import torch

    from sdnb import projections

    projections.keep(unet)
    if unet.device.type == "cpu" and unet.dtype == torch.float32:
        side, channels, width = (
            unet.config[key] for key in ("sample_size", "in_channels", "cross_attention_dim")
        )
        latents, text = torch.zeros(2, channels, side, side), torch.zeros(2, 1, width)
        weights.match_layouts(unet, latents, torch.tensor(1), text)


def _check_class(found: hub.Listing) -> None:
    """Raises ValueError unless the repository's pipeline makes pictures from text or a picture."""
    import diffusers

    named = found.index.get("_class_name")
    if isinstance(named, list) and named:
        raise ValueError(
            f"{found.model} needs program code of its own ({named[0]}), which sdnb does not run."
        )
    if not isinstance(named, str):
        raise ValueError(
            f"{found.model} is no diffusers pipeline: its model_index.json names no class."
        )
    made = getattr(diffusers, named, None)
    if made is None:
        raise ValueError(
            f"{found.model} is a {named}, which diffusers {diffusers.__version__} does not have: "
            "a newer one may."
        )
    if lacking := [name for name in getattr(made, "_backends", []) if not find_spec(name)]:
        raise ValueError(
            f"{found.model} is a {named}, which needs {' and '.join(lacking)}: "
            f"pip install {' '.join(lacking)}, then start Python anew."
        )
    if not (isinstance(made, type) and issubclass(made, diffusers.DiffusionPipeline)):
        raise ValueError(f"{found.model} is a {named}, which is no pipeline of diffusers.")
    if not makes_pictures(made):
        raise ValueError(f"{found.model} is a {named}, which does not make pictures from text.")


def makes_pictures(made: type[DiffusionPipeline]) -> bool:
    """Whether `generate` can use pipelines of that class: for text, a picture, or variations.

    Example:
        >>> import diffusers
        >>> makes_pictures(diffusers.FluxPipeline), makes_pictures(diffusers.ShapEPipeline)
        (True, False)
    """
    parts = set(inspect.signature(made.__init__).parameters)
    takes = inspect.signature(made.__call__).parameters
    asked = {
        n for n, p in takes.items() if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD
    }
    asked.discard("self")
    other = ("num_frames", "frames", "video", "audio", "control_", "reference_image")
    return (
        {"num_inference_steps", "generator"} <= set(takes)
        and "scheduler" in parts
        and bool(parts & {"unet", "transformer"})
        and bool(parts & {"vae", "vqvae", "movq"})
        and not parts & {"controlnet", "adapter", "depth_estimator", "vocoder"}
        and asked <= {"prompt", "image", "mask_image"}  # it would have to be given more
        and not any(name.startswith(other) for name in takes)
        and not re.search("Audio|Video|3D|Edit|Pix2Pix", made.__name__)
        and ("prompt" in takes or "ImageVariation" in made.__name__)
        and ("image" not in takes or "strength" in takes or "prompt" not in takes)
    )


def _classes(found: hub.Listing) -> list[type]:
    """The classes of the pipeline's parts, as far as they are diffusers'."""
    import diffusers

    named = (made for made in found.index.values() if isinstance(made, list) and len(made) == 2)
    ours = (str(name) for library, name in named if library == "diffusers")
    there = (getattr(diffusers, name, None) for name in ours)
    return [made for made in there if made is not None]


def _safetensor_error() -> type[BaseException]:
    from safetensors import SafetensorError

    return SafetensorError


def _failed(folder: Path, found: hub.Listing, error: Exception) -> Exception:
    """Names the file that cannot be read; a downloaded one is removed, so that it comes anew."""
    from safetensors import safe_open

    downloaded = found.commit is not None
    for name in found.files:
        if name.endswith(".json"):
            try:
                hub.read_json(folder / name, found.model, downloaded)
            except OSError as damaged:
                return damaged
        elif name.endswith(".safetensors"):
            try:
                with safe_open(folder / name, "pt"):
                    pass
            except (_safetensor_error(), OSError):
                return hub.damaged(folder / name, found.model, downloaded)
    return OSError(f"{found.model} could not be loaded: {failures.reason(error)}")


@contextmanager
def _quiet(warnings: bool) -> Iterator[None]:
    """Keeps the libraries from speaking of what is known and concerns nobody.

    Loading from disk takes seconds and needs no bars. With `warnings` no warnings are shown
    either: of the embedded model it is known that its VAE is a small one and that torchvision is
    not needed.
    """
    import diffusers
    import transformers

    logs = [diffusers.utils.logging, transformers.utils.logging]
    levels = [each.get_verbosity() for each in logs]
    shown = [each for each in logs if each.is_progress_bar_enabled()]
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


def _forget(request: Request) -> bool:
    """Lets a pipeline go; returns whether its memory is free now. One that is held stays."""
    kept = ref(_loaded.pop(request))
    was_last = bool(_last) and _last[0] is kept()
    if was_last:
        _last.clear()
    collect()
    pipe = kept()
    if pipe is None:
        notice(f"Making room: {request.source} leaves the memory.")
        return True
    others = dict(_loaded)
    _loaded.clear()
    _loaded.update({request: pipe, **others})
    _last.extend([pipe] if was_last else [])
    notice(f"{request.source} is still held by a variable: del it, and its memory is free.")
    return False


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
    dtype, where = str(pipe.dtype).removeprefix("torch."), str(pipe._execution_device)
    return replace(known, dtype=dtype, device=where)


def denoiser_of(pipe: DiffusionPipeline) -> Any:
    """The pipeline's UNet or transformer."""
    unet = getattr(pipe, "unet", None)
    return pipe.transformer if unet is None else unet


def backend_of(pipe: DiffusionPipeline) -> tuple[str, int]:
    """What makes denoiser calls in torch's place, and how many it has made; else "" and 0."""
    backend = getattr(denoiser_of(pipe), "backend", None)
    return (backend.name, backend.calls) if backend else ("", 0)


def takes_safetensors_only(pipe: DiffusionPipeline) -> bool:
    """Whether the pipeline was loaded as a rule: without pickled weights."""
    return pipe not in _pickled


def is_channels_last(pipe: DiffusionPipeline) -> bool:
    """Whether the UNet's weights lie in the channels-last order, which changes the last digits."""
    import torch

    first = getattr(getattr(pipe, "unet", None), "conv_in", None)
    if first is None or first.weight.shape[1] == 1:
        return False
    return first.weight.is_contiguous(memory_format=torch.channels_last)


def is_as_loaded(pipe: DiffusionPipeline) -> bool:
    """Whether a pipeline's parts and weights are those that `load` gave it."""
    return pipe in _prints and _prints[pipe] == _print(pipe)


def _print(pipe: DiffusionPipeline) -> tuple[Any, ...]:
    """What changes where parts are replaced, adapters added, or weights changed in their place."""
    import torch

    modules = [m for m in pipe.components.values() if isinstance(m, torch.nn.Module)]
    free_u = [getattr(b, "s1", None) for m in modules for b in getattr(m, "up_blocks", [])]
    attention = [type(p) for m in modules for p in getattr(m, "attn_processors", {}).values()]
    return list(map(id, modules)), weights.trace(*modules), free_u, attention


def loaded() -> list[Origin]:
    """Where the pipelines in the cache came from, the least recently used first."""
    return [origin_of(pipe) for pipe in _loaded.values()]


def clear() -> None:
    """Forgets all loaded pipelines and gives their memory back.

    Example:
        >>> clear()
        >>> loaded()
        []
    """
    _loaded.clear()
    _last.clear()
    collect()


def collect() -> None:
    """Gives the memory of what nobody holds any more back to the system."""
    gc.collect()  # pipelines hold reference cycles
    device.trim()
    if device.best() == "cuda":
        import torch

        torch.cuda.empty_cache()


# ---------------------------------------------------------------- other ways in


# pipeline -> task -> the view, and the parts that the pipeline had when it was made
_views: WeakKeyDictionary[DiffusionPipeline, dict[str, tuple[DiffusionPipeline, dict[str, Any]]]]
_views = WeakKeyDictionary()


def for_task(pipe: DiffusionPipeline, task: str) -> DiffusionPipeline:
    """The same model as another of diffusers' pipelines; the weights are shared, not copied.

    Arguments:
        pipe: a text-to-image pipeline; one that is for the task already is given back.
        task: "Img2Img" or "Inpaint", as diffusers names its classes.

    Raises:
        ValueError: diffusers has no such pipeline for this model.

    Example:
        >>> type(for_task(load("emoji", device="cpu"), "Img2Img")).__name__
        'StableDiffusionImg2ImgPipeline'
    """
    import diffusers

    name = type(pipe).__name__
    if task in name:
        return pipe
    views = _views.setdefault(pipe, {})
    now = dict(pipe.components)
    view, then = views.get(task, (None, {}))
    if view is not None and all(then.get(k) is now.get(k) for k in then | now):
        return view
    wanted = re.sub(r"(Img2Img|Inpaint)?Pipeline$", f"{task}Pipeline", name)
    made = getattr(diffusers, wanted, None)
    if made is None:
        kind = {"Img2Img": "image to image", "Inpaint": "inpainting"}[task]
        raise ValueError(f"diffusers has no {kind} for this model (a {name}).")
    takes = inspect.signature(made.__init__).parameters
    parts: dict[str, Any] = {k: v for k, v in now.items() if k in takes}
    parts["scheduler"] = type(pipe.scheduler).from_config(pipe.scheduler.config)
    if "requires_safety_checker" in takes:
        parts["requires_safety_checker"] = pipe.config.get("requires_safety_checker", True)
    if task == "Inpaint" and "unet" in parts:
        parts["unet"] = for_inpainting(parts["unet"])
    with _quiet(warnings=True):
        view = made(**parts)
    views[task] = view, now
    _origins[view] = origin_of(pipe)
    if pipe in _pickled:
        _pickled.add(view)
    if is_as_loaded(pipe):
        _prints[view] = _print(view)
    return view


def is_for_inpainting(pipe: DiffusionPipeline) -> bool:
    """Whether the pipeline's UNet went through `for_inpainting`, and was changed by it."""
    unet = getattr(pipe, "unet", None)
    return unet is not None and unet.config.in_channels == 4 != unet.conv_in.in_channels


def for_inpainting(unet: Any) -> Any:
    """The UNet as diffusers' inpainting pipelines take it, its weights shared.

    They refuse one whose latents have more than 4 channels. What they mean by 4 is: the mask is
    not among the inputs; they then mix the latents by the mask after each step.
    """
    if unet.config.in_channels in (4, 9):
        return unet
    twin = copy.copy(unet)
    twin.register_to_config(in_channels=4)
    return twin
