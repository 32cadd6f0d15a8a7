"""Counting: how many patches of one colour a picture has, where they are, what numbers are worth.

An eye for flat pictures, such as the embedded model's squares and circles. In a photograph light
and shadow break every colour up; there a person has to count.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage, stats

# Hues in degrees of the colour circle, from and to. What is pale or dark has no hue worth a name.
HUES = {
    "red": (340, 11), "orange": (21, 40), "yellow": (40, 70), "green": (75, 165),
    "blue": (190, 250), "purple": (255, 320),
}  # fmt: skip
SATURATION, VALUE = 0.5, 0.3  # at least, of 1
SMALLEST = 0.01  # of the picture: what is less is a speck
BRIDGE = 1 / 64  # of the picture's width: what is joined by so little is not one


@dataclass(frozen=True)
class Patch:
    """A patch of one colour: its middle and its area, as parts of the picture from 0 to 1.

    `x` goes from left to right, `y` from top to bottom.
    """

    x: float
    y: float
    area: float


def patches(image: Image.Image, color: str) -> list[Patch]:
    """The patches of one colour in a picture, from left to right.

    Patches that touch are told apart where they are joined by less than a sixty-fourth of the
    picture's width; patches of less than a hundredth of its area are not counted.

    Arguments:
        image: a PIL picture.
        color: red, orange, yellow, green, blue or purple.

    Returns:
        The patches; as many as were found.

    Raises:
        ValueError: there is no such colour.

    Example:
        >>> from PIL import ImageDraw
        >>> image = Image.new("RGB", (128, 128), "white")
        >>> ImageDraw.Draw(image).rectangle((0, 0, 31, 63), fill="red")
        >>> ImageDraw.Draw(image).ellipse((80, 80, 120, 120), fill="blue")
        >>> patches(image, "red")
        [Patch(x=0.125, y=0.25, area=0.125)]
        >>> len(patches(image, "green"))
        0
    """
    if color not in HUES:
        raise ValueError(f"There is no colour {color!r} here: give one of {', '.join(HUES)}.")
    hue, saturation, value = np.moveaxis(np.asarray(image.convert("HSV")) / 255, 2, 0)  # (h, w)
    first, last = HUES[color]
    turned = (hue * 360 - first) % 360  # red goes through zero
    of_color = (turned < (last - first) % 360) & (saturation >= SATURATION) & (value >= VALUE)
    # cores: what is left when each patch loses its rim, so that thin bridges fall
    rim = max(1, round(image.width * BRIDGE / 2))
    cores, count = ndimage.label(ndimage.binary_erosion(of_color, iterations=rim, border_value=1))
    if count == 0:
        return []
    # each pixel of the colour belongs to the nearest core
    nearest = ndimage.distance_transform_edt(
        cores == 0, return_distances=False, return_indices=True
    )
    owner = cores[tuple(nearest)]  # (h, w)
    numbers = range(1, count + 1)
    areas = ndimage.sum_labels(of_color, owner, numbers) / of_color.size
    middles = ndimage.center_of_mass(of_color, owner, numbers)
    height, width = of_color.shape
    found = [
        Patch(float(x + 0.5) / width, float(y + 0.5) / height, float(area))
        for (y, x), area in zip(middles, areas)
        if area >= SMALLEST
    ]
    return sorted(found, key=lambda patch: patch.x)


def interval(right: int, total: int) -> tuple[float, float]:
    """The 95 % confidence interval of a share, where so many of all were right.

    Wilson's interval (https://doi.org/10.1080/01621459.1927.10502953), which also holds for few
    pictures, and where all of them or none are right.

    Arguments:
        right: how many were right.
        total: of how many, 1 or more.

    Returns:
        (low, high), 0 to 1.

    Raises:
        ValueError: more were right than there are, or there are none.

    Example:
        >>> [round(share, 2) for share in interval(6, 8)]
        [0.41, 0.93]
        >>> [round(share, 2) for share in interval(75, 100)]
        [0.66, 0.82]
    """
    if not 0 <= right <= total or total < 1:
        raise ValueError(f"{right} right of {total}: give a number from 0 to {max(total, 1)}.")
    found = stats.binomtest(right, total).proportion_ci(method="wilson")
    return float(found.low), float(found.high)
