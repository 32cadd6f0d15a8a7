"""Where two things stand that belong together: riders, hats, instruments, chess, pilots."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from training.world import figures
from training.world.ground import Ground, Kinds, aspect, box, single
from training.world.objects import size_of
from training.world.places import SIZE
from training.world.scene import Item

# where one sits on a mount: across and down, as parts of its picture (it looks to the left)
SADDLES = {"horse": (0.53, 0.42), "elephant": (0.6, 0.1), "cow": (0.6, 0.2), "camel": (0.56, 0.3),
           "turtle": (0.6, 0.12), "whale": (0.42, 0.52), "duck": (0.62, 0.52), "zebra": (0.6, 0.42),
           "giraffe": (0.64, 0.58), "sheep": (0.62, 0.24), "dinosaur": (0.56, 0.56),
           "snail": (0.64, 0.2), "bicycle": (0.62, 0.3), "motorcycle": (0.6, 0.36),
           "swan": (0.62, 0.56), "dolphin": (0.52, 0.22)}  # fmt: skip


def riding(ground: Ground, rng: Random, kinds: Kinds) -> tuple[Item, ...]:
    """Somebody on the back of something."""
    (rider, _), (mount, _) = kinds
    mw, mh = box(mount, rng.uniform(112, 176) / size_of(mount))
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
    return _dressed(item, hat)


def _dressed(item: Item, hat: str) -> tuple[Item, Item]:
    """The character with the hat on, smaller where the hat would leave the picture."""
    while (worn := put_on(item, hat)).box[1] < 2:
        item = replace(item, width=item.width * 0.9, height=item.height * 0.9)
    return item, worn


def put_on(item: Item, hat: str) -> Item:
    """The hat where it belongs on the character's head."""
    brow, eyes, face = figures.BROWS.get(item.name, figures.PERSON)
    head = figures.head_part(item.name, item.pose if item.pose == "table" else "standing")
    left, top, _, _ = item.box
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
    w, h = box(instrument, item.height * 0.52 / size_of(instrument))
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
    h = min(width * rng.uniform(0.86, 1.05), foot - height * 0.62 - 32)  # below a film's bars
    w = h * aspect(who, "table")
    px = x + rng.uniform(-0.12, 0.12) * width
    behind = Item(who, px, foot - height * 0.62, w, h, rng.random() < 0.5, "table")
    return (behind, Item(board, x, foot, width, height, rng.random() < 0.5, "standing"))


def pilot(ground: Ground, rng: Random, kinds: Kinds) -> tuple[Item, ...]:
    """Somebody in an aviator's cap, perhaps with an airplane behind."""
    (who, _), (cap, _) = kinds
    (item,) = single(ground, rng, ((who, 1),), rng.choice(["", "large", "large"]))
    return _dressed(item, cap)
