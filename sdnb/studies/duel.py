"""Duel: which of two settings is better, and whether that may be luck."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sdnb import image_input
from sdnb.display.preview import preview
from sdnb.generation import init_image
from sdnb.log import notice
from sdnb.options import Options, spelled_out
from sdnb.records.sample import Sample
from sdnb.records.sheet import Sheet
from sdnb.settings import Settings, printable, rounded
from sdnb.studies.pairs import LOOK, Pair, Pairs, Side
from sdnb.studies.tally import Tally, in_words
from sdnb.sweeps.execution import Kept

if TYPE_CHECKING:
    import os

    from diffusers import DiffusionPipeline
    from typing_extensions import Unpack

    from sdnb.api import Dtype

Score = Callable[[Sample], Any]
SHOWN = 4  # pairs that the result shows


@dataclass(frozen=True, eq=False, repr=False)
class Duel:
    """What `duel` found: a sentence, and the pairs that differ most.

    Attributes:
        a, b: what was compared, in words.
        pairs: all that were made and scored, in that order.
        tally: in how many of them `a` was better, `b`, and neither; with rate, interval and p.
        planned: how many pairs there could have been.
        left_out: why pairs do not count, a text each: a picture failed, or is black.
        stopped: what ended it before all pairs were made; empty where nothing did.
        unit: of the scores, in words; empty where the result of each pair is only which is better.
    """

    a: str
    b: str
    pairs: Sequence[Pair]
    tally: Tally
    planned: int
    left_out: Sequence[str] = ()
    stopped: str = ""
    unit: str = "score"

    @property
    def rate(self) -> float:
        """The share of the pairs in which `a` was better, without ties, 0 to 1."""
        return self.tally.rate

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % confidence interval of the rate: (low, high), 0 to 1."""
        return self.tally.interval

    @property
    def p(self) -> float:
        """The p-value: how often two equals would differ at least so much, at most; 0 to 1."""
        return self.tally.p

    def __str__(self) -> str:
        return printable(" ".join([self._finding(), *self._besides()]))

    def _finding(self) -> str:
        tally, names = self.tally, f"{self.a} against {self.b}"
        if not tally.pairs:
            return f"{names}: neither was better in any pair."
        low, high = (f"{100 * each:.0f}" for each in tally.interval)
        better = (
            f"{names}: better in {tally.wins} of {tally.pairs} pairs, "
            f"{100 * tally.rate:.0f} % ({low} to {high})"
        )
        if tally.decided:
            worse = " and so worse," * (tally.rate < 0.5)
            return f"{better},{worse} not luck ({in_words(tally.p)})."
        return f"{better}, which may be luck ({in_words(tally.p)}): no difference was found."

    def _besides(self) -> Iterator[str]:
        tally = self.tally
        if tally.ties:
            pairs = "1 pair is" if tally.ties == 1 else f"{tally.ties} pairs are"
            yield f"{pairs} equal and not counted."
        if 0 < tally.pairs < tally.least:
            yield f"So few tell nothing: it takes {tally.least} that differ, or more."
        if self.left_out:
            number = len(self.left_out)
            reasons = "; ".join(dict.fromkeys(self.left_out))
            yield f"{number} pair{'s are' if number > 1 else ' is'} left out: {reasons}."
        if self.stopped:
            made = len(self.pairs) + len(self.left_out)
            yield f"{self.stopped} after {made} of {self.planned} pairs."

    def sheet(self, most: int | None = SHOWN) -> Sheet:
        """The pairs as two rows, those first that differ most in their scores.

        Arguments:
            most: so many pairs; None for all.
        """
        ranked = sorted(self.pairs, key=lambda pair: -abs(pair.scores[0] - pair.scores[1]))
        shown = ranked[:most]
        below = [
            f"{self.unit} {rounded(pair.scores[side], 3)}" for side in (0, 1) for pair in shown
        ]
        title = "the pairs that differ most" if self.unit and len(shown) < len(self.pairs) else ""
        return Sheet(
            [pair.a for pair in shown] + [pair.b for pair in shown], 2, len(shown),
            [self.a, self.b], [pair.name for pair in shown], below=below if self.unit else (),
            title=title,
        )  # fmt: skip

    def table(self) -> list[dict[str, Any]]:
        """One row a pair with both scores, as `pandas.DataFrame` takes them."""
        return [
            {
                "pair": pair.name, "prompt": pair.a.settings.prompt, "seed": pair.a.settings.seed,
                "a": pair.scores[0], "b": pair.scores[1],
                "difference": pair.scores[0] - pair.scores[1],
            }
            for pair in self.pairs
        ]  # fmt: skip

    def __len__(self) -> int:
        return len(self.pairs)

    def __repr__(self) -> str:
        return f"Duel({self})"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        if not self.pairs:
            return {"text/plain": repr(self)}
        shown = self.sheet()
        shown = replace(shown, title=str(self), note=shown.title)
        return {"text/plain": repr(self), **preview(shown.grid())}


@spelled_out(Options)
def duel(
    a: Side,
    b: Side,
    prompts: str | Settings | Iterable[str] | None = None,
    seeds: Iterable[int] = range(20),
    *,
    score: Score | None = None,
    stop_early: bool = True,
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
) -> Duel:
    """Tells which of two settings is better, and whether that may be luck.

    Each prompt is drawn with each seed twice, once with either setting, from the same noise; a
    score says of each pair which is better. The pictures are made in rounds of eight pairs, their
    denoiser calls merged, and after each round it is asked whether the answer stands; if so, the
    rest is not made. That is allowed: p and interval hold whenever one stops, so that of duels
    between equals at most 5 in 100 find a difference (see `sdnb.studies.tally.Tally`).

    Arguments:
        a, b: what is compared: settings by their names, such as {"scheduler": "PNDM"}, model,
            dtype and quantize among them; or whole `Settings`, but for their seed; a text is a
            prompt, which says where `prompts` go, if there are any: "{}, film still".
        prompts: what the pictures show: a text, or several, or choices as in "a {red|blue} fox"; or
            whole `Settings` for both.
        seeds: each prompt is drawn once with each of them.
        score: says how good a `Sample` is: any function that gives a number, higher is better.
            `sdnb.scores` has some. None takes `sdnb.scores.Counted()`, which sees whether squares
            and circles are as many, and where, as the prompt says.
        stop_early: False makes all pairs, and then takes the ordinary sign test and Wilson's
            interval, which are a little narrower.
        negative_prompt, steps, guidance, scheduler, width, height, strength, long_prompt,
            prompt_syntax, keep, lora, toward: what both share, as for `generate`.
        seed: there is none; give `seeds`.
        calls: instead of `steps`: so many denoiser calls for each, whatever its scheduler.
        model, dtype, quantize: what both share, as for `load`; instead of `pipe`.
        pipe: the pipeline; None takes the one that `load` last returned, or loads the default.
        image, mask, store: as for `generate`.
        batch: pictures at once; None takes what fits into the memory.

    Returns:
        A `Duel`: as text a sentence, in a notebook also the pairs that differ most. Equal scores
        are ties, and do not count. Ctrl-C keeps the finished pictures in the store, and the
        sentence so far is logged; the same call goes on from there.

    Raises:
        ValueError: a value does not fit, both sides make the same pictures, or the score cannot
            judge these prompts; before anything runs. Or a score is not a finite number.
        TypeError: there is no such setting; where diffusers has it, the error names ours.

    Example:
        >>> import sdnb
        >>> def patience(sample):
        ...     return sample.settings.steps
        >>> found = duel({"steps": 1}, {"steps": 2}, "a fox", range(9), score=patience,
        ...              pipe=sdnb.load("emoji"))
        >>> print(str(found).partition(",")[0])
        1 step against 2 steps: better in 0 of 8 pairs
    """
    pairs = Pairs.of(
        a, b, prompts, seeds, pipe, init_image.start(image, mask), calls,
        model=model, dtype=dtype, quantize=quantize, **options,
    )  # fmt: skip
    if score is None:
        from sdnb.scores import Counted

        score = Counted()
    if check := getattr(score, "check", None):
        for settings in pairs.plan.settings:
            check(settings)
    left_out: list[str] = []
    scored: list[Pair] = []

    def found(stopped: str = "") -> Duel:
        tally = Tally.of((pair.scores for pair in scored), fixed=not stop_early and not stopped)
        return Duel(*pairs.sides, list(scored), tally, len(pairs), list(left_out), stopped)

    rounds = pairs.rounds(store, batch, left_out, found)
    try:
        for tally in decided_after(_scored(rounds, score, scored), stop_early):
            if stop_early and tally.decided and len(scored) + len(left_out) < len(pairs):
                return found("That was clear, and it stopped,")
    except KeyboardInterrupt:
        notice(str(found("Interrupted")))
        raise
    finally:
        rounds.close()
    return found()


def decided_after(
    rounds: Iterable[Sequence[tuple[float, float]]], stop_early: bool = True
) -> Iterator[Tally]:
    """The tally after each round of scored pairs; ends with the one that decides.

    Arguments:
        rounds: the scores of the pairs in each.
        stop_early: False goes on to the last.
    """
    seen: list[tuple[float, float]] = []
    for scores in rounds:
        seen += scores
        tally = Tally.of(seen)
        yield tally
        if stop_early and tally.decided:
            return


def _scored(
    rounds: Iterable[Sequence[Pair]], score: Score, scored: list[Pair]
) -> Iterator[list[tuple[float, float]]]:
    for made in rounds:
        new = [replace(p, scores=(_number(score, p.a), _number(score, p.b))) for p in made]
        scored += new
        yield [pair.scores for pair in new]


def _number(score: Score, sample: Sample) -> float:
    """The score of a picture, as a number."""
    value = score(sample)
    try:
        number = float(value)
    except (TypeError, ValueError, RuntimeError):  # torch's, for a tensor of several
        raise TypeError(
            f"The score of {sample!r} is {value!r}: let it return a number, the higher the better."
        ) from None
    if not math.isfinite(number):
        raise ValueError(
            f"The score of {sample!r} is {number}: let it return a finite number for each picture."
        )
    return number


__all__ = ["LOOK", "Duel", "decided_after", "duel"]
