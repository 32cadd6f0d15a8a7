"""Loading: which model, with what, and the pipelines that are kept for the next call."""

from __future__ import annotations

import gc
import os
import re
import threading
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import ref

from sdnb import emoji
from sdnb.hub import names, repository
from sdnb.log import notice
from sdnb.models import backend as backends
from sdnb.models import build, denoiser, device, lora_files, provenance, quantization
from sdnb.models import embeddings as embedded
from sdnb.models.build import Request
from sdnb.models.device import dtype_name
from sdnb.models.lora_files import Loras

if TYPE_CHECKING:
    import torch
    from diffusers import DiffusionPipeline

STABLE_DIFFUSION = "CompVis/stable-diffusion-v1-4"  # the article's

_loaded: dict[Request, DiffusionPipeline] = {}  # the least recently used first
_current: list[Request] = []  # none or one: what the user last asked `load` for
_cache_lock = threading.RLock()  # guards _loaded and _current: a panel and a cell may load at once


def default_model() -> str:
    """The model where none is named: `SDNB_MODEL`, or Stable Diffusion v1-4 on a GPU, or emoji.

    Returns:
        A name or path that `load` takes.
    """
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
    lora: Loras = None,
    config: str | os.PathLike[str] | None = None,
    vae: str | os.PathLike[str] | None = None,
    embeddings: embedded.Given | Iterable[embedded.Given] | None = None,
    quantize: str | None = None,
) -> DiffusionPipeline:
    """Loads a pipeline, or gives back the one already loaded.

    Arguments:
        model: "emoji" for the embedded model, a folder in diffusers' layout, or a hub id such
            as "CompVis/stable-diffusion-v1-4"; or a checkpoint, a model in a single file:
            "dream.safetensors", on the hub "someone/dream/dream.safetensors"; or a .gguf, a
            denoiser in few bits (`pip install 'sdnb[gguf]'`). None chooses: the
            embedded model on a machine without a GPU, Stable Diffusion v1-4 with one, and logs
            which and why.
        revision: a branch, tag or commit of a hub repository.
        variant: of the weight files, such as "fp16"; "auto" takes fp16 where the model has it and
            runs in half precision, which halves the download.
        dtype: "float32", "float16", "bfloat16", or torch's own; "auto" is float16 on a GPU, or
            bfloat16 for a transformer where the GPU has it; on a CPU bfloat16 where that is
            measured to be faster, else float32. The embedded model runs in float32.
        device: "cpu", "cuda", "cuda:1", "mps"; "auto" takes the best that is there.
        use_safetensors: False also takes pickled weights, which can run any program when opened.
        backend: what makes the denoiser's calls. "openvino" is Intel's runtime, for CPUs (`pip
            install 'sdnb[openvino]'`): large models are faster with it, and take 2.5 times the
            memory; a model is converted once, with its first picture. "auto" takes it on a CPU
            where this model has been converted before, else "torch".
        lora: LoRAs to put on the model (`pip install 'sdnb[lora]'`): a file, a hub id, "owner/name/
            file.safetensors", "sepia" or "cyanotype" for the embedded model's; or a pair of one and
            the weight that it has where `generate` names none; or a list of these, or a dict of
            them by the names that settings use, which else are the files'.
        config: of a single file: a folder in diffusers' layout, or a hub id, whose parts have the
            same settings. None takes those of the family that the file is of.
        vae: in place of the model's own: a hub id, a folder, or a file.
        embeddings: words that the text encoder was taught (textual inversion): files or hub ids;
            {"word": file} gives one another word, {"word": tensor} takes the vectors themselves.
        quantize: how weights are stored, for small GPUs: "fp8" (the denoiser's, on any device),
            "int8" (torchao), "8bit" and "4bit" (bitsandbytes, on CUDA). dtype is then what they are
            computed in.

    The environment's `SDNB_MODEL` and `SDNB_DTYPE` say which model None, which dtype "auto" is.

    Returns:
        A plain diffusers pipeline. The same arguments give the same object, until `clear()` or
        until its memory is needed for another.

    Raises:
        ValueError: the folder, repository or file holds no text-to-image pipeline, or model, dtype
            or device make no sense, or a LoRA does not fit the model.
        OSError: the hub cannot be reached, or does not give the model, or the disk is full.
        MemoryError: the model is larger than what is free.
        TypeError: an argument is of another type than these.
        ModuleNotFoundError: the package for a backend, LoRAs, GGUF files or a kind of quantisation
            is not installed.

    Example:
        >>> pipe = load("emoji", device="cpu")
        >>> pipe is load("emoji", device="cpu")
        True
    """
    request, why = _request(
        model, revision, variant, dtype, str(device), use_safetensors, backend, lora
    )
    if config is not None:
        found = _config(request.source, config)
        if str(dtype) == "auto":  # as the model is loaded whose parts it has
            request = replace(request, dtype=dtype_name(dtype, request.device, found))
        request = replace(request, config=found)
    if vae is not None:
        request = replace(request, vae=names.place(vae))
    request = replace(request, embeddings=embedded.asked(embeddings))
    request = replace(request, backend=backends.chosen(request, quantize))
    request = replace(request, quantize=_quantized(quantize, request))
    with _cache_lock:
        pipe = _kept(request, why)
        _current[:] = [request]
        return pipe


def _quantized(kind: str | None, request: Request) -> str | None:
    """The kind of quantisation, checked against device and backend."""
    quantization.check(kind, request.device)
    if kind and request.backend != "torch":
        raise ValueError(f"quantize={kind!r} is for torch, and backend is {request.backend!r}.")
    if quantization.is_gguf(request.source) and request.backend != "torch":
        raise ValueError(f"{request.source} is for torch, and backend is {request.backend!r}.")
    return kind


def get(source: str | Request) -> DiffusionPipeline:
    """The pipeline of a model, for a comparison or a panel: the current one stays what it is.

    Arguments:
        source: from `locate`, all else as where `load` is given a model alone; or all of it.

    Raises:
        as `load`.
    """
    with _cache_lock:
        return _kept(_usual(source) if isinstance(source, str) else source)


def with_parts(
    source: str,
    lora: Loras = None,
    vae: str | os.PathLike[str] | None = None,
    embeddings: embedded.Given | Iterable[embedded.Given] | None = None,
    quantize: str | None = None,
) -> Request:
    """The request of a model with these parts, all else as where `load` is given it alone.

    Arguments:
        source: from `locate`.
        lora, vae, embeddings, quantize: as `load` takes them.

    Raises:
        as `load`, for what can be said without looking at files.

    Example:
        >>> with_parts("a/b", lora="owner/ink", quantize="fp8").lora[0].source
        'owner/ink'
    """
    request = replace(
        _usual(source), lora=lora_files.wanted(lora), vae=None if vae is None else names.place(vae),
        embeddings=embedded.asked(embeddings),
    )  # fmt: skip
    return replace(request, quantize=_quantized(quantize, request))


def is_loaded(source: str | Request) -> bool:
    """Whether `get` would give a pipeline that is in memory."""
    return (_usual(source) if isinstance(source, str) else source) in _loaded


def variant_of(
    source: str | DiffusionPipeline | None, dtype: str | None, quantize: str | None
) -> Request:
    """The request of a model in another dtype, or quantised otherwise: what `get` takes.

    Arguments:
        source: from `locate`; a pipeline that `load` made; or None for the current one.
        dtype: None: as it is.
        quantize: None: not quantised.

    Raises:
        ValueError: `load` did not make the pipeline, or there is no such dtype or quantisation.
    """
    if isinstance(source, str):
        request = _usual(source)
    else:
        request = provenance.request_of(current(source))
        if request is None:
            raise ValueError(
                "sdnb.load did not make this pipeline, so it cannot be loaded in another dtype or "
                "quantised: give model=, its folder or hub id."
            )
    if dtype is not None:
        name = dtype_name(dtype, request.device, request.source)
        request = replace(request, dtype=name, chosen=str(dtype) == "auto")
    return replace(request, quantize=_quantized(quantize, request))


def _kept(request: Request, why: str = "") -> DiffusionPipeline:
    """The pipeline of a request, now the most recently used; loaded where it is not in memory."""
    if request in _loaded:
        _loaded[request] = _loaded.pop(request)
    else:
        if why:
            notice(why)
        import torch

        with torch.inference_mode(False):  # inference tensors do not work in autograd
            pipe, origin = build.load(request, _loaded, _forget)
            denoiser.settle(pipe)
            provenance.remember(pipe, origin, not request.use_safetensors, request)
        _loaded[request] = pipe
    return _loaded[request]


def _request(
    model: str | os.PathLike[str] | None, revision: str | None, variant: str | None,
    dtype: str | torch.dtype, where: str, use_safetensors: bool, backend: str,
    lora: Loras,
) -> tuple[Request, str]:  # fmt: skip
    """The request, and a sentence on what was chosen where the user left it open."""
    loras = lora_files.wanted(lora)
    if loras and backend == "openvino":
        raise ValueError("OpenVINO converts a model without LoRAs: leave backend= or lora= out.")
    where = backends.check(backend, where)
    where = device.best() if where == "auto" else device.check(where)
    why = _why() if model is None else ""
    source = locate(default_model() if model is None else model)
    name = dtype_name(dtype, where, source)
    chosen = str(dtype) == "auto"
    request = Request(
        source, revision, variant, name, where, use_safetensors, backend, loras, chosen
    )
    return request, why


def _config(source: str, config: str | os.PathLike[str]) -> str:
    """The folder or hub id that has a single file's settings.

    Raises:
        ValueError: the model is no single file, or the settings are one.
    """
    if not names.is_file(source):
        raise ValueError(
            f"config is for a model in a single file, and {source} is none: leave it out."
        )
    found = locate(config)
    if names.is_file(found):
        raise ValueError(f"config is {found}, a file without settings: give a folder or a hub id.")
    return found


def _usual(source: str) -> Request:
    """The request of `load` with nothing but a model."""
    where = device.best()
    dtype = dtype_name("auto", where, source)
    return Request(source, None, "auto", dtype, where, True, "torch", chosen=True)


def _why() -> str:
    """Which model is used where none was named, and why."""
    if chosen := os.environ.get("SDNB_MODEL"):
        return f"The model is {chosen}: SDNB_MODEL says so."
    if device.best() == "cpu":
        return (
            "No GPU here, so sdnb's own small model is used: it knows 80 objects. "
            f"sdnb.load({STABLE_DIFFUSION!r}) loads Stable Diffusion."
        )
    return (
        f"There is a GPU here ({device.best()}), so {STABLE_DIFFUSION} is used. "
        f"sdnb.load({emoji.NAME!r}) loads sdnb's own small model."
    )


def locate(model: str | os.PathLike[str]) -> str:
    """The folder, file or hub id that a name stands for; one that has moved, where it is now.

    Raises:
        ValueError: it is a folder without a pipeline, or none of these.
        FileNotFoundError: there is no such file.
        TypeError: it is no name.

    Example:
        >>> locate("CompVis/stable-diffusion-v1-4")
        'CompVis/stable-diffusion-v1-4'
    """
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    if model == emoji.NAME:
        return str(emoji.FOLDER)
    names.check_is_name(model)
    if not str(model).strip():  # as a path it would be this folder
        raise ValueError(f"No model is named: give 'emoji', or such as {STABLE_DIFFUSION!r}.")
    folder = Path(model).expanduser()
    if folder.is_dir():
        if not any((folder / name).is_file() for name in repository.INDEXES):
            raise ValueError(
                f"{folder} holds no pipeline: there is no model_index.json in it. "
                "Give the folder that DiffusionPipeline.save_pretrained wrote."
            )
        return str(folder.resolve())
    name = str(model)
    if name.lower().endswith((names.ENDING, names.GGUF, *names.PICKLED)):  # as a hub id may, too
        return names.file(name)
    if name in repository.MOVED:
        return names.moved(name)
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


# ---------------------------------------------------------------- the cache


def _forget(request: Request) -> bool:
    """Evicts a pipeline; returns whether its memory is free now. One that is held stays."""
    kept = ref(_loaded.pop(request))
    collect()
    pipe = kept()
    if pipe is None:
        notice(f"{request.source} was evicted from memory to make room.")
        return True
    others = dict(_loaded)
    _loaded.clear()
    _loaded.update({request: pipe, **others})
    notice(
        f"{request.source} cannot be evicted from memory, as something still uses it: a "
        "variable, a panel, or pictures that are being made. If it is a variable of yours: "
        "del it, then sdnb.clear()."
    )
    return False


def current(pipe: DiffusionPipeline | None = None) -> DiffusionPipeline:
    """The given pipeline, or the one that `load` last returned, or the default one.

    One that had to leave the memory for another is loaded again.
    """
    if pipe is not None:
        return pipe
    with _cache_lock:
        return _kept(_current[0]) if _current else load()


def loaded() -> list[provenance.Origin]:
    """Where the pipelines in the cache came from, the least recently used first."""
    with _cache_lock:
        return [provenance.origin_of(pipe) for pipe in _loaded.values()]


def clear() -> None:
    """Forgets all loaded pipelines and gives their memory back.

    Example:
        >>> clear()
        >>> loaded()
        []
    """
    with _cache_lock:
        _loaded.clear()
        _current.clear()
        collect()


def collect() -> None:
    """Gives the memory of what nobody holds any more back to the system."""
    gc.collect()  # pipelines hold reference cycles
    device.trim()
    if device.best() == "cuda":
        import torch

        torch.cuda.empty_cache()
