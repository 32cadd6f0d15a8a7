"""The picture that a run starts from, and its mask: checked, and fitted to the model."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Any

from PIL import Image

from sdnb import image_input
from sdnb.image_input import Source, Sources
from sdnb.log import notice

LANCZOS = Image.Resampling.LANCZOS


@dataclass(frozen=True)
class Start:
    """A picture to start from, RGB, and for inpainting its mask, grey: white is painted anew.

    `path` and `mask_path` are the files, where they came from files; `steps` and `mask_steps` what
    was done to them, names of `image_conversion.STEPS`. `others` are more reference pictures, for
    editing models that take several.
    """

    image: Image.Image
    mask: Image.Image | None = None
    path: str | None = None
    mask_path: str | None = None
    steps: tuple[str, ...] = ()
    mask_steps: tuple[str, ...] = ()
    others: tuple[image_input.Picture, ...] = ()

    @property
    def images(self) -> list[Image.Image]:
        """The picture, and the others."""
        return [self.image, *(other.image for other in self.others)]

    @property
    def given(self) -> Image.Image | list[Image.Image]:
        """What `image=` takes to start from the same."""
        return self.images if self.others else self.image

    def facts(self) -> dict[str, Any]:
        """The entry in a sample's facts: SHA-256 of the pixels, the files, and what was done.

        `image_file_steps` and `mask_file_steps` are names of `image_conversion.STEPS`, in order,
        with ", " between them; not there where there are none. Of more pictures the same, as
        `image_2`, `image_2_file`, `image_2_file_steps`.
        """
        known: dict[str, Any] = {"image": _hash(self.image), "image_file": self.path}
        if self.mask is not None:
            known |= {"mask": _hash(self.mask), "mask_file": self.mask_path}
        for name, steps in (("image", self.steps), ("mask", self.mask_steps)):
            if steps:
                known[f"{name}_file_steps"] = ", ".join(steps)
        for i, other in enumerate(self.others, 2):
            known |= {f"image_{i}": _hash(other.image), f"image_{i}_file": other.path}
            if other.steps:
                known[f"image_{i}_file_steps"] = ", ".join(other.steps)
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


def start(image: Sources | None, mask: Source | None) -> Start | None:
    """The picture to start from, opened and checked; None where there is none.

    Arguments:
        image, mask: whatever `image_input.picture` takes; or a list of reference pictures.

    Raises:
        ValueError: there is a mask but no picture, or several, their sizes differ, a list is empty,
            or a file is no picture.
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
    several = isinstance(image, (list, tuple))
    images: list[Source] = [*image] if isinstance(image, (list, tuple)) else [image]  # type: ignore[list-item]
    if not images:
        raise ValueError("image is an empty list: give one picture or more, or leave it out.")
    numbered = several and len(images) > 1
    names = [f"Picture {i}" if numbered else "The picture" for i in range(1, len(images) + 1)]
    picture, *others = map(image_input.picture, images, names)
    if others and mask is not None:
        raise ValueError(
            f"A mask goes with one picture, and {len(images)} are given: leave the mask or the "
            "other pictures out."
        )
    if mask is None:
        return Start(
            picture.image, None, picture.path, steps=picture.steps, others=tuple(others)
        )  # fmt: skip
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
