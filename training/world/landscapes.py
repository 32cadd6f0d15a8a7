"""Places of nature, painted: meadow, sea, beach, desert.

Each function takes a generator and a light and gives (picture, horizon): floats
(288, 288, 3) in [0, 255], and the row of pixels where the ground begins.
"""

from __future__ import annotations

import numpy as np

from training.world.canvas import (
    SIDE,
    Color,
    below,
    disc,
    hill,
    line,
    mix,
    slanted,
)  # fmt: skip
from training.world.skies import TINT, sky


def lit(color: Color, light: str, depth: float = 0.0, haze: Color = (190, 205, 225)) -> np.ndarray:
    """A colour under a light; `depth` in [0, 1] mixes in the haze of the distance."""
    tint = np.asarray(TINT[light], np.float32) * (0.8 if light == "night" else 1.0)
    return (np.asarray(color) * (1 - depth) + np.asarray(haze) * depth) * tint


def horizon_between(rng: np.random.Generator, low: int = 140, high: int = 186) -> int:
    """A row for the ground to begin at."""
    return int(rng.integers(low, high))


def meadow(rng: np.random.Generator, light: str) -> tuple[np.ndarray, int]:
    """Hills, a field of grass, perhaps flowers and far trees."""
    hor = horizon_between(rng)
    picture = sky(rng, light, hor)
    green = np.array(((104, 176, 72), (128, 190, 84), (96, 160, 62))[rng.integers(3)], np.float32)
    for depth, lift in ((0.5, 16), (0.25, 6)):
        if rng.random() < 0.75:
            ys = hor - lift + line(rng, SIDE, 1.2, 3) * rng.uniform(5, 16)
            hill(picture, ys, lit(green * 0.85, light, depth), lit(green * 0.7, light, depth))
            if rng.random() < 0.7:
                _far_trees(rng, picture, ys, lit((58, 112, 62), light, depth))
    n = SIDE - hor
    ys = hor + line(rng, SIDE, 0.6, 2) * 3
    hill(picture, ys, lit(green * 1.06, light), lit(green * 0.66, light))
    grass = slanted(rng, n, SIDE, 0.9, 3) * 9 + slanted(rng, n, SIDE, 2.5, 4) * 6
    picture[hor:] += grass[..., None] * lit((0.7, 1, 0.4), light)
    if rng.random() < 0.6:
        colors = [(255, 255, 255), (255, 214, 60), (240, 84, 110), (176, 116, 236), (255, 150, 60)]
        some = [colors[i] for i in rng.choice(5, rng.integers(1, 4), replace=False)]
        for _ in range(rng.integers(30, 150)):
            near = rng.random() ** 1.4
            y, size = hor + 5 + near * (n - 6), 0.8 + 2.0 * near
            color = lit(some[rng.integers(len(some))], light)
            picture = disc(picture, rng.uniform(0, SIDE), y, size, size * 0.8, color)
    return picture, hor


def _far_trees(rng: np.random.Generator, picture: np.ndarray, ys: np.ndarray, color: Color) -> None:
    """Round crowns along an outline."""
    for _ in range(rng.integers(3, 26)):
        x, r = int(rng.integers(0, SIDE)), rng.uniform(2.5, 6)
        tone = np.asarray(color) * rng.uniform(0.8, 1.12)
        disc(picture, x, ys[x] - r * 0.7, r, r * rng.uniform(0.8, 1.5), tone)


def water(
    rng: np.random.Generator, picture: np.ndarray, top: int, deep: Color, mirror: float = 0.6
) -> np.ndarray:
    """Fills from row `top` down with water that mirrors what stands above it, in waves."""
    n = SIDE - top
    rows = np.clip(top - 1 - (np.arange(n) * top / n * 0.9), 0, top - 1).astype(int)
    above = picture[rows]
    waves = slanted(rng, n, SIDE, rng.uniform(0.5, 1.1), 5)
    near = np.linspace(0, 1, n)[:, None]
    shift = (waves * (2 + 8 * near)).astype(int)
    columns = np.clip(np.arange(SIDE)[None] + shift, 0, SIDE - 1)
    seen = np.take_along_axis(above, np.repeat(columns[..., None], 3, 2), 1)
    share = mirror * (1 - 0.55 * near) * np.ones((1, SIDE))
    color = mix(np.broadcast_to(np.asarray(deep, np.float32), (n, SIDE, 3)), seen, share)
    picture[top:] = color + (waves * (6 + 6 * near))[..., None] * (seen.mean() / 160 + 0.25)
    return picture


def sea(rng: np.random.Generator, light: str) -> tuple[np.ndarray, int]:
    """Open water with the sky in it, and the sun's path where the sun stands low."""
    hor = horizon_between(rng, 120, 176)
    picture = sky(rng, light, hor)
    if rng.random() < 0.35:  # an island or a coast far away
        ys = hor - np.clip(line(rng, SIDE, 1.3, 4) * 20 - rng.uniform(-2, 6), 0, None)
        hill(picture, ys, lit((110, 130, 150), light, 0.4), lit((96, 120, 140), light, 0.4))
    deep = ((28, 104, 168), (24, 128, 160), (44, 92, 140))[rng.integers(3)]
    return water(rng, picture, hor, lit(deep, light), 0.62), hor


def beach(rng: np.random.Generator, light: str) -> tuple[np.ndarray, int]:
    """Sand before the sea, with a line of foam."""
    picture, sea_line = sea(rng, light)
    shore = sea_line + rng.uniform(14, 34)
    ys = (
        shore
        + line(rng, SIDE, 0.7, 2) * rng.uniform(3, 8)
        + np.linspace(-1, 1, SIDE) * rng.uniform(-10, 10)
    )
    foam = below(ys - 5 + line(rng, SIDE, 6, 3) * 1.6) * (1 - below(ys + 1))
    picture = mix(picture, lit((250, 252, 252), light), foam * 0.9)
    sand = np.array(((240, 214, 160), (232, 204, 150), (246, 226, 182))[rng.integers(3)])
    n = int(ys.min())
    texture = np.zeros((SIDE, SIDE), np.float32)
    texture[n:] = slanted(rng, SIDE - n, SIDE, 1.5, 2) * 5 + slanted(rng, SIDE - n, SIDE, 4) * 3
    hill(picture, ys, lit(sand * (0.78, 0.76, 0.74), light), lit(sand * 0.97, light), texture)
    wet = below(ys) * (1 - below(ys + 10))
    return mix(picture, lit(sand * 0.62, light), wet * 0.45), int(shore)


def desert(rng: np.random.Generator, light: str) -> tuple[np.ndarray, int]:
    """Dunes, each with a lit and a shaded side; perhaps far rocks."""
    hor = horizon_between(rng)
    picture = sky(rng, light, hor)
    if rng.random() < 0.4:  # table mountains
        steps = np.repeat(rng.uniform(-6, 34, 9), SIDE // 9 + 1)[:SIDE]
        soft = np.convolve(np.pad(steps, 4, "edge"), np.ones(9) / 9, "valid")
        ys = hor - np.clip(soft, 0, None) + line(rng, SIDE, 8, 3)
        hill(picture, ys, lit((186, 96, 66), light, 0.2), lit((160, 84, 66), light, 0.25))
    sand = np.array(((238, 190, 116), (226, 168, 96), (244, 206, 142))[rng.integers(3)])
    sun = 1 if rng.random() < 0.5 else -1
    lows = (hor - 4, hor + 12, hor + 44)
    for i, y in enumerate(lows[: rng.integers(2, 4)]):
        ys = y + line(rng, SIDE, 0.9 + 0.5 * rng.random(), 2) * (6 + 4 * i)
        grain = np.zeros((SIDE, SIDE), np.float32)
        grain[hor:] = slanted(rng, SIDE - hor, SIDE, 0.8, 6) * 5
        tone = sand * (1 - 0.07 * i)
        hill(picture, ys, lit(tone * 1.05, light, 0.12 - 0.05 * i), lit(tone * 0.84, light), grain)
        slope = np.clip(np.gradient(ys) * sun * 2.2, 0, 1)
        width = 10 + 14 * i + line(rng, SIDE, 2, 2) * 4
        shade = below(ys) * np.clip(1 - (np.arange(SIDE)[:, None] - ys) / width, 0, 1) * slope
        picture = mix(picture, lit(tone * (0.62, 0.55, 0.55), light), shade * 0.8)
    return picture, hor
