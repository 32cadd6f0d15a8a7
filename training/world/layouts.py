"""Where things stand: free positions and sizes, on the ground of the scene's place."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from training.world import figures, places
from training.world.objects import (
    AFLOAT, BUSTS, CHARACTERS, FLYING, HATS, HEADS, INSTRUMENTS, MOUNTS, NEVER_MIRRORED, OBJECTS, SHAPES,
    SKY_ONLY, SWIMMING, size_of,
)  # fmt: skip
from training.world.places import SIZE
from training.world.scene import Item

ARRANGEMENTS = ["single", "count", "beside", "above", "riding", "rows", "columns", "corner",
                "wearing", "playing", "chess", "pilot", "scenery"]  # fmt: skip
Kinds = tuple[tuple[str, int], ...]
COUNTS = (2, 3, 4)
# where one sits on a mount: across and down, as parts of its picture (it looks to the left)
SADDLES = {"horse": (0.53, 0.42), "elephant": (0.6, 0.1), "cow": (0.6, 0.2), "camel": (0.56, 0.3),
           "turtle": (0.6, 0.12), "whale": (0.42, 0.52), "duck": (0.62, 0.52), "zebra": (0.6, 0.42),
           "giraffe": (0.64, 0.58), "sheep": (0.62, 0.24), "dinosaur": (0.56, 0.56),
           "snail": (0.64, 0.2), "bicycle": (0.62, 0.3), "motorcycle": (0.6, 0.36),
           "swan": (0.62, 0.56), "dolphin": (0.52, 0.22)}  # fmt: skip


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


def _box(name: str, side: float, pose: str = "standing") -> tuple[float, float]:
    """Width and height of an object that fits a square of `side`, larger or smaller by its kind."""
    side = min(side * size_of(name), 236)
    a = aspect(name, pose)
    return (side, side / a) if a > 1 else (side * a, side)


def _mirrored(rng: Random, name: str) -> bool:
    return name not in NEVER_MIRRORED and name not in SHAPES and rng.random() < 0.5


def single(ground: Ground, rng: Random, kinds: Kinds, size: str = "") -> tuple[Item, ...]:
    """One object, anywhere; `size` is "small", "large" or ""."""
    ((name, _),) = kinds
    low, high = {"small": (46, 74), "large": (176, 216)}.get(size, (84, 196))
    width, height = _box(name, rng.uniform(low, high))
    foot, pose = ground.foot(name, height)
    room = width / 2 + 4
    return (Item(name, rng.uniform(room, SIZE - room), foot, width, height, _mirrored(rng, name), pose),)


def scattered(
    ground: Ground, rng: Random, names: list[str], side: float, area: tuple[float, float, float, float]
) -> list[Item]:
    """Objects that do not overlap, their feet and sides within left, top, right, bottom."""
    left, top, right, bottom = area
    for attempt in range(200):
        side *= 0.985 if attempt % 4 == 3 else 1
        made: list[Item] = []
        for name in names:
            width, height = _box(name, side * rng.uniform(0.94, 1.06))
            foot, pose = ground.foot(name, height)
            if not top + height <= foot <= bottom:
                if top + height > bottom:
                    break
                foot = rng.uniform(top + height, bottom)
            if right - left < width:
                break
            item = Item(name, rng.uniform(left + width / 2, right - width / 2), foot, width, height,
                        _mirrored(rng, name), pose)  # fmt: skip
            if any(overlap(item, other) > 0.05 for other in made):
                break
            made.append(item)
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
        width, height = _box(name, 0.9 * min(step, bottom - top) / size_of(name))
        made.append(Item(name, left + step * (i + 0.5), bottom, width, height, False, ground.pose(name)))
    return made


def overlap(a: Item, b: Item) -> float:
    """The shared area as a part of the smaller one's."""
    (al, at, ar, ab), (bl, bt, br, bb) = a.box, b.box
    w, h = min(ar, br) - max(al, bl), min(ab, bb) - max(at, bt)
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
    (aw, ah), (bw, bh) = _box(a, side), _box(b, side)
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
        Item(b, x, foot, bw, bh, _mirrored(rng, b), pose),
        Item(a, ax, foot - bh - gap, aw, ah, _mirrored(rng, a), "air"),
    )


def riding(ground: Ground, rng: Random, kinds: Kinds) -> tuple[Item, ...]:
    """Somebody on the back of something."""
    (rider, _), (mount, _) = kinds
    mw, mh = _box(mount, rng.uniform(112, 176) / size_of(mount))
    rh = max(mw, mh) * rng.uniform(0.58, 0.68)
    across, down = SADDLES[mount]
    top = mh * (1 - down) + rh * 0.84  # the rider's head above the mount's feet
    shrink = min(1, 238 / top)
    mw, mh, rh = mw * shrink, mh * shrink, rh * shrink
    rw = rh * aspect(rider, "riding")
    mirrored = rng.random() < 0.5
    side = -1 if mirrored else 1
    room = max(mw, rw) / 2 + 6
    x = rng.uniform(min(room, 128), max(SIZE - room, 128))
    low = min(max(ground.low, top * shrink + 8), SIZE - 6)
    foot = rng.uniform(low, SIZE - 6)
    pose = "air" if ground.place == "space" else ground.pose(mount)
    seat = foot - mh * (1 - down)
    return (
        Item(mount, x, foot, mw, mh, mirrored, pose),
        Item(rider, x + side * (across - 0.5) * mw, seat + rh * 0.16, rw, rh, mirrored, "riding"),
    )


def wearing(ground: Ground, rng: Random, kinds: Kinds) -> tuple[Item, ...]:
    """A head with a hat or glasses on it."""
    (who, _), (hat, _) = kinds
    (item,) = single(ground, rng, ((who, 1),), rng.choice(["", "large"]))
    headroom = 0.18 * item.height if hat in ("crown", "top hat") else 0
    if item.box[1] < headroom:
        k = 0.8
        item = Item(who, item.x, item.y, item.width * k, item.height * k, item.mirrored, item.pose)
    return (item, put_on(item, hat))


def put_on(item: Item, hat: str) -> Item:
    """The hat where it belongs on the character's head."""
    brow, eyes, face = figures.BROWS.get(item.name, figures.PERSON)
    head = figures.head_part(item.name, item.pose if item.pose == "table" else "standing")
    left, top, right, bottom = item.box
    hx = left + (1 - head[0] if item.mirrored else head[0]) * item.width
    hw, hh = head[2] * item.width, head[3] * item.height
    htop = top + head[1] * item.height
    a = aspect(hat)
    if hat in ("crown", "top hat"):
        w = hw * face * (0.78 if hat == "crown" else 0.95)
        foot = htop + brow * hh + (0.02 if hat == "crown" else 0.05) * hh
    elif hat == "aviator cap":
        w = hw * min(face * 1.3, 1.02)
        foot = htop + brow * hh + 0.62 * w / a
    else:
        w = hw * face * (1.0 if hat == "sunglasses" else 1.02)
        foot = htop + eyes * hh + (0.5 if hat == "sunglasses" else 0.34) * w / a
    return Item(hat, hx, foot, w, w / a, item.mirrored, "worn")


def playing(ground: Ground, rng: Random, kinds: Kinds) -> tuple[Item, ...]:
    """Somebody with an instrument before them."""
    (who, _), (instrument, _) = kinds
    (item,) = single(ground, rng, ((who, 1),), rng.choice(["", "large"]))
    w, h = _box(instrument, item.height * 0.52 / size_of(instrument))
    shift = 0.1 if instrument in ("trumpet", "saxophone") else 0.0
    x = item.x + (-shift if item.mirrored else shift) * item.width
    foot = item.y - item.height * (0.0 if instrument == "drum" else 0.05)
    return (item, Item(instrument, x, foot, w, h, item.mirrored, "worn"))


def chess(ground: Ground, rng: Random, kinds: Kinds) -> tuple[Item, ...]:
    """Somebody behind a table with a chess board; sometimes across from somebody else's side."""
    (who, _), (board, _) = kinds
    width = rng.uniform(128, 196)
    height = width / aspect(board)
    foot = rng.uniform(max(min(ground.low + height * 0.6, 244), 196), 250)
    x = rng.uniform(width / 2 + 4, SIZE - width / 2 - 4)
    h = min(width * rng.uniform(0.86, 1.05), foot - height * 0.62 - 6)
    w = h * aspect(who, "table")
    px = x + rng.uniform(-0.12, 0.12) * width
    behind = Item(who, px, foot - height * 0.62, w, h, rng.random() < 0.5, "table")
    return (behind, Item(board, x, foot, width, height, rng.random() < 0.5, "standing"))


def pilot(ground: Ground, rng: Random, kinds: Kinds) -> tuple[Item, ...]:
    """Somebody in an aviator's cap, perhaps with an airplane behind."""
    (who, _), (cap, _) = kinds
    (item,) = single(ground, rng, ((who, 1),), rng.choice(["", "large", "large"]))
    if item.box[1] < 0.12 * item.height:
        item = Item(who, item.x, item.y, item.width * 0.86, item.height * 0.86, item.mirrored, item.pose)
    return (item, put_on(item, cap))


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
    "single": single, "count": count, "beside": beside, "above": above, "riding": riding,
    "rows": rows, "columns": columns, "corner": corner, "wearing": wearing, "playing": playing,
    "chess": chess, "pilot": pilot,
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


assert set(BUSTS) < set(CHARACTERS)
