"""Files of pictures: which formats are opened, and what is wrong with one, in a sentence."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from PIL import Image, UnidentifiedImageError

# Of those that Pillow opens: some others run programs. AVIF: where Pillow was built with it.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")


@contextmanager
def opening(
    path: str | os.PathLike[str] | IO[bytes],
    name: str,
    formats: tuple[str, ...] = FORMATS,
    texts: Container[str] = (),
) -> Iterator[Image.Image]:
    """A picture that is open and loaded; what the block raises is the caller's own.

    Arguments:
        path: the file, or one that is open.
        name: what errors call it.
        formats: those that are taken, by Pillow's names.
        texts: which are read of a PNG whose texts are larger than Pillow reads.

    Yields:
        The picture.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is none of these formats, or damaged, or too large for the memory; or its
            path is an address.
    """
    try:
        opened = _loaded(path, formats, texts)
    except FileNotFoundError:
        check_address(name)
        raise FileNotFoundError(f"There is no file {name}.") from None
    except UnidentifiedImageError as error:
        raise unreadable(name) from error
    except Exception as error:  # of any kind: Pillow asserts what a file may lack
        raise unreadable(name, _why(error)) from error
    with opened:
        yield opened


@contextmanager
def decoding(name: str) -> Iterator[None]:
    """Makes a sentence of what Pillow raises in the block for a picture damaged further on.

    Arguments:
        name: what the error calls the picture.

    Raises:
        ValueError: as said; and as it is where the block raises it, as a TypeError is.
    """
    try:
        yield
    except (ValueError, TypeError):  # a sentence already
        raise
    except Exception as error:  # of any kind, as above
        raise unreadable(name, _why(error)) from error


def _why(error: Exception) -> str:
    return str(error) or ("too large" if isinstance(error, MemoryError) else "it is damaged")


def unreadable(name: str, why: str = "") -> ValueError:
    """The error for what is no picture, or a damaged one."""
    return ValueError(f"{name} is not a picture that can be read{f': {why}' if why else '.'}")


def _loaded(
    path: str | os.PathLike[str] | IO[bytes], formats: tuple[str, ...], texts: Container[str]
) -> Image.Image:
    """The picture, opened and loaded, whatever large texts a PNG carries beside what is read."""
    try:
        opened = Image.open(path, formats=formats)
        opened.load()  # closes its file
    except ValueError as error:
        if "text chunk" not in str(error).lower().replace("_", " "):
            raise
        if isinstance(path, (str, os.PathLike)):
            data = Path(path).read_bytes()
        else:
            path.seek(0)
            data = path.read()
        opened = Image.open(io.BytesIO(_with_texts(data, texts)), formats=formats)
        opened.load()
    return opened


def _with_texts(png: bytes, texts: Container[str]) -> bytes:
    """A PNG's bytes with these texts alone; its chunks are length, kind, data, check."""
    kept, at = [png[:8]], 8
    while at < len(png):
        end = at + 12 + int.from_bytes(png[at : at + 4], "big")
        kind, name = png[at + 4 : at + 8], png[at + 8 : at + 88].partition(b"\0")[0]
        if kind not in (b"tEXt", b"zTXt", b"iTXt") or name.decode("latin-1") in texts:
            kept.append(png[at:end])
        at = end
    return b"".join(kept)


def check_address(text: str) -> None:
    """Raises ValueError where a path is an address: nothing is fetched from the network unasked."""
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", text) or text.startswith("data:"):
        shown = text if len(text) <= 80 else f"{text[:79]}…"
        raise ValueError(
            f"{shown} is an address, and pictures are not fetched from the network: give the "
            "picture itself, as diffusers.utils.load_image(address) gets it."
        )
