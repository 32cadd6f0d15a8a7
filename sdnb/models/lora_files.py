"""A LoRA's file: where it is, on the hub or here, what it is called, and its hashes."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Union

from sdnb import emoji
from sdnb.hub import errors as hub_errors
from sdnb.log import notice
from sdnb.lora_weights import LoraWeights, Weight, adapter_of, check_name

BUNDLED = emoji.FOLDER / "lora"  # those that were trained for the embedded model
# file names that many repositories share: their LoRAs go by the repository's
SHARED = ("pytorch_lora_weights", "adapter_model", "lora", "model", "diffusion_pytorch_model")
_HUB = re.compile(r"([\w.-]+/[\w.-]+?)(?:@([\w.-]+))?(?:/(.+\.safetensors))?", re.ASCII)

Given = Union[str, "os.PathLike[str]", "tuple[str | os.PathLike[str], Weight]", "Wanted"]
Loras = Union[Given, "Iterable[Given]", "Mapping[str, Given]", None]  # what `load` takes


@dataclass(frozen=True)
class Wanted:
    """A LoRA that `load` was asked for.

    Attributes:
        source: a file's path, a hub id, or the name of one that comes with sdnb.
        file: in the hub's repository; None where that has only one.
        revision: of the repository.
        weight: that it has where settings name none.
        name: None for the file's.
    """

    source: str
    file: str | None = None
    revision: str | None = None
    weight: Any = 1.0
    name: str | None = None


@dataclass(frozen=True)
class Lora:
    """A LoRA in a pipeline.

    Attributes:
        name: what settings call it.
        weight: that it has where settings name none.
        source: a file's path, a hub id, or the name of one that comes with sdnb.
        file, revision: in the hub's repository; None elsewhere.
        sha256: of the file.
        hash: of the weights in it, 12 digits: what AUTOMATIC1111 and Civitai (AutoV3) call its
            hash.
    """

    name: str
    weight: Any
    source: str
    file: str | None
    revision: str | None
    sha256: str
    hash: str

    @property
    def adapter(self) -> str:
        """What diffusers and peft call it."""
        return adapter_of(self.name)

    def facts(self) -> dict[str, Any]:
        """The entry in a picture's facts."""
        names = ("source", "file", "revision", "sha256", "hash")
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    def is_named_by_file(self) -> bool:
        """Whether it goes by the name that `load` gives it where none is given."""
        return self.name == _name_of(Path(self.file or self.source), self.source)

    def asked(self) -> str:
        """What `load` takes for it, as code.

        Example:
            >>> Lora("ink", 0.5, "owner/name", "ink.safetensors", "a1b2", "", "").asked()
            "('owner/name@a1b2/ink.safetensors', 0.5)"
        """
        source = f"{self.source}@{self.revision}/{self.file}" if self.file else self.source
        return repr(source) if self.weight == 1 else repr((source, self.weight))

    def wanted(self) -> Wanted:
        """What `load` gets the same from."""
        return Wanted(self.source, self.file, self.revision, self.weight, self.name)


def wanted(given: Loras) -> tuple[Wanted, ...]:
    """What `load` was given as `lora`, one after another.

    Raises:
        ValueError, TypeError: it is neither a file, nor a hub id, nor one that comes with sdnb.

    Example:
        >>> wanted(["owner/name/ink.safetensors", ("owner/film@v2", 0.5)])[1]
        Wanted(source='owner/film', file=None, revision='v2', weight=0.5, name=None)
    """
    if given is None:
        return ()
    if isinstance(given, Mapping):
        for name in given:
            check_name(name)
        return tuple(replace(_wanted(each), name=name) for name, each in given.items())
    single = isinstance(given, (str, os.PathLike, Wanted)) or _is_pair(given)
    if single or not isinstance(given, Iterable):
        return (_wanted(given),)
    return tuple(_wanted(each) for each in given)


def _is_pair(given: Any) -> bool:
    """A source and its weight, and not two sources."""
    if not (isinstance(given, tuple) and len(given) == 2):
        return False
    return not isinstance(given[1], (str, os.PathLike, Wanted, tuple))


def _wanted(given: Any) -> Wanted:
    if isinstance(given, Wanted):
        return given
    source, weight = given if _is_pair(given) else (given, 1.0)
    weight = LoraWeights({"LoRA": weight})["LoRA"]
    weight = 1.0 if weight is None else weight
    if not isinstance(source, (str, os.PathLike)):
        raise TypeError(
            f"{source!r} is no LoRA: give a file, a hub id, or a pair of one and its weight."
        )
    path = Path(source).expanduser()
    if path.is_file():
        if path.suffix.lower() != ".safetensors":
            raise ValueError(
                f"{path} is no safetensors file. Other files of weights can run any program when "
                "they are opened: ask its maker for one, or convert it."
            )
        return Wanted(str(path.resolve()), weight=weight)
    if path.is_dir():
        there = [each.name for each in sorted(path.glob("*.safetensors"))]
        return Wanted(str(path.resolve() / _chosen(there, str(path), "/")), weight=weight)
    if isinstance(source, str) and (BUNDLED / f"{source}.safetensors").is_file():
        return Wanted(source, weight=weight)
    if isinstance(source, str) and (match := _HUB.fullmatch(source)) and source[0] not in "./~":
        repository, revision, file = match.groups()
        return Wanted(repository, file, revision, weight)
    ours = ", ".join(map(repr, bundled()))
    raise ValueError(
        f"{str(source)!r} is no LoRA: give a .safetensors file that exists, a hub id such as "
        f"'owner/name' or 'owner/name/file.safetensors'{f', or {ours}' if ours else ''}."
    )


def bundled() -> list[str]:
    """The names of the LoRAs that come with sdnb, for the embedded model."""
    return [file.stem for file in sorted(BUNDLED.glob("*.safetensors"))]


def found(request: Wanted, taken: Iterable[str] = ()) -> tuple[Lora, Path]:
    """The LoRA's record, and its file; downloaded if it is on the hub and not here yet.

    Arguments:
        request: what is wanted.
        taken: names of others in the pipeline.

    Raises:
        OSError: the hub does not give it, or it cannot be read.
        ValueError: the repository holds none, or several; or the name is taken.
    """
    source, file, revision = request.source, request.file, request.revision
    if (BUNDLED / f"{source}.safetensors").is_file():
        path = BUNDLED / f"{source}.safetensors"
    elif os.path.isabs(source):
        path = Path(source)
    else:
        path, file, revision = _from_hub(source, file, revision)
    try:
        whole, inner = _hashes(path)
    except OSError as error:
        raise OSError(f"The LoRA {path} cannot be read: {hub_errors.reason(error)}") from error
    name = request.name or _name_of(Path(file or path), source)
    if name in taken:
        raise ValueError(
            f"Two LoRAs are called {name!r}: name them, as in load(..., lora={{'one': ..., "
            "'other': ...}})."
        )
    return Lora(name, request.weight, source, file, revision, whole, inner), path


def _from_hub(source: str, file: str | None, revision: str | None) -> tuple[Path, str, str]:
    """The file, its name in the repository, and the commit."""
    import huggingface_hub

    try:
        info = huggingface_hub.HfApi().model_info(source, revision=revision, timeout=20)
        there = [s.rfilename for s in info.siblings or []]
        file = file or _chosen([n for n in there if n.endswith(".safetensors")], source, "/")
        if file not in there:
            raise FileNotFoundError(f"{source} has no file {file}.")
        path = huggingface_hub.hf_hub_download(source, file, revision=info.sha)
    except hub_errors.library_errors() as error:
        if not hub_errors.unreachable(error):
            raise hub_errors.explained(error, source, revision) from error
        kept = _cached(source, file, revision)
        if kept is None:
            raise hub_errors.explained(error, source, revision) from error
        path = kept
        notice(f"The hub cannot be reached, so the LoRA {source} is taken from the cache.")
    folder = next(p for p in Path(path).parents if p.parent.name == "snapshots")
    return Path(path), Path(path).relative_to(folder).as_posix(), folder.name


def _cached(source: str, file: str | None, revision: str | None) -> str | None:
    """What an earlier download left."""
    import huggingface_hub

    try:
        folder = Path(
            huggingface_hub.snapshot_download(source, revision=revision, local_files_only=True)
        )
    except hub_errors.library_errors():
        return None
    there = [p.relative_to(folder).as_posix() for p in folder.rglob("*.safetensors")]
    if not there or (file and file not in there):
        return None
    return str(folder / (file or _chosen(sorted(there), source, "/")))


def _chosen(there: list[str], where: str, between: str) -> str:
    """The one file of weights in a folder or repository.

    Raises:
        ValueError: there is none, or several.
    """
    apart = ("optimizer", "scheduler", "checkpoint")  # as diffusers leaves them out
    files = [name for name in there if not any(word in name for word in apart)]
    usual = [name for name in files if name == "pytorch_lora_weights.safetensors"]
    files = usual or files
    if not files:
        raise ValueError(f"{where} holds no LoRA: there is no .safetensors file in it.")
    if len(files) > 1:
        some = ", ".join(files[:5]) + (", …" if len(files) > 5 else "")
        raise ValueError(
            f"{where} holds {len(files)} files ({some}): name one, as in "
            f"'{where}{between}{files[0]}'."
        )
    return files[0]


def _name_of(file: Path, source: str) -> str:
    """A name that settings and AUTOMATIC1111's form take: there too it is the file's.

    Of a file that is called as in many repositories it is the repository's, or the folder's.
    """
    near = Path(source).parent.name if os.path.isabs(source) else source.rpartition("/")[2]
    stem = file.name.removesuffix(".safetensors")
    stem = near if stem in SHARED else stem
    kept = (c if c.isprintable() and c not in '<>:,"' else "_" for c in stem)
    return "".join(kept).strip() or "lora"


def _hashes(path: Path) -> tuple[str, str]:
    """SHA-256 of a file, and the first 12 digits of that of its weights alone, without the header.

    The second is kohya's: https://github.com/kohya-ss/sd-scripts/blob/main/library/train_util.py
    """
    whole, inner = hashlib.sha256(), hashlib.sha256()
    with path.open("rb") as file:
        head = file.read(8)
        whole.update(head)
        whole.update(file.read(min(int.from_bytes(head, "little"), path.stat().st_size)))
        while part := file.read(1 << 20):
            whole.update(part)
            inner.update(part)
    return whole.hexdigest(), inner.hexdigest()[:12]


__all__ = ["BUNDLED", "Lora", "Loras", "Wanted", "bundled", "found", "wanted"]
