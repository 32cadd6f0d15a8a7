"""Pictures that a run starts from: opened, turned upright, fitted to the model."""

from __future__ import annotations

import hashlib
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from PIL import Image, ImageOps

from sdnb.records import metadata

FORMATS = (*metadata.FORMATS, "BMP", "TIFF")  # those that run no program


class HasImage(Protocol):
    """What carries a picture, such as a `Sample`."""

    @property
    def image(self) -> Image.Image: ...


Source = Image.Image | str | os.PathLike[str] | HasImage


@dataclass(frozen=True)
class Start:
    """A picture to start from, RGB, and for inpainting its mask, grey: white is painted anew.

    `path` and `mask_path` are the files, where they came from files.
    """

    image: Image.Image
    mask: Image.Image | None = None
    path: str | None = None
    mask_path: str | None = None

    def facts(self) -> dict[str, Any]:
        """What a sample's facts say of it: SHA-256 of the pixels, and the files."""
        known = {"image": _hash(self.image), "image_file": self.path}
        if self.mask is not None:
            known |= {"mask": _hash(self.mask), "mask_file": self.mask_path}
        return known


def start(image: Source | None, mask: Source | None) -> Start | None:
    """The picture to start from, opened and checked; None where there is none.

    Raises:
        ValueError: there is a mask but no picture, their sizes differ, or a file is no picture.
        FileNotFoundError: there is no such file.

    Example:
        >>> start(Image.new("L", (64, 64)), None).image.mode
        'RGB'
    """
    if image is None:
        if mask is not None:
            raise ValueError("A mask needs a picture: give image= too.")
        return None
    picture, path = _opened(image, "RGB")
    if mask is None:
        return Start(picture, None, path)
    grey, mask_path = _opened(mask, "L")
    if grey.size != picture.size:
        raise ValueError(
            f"The mask is {grey.width} x {grey.height}, the picture {picture.width} x "
            f"{picture.height}: make them the same size."
        )
    return Start(picture, grey, path, mask_path)


def fitting(
    size: tuple[int, int], most: tuple[int, int] | tuple[None, None], multiple: int
) -> tuple[int, int]:
    """The size at which a picture is taken: its own shape, about the model's own area.

    Arguments:
        size: (width, height) of the picture, in pixels.
        most: the model's own (width, height), or None twice where it has none.
        multiple: both must be multiples of this.

    Example:
        >>> fitting((4000, 3000), (512, 512), 8), fitting((512, 512), (512, 512), 8)
        ((592, 440), (512, 512))
    """
    width, height = size
    scale = 1.0
    if most[0] is not None and most[1] is not None:
        scale = math.sqrt(most[0] * most[1] / (width * height))
    fitted = [max(multiple, round(side * scale / multiple) * multiple) for side in size]
    return fitted[0], fitted[1]


def _opened(source: Source, mode: str) -> tuple[Image.Image, str | None]:
    if isinstance(source, Image.Image):
        return _flat(source, mode), None
    if hasattr(source, "image"):
        return _flat(source.image, mode), None
    path = Path(source).expanduser()
    with metadata.opening(path, str(path), FORMATS) as opened:
        # cameras store a picture lying on its side, and say so
        return _flat(ImageOps.exif_transpose(opened), mode), str(path)


def _flat(image: Image.Image, mode: str) -> Image.Image:
    """In that mode, where it is transparent on white."""
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert(mode)


def _hash(image: Image.Image) -> str:
    return hashlib.sha256(repr((image.mode, image.size)).encode() + image.tobytes()).hexdigest()
