"""Heat: a map of numbers laid over a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PIL import Image, ImageEnhance, ImageFilter, ImageOps

if TYPE_CHECKING:
    import numpy

DARK, MIDDLE, LIGHT = "#0d0887", "#cc4778", "#f0f921"  # grow lighter, so that all eyes see them


def overlay(
    image: Image.Image, values: numpy.ndarray[Any, Any], low: float, high: float
) -> Image.Image:
    """The picture in grey, under a map in colours from dark blue to yellow.

    Arguments:
        image: a PIL picture.
        values: (rows, columns), of any size; it is enlarged smoothly to the picture's.
        low, high: the values that are the darkest and the lightest colour.

    Example:
        >>> import numpy
        >>> shown = overlay(Image.new("RGB", (64, 64)), numpy.eye(2), 0, 1)
        >>> shown.size, shown.getpixel((8, 8))[0] > shown.getpixel((56, 8))[0]
        ((64, 64), True)
    """
    import numpy

    scaled = (numpy.asarray(values, dtype="float64") - low) / ((high - low) or 1)
    shades = Image.fromarray((255 * scaled.clip(0, 1)).round().astype("uint8"))
    shades = shades.resize(image.size, Image.Resampling.BICUBIC)
    heat = ImageOps.colorize(shades, DARK, LIGHT, MIDDLE)
    grey = ImageEnhance.Contrast(image.convert("L").convert("RGB")).enhance(0.9)
    return Image.blend(grey, heat, 0.6)


def smooth(image: Image.Image) -> Image.Image:
    """A picture blurred by a 32nd of its width, so that a map shows places and not pixels."""
    return image.filter(ImageFilter.GaussianBlur(max(1.0, image.width / 32)))


__all__ = ["overlay", "smooth"]
