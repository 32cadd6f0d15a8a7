"""What a name stands for: a file or folder of this machine, a repository or a file of the hub."""

from __future__ import annotations

import os
import re
from pathlib import Path

from sdnb.hub import repository
from sdnb.hub.errors import PAGE
from sdnb.log import notice

ENDING = ".safetensors"
GGUF = ".gguf"
PICKLED = (".ckpt", ".pt", ".pth", ".bin")
FILE_OF_HUB = re.compile(r"([\w-][\w.-]*/[\w.-]+)/(.+)")
_ADDRESS = re.compile(rf"(?:{re.escape(PAGE)}|https://hf\.co)/(.+?)/(?:blob|resolve)/main/(.+)")


def is_file(source: str) -> bool:
    """Whether a source, as it is located, is a file and no folder or repository.

    Example:
        >>> is_file("someone/dream/dream.safetensors"), is_file("someone/dream")
        (True, False)
    """
    return source.lower().endswith((ENDING, GGUF)) and not Path(source).is_dir()


def file(name: str) -> str:
    """The file that a name stands for: a path of this machine, or repository/file on the hub.

    Arguments:
        name: a path; such as "someone/dream/dream.safetensors"; or the address of the file's page.

    Raises:
        ValueError: it is pickled.
        FileNotFoundError: there is no such file.

    Example:
        >>> file("https://huggingface.co/someone/dream/blob/main/dream.safetensors")
        'someone/dream/dream.safetensors'
    """
    path = Path(name).expanduser()
    if name.lower().endswith(PICKLED):
        raise ValueError(
            f"{name!r} is pickled, and a pickled file can run any program when it is opened, so "
            "sdnb does not open it: take the same as .safetensors."
        )
    if path.is_file():
        return os.path.abspath(path)
    if page := _ADDRESS.fullmatch(name):
        return f"{page[1]}/{page[2]}"
    if FILE_OF_HUB.fullmatch(name) and not path.is_absolute():
        return name
    raise FileNotFoundError(
        f"There is no file {name}: give a single file's path, or for one on the hub its "
        "repository and name, such as 'someone/dream/dream.safetensors'."
    )


def place(name: str | os.PathLike[str]) -> str:
    """The file, folder or hub id that a name stands for; one that has moved, where it is now.

    Raises:
        ValueError: it is pickled, a GGUF file, or none of these.
        FileNotFoundError: there is no such file.
        TypeError: it is no name.

    Example:
        >>> place("someone/eyes")
        'someone/eyes'
    """
    check_is_name(name)
    folder = Path(name).expanduser()
    if folder.is_dir():
        return str(folder.resolve())
    name = str(name)
    if name.lower().endswith(GGUF):
        raise ValueError(f"{name!r} is a GGUF file, which holds a model: sdnb.load({name!r}).")
    if name.lower().endswith((ENDING, *PICKLED)):
        return file(name)
    if name in repository.MOVED:
        return moved(name)
    if re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", name):
        return name
    raise ValueError(f"{name!r} is neither a file, nor a folder, nor a hub id.")


def check_is_name(given: object) -> None:
    """Raises TypeError where it is neither a text nor a path."""
    if not isinstance(given, (str, os.PathLike)):
        raise TypeError(f"{given!r} is neither a file, nor a folder, nor a hub id: give a name.")


def moved(hub_id: str) -> str:
    """Where a repository of `repository.MOVED` is now; logs it."""
    now = repository.MOVED[hub_id]
    notice(f"{hub_id} is no longer on the hub; the same weights are at {now}.")
    return now


def split(source: str) -> tuple[str, str]:
    """A file of the hub as its repository's id and its name there.

    Raises:
        FileNotFoundError: it is a path.

    Example:
        >>> split("someone/dream/old/dream.safetensors")
        ('someone/dream', 'old/dream.safetensors')
    """
    parts = FILE_OF_HUB.fullmatch(source)
    if not parts:
        raise FileNotFoundError(f"There is no file {source} any more.")
    return repository.MOVED.get(parts[1], parts[1]), parts[2]
