"""Endless scenes by chance, from a seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from random import Random

from training.world import layouts, places
from training.world.ground import Ground, Kinds
from training.world.objects import SHAPES
from training.world.scene import Item, Scene, inside, is_held_out
from training.world.sentences import sentence
from training.world.styles import COLOURLESS, PLAIN, STYLES

MIX = {
    "single": 0.27, "count": 0.16, "beside": 0.11, "above": 0.08, "riding": 0.08, "columns": 0.06,
    "rows": 0.05, "corner": 0.03, "wearing": 0.03, "playing": 0.02, "chess": 0.03, "pilot": 0.03,
    "scenery": 0.05,
}  # fmt: skip
# a poster's four inks leave nothing of what is dark on dark
DARK = {"black background", "space", "moon", "forest", "table", "red background"}
LIGHT_ODDS = {"day": 0.5, "dawn": 0.12, "sunset": 0.18, "night": 0.2}


def scenes(
    seed: int, mix: Mapping[str, float] = MIX, held: bool = False, **fixed: str
) -> Iterator[Scene]:
    """Endless scenes: training's (`held=False`), or only those that training never shows.

    Arguments:
        mix: how often each arrangement is drawn.
        fixed: `place`, `light` or `style` that all of them have, and say.

    Example:
        >>> next(scenes(0, {"scenery": 1}, place="moon", style="photograph")).caption[:6]
        'a land'
    """
    rng = Random(seed)
    while True:
        arrangement = rng.choices(list(mix), list(mix.values()))[0]
        scene = draw(rng, arrangement, layouts.kinds_of(rng, arrangement), **fixed)
        if is_held_out(scene) is held:
            yield scene


def draw(
    rng: Random,
    arrangement: str,
    kinds: Kinds,
    place: str = "",
    light: str = "",
    style: str = "",
) -> Scene:
    """A scene of these kinds: place, light, style, sides and sizes by chance where not given."""
    said = {word for word, given in (("place", place), ("light", light), ("style", style)) if given}
    style = style or (PLAIN if rng.random() < 0.58 else rng.choice(STYLES[1:]))
    poster = style == "propaganda poster"
    while not place or (poster and not said & {"place"} and place in DARK):
        place = _place(rng, arrangement, kinds)
    options = places.lights(place)
    if light not in options:
        odds = [LIGHT_ODDS[each] * (not poster or each != "night") for each in options]
        light = rng.choices(options, odds if sum(odds) else None)[0]
    if style == "synthwave style" and place == "synthwave":
        style = PLAIN
    if style in COLOURLESS and any(name in SHAPES for name, _ in kinds):
        style = PLAIN  # a blue square that is grey would teach that blue is grey
    unseen = style in COLOURLESS and place in places.PLAIN  # a red background, in grey
    if rng.random() < 0.62 and not unseen:
        said.add("place")
    if len(options) > 1 and rng.random() < (0.25 if light == "day" else 0.6):
        said.add("light")
    if style != PLAIN or rng.random() < 0.22:
        said.add("style")  # a style comes only where it is asked for
    painting = places.some(rng, place, light)
    if arrangement == "chess":
        painting = (*painting[:2], min(painting[2], 12), painting[3])
    horizon = places.horizon(place, light, painting[0]) - painting[2]
    ground = Ground(rng, place, horizon)
    if arrangement == "scenery":
        items: tuple[Item, ...] = ()
    elif arrangement == "single":
        size = rng.choices(["", "small", "large"], [0.8, 0.1, 0.1])[0]
        items = layouts.single(ground, rng, kinds, size)
        said |= {size} - {""}
    else:
        items = layouts.LAYOUTS[arrangement](ground, rng, kinds)
    items = tuple(sorted(map(_inside, items), key=lambda i: (i.pose in ("riding", "worn"), i.y)
                         if arrangement in ("wearing", "playing", "pilot", "riding") else (False, i.y)))  # fmt: skip
    scene = Scene(
        arrangement,
        kinds,
        items,
        place,
        light,
        style,
        painting,
        rng.getrandbits(32),
        frozenset(said),
    )
    return replace(scene, caption=sentence(rng, scene))


def _inside(item: Item) -> Item:
    """The object moved into the picture, where it stood out of it."""
    if inside(item, 1) or item.pose in ("worn", "riding", "table"):
        return item
    half = item.width / 2 + 1
    x = min(max(item.x, half), places.SIZE - half)
    return replace(item, x=x, y=min(max(item.y, item.height + 1), places.SIZE - 1))


def _place(rng: Random, arrangement: str, kinds: Kinds) -> str:
    """A place that hides no shape of its own colour; chess has a table of its own."""
    if arrangement == "scenery":
        return rng.choice(places.PLACES + ["synthwave"] * 4)
    hidden = {name.split()[0] for name, _ in kinds if name in SHAPES}
    if arrangement == "corner" and rng.random() < 0.4:
        return "table"
    if rng.random() < 0.28:
        return rng.choice([p for p in places.PLAIN if p.split()[0] not in hidden])
    barred = {"table"} if arrangement in ("chess", "riding") else set()
    if arrangement in ("chess",):
        barred |= {"sea", "space"}
    if "white" in hidden:
        barred.add("snow")
    if "black" in hidden:
        barred.add("space")
    return rng.choice([p for p in places.PLACES if p not in barred])
