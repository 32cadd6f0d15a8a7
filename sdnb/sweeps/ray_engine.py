"""Big sweeps on Ray: the pictures of a plan, made by workers on many cores, GPUs and machines.

Ray Data (https://docs.ray.io/en/latest/data/data.html) is the engine. It starts one worker a GPU,
or one every few cores, gives each a few rows of settings at a time, starts those again that died,
and hands the pictures back as they are finished. A worker loads the model itself, and makes its
rows together, as a sweep without Ray does.
"""

from __future__ import annotations

import json
import logging
import pickle
import uuid
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sdnb.generation import init_image, sample_facts
from sdnb.log import notice_once
from sdnb.models import device, provenance
from sdnb.records.sample import Sample
from sdnb.records.store import Store
from sdnb.settings import Settings
from sdnb.sweeps import ray_session
from sdnb.sweeps.ray_worker import Recipe, Worker

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

CORES = 4  # of a worker without a GPU: more threads do little for one picture's matrices
ROWS = 16  # that a worker is given at a time; they are made together
TRIES = 2  # of rows whose worker died: so often together, and as often each by itself


@dataclass(frozen=True)
class Ray:
    """Ray as the engine of a sweep, and how much of it one sweep takes.

    `engine="ray"` is `engine=Ray()`. Where Ray is connected already, or `RAY_ADDRESS` names a
    cluster, that one is used and stays; else one is started on this machine for the sweep.

    Arguments:
        workers: how many; None takes one for each GPU, else as many as the cores allow.
        cpus: cores and threads of a worker without a GPU; None takes 4, or all where a machine
            has fewer.

    Raises:
        ValueError: a number is less than 1.

    Example:
        >>> Ray(workers=2, cpus=1)
        Ray(workers=2, cpus=1)
    """

    workers: int | None = None
    cpus: int | None = None

    def __post_init__(self) -> None:
        for name in ("workers", "cpus"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"{name} is {value}: give 1 or more.")


@dataclass(frozen=True)
class Job:
    """A picture to be made: its number in the plan, its settings, and what it is made by."""

    number: int
    settings: Settings
    calls: int  # of the denoiser
    recipe: Recipe  # the same object for all pictures of a model
    made_by: dict[str, Any]  # as `Remote.made_by` gives it


def check(pipe: DiffusionPipeline) -> None:
    """Raises ValueError where a pipeline is not as `load` made it: no worker can have the same."""
    if changed := provenance.differences(pipe):
        raise ValueError(
            f"This {type(pipe).__name__} is not as sdnb.load made it "
            f"({provenance.in_words(changed)}), and workers on Ray load their own: save it with "
            "save_pretrained and load that folder, or leave engine= out."
        )


@contextmanager
def opened(engine: str | Ray | None) -> Iterator[Remote | None]:
    """The connection to the workers while the block runs; None where there is no engine.

    Raises:
        ValueError: there is no such engine.
        ModuleNotFoundError: Ray is not installed.
    """
    if engine is None:
        yield None
        return
    if engine == "ray":
        engine = Ray()
    if not isinstance(engine, Ray):
        raise ValueError(f"There is no engine {engine!r}: give 'ray', or None for this machine.")
    try:
        import ray.data  # noqa: F401
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "Ray is not installed: pip install 'sdnb[ray]', or leave engine= out."
        ) from error
    remote = Remote(engine)
    with ray_session.quiet():
        try:
            yield remote
        finally:
            remote.close()


class Remote:
    """The connection to the workers, for one run of a plan.

    Arguments:
        engine: how many workers, of what size.
    """

    def __init__(self, engine: Ray) -> None:
        self.engine = engine
        self._mine = False  # whether the connection is to be closed again
        self._work: Generator[Any, None, None] | None = None

    def close(self) -> None:
        """Ends what the workers do, and lets go of the cluster if this run has connected to it."""
        import ray

        with ray_session.uninterrupted():
            try:
                if self._work:
                    self._work.close()
            finally:
                if self._mine:
                    ray.shutdown()
                    self._mine = False

    def made_by(self, here: dict[str, Any]) -> dict[str, Any]:
        """What the workers will make a picture by, besides its settings.

        Arguments:
            here: the same on this machine, from `sample_facts.made_by`.
        """
        return {**here, "device": self._device(here["device"])}

    def make(
        self,
        jobs: Sequence[Job],
        start: init_image.Start | None,
        store: Store | None,
        batch: int | None,
        on_calls: Callable[[int], object] = lambda _: None,
    ) -> Iterator[tuple[int, Sample | Exception]]:
        """Makes the pictures, and gives each as it is finished.

        Arguments:
            jobs: what is to be made.
            start: the picture that all start from, if they do.
            store: where finished pictures are kept: by the workers, if they see the same folder.
            batch: pictures at once in a worker; None takes what fits into its memory.
            on_calls: is given for each picture the number of denoiser calls that are done with it.

        Returns:
            Pairs: a job's number, and its sample, or the exception where it failed.

        Raises:
            ValueError: the cluster has no room for a worker.
        """
        self._work = self._made(jobs, start, store, batch, on_calls)
        return self._work

    def _made(
        self,
        jobs: Sequence[Job],
        start: init_image.Start | None,
        store: Store | None,
        batch: int | None,
        on_calls: Callable[[int], object],
    ) -> Generator[tuple[int, Sample | Exception], None, None]:
        recipes = {id(job.recipe): job.recipe for job in jobs}
        order = list(recipes)
        left = {job.number: job for job in jobs}
        with _marked(store) as shared:
            given = {
                "recipes": list(recipes.values()), "start": start, "store": shared, "batch": batch,
                "sdnb": sample_facts.version_of("sdnb"),
            }  # fmt: skip
            for most in (batch or ROWS, 1):  # what killed its worker is tried again by itself
                # the longest first, so that all workers end at about the same time (of those
                # that it has, a worker hands the shortest back first); and one model after
                # another, so that each is loaded once
                rows = sorted(
                    (order.index(id(job.recipe)), -job.calls, number)
                    for number, job in left.items()
                )
                table = [_row(left[number], recipe) for recipe, _, number in rows]
                for number, result in self._stream(table, most, given) if table else ():
                    job = left.pop(number)
                    on_calls(job.calls)
                    if store and isinstance(result, Sample):
                        key = Store.key(job.settings, job.made_by)
                        if key not in store:
                            store.put(key, result)
                    yield number, result
        for number in left:
            yield (
                number,
                RuntimeError(
                    f"The worker that made it died, {2 * TRIES} times: is its memory large enough?"
                ),
            )

    # ---------------------------------------------------------------- Ray

    def _connect(self) -> Any:
        """Ray, connected: to what the user has connected, else to RAY_ADDRESS, else started."""
        import ray

        if not ray.is_initialized():
            self._mine = True
            try:
                with ray_session.silent():
                    ray_session.start(
                        include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False
                    )
            except Exception as error:  # Ray raises plain ones too
                reason = str(error).splitlines()[0]
                raise RuntimeError(f"Ray could not be started or reached: {reason}") from error
        return ray

    def _device(self, here: str) -> str:
        """Where the workers run it: where it is here; but where there is no GPU, on the cluster's.

        A machine without a GPU that drives a cluster can only load models on its CPU.
        """
        own = here.partition(":")[0]
        if own == "cpu" and device.best() == "cpu":
            return "cuda" if self._connect().cluster_resources().get("GPU") else own
        return own

    def _places(self, gpu: bool) -> tuple[int, int]:
        """How many workers the cluster has room for, and how many cores one takes."""
        nodes = [node["Resources"] for node in self._connect().nodes() if node["Alive"]]
        cpus = self.engine.cpus or min([CORES, *(int(n["CPU"]) for n in nodes if n.get("CPU"))])
        kind, need = ("GPU", 1) if gpu else ("CPU", cpus)
        places = sum(int(node.get(kind, 0) // need) for node in nodes)
        if not places:
            most = max((int(node.get(kind, 0)) for node in nodes), default=0)
            raise ValueError(f"A worker needs {need} {kind}s, and no machine has more than {most}.")
        return places, cpus

    def _stream(
        self, rows: list[dict[str, Any]], most: int, given: dict[str, Any]
    ) -> Iterator[tuple[int, Sample | Exception]]:
        """Rows through Ray Data, at most so many to a worker at a time."""
        ray = self._connect()
        gpu = given["recipes"][0].device == "cuda"
        places, cpus = self._places(gpu)
        workers = min(self.engine.workers or places, places, len(rows))
        size = min(most, -(-len(rows) // workers))
        tasks = -(-len(rows) // size)
        pool = ray.data.ActorPoolStrategy(size=min(workers, tasks), max_tasks_in_flight_per_actor=1)
        with warnings.catch_warnings():
            # Ray's copy warns of all its old names, and `max_task_retries` has no new one yet
            warnings.simplefilter("ignore", DeprecationWarning)
            context = ray.data.DataContext.get_current().copy()
            context.enable_progress_bars = context.print_on_execution_start = False
            context.max_errored_blocks = -1  # rows that killed their worker do not end the others
            context.target_max_block_size = 1  # byte: each picture is handed back when finished
            with ray.data.DataContext.current(context):
                made = ray.data.from_items(rows, override_num_blocks=tasks).map_batches(
                    Worker,
                    compute=pool,
                    batch_size=size,
                    batch_format="pyarrow",
                    fn_constructor_kwargs=given | {"threads": None if gpu else cpus},
                    max_task_retries=TRIES - 1,
                    **{"num_gpus": 1} if gpu else {"num_cpus": cpus},
                )
        stream = iter(made.iter_batches(batch_size=None, batch_format="pyarrow"))
        try:
            for batch in stream:
                for row in batch.to_pylist():
                    for sentence in row["said"]:
                        notice_once(sentence, about=self)
                    yield row["number"], pickle.loads(row["result"])
        except ray.exceptions.RayError as error:
            reason = str(error).strip().splitlines()[-1]
            raise RuntimeError(f"Ray could not run the workers: {reason}") from error
        finally:
            with ray_session.uninterrupted():
                stream.close()  # cancels what the workers do, and lets them end


def _row(job: Job, recipe: int) -> dict[str, Any]:
    """A job as a worker reads it."""
    return {
        "number": job.number,
        "recipe": recipe,
        "calls": job.calls,
        "settings": json.dumps(job.settings.to_dict()),
        "made_by": json.dumps(job.made_by),
    }


@contextmanager
def _marked(store: Store | None) -> Iterator[tuple[Store, str] | None]:
    """The store, and the name of a file in its folder by which other machines know it again."""
    if store is None:
        yield None
        return
    name = f".sdnb-{uuid.uuid4().hex}.shared"
    folder = store.folder.resolve()
    mark = folder / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        mark.touch()
    except OSError:  # the store itself logs that, when the first picture is to be kept
        yield None
        return
    try:
        yield Store(folder, store.most_bytes), name
    finally:
        mark.unlink(missing_ok=True)
