"""The picture that a run starts from, and its mask: checked, and fitted to the model."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Any

from PIL import Image

from sdnb import image_input
from sdnb.image_input import Source
from sdnb.log import notice

LANCZOS = Image.Resampling.LANCZOS


@dataclass(frozen=True)
class Start:
    """A picture to start from, RGB, and for inpainting its mask, grey: white is painted anew.

    `path` and `mask_path` are the files, where they came from files; `steps` and `mask_steps` what
    was done to them, names of `image_conversion.STEPS`.
    """

    image: Image.Image
    mask: Image.Image | None = None
    path: str | None = None
    mask_path: str | None = None
    steps: tuple[str, ...] = ()
    mask_steps: tuple[str, ...] = ()

    def facts(self) -> dict[str, Any]:
        """The entry in a sample's facts: SHA-256 of the pixels, the files, and what was done.

        `image_file_steps` and `mask_file_steps` are names of `image_conversion.STEPS`, in order,
        with ", " between them; not there where there are none.
        """
        known: dict[str, Any] = {"image": _hash(self.image), "image_file": self.path}
        if self.mask is not None:
            known |= {"mask": _hash(self.mask), "mask_file": self.mask_path}
        for name, steps in (("image", self.steps), ("mask", self.mask_steps)):
            if steps:
                known[f"{name}_file_steps"] = ", ".join(steps)
        return known

    def pasted(self, made: Image.Image) -> Image.Image:
        """The picture that was made where the mask is white, this one's own pixels where it is
        black; in between, where an edge is smooth, a mixture.

        Arguments:
            made: what inpainting gave, RGB; this picture and its mask are fitted to its size, as
                they were for the pipeline.
        """
        if self.mask is None:
            return made
        own, white = (each.resize(made.size, LANCZOS) for each in (self.image, self.mask))
        return Image.composite(made, own, white)


def start(image: Source | None, mask: Source | None) -> Start | None:
    """The picture to start from, opened and checked; None where there is none.

    Arguments:
        image, mask: whatever `image_input.picture` takes.

    Raises:
        ValueError: there is a mask but no picture, their sizes differ, or a file is no picture.
        TypeError: one of them is no picture at all.
        FileNotFoundError: there is no such file.

    Example:
        >>> start(Image.new("L", (64, 64)), None).image.mode
        'RGB'
    """
    if image is None:
        if mask is not None:
            raise ValueError("A mask needs a picture: give image= too.")
        return None
    picture = image_input.picture(image)
    if mask is None:
        return Start(picture.image, None, picture.path, steps=picture.steps)
    grey = image_input.mask(mask)
    if grey.image.size != picture.image.size:
        raise ValueError(
            f"The mask is {grey.image.width} x {grey.image.height}, the picture "
            f"{picture.image.width} x {picture.image.height}: make them the same size."
        )
    if grey.image.getextrema()[1] == 0:
        notice("The mask is black everywhere, so nothing is painted anew: white is what changes.")
    return Start(
        picture.image, grey.image, picture.path, grey.path, picture.steps, grey.steps
    )  # fmt: skip


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


def _hash(image: Image.Image) -> str:
    return hashlib.sha256(repr((image.mode, image.size)).encode() + image.tobytes()).hexdigest()
