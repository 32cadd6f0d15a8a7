"""Abilities: what a pipeline can be asked for, and so which controls a panel shows."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from sdnb import emoji, schedulers
from sdnb.models import denoiser, tasks

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

SIDES = (0.5, 0.75, 1, 1.25, 1.5, 2)  # of the model's own side: farther away it draws badly
USUAL = 1024  # pixels: where only the pipeline knows its model's own side


@dataclass(frozen=True)
class Abilities:
    """What a pipeline takes.

    Attributes:
        prompt, negative_prompt, guidance: whether it takes these.
        schedulers: the names that fit, the model's own among them.
        sizes: widths and heights that fit, in pixels.
        picture: whether it can start from a picture.
        pieces: whether it can read a long prompt in pieces.
        weights: whether it can read compel's weights.

    Example:
        >>> import sdnb
        >>> Abilities.of(sdnb.load("emoji")).sizes
        (64, 96, 128, 160, 192, 256)
    """

    prompt: bool
    negative_prompt: bool
    guidance: bool
    schedulers: tuple[str, ...]
    sizes: tuple[int, ...]
    picture: bool
    pieces: bool
    weights: bool

    @classmethod
    def of(cls, pipe: DiffusionPipeline) -> Abilities:
        """Asks the pipeline."""
        taken = inspect.signature(pipe.__call__).parameters
        # "true" guidance is beside the one that is distilled into the model, which some lack
        distilled = "true_cfg_scale" in taken
        config = denoiser.denoiser_of(pipe).config
        embeds = config.get("guidance_embeds", True)
        # a UNet that was taught its guidance (LCM) is called once a step: nothing is pushed away
        taught = config.get("time_cond_proj_dim") is not None
        return cls(
            prompt="prompt" in taken,
            negative_prompt="negative_prompt" in taken and not distilled and not taught,
            guidance="guidance_scale" in taken and (embeds or not distilled),
            schedulers=tuple(_schedulers(pipe)),
            sizes=tuple(_sizes(pipe)) if "width" in taken else (),
            picture="image" in taken or _has_image_to_image(pipe),
            pieces=can_chunk(pipe),
            weights=_reads_weights(pipe),
        )


def _schedulers(pipe: DiffusionPipeline) -> list[str]:
    own = schedulers.name_of(pipe.scheduler)
    fitting = [own] if own not in schedulers.names() else []
    for name in schedulers.names():
        try:
            schedulers.make(name, pipe.scheduler)
        except (ValueError, NotImplementedError, TypeError):  # as where a run would use it
            if name != own:
                continue
        fitting.append(name)
    return fitting


def _sizes(pipe: DiffusionPipeline) -> list[int]:
    multiple = size_multiple(pipe)
    own = {side or USUAL for side in native_size(pipe)}
    near = {max(1, round(side * part / multiple)) * multiple for side in own for part in SIDES}
    return sorted(near)


def _has_image_to_image(pipe: DiffusionPipeline) -> bool:
    try:
        tasks.for_task(pipe, "Img2Img")
    except ValueError:
        return False
    return True


def _reads_weights(pipe: DiffusionPipeline) -> bool:
    try:
        check_syntax(pipe)
    except ValueError:
        return False
    return True


def models() -> list[str]:
    """Models that need no download: the embedded one, and the pipelines in the hub's cache."""
    from huggingface_hub import constants

    # what a snapshot of a pipeline always has; scanning all files of a large cache takes seconds
    found = Path(constants.HF_HUB_CACHE).glob("models--*--*/snapshots/*/model_index.json")
    names = {file.parts[-4].removeprefix("models--").replace("--", "/") for file in found}
    return [emoji.NAME, *sorted(names)]


def size_multiple(pipe: DiffusionPipeline) -> int:
    """Width and height must be multiples of this many pixels.

    Example:
        >>> import sdnb
        >>> size_multiple(sdnb.load("emoji"))
        32
    """
    scale = pipe.vae_scale_factor
    blocks = denoiser.denoiser_of(pipe).config.get("up_block_types") or ()
    if any("SimpleCrossAttn" in block for block in blocks):
        # these blocks only double: what is halved at each level must come out even
        scale *= 2 ** (len(blocks) - 1)
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
    own = denoiser.denoiser_of(pipe).config.get("sample_size")
    size = getattr(pipe, "default_sample_size", None) or own
    if size is None:
        return None, None
    height, width = size if isinstance(size, (list, tuple)) else (size, size)
    return width * pipe.vae_scale_factor, height * pipe.vae_scale_factor


def can_chunk(pipe: DiffusionPipeline) -> bool:
    """Whether the pipeline takes prompts as embeddings of any length (SD 1, SD 2, SDXL)."""
    return type(pipe).__name__.startswith(("StableDiffusionPipeline", "StableDiffusionXL")) or (
        type(pipe).__name__ in ("StableDiffusionImg2ImgPipeline", "StableDiffusionInpaintPipeline")
    )


def check_syntax(pipe: DiffusionPipeline) -> None:
    """Raises ValueError where the pipeline takes no weights, or where compel is not installed."""
    if not can_chunk(pipe):
        raise ValueError(f"compel cannot weigh the prompts of a {type(pipe).__name__}.")
    if find_spec("compel") is None:
        raise ValueError("prompt_syntax='compel' needs a package: pip install 'sdnb[compel]'.")
