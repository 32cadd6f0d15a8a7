"""Shaded eggs and limbs in the rounded look of the artwork, painted at 384 pixels and made smaller.

Pictures are RGBA floats (384, 384, 4); positions and radii are parts of the picture.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from training.world.canvas import Color

FULL = 384


def empty() -> np.ndarray:
    """A transparent picture."""
    return np.zeros((FULL, FULL, 4), np.float32)


def blob(
    picture: np.ndarray, x: float, y: float, rx: float, ry: float, color: Color, turn: float = 0,
    square: float = 2.0,
) -> None:  # fmt: skip
    """A shaded egg on an RGBA picture (384, 384, 4); `square` above 2 makes it boxy."""
    reach = max(rx, ry) * (1.45 if square > 2 else 1.02) + 0.01
    (x0, x1), (y0, y1) = (
        (max(0, int((c - reach) * FULL)), min(FULL, int((c + reach) * FULL) + 1)) for c in (x, y)
    )
    v, u = np.mgrid[y0:y1, x0:x1].astype(np.float32) / FULL
    u, v = u - x, v - y
    u, v = u * np.cos(turn) + v * np.sin(turn), -u * np.sin(turn) + v * np.cos(turn)
    u, v = u / rx, v / ry
    far = (np.abs(u) ** square + np.abs(v) ** square) ** (1 / square)
    edge = np.clip((1 - far) * min(rx, ry) * FULL + 0.5, 0, 1)
    light = np.clip(1.1 - 0.42 * ((u + 0.35) ** 2 + (v + 0.5) ** 2) / 2, 0.5, 1.12)
    shadow = np.asarray(color, np.float32) * (0.72, 0.6, 0.8)  # the artwork's shadows are violet
    body = np.asarray(color, np.float32) * np.minimum(light, 1)[..., None]
    body = body + np.clip(light - 1, 0, 1)[..., None] * 140
    deep = np.clip((0.86 - light) * 2.2, 0, 1)[..., None]
    body = body * (1 - deep) + shadow * deep
    over(picture[y0:y1, x0:x1], np.clip(body, 0, 255), edge)


def over(picture: np.ndarray, color: np.ndarray | Color, edge: np.ndarray) -> None:
    """Paints a colour where `edge` (height, width) is 1."""
    alpha = picture[..., 3:] / 255
    share = edge[..., None]
    whole = share + alpha * (1 - share)
    picture[..., :3] = (
        np.asarray(color) * share + picture[..., :3] * alpha * (1 - share)
    ) / np.maximum(whole, 1e-6)
    picture[..., 3:] = whole * 255


def limb(picture: np.ndarray, a: Color, b: Color, r: float, color: Color) -> None:
    """An arm or a leg from a to b."""
    (ax, ay), (bx, by) = a, b
    long = float(np.hypot(bx - ax, by - ay))
    blob(
        picture,
        (ax + bx) / 2,
        (ay + by) / 2,
        long / 2 + r,
        r,
        color,
        float(np.arctan2(by - ay, bx - ax)),
        2.6,
    )


def image(picture: np.ndarray) -> Image.Image:
    """An RGBA picture, without its empty edges."""
    whole = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))
    return whole.crop(whole.getchannel("A").point(lambda a: 255 * (a > 8)).getbbox())
