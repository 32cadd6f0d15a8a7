"""A pipeline's call with its denoiser calls counted, NaN looked for, and previews while it runs."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sdnb.generation import nan_guard, out_of_memory, x0_preview
from sdnb.models import denoiser, memory

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from sdnb.settings import Settings

Around = Callable[["DiffusionPipeline"], "AbstractContextManager[Any]"]


@dataclass(frozen=True)
class Call:
    """One call of a pipeline: what it returned, its denoiser calls, what the NaN guard saw.

    `backend` is what made the denoiser's calls in torch's place; else empty.
    """

    result: Any
    calls: int
    seen: nan_guard.Seen
    backend: str


def made(
    view: DiffusionPipeline,
    arguments: dict[str, Any],
    settings: Settings,
    on_call: Callable[[], object],
    on_step: x0_preview.OnStep | None = None,
    around: Around | None = None,
) -> Call:
    """Calls a run's own view of a pipeline.

    Arguments:
        view: the pipeline's shallow copy.
        arguments: of its call.
        settings: of the picture, resolved.
        on_call, on_step, around: as `sampling.run` says.

    Raises:
        MemoryError: there is too little memory, with the numbers and what helps.
    """
    before = denoiser.backend_of(view)
    with (
        _counted(denoiser.all_of(view), on_call) as calls,
        nan_guard.watched(view) as seen,
        x0_preview.watching(view, on_step) if on_step else nullcontext(),
        around(view) if around else nullcontext(),
    ):
        try:
            result = view(**arguments)
        except (RuntimeError, MemoryError) as error:
            if not memory.ran_out(error):
                raise
            traceback.clear_frames(error.__traceback__)  # they hold on to what was computed
            raise out_of_memory.explained(error, view, settings, seen.decoding) from error
    backend = before[0] if denoiser.backend_of(view) != before else ""
    return Call(result, len(calls), seen, backend)


@contextmanager
def _counted(denoisers: list[Any], on_call: Callable[[], object]) -> Iterator[list[None]]:
    """Counts the denoisers' calls while the block runs; `on_call` follows each, and may raise."""
    calls: list[None] = []

    def after(*_: Any) -> None:
        calls.append(None)
        on_call()

    hooks = [each.register_forward_hook(after) for each in denoisers]
    try:
        yield calls
    finally:
        for hook in hooks:
            hook.remove()


__all__ = ["Around", "Call", "made"]
