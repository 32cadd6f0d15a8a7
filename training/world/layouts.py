"""Where things stand: free positions and sizes, on the ground of the scene's place."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from training.world import couples, places
from training.world.ground import Ground, Kinds, box, mirrored, single
from training.world.objects import (
    CHARACTERS,
    FLYING,
    HATS,
    HEADS,
    INSTRUMENTS,
    MOUNTS,
    OBJECTS,
    SHAPES,
    SKY_ONLY,
    size_of,
)
from training.world.places import SIZE
from training.world.scene import Item

ARRANGEMENTS = ["single", "count", "beside", "above", "riding", "rows", "columns", "corner",
                "wearing", "playing", "chess", "pilot", "scenery"]  # fmt: skip
COUNTS = (2, 3, 4)


def scattered(
    ground: Ground,
    rng: Random,
    names: list[str],
    side: float,
    area: tuple[float, float, float, float],
) -> list[Item]:
    """Objects that do not overlap, their feet and sides within left, top, right, bottom."""
    left, top, right, bottom = area
    for attempt in range(14):
        side *= 0.93 if attempt > 1 else 1  # the same size twice, then ever smaller
        made: list[Item] = []
        for name in names:
            width, height = box(name, side * rng.uniform(0.94, 1.06))
            if right - left < width or bottom - top < height:
                break
            for _ in range(24):
                foot, pose = ground.foot(name, height)
                if not top + height <= foot <= bottom:
                    foot = rng.uniform(top + height, bottom)
                x = rng.uniform(left + width / 2, right - width / 2)
                item = Item(name, x, foot, width, height, mirrored(rng, name), pose)
                if not any(overlap(item, other, air=3) > 0 for other in made):
                    made.append(item)
                    break
            else:
                break
        if len(made) == len(names):
            return made
    return line_up(ground, rng, names, area)


def line_up(
    ground: Ground, rng: Random, names: list[str], area: tuple[float, float, float, float]
) -> list[Item]:
    """Objects side by side, where no free places were found."""
    left, top, right, bottom = area
    step = (right - left) / len(names)
    made = []
    for i, name in enumerate(names):
        width, height = box(name, 0.9 * min(step, bottom - top) / size_of(name))
        made.append(
            Item(name, left + step * (i + 0.5), bottom, width, height, False, ground.pose(name))
        )
    return made


def overlap(a: Item, b: Item, air: float = 0) -> float:
    """The shared area as a part of the smaller one's; `air` pixels between them count as shared."""
    (al, at, ar, ab), (bl, bt, br, bb) = a.box, b.box
    w, h = min(ar, br) - max(al, bl) + air, min(ab, bb) - max(at, bt) + air
    return max(0, w) * max(0, h) / min(a.width * a.height, b.width * b.height)


WHOLE = (5.0, 5.0, SIZE - 5.0, SIZE - 5.0)


def count(ground: Ground, rng: Random, kinds: Kinds) -> tuple[Item, ...]:
    """Two to four of one kind, each as large as their number allows."""
    ((name, n),) = kinds
    side = {2: rng.uniform(80, 118), 3: rng.uniform(66, 96), 4: rng.uniform(58, 86)}[n]
    return tuple(scattered(ground, rng, [name] * n, side, WHOLE))


def beside(ground: Ground, rng: Random, kinds: Kinds) -> tuple[Item, ...]:
    """One thing left of another."""
    (a, _), (b, _) = kinds
    middle = rng.uniform(112, 144)
    side = rng.uniform(78, 116)
    return (
        *scattered(ground, rng, [a], side, (4, 4, middle - 2, SIZE - 5)),
        *scattered(ground, rng, [b], side, (middle + 2, 4, SIZE - 4, SIZE - 5)),
    )


def above(ground: Ground, rng: Random, kinds: Kinds) -> tuple[Item, ...]:
    """One thing on top of another, or in the air above it."""
    (a, _), (b, _) = kinds
    side = rng.uniform(76, 108)
    (aw, ah), (bw, bh) = box(a, side), box(b, side)
    shrink = min(1, 236 / (ah + bh))
    aw, ah, bw, bh = aw * shrink, ah * shrink, bw * shrink, bh * shrink
    floats = ground.free or ground.place in places.PLAIN or a in FLYING
    gap = rng.uniform(2, max(3, min(40, 238 - ah - bh))) if floats else -0.05 * ah
    low = max(ah + bh + gap + 6, min(ground.low, SIZE - 8))
    foot = rng.uniform(min(low, SIZE - 6), SIZE - 5)
    x = rng.uniform(bw / 2 + 5, SIZE - bw / 2 - 5)
    ax = min(max(x + rng.uniform(-0.12, 0.12) * bw, aw / 2 + 3), SIZE - aw / 2 - 3)
    pose = "air" if ground.place == "space" or b in SKY_ONLY else ground.pose(b)
    return (
        Item(b, x, foot, bw, bh, mirrored(rng, b), pose),
        Item(a, ax, foot - bh - gap, aw, ah, mirrored(rng, a), "air"),
    )


def _halves(
    ground: Ground, rng: Random, kinds: Kinds, areas: tuple[tuple[float, ...], tuple[float, ...]]
) -> tuple[Item, ...]:
    made: list[Item] = []
    for (name, n), (left, top, right, bottom) in zip(kinds, areas):
        across = (right - left) * (bottom - top)
        side = min((across / n) ** 0.5 * 0.74, 92) * rng.uniform(0.86, 1)
        made += scattered(ground, rng, [name] * n, side, (left, top, right, bottom))
    return tuple(made)


def rows(ground: Ground, rng: Random, kinds: Kinds) -> tuple[Item, ...]:
    """Some of one kind above some of another."""
    y = rng.uniform(112, 140)
    return _halves(ground, rng, kinds, ((6, 6, 250, y - 3), (6, y + 3, 250, 250)))


def columns(ground: Ground, rng: Random, kinds: Kinds) -> tuple[Item, ...]:
    """Some of one kind left of some of another."""
    x = rng.uniform(112, 144)
    top = 6 if ground.place in places.PLAIN or ground.free else max(6, ground.low - 70)
    return _halves(ground, rng, kinds, ((6, top, x - 3, 250), (x + 3, top, 250, 250)))


def corner(ground: Ground, rng: Random, kinds: Kinds) -> tuple[Item, ...]:
    """Some of one kind on the left, some of another at the bottom on the right."""
    x = rng.uniform(112, 140)
    top = 6 if ground.place in places.PLAIN or ground.free else max(6, ground.low - 70)
    return _halves(ground, rng, kinds, ((6, top, x - 3, 250), (x + 3, 140, 250, 250)))


LAYOUTS: dict[str, Callable[..., tuple[Item, ...]]] = {
    "single": single, "count": count, "beside": beside, "above": above, "riding": couples.riding,
    "rows": rows, "columns": columns, "corner": corner, "wearing": couples.wearing, "playing": couples.playing,
    "chess": couples.chess, "pilot": couples.pilot,
}  # fmt: skip


def pick(rng: Random) -> str:
    """Any object; a fifth of them squares, circles, cubes and balls."""
    return rng.choice(list(SHAPES)) if rng.random() < 0.2 else rng.choice(OBJECTS[:-1])


def two(rng: Random) -> tuple[str, str]:
    """Two different objects; of shapes the colour or the form may be shared."""
    a = pick(rng)
    while (b := pick(rng)) == a or (a in SHAPES and rng.random() < 0.5 and b not in SHAPES):
        pass
    return a, b


def kinds_of(rng: Random, arrangement: str) -> Kinds:
    """What a scene of an arrangement shows."""
    if arrangement == "scenery":
        return ()
    if arrangement == "single":
        return ((pick(rng), 1),)
    if arrangement == "count":
        return ((pick(rng), rng.choice(COUNTS)),)
    if arrangement in ("beside", "above"):
        a, b = two(rng)
        return (a, 1), (b, 1)
    if arrangement == "riding":
        article = rng.random() < 0.04
        rider = "astronaut" if article else rng.choice(CHARACTERS)
        return (rider, 1), ("horse" if article else rng.choice(MOUNTS), 1)
    if arrangement == "wearing":
        return (rng.choice(HEADS), 1), (rng.choice(HATS), 1)
    if arrangement == "playing":
        return (rng.choice(HEADS), 1), (rng.choice(INSTRUMENTS), 1)
    if arrangement == "chess":
        return (rng.choice(CHARACTERS + ["old man"] * 8), 1), ("chess board", 1)
    if arrangement == "pilot":
        return (rng.choice(HEADS + ["border collie"] * 6), 1), ("aviator cap", 1)
    if arrangement == "corner" and rng.random() < 0.1:
        return ("red square", 4), ("blue cube", 3)
    a, b = two(rng)
    n, m = rng.choice([(n, m) for n in (1, 2, 3, 4) for m in (1, 2, 3, 4) if n + m > 2])
    return (a, n), (b, m)
