"""What every painting is made of: noise, gradients, hills, grounds seen at a slant, balls of light.

Pictures are float arrays (height, width, 3) in [0, 255]; `rng` is a NumPy generator.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from PIL import Image, ImageFilter

Color = Sequence[float]
SIDE = 288  # pixels a side of a painted place; a scene is a part of it, 256 a side


def noise(
    rng: np.random.Generator, h: int, w: int, base: tuple[int, int] = (4, 4), octaves: int = 4
) -> np.ndarray:
    """Clouds of `base` (rows, columns) lumps, and each octave twice as fine: (h, w) around 0."""
    out = np.zeros((h, w), np.float32)
    for o in range(octaves):
        grid = rng.random((base[0] * 2**o + 1, base[1] * 2**o + 1)).astype(np.float32) - 0.5
        grid = Image.fromarray(grid).resize((w, h), Image.Resampling.BICUBIC)
        out += np.asarray(grid) * 0.5**o
    return out


def line(rng: np.random.Generator, w: int, lumps: float = 3, octaves: int = 5) -> np.ndarray:
    """A mountain's outline: (w,) in about [-1, 1]."""
    x = np.linspace(0, 1, w)
    out = np.zeros(w)
    for o in range(octaves):
        out += (
            np.sin(2 * np.pi * (x * lumps * 2**o * rng.uniform(0.7, 1.3) + rng.random())) / 1.9**o
        )
    return out / 1.6


def vertical(stops: Sequence[tuple[float, Color]], h: int = SIDE, w: int = SIDE) -> np.ndarray:
    """A gradient from top to bottom through (height in [0, 1], colour) stops."""
    at = np.linspace(0, 1, h)
    where = [s for s, _ in stops]
    column = np.stack([np.interp(at, where, [c[i] for _, c in stops]) for i in range(3)], -1)
    return np.repeat(column[:, None], w, 1).astype(np.float32)


def mix(a: np.ndarray, b: np.ndarray | Color, share: np.ndarray | float) -> np.ndarray:
    """`a` where share is 0, `b` where it is 1; share is a number or (h, w)."""
    share = np.asarray(share, np.float32)
    return a + (np.asarray(b, np.float32) - a) * (share[..., None] if share.ndim else share)


def below(ys: np.ndarray, h: int = SIDE) -> np.ndarray:
    """How much of each pixel lies under an outline ys (w,): (h, w) in [0, 1], edges smooth."""
    return np.clip(np.arange(h)[:, None] - ys[None] + 0.5, 0, 1).astype(np.float32)


def hill(
    picture: np.ndarray, ys: np.ndarray, top: Color, bottom: Color, texture: np.ndarray | float = 0
) -> np.ndarray:
    """Fills what lies under an outline with a gradient and a texture (h, w), and gives it."""
    h, w, _ = picture.shape
    first = max(0, int(ys.min()))
    part = slice(first, h)
    depth = np.clip((np.arange(first, h)[:, None] - ys[None]) / max(1, h - ys.mean()), 0, 1)
    color = mix(np.broadcast_to(np.asarray(top, np.float32), (h - first, w, 3)), bottom, depth)
    if not np.isscalar(texture):
        color = color + np.asarray(texture)[part, :, None]
    picture[part] = mix(picture[part], color, below(ys - first, h - first))
    return picture


@cache
def _tile(seed: int, stretch: int) -> np.ndarray:
    """256 x 256 of noise that repeats without a seam."""
    rng = np.random.default_rng(seed)
    white = rng.standard_normal((256, 256))
    fy, fx = np.fft.fftfreq(256)[:, None], np.fft.rfftfreq(256)[None]
    far = np.hypot(fy, fx * stretch)
    fine = np.fft.irfft2(np.fft.rfft2(white) / np.maximum(far, 1 / 64) ** 0.9)
    return (fine / fine.std()).astype(np.float32)


def slanted(
    rng: np.random.Generator, h: int, w: int, grain: float = 1.0, stretch: int = 1
) -> np.ndarray:
    """A textured plane seen at a slant, its horizon at the top: (h, w), about unit deviation."""
    tile = _tile(int(rng.integers(4)), stretch)
    rows = np.arange(1, h + 1, dtype=np.float32)[:, None]
    far = h / (rows + h * 0.04)  # 1 at our feet
    x = (np.arange(w, dtype=np.float32)[None] - w / 2) * far * grain + rng.uniform(0, 256)
    y = np.repeat(far * 90 * grain, w, 1) + rng.uniform(0, 256)
    x0, y0 = np.floor(x).astype(int), np.floor(y).astype(int)
    fx, fy = x - x0, y - y0
    a, b = tile[y0 % 256, x0 % 256], tile[y0 % 256, (x0 + 1) % 256]
    c, d = tile[(y0 + 1) % 256, x0 % 256], tile[(y0 + 1) % 256, (x0 + 1) % 256]
    out = (a * (1 - fx) + b * fx) * (1 - fy) + (c * (1 - fx) + d * fx) * fy
    return out / (1 + 0.25 * (far - 1))  # what is far is fine, and looks even


def glow(
    picture: np.ndarray, x: float, y: float, radius: float, color: Color, strength: float = 1.0
) -> np.ndarray:
    """Light around a point, falling off over `radius` pixels; gives the picture."""
    h, w, _ = picture.shape
    far = ((np.arange(w)[None] - x) ** 2 + (np.arange(h)[:, None] - y) ** 2) / radius**2
    return mix(picture, color, strength * np.exp(-far))


def disc(
    picture: np.ndarray, x: float, y: float, rx: float, ry: float, color: Color | np.ndarray,
    strength: float = 1.0,
) -> np.ndarray:  # fmt: skip
    """An ellipse with smooth edges; gives the picture."""
    h, w, _ = picture.shape
    y0, y1 = max(0, int(y - ry - 2)), min(h, int(y + ry + 3))
    x0, x1 = max(0, int(x - rx - 2)), min(w, int(x + rx + 3))
    if y0 >= y1 or x0 >= x1:
        return picture
    u, v = (np.arange(x0, x1)[None] - x) / rx, (np.arange(y0, y1)[:, None] - y) / ry
    edge = np.clip((1 - np.hypot(u, v)) * min(rx, ry) + 0.5, 0, 1) * strength
    picture[y0:y1, x0:x1] = mix(picture[y0:y1, x0:x1], color, edge)
    return picture


def blurred(picture: np.ndarray, radius: float) -> np.ndarray:
    """The picture out of focus."""
    image = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(radius))).astype(np.float32)
