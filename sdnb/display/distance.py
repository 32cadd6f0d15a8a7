"""Distance: how far two pictures are from each other, as a number."""

from __future__ import annotations

from PIL import Image, ImageChops, ImageStat

from sdnb.image_input import rgb


def difference(one: Image.Image, other: Image.Image) -> float:
    """Mean absolute difference of two pictures over all pixels and channels, 0 to 255.

    Raises:
        ValueError: they differ in size.

    Example:
        >>> difference(Image.new("RGB", (8, 8), (30, 0, 0)), Image.new("RGB", (8, 8)))
        10.0
    """
    if one.size != other.size:
        raise ValueError(
            f"{one.width} x {one.height} and {other.width} x {other.height} pixels: "
            "only pictures of one size can be compared."
        )
    means = ImageStat.Stat(ImageChops.difference(rgb(one), rgb(other))).mean
    return sum(means) / len(means)
