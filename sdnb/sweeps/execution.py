"""Execution: a plan on its way, its pictures made together and kept in the store."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from sdnb.generation import model_lock, sampling
from sdnb.log import notice
from sdnb.records.sample import Sample
from sdnb.records.sheet import Sheet
from sdnb.records.store import Store
from sdnb.settings import Settings
from sdnb.sweeps import ray_engine
from sdnb.sweeps.batching import Batcher

if TYPE_CHECKING:
    import torch
    from diffusers import DiffusionPipeline

    from sdnb.sweeps.plan import Plan

OnStep = Callable[[Settings, int, "torch.Tensor"], object]


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
        self, plan: Plan, store: bool | Store = True, remote: ray_engine.Remote | None = None
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
            return sampling.run(settings, pipe, on_call, plan.start, look)

        for pipe in {id(plan.pipes[i]): plan.pipes[i] for i in self.todo}.values():
            mine = [i for i in self.todo if plan.pipes[i] is pipe]
            batcher = Batcher(pipe, batch)
            with model_lock.lock(pipe):
                for n, result in batcher.run([plan.settings[i] for i in mine], make, on_call):
                    if isinstance(result, Sample):
                        self.made[mine[n]] = result
                        _put(self._store, self._keys[mine[n]], result)
                    else:
                        self.errors[mine[n]] = result
                    yield mine[n]
            self._alone |= {mine[n]: why for n, why in batcher.alone.items()}

    def far(
        self, remote: ray_engine.Remote, batch: int | None, on_calls: Callable[[int], object]
    ) -> Generator[int, None, None]:
        """Has the workers make what is still to be made; gives each index when it is there.

        Arguments:
            remote: the way to them, the one that this was made with.
            batch: pictures at once in a worker; None takes what fits into its memory.
            on_calls: is told for each picture how many denoiser calls it took.
        """
        jobs = [
            ray_engine.Job(i, self.plan.settings[i], self.plan.pipes[i], self._made_by[i] or {})
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
    if store and key:
        store.put(key, sample)
