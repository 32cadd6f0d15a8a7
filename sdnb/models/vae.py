"""Another VAE than a model's own: from a repository, a folder or a file, checked to fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdnb import compat
from sdnb.hub import contents, headers, names, pipeline_files, repository, resumable_download
from sdnb.hub import errors as hub_errors
from sdnb.models import weights

if TYPE_CHECKING:
    import torch

PART = "vae"


@dataclass
class Vae:
    """A VAE that takes the place of a model's own.

    Attributes:
        source: as facts name it: a file, a folder, or a hub id.
        found: its files.
        start: of their names: "vae/" in a pipeline's repository, else "".
        tensors: of a single file.
    """

    source: str
    found: repository.Listing
    start: str = ""
    tensors: Mapping[str, headers.Tensor] | None = None
    folder: Path = Path()

    @classmethod
    def find(cls, source: str, half: bool) -> Vae:
        """Looks up what is there.

        Arguments:
            source: from `names.place`.
            half: whether it is to run in half precision.

        Raises:
            ValueError: it is no VAE.
            OSError: the hub does not give it, or it is damaged.
        """
        if names.is_file(source):
            return cls._file(source)
        there = contents.of(source, None, "")
        start = "" if "config.json" in there.files else f"{PART}/"
        as_part = {f"{PART}/{n.removeprefix(start)}": n for n in there.files if n.startswith(start)}
        try:
            chosen, variant = pipeline_files.choose(
                source, as_part, {PART: ["diffusers", "AutoencoderKL"]}, "auto", half
            )
        except pipeline_files.MissingError as error:
            raise ValueError(f"{source} is no VAE, and no model that has one: {error}") from error
        needed = [as_part[name] for name in chosen if name in as_part]
        return cls(source, there.listing(needed, variant=variant), start)

    @classmethod
    def _file(cls, source: str) -> Vae:
        file = contents.of_file(source)
        tensors = headers.of_file(file)
        if not any(n.endswith("decoder.conv_in.weight") for n in tensors):
            raise ValueError(f"{source} is no VAE: it has no decoder.")
        return cls(source, file, tensors=tensors)

    def weights(self) -> dict[str, headers.Tensor]:
        """The tensors of its weights."""
        if self.tensors is not None:
            return dict(self.tensors)
        return {
            name: tensor
            for part in headers.of_listing(self.found).values()
            for name, tensor in part.items()
        }

    def download(self) -> None:
        """Downloads what is not here yet."""
        self.folder = repository.download(self.found, None)

    def facts(self, config: str, made: Any) -> dict[str, Any]:
        """Where it came from, its class, and the hash of its weights.

        Arguments:
            config: where the model's settings are from; a VAE in a single file takes them too.
            made: the VAE.
        """
        [file] = [n for n in self.found.files if n.endswith(names.ENDING)][:1]
        said: dict[str, Any] = {
            "kind": type(made).__name__,
            "model": self.source, "revision": self.found.commit, "variant": self.found.variant,
            "sha256": resumable_download.sha256(self.folder / file),
            "subfolder": self.start.rstrip("/"),
        }  # fmt: skip
        if self.tensors is not None:
            said["config"] = config
        return {name: value for name, value in said.items() if value}

    def made(self, dtype: torch.dtype, settings: Path) -> Any:
        """The VAE, in main memory.

        Arguments:
            dtype: of its weights.
            settings: a folder in diffusers' layout with the model's own.

        Raises:
            ValueError: it does not fit the model.
            OSError: it is damaged.
        """
        import diffusers

        keyword = {compat.dtype_keyword(diffusers.__version__): dtype}
        own_kind, own = _config(settings / PART)
        try:
            with weights.read_as(dtype):
                if self.tensors is not None:
                    [file] = self.found.files
                    kind = getattr(diffusers, own_kind)
                    if not hasattr(kind, "from_single_file"):
                        raise ValueError(f"a {own_kind} is not read from a single file")
                    return kind.from_single_file(
                        str(self.folder / file), config=str(settings), subfolder=PART, **keyword
                    )
                name, config = _config(self.folder / self.start)
                _check_fit(self.source, config, own)
                return getattr(diffusers, name).from_pretrained(
                    self.folder, subfolder=self.start.rstrip("/") or None,
                    variant=self.found.variant, use_safetensors=True, **keyword,
                )  # fmt: skip
        except _DoesNotFitError as error:
            raise ValueError(str(error)) from None
        except Exception as error:
            raise ValueError(
                f"The VAE {self.source} does not fit this model: {hub_errors.reason(error)}"
            ) from error


def _levels(config: Mapping[str, Any]) -> int:
    """How many levels there are; diffusers writes a tiny one's under one name, or under both."""
    names = ("block_out_channels", "decoder_block_out_channels")
    return max(len(config.get(name) or ()) for name in names)


class _DoesNotFitError(ValueError):
    pass


def _config(folder: Path) -> tuple[str, dict[str, Any]]:
    found = repository.read_json(folder / "config.json", str(folder), downloaded=False)
    return str(found.get("_class_name", "AutoencoderKL")), found


def _check_fit(source: str, config: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    """Raises where a VAE has other latents than the model's own."""
    words = {
        "latent_channels": "its latents have {} channels, this model's {}",
        "scaling_factor": "its latents are scaled by {}, this model's by {}",
    }
    usual = {"latent_channels": 4, "scaling_factor": 0.18215}
    alike = config.get("_class_name") == own.get("_class_name")
    for name, sentence in words.items():
        if name == "scaling_factor" and not alike:
            continue  # the tiny ones have their scale inside
        mine, theirs = config.get(name, usual[name]), own.get(name, usual[name])
        if mine != theirs:
            why = sentence.format(mine, theirs)
            raise _DoesNotFitError(f"The VAE {source} is for another family: {why}.")
    mine, theirs = (_levels(each) for each in (config, own))
    if alike and mine != theirs:
        raise _DoesNotFitError(
            f"The VAE {source} is for another family: it has {mine} levels, this model's {theirs}."
        )


__all__ = ["Vae"]
