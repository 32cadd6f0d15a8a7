"""A model as another of diffusers' pipelines: image to image, and inpainting."""

from __future__ import annotations

import copy
import inspect
import re
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from sdnb import log
from sdnb.models import provenance

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

# pipeline -> task -> the view, and the parts that the pipeline had when it was made
_views: WeakKeyDictionary[DiffusionPipeline, dict[str, tuple[DiffusionPipeline, dict[str, Any]]]]
_views = WeakKeyDictionary()


def for_task(pipe: DiffusionPipeline, task: str) -> DiffusionPipeline:
    """The same model as another of diffusers' pipelines; the weights are shared, not copied.

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
    import diffusers

    name = type(pipe).__name__
    takes_mask = "mask_image" in inspect.signature(pipe.__call__).parameters
    if task in name or (task == "Inpaint" and takes_mask):
        return pipe
    views = _views.setdefault(pipe, {})
    now = dict(pipe.components)
    view, then = views.get(task, (None, {}))
    if view is not None and all(then.get(k) is now.get(k) for k in then | now):
        return view
    wanted = re.sub(r"(Img2Img|Inpaint)?Pipeline$", f"{task}Pipeline", name)
    made = getattr(diffusers, wanted, None)
    if made is None:
        kind = {"Img2Img": "image to image", "Inpaint": "inpainting"}[task]
        raise ValueError(f"diffusers has no {kind} for this model (a {name}).")
    takes = inspect.signature(made.__init__).parameters
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


def is_for_inpainting(pipe: DiffusionPipeline) -> bool:
    """Whether the pipeline's UNet went through `for_inpainting`, and was changed by it."""
    unet = getattr(pipe, "unet", None)
    return unet is not None and unet.config.in_channels == 4 != unet.conv_in.in_channels


def for_inpainting(unet: Any) -> Any:
    """The UNet as diffusers' inpainting pipelines take it, its weights shared.

    They refuse one whose latents have more than 4 channels. What they mean by 4 is: the mask is
    not among the inputs; they then mix the latents by the mask after each step.
    """
    if unet.config.in_channels in (4, 9):
        return unet
    twin = copy.copy(unet)
    twin.register_to_config(in_channels=4)
    return twin
