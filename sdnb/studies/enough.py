"""Enough: from how many steps on pictures no longer change, for each scheduler."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from sdnb import counting, image_input, schedulers
from sdnb.display.distance import difference
from sdnb.generation import init_image
from sdnb.models import cache
from sdnb.models.capabilities import Capabilities
from sdnb.options import Axes, spelled_out
from sdnb.records.sample import Sample, why_black
from sdnb.settings import Settings, label
from sdnb.studies.pairs import several, shared_by
from sdnb.sweeps import axes
from sdnb.sweeps.axes import Cell
from sdnb.sweeps.execution import Kept
from sdnb.sweeps.plan import Plan
from sdnb.sweeps.ray_engine import Ray

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from typing_extensions import Unpack

    from sdnb.display import plots

# of the pipeline's own number of steps; for 50 they are 4, 6, 8, 12, 18, 25, 38 and 50
PARTS = (0.08, 0.12, 0.16, 0.24, 0.36, 0.5, 0.76, 1.0)
BAND = (5, 95)  # percentiles of the pictures


@dataclass(frozen=True)
class Point:
    """One number of steps of a scheduler: its cost, and how far from the last the pictures are.

    Attributes:
        steps, calls: steps, and the denoiser calls that they make.
        distances: of each picture to the one with most steps; grey levels, of 255.
        settled: how many pictures are within the distance here, and stay so from here on.
    """

    steps: int
    calls: int
    distances: Sequence[float]
    settled: int


@dataclass(frozen=True, eq=False, repr=False)
class Enough:
    """What `enough` found: a table of steps, a plot of distances.

    Attributes:
        lines: scheduler -> its points, from few steps to many; the last is what the others are
            measured against.
        pictures: how many prompts and seeds there are.
        within: a distance that is hardly seen, in grey levels, of 255.
        share: how many of the pictures have to be within it, 0 to 1.
        left_out: why pictures do not count, a text each: one of their steps failed, or is black.
    """

    lines: Mapping[str, Sequence[Point]]
    pictures: int
    within: float
    share: float
    left_out: Sequence[str] = ()

    @property
    def steps(self) -> dict[str, int | None]:
        """Scheduler -> the fewest steps that are enough; None where none of those tried is."""
        return {name: point.steps if point else None for name, point in self._answers().items()}

    @property
    def calls(self) -> dict[str, int | None]:
        """Scheduler -> the denoiser calls of these steps: what they cost."""
        return {name: point.calls if point else None for name, point in self._answers().items()}

    def _answers(self) -> dict[str, Point | None]:
        wanted = math.ceil(self.share * self.pictures - 1e-9)  # 0.95 * 20 is 19
        # the last is what the others are compared with, so it cannot be settled
        return {
            name: next((point for point in line[:-1] if point.settled >= wanted), None)
            for name, line in self.lines.items()
        }

    def table(self) -> list[dict[str, Any]]:
        """One row a scheduler and number of steps, as `pandas.DataFrame` takes them.

        `median`, `low` and `high` are distances from the last picture: of the middle one, and of
        those between which nine of ten lie; `settled` is the share of the pictures that are within
        the distance from there on, 0 to 1.
        """
        return [
            {
                "scheduler": name, "steps": point.steps, "calls": point.calls,
                "median": float(np.median(point.distances)),
                "low": float(np.percentile(point.distances, BAND[0])),
                "high": float(np.percentile(point.distances, BAND[1])),
                "settled": point.settled / self.pictures,
            }
            for name, line in self.lines.items() for point in line
        ]  # fmt: skip

    def plot(self) -> plots.Plot:
        """Distance from the last picture against denoiser calls: the middle picture as a line, nine
        of ten as a band, and a mark where it is enough.

        Raises:
            ModuleNotFoundError: matplotlib is not installed.
        """
        from sdnb.display import plots

        figure = plots.Plot(figsize=(6.4, 3.8), layout="constrained")
        axis = figure.subplots()
        rows, answers = self.table(), self._answers()
        for number, name in enumerate(self.lines):
            mine = [row for row in rows if row["scheduler"] == name]
            look, calls = plots.look(number), [row["calls"] for row in mine]
            low, middle, high = ([row[key] for row in mine] for key in ("low", "median", "high"))
            axis.fill_between(calls, low, high, color=look["color"], alpha=0.18, linewidth=0)
            found = answers[name]
            answer = f"from {_cost(found)} on" if found else f"more than {_cost(self._most(name))}"
            said = f"{name}: {answer}"
            axis.plot(calls, middle, markersize=4, label=said, **look)
            if found:
                axis.axvline(found.calls, color=look["color"], linestyle=":", linewidth=1.2)
        axis.axhline(self.within, color="gray", linewidth=0.8)
        most = max(row["high"] for row in rows)
        # few steps are far off: linear up to the distance that counts, logarithmic beyond
        axis.set_yscale("symlog", linthresh=self.within)
        ticks = [t for t in (1, 2, 5, 10, 20, 50, 100, 200) if 1.5 * self.within < t <= most]
        axis.set_yticks([0, self.within, *ticks], [f"{t:g}" for t in (0, self.within, *ticks)])
        axis.set_yticks([], minor=True)
        axis.set(xlabel="denoiser calls", xlim=(0, None), ylim=(0, 1.1 * max(most, self.within)))
        axis.set_ylabel(plots.DISTANCE)
        plots.open_frame(axis)
        figure.legend(loc="outside lower center", ncols=min(2, len(self.lines)), frameon=False)
        return figure

    def _most(self, name: str) -> Point:
        """The most steps that could have been enough."""
        line = self.lines[name]
        return line[-2] if len(line) > 1 else line[-1]

    def __str__(self) -> str:
        lines = [
            f"Within {self.within:g} grey levels of the last for {100 * self.share:g} % of "
            f"{self.pictures} pictures:"
        ]
        width = max(map(len, self.lines))
        for name, point in self._answers().items():
            last = self.lines[name][-1]
            if point:
                low, high = counting.interval(point.settled, self.pictures)
                lines.append(
                    f"  {name:{width}}  from {_cost(point)} on ({point.settled} of {self.pictures}"
                    f", {100 * low:.0f} to {100 * high:.0f} %), measured against {last.steps} steps"
                )
            else:
                most = self._most(name)
                lines.append(
                    f"  {name:{width}}  not by {_cost(most)} ({most.settled} of {self.pictures}), "
                    f"measured against {last.steps} steps: try more"
                )
        if self.left_out:
            number = len(self.left_out)
            reasons = "; ".join(dict.fromkeys(self.left_out))
            lines.append(f"  {number} picture{'s' * (number > 1)} left out: {reasons}")
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        if find_spec("matplotlib") is None:
            return {"text/plain": str(self)}
        return {"text/plain": str(self), "image/png": self.plot()._repr_png_()}


def _cost(point: Point) -> str:
    calls = f"{point.calls} call{'s' * (point.calls != 1)}"
    return label("steps", point.steps) + (f", {calls}" if point.calls != point.steps else "")


@spelled_out(Axes)
def enough(
    prompts: str | Settings | Iterable[str],
    seeds: Iterable[int] = range(4),
    *,
    calls: Iterable[int] | None = None,
    within: float = 2.0,
    share: float = 0.95,
    pipe: DiffusionPipeline | None = None,
    image: image_input.Sources | None = None,
    mask: image_input.Source | None = None,
    store: Kept = True,
    batch: int | None = None,
    engine: str | Ray | None = None,
    **options: Unpack[Axes],
) -> Enough:
    """Tells from how many steps on pictures no longer change, for each scheduler.

    Each prompt is drawn with each seed at each number of steps, all of it whole runs, their
    denoiser calls merged; each picture is compared with that of the same prompt, seed and scheduler
    that has the most steps. It has settled where it is near that one, and is so with more steps
    too. How near is `within`: two grey levels on the average are hardly seen.

    What is near the last is only as good as the last: let it have far more steps than needed. And
    schedulers settle on different pictures, so this does not say which is better; `duel` does.

    Arguments:
        prompts: what the pictures show: a text, or several; or whole `Settings`.
        seeds: each prompt is drawn once with each of them.
        steps: the numbers of steps to try, two or more; instead of `calls`.
        calls: the denoiser calls to try: each scheduler makes as many steps as cost about so many,
            so that they are compared at equal cost. Where neither is given, eight numbers up to the
            pipeline's own steps: 4, 6, 8, 12, 18, 25, 38 and 50 for Stable Diffusion 1.
        scheduler: one name, or several; the model's own where not given.
        within: a distance that does not count: mean absolute difference over all pixels, in grey
            levels, over 0 and up to 255.
        share: how many of the pictures have to be within it, over 0 and up to 1.
        negative_prompt, guidance, width, height, strength, long_prompt, prompt_syntax, keep, lora:
            as for `generate`.
        seed: there is none; give `seeds`.
        pipe, image, mask, store: as for `generate`.
        batch, engine: as for `compare`.

    Returns:
        An `Enough`: as text a line for each scheduler, in a notebook also the plot; `steps` has
        the numbers, `table()` all of them.

    Raises:
        ValueError: a value does not fit; before anything runs.
        TypeError: there is no such setting; where diffusers has it, the error names ours.

    Example:
        >>> import sdnb
        >>> prompt, pipe = "a fox on a blue background", sdnb.load("emoji")
        >>> enough(prompt, [0], steps=[6, 12, 50], scheduler="DDIM", pipe=pipe).steps
        {'DDIM': 12}
    """
    _check_wanted(within, share)
    start = init_image.start(image, mask)
    pipe = cache.current(pipe)
    drafts = _drafts(prompts, seeds, calls, pipe, dict(options))
    made = Plan.of(drafts, pipe, start)
    made = replace(made, cols=len(made), title=axes.title(made.settings[0], made.differing))
    sheet = made.run(store, batch, engine)
    lines: dict[str, dict[tuple[str, int | None], dict[int, tuple[int, Sample]]]] = {}
    left_out: dict[tuple[str, int | None], str] = {}
    for sample, count in zip(sheet, made.counts):
        settings = sample.settings
        key = settings.prompt, settings.seed
        line = lines.setdefault(settings.scheduler or "", {}).setdefault(key, {})
        line[settings.steps or 0] = count, sample
        if why := "; ".join(why_black(sample.facts)):
            left_out[key] = why
    kept = [key for key in next(iter(lines.values())) if key not in left_out]
    if not kept:
        raise ValueError(f"No picture is left to compare: {next(iter(left_out.values()))}.")
    points = {name: _points([line[key] for key in kept], within) for name, line in lines.items()}
    return Enough(points, len(kept), within, share, list(left_out.values()))


def _check_wanted(within: float, share: float) -> None:
    if not 0 < within <= 255:
        raise ValueError(f"within is {within:g}: give over 0 and up to 255, such as 2.")
    if not 0 < share <= 1:
        raise ValueError(f"share is {share:g}: give over 0 and up to 1, such as 0.95.")


def _drafts(
    prompts: str | Settings | Iterable[str],
    seeds: Iterable[int],
    calls: Iterable[int] | None,
    pipe: DiffusionPipeline,
    options: dict[str, Any],
) -> list[Cell]:
    """The settings of all pictures: each scheduler, prompt, seed and number of steps once."""
    fixed, lists = axes.split(**shared_by(prompts, options, "steps"))
    steps, names = lists.pop("steps", None), lists.pop("scheduler", None)
    if lists:
        name, values = next(iter(lists.items()))
        raise TypeError(
            f"{name} is {values}: enough compares steps and schedulers, give one {name}."
        )
    names = names or [fixed.get("scheduler") or schedulers.name_of(pipe.scheduler)]
    if steps is None and "steps" in fixed:
        raise ValueError(f"steps is {fixed['steps']}: give two numbers or more, as in [4, 12, 50].")
    axes.check_calls(calls, steps)
    own = Capabilities.of(pipe).steps
    wanted = several("calls", calls) if calls is not None else [
        max(1, round(part * own)) for part in PARTS
    ]  # fmt: skip
    drafts = []
    for name in names:
        tried = sorted({*(steps or (schedulers.steps_for(name, number) for number in wanted))})
        if len(tried) < 2:
            raise ValueError(
                f"With {name} that is {label('steps', tried[0])} and nothing to compare with: give "
                "two numbers of steps or more, as in steps=[4, 12, 50]."
            )
        for text in several("prompts", prompts):
            for seed in several("seeds", seeds):
                given = {**fixed, "prompt": text, "seed": seed, "scheduler": name}
                drafts += [axes.cells({**given, "steps": n}, {})[0] for n in tried]
    return drafts


def _points(pictures: Sequence[Mapping[int, tuple[int, Sample]]], within: float) -> list[Point]:
    """The points of one scheduler.

    Arguments:
        pictures: of each prompt and seed, steps -> denoiser calls and the sample.
        within: the distance that does not count.
    """
    steps = sorted(pictures[0])
    apart = np.array(
        [[difference(m[n][1].image, m[steps[-1]][1].image) for n in steps] for m in pictures]
    )  # (pictures, steps)
    near = apart <= within
    settled = np.logical_and.accumulate(near[:, ::-1], axis=1)[:, ::-1].sum(0)
    return [
        Point(n, pictures[0][n][0], apart[:, i].tolist(), int(settled[i]))
        for i, n in enumerate(steps)
    ]
