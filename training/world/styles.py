"""Styles: filters over the whole picture, 1 to 4 ms each, of Pillow's parts where it has them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from PIL import Image, ImageChops, ImageEnhance, ImageFilter, ImageOps
from scipy.ndimage import uniform_filter

from training.world.canvas import Color, noise
from training.world.places import SIZE

PLAIN = "photograph"
STYLES = [PLAIN, "film still", "black and white photograph", "pencil drawing", "oil painting",
          "pixel art", "propaganda poster", "watercolour", "synthwave style"]  # fmt: skip


COLOURLESS = {
    "black and white photograph",
    "pencil drawing",
    "propaganda poster",
    "synthwave style",
}


def styled(picture: Image.Image, style: str, rng: np.random.Generator) -> Image.Image:
    """The picture in a style of STYLES."""
    return FILTERS[style](picture, rng) if style != PLAIN else picture


def _image(a: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(a, 0, 255).astype(np.uint8))


@cache
def _sheet() -> np.ndarray:
    """Random numbers, (320, 320), unit deviation."""
    return np.random.default_rng(1).standard_normal((SIZE + 64, SIZE + 64)).astype(np.float32)


@cache
def _grains(size: int) -> Image.Image:
    return _image(_sheet() * size + 128)


def _grainy(picture: Image.Image, size: int, rng: np.random.Generator) -> Image.Image:
    """The picture (L or RGB) with film grain: a part of a sheet that is made once."""
    x, y = rng.integers(0, 64, 2)
    grain = _grains(size).crop((x, y, x + SIZE, y + SIZE)).convert(picture.mode)
    return ImageChops.add(picture, grain, offset=-128)


@cache
def _corners(depth: float) -> Image.Image:
    """Light that falls off towards the corners, L."""
    y, x = (np.mgrid[:SIZE, :SIZE] - SIZE / 2) / SIZE
    return _image(255 * (1 - depth * (x**2 + y**2)))


def _mapped(grey: Image.Image, stops: dict[int, Color]) -> Image.Image:
    """Greys to colours, through (grey, colour) stops."""
    at = np.arange(256)
    curves = [np.interp(at, list(stops), [c[i] for c in stops.values()]) for i in range(3)]
    return Image.merge("RGB", [grey.point([round(v) for v in curve]) for curve in curves])


def _curve(values: Sequence[float]) -> list[int]:
    return [min(255, max(0, round(v))) for v in values]


FADED = (0.72, 0.20, 0.08, 0, 0.12, 0.80, 0.08, 0, 0.12, 0.20, 0.68, 0)  # less colour, as a matrix
FILM = [
    _curve([v * (0.80 + 0.28 * v / 255) + 6 for v in range(256)]),
    _curve([v * (0.98 + 0.01 * v / 255) + 7 for v in range(256)]),
    _curve([v * (1.06 - 0.22 * v / 255) + 12 for v in range(256)]),
]


def film_still(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Faded, teal in the shadows and warm in the lights, dark corners, a wide screen's bars."""
    a = picture.convert("RGB", FADED).point([v for curve in FILM for v in curve])
    a = ImageChops.multiply(a, _corners(0.9).convert("RGB"))
    a = _grainy(a, 5, rng)
    for top in (0, SIZE - 26):
        a.paste((7, 7, 8), (0, top, SIZE, top + 26))
    return a


S_CURVE = _curve([255 * (0.5 * t + 0.5 * (3 * t**2 - 2 * t**3)) for t in np.arange(256) / 255])


def black_and_white(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Grey, with contrast and grain."""
    a = ImageChops.multiply(picture.convert("L").point(S_CURVE), _corners(0.4))
    return _grainy(a, 5, rng).convert("RGB")


@cache
def _hatch() -> np.ndarray:
    """A pencil's strokes across the paper, (256, 256) in [0, 1]."""
    y, x = np.mgrid[:SIZE, :SIZE]
    wave = noise(np.random.default_rng(3), SIZE, SIZE, (5, 5), 3) * 9
    return (0.5 + 0.5 * np.sin((x + y) * 1.15 + wave)).astype(np.float32)


def pencil(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Lines where the picture has edges, hatching where it is dark, on paper."""
    grey = picture.convert("L").point(_curve(58 + np.arange(256) * 0.77))  # night is no black paper
    a = np.asarray(grey).astype(np.float32)
    soft = np.asarray(grey.filter(ImageFilter.BoxBlur(4))).astype(np.float32)
    lines = np.minimum((a + 10) / (soft + 10), 1.02)
    dark = np.clip(1 - soft / 205, 0, 0.72)
    out = 248 * lines * lines * lines * (1 - dark * (0.42 + 0.42 * _hatch()))
    paper = _image(out + _sheet()[:SIZE, :SIZE] * 3.5)
    return Image.merge("RGB", [paper, paper.point(_curve(np.arange(256) * 0.99)),
                               paper.point(_curve(np.arange(256) * 0.955))])  # fmt: skip


@cache
def _strokes() -> Image.Image:
    """Ridges of paint, RGB around 128."""
    rng = np.random.default_rng(2)
    slant = noise(rng, SIZE * 2, SIZE * 2, (128, 20), 3)
    turned = Image.fromarray(slant).rotate(38, Image.Resampling.BILINEAR)
    part = turned.crop((SIZE // 2, SIZE // 2, SIZE // 2 + SIZE, SIZE // 2 + SIZE))
    return _image(128 + np.asarray(part) * 18).convert("RGB")


def oil(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Flat touches of strong colour with ridges of paint (Kuwahara's filter at half size)."""
    half = picture.resize((SIZE // 2, SIZE // 2), Image.Resampling.BOX)
    mean = np.asarray(half.filter(ImageFilter.BoxBlur(1.5)))
    grey = np.asarray(half.convert("L")).astype(np.float32)
    m = uniform_filter(grey, 4)
    spread = uniform_filter(grey * grey, 4) - m * m
    corners = [(dy, dx) for dy in (-2, 2) for dx in (-2, 2)]
    best = np.argmin([np.roll(spread, corner, (0, 1)) for corner in corners], 0)[..., None]
    flat = np.choose(best, [np.roll(mean, corner, (0, 1)) for corner in corners])
    big = Image.fromarray(flat).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    big = ImageEnhance.Color(big).enhance(1.25)
    strokes = _strokes() if rng.random() < 0.5 else ImageOps.mirror(_strokes())
    return ImageChops.add(big, strokes, offset=-128)


def pixels(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """48 x 48 large pixels in few colours."""
    small = picture.resize((48, 48), Image.Resampling.BOX).quantize(24, Image.Quantize.FASTOCTREE)
    return small.convert("RGB").resize((SIZE, SIZE), Image.Resampling.NEAREST)


# a poster's inks from dark to light: black, red, orange, cream
INKS = {0: (34, 26, 34), 58: (34, 26, 34), 68: (176, 34, 32), 116: (176, 34, 32), 126: (226, 130, 58),
        166: (226, 130, 58), 178: (248, 230, 190), 255: (248, 230, 190)}  # fmt: skip


@cache
def _rays() -> Image.Image:
    y, x = np.mgrid[:SIZE, :SIZE]
    return _image(255.0 * (np.sin(np.arctan2(y - SIZE * 0.8, x - SIZE / 2) * 22) > 0))


def poster(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Four inks and dark outlines, rays in the light parts, a red frame."""
    grey = ImageOps.autocontrast(picture.convert("L").filter(ImageFilter.BoxBlur(1)), (2, 2))
    a = _mapped(grey, INKS)
    light = ImageChops.multiply(grey.point([255 * (v > 172) for v in range(256)]), _rays())
    a.paste((240, 190, 130), (0, 0), light)
    a = Image.blend(a, picture, 0.2)
    a.paste((34, 26, 34), (0, 0), _edges(picture, 2.6))
    for i, color in ((0, (176, 34, 32)), (9, (248, 230, 190)), (12, (176, 34, 32))):
        for box in ((i, i, SIZE - i, i + 3), (i, SIZE - i - 3, SIZE - i, SIZE - i),
                    (i, i, i + 3, SIZE - i), (SIZE - i - 3, i, SIZE - i, SIZE - i)):  # fmt: skip
            a.paste(color, (box[0], box[1], box[2], box[3]))
    for box in (
        (0, 0, SIZE, 9),
        (0, SIZE - 9, SIZE, SIZE),
        (0, 0, 9, SIZE),
        (SIZE - 9, 0, SIZE, SIZE),
    ):
        a.paste((176, 34, 32), box)
    return _grainy(a, 3, rng)


def _edges(picture: Image.Image, strength: float) -> Image.Image:
    """Where brightness changes, L."""
    edges = picture.convert("L").filter(ImageFilter.FIND_EDGES).filter(ImageFilter.BoxBlur(1))
    edges.paste(0, (0, 0, SIZE, 3))
    edges.paste(0, (0, SIZE - 3, SIZE, SIZE))
    edges.paste(0, (0, 0, 3, SIZE))
    edges.paste(0, (SIZE - 3, 0, SIZE, SIZE))
    return edges.point(_curve((np.arange(256) - 8) * strength))


@cache
def _wet() -> tuple[np.ndarray, Image.Image, Image.Image]:
    """Where each pixel's colour ran from, how pale it became, and the paper's edge."""
    rng = np.random.default_rng(4)
    dy, dx = noise(rng, SIZE, SIZE, (20, 20), 2) * 4, noise(rng, SIZE, SIZE, (20, 20), 2) * 4
    y, x = np.mgrid[:SIZE, :SIZE]
    rows, columns = (
        np.clip(y + dy, 0, SIZE - 1).astype(int),
        np.clip(x + dx, 0, SIZE - 1).astype(int),
    )
    pale = 88 + 70 * noise(rng, SIZE, SIZE, (4, 4), 5) + 7 * _sheet()[:SIZE, :SIZE]
    edge = (
        np.minimum.reduce([x, y, SIZE - 1 - x, SIZE - 1 - y])
        - 9
        + noise(rng, SIZE, SIZE, (9, 9), 4) * 14
    )
    return (rows * SIZE + columns).ravel(), _image(pale), _image(255 * np.clip(edge / 4, 0, 1))


def watercolour(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Pale washes that run a little, darker at their edges, on rough paper with a white rim."""
    where, pale, rim = _wet()
    packed = np.asarray(picture.convert("RGBA")).view(np.uint32).ravel()
    ran = Image.fromarray(packed.take(where).view(np.uint8).reshape(SIZE, SIZE, 4)).convert("RGB")
    soft = ran.filter(ImageFilter.BoxBlur(1))
    ring = ImageChops.subtract(soft.filter(ImageFilter.BoxBlur(4)), soft).convert("L")
    soft = Image.composite(Image.new("RGB", soft.size, (255, 255, 255)), soft, pale)
    soft.paste((60, 50, 80), (0, 0), ring.point(_curve(np.arange(256) * 2.2)))
    return Image.composite(soft, Image.new("RGB", soft.size, (252, 250, 245)), rim)


NEON = {0: (16, 6, 50), 60: (66, 14, 120), 120: (190, 30, 160), 175: (255, 84, 150),
        215: (255, 176, 110), 255: (120, 245, 255)}  # fmt: skip


@cache
def _screen() -> Image.Image:
    return _image(
        np.where(np.arange(SIZE)[:, None] % 4 == 0, 214.0, 255.0) * np.ones((1, SIZE))
    ).convert("RGB")


def synthwave(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Violet, magenta and cyan, the edges alight, with a screen's lines."""
    a = Image.blend(_mapped(picture.convert("L"), NEON), picture, 0.16)
    a.paste((110, 250, 255), (0, 0), _edges(picture, 2.0))
    return ImageChops.multiply(a, _screen())


FILTERS = {
    "film still": film_still, "black and white photograph": black_and_white, "pencil drawing": pencil,
    "oil painting": oil, "pixel art": pixels, "propaganda poster": poster, "watercolour": watercolour,
    "synthwave style": synthwave,
}  # fmt: skip
