"""Files that are written whole or not at all, and names for new ones."""

from __future__ import annotations

import itertools
import os
import re
import secrets
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def check_folder(path: Path) -> None:
    """Raises ValueError where a path is a folder, FileNotFoundError where its folder is not there.

    Asked before a file is written there.
    """
    if path.is_dir():
        raise ValueError(f"{path} is a folder: give a file in it.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"Cannot write {path}: there is no folder {path.parent}.")


@contextmanager
def replacing(path: str | os.PathLike[str], *suffixes: str) -> Iterator[Path]:
    """Gives a name to write under; what is there when the block ends takes the path's place.

    Arguments:
        path: what is to be written; an existing file is replaced.
        suffixes: the endings that are allowed, such as ".gif", in lower case.

    Yields:
        A name in the same folder with the same ending. If the block fails, that file is removed,
        and what was at the path stays as it was.

    Raises:
        ValueError: the path has another ending, or is a folder; before the block runs.
        OSError: there is no such folder, or it may not be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with replacing(f"{folder}/a.html", ".html") as part:
        ...         _ = part.write_text("hello")
        ...     os.listdir(folder)
        ['a.html']
    """
    path = Path(path).expanduser()
    if path.suffix.lower() not in suffixes:
        raise ValueError(f"{path} does not end in {' or '.join(suffixes)}.")
    check_folder(path)
    part = path.with_name(f".sdnb-{secrets.token_hex(8)}.part{path.suffix}")
    try:
        part.touch(exist_ok=False)  # a folder that is read-only fails here, before long work
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def free_name(prompt: str) -> Path:
    """A file name from the prompt's first words that is not taken in this folder.

    Example:
        >>> free_name("An owl, at 7 o'clock!").name
        'an-owl-at-7-o-clock.png'
    """
    spaced = "".join(c if _is_of_a_word(c) else " " for c in prompt.lower())
    stem = _cut("-".join(spaced.split()[:8])) or "picture"
    if _RESERVED.fullmatch(stem):
        stem += "-picture"
    names = itertools.chain([stem], (f"{stem}_{n}" for n in itertools.count(2)))
    # a sheet's pictures are named after it, so these must be free too
    return next(
        Path(f"{name}.png")
        for name in names
        if not Path(f"{name}.png").exists() and not [*Path().glob(f"{name}-[0-9]*.png")]
    )


def without_folder(name: str) -> str:
    """The last name of a path of this machine; a hub id, and any other name, as it is.

    Example:
        >>> without_folder("/home/ada/dream"), without_folder("someone/dream")
        ('dream', 'someone/dream')
    """
    is_path = re.match(r"[/\\~.]|[A-Za-z]:[/\\]", name)
    return (re.split(r"[/\\]", name.rstrip("/\\"))[-1] or name) if is_path else name


# Windows keeps these for devices, whatever the ending:
# https://learn.microsoft.com/en-us/windows/win32/fileio/naming-a-file
_RESERVED = re.compile("con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]")


def _is_of_a_word(letter: str) -> bool:
    """Letters, digits, and marks: the vowels of Hindi, Thai and Tamil are marks upon letters."""
    return letter == "_" or unicodedata.category(letter)[0] in "LMN"


def _cut(name: str) -> str:
    """The beginning of a name, short enough for every file system; no letter loses its marks."""
    end = min(len(name), 60)
    while len(name[:end].encode()) > 180:  # bytes; a file's name may have 255 with what follows
        end -= 1
    while 0 < end < len(name) and unicodedata.category(name[end])[0] == "M":
        end -= 1
    return name[:end].strip("-")
