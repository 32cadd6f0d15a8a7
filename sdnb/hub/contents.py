"""What lies in a repository or folder, whatever it is: the files, before any is chosen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sdnb.hub import errors as hub_errors
from sdnb.hub import names, repository
from sdnb.log import notice


@dataclass(frozen=True)
class Contents:
    """The files of a repository or folder.

    Attributes:
        source: the hub id, or the folder.
        files: name -> bytes.
        commit: of the repository; None for a folder.
        folder: where they are, if they are here already.
        hashes: name -> SHA-256, as far as the hub tells.
    """

    source: str
    files: Mapping[str, int]
    commit: str | None = None
    folder: Path | None = None
    hashes: Mapping[str, str] = field(default_factory=dict)

    def listing(
        self, names: Iterable[str], model: str = "", variant: str | None = None
    ) -> repository.Listing:
        """Some of the files, as they are counted and downloaded.

        Arguments:
            names: of the files.
            model: its name in messages; the source where not given.
            variant: of the weights.
        """
        files = {name: self.files[name] for name in names}
        hashes = {name: self.hashes[name] for name in files if name in self.hashes}
        return repository.Listing(
            model or self.source, {}, files, variant, self.commit, self.folder, hashes, self.source
        )


def of(source: str, revision: str | None, needed: str, model: str = "") -> Contents:
    """Looks up what is there; without a network, what an earlier download left.

    Arguments:
        source: a folder, or a hub id.
        revision: a branch, tag or commit of a hub repository.
        needed: a file without which it is not what is looked for.
        model: its name in messages; the source where not given.

    Raises:
        FileNotFoundError: the file is not there.
        OSError: the hub does not give it.
    """
    if Path(source).is_dir():
        return _local(source, Path(source), None, needed)
    import huggingface_hub

    try:
        info = huggingface_hub.HfApi().model_info(
            source, revision=revision, files_metadata=True, timeout=20
        )
    except hub_errors.library_errors() as error:
        at = huggingface_hub.try_to_load_from_cache(source, needed, revision=revision)
        if not (hub_errors.unreachable(error) and isinstance(at, str)):
            raise hub_errors.explained(error, model or source, revision) from error
        folder = Path(at).parents[needed.count("/")]
        notice(f"The hub cannot be reached, so {model or source} is taken from the cache.")
        return _local(source, folder, folder.name, needed)
    there = {s.rfilename: s for s in info.siblings or []}
    if needed and needed not in there:
        raise FileNotFoundError(_lacking(source, needed, there))
    return Contents(
        source, {n: s.size or 0 for n, s in there.items()}, info.sha,
        hashes={n: s.lfs.sha256 for n, s in there.items() if s.lfs},
    )  # fmt: skip


def of_file(source: str, revision: str | None = None) -> repository.Listing:
    """One file, as it is counted and downloaded.

    Arguments:
        source: a path, or repository/file on the hub.
        revision: a branch, tag or commit of the repository.

    Raises:
        FileNotFoundError: it is not there.
        OSError: the hub does not give it.
    """
    path = Path(source)
    if path.is_file():
        here = Contents(str(path.parent), {path.name: path.stat().st_size}, folder=path.parent)
        return here.listing([path.name], source)
    hub_id, name = names.split(source)
    return of(hub_id, revision, name, source).listing([name], source)


def _local(source: str, folder: Path, commit: str | None, needed: str) -> Contents:
    files = {
        p.relative_to(folder).as_posix(): p.stat().st_size for p in folder.rglob("*") if p.is_file()
    }
    if needed and needed not in files:
        raise FileNotFoundError(_lacking(source, needed, files))
    return Contents(source, files, commit, folder)


def _lacking(source: str, needed: str, there: Iterable[str]) -> str:
    """What is not there, and what of its kind is."""
    kind = Path(needed).suffix
    alike = sorted(name for name in there if name.endswith(kind) and "/" not in name)
    instead = f"; it has {', '.join(alike[:5])}" if alike else ""
    return f"There is no {needed} in {source}{instead}."
