"""Styles: filters over the whole picture, 1 to 10 ms each."""

from __future__ import annotations

from functools import cache

import numpy as np
from PIL import Image, ImageFilter
from scipy.ndimage import uniform_filter

from training.world.canvas import noise
from training.world.places import SIZE

PLAIN = "photograph"
STYLES = [PLAIN, "film still", "black and white photograph", "pencil drawing", "oil painting",
          "pixel art", "propaganda poster", "watercolour", "synthwave style"]  # fmt: skip


def styled(picture: Image.Image, style: str, rng: np.random.Generator) -> Image.Image:
    """The picture in a style of STYLES."""
    return FILTERS[style](picture, rng) if style != PLAIN else picture


def _image(a: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(a, 0, 255).astype(np.uint8))


def _grain(rng: np.random.Generator, size: float) -> np.ndarray:
    """Film grain, (256, 256, 1), cut from a sheet that is made once."""
    y, x = rng.integers(0, 64, 2)
    return _sheet()[y : y + SIZE, x : x + SIZE, None] * size


@cache
def _sheet() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((SIZE + 64, SIZE + 64)).astype(np.float32)


@cache
def _canvas() -> np.ndarray:
    """Brush hairs: noise drawn out across."""
    rng = np.random.default_rng(2)
    across, down = noise(rng, SIZE, SIZE, (64, 8), 3), noise(rng, SIZE, SIZE, (8, 64), 3)
    return (across + 0.6 * down)[..., None].astype(np.float32)


@cache
def _vignette() -> np.ndarray:
    y, x = (np.mgrid[:SIZE, :SIZE] - SIZE / 2) / SIZE
    return (1 - 0.85 * (x**2 + y**2))[..., None].astype(np.float32)


def film_still(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Faded, teal in the shadows and warm in the lights, dark corners, a wide screen's bars."""
    a = np.asarray(picture).astype(np.float32)
    grey = a.mean(-1, keepdims=True)
    a = a * 0.62 + grey * 0.38
    t = grey / 255
    a = a * np.float32((1.08, 0.99, 0.84)) * t + a * np.float32((0.82, 1.0, 1.06)) * (1 - t) + 6
    a = a * _vignette() + _grain(rng, 5)
    bar = 26
    a[:bar] = a[-bar:] = 8
    return _image(a)


def black_and_white(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Grey, with contrast and grain."""
    a = np.asarray(picture.convert("L")).astype(np.float32)[..., None]
    t = a / 255
    a = 255 * (t * 0.55 + (3 * t**2 - 2 * t**3) * 0.45) * _vignette() ** 0.5 + _grain(rng, 5)
    return _image(np.repeat(a, 3, 2))


def pencil(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Lines where the picture has edges, hatching where it is dark, on paper."""
    grey = picture.convert("L")
    a = np.asarray(grey).astype(np.float32)
    soft = np.asarray(grey.filter(ImageFilter.GaussianBlur(5))).astype(np.float32)
    lines = np.clip((a + 12) / (soft + 12), 0, 1.02) ** 3.0
    y, x = np.mgrid[:SIZE, :SIZE]
    hatch = 0.5 + 0.5 * np.sin((x + y) * 1.1 + 4 * _sheet()[:SIZE, :SIZE] * 0.12)
    dark = np.clip(1 - soft / 190, 0, 0.85)
    tone = 1 - dark * (0.30 + 0.55 * hatch)
    out = 250 * lines * tone + _sheet()[-SIZE:, -SIZE:] * 3.5
    return _image(out[..., None] * np.float32((1.0, 0.99, 0.955)))


def oil(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Flat strokes with ridges of paint (Kuwahara's filter at half size, then canvas)."""
    half = picture.resize((SIZE // 2, SIZE // 2), Image.Resampling.BOX)
    a = np.asarray(half).astype(np.float32)
    grey = a.mean(-1)
    mean, m = uniform_filter(a, (3, 3, 0)), uniform_filter(grey, 3)
    spread = uniform_filter(grey * grey, 3) - m * m
    corners = [(dy, dx) for dy in (-1, 1) for dx in (-1, 1)]
    means = [np.roll(mean, corner, (0, 1)) for corner in corners]
    spreads = [np.roll(spread, corner, (0, 1)) for corner in corners]
    best = np.argmin(spreads, 0)
    flat = np.take_along_axis(np.stack(means), best[None, ..., None], 0)[0]
    flat = np.round(flat / 14) * 14 * 0.6 + flat * 0.4
    big = np.asarray(_image(flat).resize((SIZE, SIZE), Image.Resampling.BICUBIC)).astype(np.float32)
    grey = big.mean(-1, keepdims=True)
    big = grey + (big - grey) * 1.22
    ridge = _canvas() * (18 + 0.10 * grey)
    return _image(big * 1.02 + ridge)


def pixels(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """48 x 48 large pixels in few colours."""
    small = picture.resize((48, 48), Image.Resampling.BOX).quantize(24, method=Image.Quantize.FASTOCTREE)
    return small.convert("RGB").resize((SIZE, SIZE), Image.Resampling.NEAREST)


# a poster's inks from dark to light: black, red, orange, cream
INKS = {0: (34, 26, 34), 62: (34, 26, 34), 70: (176, 34, 32), 118: (176, 34, 32), 126: (226, 130, 58),
        168: (226, 130, 58), 178: (246, 226, 184), 255: (246, 226, 184)}  # fmt: skip


@cache
def _inks() -> np.ndarray:
    at = np.arange(256)
    return np.stack([np.interp(at, list(INKS), [c[i] for c in INKS.values()]) for i in range(3)], -1)


@cache
def _rays() -> np.ndarray:
    y, x = np.mgrid[:SIZE, :SIZE]
    return (np.sin(np.arctan2(y - SIZE * 0.8, x - SIZE / 2) * 22) > 0).astype(np.float32)


def poster(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Four inks, rays in the light parts, a red frame."""
    grey = picture.convert("L").filter(ImageFilter.GaussianBlur(0.8))
    a = np.asarray(grey).astype(np.float32)
    low, high = np.percentile(a[::4, ::4], (3, 97))
    a = np.clip((a - low) / max(30.0, high - low), 0, 1) * 255
    flat = _inks()[a.astype(np.uint8)]
    hue = np.asarray(picture).astype(np.float32)
    a = flat * 0.86 + (hue * 0.6 + 60) * 0.14
    light = (flat[..., 2] > 150).astype(np.float32) * _rays()
    a = a - light[..., None] * np.float32((6, 30, 50))
    a[:9] = a[-9:] = a[:, :9] = a[:, -9:] = (168, 30, 30)
    a[9:11] = a[-11:-9] = a[:, 9:11] = a[:, -11:-9] = (246, 226, 184)
    return _image(a + _grain(rng, 2.5))


def watercolour(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Pale washes that run into one another, darker at their edges, on rough paper."""
    y, x = np.mgrid[:SIZE, :SIZE]
    wave = _canvas()[..., 0] * 7
    rows = np.clip(y + wave, 0, SIZE - 1).astype(int)
    columns = np.clip(x + np.roll(wave, 60, 0), 0, SIZE - 1).astype(int)
    wet = _image(np.asarray(picture)[rows, columns])
    soft = np.asarray(wet.filter(ImageFilter.GaussianBlur(2.2))).astype(np.float32)
    softer = np.asarray(wet.filter(ImageFilter.BoxBlur(5))).astype(np.float32)
    edge = np.clip((softer - soft).mean(-1, keepdims=True), 0, 40)
    paper = 252 + _sheet()[:SIZE, :SIZE, None] * 2.5
    wash = soft + (255 - soft) * (0.34 + 0.16 * _canvas())
    fade = np.clip(12 * np.minimum.reduce([x, y, SIZE - 1 - x, SIZE - 1 - y]) / SIZE + wave / 12, 0, 1)
    a = wash - edge * 1.3
    return _image(paper + (a - paper) * fade[..., None])


NEON = {0: (16, 6, 50), 60: (66, 14, 120), 120: (190, 30, 160), 175: (255, 84, 150), 215: (255, 176, 110),
        255: (120, 245, 255)}  # fmt: skip


@cache
def _neon() -> np.ndarray:
    at = np.arange(256)
    return np.stack([np.interp(at, list(NEON), [c[i] for c in NEON.values()]) for i in range(3)], -1)


def synthwave(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Violet, magenta and cyan, the edges alight, with a screen's lines."""
    grey = picture.convert("L")
    a = _neon()[np.asarray(grey)] * 0.84 + np.asarray(picture).astype(np.float32) * 0.16
    edges = np.asarray(grey.filter(ImageFilter.FIND_EDGES).filter(ImageFilter.BoxBlur(1))).astype(np.float32)
    edges[:3] = edges[-3:] = edges[:, :3] = edges[:, -3:] = 0
    a = a + np.clip(edges * 2.2, 0, 150)[..., None] * np.float32((0.3, 0.95, 1.0))
    a[::4] *= 0.84
    return _image(a)


FILTERS = {
    "film still": film_still, "black and white photograph": black_and_white, "pencil drawing": pencil,
    "oil painting": oil, "pixel art": pixels, "propaganda poster": poster, "watercolour": watercolour,
    "synthwave style": synthwave,
}  # fmt: skip
