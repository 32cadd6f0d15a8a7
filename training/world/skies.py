"""Skies: by day, at dawn, at sunset and at night, with clouds, a sun or a moon, and stars."""

from __future__ import annotations

import numpy as np

from training.world.canvas import SIDE, disc, glow, mix, noise, vertical

LIGHTS = ("day", "dawn", "sunset", "night")

# three stops of each light, from the zenith to the horizon, in variants
GRADIENTS = {
    "day": [((58, 132, 222), (120, 184, 240), (205, 230, 248)),
            ((84, 160, 226), (150, 205, 242), (225, 240, 250)),
            ((44, 112, 206), (110, 172, 236), (190, 222, 246)),
            ((128, 158, 188), (176, 198, 216), (222, 230, 236))],
    "dawn": [((118, 148, 214), (232, 180, 206), (255, 220, 190)),
             ((138, 164, 222), (246, 196, 196), (255, 236, 205)),
             ((110, 150, 200), (200, 200, 222), (255, 214, 176))],
    "sunset": [((58, 44, 112), (214, 84, 106), (255, 182, 88)),
               ((92, 58, 120), (240, 110, 70), (255, 208, 110)),
               ((40, 52, 110), (190, 84, 120), (255, 150, 84))],
    "night": [((6, 10, 34), (16, 26, 68), (42, 58, 108)),
              ((10, 8, 30), (26, 22, 62), (62, 52, 100)),
              ((4, 14, 30), (12, 36, 64), (36, 72, 100))],
}  # fmt: skip
CLOUD = {"day": (255, 255, 255), "dawn": (255, 226, 220), "sunset": (255, 158, 120),
         "night": (52, 62, 104)}  # fmt: skip
# what the light does to a thing's colours: factors of red, green, blue
TINT = {"day": (1.0, 1.0, 1.0), "dawn": (1.0, 0.92, 0.92), "sunset": (1.0, 0.78, 0.66),
        "night": (0.46, 0.52, 0.78)}  # fmt: skip


def sky(rng: np.random.Generator, light: str, horizon: int) -> np.ndarray:
    """A whole picture of sky whose gradient ends at the horizon."""
    a, b, c = GRADIENTS[light][rng.integers(len(GRADIENTS[light]))]
    bend = horizon / SIDE
    picture = vertical([(0, a), (bend * rng.uniform(0.45, 0.7), b), (bend, c), (1, c)])
    picture *= rng.uniform(0.96, 1.04, 3).astype(np.float32)
    if light == "night":
        picture = stars(rng, picture, int(rng.integers(60, 200)), horizon)
    picture = _body(rng, picture, light, horizon)
    if rng.random() < (0.8 if light != "night" else 0.4):
        picture = clouds(rng, picture, light, horizon)
    return picture


def stars(rng: np.random.Generator, picture: np.ndarray, count: int, lowest: int) -> np.ndarray:
    """Points of light above `lowest`, a few of them with a halo."""
    ys, xs = rng.integers(0, max(2, lowest), count), rng.integers(1, SIDE - 1, count)
    bright = rng.uniform(0.25, 1, (count, 1)) ** 1.6
    tone = rng.choice([(255, 255, 255), (255, 236, 205), (205, 222, 255)], count)
    picture[ys, xs] = picture[ys, xs] * (1 - bright) + tone * bright
    for y, x in list(zip(ys, xs))[: count // 12]:
        picture = glow(picture, x, y, 2.2, (255, 250, 240), 0.8)
    return picture


def _body(rng: np.random.Generator, picture: np.ndarray, light: str, horizon: int) -> np.ndarray:
    """The sun or the moon, or neither."""
    x = rng.uniform(20, SIDE - 20)
    if light in ("sunset", "dawn"):
        if rng.random() < 0.75:
            y, r = horizon - rng.uniform(-6, 50), rng.uniform(16, 30)
            warm = (255, 214, 130) if light == "sunset" else (255, 244, 214)
            picture = glow(picture, x, y, 110, warm, 0.55)
            picture = glow(picture, x, y, 46, (255, 240, 190), 0.7)
            picture = disc(picture, x, y, r, r, (255, 246, 208))
    elif light == "day" and rng.random() < 0.3:
        y = rng.uniform(20, 70)
        picture = glow(picture, x, y, 60, (255, 252, 230), 0.6)
        picture = disc(picture, x, y, 13, 13, (255, 255, 240))
    elif light == "night" and rng.random() < 0.7:
        y, r = rng.uniform(24, 80), rng.uniform(11, 19)
        picture = glow(picture, x, y, 48, (150, 170, 225), 0.45)
        if rng.random() < 0.5:  # a crescent: a disc less another
            round_, bite = (
                disc(np.zeros_like(picture), cx, cy, cr, cr, (1, 1, 1))[..., 0]
                for cx, cy, cr in ((x, y, r), (x + r * 0.5, y - r * 0.2, r * 0.9))
            )
            return mix(picture, (244, 240, 222), round_ * (1 - bite))
        picture = disc(picture, x, y, r, r, (244, 240, 222))
        for _ in range(4):
            dx, dy = rng.uniform(-0.5, 0.5, 2) * r
            picture = disc(picture, x + dx, y + dy, r * 0.2, r * 0.17, (214, 210, 196), 0.7)
    return picture


def clouds(rng: np.random.Generator, picture: np.ndarray, light: str, horizon: int) -> np.ndarray:
    """Heaped or drawn-out clouds, lit from above."""
    h = max(40, horizon)
    long = rng.random() < 0.45
    lumps = noise(rng, h, SIDE, (6, 2) if long else (3, 3), 6)
    cover = rng.uniform(-0.12, 0.22)
    edge = np.clip((lumps - cover) * (3.2 if long else 5), 0, 1)
    fade = np.interp(np.arange(h) / h, [0, 0.7, 1], [1, 1, 0.25]).astype(np.float32)[:, None]
    shadow = np.clip((np.roll(lumps, -5, 0) - lumps) * 3 + 0.5, 0, 1)  # its lower side is darker
    color = np.asarray(CLOUD[light], np.float32)
    body = mix(np.broadcast_to(color, (h, SIDE, 3)), picture[:h] * 0.55 + color * 0.35, 1 - shadow)
    picture[:h] = mix(picture[:h], body, edge * fade * rng.uniform(0.5, 0.95))
    return picture
