"""Where scenes are: fourteen painted places and eight plain backgrounds, in four lights.

Painting takes 30 to 100 ms, so each variant is painted once and kept on disk, and scenes take a
part of one, mirrored or not: `backdrop`.
"""

from __future__ import annotations

import hashlib
import os
from functools import cache, lru_cache
from pathlib import Path
from random import Random

import numpy as np

from training.world import highlands, interiors, landscapes, townscapes
from training.world.canvas import SIDE, glow, vertical
from training.world.skies import LIGHTS

SIZE = 256  # pixels a side of a scene
PAINTERS = {
    "meadow": landscapes.meadow, "sea": landscapes.sea, "beach": landscapes.beach,
    "desert": landscapes.desert, "mountains": highlands.mountains, "forest": highlands.forest,
    "snow": highlands.snow, "under water": highlands.under_water, "city": townscapes.city,
    "room": interiors.room, "table": interiors.table, "synthwave": townscapes.synthwave,
    "moon": townscapes.moon, "space": townscapes.space,
}  # fmt: skip
COLORS = {
    "white": (247, 247, 248), "black": (30, 30, 34), "red": (220, 58, 56), "blue": (60, 118, 226),
    "green": (70, 172, 88), "yellow": (250, 214, 76), "pink": (250, 168, 200),
    "gray": (158, 158, 162),
}  # fmt: skip
PLAIN = [f"{color} background" for color in COLORS]
PLACES = list(PAINTERS)
ALL = PLACES + PLAIN
# the light that a place has, where it has no choice: its objects' colours follow it
ALWAYS = {"synthwave": "sunset", "moon": "day", "space": "day", "under water": "day"}
VARIANTS = int(os.environ.get("SDNB_VARIANTS", 48))  # paintings of each place in each light
FOLDER = Path(os.environ.get("SDNB_TRAINING", Path.home() / ".cache" / "sdnb-training")) / "places"
KEPT = np.dtype([("horizon", "i2"), ("picture", "u1", (SIDE, SIDE, 3))])


def lights(place: str) -> tuple[str, ...]:
    """The lights that a place can be in."""
    if place in PLAIN:
        return ("day",)
    return (ALWAYS[place],) if place in ALWAYS else LIGHTS


@cache
def _version() -> str:
    """Changes with the code that paints, so that old paintings are not taken for new ones."""
    names = ("canvas", "skies", "landscapes", "highlands", "townscapes", "interiors", "places")
    code = b"".join((Path(__file__).parent / f"{name}.py").read_bytes() for name in names)
    return hashlib.sha256(code).hexdigest()[:12]


def paint(place: str, light: str, variant: int) -> np.ndarray:
    """One painting: a record of its horizon (row) and its picture, (288, 288, 3) bytes."""
    seed = hashlib.sha256(f"{place}|{light}|{variant}".encode()).digest()[:8]
    rng = np.random.default_rng(int.from_bytes(seed, "big"))
    painter = PAINTERS.get(place) or _plain
    picture, horizon = painter(rng, place if place in PLAIN else light)
    out = np.zeros((), KEPT)
    out["horizon"] = horizon
    out["picture"] = np.clip(picture, 0, 255)
    return out


def _plain(rng: np.random.Generator, place: str) -> tuple[np.ndarray, int]:
    """A studio: one colour, a little lighter in the middle, a soft edge of the floor or none."""
    color = np.array(COLORS[place.split()[0]], np.float32)
    color = np.clip(color * rng.uniform(0.94, 1.05), 0, 255)
    horizon = int(rng.integers(150, 200))
    floor = rng.uniform(0.86, 1.0)
    at = horizon / SIDE
    picture = vertical(
        [(0, color * 0.97), (at - 0.12, color), (at + 0.12, color * floor), (1, color * floor)]
    )
    light = np.minimum(color + 30, 255)
    return glow(picture, rng.uniform(70, 220), rng.uniform(40, 150), 150, light, 0.5), horizon


@lru_cache(maxsize=400)  # 100 MB
def _kept(place: str, light: str, variant: int) -> np.ndarray:
    file = FOLDER / _version() / f"{place}-{light}-{variant}.npy".replace(" ", "_")
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(f".{os.getpid()}")
        with part.open("wb") as f:
            np.save(f, paint(place, light, variant))
        part.replace(file)  # whole or not at all: other processes paint too
    return np.load(file)


def backdrop(
    place: str, light: str, variant: int, left: int, top: int, mirrored: bool
) -> tuple[np.ndarray, int]:
    """A part of a painting, (256, 256, 3) bytes, and the row of its horizon.

    Arguments:
        left, top: where the part begins, 0 to 32 pixels.
    """
    kept = _kept(place, light, variant)
    part = kept["picture"][top : top + SIZE, left : left + SIZE]
    return (part[:, ::-1] if mirrored else part), int(kept["horizon"]) - top


def all_variants() -> list[tuple[str, str, int]]:
    """Every painting that scenes are made from."""
    return [(p, light, v) for p in ALL for light in lights(p) for v in range(VARIANTS)]


@cache
def horizon(place: str, light: str, variant: int) -> int:
    """The row of a whole painting where its ground begins."""
    return int(_kept(place, light, variant)["horizon"])


def some(rng: Random, place: str, light: str) -> tuple[int, int, int, bool]:
    """A random variant, left, top and whether mirrored."""
    return rng.randrange(VARIANTS), rng.randint(0, 32), rng.randint(0, 32), rng.random() < 0.5
