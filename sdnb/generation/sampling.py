"""One Settings -> one Sample, on a plain diffusers pipeline."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from PIL import Image

from sdnb import emoji, schedulers
from sdnb.generation import (
    between,
    init_image,
    nan_guard,
    prompt_encoding,
    sample_facts,
    watched_call,
    x0_preview,
)
from sdnb.log import is_first, notice
from sdnb.models import lora, modular, provenance, tasks
from sdnb.models.capabilities import Capabilities
from sdnb.models.guidance import GUIDER
from sdnb.records.sample import Sample
from sdnb.settings import Settings, check_multiple, draw_seed

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline, SchedulerMixin

LANCZOS = Image.Resampling.LANCZOS


def pipeline_for(pipe: DiffusionPipeline, start: init_image.Start | None) -> DiffusionPipeline:
    """The pipeline that makes pictures from text, from a picture, or from a picture and a mask.

    Raises:
        ValueError: diffusers has none for this model.
    """
    can = Capabilities.of(pipe)
    if start is None or not can.prompt or (can.edits and start.mask is None):
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
    can = Capabilities.of(pipe)
    steps = can.steps if settings.steps is None else settings.steps
    guidance = can.guidance_for(steps) if settings.guidance is None else settings.guidance
    scheduler = schedulers.new(settings.scheduler, pipe.scheduler)
    _fits(scheduler, can)
    schedulers.check_steps(scheduler, steps)
    if settings.negative_prompt and not can.negative_prompt:
        why = f", since {can.guide.why}" if can.guide.why else ""
        raise ValueError(f"{can.name} takes no negative prompt{why}: leave it out.")
    if settings.keep and (start is None or start.mask is None):
        raise ValueError("keep is for inpainting: give the picture and its mask, image= and mask=.")
    if start is not None and start.others and not can.several:
        raise ValueError(
            f"{can.name} takes one picture, and {len(start.images)} are given: give one, image=."
        )
    between.check(settings, pipe, scheduler, start is not None)
    strength = _strength(settings.strength, steps, pipe, start)
    if settings.prompt_syntax:
        can.check_syntax()
    else:
        for name in ("prompt", "negative_prompt"):
            prompt_encoding.check(pipe, name, getattr(settings, name), settings.long_prompt)
    for name in ("width", "height"):
        if (pixels := getattr(settings, name)) is not None:
            check_multiple(name, pixels, can.multiple)
    own = can.size
    if start is not None and can.prompt:
        own = init_image.fitting(start.image.size, own, can.multiple)
    return settings.but(
        steps=steps,
        guidance=guidance if can.guidance else None,
        scheduler=schedulers.name_of(scheduler),
        seed=draw_seed() if settings.seed is None else settings.seed,
        width=settings.width or own[0],
        height=settings.height or own[1],
        strength=strength,
        lora=lora.resolved(settings.lora, provenance.origin_of(pipe).lora),
    )


def _strength(
    given: float | None, steps: int, pipe: DiffusionPipeline, start: init_image.Start | None
) -> float | None:
    """How much of the picture to start from is redrawn; None where there is none.

    Raises:
        ValueError: there is none and must be, or must not be; or it is less than one step.
    """
    can = Capabilities.of(pipe)
    if start is None:
        if given is not None:
            raise ValueError(
                "strength is for image to image: give the picture to start from, image=."
            )
        if can.starts_from_picture:
            raise ValueError(f"{can.name} starts from a picture: give image=.")
        return None
    if can.edits:
        if given is not None:
            raise ValueError(
                f"{can.name} edits a picture by the words of the prompt, and takes no strength: "
                "say in the prompt what is to change, and how much."
            )
        return None
    own = 1.0 if can.strength is None else can.strength  # variations models redraw all
    strength = own if given is None else given
    if tasks.steps_made(pipe, steps, strength) < 1:
        raise ValueError(
            f"strength {strength:g} of {steps} steps is less than one step: give more of either."
        )
    return strength


def _fits(scheduler: SchedulerMixin, can: Capabilities) -> None:
    """Raises ValueError where the pipeline gives the scheduler what it does not take."""
    if "original_inference_steps" in can.arguments and not schedulers.is_consistency(scheduler):
        raise ValueError(
            f"{schedulers.name_of(scheduler)} does not fit this model: a {can.name} counts its "
            "steps as LCM does. Give scheduler='LCM', or none."
        )


def run(
    settings: Settings,
    pipe: DiffusionPipeline,
    on_call: Callable[[], object] = lambda: None,
    start: init_image.Start | None = None,
    on_step: x0_preview.OnStep | None = None,
    around: watched_call.Around | None = None,
) -> Sample:
    """Makes the picture of resolved settings.

    The pipeline is called as a person would call it, on a shallow copy with a scheduler of its
    own: the given pipeline stays as it is, whatever happens.

    Arguments:
        settings: from `resolve`.
        pipe: the pipeline; with a `start`, the one of `pipeline_for`.
        on_call: called after each denoiser call; the pipeline's own progress bar is off. What it
            raises ends the run there, within the pipeline's call: that is how the panel stops one.
        start: the picture to start from, and its mask.
        on_step: is given the number of each scheduler step and the latents predicted there, or the
            exception where they cannot be computed.
        around: given the pipeline, what is entered just around its call; again, where a picture is
            made again in float32.

    Returns:
        The sample.
    """
    origin = provenance.origin_of(pipe)
    if origin.model == emoji.NAME:
        _name_unknown(settings, pipe)
    view = _view(settings, pipe)
    in_pieces = settings.long_prompt == "chunk" and not settings.prompt_syntax
    pieces = prompt_encoding.pieces_of(pipe, settings) if in_pieces else None
    started, dtype = time.perf_counter(), origin.dtype

    # in a batch each call has its weights
    weights = None if provenance.is_runs_own(pipe) else settings.lora

    def called() -> watched_call.Call:
        with lora.applied(view, weights, origin.lora):
            arguments = _arguments(settings, view, start, pieces)
            if GUIDER in arguments:
                view.guider.enable()
                view.guider.guidance_scale = arguments.pop(GUIDER)
            return watched_call.made(view, arguments, settings, on_call, on_step, around)

    made = called()
    if made.seen.broken and dtype != "float32" and "quantize" not in origin.additions:
        notice(
            f"The denoiser returned NaN in {dtype}, so the picture is made again "
            "in float32. sdnb.load(..., dtype='float32') does so from the start."
        )
        dtype = "float32"
        with nan_guard.in_float32(view):
            made = called()
    # now, as somebody may have changed it meanwhile
    changed = provenance.differences(pipe, view.scheduler)
    seconds = round(time.perf_counter() - started, 3)
    facts = (
        sample_facts.of_origin(settings, pipe, dtype, made.calls, seconds)
        | Capabilities.of(pipe).unlike(settings)
        | sample_facts.of_call(made, view, pipe)
        | sample_facts.unusual(made, pipe, changed, start, pieces)
    )
    image = getattr(made.result, Capabilities.of(pipe).output)[0].convert("RGB")
    if settings.keep and start is not None and not (facts["flagged"] or facts.get("broken")):
        image = start.pasted(image)
    return Sample(image, settings.but(width=image.width, height=image.height), facts)


def _view(settings: Settings, pipe: DiffusionPipeline) -> DiffusionPipeline:
    """The run's own shallow copy: its scheduler and guiders are new, its weights shared."""
    view = copy.copy(pipe)
    view.scheduler = schedulers.new(settings.scheduler, pipe.scheduler)
    for name in Capabilities.of(pipe).guiders:
        setattr(view, name, copy.deepcopy(getattr(pipe, name)))
    if modular.is_modular(view):
        modular.without_bars(view)
    else:
        view.set_progress_bar_config(disable=True)
    if settings.toward:
        between.apply(view, settings.toward)
    return view


def _arguments(
    settings: Settings,
    pipe: DiffusionPipeline,
    start: init_image.Start | None,
    pieces: tuple[list[str], list[str]] | None,
) -> dict[str, Any]:
    """What the pipeline is called with."""
    import torch

    can = Capabilities.of(pipe)
    arguments = can.call(settings)
    # on the CPU, so that a GPU starts from the same noise
    arguments["generator"] = torch.Generator("cpu").manual_seed(settings.seed or 0)
    if start is not None:
        size = (settings.width or start.image.width, settings.height or start.image.height)
        # variations and editing models fit the picture by themselves
        whole = can.edits or not can.prompt
        arguments["image"] = start.given if whole else start.image.resize(size, LANCZOS)
        if start.mask is not None:
            arguments["mask_image"] = start.mask.resize(size, LANCZOS)
    if settings.prompt_syntax or pieces:
        if pieces:
            arguments |= prompt_encoding.embeddings(pipe, pieces)
        else:
            arguments |= prompt_encoding.weighted(pipe, settings.prompt, settings.negative_prompt)
        del arguments["prompt"]
        arguments.pop("negative_prompt", None)
    return {name: value for name, value in arguments.items() if name in can.arguments}


def _name_unknown(settings: Settings, pipe: DiffusionPipeline) -> None:
    """Logs which words the embedded model does not know; each word once a session."""
    other = settings.toward["prompt"] or "" if settings.toward else ""
    text = f"{settings.prompt} {settings.negative_prompt} {other}"
    unknown = emoji.unknown_words(text, pipe.tokenizer.get_added_vocab())
    new = [word for word in unknown if is_first(("unknown word", word))]
    if new:
        notice(f"The embedded model does not know: {', '.join(new)}. It draws what it knows.")
