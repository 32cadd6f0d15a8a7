"""A pipeline in diffusers' layout, from a folder or the hub: what it holds, and how it is made."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdnb import compat, pipeline_class
from sdnb.hub import errors as hub_errors
from sdnb.hub import headers, repository
from sdnb.models import device, memory, quantization, weights

if TYPE_CHECKING:
    import torch
    from diffusers import DiffusionPipeline

    from sdnb.models.build import Request

_VAE_WEIGHTS = re.compile(r"vae/.*(safetensors|\.bin)")


@dataclass
class Pretrained:
    """A model that `DiffusionPipeline.from_pretrained` reads."""

    found: repository.Listing
    request: Request
    folder: Path = Path()

    @classmethod
    def find(cls, request: Request) -> Pretrained:
        """Looks up what is there, and whether it makes pictures.

        Raises:
            ValueError: there is no text-to-image pipeline.
            OSError: the hub does not give it.
        """
        half = request.dtype != "float32"
        found = repository.listing(
            request.source, request.revision, request.variant, half, request.use_safetensors
        )
        if not repository.is_modular(found.index):  # see modular_pretrained
            check_class(found.model, found.index)
        if request.vae:  # the weights of its own are not needed
            files = {n: size for n, size in found.files.items() if not _VAE_WEIGHTS.match(n)}
            found = replace(found, files=files)
        return cls(found, request)

    @property
    def model(self) -> str:
        """As sentences and facts name it."""
        return self.found.model

    @property
    def commit(self) -> str | None:
        """Of the repository; None for a folder."""
        return self.found.commit

    @property
    def variant(self) -> str | None:
        """Of the weight files that are taken."""
        return self.found.variant

    @property
    def index(self) -> Mapping[str, Any]:
        """The content of its model_index.json."""
        return self.found.index

    def weights(self) -> dict[str, dict[str, headers.Tensor]]:
        """The tensors of each part's weights."""
        return headers.of_listing(self.found)

    def download(self, memory: object) -> None:
        """Downloads what is not here yet; logs before how much that is, and `memory`."""
        self.folder = repository.download(self.found, self.request.revision, memory)

    def additions(self) -> dict[str, Any]:
        """Facts beside model, revision and variant."""
        return {}

    @contextmanager
    def settings(self) -> Iterator[Path]:
        """A folder in diffusers' layout with the settings of its parts."""
        with repository.without_marks(self.folder, self.found.files) as readable:
            yield readable

    def pipeline(
        self, dtype: torch.dtype, given: Mapping[str, Any], quantize: str | None
    ) -> DiffusionPipeline:
        """As `build.Source.pipeline` says."""
        import diffusers

        try:
            with (
                weights.read_as(dtype, classes(self.found.index)),
                self.settings() as readable,
            ):
                return diffusers.DiffusionPipeline.from_pretrained(
                    readable,
                    variant=self.found.variant,
                    use_safetensors=self.request.use_safetensors or None,  # None takes either
                    **{compat.dtype_keyword(diffusers.__version__): dtype},
                    **quantization.config(
                        quantization.parts(self.index, quantize), quantize, dtype
                    ),
                    **given,
                )
        except Exception as error:  # a damaged file gives any: tokenizers raise a bare Exception
            raise failed(self.folder, self.found, error) from error


def check_class(model: str, index: Mapping[str, Any]) -> Any:
    """The class of a model's pipeline.

    Arguments:
        model: as sentences name it.
        index: what its model_index.json says.

    Raises:
        ValueError: it does not make pictures from text or a picture.
    """
    import diffusers

    named = index.get("_class_name")
    if isinstance(named, list) and named:
        raise ValueError(
            f"{model} needs program code of its own ({named[0]}), which sdnb does not run."
        )
    if not isinstance(named, str):
        raise ValueError(f"{model} is no diffusers pipeline: its model_index.json names no class.")
    made = getattr(diffusers, named, None)
    if made is None:
        raise ValueError(
            f"{model} is a {named}, which diffusers {diffusers.__version__} does not have: "
            "a newer one may."
        )
    check_packages(model, made, index)
    if not (isinstance(made, type) and issubclass(made, diffusers.DiffusionPipeline)):
        raise ValueError(f"{model} is a {named}, which is no pipeline of diffusers.")
    if why := pipeline_class.refusal(made):
        raise ValueError(f"{model} is a {named}, which {why}.")
    return made


def check_packages(model: str, made: Any, index: Mapping[str, Any]) -> None:
    """Raises ValueError where a package is not installed that the class, or a part, needs."""
    if lacking := pipeline_class.lacking(made, index):
        raise ValueError(
            f"{model} is a {made.__name__}, which needs {' and '.join(lacking)}: "
            f"pip install {' '.join(lacking)}, then restart Python."
        )


def classes(index: Mapping[str, Any]) -> list[type]:
    """The classes of the pipeline's parts, as far as they are diffusers'."""
    import diffusers

    named = (made for made in index.values() if isinstance(made, list) and len(made) == 2)
    ours = (str(name) for library, name in named if library == "diffusers")
    there = (getattr(diffusers, name, None) for name in ours)
    return [made for made in there if made is not None]


def failed(folder: Path, found: repository.Listing, error: Exception) -> Exception:
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
    if memory.ran_out(error):
        free = device.free_memory("cpu") / 1e6
        return MemoryError(
            f"{found.model} does not fit into the memory that is left, {free:,.0f} MB: close other "
            "notebooks, or take a smaller model."
        )
    return OSError(f"{found.model} could not be loaded: {hub_errors.reason(error)}")
