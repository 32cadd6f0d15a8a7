"""Voting: two pictures, left and right drawn by lot, and somebody who says which is better."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sdnb import image_input
from sdnb.generation import init_image
from sdnb.log import notice
from sdnb.options import Options, spelled_out
from sdnb.settings import Settings
from sdnb.studies.ballot import Ballot
from sdnb.studies.duel import Duel
from sdnb.studies.pairs import Pairs, Side
from sdnb.sweeps.execution import Kept, opened
from sdnb.widgets import frontend

if TYPE_CHECKING:
    import os

    from diffusers import DiffusionPipeline
    from typing_extensions import Unpack

    from sdnb.api import Dtype
    from sdnb.widgets.voting_view import VotingView


@spelled_out(Options)
def vote(
    a: Side | Duel,
    b: Side | None = None,
    prompts: str | Settings | Iterable[str] | None = None,
    seeds: Iterable[int] = range(20),
    *,
    calls: int | None = None,
    model: str | os.PathLike[str] | None = None,
    dtype: Dtype | None = None,
    quantize: str | None = None,
    pipe: DiffusionPipeline | None = None,
    image: image_input.Sources | None = None,
    mask: image_input.Source | None = None,
    store: Kept = True,
    batch: int | None = None,
    **options: Unpack[Options],
) -> Vote:
    """Lets you say which of two settings is better, without knowing which is which.

    It takes what `duel` takes, but for the score: that is your eye. The pictures are made first;
    then two stand side by side, left and right drawn by lot. Arrow keys or buttons vote: left,
    right, or down where they are equally good; Backspace takes the last vote back. The statistics
    are those of `duel`, and hold whenever you stop. The panel opens the same vote between two
    values of a setting: Compare, Vote.

    Each vote is kept at once, in the file `votes.jsonl` of the store's folder, and counts again
    wherever the same two pictures are compared: after a restart, too.

    Arguments:
        a, b, prompts, seeds: as for `duel`; or, instead of all of them, what a `duel` returned:
            then its pairs are voted on.
        negative_prompt, steps, guidance, scheduler, width, height, strength, long_prompt,
            prompt_syntax, keep, lora: what both share, as for `generate`.
        seed: there is none; give `seeds`.
        calls, model, dtype, quantize, pipe, image, mask, batch: as for `duel`.
        store: where finished pictures are looked for and kept, and the votes.

    Returns:
        A `Vote`, which shows itself; `result` is what the votes say so far.

    Raises:
        ModuleNotFoundError: ipywidgets is not installed.
        ValueError, TypeError: as `duel`.

    Example:
        >>> import sdnb
        >>> voting = vote({"steps": 1}, {"steps": 4}, "a fox", [1, 2], pipe=sdnb.load("emoji"))
        >>> voting
        Vote(1 step against 4 steps: 0 of 2 pairs)
    """
    there = opened(store)
    folder = there.folder if there else None
    if isinstance(a, Duel):
        if b is not None or prompts is not None:
            raise TypeError("A duel has its pairs already: give it alone.")
        return Vote(Ballot(a.pairs, (a.a, a.b), folder))
    if b is None:
        raise TypeError("There is one side only: give a second, or what sdnb.duel returned.")
    pairs = Pairs.of(
        a, b, prompts, seeds, pipe, init_image.start(image, mask), calls,
        model=model, dtype=dtype, quantize=quantize, **options,
    )  # fmt: skip
    left_out: list[str] = []
    made = [pair for some in pairs.rounds(store, batch, left_out) for pair in some]
    if left_out:
        reasons = "; ".join(dict.fromkeys(left_out))
        notice(f"Left out: {len(left_out)} of {len(pairs)} pairs, {reasons}.")
    return Vote(Ballot(made, pairs.sides, folder))


class Vote:
    """What `vote` returns: two pictures and buttons where somebody can click, else a sentence.

    Attributes:
        ballot: the pairs and their votes.
    """

    def __init__(self, ballot: Ballot) -> None:
        self.ballot = ballot
        self._view = _view(ballot) if frontend.shows_widgets() else None

    @property
    def result(self) -> Duel:
        """What the votes say so far: rate, interval and p, as a `Duel`."""
        return self.ballot.result

    def close(self) -> None:
        """Takes the widgets away."""
        if self._view is not None:
            self._view.close()

    def __repr__(self) -> str:
        names = " against ".join(self.ballot.sides)
        return f"Vote({names}: {self.ballot.voted} of {len(self.ballot)} pairs)"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        if self._view is None:
            return {"text/plain": f"{self!r}, without anybody to vote here"}
        instead = "This was a vote. Run the cell to vote."
        return frontend.bundle(self._view.box, repr(self), instead)


def _view(ballot: Ballot) -> VotingView:
    with frontend.widgets_for("Voting"):
        from sdnb.widgets.voting_view import VotingView
    return VotingView(ballot)
