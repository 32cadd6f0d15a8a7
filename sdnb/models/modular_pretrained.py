"""A modular pipeline, from a folder or the hub: its index names where each of its parts is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdnb import compat
from sdnb.hub import headers, repository
from sdnb.log import quiet
from sdnb.models import modular, weights
from sdnb.models.pretrained import Pretrained, check_packages, classes, failed

if TYPE_CHECKING:
    import torch
    from diffusers import DiffusionPipeline

PLACE = "pretrained_model_name_or_path"  # a part's repository, in the index


@dataclass
class Other:
    """Another repository, at a revision of it, that some parts come from.

    `folder` is where its files are, after the download.
    """

    found: repository.Listing
    revision: str | None
    parts: list[str]
    folder: Path = Path()


@dataclass
class Modular:
    """A modular model: its own repository, and the others that its parts come from.

    Attributes:
        own: the repository that the user named.
        parts: name -> library and class, of all parts.
        others: the repositories of the parts that are not in it.
    """

    own: Pretrained
    parts: dict[str, list[str]]
    others: list[Other]

    @classmethod
    def find(cls, own: Pretrained) -> Modular:
        """Looks up where the parts are, and whether the model makes pictures.

        Raises:
            ValueError: it does not, or it needs code of its own, or a part is nowhere.
            OSError: the hub does not give a part.
        """
        request, found = own.request, own.found
        pipeline = check_class(found.model, found.index)
        parts, elsewhere = _places(found, other_vae=bool(request.vae))
        check_packages(found.model, pipeline, parts)
        half = request.dtype != "float32"
        others = []
        for (source, revision), names in elsewhere.items():
            wanted = {name: parts[name] for name in names}
            listing = repository.listing(
                source, revision, request.variant, half, request.use_safetensors, wanted
            )
            others.append(Other(listing, revision, names))
        return cls(own, parts, others)

    @property
    def model(self) -> str:
        """As sentences and facts name it."""
        return self.own.model

    @property
    def commit(self) -> str | None:
        """Of the repository that was named; None for a folder."""
        return self.own.commit

    @property
    def variant(self) -> str | None:
        """Of the weight files that are taken."""
        return self.own.variant

    @property
    def index(self) -> Mapping[str, Any]:
        """Its class, and of each part library and class."""
        return {**self.parts, "_class_name": self.own.index["_class_name"]}

    def weights(self) -> dict[str, dict[str, headers.Tensor]]:
        """The tensors of each part's weights."""
        found = self.own.weights()
        for other in self.others:
            found |= headers.of_listing(other.found)
        return {name: its for name, its in found.items() if name in self.parts}

    def download(self, memory: object) -> None:
        """Downloads what is not here yet; logs before how much that is, and `memory`."""
        self.own.download(memory)
        for other in self.others:
            other.folder = repository.download(other.found, other.revision, memory)

    def additions(self) -> dict[str, Any]:
        """Facts beside model, revision and variant: the commits of parts in other repositories."""
        commits = {
            name: other.found.commit
            for other in self.others
            for name in other.parts
            if other.found.commit
        }
        return {"other_parts": commits} if commits else {}

    @contextmanager
    def settings(self) -> Iterator[Path]:
        """A folder in diffusers' layout with the settings of its own parts."""
        with self.own.settings() as readable:
            yield readable

    def pipeline(
        self, dtype: torch.dtype, given: Mapping[str, Any], quantize: str | None
    ) -> DiffusionPipeline:
        """Makes the pipeline, in main memory.

        Arguments:
            dtype: of its weights.
            given: parts that are taken in place of its own.
            quantize: how weights are quantised; what is done in reading is refused.

        Raises:
            ValueError: it cannot be quantised so.
            OSError: a file is damaged.
        """
        import diffusers

        if quantize not in (None, "fp8"):
            raise ValueError(
                f"quantize={quantize!r} is for classic pipelines, and {self.model} is a modular "
                "one: give quantize='fp8', or none."
            )
        there = {name: other for other in self.others for name in other.parts}
        with weights.read_as(dtype, classes(self.parts)), self.settings() as readable:
            with quiet(warnings=True):  # guiders warn that they are new
                pipe: Any = diffusers.ModularPipeline.from_pretrained(readable)
            made = dict(given)
            for name in self.parts:
                if name in given:
                    continue
                other = there.get(name)
                listing, folder = (
                    (other.found, other.folder) if other else (self.own.found, Path(readable))
                )
                made[name] = self._part(pipe, name, listing, folder, dtype)
            pipe.update_components(**made)
        return pipe

    def _part(
        self, pipe: Any, name: str, listing: repository.Listing, folder: Path, dtype: torch.dtype
    ) -> Any:
        """One part, read from where it is."""
        import diffusers
        import torch

        spec = pipe.get_component_spec(name)
        options: dict[str, Any] = {}
        kind = spec.type_hint
        if kind is None or issubclass(kind, (torch.nn.Module, diffusers.AutoModel)):
            keyword = compat.dtype_keyword(diffusers.__version__)
            options = {keyword: dtype, "variant": listing.variant}
            options["use_safetensors"] = self.own.request.use_safetensors or None
        try:
            return spec.load(
                pretrained_model_name_or_path=str(folder), subfolder=name, revision=None, **options
            )
        except Exception as error:  # a damaged file gives any
            raise failed(folder, listing, error) from error


def _places(
    found: repository.Listing, other_vae: bool
) -> tuple[dict[str, list[str]], dict[tuple[str, str | None], list[str]]]:
    """Library and class of each part that a modular model has; and what is in other repositories.

    Arguments:
        found: its own repository.
        other_vae: whether another VAE is taken in place of its own.

    Returns:
        name -> library and class; and (repository, revision) -> the names of the parts there.

    Raises:
        ValueError: a part is in a folder of another name.
    """
    parts: dict[str, list[str]] = {}
    elsewhere: dict[tuple[str, str | None], list[str]] = {}
    for name, made in found.index.items():
        if name.startswith("_") or not isinstance(made, list) or len(made) != 3:
            continue
        library, kind, place = made
        library, kind = (library, kind) if kind else (place.get("type_hint") or [None, None])
        here = any(file.startswith(f"{name}/") for file in found.files)
        if not isinstance(kind, str) or (not here and not place.get(PLACE)):
            continue  # a part that its makers left out
        parts[name] = [library, kind]
        if name == "vae" and other_vae:
            continue
        if (place.get("subfolder") or "") != name:
            raise ValueError(
                f"The part {name} of {found.model} is in the folder "
                f"{place.get('subfolder') or '.'!r} of {place.get(PLACE)}, and sdnb reads it "
                f"from a folder {name!r} alone: load its pipeline with diffusers, and give "
                "it as pipe=."
            )
        if not here:
            elsewhere.setdefault((place[PLACE], place.get("revision")), []).append(name)
    return parts, elsewhere


def check_class(model: str, index: Mapping[str, Any]) -> Any:
    """The class of a modular model's pipeline.

    Arguments:
        model: as sentences name it.
        index: what its modular_model_index.json says.

    Raises:
        ValueError: it does not make pictures from text, or diffusers does not have it.
    """
    import diffusers

    named, blocks = index.get("_class_name"), index.get("_blocks_class_name")
    if not isinstance(named, str) or not isinstance(blocks, str):
        raise ValueError(
            f"{model} is no modular pipeline: its modular_model_index.json names no class."
        )
    made: Any = getattr(diffusers, named, None)
    if not isinstance(made, type) or not modular.is_modular(made):
        raise ValueError(
            f"{model} is a {named}, which diffusers {diffusers.__version__} does not have: "
            "a newer one may."
        )
    kind: Any = getattr(diffusers, blocks, None)
    default: Any = getattr(made, "default_blocks_name", None)
    if kind is None or (default is None and not kind.block_classes):
        raise ValueError(
            f"{model} needs program code of its own ({blocks}), which sdnb does not run: load it "
            "with diffusers, if you trust its maker, and give it as pipe=."
        )
    if why := modular.refusal(made(blocks=kind() if kind.block_classes else None)):
        raise ValueError(f"{model} is a {named}, which {why}.")
    return made
