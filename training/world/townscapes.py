"""Places of people and of space, painted: city, synthwave, moon, space."""

from __future__ import annotations

import numpy as np

from training.world.canvas import (
    SIDE,
    disc,
    glow,
    hill,
    line,
    mix,
    noise,
    slanted,
    vertical,
)  # fmt: skip
from training.world.landscapes import lit, water
from training.world.skies import sky, stars


def city(rng: np.random.Generator, light: str) -> tuple[np.ndarray, int]:
    """Rows of houses with lit windows, and a street."""
    hor = int(rng.integers(166, 196))
    picture = sky(rng, light, hor)
    tones = [
        (150, 160, 178),
        (178, 150, 136),
        (120, 132, 158),
        (196, 178, 150),
        (136, 120, 130),
        (168, 96, 84),
    ]
    for row, (depth, low, high, wide) in enumerate(
        ((0.55, 70, 150, 22), (0.25, 44, 128, 32), (0.0, 20, 96, 46))
    ):
        if row == 0 and rng.random() < 0.2:
            continue
        x = -rng.uniform(0, 30)
        while x < SIDE:
            w = wide * rng.uniform(0.7, 1.3)
            if row < 2 or rng.random() < 0.72:
                tone = np.array(tones[rng.integers(6)])
                _house(
                    rng,
                    picture,
                    x,
                    x + w,
                    hor - rng.uniform(low, high),
                    hor + 2,
                    tone,
                    light,
                    depth,
                )
            x += w + rng.uniform(0, 8 if row < 2 else 26)
    n = SIDE - hor
    road = np.array((112, 112, 122)) * rng.uniform(0.85, 1.1)
    hill(picture, np.full(SIDE, hor - 1.0), lit(road * 1.1, light), lit(road * 0.75, light))
    picture[hor:] += (slanted(rng, n, SIDE, 2, 1) * 3.5)[..., None]
    kerb = hor + n * rng.uniform(0.1, 0.18)
    picture[hor : int(kerb)] = mix(picture[hor : int(kerb)], lit((178, 172, 168), light), 0.75)
    rows = np.arange(SIDE)[:, None]
    if rng.random() < 0.6:  # the line in the road's middle
        mid, half = hor + n * 0.5, n * 0.025
        dash = ((np.arange(SIDE)[None] + rng.integers(0, 60)) % 56 < 34) & (
            np.abs(rows - mid) < half
        )
        picture = mix(picture, lit((238, 232, 214), light), dash * 0.7)
    if light in ("night", "sunset"):
        for _ in range(rng.integers(2, 7)):
            x, y = rng.uniform(0, SIDE), hor + rng.uniform(4, n)
            picture = glow(picture, x, y, rng.uniform(10, 40), (255, 196, 110), 0.2)
    return picture, int(kerb)


def _house(
    rng: np.random.Generator, picture: np.ndarray, x0: float, x1: float, top: float, foot: float,
    tone: np.ndarray, light: str, depth: float,
) -> None:  # fmt: skip
    """A block with rows of windows, some of them lit when it is dark."""
    a, b, y0, y1 = max(0, int(x0)), min(SIDE, int(x1)), max(0, int(top)), min(SIDE, int(foot))
    if a >= b:
        return
    haze = (196, 206, 222)
    wall = lit(tone * (0.8 if light == "night" else 1), light, depth, haze)
    shade = (
        np.linspace(1.06, 0.84, b - a)[None, :, None]
        * np.linspace(0.96, 1.0, y1 - y0)[:, None, None]
    )
    picture[y0:y1, a:b] = wall * shade
    dark = light in ("night", "sunset")
    step, size = (7, 4) if depth else (10, 6)
    for y in range(y0 + 5, y1 - size, step + 1):
        for x in range(int(x0) + 4, int(x1) - size, step):
            if x < 0 or x + size > SIDE:
                continue
            on = rng.random() < (0.5 if light == "night" else 0.25)
            if dark and on:
                pane = np.array((255, 220, 130)) * rng.uniform(0.75, 1.0)
            else:
                pane = lit((150, 190, 220) if not dark else (70, 84, 120), light, depth * 0.6, haze)
            picture[y : y + size, x : x + size - 1] = pane


def synthwave(rng: np.random.Generator, light: str) -> tuple[np.ndarray, int]:
    """A striped sun in a violet sky, above a grid of light or a sea that mirrors it."""
    hor = int(rng.integers(150, 180))
    ends = (((26, 6, 66), (120, 20, 120), (250, 80, 160)), ((14, 8, 54), (80, 20, 130), (255, 110, 140)),
            ((8, 10, 50), (60, 20, 120), (230, 60, 190)))[rng.integers(3)]  # fmt: skip
    picture = vertical(
        [(0, ends[0]), (hor / SIDE * 0.6, ends[1]), (hor / SIDE, ends[2]), (1, ends[2])]
    )
    picture = stars(rng, picture, int(rng.integers(40, 160)), int(hor * 0.8))
    x, r = rng.uniform(100, 188), rng.uniform(48, 76)
    y = hor - r * rng.uniform(0.25, 0.75)
    picture = glow(picture, x, y, r * 1.7, (255, 90, 170), 0.6)
    sun = vertical(
        [(0, (255, 232, 110)), (0.5, (255, 140, 90)), (1, (255, 50, 150))], int(2 * r), SIDE
    )
    face = picture.copy()
    top = int(y - r)
    face[max(0, top) : top + int(2 * r)] = sun[max(0, -top) :][: SIDE - max(0, top)]
    rows = np.arange(SIDE)[:, None]
    t = (rows - (y - r)) / (2 * r)  # 0 at the sun's upper edge
    bars = (t > 0.42) & (
        ((rows - y) % (r * 0.17)) < r * 0.17 * (0.15 + 0.55 * np.clip(t - 0.42, 0, 1))
    )
    round_ = np.clip(r - np.hypot(np.arange(SIDE)[None] - x, rows - y) + 0.5, 0, 1)
    picture = mix(picture, face, round_ * (~bars))
    if rng.random() < 0.6:  # hills in the dark
        ys = hor - np.clip(line(rng, SIDE, 2, 4) * 26 + 4, 0, None) * (
            np.abs(np.arange(SIDE) - x) / 110 + 0.1
        ).clip(0, 1.2)
        hill(picture, ys, (58, 14, 96), (24, 6, 60))
    if rng.random() < 0.4:
        return water(rng, picture, hor, (50, 8, 90), 0.8), hor
    n = SIDE - hor
    picture[hor:] = vertical([(0, (90, 16, 120)), (0.3, (34, 6, 70)), (1, (18, 4, 48))], n)
    far = n / (np.arange(n, dtype=np.float32)[:, None] + 1.5)
    width = far * 1.1  # lines look equally wide everywhere
    across = (np.arange(SIDE)[None] - x) * far
    down = np.repeat(far * 60, SIDE, 1) + rng.uniform(0, 26)
    lines = np.maximum(
        np.clip(1 - np.abs((across + 13) % 26 - 13) / width, 0, 1),
        np.clip(1 - np.abs((down + 13) % 26 - 13) / (far * far * 0.5 + 0.3), 0, 1)
        * np.clip(4 / far, 0, 1),
    )
    neon = ((255, 70, 200), (70, 220, 255), (190, 90, 255))[rng.integers(3)]
    picture[hor:] = mix(picture[hor:], neon, lines * 0.85)
    return glow(picture, x, hor, 90, (255, 130, 190), 0.3), hor


def moon(rng: np.random.Generator, light: str) -> tuple[np.ndarray, int]:
    """Grey dust with craters under a black sky, the earth above it."""
    hor = int(rng.integers(150, 190))
    picture = vertical([(0, (2, 3, 10)), (1, (14, 14, 30))])
    picture = stars(rng, picture, int(rng.integers(90, 260)), hor)
    if rng.random() < 0.75:
        _earth(rng, picture, rng.uniform(30, 250), rng.uniform(30, 86), rng.uniform(15, 34))
    grey = np.array((186, 186, 192)) * rng.uniform(0.85, 1.06)
    if rng.random() < 0.6:
        ys = hor - 6 - np.clip(line(rng, SIDE, 1.2, 4), -0.3, 1) * rng.uniform(10, 26)
        hill(picture, ys, grey * 0.62, grey * 0.5, noise(rng, SIDE, SIDE, (10, 10), 4) * 24)
    n = SIDE - hor
    ys = hor + line(rng, SIDE, 0.8, 3) * 4
    grain = np.zeros((SIDE, SIDE), np.float32)
    grain[hor - 6 :] = slanted(rng, n + 6, SIDE, 1.4) * 9
    hill(picture, ys, grey * 0.78, grey, grain)
    for _ in range(rng.integers(5, 15)):
        near = rng.random() ** 1.5
        y, rx = hor + 8 + near * (n - 8), (5 + 30 * near) * rng.uniform(0.5, 1.2)
        x, ry = rng.uniform(0, SIDE), rx * (0.18 + 0.16 * near)
        disc(picture, x, y, rx, ry, grey * 1.16, 0.9)
        disc(picture, x, y + ry * 0.14, rx * 0.88, ry * 0.8, grey * 0.58, 0.9)
        disc(picture, x + rx * 0.08, y + ry * 0.34, rx * 0.7, ry * 0.52, grey * 0.82, 0.9)
    return picture, hor


def _earth(rng: np.random.Generator, picture: np.ndarray, x: float, y: float, r: float) -> None:
    """A blue planet with land, clouds and a dark side."""
    y0, x0, side = int(y - r - 1), int(x - r - 1), int(2 * r + 3)
    ball = np.broadcast_to(np.float32((52, 118, 214)), (side, side, 3)).copy()
    ball = mix(ball, (92, 164, 92), np.clip(noise(rng, side, side, (3, 3), 4) * 14, 0, 1))
    ball = mix(ball, (255, 255, 255), np.clip(noise(rng, side, side, (5, 3), 4) * 8 - 0.8, 0, 0.9))
    u = (np.arange(side)[None] - r) / r
    v = (np.arange(side)[:, None] - r) / r
    ball *= np.clip(1.15 - 0.75 * ((u + 0.4) ** 2 + (v + 0.35) ** 2) / 1.6, 0.18, 1.1)[..., None]
    edge = np.clip((1 - np.hypot(u, v)) * r + 0.5, 0, 1)
    ya, yb, xa, xb = max(0, y0), min(SIDE, y0 + side), max(0, x0), min(SIDE, x0 + side)
    part = slice(ya - y0, yb - y0), slice(xa - x0, xb - x0)
    picture[ya:yb, xa:xb] = mix(picture[ya:yb, xa:xb], ball[part], edge[part])


def space(rng: np.random.Generator, light: str) -> tuple[np.ndarray, int]:
    """Stars, clouds of gas and a planet or two; there is no ground."""
    picture = vertical([(0, (6, 6, 22)), (1, (12, 8, 34))])
    gases = [(120, 50, 170), (40, 90, 190), (200, 60, 120), (30, 140, 150), (220, 120, 60)]
    for i in rng.choice(5, rng.integers(1, 4), replace=False):
        cloud = np.clip(noise(rng, SIDE, SIDE, (3, 3), 5) * 2.2 - 0.15, 0, 1)
        picture = mix(picture, gases[i], cloud * rng.uniform(0.35, 0.7))
    picture = stars(rng, picture, int(rng.integers(160, 420)), SIDE)
    for _ in range(rng.integers(0, 3)):
        x, y, r = rng.uniform(10, 278), rng.uniform(10, 278), rng.uniform(9, 30)
        color = np.array(
            ((226, 150, 96), (150, 120, 200), (96, 170, 190), (206, 190, 160))[rng.integers(4)]
        )
        disc(picture, x, y, r, r, color * 0.5)
        disc(picture, x - r * 0.14, y - r * 0.12, r * 0.84, r * 0.84, color * 0.78, 0.8)
        disc(picture, x - r * 0.26, y - r * 0.24, r * 0.56, r * 0.56, color, 0.7)
    return picture, SIDE
