"""A request of `load`, made into a pipeline: found, room made, downloaded, moved to its device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from sdnb import emoji
from sdnb.hub import names, repository
from sdnb.hub.headers import Tensor
from sdnb.log import notice, quiet
from sdnb.models import (
    backend,
    device,
    embeddings,
    lora,
    memory,
    modular_pretrained,
    quantization,
    weights,
)
from sdnb.models.embeddings import Embedding
from sdnb.models.lora_files import Wanted
from sdnb.models.pretrained import Pretrained
from sdnb.models.provenance import Origin
from sdnb.models.single_file import SingleFile
from sdnb.models.vae import PART as VAE
from sdnb.models.vae import Vae

if TYPE_CHECKING:
    import torch
    from diffusers import DiffusionPipeline


@dataclass(frozen=True)
class Request:
    """What was asked of `load`, as far as known without the hub; pipelines are cached by it."""

    source: str  # a folder, a hub id, a file, or a file in a repository
    revision: str | None
    variant: str | None
    dtype: str
    device: str
    use_safetensors: bool
    backend: str
    lora: tuple[Wanted, ...] = ()
    chosen: bool = False  # whether sdnb chose the dtype
    config: str | None = None  # a folder or a hub id: the settings of a single file's parts
    vae: str | None = None  # a folder, a hub id, or a file
    embeddings: tuple[Embedding, ...] = ()
    quantize: str | None = None

    @property
    def converted(self) -> str:
        """What OpenVINO's copy of the denoiser is known by."""
        return f"{self.source} {self.revision or ''} {self.variant or ''} {self.dtype}"

    @property
    def extras(self) -> dict[str, Any]:
        """Those of the arguments of `load` that few models have, as far as they are given."""
        given = {
            "config": self.config,
            "vae": self.vae,
            "embeddings": [each.given for each in self.embeddings],
            "quantize": self.quantize,
        }
        return {name: value for name, value in given.items() if value}


class Source(Protocol):
    """Where a model's weights are, in one of the layouts."""

    @property
    def model(self) -> str:
        """Its name in messages and facts."""

    @property
    def commit(self) -> str | None:
        """Of the repository; None for what lies on this machine."""

    @property
    def variant(self) -> str | None:
        """Of the weight files."""

    @property
    def index(self) -> Mapping[str, Any]:
        """The content of the model_index.json."""

    def weights(self) -> dict[str, dict[str, Tensor]]:
        """The tensors of each part's weights."""

    def download(self, memory: object) -> None:
        """Downloads what is not here yet."""

    def additions(self) -> dict[str, Any]:
        """Facts beside these."""

    def settings(self) -> AbstractContextManager[Path]:
        """A folder in diffusers' layout with the settings of its parts."""

    def pipeline(
        self, dtype: torch.dtype, given: Mapping[str, Any], quantize: str | None
    ) -> DiffusionPipeline:
        """Makes the pipeline, in main memory.

        Arguments:
            dtype: of its weights.
            given: parts that are taken in place of its own.
            quantize: how weights are quantised as they are read, where the layout has a way.

        Raises:
            OSError: a file is damaged, or does not fit its settings.
        """


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
        ValueError: there is no text-to-image pipeline in the folder, repository or file.
        OSError: the hub does not give the model, or a file is damaged.
        MemoryError: the model is larger than what is free.
    """
    import torch

    source = _found(request)
    if request.chosen and "transformer" in source.index:
        dtype = device.dtype_of_transformer(request.dtype, request.device)
        request = replace(request, dtype=dtype)
    vae = Vae.find(request.vae, request.dtype != "float32") if request.vae else None
    there = memory.make(_need(request, source, vae), request.device, loaded, forget)
    if not there.whole:
        notice(
            f"{source.model} needs {there.need / 1e6:,.0f} MB, and {there.free / 1e6:,.0f} MB "
            "are free on the GPU: its parts are kept in main memory, and each is on the GPU only "
            f"while it runs (model CPU offload).{there.instead}"
        )
    source.download(there)
    pipe, loras, additions = _assembled(request, source, vae)
    try:
        if there.whole:
            pipe.to(request.device)
        else:
            pipe.enable_model_cpu_offload(device=request.device)
    except torch.OutOfMemoryError as error:
        del pipe
        raise MemoryError(
            f"{source.model} needs {there.need / 1e6:,.0f} MB of memory in {request.dtype}, and of "
            f"the {there.free / 1e6:,.0f} MB that were free on the GPU too little was left: end "
            f"other programs that use it, or take a smaller model.{there.instead}"
        ) from error
    plain = not (loras or request.quantize or quantization.is_gguf(request.source))
    if request.device == "cpu" and request.backend == "torch" and plain:
        backend.say_faster(pipe, source.model)
    engine = backend.take_over(pipe, request)
    model = emoji.NAME if _is_embedded(request) else source.model
    origin = Origin(
        model, source.commit, request.dtype, request.device, source.variant, engine, loras,
        source.additions() | additions,
    )  # fmt: skip
    return pipe, origin


def _found(request: Request) -> Source:
    """Where the model's weights are, before anything is downloaded."""
    with quiet(warnings=True):  # importing the class, transformers misses torchvision: not needed
        if names.is_file(request.source):
            quantization.check_file(request.source, request.quantize)
            return SingleFile.find(request)
        found = Pretrained.find(request)
        modular = repository.is_modular(found.index)
        return modular_pretrained.Modular.find(found) if modular else found


def _is_embedded(request: Request) -> bool:
    return request.source == str(emoji.FOLDER)


def _assembled(
    request: Request, source: Source, vae: Vae | None
) -> tuple[DiffusionPipeline, tuple[lora.Lora, ...], dict[str, Any]]:
    """The pipeline in main memory with all that it was asked to have; its LoRAs; facts."""
    import torch

    dtype = getattr(torch, request.dtype)
    with quiet(warnings=_is_embedded(request) or isinstance(source, SingleFile)):
        given, additions = _vae(vae, source, dtype) if vae else ({}, {})
        pipe = source.pipeline(dtype, given, request.quantize)
        # convolutions are a fifth faster so on a CPU (GPUs: see benchmarks)
        if request.dtype != "float32" and hasattr(pipe, "unet"):
            weights.to_channels_last(pipe.unet)
        if request.embeddings:
            additions["embeddings"] = embeddings.put_in(pipe, request.embeddings)
    loras, more = _completed(pipe, request, source, dtype)
    return pipe, loras, additions | more


def _completed(
    pipe: DiffusionPipeline, request: Request, source: Source, dtype: torch.dtype
) -> tuple[tuple[lora.Lora, ...], dict[str, Any]]:
    """Puts the LoRAs in and quantises what was read as it is; the LoRAs, and the facts.

    Layers are cast one by one ("fp8") after that: diffusers leaves LoRAs out of it, and peft would
    put those that come later into the 8 bits of the layer below.
    """
    kind, quantized = request.quantize, quantization.parts(source.index, request.quantize)
    to_do = bool(quantized) and not quantization.is_read(kind, isinstance(source, SingleFile))
    if to_do and kind != "fp8":
        quantization.cast(pipe, quantized, kind, dtype)
    loras = lora.load(pipe, request.lora) if request.lora else ()
    if to_do and kind == "fp8":
        quantization.cast(pipe, quantized, kind, dtype)
    if not quantized:
        return loras, {}
    return loras, {"quantize": kind, "quantized": quantized, "weight_bytes": memory.held(pipe)}


def _need(request: Request, source: Source, vae: Vae | None) -> memory.Need:
    """What the model takes, as asked for and in the ways in which less would do."""
    tensors = source.weights() | ({VAE: vae.weights()} if vae else {})

    def size(kind: str | None, dtype: str) -> memory.Size:
        smaller = quantization.parts(source.index, kind)

        def each(kind: str | None) -> dict[str, int]:
            return {
                part: quantization.nbytes(its, dtype, kind if part in smaller else None)
                for part, its in tensors.items()
            }

        # layers are cast when all is read; the others are quantised one by one
        at_once = quantization.is_read(kind, isinstance(source, SingleFile))
        return memory.Size(each(kind), sum(each(kind if at_once else None).values()))

    asked = size(request.quantize, request.dtype)
    less = {
        settings: smaller
        for settings, how in _smaller(request, source).items()
        if (smaller := size(*how)).whole < asked.whole
    }
    times = backend.TIMES[request.backend]
    turns = not isinstance(source, modular_pretrained.Modular)
    return memory.Need(source.model, asked, request.dtype, times, less, turns)


def _smaller(request: Request, source: Source) -> dict[str, tuple[str | None, str]]:
    """Settings of `load` with which a model takes less: each quantisation and dtype, as said."""
    if request.backend != "torch":
        return {}
    dtypes = {"": request.dtype}
    if request.dtype == "float32":
        half = device.half(request.device)
        dtypes |= {f"dtype={half!r}": half} if half else {}
    kinds = [
        kind for kind in quantization.usable(request.device)
        if isinstance(source, Pretrained) or not quantization.of_folders(kind)
    ]  # fmt: skip
    said = {name: (request.quantize, dtype) for name, dtype in dtypes.items() if name}
    for kind in kinds:
        for name, dtype in dtypes.items():
            said[", ".join(filter(None, [name, f"quantize={kind!r}"]))] = (kind, dtype)
    return said


def _vae(vae: Vae, source: Source, dtype: torch.dtype) -> tuple[dict[str, Any], dict[str, Any]]:
    """Another VAE than the model's own: as a part of the pipeline, and as a fact."""
    vae.download()
    with source.settings() as settings:
        made = vae.made(dtype, settings)
    return {VAE: made}, {VAE: vae.facts(source.additions().get("config", source.model), made)}
