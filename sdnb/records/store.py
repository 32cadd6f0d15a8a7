"""The store: finished samples as PNGs in a folder, found again by what made them."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import platformdirs

from sdnb.log import is_first, notice
from sdnb.records import metadata
from sdnb.records.sample import Sample
from sdnb.settings import Settings

DRIVE = Path("/content/drive/MyDrive")  # where Colab mounts the user's Google Drive
MOST_BYTES = 2_000_000_000  # about 5000 pictures of 512 x 512
SHARE = 20  # so small a part of the cap is put without looking what others put beside it
STALE = 3600  # seconds: a half-written file this old was left by a process that died
WEEK = 7 * 24 * 3600  # seconds: the same of the mark of a sweep on Ray, which is there all the time
OFF = ("off", "0", "no", "false")  # what else `SDNB_STORE` may say than a folder, in any case
VERSION = 2  # of keys: what older versions stored may be a changed pipeline's
# facts of pictures that no settings make again
NOT_KEPT = {"broken", "changed", "freeu", "vae_tiling", "vae_slicing"}
TICK = 1_000_000  # nanoseconds between two uses, at least


class Store:
    """Finished samples on disk; the least recently used are dropped where they grow too many.

    They are ordinary PNGs, which `sdnb.read` and other programs open. Several processes may use
    one folder at once; each further one that puts can take it a twentieth above the cap for a
    while. Where the folder cannot be written, that is logged once and work goes on without it.

    Arguments:
        folder: where they are; made when the first is put. None takes the one named by the
            environment variable `SDNB_STORE`, else `sdnb` on a mounted Google Drive, else the
            user's cache folder. `SDNB_STORE=off` (or 0, no, false) is for `store=True`: a `Store`
            made by hand is then in the usual place.
        most_bytes: what they may take on disk together.

    Raises:
        FileNotFoundError: no folder is named, and there is no home to have one in.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> fox = Settings("a fox", seed=510)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     store = Store(folder)
        ...     key = store.key(fox, {"model": "emoji", "device": "cpu"})
        ...     store.put(key, Sample(Image.new("RGB", (64, 64)), fox))
        ...     store.get(key).settings
        Settings(prompt='a fox', seed=510)
    """

    def __init__(
        self, folder: str | os.PathLike[str] | None = None, most_bytes: int = MOST_BYTES
    ) -> None:
        self.folder = usual_folder() if folder is None else Path(folder).expanduser()
        self.most_bytes = most_bytes
        self._latest = 0  # the most recent time of use seen, in nanoseconds
        self._taken = math.inf  # bytes, when the folder was last looked through, and put since
        self._new = 0  # bytes put since

    def __repr__(self) -> str:
        return f"Store({str(self.folder)!r}, {len(self)} pictures, {self.size() / 1e6:.1f} MB)"

    @staticmethod
    def key(settings: Settings, made_by: Mapping[str, Any]) -> str:
        """The store's key of a picture: a hash of its settings and of what made it.

        Arguments:
            settings: resolved: with a seed.
            made_by: whatever else decides what the picture looks like, as JSON takes it: model,
                revision, variant, dtype, device, versions, hashes of input pictures. The
                number of a device does not count: "cuda:1" is "cuda".

        Returns:
            64 hexadecimal digits.

        Raises:
            ValueError: the settings have no seed.
            TypeError: `made_by` holds what JSON does not take.
        """
        if settings.seed is None:
            raise ValueError(
                "These settings have no seed, so each run makes another picture: "
                "set one before asking the store."
            )
        made_by = dict(made_by)
        if "device" in made_by:
            made_by["device"] = str(made_by["device"]).partition(":")[0]
        whole = {"version": VERSION, "settings": _given(settings), "made_by": made_by}
        return _hash(json.dumps(whole, sort_keys=True))

    def get(self, key: str) -> Sample | None:
        """The sample of that key, just as it was put; None where it is not there.

        A file that is damaged, or is not the one that was put, is removed; one that cannot be
        read just now (no memory, a network drive) stays.

        Arguments:
            key: from `Store.key`.

        Raises:
            ValueError: it is no key.
        """
        path = self._path(key)
        try:
            image, records = metadata.read(path)
            [(settings, facts)] = records
            sample = Sample(image, settings, facts)
            if facts.pop("stored", None) != _seal(key, sample):
                raise ValueError(f"{path} is not the picture that was put there.")
        except FileNotFoundError:
            return None
        except ValueError as error:
            why = error.__cause__
            passing = isinstance(why, MemoryError) or (isinstance(why, OSError) and why.errno)
            if not passing:  # Pillow's own errors have no errno
                with suppress(OSError):
                    path.unlink()
            return None
        self._touch(path)
        return sample

    def put(self, key: str, sample: Sample) -> None:
        """Keeps a sample; evicts the least recently used where there are too many.

        One whose facts say that its settings alone do not make it again is not kept. Where the
        folder cannot be written, that is logged once.

        Arguments:
            key: from `Store.key`.
            sample: what `get` is to give back.

        Raises:
            ValueError: it is no key.
        """
        path = self._path(key)
        if sample.facts.keys() & NOT_KEPT:
            return
        facts = {**sample.facts, "stored": _seal(key, sample)}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            metadata.save_png(sample.image, path, [(sample.settings, facts)])
            self._touch(path)
            with suppress(FileNotFoundError):  # another process has dropped it already
                size = path.stat().st_size
                self._taken, self._new = self._taken + size, self._new + size
            if self._taken > self.most_bytes or self._new > self.most_bytes / SHARE:
                self._drop_oldest()
        except OSError as error:
            if is_first(("not kept in", self.folder)):
                why = str(error.strerror or error).rstrip(".")
                notice(
                    f"Pictures are made but not kept in {self.folder} ({why}): "
                    "make room there, or let SDNB_STORE name another folder."
                )

    def newest(self, n: int) -> list[Sample]:
        """The n samples that were put or asked for last, the latest first."""
        files = sorted(self._files(), key=lambda file: file[1].st_mtime_ns, reverse=True)
        found = []
        for path, _ in files[:n]:
            with suppress(ValueError, OSError):  # damaged; or another process has dropped it
                image, [(settings, facts)] = metadata.read(path)
                sample, seal = Sample(image, settings, facts), facts.pop("stored", None)
                if seal == _seal(path.stem, sample):  # not what an older version put
                    found.append(sample)
        return found

    def clear(self) -> None:
        """Removes all its pictures; other files in the folder stay."""
        for path, _ in list(self._files()):
            path.unlink(missing_ok=True)

    def size(self) -> int:
        """Bytes that the pictures take."""
        return sum(stat.st_size for _, stat in self._files())

    def __len__(self) -> int:
        return sum(1 for _ in self._files())

    def __bool__(self) -> bool:
        return True  # `if store` asks whether there is one, not whether it has pictures

    def __contains__(self, key: str) -> bool:
        return self._path(key).exists()

    def _path(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise ValueError(f"{key!r} is no key: Store.key gives them.")
        return self.folder / f"{key}.png"

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        """The store's own pictures; what a dead process left half-written is removed."""
        with suppress(OSError), os.scandir(self.folder) as entries:
            for entry in entries:
                with suppress(OSError):  # another process may have removed it
                    if _OURS.fullmatch(entry.name):
                        yield Path(entry.path), entry.stat()
                    elif (part := _PART.fullmatch(entry.name)) and _age(entry.stat()) > (
                        STALE if part[1] else WEEK
                    ):
                        os.unlink(entry.path)

    def _touch(self, path: Path) -> None:
        """Marks a picture as the one used last, even where the clock was set back."""
        if not self._latest:
            self._latest = max((stat.st_mtime_ns for _, stat in self._files()), default=0)
        self._latest = max(time.time_ns(), self._latest + TICK)
        with suppress(OSError):  # a folder that may only be read, or another process was faster
            os.utime(path, ns=(self._latest, self._latest))

    def _drop_oldest(self) -> None:
        """Looks the folder through; above the cap evicts so many that the next few have room."""
        files = sorted(self._files(), key=lambda file: file[1].st_mtime_ns)
        taken = sum(stat.st_size for _, stat in files)
        if taken > self.most_bytes:
            for path, stat in files:
                if taken <= self.most_bytes - self.most_bytes / SHARE:
                    break
                path.unlink(missing_ok=True)
                taken -= stat.st_size
        self._taken, self._new = taken, 0


def named() -> str:
    """What the environment variable `SDNB_STORE` says: a folder, "off", or nothing.

    Example:
        >>> from unittest.mock import patch
        >>> with patch.dict("os.environ", SDNB_STORE="False"):
        ...     named()
        'off'
    """
    said = os.environ.get("SDNB_STORE", "")
    return "off" if said.strip().lower() in OFF else said


def usual_folder() -> Path:
    """The folder that `SDNB_STORE` names, else a mounted Google Drive's, else the user's cache.

    Raises:
        FileNotFoundError: there is no home to have one in.
    """
    try:
        if (folder_name := named()) not in ("", "off"):
            return Path(folder_name).expanduser()
        folder = DRIVE / "sdnb" if DRIVE.is_dir() else platformdirs.user_cache_path("sdnb")
    except RuntimeError:  # the user has no known home folder
        folder = Path("~")
    if not folder.is_absolute():  # as older versions of platformdirs say the same
        raise FileNotFoundError(
            "There is no home folder, so pictures are made but not kept: "
            "let SDNB_STORE name a folder."
        )
    return folder


_KEY = re.compile("[0-9a-f]{64}")
_OURS = re.compile(r"[0-9a-f]{64}\.png")
# as files.replacing names them; and as the cluster marks a store
_PART = re.compile(r"\.sdnb-.*\.(?:(part\.png)|shared)")


def _age(stat: os.stat_result) -> float:
    return abs(time.time() - stat.st_mtime)  # the clock may have been set back since


def _given(settings: Settings) -> dict[str, Any]:
    """What is not None: a setting that a later version adds, None at first, changes no key."""
    return {name: value for name, value in settings.to_dict().items() if value is not None}


def _seal(key: str, sample: Sample) -> str:
    """A hash of all that the file must give back, and of the key that it is kept under."""
    known = metadata.portable(sample.facts)  # as the file has them
    facts = {name: value for name, value in known.items() if name != "stored"}
    texts = json.dumps([VERSION, key, _given(sample.settings), facts, sample.image.size])
    return _hash(texts + _hash(sample.image.tobytes()))


def _hash(value: str | bytes) -> str:
    return hashlib.sha256(value.encode() if isinstance(value, str) else value).hexdigest()
