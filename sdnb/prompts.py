"""Prompts by name: the article's, and in their place what the embedded model knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sdnb import emoji
from sdnb.models import cache, provenance

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline


class Prompts(NamedTuple):
    """Five prompts by name; `sdnb.compare(prompts)` makes a picture of each.

    Example:
        >>> ARTICLE.astronaut
        'a photograph of an astronaut riding a horse'
        >>> len(ARTICLE)
        5
    """

    astronaut: str
    sunset: str
    pilot: str
    chess: str
    squares: str


ARTICLE = Prompts(
    astronaut="a photograph of an astronaut riding a horse",
    sunset="synthwave sunset",
    pilot="border collie as a WWII pilot, propaganda style",
    chess="film still of an elderly man playing chess",
    squares="Four red squares on the left of the table together with three blue cubes on the "
    "bottom right of the table",
)
# nearest to those in its world of emoji: a boat below the sun, a dog above its plane, the king and
# the knight of a game of chess
EMOJI = Prompts(
    astronaut="an astronaut riding a horse",
    sunset="a sun above a sailboat on a pink background",
    pilot="a border collie above an airplane on a yellow background",
    chess="a crown to the left of a horse on a gray background",
    squares="four red squares on the left together with three blue cubes on the right",
)


def for_model(pipe: DiffusionPipeline | None = None) -> Prompts:
    """The prompts that suit a model: the article's, or for the embedded one its own.

    Arguments:
        pipe: the pipeline; None takes the one that `load` last returned, or loads the default.

    Returns:
        `EMOJI` for the embedded model, `ARTICLE` for every other.

    Example:
        >>> import sdnb
        >>> for_model(sdnb.load("emoji")).pilot
        'a border collie above an airplane on a yellow background'
    """
    origin = provenance.origin_of(cache.current(pipe))
    return EMOJI if origin.model == emoji.NAME else ARTICLE
