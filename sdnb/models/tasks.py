"""A model as another of diffusers' pipelines: image to image, and inpainting."""

from __future__ import annotations

import copy
import inspect
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from sdnb import log, pipeline_class
from sdnb.models import modular, provenance

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

# pipeline -> task -> the view, and the parts that the pipeline had when it was made
_views: WeakKeyDictionary[DiffusionPipeline, dict[str, tuple[DiffusionPipeline, dict[str, Any]]]]
_views = WeakKeyDictionary()


def for_task(pipe: DiffusionPipeline, task: str) -> DiffusionPipeline:
    """The same model as another of diffusers' pipelines; the weights are shared, not copied.

    diffusers' own way is `AutoPipelineForImage2Image.from_pipe`, and `AutoPipelineForInpainting`'s.
    Its table of classes leaves out Chroma, Sana Sprint, Flux Fill, and inpainting with Flux Kontext
    and FLUX.2 klein; the two pipelines share one scheduler, whose timesteps each call sets; and
    its inpainting refuses a UNet whose latents have more than 4 channels (`for_inpainting`).

    Arguments:
        pipe: a text-to-image pipeline; one that is for the task already is given back.
        task: "Img2Img" or "Inpaint", as diffusers names its classes.

    Raises:
        ValueError: diffusers has no such pipeline for this model.

    Example:
        >>> from sdnb import load
        >>> type(for_task(load("emoji", device="cpu"), "Img2Img")).__name__
        'StableDiffusionImg2ImgPipeline'
    """
    if modular.is_modular(pipe):
        if {"Img2Img": "image", "Inpaint": "mask_image"}[task] in modular.arguments_of(pipe):
            return pipe  # its blocks choose by what they are given
        kind, name = pipeline_class.TASKS[task], type(pipe).__name__
        raise ValueError(f"The blocks of this {name} have no {kind}.")
    made = pipeline_class.task_class(type(pipe), task)
    if made is type(pipe):
        return pipe
    if made is None:
        kind, name = pipeline_class.TASKS[task], type(pipe).__name__
        if pipeline_class.task_class(type(pipe), "Inpaint") is type(pipe):  # Flux Fill
            raise ValueError(f"{name} paints anew what a mask shows in white: give mask= too.")
        raise ValueError(f"diffusers has no {kind} for this model (a {name}).")
    views = _views.setdefault(pipe, {})
    now = dict(pipe.components)
    view, then = views.get(task, (None, {}))
    if view is not None and all(then.get(k) is now.get(k) for k in then | now):
        return view
    takes = pipeline_class.parts_of(made)
    parts: dict[str, Any] = {k: v for k, v in now.items() if k in takes}
    parts["scheduler"] = type(pipe.scheduler).from_config(pipe.scheduler.config)
    parts |= {k: pipe.config[k] for k in takes if k not in parts and k in pipe.config}  # options
    if task == "Inpaint" and "unet" in parts:
        parts["unet"] = for_inpainting(parts["unet"])
    with log.quiet(warnings=True):
        view = made(**parts)
    views[task] = view, now
    provenance.derive(view, pipe)
    return view


def steps_made(pipe: DiffusionPipeline, steps: int, strength: float | None) -> int:
    """How many of the steps a pipeline makes where it starts from a picture, by its own rule.

    Stable Diffusion's make `int(steps * strength)`, those of flow models
    `steps - int(steps - steps * strength)`. The class's own `get_timesteps` is called, with a stub
    in place of the scheduler whose timesteps are range(steps).

    Arguments:
        pipe: the pipeline that is called, or the one that its image to image is made of.
        steps: of the whole schedule.
        strength: over 0 and up to 1; None where no picture is the start.

    Example:
        >>> from sdnb import load
        >>> pipe = load("emoji", device="cpu")
        >>> steps_made(for_task(pipe, "Img2Img"), 5, 0.5), steps_made(pipe, 5, 0.5)
        (2, 2)
    """
    if strength is None:
        return steps
    if modular.is_modular(pipe):
        return modular.steps_made(pipe, steps, strength)
    kinds = type(pipe), pipeline_class.task_class(type(pipe), "Img2Img")
    rule = next((r for kind in kinds if (r := getattr(kind, "get_timesteps", None))), None)
    if rule is None:
        return steps
    scheduler = SimpleNamespace(
        timesteps=range(steps), order=1, set_begin_index=lambda _: None, config={}
    )
    rest: dict[str, Any] = {"device": "cpu", "denoising_start": None}
    taken = inspect.signature(rule).parameters
    found = rule(
        SimpleNamespace(scheduler=scheduler), steps, strength,
        **{k: v for k, v in rest.items() if k in taken},
    )  # fmt: skip
    return len(found[0])


def is_for_inpainting(pipe: DiffusionPipeline) -> bool:
    """Whether the pipeline's UNet went through `for_inpainting`, and was changed by it."""
    unet = getattr(pipe, "unet", None)
    return unet is not None and unet.config.in_channels == 4 != unet.conv_in.in_channels


def for_inpainting(unet: Any) -> Any:
    """The UNet as diffusers' inpainting pipelines take it, its weights shared.

    They refuse one whose latents have more than 4 channels. What they mean by 4 is: the mask is
    not among the inputs; they then mix the latents by the mask after each step.
    """
    if unet.config.in_channels <= 4 or unet.config.in_channels == 9:  # DeepFloyd's are 3, pixels
        return unet
    twin = copy.copy(unet)
    twin.register_to_config(in_channels=4)
    return twin
