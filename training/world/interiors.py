"""Places indoors, painted: a room and a table."""

from __future__ import annotations

import numpy as np

from training.world.canvas import (
    SIDE,
    blurred,
    disc,
    glow,
    hill,
    line,
    mix,
    noise,
    slanted,
    vertical,
)
from training.world.landscapes import lit
from training.world.skies import sky

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
        rug = np.array(
            ((190, 70, 66), (70, 104, 150), (224, 190, 120), (100, 140, 110))[rng.integers(4)]
        ) * _lamp(light)
        x, y, rx = rng.uniform(90, 200), hor + n * rng.uniform(0.45, 0.7), rng.uniform(70, 130)
        for k, tone in ((1, 0.8), (0.93, 1.15), (0.86, 0.95)):
            disc(picture, x, y, rx * k, rx * 0.26 * k, rug * tone)
    if light == "night":
        picture = glow(
            picture, rng.uniform(40, 240), rng.uniform(10, 90), 130, (255, 214, 140), 0.35
        )
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


def _window(
    rng: np.random.Generator, picture: np.ndarray, x: int, y: int, w: int, h: int, light: str
) -> None:
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
        cloth = np.array(
            ((200, 80, 80), (90, 120, 170), (236, 220, 190), (120, 150, 120))[rng.integers(4)]
        ) * _lamp(light)
        for a, b in ((x - 14, x + 10), (x + w - 10, x + w + 14)):
            a, b = max(0, a), min(SIDE, b)
            if a < b:
                folds = 0.88 + 0.14 * np.sin(np.arange(a, b) / 2.1)
                picture[y - 8 : y + h + 12, a:b] = cloth * folds[None, :, None]


def _picture(
    rng: np.random.Generator, picture: np.ndarray, x: int, y: int, w: int, h: int, lamp: np.ndarray
) -> None:
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
    rings = np.sin(
        depth * 0.9
        + np.sin(across / 60 + rng.uniform(0, 6)) * 3
        + noise(rng, n, SIDE, (4, 2), 3) * 6
    )
    grain = slanted(rng, n, SIDE, 1.2, 5)
    body = wood * (1 + 0.035 * rings + 0.03 * grain)[..., None]
    top = body * np.linspace(1.1, 0.88, n)[:, None, None]
    half = (SIDE * 0.5 + 60) / far[:, 0] * (n / (n * 0.5)) * 0.5 + rng.uniform(0, 60)
    edge = np.clip(half[:, None] - np.abs(np.arange(SIDE)[None] - SIDE / 2) + 0.5, 0, 1)
    picture[hor:] = mix(picture[hor:] * 0.6, top, edge)
    picture[hor : hor + 2] *= 1.1
    return glow(
        picture, rng.uniform(60, 230), hor + n * 0.3, 90, (255, 250, 236) * _lamp(light), 0.16
    ), hor + 12
