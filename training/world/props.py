"""Painted objects: squares, circles, cubes and balls, the chess board, the aviator's cap."""

from __future__ import annotations

from functools import cache

import numpy as np
from PIL import Image

from training.world.objects import COLORS, SHAPES
from training.world.plastic import FULL, blob, empty, image, limb, over


@cache
def shape(name: str) -> Image.Image:
    """A flat square or circle, or a shaded cube or ball."""
    color, form = SHAPES[name]
    rgb = np.asarray(COLORS[color], np.float32)
    p = empty()
    v, u = np.mgrid[0:FULL, 0:FULL].astype(np.float32) / FULL - 0.5
    if form == "ball":
        blob(p, 0.5, 0.5, 0.49, 0.49, rgb)
        shine = np.clip(1 - np.hypot((u + 0.17) / 0.13, (v + 0.2) / 0.1), 0, 1)
        over(p, (255, 255, 255), shine * 0.75 * (p[..., 3] > 250))
    elif form == "circle":
        over(p, rgb, np.clip((0.49 - np.hypot(u, v)) * FULL + 0.5, 0, 1))
    elif form == "square":
        far = (np.abs(u) ** 16 + np.abs(v) ** 16) ** (1 / 16)
        over(p, rgb, np.clip((0.49 - far) * FULL + 0.5, 0, 1))
    else:  # three faces of a cube, seen from above its edge
        front = np.maximum(np.abs(u + 0.09) - 0.36, np.abs(v - 0.13) - 0.36)
        lean = u + 0.09 + (v + 0.23) * 0.78
        top = np.maximum(np.abs(lean) - 0.36, np.abs(v + 0.355) - 0.127)
        rise = v - 0.13 + (u - 0.27) * 1.28
        side = np.maximum(np.abs(rise) - 0.36, np.abs(u - 0.37) - 0.1)
        for face, tone in ((side, 0.62), (top, 1.16), (front, 0.9)):
            light = np.clip(
                rgb * (tone + 0.12 * (0.3 - v - u * 0.4))[..., None] + (30 if tone > 1 else 0),
                0,
                255,
            )
            over(p, light, np.clip(-face * FULL + 1.2, 0, 1))
    return image(p)


@cache
def chess_board() -> Image.Image:
    """A table with a board seen at a slant, and pieces of both sides on it."""
    p = empty()
    v, u = np.mgrid[0:FULL, 0:FULL].astype(np.float32) / FULL
    for x in (0.08, 0.92):
        limb(p, (x, 0.8), (x, 0.95), 0.03, (96, 62, 44))
    blob(p, 0.5, 0.86, 0.49, 0.07, (150, 100, 66), square=9)
    slant = np.clip(np.minimum(v - 0.48, 0.86 - v) * FULL, 0, 1)
    half = 0.38 + 0.11 * (v - 0.48) / 0.38
    over(
        p,
        np.array((196, 144, 98)) * (0.86 + 0.3 * (v - 0.48))[..., None],
        slant * np.clip((half - np.abs(u - 0.5)) * FULL, 0, 1),
    )
    t = (v - 0.53) / 0.28  # 0 at the far edge, 1 at the near one
    half = 0.28 + 0.09 * t
    a = (u - 0.5) / np.maximum(half, 0.01)
    inside = np.clip(
        np.minimum(np.minimum(t, 1 - t) * 0.28, (1 - np.abs(a)) * half) * FULL + 0.5, 0, 1
    )
    rim = np.clip(
        np.minimum(np.minimum(t + 0.05, 1.07 - t) * 0.28, (1.05 - np.abs(a)) * half) * FULL, 0, 1
    )
    over(p, (92, 58, 40), rim)
    deep = np.floor(np.clip(t, 0, 0.999) ** 1.12 * 6)
    odd = (np.floor((a + 1) * 3) + deep) % 2
    board = np.where(odd[..., None] > 0, (112, 70, 46), (242, 218, 176))
    over(p, board, inside)
    for row, (y, tone) in enumerate(
        (
            (0.56, (44, 42, 52)),
            (0.63, (44, 42, 52)),
            (0.73, (250, 244, 232)),
            (0.8, (250, 244, 232)),
        )
    ):
        places = (
            (0.27, 0.38, 0.5, 0.62, 0.73),
            (0.33, 0.56),
            (0.42, 0.66),
            (0.2, 0.35, 0.5, 0.65, 0.8),
        )[row]
        k = 0.8 + 0.08 * row
        for i, x in enumerate(places):
            tall = k * (0.15 if row in (1, 2) else (0.15, 0.17, 0.21, 0.17, 0.15)[i])
            blob(p, x, y, 0.045 * k, 0.02 * k, tone)
            blob(p, x, y - tall * 0.4, 0.024 * k, tall * 0.42, tone)
            blob(p, x, y - tall * 0.86, 0.032 * k, 0.032 * k, tone)
    return image(p)


@cache
def aviator_cap() -> Image.Image:
    """A leather cap with flaps and goggles on it, to put on a head: its face is left open."""
    p = empty()
    leather = (134, 82, 50)
    for side in (-1, 1):
        blob(p, 0.5 + side * 0.37, 0.66, 0.1, 0.26, (118, 70, 42), -side * 0.12)
    blob(p, 0.5, 0.42, 0.44, 0.36, leather)
    v, u = np.mgrid[0:FULL, 0:FULL].astype(np.float32) / FULL
    face = np.clip((1 - np.hypot((u - 0.5) / 0.34, (v - 0.8) / 0.32)) * 90, 0, 1)
    p[..., 3] *= 1 - face
    blob(p, 0.5, 0.36, 0.45, 0.05, (70, 46, 36), square=3)
    for x in (0.34, 0.66):
        blob(p, x, 0.34, 0.15, 0.12, (206, 164, 92))
        blob(p, x, 0.34, 0.115, 0.09, (132, 196, 226))
        blob(p, x - 0.03, 0.31, 0.04, 0.026, (240, 250, 255), -0.5)
    return image(p)
