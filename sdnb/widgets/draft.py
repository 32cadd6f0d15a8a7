"""What a press of the panel is to make: its plan, and the cell that makes it again."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sdnb import api
from sdnb.generation.init_image import Start
from sdnb.models import provenance
from sdnb.settings import LORA, Settings, label
from sdnb.studies.pairs import Pairs
from sdnb.sweeps import axes
from sdnb.sweeps.axes import Cell
from sdnb.sweeps.plan import Plan
from sdnb.widgets import html

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline


@dataclass(frozen=True)
class Wanted:
    """What stands in the panel: its settings, the picture to start from, and the pipeline."""

    settings: Settings
    start: Start | None
    pipe: DiffusionPipeline


@dataclass(frozen=True)
class Draft:
    """What is to be made.

    Attributes:
        pipe, start: the pipeline, and the picture to start from.
        plan: makes the plan, which may take a while and fail.
        code: the cell that makes the sheet again; empty for one picture, which has its own.
        pairs: makes the pairs that are voted on, if it is a vote: its pictures are shown to nobody
            before.
    """

    pipe: DiffusionPipeline
    start: Start | None
    plan: Callable[[], Plan]
    code: str
    pairs: Callable[[], Pairs] | None = None


def of_seeds(wanted: Wanted, count: int) -> Draft:
    """So many pictures, with the seeds that follow."""
    settings, start, pipe = wanted.settings, wanted.start, wanted.pipe
    first = settings.seed or 0
    seeds = range(first, first + count)
    cells = [Cell(settings.but(seed=seed)) for seed in seeds]
    code = _code(wanted, "seed", seeds) if count > 1 else ""
    return Draft(pipe, start, lambda: _tabled(Plan.of(cells, pipe, start)), code)


def of_axis(wanted: Wanted, axis: str, among: list[Any]) -> Draft:
    """A comparison of these values.

    Raises:
        ValueError: strengths are compared, and no picture is there to start from.
    """
    settings, start, pipe = wanted.settings, wanted.start, wanted.pipe
    if axis == "strength" and start is None:
        raise ValueError("strength is for image to image: choose a picture to start from.")
    given = settings.to_dict() | _varied(settings, axis, among)

    def plan() -> Plan:
        image, mask = (start.given, start.mask) if start else (None, None)
        return api.plan(**given, pipe=pipe, image=image, mask=mask)

    return Draft(pipe, start, plan, _code(wanted, axis, among))


def of_vote(wanted: Wanted, axis: str, among: list[Any], count: int) -> Draft:
    """A vote between two values, with so many seeds that follow.

    Raises:
        ValueError: they are not two, or they are seeds, or strengths without a picture.
    """
    if axis == "seed":
        raise ValueError("Two pictures of a pair share their seed: choose another setting.")
    if len(among) != 2:
        raise ValueError(f"A vote is between two values: write two, not {len(among)}.")
    settings, start, pipe = wanted.settings, wanted.start, wanted.pipe
    if axis == "strength" and start is None:
        raise ValueError("strength is for image to image: choose a picture to start from.")
    a, b = (_varied(settings, axis, value) for value in among)
    first = settings.seed or 0
    seeds = range(first, first + count)

    @functools.cache
    def pairs() -> Pairs:
        one, other = (settings.but(**side) for side in (a, b))
        return Pairs.of(one, other, None, seeds, pipe, start)

    origin, extras = _loaded(wanted)
    code = html.voting(settings, (a, b), seeds, origin, start, extras)
    return Draft(pipe, start, lambda: pairs().plan, code, pairs)


def _varied(settings: Settings, axis: str, value: Any) -> dict[str, Any]:
    """The setting that an axis is, with this value, or these."""
    if axis.startswith(LORA):
        return {"lora": {**(settings.lora or {}), axis.removeprefix(LORA): value}}
    return {axis: value}


def _loaded(wanted: Wanted) -> tuple[provenance.Origin, dict[str, Any]]:
    request = provenance.request_of(wanted.pipe)
    return provenance.origin_of(wanted.pipe), dict(request.extras) if request else {}


def _code(wanted: Wanted, axis: str, among: Sequence[Any]) -> str:
    origin, extras = _loaded(wanted)
    return html.comparison(wanted.settings, axis, among, origin, wanted.start, extras)


def _tabled(plan: Plan) -> Plan:
    """The plan's pictures as a table, each with its seed."""
    seeds = [settings.seed or 0 for settings in plan.settings]
    cols = len(plan) if len(plan) <= 4 else next(n for n in (4, 3, 5, 7) if len(plan) % n == 0)
    rows = len(plan) // cols
    across = [f"+ {i}" for i in range(cols)] if rows > 1 else [label("seed", s) for s in seeds]
    return replace(
        plan, rows=rows, cols=cols, col_labels=across,
        row_labels=[label("seed", s) for s in seeds[::cols]] if rows > 1 else (),
        title=axes.title(plan.settings[0], {"seed": seeds}),
    )  # fmt: skip
