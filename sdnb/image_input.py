"""Pictures that come in: whatever holds one, as 8-bit RGB, a grey mask, or RGBA.

Everything that takes a picture from a user goes through here: the start of image to image, masks,
grids, sliders, animations, the panel, and the comparison of notebooks' pictures.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from PIL import Image

from sdnb.image_conversion import (
    BLACK,
    STEPS,
    WHITE,
    check_size,
    colour,
    of_array,
    on_paper,
    still,
    upright,
)
from sdnb.image_file import check_address, decoding, opening


class HasImage(Protocol):
    """What carries a picture, such as a `Sample`."""

    @property
    def image(self) -> Image.Image: ...


class HasArray(Protocol):
    """A NumPy array, or what NumPy makes one of: a tensor of PyTorch, JAX or TensorFlow."""

    @property
    def shape(self) -> Any: ...

    @property
    def dtype(self) -> Any: ...


Source = Image.Image | str | os.PathLike[str] | bytes | IO[bytes] | HasImage | HasArray
Sources = Source | Sequence[Source]  # several, for models that take several


@dataclass(frozen=True)
class Picture:
    """A picture that came in: its pixels, its file where it has one, and what was done to it.

    Attributes:
        image: 8-bit RGB, or grey of a mask.
        path: of its file; None where it has none.
        steps: names of `image_conversion.STEPS`, in the order in which they were done.
    """

    image: Image.Image
    path: str | None = None
    steps: tuple[str, ...] = ()


def picture(source: Source, name: str = "The picture") -> Picture:
    """A picture as a model, or a page, takes it: upright, sRGB, on white paper.

    EXIF orientation is applied, of files and of PIL pictures alike; a colour profile is converted
    to sRGB; 16-bit grey is scaled to 8 bits; of what moves the current frame is taken, the first
    of a file, which is logged once.

    Arguments:
        source: a PIL picture; a file's path, content as bytes, or an open file such as `BytesIO`;
            a `Sample`; an array or tensor of shape (h, w), (h, w, c), (c, h, w), or one of these in
            a batch of one. c is 1 (grey), 2 (grey, alpha), 3 (RGB; OpenCV's BGR is
            `array[..., ::-1]`) or 4 (RGBA). Numbers are bool, uint8 or other integers from 0 to
            255, uint16 from 0 to 65535, or floats from 0 to 1 or 0 to 255.
        name: what errors call it.

    Returns:
        The picture, of mode RGB.

    Raises:
        ValueError: it is no picture, damaged, too large, an address, or numbers out of range.
        TypeError: nothing in it is a picture.
        FileNotFoundError: there is no such file.

    Example:
        >>> picture(Image.new("LA", (8, 8), (0, 0))).image.getpixel((0, 0))
        (255, 255, 255)
    """
    if type(source) is Image.Image and source.mode == "RGB" and not source.info:
        check_size(source, name)
        return Picture(source)  # by far the most pictures, untouched
    return _taken(source, name, lambda image, steps: on_paper(WHITE, colour(image, steps), steps))


def rgb(source: Source) -> Image.Image:
    """The pixels of `picture`; those of a plain RGB picture are the very same object."""
    return picture(source).image


def mask(source: Source) -> Picture:
    """A mask as inpainting takes it: white is painted anew, black and what is transparent stays.

    Its numbers count, not colours: a colour profile is left aside. 0 and 1 are black and white.

    Arguments:
        source: as for `picture`.

    Returns:
        The mask, of mode L.

    Raises:
        ValueError, TypeError, FileNotFoundError: as `picture`.

    Example:
        >>> mask(Image.new("RGBA", (8, 8), (255, 255, 255, 0))).image.getpixel((0, 0))
        0
    """

    def grey(image: Image.Image, steps: list[str]) -> Image.Image:
        if image.mode in ("LAB", "CMYK"):
            image = colour(image, steps)
        image = on_paper(BLACK, image, steps).convert("L")
        if image.getextrema()[1] == 1:
            steps.append("0 and 1")
            image = image.point(lambda level: 255 * level)
        return image

    return _taken(source, "The mask", grey)


def rgba(frame: Image.Image) -> Image.Image:
    """The current frame of a PIL picture as it is seen, with its alpha channel.

    Example:
        >>> rgba(Image.new("I;16", (8, 8), 65535)).getpixel((0, 0))
        (255, 255, 255, 255)
    """
    return colour(upright(frame, []), []).convert("RGBA")


def _taken(source: Source, name: str, convert: Any) -> Picture:
    """The picture in a source, with its path, as `convert(image, steps)` makes it."""
    steps: list[str] = []

    def converted(opened: Image.Image, name: str) -> Image.Image:
        with decoding(name):
            frame = still(opened, steps, name)
            return _plain(convert(upright(frame, steps, name), steps))

    found, path = _found(source, name)
    if isinstance(found, Image.Image):
        image = converted(found, name)
    elif path is None and not isinstance(found, (str, bytes)) and hasattr(found, "shape"):
        image = convert(of_array(found, steps, name), steps)
    else:
        file = io.BytesIO(found) if isinstance(found, bytes) else found
        with opening(file, path or name) as opened:
            image = converted(opened, path or name)
    return Picture(image, path, tuple(step for step in STEPS if step in steps))


def _plain(image: Image.Image) -> Image.Image:
    """The picture without its file."""
    return image if type(image) is Image.Image else image.copy()


def _found(source: Any, name: str) -> tuple[Any, str | None]:
    """The PIL picture, array, bytes, path or open file in a source; and its path as a text."""
    if isinstance(source, (str, os.PathLike)):
        if isinstance(source, str):
            check_address(source)
        path = Path(source).expanduser()
        return path, str(path)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return bytes(source), None
    if isinstance(source, Image.Image):
        return source, None
    if isinstance(getattr(source, "image", None), Image.Image):
        return source.image, None
    for several in ("images", "samples"):  # what a pipeline returns; a Sheet
        inside = getattr(source, several, None)
        if isinstance(inside, (list, tuple)):
            kind = type(source).__name__
            raise ValueError(f"{name} is a {kind} of {len(inside)}: give one, .{several}[0].")
    if isinstance(source, (list, tuple)):
        raise ValueError(f"{name} is a {type(source).__name__} of {len(source)}: give one picture.")
    if hasattr(source, "read") and hasattr(source, "seek"):
        return source, None
    if hasattr(source, "shape") and (hasattr(source, "__array__") or hasattr(source, "detach")):
        return source, None
    raise TypeError(
        f"{name} is {_kind(source)}: give a PIL picture, a file, a Sample, or an array of numbers."
    )


def _kind(value: object) -> str:
    if value is None:
        return "None"
    name = type(value).__name__
    return f"an {name}" if name[0].lower() in "aeiou" else f"a {name}"
