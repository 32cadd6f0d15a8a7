"""Scenes of given sentences: the article's five prompts."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from sdnb.prompts import ARTICLE
from training.world.ground import Kinds
from training.world.scene import Scene
from training.world.stream import draw

ARTICLE_SCENES: dict[str, tuple[str, Kinds, dict[str, str]]] = {
    ARTICLE.astronaut: (
        "riding", (("astronaut", 1), ("horse", 1)), {"style": "photograph"}),
    ARTICLE.sunset: ("scenery", (), {"place": "synthwave"}),
    ARTICLE.pilot: (
        "pilot", (("border collie", 1), ("aviator cap", 1)), {"style": "propaganda poster"}),
    ARTICLE.chess: ("chess", (("old man", 1), ("chess board", 1)), {"style": "film still"}),
    ARTICLE.squares: ("corner", (("red square", 4), ("blue cube", 3)), {"place": "table"}),
}  # fmt: skip


def article(rng: Random, prompt: str) -> Scene:
    """A scene of one of the article's prompts; what it does not say is left to chance."""
    arrangement, kinds, fixed = ARTICLE_SCENES[prompt]
    drawn = draw(rng, arrangement, kinds, **fixed)
    if "style" not in fixed:
        drawn = replace(drawn, style="photograph")
    return replace(drawn, said=frozenset(fixed))
