"""Bodies for heads and busts, in the rounded look of the artwork; and the painted objects.

Everything is painted once at 384 pixels and made smaller. Positions are parts of the picture.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from training.world.canvas import Color
from training.world.objects import ARTWORK, BUSTS, COLORS, SHAPES

FOLDER = Path(__file__).parent.parent / "artwork"
FULL = 384

# fur (or cloth), belly (or trousers), hands and feet
BODIES = {
    "cat": ((255, 178, 48), (255, 222, 140), (255, 196, 90)),
    "dog": ((190, 138, 106), (244, 222, 200), (214, 170, 140)),
    "border collie": ((52, 52, 60), (248, 248, 250), (246, 246, 248)),
    "fox": ((255, 122, 42), (255, 236, 222), (84, 58, 58)),
    "lion": ((250, 180, 74), (255, 222, 150), (250, 190, 90)),
    "tiger": ((255, 132, 44), (255, 242, 230), (255, 150, 70)),
    "bear": ((142, 92, 68), (206, 156, 122), (126, 80, 60)),
    "polar bear": ((240, 240, 246), (255, 255, 255), (232, 232, 242)),
    "panda": ((66, 62, 96), (240, 238, 250), (58, 54, 88)),
    "rabbit": ((226, 220, 232), (250, 246, 252), (236, 230, 240)),
    "pig": ((255, 124, 168), (255, 170, 198), (226, 96, 140)),
    "monkey": ((112, 70, 58), (232, 172, 150), (232, 172, 150)),
    "frog": ((44, 178, 132), (255, 222, 100), (40, 164, 122)),
    "koala": ((150, 148, 166), (216, 214, 226), (136, 134, 152)),
    "wolf": ((128, 126, 140), (222, 220, 230), (110, 108, 122)),
    "mouse": ((196, 186, 208), (240, 234, 246), (255, 176, 196)),
    "robot": ((206, 200, 224), (86, 82, 116), (160, 154, 184)),
    "old man": ((122, 92, 74), (92, 96, 112), (255, 196, 74)),
    "old woman": ((150, 98, 170), (112, 74, 130), (255, 196, 74)),
    "man": ((56, 122, 214), (64, 74, 110), (255, 196, 74)),
    "woman": ((226, 66, 84), (80, 76, 110), (255, 196, 74)),
    "boy": ((74, 176, 96), (66, 92, 150), (255, 196, 74)),
    "girl": ((246, 130, 178), (120, 90, 170), (255, 196, 74)),
    "astronaut": ((232, 228, 244), (232, 228, 244), (206, 200, 226)),
    "pilot": ((74, 72, 116), (74, 72, 116), (48, 46, 70)),
    "king": ((58, 146, 226), (58, 146, 226), (120, 76, 60)),
    "princess": ((160, 122, 222), (160, 122, 222), (120, 86, 180)),
    "wizard": ((44, 128, 210), (44, 128, 210), (96, 70, 60)),
    "ninja": ((66, 60, 92), (66, 60, 92), (48, 44, 70)),
}  # fmt: skip
# where the brow (a hat's lower edge) and the eyes are in a head, and how wide the face is there
BROWS = {"rabbit": (0.50, 0.62, 0.72), "frog": (0.22, 0.24, 0.84), "mouse": (0.34, 0.56, 0.6),
         "robot": (0.16, 0.46, 0.72), "koala": (0.26, 0.47, 0.62), "monkey": (0.16, 0.42, 0.66),
         "pig": (0.26, 0.45, 0.74), "cat": (0.32, 0.52, 0.8), "fox": (0.36, 0.6, 0.72),
         "wolf": (0.36, 0.5, 0.66), "lion": (0.24, 0.47, 0.62), "panda": (0.22, 0.5, 0.74),
         "tiger": (0.2, 0.5, 0.78), "dog": (0.14, 0.45, 0.68), "border collie": (0.14, 0.45, 0.68),
         "bear": (0.24, 0.5, 0.74), "polar bear": (0.24, 0.5, 0.74)}  # fmt: skip
PERSON = (0.2, 0.47, 0.76)


def blob(
    picture: np.ndarray, x: float, y: float, rx: float, ry: float, color: Color, turn: float = 0,
    square: float = 2.0,
) -> None:  # fmt: skip
    """A shaded egg on an RGBA picture (384, 384, 4); `square` above 2 makes it boxy."""
    reach = max(rx, ry) * (1.45 if square > 2 else 1.02) + 0.01
    (x0, x1), (y0, y1) = (
        (max(0, int((c - reach) * FULL)), min(FULL, int((c + reach) * FULL) + 1)) for c in (x, y)
    )
    v, u = np.mgrid[y0:y1, x0:x1].astype(np.float32) / FULL
    u, v = u - x, v - y
    u, v = u * np.cos(turn) + v * np.sin(turn), -u * np.sin(turn) + v * np.cos(turn)
    u, v = u / rx, v / ry
    far = (np.abs(u) ** square + np.abs(v) ** square) ** (1 / square)
    edge = np.clip((1 - far) * min(rx, ry) * FULL + 0.5, 0, 1)
    light = np.clip(1.1 - 0.42 * ((u + 0.35) ** 2 + (v + 0.5) ** 2) / 2, 0.5, 1.12)
    shadow = np.asarray(color, np.float32) * (0.72, 0.6, 0.8)  # the artwork's shadows are violet
    body = np.asarray(color, np.float32) * np.minimum(light, 1)[..., None]
    body = body + np.clip(light - 1, 0, 1)[..., None] * 140
    deep = np.clip((0.86 - light) * 2.2, 0, 1)[..., None]
    body = body * (1 - deep) + shadow * deep
    _over(picture[y0:y1, x0:x1], np.clip(body, 0, 255), edge)


def _over(picture: np.ndarray, color: np.ndarray | Color, edge: np.ndarray) -> None:
    """Paints a colour where `edge` (height, width) is 1."""
    alpha = picture[..., 3:] / 255
    share = edge[..., None]
    whole = share + alpha * (1 - share)
    picture[..., :3] = (np.asarray(color) * share + picture[..., :3] * alpha * (1 - share)) / np.maximum(whole, 1e-6)
    picture[..., 3:] = whole * 255


def _limb(picture: np.ndarray, a: Color, b: Color, r: float, color: Color) -> None:
    """An arm or a leg from a to b."""
    (ax, ay), (bx, by) = a, b
    long = float(np.hypot(bx - ax, by - ay))
    blob(picture, (ax + bx) / 2, (ay + by) / 2, long / 2 + r, r, color, float(np.arctan2(by - ay, bx - ax)), 2.6)


def image(picture: np.ndarray) -> Image.Image:
    """An RGBA picture, without its empty edges."""
    whole = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8), "RGBA")
    return whole.crop(whole.getchannel("A").point(lambda a: 255 * (a > 8)).getbbox())


@cache
def artwork(name: str) -> Image.Image:
    """An object's own artwork, RGBA, without its empty edges."""
    art = Image.open(FOLDER / f"{ARTWORK[name]}.webp").convert("RGBA")
    if name == "border collie":
        art = _collie(art)
    return art.crop(art.getchannel("A").point(lambda a: 255 * (a > 8)).getbbox())


def _collie(dog: Image.Image) -> Image.Image:
    """The dog in black and white: dark ears and cheeks, a white blaze, the tongue as it is."""
    a = np.asarray(dog).astype(np.float32)
    rgb, h, w = a[..., :3], *a.shape[:2]
    y, x = np.mgrid[0:h, 0:w] / np.array([h, w])[:, None, None]
    grey = rgb.mean(-1)
    black = np.stack([grey * 0.30 + 8, grey * 0.30 + 8, grey * 0.33 + 12], -1)
    white = np.clip(np.stack([grey * 0.5 + 132, grey * 0.5 + 131, grey * 0.5 + 134], -1), 0, 255)
    blaze = np.clip((0.045 + 0.30 * np.clip(y - 0.36, 0, 1) - np.abs(x - 0.5)) * 30, 0, 1)
    blaze = np.maximum(blaze, np.clip(1 - np.hypot((x - 0.5) / 0.24, (y - 0.68) / 0.22), 0, 0.2) * 5)
    out = black + (white - black) * np.clip(blaze, 0, 1)[..., None]
    red = np.clip((rgb[..., 0] - rgb[..., 1] - 90) / 40, 0, 1)[..., None]  # the tongue
    dark = np.clip((95 - grey) / 30, 0, 1)[..., None]  # eyes, nose and mouth
    out = out * (1 - red) + rgb * red
    eyes = np.where((np.abs(x - 0.5) > 0.1)[..., None] & (y < 0.55)[..., None], 225.0, 24.0)
    out = out * (1 - dark) + eyes * dark
    return Image.fromarray(np.dstack([out, a[..., 3]]).clip(0, 255).astype(np.uint8), "RGBA")


def _head(picture: np.ndarray, name: str, box: tuple[float, float, float, float]) -> np.ndarray:
    """The picture with the head fitted into (x, y, width, height), above its lower edge."""
    art = artwork(name)
    x, y, w, h = (v * FULL for v in box)
    k = min(w / art.width, h / art.height)
    art = art.resize((round(art.width * k), round(art.height * k)), Image.Resampling.LANCZOS)
    whole = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8), "RGBA")
    whole.alpha_composite(art, (round(x + (w - art.width) / 2), round(y + h - art.height)))
    return np.asarray(whole).astype(np.float32)


def empty() -> np.ndarray:
    """A transparent picture."""
    return np.zeros((FULL, FULL, 4), np.float32)


@cache
def figure(name: str, pose: str = "standing") -> Image.Image:
    """A whole character: "standing", "riding" (a leg to the right side) or "table" (to the waist)."""
    fur, belly, feet = BODIES[name]
    p = empty()
    if name in BUSTS:
        if pose == "standing":
            for x in (0.42, 0.58):
                _limb(p, (x, 0.74), (x, 0.9), 0.07, fur)
                blob(p, x + (x - 0.5) * 0.2, 0.95, 0.085, 0.05, feet)
        elif pose == "riding":
            blob(p, 0.5, 0.74, 0.2, 0.1, fur)
            _limb(p, (0.45, 0.76), (0.36, 0.86), 0.066, fur)
            _limb(p, (0.36, 0.86), (0.4, 0.94), 0.055, fur)
            blob(p, 0.37, 0.97, 0.075, 0.042, feet)
        return image(_head(p, name, (0.16, 0.02, 0.68, 0.76)))
    person = name in BODIES and feet == (255, 196, 74)
    if pose == "standing" and person:
        for x in (0.43, 0.57):
            _limb(p, (x, 0.8), (x, 0.92), 0.062, belly)
            blob(p, x + (x - 0.5) * 0.25, 0.955, 0.085, 0.045, (70, 60, 66))
        _torso(p, name, fur, feet, -0.05)
    elif pose == "standing":
        if name in ("cat", "fox", "lion", "tiger", "monkey", "wolf", "mouse", "border collie", "dog"):
            tip = (255, 240, 230) if name == "fox" else fur
            _limb(p, (0.6, 0.9), (0.8, 0.8), 0.035 if name in ("mouse", "monkey", "lion", "tiger") else 0.05, fur)
            blob(p, 0.82, 0.76, 0.05, 0.06, tip if name != "lion" else (142, 92, 68))
        for x in (0.38, 0.62):
            blob(p, x, 0.94, 0.1, 0.055, feet)
        blob(p, 0.5, 0.8, 0.2, 0.19, fur)
        blob(p, 0.5, 0.82, 0.125, 0.13, belly)
        for side in (-1, 1):
            _limb(p, (0.5 + side * 0.17, 0.72), (0.5 + side * 0.19, 0.84), 0.048, fur)
    elif pose == "riding":
        blob(p, 0.5, 0.76, 0.18, 0.17, fur)
        leg = belly if person else fur
        _limb(p, (0.46, 0.84), (0.37, 0.9), 0.056, leg)
        blob(p, 0.35, 0.95, 0.072, 0.042, (70, 60, 66) if person else feet)
        _limb(p, (0.4, 0.7), (0.3, 0.78), 0.042, fur)
        blob(p, 0.285, 0.79, 0.04, 0.036, feet)
    else:
        _torso(p, name, fur, feet)
        if not person:
            blob(p, 0.5, 0.86, 0.11, 0.12, belly)
    return image(_head(p, name, (0.19, 0.02, 0.62, 0.66)))


def _torso(p: np.ndarray, name: str, cloth: Color, skin: Color, lift: float = 0.0) -> None:
    """A jumper with two arms, the hands in front."""
    blob(p, 0.5, 0.8 + lift, 0.19, 0.17, cloth, square=2.6)
    for side in (-1, 1):
        _limb(p, (0.5 + side * 0.18, 0.72 + lift), (0.5 + side * 0.21, 0.86 + lift), 0.05, cloth)
        blob(p, 0.5 + side * 0.21, 0.89 + lift, 0.043, 0.04, skin)
    if name in ("old man", "old woman"):
        blob(p, 0.5, 0.74 + lift, 0.05, 0.09, (240, 236, 228))


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
        _over(p, (255, 255, 255), shine * 0.75 * (p[..., 3] > 250))
    elif form == "circle":
        _over(p, rgb, np.clip((0.49 - np.hypot(u, v)) * FULL + 0.5, 0, 1))
    elif form == "square":
        far = (np.abs(u) ** 16 + np.abs(v) ** 16) ** (1 / 16)
        _over(p, rgb, np.clip((0.49 - far) * FULL + 0.5, 0, 1))
    else:  # three faces of a cube, seen from above its edge
        front = np.maximum(np.abs(u + 0.09) - 0.36, np.abs(v - 0.13) - 0.36)
        lean = u + 0.09 + (v + 0.23) * 0.78
        top = np.maximum(np.abs(lean) - 0.36, np.abs(v + 0.355) - 0.127)
        rise = v - 0.13 + (u - 0.27) * 1.28
        side = np.maximum(np.abs(rise) - 0.36, np.abs(u - 0.37) - 0.1)
        for face, tone in ((side, 0.62), (top, 1.16), (front, 0.9)):
            light = np.clip(rgb * (tone + 0.12 * (0.3 - v - u * 0.4))[..., None] + (30 if tone > 1 else 0), 0, 255)
            _over(p, light, np.clip(-face * FULL + 1.2, 0, 1))
    return image(p)


@cache
def chess_board() -> Image.Image:
    """A table with a board seen at a slant, and pieces of both sides on it."""
    p = empty()
    v, u = np.mgrid[0:FULL, 0:FULL].astype(np.float32) / FULL
    for x in (0.08, 0.92):
        _limb(p, (x, 0.8), (x, 0.95), 0.03, (96, 62, 44))
    blob(p, 0.5, 0.86, 0.49, 0.07, (150, 100, 66), square=9)
    slant = np.clip(np.minimum(v - 0.48, 0.86 - v) * FULL, 0, 1)
    half = 0.38 + 0.11 * (v - 0.48) / 0.38
    _over(p, np.array((196, 144, 98)) * (0.86 + 0.3 * (v - 0.48))[..., None],
          slant * np.clip((half - np.abs(u - 0.5)) * FULL, 0, 1))
    t = (v - 0.53) / 0.28  # 0 at the far edge, 1 at the near one
    half = 0.28 + 0.09 * t
    a = (u - 0.5) / np.maximum(half, 0.01)
    inside = np.clip(np.minimum(np.minimum(t, 1 - t) * 0.28, (1 - np.abs(a)) * half) * FULL + 0.5, 0, 1)
    rim = np.clip(np.minimum(np.minimum(t + 0.05, 1.07 - t) * 0.28, (1.05 - np.abs(a)) * half) * FULL, 0, 1)
    _over(p, (92, 58, 40), rim)
    deep = np.floor(np.clip(t, 0, 0.999) ** 1.12 * 6)
    odd = (np.floor((a + 1) * 3) + deep) % 2
    board = np.where(odd[..., None] > 0, (112, 70, 46), (242, 218, 176))
    _over(p, board, inside)
    for row, (y, tone) in enumerate(((0.56, (44, 42, 52)), (0.63, (44, 42, 52)), (0.73, (250, 244, 232)), (0.8, (250, 244, 232)))):
        places = ((0.27, 0.38, 0.5, 0.62, 0.73), (0.33, 0.56), (0.42, 0.66), (0.2, 0.35, 0.5, 0.65, 0.8))[row]
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


def art(name: str, pose: str = "standing") -> Image.Image:
    """Any object's picture, RGBA, without empty edges; `pose` is as in `figure`."""
    if name in BODIES:
        return figure(name, pose)
    if name in SHAPES:
        return shape(name)
    painted = {"chess board": chess_board, "aviator cap": aviator_cap}
    return painted[name]() if name in painted else artwork(name)


@cache
def head_part(name: str, pose: str = "standing") -> tuple[float, float, float, float]:
    """A figure's head: the middle of it across, its top, its width, its height, as parts."""
    whole, head = figure(name, pose), artwork(name)
    k = min(0.62 * FULL / head.width, 0.66 * FULL / head.height)
    w, h = head.width * k, head.height * k
    alpha = np.asarray(whole.getchannel("A"))[: int(h * 0.9)]
    x = float(np.nonzero(alpha.max(0) > 127)[0].mean())
    return x / whole.width, 0.0, w / whole.width, h / whole.height
