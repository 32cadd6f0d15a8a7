"""Plans: pictures to be made, made together, kept in the store, and set into a sheet."""

from __future__ import annotations

import contextlib
import functools
import math
import os
import secrets
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from PIL import Image

from sdnb import cluster, generation, loading, pictures, turns
from sdnb.axes import Cell
from sdnb.batching import DENOISER, MOST, Batcher
from sdnb.live import Live
from sdnb.notices import notice
from sdnb.sample import Sample, Sheet
from sdnb.settings import Settings
from sdnb.store import Store

if TYPE_CHECKING:
    import torch
    from diffusers import DiffusionPipeline

OnStep = Callable[[Settings, int, "torch.Tensor"], object]


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
    def differing(self) -> dict[str, list[Any]]:
        """The settings that not all pictures share, each with its values."""
        values = [settings.to_dict() for settings in self.settings]
        columns = {name: [each[name] for each in values] for name in values[0]}
        return {name: column for name, column in columns.items() if len(set(column)) > 1}

    @property
    def calls(self) -> int:
        """Denoiser calls of all pictures, one by one."""
        return sum(map(generation.calls_of, self.settings))

    @property
    def merged_calls(self) -> int:
        """Denoiser calls that are left where all that can be merged is, 16 at most."""
        runs: dict[tuple[Any, ...], list[int]] = {}
        for settings, pipe in zip(self.settings, self.pipes):
            group = (id(pipe), settings.width, settings.height)
            runs.setdefault(group, []).append(generation.calls_of(settings))
        return sum(max(*calls, math.ceil(sum(calls) / MOST[DENOISER])) for calls in runs.values())

    def seconds(self) -> float:
        """An estimate for all pictures one by one: a run of two steps of each model is timed."""
        took: dict[tuple[Any, ...], float] = {}
        total = 0.0
        for settings, pipe in zip(self.settings, self.pipes):
            group = (id(pipe), settings.width, settings.height, settings.guidance > 1)
            if group not in took:
                short = settings.but(steps=max(2, int(2 / (settings.strength or 1))))
                with turns.lock(pipe):
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
            making = Making(self, store, remote)
            with (
                generation.progress([self.settings[i] for i in making.todo]) as bar,
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


class Making:
    """A plan on its way: what of it is there, what failed, what is still to be made.

    Arguments:
        plan: the plan.
        store: where pictures are looked for and kept; False uses none.
        remote: the way to the workers that make them; None where they are made here.

    Attributes:
        made, errors: the finished pictures, and what went wrong with others; by their index.
        todo: the indexes of those that are to be made; each picture once.
    """

    def __init__(
        self, plan: Plan, store: bool | Store = True, remote: cluster.Remote | None = None
    ) -> None:
        self.plan = plan
        self.made: dict[int, Sample] = {}
        self.errors: dict[int, Exception] = {}
        self._alone: dict[int, str] = {}
        self._store = opened(store)
        self._made_by = plan._made_by(self._store, remote)
        self._keys = [
            Store.key(settings, by) if self._store and by else None
            for settings, by in zip(plan.settings, self._made_by)
        ]
        for i, key in enumerate(self._keys):
            if (sample := _get(self._store, key)) is not None:
                self.made[i] = sample
        self.todo = _firsts(self._keys, self.made)

    def go_on(
        self,
        batch: int | None = None,
        on_call: Callable[[], object] = lambda: None,
        on_step: OnStep | None = None,
    ) -> Generator[int, None, None]:
        """Makes what is still to be made, in one thread; gives each index when it is there.

        Arguments:
            batch: pictures at once; None takes what fits into the memory.
            on_call: called after each denoiser call of each picture. What it raises ends the
                picture; where it is no `Exception`, as with Ctrl-C, it ends all.
            on_step: is given a picture's settings, the number of its denoiser call, and the
                latents predicted there.
        """
        plan = self.plan

        def make(settings: Settings, pipe: DiffusionPipeline, on_call: Any) -> Sample:
            look = functools.partial(on_step, settings) if on_step else None
            return generation.run(settings, pipe, on_call, plan.start, look)

        for pipe in {id(plan.pipes[i]): plan.pipes[i] for i in self.todo}.values():
            mine = [i for i in self.todo if plan.pipes[i] is pipe]
            batcher = Batcher(pipe, batch)
            with turns.lock(pipe):
                for n, result in batcher.run([plan.settings[i] for i in mine], make, on_call):
                    if isinstance(result, Sample):
                        self.made[mine[n]] = result
                        _put(self._store, self._keys[mine[n]], result)
                    else:
                        self.errors[mine[n]] = result
                    yield mine[n]
            self._alone |= {mine[n]: why for n, why in batcher.alone.items()}

    def far(
        self, remote: cluster.Remote, batch: int | None, on_calls: Callable[[int], object]
    ) -> Generator[int, None, None]:
        """Has the workers make what is still to be made; gives each index when it is there.

        Arguments:
            remote: the way to them, the one that this was made with.
            batch: pictures at once in a worker; None takes what fits into its memory.
            on_calls: is told for each picture how many denoiser calls it took.
        """
        jobs = [
            cluster.Job(i, self.plan.settings[i], self.plan.pipes[i], self._made_by[i] or {})
            for i in self.todo
        ]
        for i, result in remote.make(jobs, self.plan.start, self._store, batch, on_calls):
            if isinstance(result, Sample):
                self.made[i] = result
            else:
                self.errors[i] = result
            yield i

    def sheet(self) -> Sheet:
        """The sheet as far as it is made."""
        return self.plan._sheet(self.made, self.errors, self._alone)

    def finished(self) -> Sheet:
        """The whole sheet; says which pictures failed.

        Raises:
            the first error, where every picture failed.
        """
        for i, key in enumerate(self._keys):  # what is in the sheet twice was made once
            twin = self._keys.index(key) if key else i
            if twin in self.made and i not in self.errors:
                self.made.setdefault(i, self.made[twin])
            elif twin in self.errors:
                self.errors[i] = self.errors[twin]
        if not self.made:
            raise next(iter(self.errors.values()))
        for i, error in self.errors.items():
            notice(f"Picture {i + 1} failed: {error}")
        return self.sheet()


def _firsts(keys: list[str | None], made: dict[int, Sample]) -> list[int]:
    """What is to be made: each picture once, though the sheet may show it twice."""
    return [
        i for i, key in enumerate(keys) if i not in made and (key is None or keys.index(key) == i)
    ]


def opened(store: bool | Store) -> Store | None:
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
