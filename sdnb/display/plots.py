"""Plots: how pictures converge as their steps grow, how many are right. Needs matplotlib."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from textwrap import shorten
from typing import Any, Protocol

from PIL import Image

from sdnb import counting
from sdnb.display.distance import difference
from sdnb.files import without_folder
from sdnb.settings import Settings, check_names, label

try:
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator
    from matplotlib.transforms import ScaledTranslation
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("Plots need matplotlib: pip install matplotlib") from error

COSTS = {"steps": "steps", "denoiser_calls": "denoiser calls", "seconds": "seconds"}
DISTANCE = "mean difference of 255\nfrom the picture with most steps"
PIPELINE = ("model", "revision", "dtype", "quantize")  # facts: lines of other pipelines are others
MARKERS = "osD^vP*X"  # with the colours, so that lines differ for everyone


class Picture(Protocol):
    """What a `Sample` has."""

    @property
    def image(self) -> Image.Image: ...
    @property
    def settings(self) -> Settings: ...
    @property
    def facts(self) -> Mapping[str, Any]: ...


class Plot(Figure):
    """A matplotlib figure that a notebook shows without pyplot, and with no global state."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=110)
        return buffer.getvalue()


def look(number: int) -> dict[str, Any]:
    """Marker and colour of one of several lines."""
    return {"marker": MARKERS[number % len(MARKERS)], "color": f"C{number % 10}"}


def open_frame(axis: Any) -> None:
    """A faint grid, and no frame above and to the right."""
    axis.grid(alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)


def _short(name: str, most: int) -> str:
    """A name of at most so many letters, which matplotlib does not read as a formula."""
    return shorten(name, most, placeholder=" …").replace("$", r"\$")


def convergence(samples: Iterable[Picture]) -> Plot:
    """How far each picture is from the one with the most steps, against what it cost.

    Arguments:
        samples: a sheet, or any samples. Those of one model, revision, dtype and quantisation that
            differ only in steps make a line, and so do the places of one run that `evolution`
            shows.

    Returns:
        A figure with a panel for steps, and for denoiser calls and seconds where they are known;
        with `SDNB_TIMES=off` in the environment none for seconds, so that two runs give the same
        figure. `savefig` writes it to a file.

    Raises:
        ValueError: no line has two numbers of steps.

    Example:
        >>> from sdnb import Sample
        >>> samples = [
        ...     Sample(Image.new("RGB", (8, 8), (shade, 0, 0)), Settings("a fox", steps=steps))
        ...     for steps, shade in [(12, 60), (24, 15), (50, 0)]
        ... ]
        >>> [line] = convergence(samples).axes[0].lines
        >>> line.get_xydata().tolist()
        [[12.0, 20.0], [24.0, 5.0], [50.0, 0.0]]
    """
    lines = lines_of(samples)
    names = names_of([line[0] for line in lines])
    whole = [_cost(picture) for line in lines for picture in line]
    panels = [name for name in COSTS if all(name in costs for costs in whole)]
    figure = Plot(figsize=(1 + 3.4 * len(panels), 3.6), layout="constrained")
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for number, line in enumerate(lines):
        distances = [difference(picture.image, line[-1].image) for picture in line]
        for panel, axis in zip(panels, axes):
            costs = [_cost(picture)[panel] for picture in line]
            axis.plot(costs, distances, clip_on=False, **look(number))
    for panel, axis in zip(panels, axes):
        axis.set_xlabel(COSTS[panel])
        axis.set_xlim(left=0)
        axis.set_ylim(bottom=0)
        open_frame(axis)
        axis.xaxis.set_major_locator(MaxNLocator(5, integer=panel != "seconds"))
    ticks = sorted({costs["steps"] for costs in whole})
    if min(b - a for a, b in pairwise(ticks)) > ticks[-1] / 12:  # their numbers do not touch
        axes[0].set_xticks(ticks)
    axes[0].set_ylabel(DISTANCE)
    if len(lines) > 1:
        figure.legend(
            axes[0].lines,
            [_short(name, 60) for name in names],
            loc="outside lower center",
            ncols=min(len(lines), 2 + len(panels)),
            frameon=False,
        )
    return figure


def accuracy(
    samples: Mapping[str, Iterable[Picture]], right: Callable[[Picture], bool], against: str
) -> Plot:
    """How many pictures are right, against one of their settings, with 95 % intervals.

    Arguments:
        samples: a name -> a sheet, or any samples: one line each.
        right: whether a picture is right.
        against: the setting, such as "guidance" or "steps".

    Returns:
        A figure; `savefig` writes it to a file.

    Raises:
        TypeError: there is no such setting.

    Example:
        >>> from sdnb import Sample
        >>> image = Image.new("RGB", (8, 8))
        >>> samples = [Sample(image, Settings("a fox", guidance=g, seed=s))
        ...            for g in (1, 7.5) for s in range(10)]
        >>> plot = accuracy({"foxes": samples}, lambda s: s.settings.seed < s.settings.guidance,
        ...                 "guidance")
        >>> plot.axes[0].lines[0].get_xydata().tolist()
        [[1.0, 10.0], [7.5, 80.0]]
    """
    check_names([against])
    figure = Plot(figsize=(6.4, 3.4), layout="constrained")
    axis = figure.subplots()
    for number, (name, pictures) in enumerate(samples.items()):
        hits: dict[Any, list[bool]] = {}
        for picture in pictures:
            hits.setdefault(getattr(picture.settings, against), []).append(bool(right(picture)))
        values = sorted(hits)
        shares = [100 * sum(hits[v]) / len(hits[v]) for v in values]
        bounds = [counting.interval(sum(hits[v]), len(hits[v])) for v in values]
        below = [max(0, share - 100 * low) for share, (low, _) in zip(shares, bounds)]
        above = [max(0, 100 * high - share) for share, (_, high) in zip(shares, bounds)]
        drawn = axis.errorbar(
            values, shares, yerr=[below, above], capsize=3, clip_on=False,
            label=_short(name, 60), **look(number),
        )  # fmt: skip
        aside = (number - (len(samples) - 1) / 2) * 5 / 72  # inches, so that no bar hides another
        for artist in drawn.get_children():  # now that their numbers have set the limits
            moved = ScaledTranslation(aside, 0, figure.dpi_scale_trans)
            artist.set_transform(axis.transData + moved)
    axis.set(xlabel=against.replace("_", " "), ylabel="right, %", ylim=(0, 100))
    if not axis.xaxis.have_units():  # numbers, not names
        axis.set_xlim(left=0)
    open_frame(axis)
    if len(samples) > 1:
        figure.legend(loc="outside lower center", ncols=len(samples), frameon=False)
    return figure


def bars(values: Mapping[str, float], axis_label: str) -> Plot:
    """Numbers with names as horizontal bars, the first on top.

    Arguments:
        values: a name -> its number.
        axis_label: what the numbers are.

    Returns:
        A figure; `savefig` writes it to a file.

    Raises:
        ValueError: there are no numbers.

    Example:
        >>> [axis] = bars({"fox": 40.0, "a": 2.5}, "difference").axes
        >>> [float(bar.get_width()) for bar in axis.patches]
        [40.0, 2.5]
    """
    if not values:
        raise ValueError("There are no numbers to draw as bars: give at least one.")
    figure = Plot(figsize=(6.4, 1 + 0.3 * len(values)), layout="constrained")
    axis = figure.subplots()
    places = range(len(values))
    drawn = axis.barh(places, list(values.values()), color="C0", height=0.7)
    axis.bar_label(drawn, fmt="%.1f", padding=3)
    axis.set_yticks(places, [_short(name, 40) for name in values])
    axis.invert_yaxis()
    axis.set_xlabel(axis_label)
    axis.set_xlim(left=0)
    axis.margins(x=0.12)
    axis.spines[["top", "right"]].set_visible(False)
    return figure


def lines_of(samples: Iterable[Picture]) -> list[list[Picture]]:
    """The samples of one pipeline that differ in steps only, together and in that order.

    Raises:
        ValueError: there is no line of two.
    """
    lines: dict[tuple[Any, ...], list[Picture]] = {}
    for sample in samples:
        pipeline = (sample.facts.get(name) for name in PIPELINE)
        lines.setdefault((sample.settings.but(steps=1), *pipeline), []).append(sample)
    found = [sorted(line, key=_steps) for line in lines.values()]
    found = [line for line in found if _steps(line[0]) < _steps(line[-1])]
    if not found:
        raise ValueError(
            "A convergence curve needs pictures that differ in steps and in nothing else: "
            "compare(prompt, steps=[12, 24, 38, 50], seed=510) makes some."
        )
    return found


def names_of(pictures: Sequence[Picture]) -> list[str]:
    """What tells the lines apart, for the legend.

    Arguments:
        pictures: one of each line.

    Example:
        >>> from sdnb import Sample
        >>> image, settings = Image.new("RGB", (8, 8)), Settings("a fox", scheduler="DDIM")
        >>> names_of([Sample(image, settings), Sample(image, settings.but(scheduler="LMS"))])
        ['DDIM', 'LMS']
    """
    values = [{n: p.facts.get(n) for n in PIPELINE} | p.settings.to_dict() for p in pictures]
    differing = [
        name for name in values[0] if name != "steps" and len({each[name] for each in values}) > 1
    ]
    models = {(each["model"], each["revision"]) for each in values}
    if len(models) == len({model for model, _ in models}):  # each has only one
        differing = [name for name in differing if name != "revision"]
    return [", ".join(_name(name, each[name]) for name in differing) for each in values]


def _name(name: str, value: Any) -> str:
    if name == "quantize":
        return value or "not quantised"
    if value is not None:
        if name == "dtype":
            return str(value)
        if name == "model":
            value = without_folder(value)
        elif name == "revision":
            value = value[:7]
    return label(name, value)


def _steps(picture: Picture) -> int:
    return picture.facts.get("step", picture.settings.steps)


def _cost(picture: Picture) -> dict[str, float]:
    known = {name: value for name, value in picture.facts.items() if name in COSTS and value}
    # of predicted x0 (evolution) the seconds are the whole run's
    if "step" in picture.facts or os.environ.get("SDNB_TIMES") == "off":
        known.pop("seconds", None)
    return {**known, "steps": _steps(picture)}
