"""A scene: what stands where, in which place, light and style, and what of it is kept back."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from training.world.places import SIZE


@dataclass(frozen=True)
class Item:
    """One object: its middle (x) and its foot (y), its width and height, all in pixels.

    `pose` is how it is drawn: "standing" on the ground, "air" (no shadow), "afloat", "riding",
    "table" (behind one) or "worn".
    """

    name: str
    x: float
    y: float
    width: float
    height: float
    mirrored: bool = False
    pose: str = "standing"

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom."""
        return self.x - self.width / 2, self.y - self.height, self.x + self.width / 2, self.y

    @property
    def middle(self) -> tuple[float, float]:
        """Its middle, x and y."""
        return self.x, self.y - self.height / 2


@dataclass(frozen=True)
class Scene:
    """A picture to be, and the sentence that says what it shows.

    `kinds` is what the sentence means: ((name, count), …), the left, upper, riding, wearing or
    playing one first. `said` names those of place, light, style and size that the sentence tells.
    """

    arrangement: str  # one of layouts.ARRANGEMENTS
    kinds: tuple[tuple[str, int], ...]
    items: tuple[Item, ...]  # later ones are nearer
    place: str  # one of places.ALL
    light: str  # one of skies.LIGHTS
    style: str  # one of styles.STYLES
    painting: tuple[int, int, int, bool]  # variant, left, top, mirrored
    seed: int  # of what is left to chance in the picture: brightness, snow, grain
    said: frozenset[str] = frozenset()
    caption: str = ""


PAIRED = ("beside", "above", "riding", "wearing", "playing", "chess", "pilot")


def held_out(*combination: object) -> bool:
    """Whether this combination is kept from training: 15 % of all, the same on every machine."""
    digest = hashlib.sha256("|".join(map(str, combination)).encode()).digest()
    return digest[0] < 0.15 * 256


def is_held_out(scene: Scene) -> bool:
    """Whether the scene shows a combination that training never shows.

    "a cat to the left of a dog" and "a dog to the right of a cat" are one combination. Who plays
    chess, and who flies, is never kept back, nor an astronaut on a horse: they are the article's.
    """
    names = [name for name, _ in scene.kinds]
    if scene.arrangement in ("chess", "pilot") or names == ["astronaut", "horse"]:
        return False
    if scene.arrangement in PAIRED:
        return held_out(scene.arrangement, *names)
    if any(held_out("count", name, n) for name, n in scene.kinds if n > 1):
        return not ARTICLE_COUNTS.issuperset(scene.kinds)
    return len(names) == 1 and scene.arrangement == "single" and held_out(*names, scene.place)


ARTICLE_COUNTS = {("red square", 4), ("blue cube", 3)}


def inside(item: Item, margin: float = 0) -> bool:
    """Whether the whole object is in the picture."""
    left, top, right, bottom = item.box
    return left >= margin and top >= margin and right <= SIZE - margin and bottom <= SIZE - margin
