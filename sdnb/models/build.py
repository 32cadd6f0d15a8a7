"""A model's files, in a folder or on the hub, made into a pipeline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sdnb import compat, emoji
from sdnb.hub import errors as hub_errors
from sdnb.hub import repository
from sdnb.log import notice, quiet
from sdnb.models import device, lora, memory, pipeline_class, weights
from sdnb.models.denoiser import denoiser_of
from sdnb.models.lora_files import Wanted
from sdnb.models.provenance import Origin

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

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
    lora: tuple[Wanted, ...] = ()
    chosen: bool = False  # whether sdnb chose the dtype


def load(
    request: Request, loaded: Mapping[Request, DiffusionPipeline],
    forget: Callable[[Request], bool],
) -> tuple[DiffusionPipeline, Origin]:  # fmt: skip
    """A new pipeline, as requested, and where it came from.

    Arguments:
        request: what to load, and how.
        loaded: the pipelines that may have to make room for it, the first to go first.
        forget: lets one of them go, and returns whether its memory was really given back.

    Raises:
        ValueError: there is no text-to-image pipeline in the folder or repository.
        OSError: the hub does not give the model, or a file is damaged.
        MemoryError: the model is larger than what is free.
    """
    import diffusers
    import torch

    half = request.dtype != "float32"
    found = repository.listing(
        request.source, request.revision, request.variant, half, request.use_safetensors
    )
    with quiet(warnings=True):  # importing the class, transformers misses torchvision: not needed
        _check_class(found)
    times = TIMES[request.backend]
    name = _dtype(found, request)
    there = memory.make(found, name, request.device, loaded, forget, times)
    folder = repository.download(found, request.revision, there)
    embedded = request.source == str(emoji.FOLDER)
    try:
        dtype = getattr(torch, name)
        with (
            quiet(warnings=embedded),
            weights.read_as(dtype, _classes(found)),
            repository.without_marks(folder, found.files) as readable,
        ):
            pipe = diffusers.DiffusionPipeline.from_pretrained(
                readable,
                variant=found.variant,
                use_safetensors=request.use_safetensors or None,  # None takes either
                **{compat.dtype_keyword(diffusers.__version__): dtype},
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
            f"{found.model} needs {there.need / 1e6:,.0f} MB of memory in {name}, and the "
            f"GPU had too little left: end other programs that use it, or take a smaller model."
        ) from error
    # convolutions are a fifth faster so on a CPU (GPUs: see benchmarks)
    if half and hasattr(pipe, "unet"):
        weights.to_channels_last(pipe.unet)
    loras = lora.load(pipe, request.lora) if request.lora else ()
    backend = ""
    if request.backend == "openvino":
        from sdnb.models import openvino

        backend = openvino.take_over(denoiser_of(pipe))
    model = emoji.NAME if embedded else found.model
    made = Origin(model, found.commit, name, request.device, found.variant, backend, loras)
    return pipe, made


def _dtype(found: repository.Listing, request: Request) -> str:
    """The dtype: bfloat16 where it was left open, the denoiser is a transformer and the GPU has it.

    They are trained in it, and the large ones (Flux, Z-Image) overflow in float16.
    """
    half = request.chosen and request.dtype == "float16" and "transformer" in found.index
    return "bfloat16" if half and device.has_bfloat16(request.device) else request.dtype


def _check_class(found: repository.Listing) -> None:
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
    if lacking := pipeline_class.lacking(made):
        raise ValueError(
            f"{found.model} is a {named}, which needs {' and '.join(lacking)}: "
            f"pip install {' '.join(lacking)}, then start Python anew."
        )
    if not (isinstance(made, type) and issubclass(made, diffusers.DiffusionPipeline)):
        raise ValueError(f"{found.model} is a {named}, which is no pipeline of diffusers.")
    if why := pipeline_class.refusal(made):
        raise ValueError(f"{found.model} is a {named}, which {why}.")


def _classes(found: repository.Listing) -> list[type]:
    """The classes of the pipeline's parts, as far as they are diffusers'."""
    import diffusers

    named = (made for made in found.index.values() if isinstance(made, list) and len(made) == 2)
    ours = (str(name) for library, name in named if library == "diffusers")
    there = (getattr(diffusers, name, None) for name in ours)
    return [made for made in there if made is not None]


def _failed(folder: Path, found: repository.Listing, error: Exception) -> Exception:
    """Names the file that cannot be read; a downloaded one is removed, so that it comes anew."""
    from safetensors import SafetensorError, safe_open

    downloaded = found.commit is not None
    for name in found.files:
        if name.endswith(".json"):
            try:
                repository.read_json(folder / name, found.model, downloaded)
            except OSError as damaged:
                return damaged
        elif name.endswith(".safetensors"):
            try:
                with safe_open(folder / name, "pt"):
                    pass
            except (SafetensorError, OSError):
                return repository.damaged(folder / name, found.model, downloaded)
    return OSError(f"{found.model} could not be loaded: {hub_errors.reason(error)}")
