"""How many denoiser calls settings make, and the progress bar that counts them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sdnb import schedulers
from sdnb.models import scheduler_run, tasks
from sdnb.models.capabilities import STEPS, Capabilities
from sdnb.settings import Settings

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline


def progress(calls: Sequence[int]) -> Any:
    """A progress bar over all denoiser calls of some pictures; none where TQDM_DISABLE is set.

    Also none if there is nothing to make.

    Arguments:
        calls: of each picture.
    """
    from tqdm.auto import tqdm

    total = sum(calls)
    what = f"{len(calls)} picture" + "s" * (len(calls) > 1)
    off = not total or "TQDM_DISABLE" in os.environ  # tqdm heeds it in terminals, not in notebooks
    return tqdm(total=total, unit="call", desc=what, disable=off)


def start_steps(settings: Settings, pipe: DiffusionPipeline) -> int:
    """Steps that the pipeline really makes: from a picture not all of them."""
    return tasks.steps_made(pipe, settings.steps or STEPS, settings.strength)


def calls_of(settings: Settings, pipe: DiffusionPipeline) -> int:
    """Denoiser calls that the settings make.

    Arguments:
        settings: resolved.
        pipe: the pipeline that is called, or that its image to image is made of.

    Example:
        >>> import sdnb
        >>> pipe = sdnb.load("emoji")
        >>> calls_of(Settings("a fox", steps=50, scheduler="Heun"), pipe)
        99
        >>> calls_of(Settings("a fox", steps=50, scheduler="DDIM", strength=0.5), pipe)
        25
    """
    return scheduler_calls(settings, pipe) * calls_a_time(settings, pipe)


def scheduler_calls(settings: Settings, pipe: DiffusionPipeline, until: int | None = None) -> int:
    """How often a run comes to its scheduler, which may be several times a step.

    Arguments:
        settings, pipe: as for `calls_of`.
        until: how many of the steps that are made are done; None for all.
    """
    scheduler = schedulers.new(settings.scheduler, pipe.scheduler)
    steps = settings.steps or STEPS
    return scheduler_run.calls_made(scheduler, steps, start_steps(settings, pipe), until)


def calls_a_time(settings: Settings, pipe: DiffusionPipeline) -> int:
    """Denoiser calls for each time that the run comes to its scheduler.

    Two where the pipeline calls the denoiser once more for guidance.
    """
    return Capabilities.of(pipe).guide.calls_a_step(settings.guidance)
