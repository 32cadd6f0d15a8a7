"""One Settings -> one Sample, on a plain diffusers pipeline."""

from __future__ import annotations

import copy
import functools
import inspect
import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from PIL import Image

from sdnb import emoji, schedulers
from sdnb.generation import init_image, nan_guard, prompt_encoding, x0_preview
from sdnb.log import notice
from sdnb.models import capabilities, denoiser, provenance, tasks
from sdnb.records.sample import Sample
from sdnb.settings import Settings, check_multiple

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline, SchedulerMixin

LANCZOS = Image.Resampling.LANCZOS
_said: set[str] = set()  # unknown words that were already named


def pipeline_for(pipe: DiffusionPipeline, start: init_image.Start | None) -> DiffusionPipeline:
    """The pipeline that makes pictures from text, from a picture, or from a picture and a mask.

    Raises:
        ValueError: diffusers has none for this model.
    """
    if start is None or "prompt" not in inspect.signature(pipe.__call__).parameters:
        return pipe
    return tasks.for_task(pipe, "Img2Img" if start.mask is None else "Inpaint")


def resolve(
    settings: Settings, pipe: DiffusionPipeline, start: init_image.Start | None = None
) -> Settings:
    """Fills in what the model decides, draws the seed, and checks that all of it fits the model.

    Raises:
        ValueError: the scheduler is unknown or does not fit, or the size does not, or the prompt
            is too long, or the pipeline takes no such setting.
    """
    scheduler = _scheduler(settings.scheduler, pipe)
    schedulers.check_steps(scheduler, settings.steps)
    taken = inspect.signature(pipe.__call__).parameters
    # where guidance is distilled into the model, a negative prompt has nothing to push against
    if settings.negative_prompt and ("negative_prompt" not in taken or "true_cfg_scale" in taken):
        raise ValueError(f"{type(pipe).__name__} takes no negative prompt: leave it out.")
    if start is None and settings.strength is not None:
        raise ValueError("strength is for image to image: give the picture to start from, image=.")
    if start is None and "image" in taken:
        raise ValueError(f"{type(pipe).__name__} starts from a picture: give image=.")
    strength = settings.strength
    if start is not None:
        default = taken["strength"].default if "strength" in taken else 1.0
        strength = default if strength is None else strength
        if int(settings.steps * strength) < 1:
            raise ValueError(
                f"strength {strength:g} of {settings.steps} steps is less than one step: "
                "give more of either."
            )
    if settings.prompt_syntax:
        capabilities.check_syntax(pipe)
    else:
        for name in ("prompt", "negative_prompt"):
            prompt_encoding.check(pipe, name, getattr(settings, name), settings.long_prompt)
    multiple = capabilities.size_multiple(pipe)
    for name in ("width", "height"):
        if (pixels := getattr(settings, name)) is not None:
            check_multiple(name, pixels, multiple)
    own = capabilities.native_size(pipe)
    if start is not None and "prompt" in taken:
        own = init_image.fitting(start.image.size, own, multiple)
    return settings.but(
        scheduler=schedulers.name_of(scheduler),
        seed=secrets.randbelow(2**32) if settings.seed is None else settings.seed,
        width=settings.width or own[0],
        height=settings.height or own[1],
        strength=strength,
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


def progress(settings: Sequence[Settings]) -> Any:
    """A progress bar over all denoiser calls of these settings; none where TQDM_DISABLE is set.

    Nor where there are no settings, as all pictures were made before.
    """
    from tqdm.auto import tqdm

    total = sum(map(calls_of, settings))
    what = f"{len(settings)} picture" + "s" * (len(settings) > 1)
    off = not total or "TQDM_DISABLE" in os.environ  # tqdm heeds it in terminals, not in notebooks
    return tqdm(total=total, unit="call", desc=what, disable=off)


def calls_of(settings: Settings) -> int:
    """Denoiser calls that the settings will make; as many as steps for a model's own scheduler.

    Example:
        >>> calls_of(Settings("a fox", steps=50, scheduler="Heun")), calls_of(Settings("a fox"))
        (99, 50)
        >>> calls_of(Settings("a fox", steps=50, scheduler="DDIM", strength=0.5))
        25
    """
    steps = settings.steps
    if settings.strength is not None:
        steps = int(steps * settings.strength)
    known = settings.scheduler in schedulers.SCHEDULERS
    return schedulers.calls(settings.scheduler or "", steps) if known else steps


def run(
    settings: Settings,
    pipe: DiffusionPipeline,
    on_call: Callable[[], object] = lambda: None,
    start: init_image.Start | None = None,
    on_step: x0_preview.OnStep | None = None,
) -> Sample:
    """Makes the picture of resolved settings.

    The pipeline is called as a person would call it, on a shallow copy with a scheduler of its
    own: the given pipeline stays as it is, whatever happens.

    Arguments:
        settings: from `resolve`.
        pipe: the pipeline; with a `start`, the one of `pipeline_for`.
        on_call: called after each denoiser call; the pipeline's own progress bar is off.
        start: the picture to start from, and its mask.
        on_step: is given the number of each denoiser call and the latents predicted there.

    Returns:
        The sample.
    """
    origin, changed = provenance.origin_of(pipe), provenance.differences(pipe)
    if origin.model == emoji.NAME:
        _name_unknown(settings)
    view = copy.copy(pipe)
    view.scheduler = _scheduler(settings.scheduler, pipe)
    view.set_progress_bar_config(disable=True)
    in_pieces = settings.long_prompt == "chunk" and not settings.prompt_syntax
    pieces = prompt_encoding.pieces_of(pipe, settings) if in_pieces else None
    started, before = time.perf_counter(), denoiser.backend_of(pipe)
    with (
        _counted(denoiser.denoiser_of(view), on_call) as calls,
        nan_guard.watched(view) as seen,
        x0_preview.watching(view, on_step) if on_step else nullcontext(),
    ):
        result = view(**_arguments(settings, view, start, pieces))
    dtype = origin.dtype
    if seen.broken and dtype != "float32":
        notice(
            f"The denoiser gave no numbers (NaN) in {dtype}, so the picture is made again "
            "in float32. sdnb.load(..., dtype='float32') does so from the start."
        )
        dtype, before = "float32", denoiser.backend_of(pipe)
        with (
            nan_guard.in_float32(view),
            _counted(denoiser.denoiser_of(view), on_call) as calls,
            nan_guard.watched(view) as seen,
            x0_preview.watching(view, on_step) if on_step else nullcontext(),
        ):
            result = view(**_arguments(settings, view, start, pieces))
    changed |= provenance.differences(pipe)  # somebody may have, in the meantime
    switches, changed = provenance.switches(pipe, changed)
    unsafe = getattr(result, "nsfw_content_detected", None)
    name = settings.scheduler or ""
    known = name in schedulers.SCHEDULERS
    facts: dict[str, Any] = {
        "model": origin.model,
        "revision": origin.revision,
        "variant": origin.variant,
        "dtype": dtype,
        "device": origin.device,
        "pipeline": type(pipe).__name__,
        "denoiser_calls": len(calls),
        "seconds": round(time.perf_counter() - started, 3),
        "flagged": bool(unsafe and unsafe[0]),
        "scheduler_flags": provenance.scheduler_flags(view, pipe) if known else {},
        "versions": {n: version_of(n) for n in ("sdnb", "diffusers", "transformers", "torch")},
    }
    unusual = {
        "broken": seen.broken or seen.decoder_broken,
        "decoder_broken": seen.decoder_broken,
        "decoder_upcast": seen.upcast,
        "channels_last": provenance.is_channels_last(pipe),
        "backend": before[0] if denoiser.backend_of(pipe) != before else "",
        "start": start.facts() if start else None,
        "as_four_channels": tasks.is_for_inpainting(pipe),
        "pickled": not provenance.takes_safetensors_only(pipe),
        "pieces": pieces,
        "adapters": provenance.has_adapters(pipe),
        "changed": provenance.in_words(changed),
        **switches,
    }
    facts |= {k: v for k, v in unusual.items() if v}
    image = result.images[0].convert("RGB")
    return Sample(image, settings.but(width=image.width, height=image.height), facts)


def _arguments(
    settings: Settings,
    pipe: DiffusionPipeline,
    start: init_image.Start | None,
    pieces: tuple[list[str], list[str]] | None,
) -> dict[str, Any]:
    """What the pipeline is called with."""
    import torch

    arguments: dict[str, Any] = {
        "prompt": settings.prompt,
        "num_inference_steps": settings.steps,
        "guidance_scale": settings.guidance,
        "width": settings.width,
        "height": settings.height,
        "strength": settings.strength,
        # on the CPU, so that a GPU starts from the same noise
        "generator": torch.Generator("cpu").manual_seed(settings.seed or 0),
    }
    if settings.negative_prompt:  # some pipelines cannot take an empty one
        arguments["negative_prompt"] = settings.negative_prompt
    if start is not None:
        size = (settings.width or start.image.width, settings.height or start.image.height)
        keep = "prompt" not in inspect.signature(pipe.__call__).parameters  # variations
        arguments["image"] = start.image if keep else start.image.resize(size, LANCZOS)
        if start.mask is not None:
            arguments["mask_image"] = start.mask.resize(size, LANCZOS)
    if settings.prompt_syntax or pieces:
        if pieces:
            arguments |= prompt_encoding.embeddings(pipe, pieces)
        else:
            arguments |= prompt_encoding.weighted(pipe, settings.prompt, settings.negative_prompt)
        del arguments["prompt"]
        arguments.pop("negative_prompt", None)
    taken = inspect.signature(pipe.__call__).parameters
    return {k: v for k, v in arguments.items() if k in taken and v is not None}


def made_by(
    settings: Settings, pipe: DiffusionPipeline, start: init_image.Start | None = None
) -> dict[str, Any] | None:
    """What besides the settings decides what a picture looks like, for the store's key.

    Returns:
        None where that is not known, which is said once: the pipeline is not as `load` made it (a
        LoRA was added, a hook, a switch of torch's), or it was not made by `load` at all.
    """
    if changed := provenance.differences(pipe):
        why = provenance.in_words(changed)
        provenance.say_once(pipe, f"Pictures are made anew and not kept in the store: {why}.")
        return None
    origin = asdict(provenance.origin_of(pipe))
    if not origin["backend"]:
        del origin["backend"]  # torch, as ever
    config = _scheduler(settings.scheduler, pipe).config
    used = ["diffusers", "transformers", "torch"] + ["compel"] * bool(settings.prompt_syntax)
    return origin | {
        "pipeline": type(pipe).__name__,
        "scheduler": {k: repr(v) for k, v in sorted(config.items()) if not k.startswith("_")},
        "channels_last": provenance.is_channels_last(pipe),
        "checker": getattr(pipe, "safety_checker", None) is not None,
        "start": {k: v for k, v in start.facts().items() if "file" not in k} if start else None,
        "versions": {name: version_of(name) for name in used},
    }


@functools.cache  # the package's metadata is a file, read and parsed
def version_of(package: str) -> str:
    """The installed version; "unknown" where there is none."""
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
        notice(f"The embedded model does not know: {', '.join(new)}. It draws what it knows.")
