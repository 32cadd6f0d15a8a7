"""Places of nature, painted: mountains, forest, snow, under water; as in landscapes.py."""

from __future__ import annotations

import numpy as np

from training.world.canvas import (
    SIDE,
    Color,
    below,
    disc,
    glow,
    hill,
    line,
    mix,
    noise,
    slanted,
    vertical,
)
from training.world.landscapes import horizon_between, lit, water
from training.world.skies import sky


def mountains(rng: np.random.Generator, light: str) -> tuple[np.ndarray, int]:
    """A range with snow on its peaks, a wooded slope, a meadow or a lake before it."""
    hor = horizon_between(rng, 156, 196)
    picture = sky(rng, light, hor)
    snow_line = rng.uniform(0.25, 0.6)
    for depth, lift in ((0.35, 80), (0.1, 52)):
        if depth == 0.1 and rng.random() < 0.25:
            continue
        ys = hor - lift * rng.uniform(0.6, 1.1) - _peaks(rng) * rng.uniform(24, 44)
        _rocks(rng, picture, ys, hor, snow_line, light, depth)
    wood = hor - 10 + line(rng, SIDE, 1.5, 3) * 9
    hill(picture, wood, lit((58, 92, 72), light, 0.12), lit((42, 76, 56), light))
    _firs(rng, picture, wood, lit((44, 80, 62), light), int(rng.integers(0, 90)))
    n = SIDE - hor
    if rng.random() < 0.35:
        picture = water(rng, picture, hor, lit((52, 104, 130), light), 0.75)
        bank = int(hor + n * rng.uniform(0.35, 0.6))
        ys = bank + line(rng, SIDE, 0.8, 3) * 5
    else:
        ys = hor + line(rng, SIDE, 0.8, 3) * 4
    grain = np.zeros((SIDE, SIDE), np.float32)
    grain[hor:] = slanted(rng, n, SIDE, 1.1, 3) * 9
    green = np.array(((104, 150, 76), (126, 158, 84), (92, 136, 84))[rng.integers(3)])
    hill(picture, ys, lit(green, light), lit(green * 0.68, light), grain)
    return picture, int(ys.mean())


def _peaks(rng: np.random.Generator) -> np.ndarray:
    """Pointed summits, (288,) in about [-1, 1.5]."""
    x = np.arange(SIDE)
    out = np.full(SIDE, -1.0)
    for _ in range(rng.integers(3, 7)):
        top, width = rng.uniform(0, SIDE), rng.uniform(45, 110)
        out = np.maximum(out, rng.uniform(0.3, 1.5) - np.abs(x - top) / width * 2.2)
    return out + line(rng, SIDE, 7, 4) * 0.14


def _rocks(
    rng: np.random.Generator, picture: np.ndarray, ys: np.ndarray, hor: int, snow_line: float,
    light: str, depth: float,
) -> None:  # fmt: skip
    """Rock with facets lit from one side, and snow high up."""
    h = np.arange(SIDE)[:, None]
    facets = noise(rng, SIDE, SIDE, (9, 7), 5)
    lean = np.gradient(facets, axis=1) * 26 + np.gradient(ys)[None] * (
        0.6 if rng.random() < 0.5 else -0.6
    )
    shade = np.clip(0.5 + lean * 0.5, 0, 1)
    haze = (196, 208, 228)
    rock = mix(np.broadcast_to(lit((84, 84, 100), light, depth, haze), (SIDE, SIDE, 3)).astype(np.float32),
               lit((140, 132, 134), light, depth, haze), shade)  # fmt: skip
    snow = mix(np.broadcast_to(lit((178, 194, 224), light, depth, haze), (SIDE, SIDE, 3)).astype(np.float32),
               lit((252, 252, 255), light, depth * 0.5, haze), shade)  # fmt: skip
    high = (hor - h) / max(1.0, hor - ys.min())
    white = np.clip((high - snow_line + facets * 0.35) * 9, 0, 1)
    body = mix(rock, snow, white)
    body = mix(body, lit(haze, light), np.clip((h - ys[None]) / 150, 0, 0.55))
    picture[:] = mix(picture, body, below(ys))


def _firs(
    rng: np.random.Generator, picture: np.ndarray, ys: np.ndarray, color: Color, count: int,
    size: tuple[float, float] = (6, 14), cap: Color | None = None,
) -> None:  # fmt: skip
    """Pointed trees along an outline; `cap` is the colour of snow on them."""
    for _ in range(count):
        x, tall = int(rng.integers(0, SIDE)), rng.uniform(*size)
        fir(picture, x, ys[x] + 2, tall, np.asarray(color) * rng.uniform(0.8, 1.15), cap)


def fir(
    picture: np.ndarray, x: float, foot: float, tall: float, color: Color, cap: Color | None
) -> None:
    """One pointed tree of three tiers, standing on row `foot`."""
    y0, y1 = max(0, int(foot - tall)), min(SIDE, int(foot) + 1)
    half = int(tall * 0.36) + 2
    x0, x1 = max(0, int(x) - half), min(SIDE, int(x) + half)
    if y0 >= y1 or x0 >= x1:
        return
    t = np.clip((np.arange(y0, y1) - (foot - tall)) / tall, 0, 0.999)  # 0 at its tip
    tiers = 3 if tall < 30 else 6
    saw = (t * tiers) % 1.0
    tier = 0.32 * tall * (0.45 * t + 0.55 * saw * (0.25 + 0.75 * t)) * np.clip((1 - t) * 9, 0.14, 1)
    away = np.abs(np.arange(x0, x1)[None] - x)
    if tall > 30:  # ragged twigs
        tier = tier * (1 + 0.16 * np.sin(np.arange(y0, y1) * 2.1 + x))
    edge = np.clip(tier[:, None] - away + 0.5, 0, 1)
    side = np.clip(1.14 - 0.34 * (np.arange(x0, x1)[None] - x + half) / (2 * half), 0, 2)
    light = (1.1 - 0.3 * saw)[:, None] * side
    body = np.asarray(color, np.float32) * light[..., None]
    if cap is not None:
        fresh = np.clip(1.4 - saw * 2.4, 0, 1)[:, None] * np.ones((1, x1 - x0))
        body = mix(body, cap, fresh)
    picture[y0:y1, x0:x1] = mix(picture[y0:y1, x0:x1], body, edge)


def forest(rng: np.random.Generator, light: str) -> tuple[np.ndarray, int]:
    """Rows of trees that fade into the distance, round ones or firs, and a mossy ground."""
    hor = horizon_between(rng, 160, 196)
    picture = sky(rng, light, hor)
    tones = ((52, 110, 58), (74, 126, 52), (40, 92, 70), (62, 116, 48), (170, 120, 44))
    green = np.array(tones[rng.integers(5)])
    pointed = rng.random() < 0.5
    haze = (170, 200, 190)
    for row in range(4):
        depth = (0.6, 0.4, 0.2, 0.0)[row]
        foot, tall = hor - 8 + 4 * row, 70 + 34 * row
        if row == 0:
            ys = hor - 62 + line(rng, SIDE, 5, 4) * 10
            hill(picture, ys, lit(green, light, 0.65, haze), lit(green, light, 0.45, haze))
        for x in np.arange(0, SIDE, 20 + 12 * row) + rng.uniform(-12, 12):
            if row == 3 and 60 < x < SIDE - 60 and rng.random() < 0.8:
                continue  # a clearing
            color = lit(green * rng.uniform(0.75, 1.05), light, depth, haze)
            size = tall * rng.uniform(0.7, 1.15)
            x = x + rng.uniform(-9, 9)
            if pointed:
                fir(picture, x, foot + 3, size, color, None)
            else:
                _tree(
                    rng, picture, x, foot + 3, size, color, lit((104, 76, 54), light, depth, haze)
                )
    n = SIDE - hor
    moss = np.array(((96, 120, 62), (84, 108, 66), (122, 104, 66))[rng.integers(3)])
    ys = hor + line(rng, SIDE, 1, 3) * 3
    grain = np.zeros((SIDE, SIDE), np.float32)
    grain[hor - 5 :] = slanted(rng, n + 5, SIDE, 1.4, 2) * 10
    hill(picture, ys, lit(moss * 0.8, light), lit(moss * 0.62, light), grain)
    if light in ("day", "dawn") and rng.random() < 0.6:  # beams of light
        lean, start = rng.uniform(-0.6, 0.6), rng.uniform(0, 40)
        across = np.arange(SIDE)[None] + lean * np.arange(SIDE)[:, None] + start
        beams = np.clip(np.sin(across / rng.uniform(11, 22)), 0, 1) ** 3
        beams = beams * np.interp(np.arange(SIDE), [0, hor, SIDE], [0.3, 0.16, 0.03])[:, None]
        picture = mix(picture, (255, 246, 200), beams)
    return picture, hor


def _tree(
    rng: np.random.Generator, picture: np.ndarray, x: float, foot: float, tall: float,
    leaves: np.ndarray, bark: Color,
) -> None:  # fmt: skip
    """A trunk and a crown of many leafy balls, lit from above."""
    wide = tall * 0.045 + 1
    y0 = max(0, int(foot - tall * 0.6))
    x0, x1 = max(0, int(x - wide)), min(SIDE, int(x + wide) + 1)
    if x1 > x0:
        shade = np.linspace(1.15, 0.7, x1 - x0)[None, :, None]
        picture[y0 : int(foot), x0:x1] = np.asarray(bark, np.float32) * shade
    for ring, tone in ((1.0, 0.66), (0.8, 0.84), (0.56, 1.04), (0.34, 1.22)):
        for _ in range(9 if tall > 60 else 5):
            dx, up = (
                rng.uniform(-0.27, 0.27) * ring,
                0.68 + rng.uniform(-0.22, 0.2) * ring + 0.07 * (1 - ring),
            )
            r = tall * rng.uniform(0.10, 0.16) * (0.5 + 0.5 * ring)
            color = leaves * tone * rng.uniform(0.94, 1.06)
            disc(picture, x + (dx - 0.05 * (1 - ring)) * tall, foot - up * tall, r, r * 0.86, color)


def snow(rng: np.random.Generator, light: str) -> tuple[np.ndarray, int]:
    """White slopes with blue shadows, and firs with snow on them."""
    hor = horizon_between(rng)
    picture = sky(rng, light, hor)
    white, blue = np.array((246, 249, 253)), np.array((196, 212, 238))
    if rng.random() < 0.5:
        ys = hor - 20 - _peaks(rng) * 18
        _rocks(rng, picture, ys, hor, 0.1, light, 0.3)
    ys = hor - 6 + line(rng, SIDE, 0.9, 3) * 9
    hill(picture, ys, lit(white * 0.97, light), lit(blue, light))
    _firs(
        rng,
        picture,
        ys,
        lit((62, 98, 92), light, 0.15),
        int(rng.integers(0, 22)),
        (16, 46),
        lit(white, light),
    )
    ys = hor + 10 + line(rng, SIDE, 0.7, 2) * 7
    n = int(ys.min())
    grain = np.zeros((SIDE, SIDE), np.float32)
    grain[n:] = slanted(rng, SIDE - n, SIDE, 0.7, 3) * 3.5
    hill(picture, ys, lit(white, light), lit((blue + white) / 2, light), grain)
    picture[hor:] = np.minimum(picture[hor:], 252)
    return picture, hor + 8


def under_water(rng: np.random.Generator, light: str) -> tuple[np.ndarray, int]:
    """Sand, weed and coral in blue water, with beams from above and bubbles."""
    hor = horizon_between(rng, 176, 216)
    top, deep = (((96, 206, 232), (14, 74, 142)), ((80, 190, 200), (10, 80, 110)), ((70, 160, 230), (12, 44, 120)))[
        rng.integers(3)]  # fmt: skip
    picture = vertical([(0, top), (0.35, (np.array(top) + deep) / 2), (0.75, deep), (1, deep)])
    across = (
        np.arange(SIDE)[None]
        + rng.uniform(-0.7, 0.7) * np.arange(SIDE)[:, None]
        + rng.uniform(0, 60)
    )
    beams = np.clip(np.sin(across / 13) + np.sin(across / 29 + 1) * 0.8, 0, 2) / 2
    picture = mix(picture, (190, 244, 250), beams * np.linspace(0.45, 0.02, SIDE)[:, None])
    rock = hor - 14 - np.clip(line(rng, SIDE, 1.6, 4), -0.4, 1) * rng.uniform(14, 40)
    hill(
        picture,
        rock,
        np.asarray(deep) * 0.95,
        np.asarray(deep) * 0.75,
        noise(rng, SIDE, SIDE, (12, 12), 4) * 26,
    )
    for _ in range(rng.integers(2, 9)):  # weed and coral
        x, foot = rng.uniform(0, SIDE), hor + rng.uniform(-6, 12)
        color = ((60, 150, 96), (226, 96, 110), (240, 150, 90), (150, 100, 190), (40, 130, 120))[
            rng.integers(5)
        ]
        tall, phase = rng.uniform(26, 66), rng.uniform(0, 6)
        color = mix(np.asarray(color, np.float32), deep, 0.3)
        for blade in range(int(rng.integers(2, 6))):
            bx = x + (blade - 2) * 6
            for t in np.linspace(0, 1, 16):
                sway = np.sin(t * 4 + phase + blade) * 5 * t
                disc(
                    picture,
                    bx + sway,
                    foot - tall * t * (0.7 + 0.12 * blade),
                    3.4 - 2 * t,
                    4.4,
                    color * (0.75 + 0.4 * t),
                )
    sand = np.array(((214, 200, 150), (196, 190, 160), (220, 206, 170))[rng.integers(3)])
    ys = hor + line(rng, SIDE, 1.2, 3) * 5
    grain = np.zeros((SIDE, SIDE), np.float32)
    grain[hor - 8 :] = slanted(rng, SIDE - hor + 8, SIDE, 1.4, 4) * 9
    hill(
        picture,
        ys,
        mix(sand.astype(np.float32), deep, 0.45),
        mix(sand.astype(np.float32), deep, 0.18),
        grain,
    )
    for _ in range(rng.integers(0, 26)):
        x, y, r = rng.uniform(0, SIDE), rng.uniform(0, hor), rng.uniform(1.2, 5)
        disc(picture, x, y, r, r, (205, 244, 252), 0.45)
        disc(picture, x - r * 0.3, y - r * 0.3, r * 0.35, r * 0.35, (255, 255, 255), 0.9)
    return glow(picture, rng.uniform(40, 250), -20, 150, (214, 250, 255), 0.4), hor
