"""Many runs at once: unmodified pipelines, their denoiser calls merged into one.

Each run is a plain call of the pipeline in a greenlet of its own (https://greenlet.readthedocs.io:
functions that stop in the middle and go on later, all in one thread). It works on a view of the
pipeline whose denoiser, decoder and text encoders are twins of the real ones. A twin called by a
run hands its inputs over and waits. When all runs wait, the inputs are joined along the batch axis,
the real module is called once, and each run goes on with its part of the output.
"""

from __future__ import annotations

import copy
import functools
import gc
import math
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from sdnb import compat
from sdnb.generation import sampling
from sdnb.models import denoiser, device, lora, memory, provenance
from sdnb.models.capabilities import Capabilities
from sdnb.pipeline_class import DENOISERS
from sdnb.records.sample import Sample
from sdnb.settings import Settings
from sdnb.sweeps import batched_calls
from sdnb.sweeps.batched_calls import Call
from sdnb.sweeps.greenlets import Run, ask

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

DENOISER, DECODER, TEXT = "denoiser", "decoder", "text encoder"

# Values that a call keeps at its peak, for each pixel of a picture: Stable Diffusion v1-4, at
# 512 x 512 in bfloat16, took 200 MB for a denoiser call with guidance, 550 MB for the decoder's.
NUMBERS = {DENOISER: 400, DECODER: 1100}
# Pictures at once beyond which nothing is gained. The embedded model on two cores: a denoiser call
# took 16.6 ms for 1 row, 4.1 ms a row for 32, 4.0 for 64; the decoder is slower again beyond 8.
MOST = {DENOISER: 16, DECODER: 8}
# what keeps calls from being merged, by the name that diffusers' denoisers give it
PLAIN = {
    "sample": "size",
    "hidden_states": "size",
    "encoder_hidden_states": "the length of their prompts",
    "lora": "the weights of a LoRA that cannot be merged (a DoRA, or one that is fused)",
}


class Batcher:
    """Runs settings on one pipeline, many at the same time.

    Arguments:
        pipe: the pipeline; it is left as it is.
        most: pictures at once; 1 runs one by one. None takes as many as need half of the free
            memory, 16 at most. Where memory runs out all the same, batches are halved.

    Attributes:
        calls: how often the real "denoiser", "decoder" and "text encoder" were called.

    Raises:
        ValueError: `most` is less than 1.

    Example:
        >>> import sdnb
        >>> pipe = sdnb.load("emoji", device="cpu")
        >>> jobs = [sampling.resolve(Settings("a fox", steps=n, seed=1), pipe) for n in (3, 2)]
        >>> batcher = Batcher(pipe)
        >>> [(index, sample.settings.steps) for index, sample in batcher.run(jobs)]
        [(1, 2), (0, 3)]
        >>> batcher.calls["denoiser"]
        3
    """

    def __init__(self, pipe: DiffusionPipeline, most: int | None = None) -> None:
        if most is not None and most < 1:
            raise ValueError(f"{most} pictures at once cannot be made: give 1 or more.")
        self.pipe = pipe
        self.most = most
        self.calls: Counter[str] = Counter()
        self._rows: dict[str, float] = {}  # part -> rows that its calls may have
        self._texts: list[tuple[Call, Any]] = []  # what was encoded, and to what
        self._joined: dict[Any, Any] = {}  # the text of the last merged denoiser call
        self._why: dict[int, str] = {}
        self._merged: set[int] = set()

    @property
    def alone(self) -> dict[int, str]:
        """Runs none of whose denoiser calls could be merged with another's: index -> why."""
        return {index: why for index, why in self._why.items() if index not in self._merged}

    def run(
        self,
        jobs: list[Settings],
        make: Callable[..., Sample] = sampling.run,
        on_call: Callable[[], object] = lambda: None,
    ) -> Iterator[tuple[int, Sample | Exception]]:
        """Makes the pictures, and gives each as soon as it is finished.

        Ctrl-C, or closing the iterator, stops all runs; what was given is finished. One thread
        must do it all: greenlets cannot go on in another.

        Arguments:
            jobs: settings from `sampling.resolve`.
            make: called as make(settings, pipe, on_call) for each.
            on_call: handed to `make`, which calls it after each of a run's denoiser calls. An
                exception that it raises ends that run, KeyboardInterrupt all of them.

        Returns:
            Pairs: an index of `jobs`, and its sample, or the exception where that run failed.
        """
        import torch

        most, gradients = min(len(jobs), self._prepare(jobs)), torch.is_grad_enabled()
        late: deque[tuple[int, Settings]] = deque()
        live: list[Run] = []
        try:
            # a run that found no memory beside the others is tried again by itself
            for todo, at_once in ((deque(enumerate(jobs)), most), (late, 1)):
                while todo or live:
                    while todo and len(live) < at_once:
                        index, job = todo.popleft()
                        run = Run(index, make, job, self._view(job), on_call)
                        live.append(run)
                        run.start()
                    ended = [run for run in live if run.ended]
                    live = [run for run in live if not run.ended]
                    for run in ended:
                        if at_once > 1 and memory.ran_out(run.result):
                            late.append((run.index, jobs[run.index]))
                        else:
                            if isinstance(run.result, Sample):  # not the others' time too
                                run.result.facts["seconds"] = round(run.seconds, 3)
                            yield run.index, run.result
                    if not ended:  # what is nearly finished goes first, and makes room
                        self._round([run for run in live if run.part == DECODER] or live)
        except KeyboardInterrupt:
            torch.set_grad_enabled(gradients)  # it may come in the middle of a switch
            raise
        finally:
            for run in live:
                run.stop()
            self._texts.clear()
            self._joined.clear()
            if compat.offload_hooks(self.pipe):
                self.pipe.maybe_free_model_hooks()

    def _prepare(self, jobs: list[Settings]) -> int:
        """Sets the limits; returns how many pictures may be made at once."""
        self._merged.clear()
        self._why.clear()
        pixels = max(((s.width or 1024) * (s.height or 1024) for s in jobs), default=1)
        half = device.free_memory(compat.execution_device(self.pipe)) / 2  # these are estimates
        room = {
            part: max(1, min(MOST[part], int(half / (numbers * pixels * self.pipe.dtype.itemsize))))
            for part, numbers in NUMBERS.items()
        }
        self._rows = {DENOISER: math.inf, DECODER: room[DECODER]}
        why = Capabilities.of(self.pipe).alone
        if getattr(denoiser.denoiser_of(self.pipe), "is_cache_enabled", False):
            why = "the denoiser keeps a cache between steps"
        if why:
            self._why = dict.fromkeys(range(len(jobs)), why)
            return 1
        return self.most or room[DENOISER]

    # ---------------------------------------------------------------- what a run works on

    def _view(self, job: Settings) -> DiffusionPipeline:
        """The pipeline once more, with twins in the place of its modules."""
        view = copy.copy(self.pipe)
        loras = provenance.origin_of(self.pipe).lora
        for name, module in self.pipe.components.items():
            if module is None:
                continue
            part, own = lora.part_of(name), None
            if part and job.lora is not None:
                own = lora.OfPart.of(module, part, job.lora, loras)
            if name in DENOISERS:
                setattr(view, name, compat.twin(module, self._waiting(DENOISER, module, own)))
            elif name.startswith("text_encoder"):
                setattr(view, name, compat.twin(module, self._remembering(module, own)))
            elif name == "vae" and hasattr(module, "decoder"):
                view.vae = compat.twin(module, module.forward)
                view.vae.decoder = compat.twin(
                    module.decoder, self._waiting(DECODER, module.decoder)
                )
        compat.forget_offload_hooks(view)  # modules go back when all runs have ended, not each
        provenance.inherit(view, self.pipe)
        return view

    def _waiting(
        self, part: str, module: Any, own: lora.OfPart | None = None
    ) -> Callable[..., Any]:
        """A twin's forward that waits until the real module was called."""
        dtype = _dtype(module)

        @functools.wraps(module.forward)  # Qwen-Image's blocks give what its signature names
        def forward(*args: Any, **kwargs: Any) -> Any:
            call = Call.of(module, args, kwargs, own)
            # Where the run has changed the weights for a while (to decode in float32), no other
            # may go on before it has put them back.
            if _dtype(module) == dtype:
                return ask(part, call)
            return self._make(part, [call])[0]

        return forward

    def _remembering(self, module: Any, own: lora.OfPart | None) -> Callable[..., Any]:
        """A text encoder's forward that encodes the same text once for all runs."""
        dtype = _dtype(module)

        @functools.wraps(module.forward)
        def forward(*args: Any, **kwargs: Any) -> Any:
            call = Call.of(module, args, kwargs, own)
            changed = _dtype(module) != dtype
            for known, output in self._texts:
                if not changed and batched_calls.same(known, call):
                    return output
            [output] = self._make(TEXT, [call])
            if not changed:
                self._texts.append((call, output))
            return output

        return forward

    # ---------------------------------------------------------------- the real calls

    def _round(self, runs: list[Run]) -> None:
        """Answers waiting runs; each goes on to its next call or its end."""
        groups: list[list[Run]] = []
        for run in runs:
            for group in groups:
                if _between(run, group[0]) is None:
                    group.append(run)
                    break
            else:
                groups.append([run])
        calling = [group for group in groups if group[0].part == DENOISER]
        for group, other in zip(calling, calling[1:] + calling[:1]):
            if len(group) == 1 and group is not other:
                self._why[group[0].index] = _between(group[0], other[0]) or ""
        for group in groups:
            for batch in _packed(group, self._rows[group[0].part]):
                self._answer(batch)

    def _answer(self, runs: list[Run]) -> bool:
        """Answers runs by one call, or by smaller ones where it fails; whether all went well."""
        part, rows = runs[0].part, sum(run.call.rows for run in runs)
        started = time.perf_counter()
        try:
            answers = self._make(part, [run.call for run in runs])
        except Exception as error:
            traceback.clear_frames(error.__traceback__)  # they hold on to what was computed
            problem = error
        else:
            if part == DENOISER and len(runs) > 1:
                self._merged.update(run.index for run in runs)
            took = time.perf_counter() - started
            for run, answer in zip(runs, answers):
                run.seconds += took * run.call.rows / rows if rows else took
                run.go_on(answer)
            return True
        if len(runs) == 1:
            runs[0].fail(problem)
            return False
        if memory.ran_out(problem):
            gc.collect()  # torch itself has given back the memory that it held in reserve
            self._rows[part] = min(self._rows[part], max(1, rows // 2))
            went = [self._answer(batch) for batch in _packed(runs, self._rows[part])]
        else:
            went = [self._answer([run]) for run in runs]
            if all(went):  # so it was the merging
                for run in runs:
                    run.apart = f"merged calls fail: {problem}"
        return all(went)

    def _make(self, part: str, calls: list[Call]) -> list[Any]:
        answers = batched_calls.make(calls, self._joined if part == DENOISER else None)
        self.calls[part] += 1
        return answers


def _dtype(module: Any) -> Any:
    return next((p.dtype for p in module.parameters()), None)


def _between(a: Run, b: Run) -> str | None:
    """Why the calls of two runs cannot be merged; None where they can."""
    name = batched_calls.differing(a.call, b.call)
    return a.apart or b.apart or (name and f"they differ in {PLAIN.get(name, repr(name))}")


def _packed(runs: list[Run], most: float) -> list[list[Run]]:
    """The runs in batches of at most so many rows, or of one run."""
    batches: list[list[Run]] = [[]]
    for run in runs:
        if batches[-1] and sum(r.call.rows for r in batches[-1]) + run.call.rows > most:
            batches.append([])
        batches[-1].append(run)
    return batches


__all__ = ["MOST", "NUMBERS", "Batcher"]
