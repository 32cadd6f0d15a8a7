"""Plans: pictures to be made, made together, kept in the store, and set into a sheet."""

from __future__ import annotations

import functools
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from PIL import Image

from sdnb import cluster, generation, loading, pictures
from sdnb.axes import Cell
from sdnb.batching import Batcher
from sdnb.live import Live
from sdnb.notices import notice
from sdnb.sample import Sample, Sheet
from sdnb.settings import Settings
from sdnb.store import Store

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
    start: pictures.Start | None = None
    rows: int = 1
    cols: int = 1
    row_labels: Sequence[str] = ()
    col_labels: Sequence[str] = ()
    page_labels: Sequence[str] = ()
    title: str = ""

    @classmethod
    def of(
        cls, drafts: list[Cell], pipe: DiffusionPipeline | None, start: pictures.Start | None
    ) -> Plan:
        """Resolves drafts on their models; a seed that none gives is drawn once for all."""
        shared = secrets.randbelow(2**32)
        settings, pipes = [], []
        for cell in drafts:
            own = loading.load(cell.model) if cell.model else loading.current(pipe)
            pipes.append(generation.pipeline_for(own, start))
            draft = cell.settings
            draft = draft if draft.seed is not None else draft.but(seed=shared)
            settings.append(generation.resolve(draft, pipes[-1], start))
        return cls(settings, pipes, start)

    @property
    def pictures(self) -> int:
        """How many pictures."""
        return len(self.settings)

    @property
    def calls(self) -> int:
        """Denoiser calls of all pictures, one by one."""
        return sum(map(generation.calls_of, self.settings))

    @property
    def merged_calls(self) -> int:
        """Denoiser calls that are left where all that can be merged is: the longest run's."""
        longest: dict[tuple[Any, ...], int] = {}
        for settings, pipe in zip(self.settings, self.pipes):
            group = (id(pipe), settings.width, settings.height)
            longest[group] = max(longest.get(group, 0), generation.calls_of(settings))
        return sum(longest.values())

    def seconds(self) -> float:
        """An estimate for all pictures one by one: one denoiser call of each model is timed."""
        took: dict[tuple[Any, ...], float] = {}
        total = 0.0
        for settings, pipe in zip(self.settings, self.pipes):
            group = (id(pipe), settings.width, settings.height, settings.guidance > 1)
            if group not in took:
                short = settings.but(steps=max(2, int(2 / (settings.strength or 1))))
                sample = generation.run(short, pipe, start=self.start)
                took[group] = sample.facts["seconds"] / sample.facts["denoiser_calls"]
            total += took[group] * generation.calls_of(settings)
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
        engine: str | cluster.Ray | None = None,
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
        with cluster.opened(engine) as remote:
            return self._run(_opened(store), batch, remote)

    def _run(self, kept: Store | None, batch: int | None, remote: cluster.Remote | None) -> Sheet:
        made_by = self._made_by(kept, remote)
        keys = [
            Store.key(settings, by) if kept and by else None
            for settings, by in zip(self.settings, made_by)
        ]
        made = {i: sample for i, key in enumerate(keys) if (sample := _get(kept, key)) is not None}
        todo = _firsts(keys, made)
        errors: dict[int, Exception] = {}
        alone: dict[int, str] = {}
        with (
            generation.progress([self.settings[i] for i in todo]) as bar,
            Live(len(self), lambda: self._sheet(made, errors, alone)) as live,
        ):
            if remote:
                jobs = [
                    cluster.Job(i, self.settings[i], self.pipes[i], made_by[i] or {}) for i in todo
                ]
                for i, result in remote.make(jobs, self.start, kept, batch, bar.update):
                    if isinstance(result, Sample):
                        made[i] = result
                    else:
                        errors[i] = result
                    live.update()
            here = [] if remote else todo
            for pipe in {id(self.pipes[i]): self.pipes[i] for i in here}.values():
                mine = [i for i in here if self.pipes[i] is pipe]
                batcher = Batcher(pipe, batch)
                make = functools.partial(generation.run, start=self.start)
                for n, result in batcher.run(
                    [self.settings[i] for i in mine], make, on_call=bar.update
                ):
                    if isinstance(result, Sample):
                        made[mine[n]] = result
                        _put(kept, keys[mine[n]], result)
                    else:
                        errors[mine[n]] = result
                    live.update()
                alone |= {mine[n]: why for n, why in batcher.alone.items()}
        for i, key in enumerate(keys):  # what is in the sheet twice was made once
            twin = keys.index(key) if key else i
            if twin in made and i not in errors:
                made.setdefault(i, made[twin])
            elif twin in errors:
                errors[i] = errors[twin]
        if not made:
            raise next(iter(errors.values()))
        for i, error in errors.items():
            notice(f"Picture {i + 1} failed: {error}")
        return self._sheet(made, errors, alone)

    def _made_by(
        self, kept: Store | None, remote: cluster.Remote | None
    ) -> list[dict[str, Any] | None]:
        """What besides the settings decides what each picture looks like; None: nobody asks."""
        if not remote and not kept:
            return [None] * len(self)
        ask = remote.made_by if remote else generation.made_by
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


def _firsts(keys: list[str | None], made: dict[int, Sample]) -> list[int]:
    """What is to be made: each picture once, though the sheet may show it twice."""
    return [
        i for i, key in enumerate(keys) if i not in made and (key is None or keys.index(key) == i)
    ]


def _opened(store: bool | Store) -> Store | None:
    """The store that is meant; none where SDNB_STORE is "off", or where there is no home."""
    if isinstance(store, Store):
        return store
    try:
        return Store() if store and os.environ.get("SDNB_STORE") != "off" else None
    except FileNotFoundError as error:
        _say(str(error))
        return None


@functools.cache
def _say(text: str) -> None:
    """A notice that is needed once."""
    notice(text)


def _get(store: Store | None, key: str | None) -> Sample | None:
    return store.get(key) if store and key else None


def _put(store: Store | None, key: str | None, sample: Sample) -> None:
    if store and key and not sample.facts.get("broken"):
        store.put(key, sample)


def _placeholder(settings: Settings, error: Exception | None) -> Sample:
    """A grey picture: one that failed, or is not made yet."""
    grey = Image.new("RGB", (settings.width or 512, settings.height or 512), "#d0d4d8")
    return Sample(grey, settings, {"error": str(error)} if error else {})
