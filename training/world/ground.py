"""The ground of a scene's place, and one object standing on it, in the air or in the water."""

from __future__ import annotations

from random import Random

from training.world import figures, places
from training.world.objects import (
    AFLOAT,
    FLYING,
    NEVER_MIRRORED,
    SHAPES,
    SKY_ONLY,
    SWIMMING,
    size_of,
)
from training.world.places import SIZE
from training.world.scene import Item

Kinds = tuple[tuple[str, int], ...]


class Ground:
    """Where a scene's ground is, and how things stand on it."""

    def __init__(self, rng: Random, place: str, horizon: int):
        self.rng, self.place = rng, place
        self.low = min(horizon + 10, 214)
        self.free = place in ("space", "under water")

    def foot(self, name: str, height: float) -> tuple[float, str]:
        """A row to stand on for something of that height, and the pose."""
        rng = self.rng
        low = max(self.low, height + 6)
        if self.place == "space" or (self.place == "under water" and name in SWIMMING):
            return rng.uniform(height + 5, SIZE - 5), "air"
        if name in SKY_ONLY or (name in FLYING and rng.random() < 0.65):
            high = self.low + height * 0.2 if name in SKY_ONLY else SIZE * 0.72
            return rng.uniform(height + 5, max(height + 6, min(high, SIZE - 5))), "air"
        if self.place in places.PLAIN and rng.random() < 0.25:
            return rng.uniform(height + 5, SIZE - 5), "air"
        return rng.uniform(min(low, SIZE - 8), SIZE - 6), self.pose(name)

    def pose(self, name: str) -> str:
        if self.place == "sea" or (self.place == "synthwave" and name in AFLOAT):
            return "afloat"
        return "standing"


def aspect(name: str, pose: str = "standing") -> float:
    """Width by height of an object's picture."""
    art = figures.art(name, pose)
    return art.width / art.height


def box(name: str, side: float, pose: str = "standing") -> tuple[float, float]:
    """Width and height of an object that fits a square of `side`, larger or smaller by its kind."""
    side = min(side * size_of(name), 236)
    a = aspect(name, pose)
    return (side, side / a) if a > 1 else (side * a, side)


def mirrored(rng: Random, name: str) -> bool:
    return name not in NEVER_MIRRORED and name not in SHAPES and rng.random() < 0.5


def single(ground: Ground, rng: Random, kinds: Kinds, size: str = "") -> tuple[Item, ...]:
    """One object, anywhere; `size` is "small", "large" or ""."""
    ((name, _),) = kinds
    low, high = {"small": (46, 74), "large": (176, 216)}.get(size, (84, 196))
    width, height = box(name, rng.uniform(low, high))
    foot, pose = ground.foot(name, height)
    room = width / 2 + 4
    return (
        Item(name, rng.uniform(room, SIZE - room), foot, width, height, mirrored(rng, name), pose),
    )
