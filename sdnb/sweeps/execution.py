"""Execution: a plan that is being run, its pictures made together and kept in the store."""

from __future__ import annotations

import functools
import os
import traceback
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, TypeGuard, Union

from sdnb.generation import model_lock, sample_facts, sampling
from sdnb.log import notice, notice_once
from sdnb.models import cache
from sdnb.models.build import Request
from sdnb.records.sample import Sample
from sdnb.records.sheet import Sheet
from sdnb.records.store import DRIVE, Store, named
from sdnb.settings import Settings
from sdnb.sweeps import ray_engine
from sdnb.sweeps.batching import Batcher
from sdnb.sweeps.ray_worker import Recipe

if TYPE_CHECKING:
    import torch
    from diffusers import DiffusionPipeline

    from sdnb.sweeps.plan import Model, Plan

Kept = Union[bool, str, "os.PathLike[str]", Store]  # what `store=` takes
OnStep = Callable[[Settings, int, "torch.Tensor | Exception"], object]


class Making:
    """A plan that is being run: what of it is there, what failed, what is still to be made.

    Arguments:
        plan: the plan.
        store: where pictures are looked for and kept; False uses none.
        remote: the connection to the workers that make them; None where they are made here.

    Attributes:
        made, errors: the finished pictures, and what went wrong with others; by their index.
        todo: the indexes of those that are to be made; each picture once.
        pipe: the pipeline that makes pictures just now; None where none does.
    """

    def __init__(
        self, plan: Plan, store: Kept = True, remote: ray_engine.Remote | None = None
    ) -> None:
        self.plan = plan
        self.pipe: DiffusionPipeline | None = None
        self.made: dict[int, Sample] = {}
        self.errors: dict[int, Exception] = {}
        self._alone: dict[int, str] = {}
        self._store = opened(store)
        nobody_asks: list[dict[str, Any] | None] = [None] * len(plan)
        self._made_by = plan.made_by() if self._store or remote else nobody_asks
        if remote:  # same model and scheduler: the same dict, so each is converted once
            for model, by in zip(plan.models, self._made_by):
                if by is None:
                    ray_engine.check(plan.pipeline(model))
            there = {id(by): remote.made_by(by) for by in self._made_by if by}
            self._made_by = [there[id(by)] for by in self._made_by]
        self._keys = [
            Store.key(settings, by) if self._store and by else None
            for settings, by in zip(plan.settings, self._made_by)
        ]
        for i, (key, by) in enumerate(zip(self._keys, self._made_by)):
            if by and (sample := _get(self._store, key)) is not None:
                self.made[i] = sample_facts.placed(sample, by, plan.start)
        self.todo = _firsts(self._keys, self.made)
        if any(self._keys[i] for i in self.todo):
            tell_of_drive(store)

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
            on_step: is given a picture's settings, the number of its scheduler step, and the
                latents predicted there, or the exception where they cannot be computed.
        """
        left = dict.fromkeys(self.plan.models[i] for i in self.todo)
        while left:
            # what is in memory comes first: loading another may cost it its place
            here = (m for m in left if not _is_asked(m) or cache.is_loaded(m))
            model = next(here, next(iter(left)))
            del left[model]
            try:
                yield from self._of_model(model, batch, on_call, on_step)
            finally:
                self.pipe = None

    def _of_model(
        self,
        model: Model,
        batch: int | None,
        on_call: Callable[[], object],
        on_step: OnStep | None,
    ) -> Generator[int, None, None]:
        """The pictures of one model; when they are made, nothing here holds it in memory."""
        plan = self.plan
        mine = [i for i in self.todo if plan.models[i] == model]
        try:
            pipe = self.pipe = plan.pipeline(model)
        except (OSError, MemoryError, ValueError) as error:  # it was in memory when it was checked
            self.errors |= dict.fromkeys(mine, error)
            yield from mine
            return

        def make(settings: Settings, pipe: DiffusionPipeline, on_call: Any) -> Sample:
            look = functools.partial(on_step, settings) if on_step else None
            return sampling.run(settings, pipe, on_call, plan.start, look)

        same = self._as_checked(pipe, mine)
        batcher = Batcher(pipe, batch)
        with model_lock.lock(pipe):
            for n, result in batcher.run([plan.settings[i] for i in mine], make, on_call):
                if isinstance(result, Sample):
                    self.made[mine[n]] = result
                    if mine[n] in same:
                        _put(self._store, self._keys[mine[n]], result)
                else:
                    if _is_asked(model):
                        traceback.clear_frames(result.__traceback__)  # they hold the model
                    self.errors[mine[n]] = result
                yield mine[n]
        self._alone |= {mine[n]: why for n, why in batcher.alone.items()}

    def _as_checked(self, pipe: DiffusionPipeline, mine: list[int]) -> set[int]:
        """Indexes whose store keys are still right: a model loaded again may be another commit."""
        now: dict[str | None, Any] = {}
        for i in (i for i in mine if self._keys[i]):
            settings = self.plan.settings[i]
            if settings.scheduler not in now:
                now[settings.scheduler] = sample_facts.made_by_as_loaded(
                    settings, pipe, self.plan.start
                )
        return {i for i in mine if now.get(self.plan.settings[i].scheduler) == self._made_by[i]}

    def far(
        self, remote: ray_engine.Remote, batch: int | None, on_calls: Callable[[int], object]
    ) -> Generator[int, None, None]:
        """Has the workers make what is still to be made; gives each index when it is there.

        Arguments:
            remote: the connection to them that this was made with.
            batch: pictures at once in a worker; None takes what fits into its memory.
            on_calls: is given for each picture the number of denoiser calls that it took.
        """
        recipes: dict[Any, Recipe] = {}
        jobs = []
        for i in self.todo:
            model, by = self.plan.models[i], self._made_by[i] or {}
            if model not in recipes:
                recipes[model] = Recipe.of(self.plan.pipeline(model), by["device"])
            settings, calls = self.plan.settings[i], self.plan.counts[i]
            jobs.append(ray_engine.Job(i, settings, calls, recipes[model], by))
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
        """The whole sheet; logs which pictures failed.

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


def _is_asked(model: Model) -> TypeGuard[str | Request]:
    """Whether a plan's model is one to be loaded, and no pipeline that somebody holds."""
    return isinstance(model, (str, Request))


def _firsts(keys: list[str | None], made: dict[int, Sample]) -> list[int]:
    """What is to be made: each picture once, though the sheet may show it twice."""
    return [
        i for i, key in enumerate(keys) if i not in made and (key is None or keys.index(key) == i)
    ]


def opened(store: Kept) -> Store | None:
    """The store that is meant; none where `SDNB_STORE` is off, or where there is no home.

    Arguments:
        store: True for the usual one; False for none; a folder; a `Store`.

    Raises:
        TypeError: it is none of these.
        ValueError: the folder has no name.

    Example:
        >>> opened("pictures").folder.name
        'pictures'
    """
    if isinstance(store, Store):
        return store
    if isinstance(store, (str, os.PathLike)):
        if not os.fspath(store):
            raise ValueError("store is an empty text: give a folder, or True for the usual one.")
        return Store(store)
    if not isinstance(store, bool):
        raise TypeError(f"store is {store!r}: give True, False, a folder or a Store.")
    try:
        return Store() if store and named() != "off" else None
    except FileNotFoundError as error:
        notice_once(str(error))
        return None


def tell_of_drive(store: Kept) -> None:
    """Logs once, before a picture is kept, that the usual store is on the user's Google Drive."""
    if store is True and not named() and DRIVE.is_dir():
        notice_once(
            f"Pictures are kept on your Google Drive, in {DRIVE / 'sdnb'}. Elsewhere: "
            "store='folder', or SDNB_STORE names one; nowhere: store=False, or SDNB_STORE=off."
        )


def _get(store: Store | None, key: str | None) -> Sample | None:
    return store.get(key) if store and key else None


def _put(store: Store | None, key: str | None, sample: Sample) -> None:
    if store and key:
        store.put(key, sample)
