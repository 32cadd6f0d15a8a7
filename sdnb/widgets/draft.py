"""What a press of the panel is to make: its plan, and the cell that makes it again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sdnb import api
from sdnb.generation.init_image import Start
from sdnb.models import provenance
from sdnb.settings import LORA, Settings, label
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
    """

    pipe: DiffusionPipeline
    start: Start | None
    plan: Callable[[], Plan]
    code: str


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
    given = settings.to_dict()
    if axis.startswith(LORA):
        given["lora"] = {**(settings.lora or {}), axis.removeprefix(LORA): among}
    else:
        given[axis] = among

    def plan() -> Plan:
        image, mask = (start.image, start.mask) if start else (None, None)
        return api.plan(**given, pipe=pipe, image=image, mask=mask)

    return Draft(pipe, start, plan, _code(wanted, axis, among))


def _code(wanted: Wanted, axis: str, among: Sequence[Any]) -> str:
    origin, request = provenance.origin_of(wanted.pipe), provenance.request_of(wanted.pipe)
    extras = dict(request.extras) if request else {}
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
