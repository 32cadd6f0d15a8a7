"""One Settings -> one Sample, on a plain diffusers pipeline."""

from __future__ import annotations

import copy
import inspect
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from sdnb import emoji, hub, schedulers
from sdnb.sample import Sample
from sdnb.settings import Settings, check_multiple

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

_said: set[str] = set()  # unknown words that were already named


def generate(
    prompt: str | Settings,
    *,
    pipe: DiffusionPipeline | None = None,
    negative_prompt: str | None = None,
    steps: int | None = None,
    guidance: float | None = None,
    scheduler: str | None = None,
    seed: int | None = None,
    width: int | None = None,
    height: int | None = None,
) -> Sample:
    """Makes one picture from a text.

    Arguments:
        prompt: what the picture shows; or whole `Settings`, which the other arguments change.
        pipe: the pipeline; None takes the one that `load` last returned, or loads the default.
        negative_prompt: what the picture should not show.
        steps: denoising steps, 1 to 1000; 50 where not given.
        guidance: classifier-free guidance scale, 0 or more; 7.5 where not given.
        scheduler: a name of `sdnb.schedulers.names()`; the model's own where not given.
        seed: of the starting noise, always drawn on the CPU; where not given one is drawn, and
            recorded in the sample.
        width: pixels; the model's own where not given.
        height: pixels; the model's own where not given.

    Returns:
        The sample: picture, settings as they were used, facts.

    Raises:
        ValueError: a setting is out of its range or does not fit the model; before anything runs.

    Example:
        >>> import sdnb
        >>> sample = generate("a fox on a blue background", steps=4, pipe=sdnb.load("emoji"))
        >>> sample.image.size
        (128, 128)
    """
    given = {
        "negative_prompt": negative_prompt, "steps": steps, "guidance": guidance,
        "scheduler": scheduler, "seed": seed, "width": width, "height": height,
    }  # fmt: skip
    changes = {name: value for name, value in given.items() if value is not None}
    settings = (prompt if isinstance(prompt, Settings) else Settings(prompt)).but(**changes)
    pipe = hub.current(pipe)
    return run(resolve(settings, pipe), pipe)


def resolve(settings: Settings, pipe: DiffusionPipeline) -> Settings:
    """Fills in what the model decides, draws the seed, and checks that all of it fits the model.

    Raises:
        ValueError: the scheduler is unknown or does not fit, or the size does not.
    """
    own = schedulers.name_of(pipe.scheduler)
    name = settings.scheduler or own
    if name != own:
        name = schedulers.find(name)
        if schedulers.is_flow(pipe.scheduler):
            schedulers.make(name, pipe.scheduler)  # raises, with the reason
    if name in schedulers.SCHEDULERS:
        schedulers.check_steps(name, settings.steps)
    width, height = native_size(pipe)
    resolved = settings.but(
        scheduler=name,
        seed=secrets.randbelow(2**32) if settings.seed is None else settings.seed,
        width=settings.width or width,
        height=settings.height or height,
    )
    multiple = max(8, getattr(pipe, "vae_scale_factor", 8))  # the pipelines themselves ask for 8
    check_multiple("width", resolved.width, multiple)  # type: ignore[arg-type]  # set just above
    check_multiple("height", resolved.height, multiple)  # type: ignore[arg-type]
    return resolved


def native_size(pipe: DiffusionPipeline) -> tuple[int, int]:
    """The model's own (width, height) in pixels.

    Example:
        >>> import sdnb
        >>> native_size(sdnb.load("emoji"))
        (128, 128)
    """
    size = getattr(pipe, "default_sample_size", None) or denoiser_of(pipe).config.sample_size
    height, width = size if isinstance(size, (list, tuple)) else (size, size)
    return width * pipe.vae_scale_factor, height * pipe.vae_scale_factor


def denoiser_of(pipe: DiffusionPipeline) -> Any:
    """The pipeline's UNet or transformer."""
    unet = getattr(pipe, "unet", None)
    return pipe.transformer if unet is None else unet


def run(
    settings: Settings,
    pipe: DiffusionPipeline,
    on_call: Callable[[], object] | None = None,
) -> Sample:
    """Makes the picture of resolved settings.

    The pipeline is called as a person would call it, on a shallow copy with a scheduler of its
    own: the given pipeline stays as it is, whatever happens.

    Arguments:
        settings: from `resolve`.
        pipe: the pipeline.
        on_call: called after each denoiser call; the pipeline's own progress bar is then off.

    Returns:
        The sample.
    """
    import torch

    origin = hub.origin_of(pipe)
    if origin.model == emoji.NAME:
        _name_unknown(settings)
    view = copy.copy(pipe)
    own = settings.scheduler == schedulers.name_of(pipe.scheduler)
    view.scheduler = (
        schedulers.copy_of(pipe.scheduler)
        if own
        else schedulers.make(settings.scheduler or "", pipe.scheduler)
    )
    if on_call:
        view.set_progress_bar_config(disable=True)
    arguments = {
        "prompt": settings.prompt,
        "negative_prompt": settings.negative_prompt or None,
        "num_inference_steps": settings.steps,
        "guidance_scale": settings.guidance,
        "width": settings.width,
        "height": settings.height,
        # on the CPU, so that a GPU starts from the same noise
        "generator": torch.Generator("cpu").manual_seed(settings.seed or 0),
    }
    taken = inspect.signature(view.__call__).parameters
    started = time.perf_counter()
    with _counted(denoiser_of(view), on_call) as calls:
        result = view(**{k: v for k, v in arguments.items() if k in taken})
    flags = getattr(result, "nsfw_content_detected", None)
    facts = {
        "model": origin.model,
        "revision": origin.revision,
        "variant": origin.variant,
        "dtype": origin.dtype,
        "device": origin.device,
        "denoiser_calls": len(calls),
        "seconds": round(time.perf_counter() - started, 3),
        "flagged": bool(flags and flags[0]),
        "versions": {
            name: version(name) for name in ("sdnb", "diffusers", "transformers", "torch")
        },
    }
    return Sample(result.images[0].convert("RGB"), settings, facts)


@contextmanager
def _counted(denoiser: Any, on_call: Callable[[], object] | None) -> Iterator[list[None]]:
    """Counts the denoiser's calls, and tells of each, while the block runs."""
    calls: list[None] = []

    def after(*_: Any) -> None:
        calls.append(None)
        if on_call:
            on_call()

    hook = denoiser.register_forward_hook(after)
    try:
        yield calls
    finally:
        hook.remove()


def _name_unknown(settings: Settings) -> None:
    """Says which words the embedded model does not know; each word once a session."""
    new = [word for word in emoji.unknown_words(settings.prompt) if word not in _said]
    if new:
        _said.update(new)
        hub.notice(f"The embedded model does not know: {', '.join(new)}. It draws what it knows.")
