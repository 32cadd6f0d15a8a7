"""One Settings -> one Sample, on a plain diffusers pipeline."""

from __future__ import annotations

import copy
import inspect
import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from sdnb import emoji, hub, schedulers
from sdnb.sample import Sample
from sdnb.settings import Settings, check_multiple

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline, SchedulerMixin

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
    resolved = resolve(settings, pipe)
    with progress([resolved]) as bar:
        return run(resolved, pipe, bar.update)


def resolve(settings: Settings, pipe: DiffusionPipeline) -> Settings:
    """Fills in what the model decides, draws the seed, and checks that all of it fits the model.

    Raises:
        ValueError: the scheduler is unknown or does not fit, or the size does not, or the
            pipeline takes no such setting.
    """
    scheduler = _scheduler(settings.scheduler, pipe)
    schedulers.check_steps(scheduler, settings.steps)
    taken = inspect.signature(pipe.__call__).parameters
    # where guidance is distilled into the model, a negative prompt has nothing to push against
    if settings.negative_prompt and ("negative_prompt" not in taken or "true_cfg_scale" in taken):
        raise ValueError(f"{type(pipe).__name__} takes no negative prompt: leave it out.")
    if settings.strength is not None:
        raise ValueError("strength is for image to image: there is no picture to start from.")
    multiple = size_multiple(pipe)
    for name in ("width", "height"):
        if (pixels := getattr(settings, name)) is not None:
            check_multiple(name, pixels, multiple)
    width, height = native_size(pipe)
    return settings.but(
        scheduler=schedulers.name_of(scheduler),
        seed=secrets.randbelow(2**32) if settings.seed is None else settings.seed,
        width=settings.width or width,
        height=settings.height or height,
    )


def _scheduler(name: str | None, pipe: DiffusionPipeline) -> SchedulerMixin:
    """A new scheduler of that name; None or the name of the pipeline's own gives one like it."""
    own = pipe.scheduler
    if name is None or name == schedulers.name_of(own):
        return schedulers.copy_of(own)
    try:
        return schedulers.make(name, own)
    except (NotImplementedError, TypeError) as error:  # what diffusers says of flags that clash
        raise ValueError(f"{name} does not fit this model: {error}") from error


def size_multiple(pipe: DiffusionPipeline) -> int:
    """Width and height must be multiples of this many pixels.

    Example:
        >>> import sdnb
        >>> size_multiple(sdnb.load("emoji"))
        16
    """
    scale = pipe.vae_scale_factor
    # latents are taken in patches: SD3 says so itself, Flux has it in its image processor
    processor = getattr(getattr(pipe, "image_processor", None), "config", {})
    return max(8, scale * getattr(pipe, "patch_size", 1), processor.get("vae_scale_factor", 1))


def native_size(pipe: DiffusionPipeline) -> tuple[int, int] | tuple[None, None]:
    """The model's own (width, height) in pixels; None twice where only its pipeline knows.

    Example:
        >>> import sdnb
        >>> native_size(sdnb.load("emoji"))
        (128, 128)
    """
    own = denoiser_of(pipe).config.get("sample_size")
    size = getattr(pipe, "default_sample_size", None) or own
    if size is None:
        return None, None
    height, width = size if isinstance(size, (list, tuple)) else (size, size)
    return width * pipe.vae_scale_factor, height * pipe.vae_scale_factor


def denoiser_of(pipe: DiffusionPipeline) -> Any:
    """The pipeline's UNet or transformer."""
    unet = getattr(pipe, "unet", None)
    return pipe.transformer if unet is None else unet


def progress(settings: Sequence[Settings]) -> Any:
    """A progress bar over all denoiser calls of these settings; none where TQDM_DISABLE is set."""
    from tqdm.auto import tqdm

    total = sum(
        schedulers.calls(s.scheduler, s.steps) if s.scheduler in schedulers.SCHEDULERS else s.steps
        for s in settings
    )
    what = f"{len(settings)} picture" + "s" * (len(settings) > 1)
    # tqdm itself heeds the variable in terminals, not in notebooks
    return tqdm(total=total, unit="call", desc=what, disable="TQDM_DISABLE" in os.environ)


def run(
    settings: Settings, pipe: DiffusionPipeline, on_call: Callable[[], object] = lambda: None
) -> Sample:
    """Makes the picture of resolved settings.

    The pipeline is called as a person would call it, on a shallow copy with a scheduler of its
    own: the given pipeline stays as it is, whatever happens.

    Arguments:
        settings: from `resolve`.
        pipe: the pipeline.
        on_call: called after each denoiser call; the pipeline's own progress bar is off.

    Returns:
        The sample.
    """
    import torch

    origin = hub.origin_of(pipe)
    if origin.model == emoji.NAME:
        _name_unknown(settings)
    view = copy.copy(pipe)
    view.scheduler = _scheduler(settings.scheduler, pipe)
    view.set_progress_bar_config(disable=True)
    arguments = {
        "prompt": settings.prompt,
        "num_inference_steps": settings.steps,
        "guidance_scale": settings.guidance,
        "width": settings.width,
        "height": settings.height,
        # on the CPU, so that a GPU starts from the same noise
        "generator": torch.Generator("cpu").manual_seed(settings.seed or 0),
    }
    if settings.negative_prompt:  # some pipelines cannot take an empty one
        arguments["negative_prompt"] = settings.negative_prompt
    taken = inspect.signature(view.__call__).parameters
    name = settings.scheduler or ""
    known = name in schedulers.SCHEDULERS
    flags = schedulers.needed_flags(name, pipe.scheduler) if known else {}
    versions = {each: _version(each) for each in ("sdnb", "diffusers", "transformers", "torch")}
    started = time.perf_counter()
    with _counted(denoiser_of(view), on_call) as calls:
        result = view(**{k: v for k, v in arguments.items() if k in taken})
    unsafe = getattr(result, "nsfw_content_detected", None)
    facts = {
        "model": origin.model,
        "revision": origin.revision,
        "variant": origin.variant,
        "dtype": origin.dtype,
        "device": origin.device,
        "denoiser_calls": len(calls),
        "seconds": round(time.perf_counter() - started, 3),
        "flagged": bool(unsafe and unsafe[0]),
        "scheduler_flags": flags,
        "versions": versions,
    }
    image = result.images[0].convert("RGB")
    return Sample(image, settings.but(width=image.width, height=image.height), facts)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # used from a folder, without being installed
        return "unknown"


@contextmanager
def _counted(denoiser: Any, on_call: Callable[[], object]) -> Iterator[list[None]]:
    """Counts the denoiser's calls, and tells of each, while the block runs."""
    calls: list[None] = []

    def after(*_: Any) -> None:
        calls.append(None)
        on_call()

    hook = denoiser.register_forward_hook(after)
    try:
        yield calls
    finally:
        hook.remove()


def _name_unknown(settings: Settings) -> None:
    """Says which words the embedded model does not know; each word once a session."""
    text = f"{settings.prompt} {settings.negative_prompt}"
    new = [word for word in emoji.unknown_words(text) if word not in _said]
    if new:
        _said.update(new)
        hub.notice(f"The embedded model does not know: {', '.join(new)}. It draws what it knows.")
