"""Previews: a picture as a notebook cell shows it, small and quick to load."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image

LEAST, MOST = 256, 1600  # pixels wide: smaller is shown enlarged, larger reduced
TALL = 16_000  # pixels high, at most: a JPEG cannot be higher than 65,500
HEAVY = 100_000  # bytes: a preview whose PNG is larger is shown as JPEG


def preview(image: Image.Image) -> dict[str, bytes]:
    """A picture as a notebook shows it: PNG, or JPEG where the PNG is over 100 kB."""
    scale = min(MOST / image.width, TALL / image.height)
    if scale < 1:
        image = image.resize((max(1, round(image.width * scale)), round(image.height * scale)))
    png = _encoded(image, "PNG")
    if len(png) <= HEAVY:
        return {"image/png": png}
    return {"image/jpeg": _encoded(image, "JPEG", quality=88)}


def enlarged(images: list[Image.Image]) -> list[Image.Image]:
    """The pictures at the least multiple of their size that makes the widest LEAST pixels wide."""
    times = -(-LEAST // max(image.width for image in images))
    if times == 1:
        return images
    return [
        image.resize((image.width * times, image.height * times), Image.Resampling.LANCZOS)
        for image in images
    ]


def _encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
