"""Plan: pictures to be made, checked before any of them is, counted, and set into a sheet."""

from __future__ import annotations

import contextlib
import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from PIL import Image

from sdnb.display.live_sheet import Live
from sdnb.generation import init_image, model_lock, sampling
from sdnb.models import cache
from sdnb.records.sample import Sample
from sdnb.records.sheet import Sheet
from sdnb.records.store import Store
from sdnb.settings import Settings
from sdnb.sweeps import ray_engine
from sdnb.sweeps.axes import Cell
from sdnb.sweeps.batching import DENOISER, MOST
from sdnb.sweeps.execution import Making

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline


@dataclass(frozen=True)
class Plan:
    """Pictures to be made, checked and with all that the model decides filled in.

    Attributes:
        settings: of each picture, row by row.
        pipes: its pipeline.
        start: the picture that all of them start from, if they do.
        rows, cols, row_labels, col_labels, page_labels, title: of the sheet.
    """

    settings: Sequence[Settings]
    pipes: Sequence[DiffusionPipeline] = field(repr=False)
    start: init_image.Start | None = None
    rows: int = 1
    cols: int = 1
    row_labels: Sequence[str] = ()
    col_labels: Sequence[str] = ()
    page_labels: Sequence[str] = ()
    title: str = ""

    @classmethod
    def of(
        cls, drafts: list[Cell], pipe: DiffusionPipeline | None, start: init_image.Start | None
    ) -> Plan:
        """Resolves drafts on their models; a seed that none gives is drawn once for all."""
        shared = secrets.randbelow(2**32)
        settings, pipes = [], []
        for cell in drafts:
            own = cache.load(cell.model) if cell.model else cache.current(pipe)
            pipes.append(sampling.pipeline_for(own, start))
            draft = cell.settings
            draft = draft if draft.seed is not None else draft.but(seed=shared)
            settings.append(sampling.resolve(draft, pipes[-1], start))
        return cls(settings, pipes, start)

    @property
    def pictures(self) -> int:
        """How many pictures."""
        return len(self.settings)

    @property
    def differing(self) -> dict[str, list[Any]]:
        """The settings that not all pictures share, each with its values."""
        values = [settings.to_dict() for settings in self.settings]
        columns = {name: [each[name] for each in values] for name in values[0]}
        return {name: column for name, column in columns.items() if len(set(column)) > 1}

    @property
    def calls(self) -> int:
        """Denoiser calls of all pictures, one by one."""
        return sum(map(sampling.calls_of, self.settings, self.pipes))

    @property
    def merged_calls(self) -> int:
        """Denoiser calls that are left where all that can be merged is, 16 at most."""
        runs: dict[tuple[Any, ...], list[int]] = {}
        for settings, pipe in zip(self.settings, self.pipes):
            group = (id(pipe), settings.width, settings.height)
            runs.setdefault(group, []).append(sampling.calls_of(settings, pipe))
        return sum(max(*calls, math.ceil(sum(calls) / MOST[DENOISER])) for calls in runs.values())

    def seconds(self) -> float:
        """An estimate for all pictures one by one: a run of two steps of each model is timed."""
        took: dict[tuple[Any, ...], float] = {}
        total = 0.0
        for settings, pipe in zip(self.settings, self.pipes):
            group = (id(pipe), settings.width, settings.height, settings.guidance > 1)
            if group not in took:
                short = settings.but(steps=max(2, int(2 / (settings.strength or 1))))
                with model_lock.lock(pipe):
                    sample = sampling.run(short, pipe, start=self.start)
                took[group] = sample.facts["seconds"] / sample.facts["denoiser_calls"]
            total += took[group] * sampling.calls_of(settings, pipe)
        return total

    def __len__(self) -> int:
        return len(self.settings)

    def __repr__(self) -> str:
        s = "s" * (len(self) != 1)
        return (
            f"Plan({len(self)} picture{s}, {self.calls} denoiser calls, "
            f"merged about {self.merged_calls})"
        )

    def run(
        self,
        store: bool | Store = True,
        batch: int | None = None,
        engine: str | ray_engine.Ray | None = None,
    ) -> Sheet:
        """Makes the pictures that the store does not have, and sets all into a sheet.

        Arguments:
            store: where pictures are looked for and kept; False uses none.
            batch: pictures at once; None takes what fits into the memory.
            engine: "ray" or a `cluster.Ray` makes them on Ray's workers; None makes them here.

        Raises:
            the first error, where every picture failed; else a cell says what went wrong.
            ValueError: there is no such engine, or a pipeline is not as `load` made it and so
                cannot go to Ray's workers; before anything runs.
            ModuleNotFoundError: Ray is not installed.
        """
        with ray_engine.opened(engine) as remote:
            making = Making(self, store, remote)
            with (
                sampling.progress(
                    [self.settings[i] for i in making.todo], [self.pipes[i] for i in making.todo]
                ) as bar,
                Live(len(self), making.sheet) as live,
            ):
                if remote:
                    made = making.far(remote, batch, bar.update)
                else:
                    made = making.go_on(batch, bar.update)
                with contextlib.closing(made):  # a traceback would keep it, and the model's lock
                    for _ in made:
                        live.update()
        return making.finished()

    def _made_by(
        self, kept: Store | None, remote: ray_engine.Remote | None
    ) -> list[dict[str, Any] | None]:
        """What besides the settings decides what each picture looks like; None: nobody asks."""
        if not remote and not kept:
            return [None] * len(self)
        ask = remote.made_by if remote else sampling.made_by
        known: dict[tuple[Any, ...], dict[str, Any] | None] = {}
        for settings, pipe in zip(self.settings, self.pipes):
            if (id(pipe), settings.scheduler) not in known:
                known[id(pipe), settings.scheduler] = ask(settings, pipe, self.start)
        return [known[id(p), s.scheduler] for s, p in zip(self.settings, self.pipes)]

    def _sheet(
        self, made: dict[int, Sample], errors: dict[int, Exception], alone: dict[int, str]
    ) -> Sheet:
        samples = [
            made[i] if i in made else _placeholder(settings, errors.get(i))
            for i, settings in enumerate(self.settings)
        ]
        reasons = dict.fromkeys(alone.values())
        note = f"made one by one: {'; '.join(reasons)}" if reasons and len(self) > 1 else ""
        return Sheet(
            samples, self.rows, self.cols, self.row_labels, self.col_labels, self.title,
            self.page_labels, note,
        )  # fmt: skip


def _placeholder(settings: Settings, error: Exception | None) -> Sample:
    """A grey picture: one that failed, or is not made yet."""
    grey = Image.new("RGB", (settings.width or 512, settings.height or 512), "#d0d4d8")
    return Sample(grey, settings, {"error": str(error)} if error else {})
