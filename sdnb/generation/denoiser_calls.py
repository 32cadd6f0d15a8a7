"""How many denoiser calls settings make, and the progress bar that counts them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sdnb import schedulers
from sdnb.models import tasks
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


def calls_of(settings: Settings, pipe: DiffusionPipeline | None = None) -> int:
    """Denoiser calls that the settings make; one a step for a scheduler that sdnb does not know.

    Arguments:
        settings: resolved.
        pipe: the pipeline that is called, or that its image to image is made of, which decides how
            many steps a strength leaves; None counts as Stable Diffusion's do.

    Example:
        >>> calls_of(Settings("a fox", steps=50, scheduler="Heun")), calls_of(Settings("a fox"))
        (99, 50)
        >>> calls_of(Settings("a fox", steps=50, scheduler="DDIM", strength=0.5))
        25
    """
    steps = STEPS if settings.steps is None else settings.steps
    if pipe is not None:
        made = start_steps(settings, pipe)
    else:
        made = steps if settings.strength is None else int(steps * settings.strength)
    known = settings.scheduler in schedulers.SCHEDULERS
    calls = schedulers.calls_from(settings.scheduler or "", steps, made) if known else made
    rule = Capabilities.of(pipe).guide if pipe is not None else None
    return calls * (rule.calls_a_step(settings.guidance) if rule else 1)
