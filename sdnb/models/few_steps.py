"""Few-step models: how many steps they take, and with which guidance, where none is given.

Distilled models are of the same classes as those that they were distilled from, whose defaults (50
steps, guidance 7.5) oversaturate the pictures of a Turbo. What they need stands on their pages, and
in what the model brings: its scheduler, its config, its name.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sdnb.models import provenance
from sdnb.models.denoiser import denoiser_of

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

# names of models -> steps and guidance, as their pages have them; the first that is found counts
NAMED = {
    r"sdxl-turbo|sd-turbo": (1, 0.0),  # https://huggingface.co/stabilityai/sdxl-turbo
    r"Z-Image-Turbo": (9, 0.0),  # https://huggingface.co/Tongyi-MAI/Z-Image-Turbo
    r"3\.5-large-turbo": (4, 0.0),  # huggingface.co/stabilityai/stable-diffusion-3.5-large-turbo
    r"Krea-2-Turbo": (8, 0.0),
    r"schnell": (4, None),  # https://huggingface.co/black-forest-labs/FLUX.1-schnell
    r"SDXL-Lightning": (4, 0.0),  # https://huggingface.co/ByteDance/SDXL-Lightning
    r"Hyper-SD": (8, 0.0),  # https://huggingface.co/ByteDance/Hyper-SD
    r"Qwen-Image.*Lightning": (8, 1.0),  # https://huggingface.co/lightx2v/Qwen-Image-Lightning
}
# the model's own scheduler -> steps and guidance
SCHEDULED = {
    "LCMScheduler": (4, 1.0),  # https://huggingface.co/docs/diffusers/using-diffusers/lcm
    "TCDScheduler": (4, 0.0),  # https://huggingface.co/docs/diffusers/using-diffusers/tcd
}


def own(pipe: DiffusionPipeline) -> tuple[int | None, float | None]:
    """Steps and guidance of a few-step model; None twice where it is none, or is not known.

    Example:
        >>> import sdnb
        >>> own(sdnb.load("emoji"))
        (None, None)
    """
    named = provenance.origin_of(pipe).model
    for pattern, found in NAMED.items():
        if re.search(pattern, named, re.IGNORECASE):
            return found
    config = denoiser_of(pipe).config
    if config.get("time_cond_proj_dim") is not None:
        return None, None  # LCM with guidance embedded: its class has the defaults
    if type(pipe.scheduler).__name__ in SCHEDULED:
        return SCHEDULED[type(pipe.scheduler).__name__]
    if pipe.config.get("is_distilled"):
        return (8, 0.0) if type(pipe).__name__.startswith("Krea") else (4, None)
    if config.get("guidance_embeds") is False and re.match("Flux(?!2)", type(pipe).__name__):
        return 4, None  # FLUX.1 schnell
    return None, None
