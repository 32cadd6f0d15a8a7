"""Places of people and of space, painted: city, room, table, synthwave, moon, space."""

from __future__ import annotations

import numpy as np

from training.world.canvas import (
    SIDE, Color, blurred, disc, glow, hill, line, mix, noise, slanted, vertical,
)  # fmt: skip
from training.world.landscapes import lit, water
from training.world.skies import sky, stars


def city(rng: np.random.Generator, light: str) -> tuple[np.ndarray, int]:
    """Rows of houses with lit windows, and a street."""
    hor = int(rng.integers(166, 196))
    picture = sky(rng, light, hor)
    tones = [(150, 160, 178), (178, 150, 136), (120, 132, 158), (196, 178, 150), (136, 120, 130), (168, 96, 84)]
    for row, (depth, low, high, wide) in enumerate(((0.55, 70, 150, 22), (0.25, 44, 128, 32), (0.0, 20, 96, 46))):
        if row == 0 and rng.random() < 0.2:
            continue
        x = -rng.uniform(0, 30)
        while x < SIDE:
            w = wide * rng.uniform(0.7, 1.3)
            if row < 2 or rng.random() < 0.72:
                tone = np.array(tones[rng.integers(6)])
                _house(rng, picture, x, x + w, hor - rng.uniform(low, high), hor + 2, tone, light, depth)
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
        dash = ((np.arange(SIDE)[None] + rng.integers(0, 60)) % 56 < 34) & (np.abs(rows - mid) < half)
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
    shade = np.linspace(1.06, 0.84, b - a)[None, :, None] * np.linspace(0.96, 1.0, y1 - y0)[:, None, None]
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
    picture = vertical([(0, ends[0]), (hor / SIDE * 0.6, ends[1]), (hor / SIDE, ends[2]), (1, ends[2])])
    picture = stars(rng, picture, int(rng.integers(40, 160)), int(hor * 0.8))
    x, r = rng.uniform(100, 188), rng.uniform(48, 76)
    y = hor - r * rng.uniform(0.25, 0.75)
    picture = glow(picture, x, y, r * 1.7, (255, 90, 170), 0.6)
    sun = vertical([(0, (255, 232, 110)), (0.5, (255, 140, 90)), (1, (255, 50, 150))], int(2 * r), SIDE)
    face = picture.copy()
    top = int(y - r)
    face[max(0, top) : top + int(2 * r)] = sun[max(0, -top) :][: SIDE - max(0, top)]
    rows = np.arange(SIDE)[:, None]
    t = (rows - (y - r)) / (2 * r)  # 0 at the sun's upper edge
    bars = (t > 0.42) & (((rows - y) % (r * 0.17)) < r * 0.17 * (0.15 + 0.55 * np.clip(t - 0.42, 0, 1)))
    round_ = np.clip(r - np.hypot(np.arange(SIDE)[None] - x, rows - y) + 0.5, 0, 1)
    picture = mix(picture, face, round_ * (~bars))
    if rng.random() < 0.6:  # hills in the dark
        ys = hor - np.clip(line(rng, SIDE, 2, 4) * 26 + 4, 0, None) * (np.abs(np.arange(SIDE) - x) / 110 + 0.1).clip(0, 1.2)
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
        np.clip(1 - np.abs((down + 13) % 26 - 13) / (far * far * 0.5 + 0.3), 0, 1) * np.clip(4 / far, 0, 1),
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
        color = np.array(((226, 150, 96), (150, 120, 200), (96, 170, 190), (206, 190, 160))[rng.integers(4)])
        disc(picture, x, y, r, r, color * 0.5)
        disc(picture, x - r * 0.14, y - r * 0.12, r * 0.84, r * 0.84, color * 0.78, 0.8)
        disc(picture, x - r * 0.26, y - r * 0.24, r * 0.56, r * 0.56, color, 0.7)
    return picture, SIDE


WALLS = [(222, 204, 178), (176, 202, 190), (206, 186, 208), (190, 202, 222), (230, 190, 170),
         (150, 176, 190), (224, 214, 150), (196, 120, 104)]  # fmt: skip


def room(rng: np.random.Generator, light: str) -> tuple[np.ndarray, int]:
    """A wall with a window, a picture or a shelf, a wooden floor and a rug; lamplight by night."""
    hor = int(rng.integers(172, 204))
    picture = _wall(rng, light, hor)
    n = SIDE - hor
    woods = ((176, 122, 76), (150, 98, 62), (200, 156, 108), (120, 88, 70))
    wood = np.array(woods[rng.integers(4)]) * _lamp(light)
    picture[hor:] = _planks(rng, wood, n)
    picture[hor - 6 : hor] = np.array((238, 234, 226)) * _lamp(light)
    picture[hor : hor + 3] *= 0.75
    if rng.random() < 0.6:
        rug = np.array(((190, 70, 66), (70, 104, 150), (224, 190, 120), (100, 140, 110))[rng.integers(4)]) * _lamp(light)
        x, y, rx = rng.uniform(90, 200), hor + n * rng.uniform(0.45, 0.7), rng.uniform(70, 130)
        for k, tone in ((1, 0.8), (0.93, 1.15), (0.86, 0.95)):
            disc(picture, x, y, rx * k, rx * 0.26 * k, rug * tone)
    if light == "night":
        picture = glow(picture, rng.uniform(40, 240), rng.uniform(10, 90), 130, (255, 214, 140), 0.35)
    return picture, hor + 8


def _lamp(light: str) -> np.ndarray:
    """Factors of red, green, blue indoors."""
    return np.array({"night": (0.72, 0.6, 0.52), "sunset": (1.0, 0.86, 0.76), "dawn": (1.0, 0.95, 0.92)}.get(
        light, (1.0, 1.0, 1.0)))  # fmt: skip


def _wall(rng: np.random.Generator, light: str, hor: int) -> np.ndarray:
    """A wall with what hangs on it."""
    wall = np.array(WALLS[rng.integers(len(WALLS))]) * _lamp(light)
    picture = vertical([(0, wall * 1.04), (hor / SIDE, wall * 0.92), (1, wall * 0.92)])
    if rng.random() < 0.3:  # wallpaper
        stripes = np.sin(np.arange(SIDE) / rng.uniform(3, 7)) > 0
        picture *= (1 - 0.05 * stripes)[None, :, None]
    if rng.random() < 0.75:
        x, w, h = rng.uniform(10, 200), rng.uniform(58, 92), rng.uniform(64, 96)
        _window(rng, picture, int(x), int(rng.uniform(18, 46)), int(w), int(h), light)
    if rng.random() < 0.6:
        x, w, h = rng.uniform(6, 230), rng.uniform(30, 60), rng.uniform(28, 52)
        _picture(rng, picture, int(x), int(rng.uniform(24, 70)), int(w), int(h), _lamp(light))
    return picture


def _window(rng: np.random.Generator, picture: np.ndarray, x: int, y: int, w: int, h: int, light: str) -> None:
    """A window with the sky of the hour in it."""
    w, h = min(w, SIDE - x - 2), min(h, SIDE - y - 2)
    frame = np.array((244, 242, 236)) * _lamp(light)
    picture[y - 4 : y + h + 6, max(0, x - 4) : x + w + 4] = frame
    view = sky(rng, light, 180)[60 : 60 + h, 60 : 60 + w]
    hills = h * 0.8 + line(rng, w, 1.5, 3) * 6
    hill(view, hills, lit((110, 160, 100), light), lit((80, 130, 80), light))
    picture[y : y + h, x : x + w] = view[:, : picture[y : y + h, x : x + w].shape[1]]
    picture[y : y + h, x + w // 2 - 1 : x + w // 2 + 2] = frame * 0.96
    picture[y + h // 2 - 1 : y + h // 2 + 2, x : x + w] = frame * 0.96
    picture[y + h + 4 : y + h + 9, max(0, x - 7) : x + w + 7] = frame * 0.86
    if rng.random() < 0.5:  # curtains
        cloth = np.array(((200, 80, 80), (90, 120, 170), (236, 220, 190), (120, 150, 120))[rng.integers(4)]) * _lamp(light)
        for a, b in ((x - 14, x + 10), (x + w - 10, x + w + 14)):
            a, b = max(0, a), min(SIDE, b)
            if a < b:
                folds = 0.88 + 0.14 * np.sin(np.arange(a, b) / 2.1)
                picture[y - 8 : y + h + 12, a:b] = cloth * folds[None, :, None]


def _picture(rng: np.random.Generator, picture: np.ndarray, x: int, y: int, w: int, h: int, lamp: np.ndarray) -> None:
    """A framed landscape."""
    w = min(w, SIDE - x - 4)
    frame = np.array(((110, 76, 48), (214, 180, 96), (50, 50, 56))[rng.integers(3)]) * lamp
    picture[y - 4 : y + h + 4, x - 4 : x + w + 4] = frame
    view = vertical([(0, (150, 196, 226)), (1, (240, 224, 190))], h, w)
    hill(view, h * 0.6 + line(rng, w, 1.2, 3) * 5, rng.uniform(60, 200, 3), rng.uniform(40, 160, 3))
    picture[y : y + h, x : x + w] = view * lamp


def _planks(rng: np.random.Generator, wood: np.ndarray, n: int) -> np.ndarray:
    """Floor boards that run away from us, (n, 288, 3)."""
    far = n / (np.arange(n, dtype=np.float32)[:, None] + n * 0.25)
    across = (np.arange(SIDE)[None] - SIDE / 2 + rng.uniform(-40, 40)) * far
    board = np.floor(across / 26).astype(int)
    tone = rng.uniform(0.86, 1.1, 512)[board % 512]
    gap = np.abs((across / 26) % 1 - 0.5) > 0.5 - 0.03 * np.clip(far, 0, 2)
    grain = slanted(rng, n, SIDE, 1.6, 1) * 3
    color = wood * (tone * np.where(gap, 0.66, 1.0))[..., None] + grain[..., None]
    return color * np.linspace(0.84, 1.06, n)[:, None, None]


def table(rng: np.random.Generator, light: str) -> tuple[np.ndarray, int]:
    """A table top that we look down on, before a room out of focus."""
    hor = int(rng.integers(96, 132))
    picture = _wall(rng, light, hor + 70)
    picture = blurred(np.roll(picture, -60, 0), 4)
    n = SIDE - hor
    woods = ((178, 120, 72), (140, 90, 58), (208, 166, 118), (112, 74, 56), (232, 224, 212))
    wood = np.array(woods[rng.integers(5)]) * _lamp(light)
    far = n / (np.arange(n, dtype=np.float32)[:, None] + n * 0.5)
    across = (np.arange(SIDE)[None] - SIDE / 2) * far
    depth = np.repeat(far * 60, SIDE, 1)
    rings = np.sin(depth * 0.9 + np.sin(across / 60 + rng.uniform(0, 6)) * 3 + noise(rng, n, SIDE, (4, 2), 3) * 6)
    grain = slanted(rng, n, SIDE, 1.2, 5)
    body = wood * (1 + 0.035 * rings + 0.03 * grain)[..., None]
    top = body * np.linspace(1.1, 0.88, n)[:, None, None]
    half = (SIDE * 0.5 + 60) / far[:, 0] * (n / (n * 0.5)) * 0.5 + rng.uniform(0, 60)
    edge = np.clip(half[:, None] - np.abs(np.arange(SIDE)[None] - SIDE / 2) + 0.5, 0, 1)
    picture[hor:] = mix(picture[hor:] * 0.6, top, edge)
    picture[hor : hor + 2] *= 1.1
    return glow(picture, rng.uniform(60, 230), hor + n * 0.3, 90, (255, 250, 236) * _lamp(light), 0.16), hor + 12
