"""What a worker does, in a process of Ray's: it loads the model and makes rows of settings."""

from __future__ import annotations

import functools
import json
import logging
import pickle
import platform
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sdnb import schedulers
from sdnb.generation import init_image, sample_facts, sampling
from sdnb.log import log
from sdnb.models import cache, provenance
from sdnb.models.lora_files import Wanted
from sdnb.records.sample import Sample
from sdnb.records.store import Store
from sdnb.settings import Settings
from sdnb.sweeps.batching import Batcher

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline


@dataclass(frozen=True)
class Recipe:
    """How a worker comes to the pipeline that is meant."""

    model: str
    revision: str | None
    variant: str | None
    dtype: str
    device: str
    use_safetensors: bool
    backend: str
    scheduler: Any  # the pipeline's own, which a person may have configured
    lora: tuple[Wanted, ...] = ()
    extras: dict[str, Any] = field(default_factory=dict)  # what else `load` was given

    @classmethod
    def of(cls, pipe: DiffusionPipeline, device: str) -> Recipe:
        """The recipe of a pipeline that is as `load` made it."""
        known = provenance.origin_of(pipe)
        return cls(
            known.model, known.revision, known.variant, known.dtype, device,
            provenance.takes_safetensors_only(pipe), known.backend.partition(" ")[0] or "torch",
            schedulers.copy_of(pipe.scheduler), tuple(each.wanted() for each in known.lora),
            provenance.request_of(pipe).extras,
        )  # fmt: skip

    def pipeline(self, start: init_image.Start | None) -> DiffusionPipeline:
        """Loads it, or gives back the one that is loaded already."""
        whole = cache.load(
            self.model, revision=self.revision, variant=self.variant, dtype=self.dtype,
            device=self.device, use_safetensors=self.use_safetensors, backend=self.backend,
            lora=self.lora,
            **self.extras,
        )  # fmt: skip
        pipe = sampling.pipeline_for(whole, start)
        pipe.scheduler = self.scheduler
        return pipe


class Worker:
    """Makes rows of settings into rows of pictures, in a process of Ray's.

    Arguments:
        recipes: of the pipelines that rows name by their number.
        start: the picture that all start from, if they do.
        store: and the name of a file that is in it where this machine sees the same folder.
        batch: pictures at once; None takes what fits into the memory.
        threads: that torch may use; None leaves it as it is.
        sdnb: the version of it that the sweep was started with.
    """

    def __init__(
        self,
        recipes: list[Recipe],
        start: init_image.Start | None,
        store: tuple[Store, str] | None,
        batch: int | None,
        threads: int | None,
        sdnb: str,
    ) -> None:
        import torch

        self.recipes, self.start, self.batch, self.sdnb = recipes, start, batch, sdnb
        self.made_by: dict[tuple[int, str | None], dict[str, Any]] = {}
        self.store = store[0] if store and (store[0].folder / store[1]).exists() else None
        self.said = _Said()
        log.addHandler(self.said)
        log.setLevel(logging.INFO)
        log.propagate = False
        if threads:
            torch.set_num_threads(threads)

    def __call__(self, rows: Any) -> Iterator[Any]:
        """A table of rows in; a table of one row out for each, those of one model together.

        Of one model the shortest come first. The order must be the same each time: where a worker
        died, Ray counts the rows that have come, and takes only what follows from the worker that
        makes them again.
        """
        import pyarrow

        jobs = sorted(rows.to_pylist(), key=lambda job: (job["recipe"], job["calls"]))
        shape = pyarrow.schema(
            {"number": pyarrow.int64(), "result": pyarrow.binary(),
             "said": pyarrow.list_(pyarrow.string())}
        )  # fmt: skip
        results: dict[int, Sample | Exception] = {}
        given = 0
        with suppress(KeyboardInterrupt):
            for i, result in self._results(jobs):
                results[i] = result
                while given in results:
                    row = {
                        "number": jobs[given]["number"],
                        "result": _pickled(results.pop(given)),
                        "said": self.said.taken(),
                    }
                    yield pyarrow.Table.from_pylist([row], shape)
                    given += 1

    def _results(self, jobs: list[dict[str, Any]]) -> Iterator[tuple[int, Sample | Exception]]:
        """Pairs: an index of the rows, and its sample, or the exception."""
        for number in dict.fromkeys(job["recipe"] for job in jobs):
            left = {i: job for i, job in enumerate(jobs) if job["recipe"] == number}
            try:
                for i, result in self._made(number, dict(left)):
                    del left[i]
                    yield i, result
            except Exception as error:
                yield from ((i, error) for i in left)

    def _made(
        self, number: int, jobs: dict[int, dict[str, Any]]
    ) -> Iterator[tuple[int, Sample | Exception]]:
        """The same for the rows of one model; what is in the store comes from it."""
        if (here := sample_facts.version_of("sdnb")) != self.sdnb:
            raise ValueError(
                f"The worker on {platform.node()} has sdnb {here}, where the sweep was started "
                f"{self.sdnb}: install the same on all machines."
            )
        pipe = self.recipes[number].pipeline(self.start)
        todo: list[tuple[int, str, Settings]] = []
        for i, job in jobs.items():
            try:
                key, settings = self._wanted(job, pipe)
                kept = self.store.get(key) if self.store else None
            except Exception as error:
                yield i, error
                continue
            if kept:
                yield i, sample_facts.placed(kept, provenance.places(pipe), self.start)
            else:
                todo.append((i, key, settings))
        make = functools.partial(sampling.run, start=self.start)
        batcher = Batcher(pipe, self.batch)
        for n, result in batcher.run([settings for *_, settings in todo], make, _stop_if_cancelled):
            i, key, _ = todo[n]
            if self.store and isinstance(result, Sample):
                self.store.put(key, result)
            yield i, result

    def _wanted(self, job: dict[str, Any], pipe: DiffusionPipeline) -> tuple[str, Settings]:
        """A row's key in the store, and its settings.

        Raises:
            ValueError: another picture would be made here.
        """
        settings = Settings.from_dict(json.loads(job["settings"]))
        made_by = json.loads(job["made_by"])
        key = Store.key(settings, made_by)
        what = job["recipe"], settings.scheduler
        if what not in self.made_by:
            self.made_by[what] = sample_facts.made_by(settings, pipe, self.start) or {}
        here = self.made_by[what]
        if Store.key(settings, here) != key:
            raise ValueError(_differing(made_by, here))
        return key, settings


def _stop_if_cancelled() -> None:
    """Ends all runs of a worker whose task was cancelled."""
    import ray

    if ray.get_runtime_context().is_canceled():
        raise KeyboardInterrupt


def _differing(there: dict[str, Any], here: dict[str, Any]) -> str:
    """Why a worker would make another picture than the one that is meant."""
    names = [
        f"its {name} is {ours.get(name)}, where the sweep was started {value}"
        for theirs, ours in ((there, here), (there.get("versions", {}), here.get("versions", {})))
        for name, value in theirs.items()
        if name != "versions" and ours.get(name) != value
    ]
    return f"The worker on {platform.node()} would make another picture: {'; '.join(names)}."


def _pickled(result: Sample | Exception) -> bytes:
    """A result as bytes; of an exception that does not come through whole, its text."""
    with suppress(Exception):
        data = pickle.dumps(result)
        pickle.loads(data)
        return data
    return pickle.dumps(RuntimeError(f"{type(result).__name__}: {result}"))


class _Said(logging.Handler):
    """Collects a worker's notices, to be logged in the user's process."""

    def __init__(self) -> None:
        super().__init__()
        self.sentences: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.sentences.append(record.getMessage())

    def taken(self) -> list[str]:
        sentences, self.sentences = self.sentences, []
        return sentences
