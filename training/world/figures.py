"""The objects' pictures: their artwork, and bodies for heads and busts."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from training.world.canvas import Color
from training.world.objects import ARTWORK, BUSTS, SHAPES
from training.world.plastic import FULL, blob, empty, image, limb
from training.world.props import aviator_cap, chess_board, shape

FOLDER = Path(__file__).parent.parent / "artwork"

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
    blaze = np.maximum(
        blaze, np.clip(1 - np.hypot((x - 0.5) / 0.24, (y - 0.68) / 0.22), 0, 0.2) * 5
    )
    out = black + (white - black) * np.clip(blaze, 0, 1)[..., None]
    red = np.clip((rgb[..., 0] - rgb[..., 1] - 90) / 40, 0, 1)[..., None]  # the tongue
    dark = np.clip((95 - grey) / 30, 0, 1)[..., None]  # eyes, nose and mouth
    out = out * (1 - red) + rgb * red
    eyes = np.where((np.abs(x - 0.5) > 0.1)[..., None] & (y < 0.55)[..., None], 225.0, 24.0)
    out = out * (1 - dark) + eyes * dark
    return Image.fromarray(np.dstack([out, a[..., 3]]).clip(0, 255).astype(np.uint8))


def _head(picture: np.ndarray, name: str, box: tuple[float, float, float, float]) -> np.ndarray:
    """The picture with the head fitted into (x, y, width, height), above its lower edge."""
    art = artwork(name)
    x, y, w, h = (v * FULL for v in box)
    k = min(w / art.width, h / art.height)
    art = art.resize((round(art.width * k), round(art.height * k)), Image.Resampling.LANCZOS)
    whole = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))
    whole.alpha_composite(art, (round(x + (w - art.width) / 2), round(y + h - art.height)))
    return np.asarray(whole).astype(np.float32)


@cache
def figure(name: str, pose: str = "standing") -> Image.Image:
    """A whole character: "standing", "riding" (a leg to the right side) or "table" (to the waist)."""
    fur, belly, feet = BODIES[name]
    p = empty()
    if name in BUSTS:
        if pose == "standing":
            for x in (0.42, 0.58):
                limb(p, (x, 0.74), (x, 0.9), 0.07, fur)
                blob(p, x + (x - 0.5) * 0.2, 0.95, 0.085, 0.05, feet)
        elif pose == "riding":
            blob(p, 0.5, 0.74, 0.2, 0.1, fur)
            limb(p, (0.45, 0.76), (0.36, 0.86), 0.066, fur)
            limb(p, (0.36, 0.86), (0.4, 0.94), 0.055, fur)
            blob(p, 0.37, 0.97, 0.075, 0.042, feet)
        return image(_head(p, name, (0.16, 0.02, 0.68, 0.76)))
    person = name in BODIES and feet == (255, 196, 74)
    if pose == "standing" and person:
        for x in (0.43, 0.57):
            limb(p, (x, 0.8), (x, 0.92), 0.062, belly)
            blob(p, x + (x - 0.5) * 0.25, 0.955, 0.085, 0.045, (70, 60, 66))
        _torso(p, name, fur, feet, -0.05)
    elif pose == "standing":
        if name in (
            "cat",
            "fox",
            "lion",
            "tiger",
            "monkey",
            "wolf",
            "mouse",
            "border collie",
            "dog",
        ):
            tip = (255, 240, 230) if name == "fox" else fur
            limb(
                p,
                (0.6, 0.9),
                (0.8, 0.8),
                0.035 if name in ("mouse", "monkey", "lion", "tiger") else 0.05,
                fur,
            )
            blob(p, 0.82, 0.76, 0.05, 0.06, tip if name != "lion" else (142, 92, 68))
        for x in (0.38, 0.62):
            blob(p, x, 0.94, 0.1, 0.055, feet)
        blob(p, 0.5, 0.8, 0.2, 0.19, fur)
        blob(p, 0.5, 0.82, 0.125, 0.13, belly)
        for side in (-1, 1):
            limb(p, (0.5 + side * 0.17, 0.72), (0.5 + side * 0.19, 0.84), 0.048, fur)
    elif pose == "riding":
        blob(p, 0.5, 0.76, 0.18, 0.17, fur)
        leg = belly if person else fur
        limb(p, (0.46, 0.84), (0.37, 0.9), 0.056, leg)
        blob(p, 0.35, 0.95, 0.072, 0.042, (70, 60, 66) if person else feet)
        limb(p, (0.4, 0.7), (0.3, 0.78), 0.042, fur)
        blob(p, 0.285, 0.79, 0.04, 0.036, feet)
    else:
        _torso(p, name, fur, feet, wide=1.3)
        if not person:
            blob(p, 0.5, 0.86, 0.11, 0.12, belly)
    return image(_head(p, name, (0.19, 0.02, 0.62, 0.66)))


def _torso(
    p: np.ndarray, name: str, cloth: Color, skin: Color, lift: float = 0.0, wide: float = 1.0
) -> None:
    """A jumper with two arms, the hands in front."""
    blob(p, 0.5, 0.8 + lift, 0.19 * wide, 0.17, cloth, square=2.6)
    for side in (-1, 1):
        shoulder, hand = 0.5 + side * 0.18 * wide, 0.5 + side * 0.21 * wide
        limb(p, (shoulder, 0.72 + lift), (hand, 0.86 + lift), 0.05, cloth)
        blob(p, hand, 0.89 + lift, 0.043, 0.04, skin)
    if name in ("old man", "old woman"):
        blob(p, 0.5, 0.74 + lift, 0.05, 0.09, (240, 236, 228))


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
