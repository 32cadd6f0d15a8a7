"""Scenes as pictures: the backdrop, the objects with their shadows, the style."""

from __future__ import annotations

from functools import lru_cache
from random import Random

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from training.world import figures, places
from training.world.objects import NAMES, SHAPES
from training.world.places import SIZE
from training.world.scene import Item, Scene
from training.world.skies import TINT
from training.world.styles import styled

COVER = {"meadow": "grass", "snow": "drift", "desert": "drift", "beach": "drift", "forest": "grass",
         "moon": "drift", "under water": "drift", "mountains": "grass"}  # fmt: skip


@lru_cache(maxsize=3000)
def sprite(name: str, pose: str, width: int, height: int, mirrored: bool) -> Image.Image:
    """An object's picture at a size in pixels, RGBA."""
    art = figures.art(name, pose).resize(
        (width, height), Image.Resampling.LANCZOS, reducing_gap=2.0
    )
    return art.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else art


@lru_cache(maxsize=500)
def _shadow(width: int) -> Image.Image:
    """A contact shadow for something of that width: dark where it stands, soft around, L."""
    w, h = round(width * 1.5), max(8, round(width * 0.42))
    image = Image.new("L", (w, h), 0)
    draw = ImageDraw.Draw(image)
    for k, dark in ((1.0, 74), (0.72, 128), (0.5, 150)):
        rx, ry = width * 0.52 * k, width * 0.11 * k
        draw.ellipse((w / 2 - rx, h / 2 - ry, w / 2 + rx, h / 2 + ry), fill=dark)
    return image.filter(ImageFilter.GaussianBlur(width * 0.035 + 1))


@lru_cache(maxsize=200)
def _cover(kind: str, width: int, variant: int) -> Image.Image:
    """What hides the lowest edge of something that stands in grass or in snow, L."""
    h = max(4, round(width * (0.05 if kind == "grass" else 0.04)))
    rng = np.random.default_rng(variant)
    x = np.arange(width)
    if kind == "grass":
        blades = rng.uniform(0.0, 1, width) ** 1.5
        edge = h * (0.9 - blades * 0.9)
    else:
        edge = h * (
            0.55 + 0.3 * np.sin(x / width * 6.3 * rng.uniform(0.6, 1.6) + rng.uniform(0, 6))
        )
    mask = np.clip(np.arange(h)[:, None] - edge[None] + 0.5, 0, 1)
    return Image.fromarray((mask * 255).astype(np.uint8))


def _pixels(item: Item) -> tuple[int, int]:
    """Width and height to draw it at: in steps, so that few sizes need be kept."""
    k = 4 * max(1, round(max(item.width, item.height) / 4)) / max(item.width, item.height)
    return max(2, round(item.width * k)), max(2, round(item.height * k))


def tinted(art: Image.Image, factors: tuple[float, float, float]) -> Image.Image:
    """An RGBA picture with its colours multiplied."""
    if factors == (1, 1, 1):
        return art
    table = [min(255, round(v * f)) for f in factors for v in range(256)] + list(range(256))
    return art.point(table)


def put(
    picture: Image.Image, item: Item, place: str, tint: tuple[float, float, float], rng: Random
) -> None:
    """Draws one object with its shadow, or its reflection in the water."""
    pose = item.pose if item.pose in ("riding", "table") else "standing"
    width, height = _pixels(item)
    if item.name in SHAPES:  # their colour is what they are: yellow stays yellow in the evening
        tint = tuple(1 - (1 - factor) * 0.4 for factor in tint)
    art = tinted(sprite(item.name, pose, width, height, item.mirrored), tint)
    left, top = round(item.x - width / 2), round(item.y - height)
    foot = top + height
    if item.pose == "afloat":
        _afloat(picture, art, left, top, rng)
        return
    if item.pose == "table":
        picture.paste(art, (left, top), art)
        return
    if item.pose == "standing":
        spread = min(width, round(height * 1.3))
        shadow = _shadow(max(8, spread // 4 * 4))
        at = (round(item.x - shadow.width / 2), round(foot - shadow.height * 0.58))
        picture.paste((14, 12, 30), at, shadow)
    cover = COVER.get(place) if item.pose == "standing" else None
    if cover:
        under = picture.crop((left, foot - 14, left + width, foot))
    picture.paste(art, (left, top), art)
    if cover:
        mask = _cover(cover, width, rng.randrange(4))
        h = min(mask.height, 14)
        mask = mask.crop((0, 0, width, h))
        picture.paste(under.crop((0, 14 - h, width, 14)), (left, foot - h), mask)


def _afloat(picture: Image.Image, art: Image.Image, left: int, top: int, rng: Random) -> None:
    """An object that lies in the water up to a tenth, and its mirror image in the waves."""
    sunk = round(art.height * 0.1)
    over = art.crop((0, 0, art.width, art.height - sunk))
    line = top + art.height - sunk
    deep = min(round(over.height * 0.7), SIZE - line)
    if deep > 2:
        mirror = over.transpose(Image.Transpose.FLIP_TOP_BOTTOM).crop((0, 0, over.width, deep))
        a = np.asarray(mirror)
        rows = np.arange(deep)[:, None]
        shift = (np.sin(rows * 0.9 + rng.random() * 6) * (1 + rows * 0.04)).astype(int)
        columns = np.clip(np.arange(art.width)[None] + shift, 0, art.width - 1)
        a = np.take_along_axis(a, np.repeat(columns[..., None], 4, 2), 1).copy()
        a[..., 3] = a[..., 3] * np.linspace(0.5, 0.05, deep)[:, None]
        image = Image.fromarray(a)
        picture.paste(image, (left, line), image)
    picture.paste(over, (left, top), over)
    width = art.width
    foam = _shadow(max(8, width // 4 * 4))
    foam = foam.resize((foam.width, max(3, round(width * 0.05))))
    picture.paste(
        (225, 240, 250), (left + width // 2 - foam.width // 2, line - foam.height // 2), foam
    )


def render(scene: Scene) -> Image.Image:
    """The scene as an RGB picture of 256 x 256."""
    rng, grain = Random(scene.seed), np.random.default_rng(scene.seed)
    variant, left, top, mirrored = scene.painting
    back, _ = places.backdrop(scene.place, scene.light, variant, left, top, mirrored)
    picture = Image.fromarray(np.ascontiguousarray(back))
    if scene.place not in places.PLAIN:
        bright = rng.uniform(0.92, 1.08)
        picture = picture.point([min(255, round(v * bright)) for v in range(256)] * 3)
    tint = TINT[scene.light]
    if scene.place == "synthwave":
        tint = (0.92, 0.7, 0.95)
    elif scene.place == "under water":
        tint = (0.78, 0.94, 1.0)
    elif scene.place in ("room", "table") and scene.light == "night":
        tint = (0.86, 0.74, 0.66)
    elif scene.light == "night":
        tint = (0.64, 0.68, 0.92)
    for item in scene.items:
        put(picture, item, scene.place, tint, rng)
    if scene.place == "snow" and rng.random() < 0.5:
        picture = _snowing(picture, grain)
    return styled(picture, scene.style, grain)


def _snowing(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Flakes before everything."""
    a = np.asarray(picture).copy()
    n = int(rng.integers(40, 200))
    y, x, big = rng.integers(0, SIZE - 2, n), rng.integers(0, SIZE - 2, n), rng.random(n) < 0.35
    a[y, x] = 250
    for dy, dx in ((0, 1), (1, 0), (1, 1)):
        a[y[big] + dy, x[big] + dx] = 246
    return Image.fromarray(a)


def outline(item: Item) -> np.ndarray:
    """Where the object is, (256, 256) of True and False, nothing before it."""
    pose = item.pose if item.pose in ("riding", "table") else "standing"
    width, height = _pixels(item)
    art = sprite(item.name, pose, width, height, item.mirrored).getchannel("A")
    whole = Image.new("L", (SIZE, SIZE), 0)
    whole.paste(art, (round(item.x - width / 2), round(item.y - height)))
    return np.asarray(whole) > 127


def object_map(scene: Scene) -> np.ndarray:
    """Which object covers each of the latents' 16 x 16 places: 0 for none, else 1 + its number."""
    cells = np.zeros((16, 16), np.uint8)
    for item in scene.items:
        there = outline(item).reshape(16, 16, 16, 16).mean((1, 3)) > 0.35
        cells[there] = 1 + NAMES.index(item.name)
    return cells
