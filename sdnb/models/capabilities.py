"""What a pipeline can be asked for. Nobody else reads a pipeline's signature or class name."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

from sdnb import emoji, schedulers
from sdnb.models import denoiser

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline, SchedulerMixin

SIDES = (0.5, 0.75, 1, 1.25, 1.5, 2)  # of the model's own side: farther away it draws badly
USUAL = 1024  # pixels: where only the pipeline knows its model's own side
STEPS = 50  # where a pipeline's signature names no number of its own
# classes that take prompts as embeddings of any length
READS_PIECES = "StableDiffusion(XL|(Img2Img|Inpaint)?Pipeline)"
TASKS = {"Img2Img": "image to image", "Inpaint": "inpainting"}  # as diffusers names its classes


@dataclass(frozen=True)
class Capabilities:
    """What a pipeline takes, and what it does where nothing is said.

    Attributes:
        name: of its class.
        arguments: that its call takes.
        prompt, negative_prompt, guidance: whether it takes these. Where guidance is distilled into
            the model, a negative prompt has nothing to push against.
        starts_from_picture: whether a call needs a picture to start from.
        picture, mask: whether diffusers has image to image, and inpainting, for this model.
        steps, guidance_scale, strength: its own defaults; None where it takes no such argument.
        guided_above: the guidance scale above which guidance is on.
        calls_a_step: denoiser calls with guidance on: 1 (both branches batched), or 2.
        size: the model's own (width, height) in pixels; None twice where only its pipeline knows.
        multiple: width and height must be multiples of so many pixels.
        sizes: widths and heights to choose from, in pixels; none where it takes neither.
        pieces: whether it takes prompts as embeddings of any length (SD 1, SD 2, SDXL), and so a
            long prompt in pieces, and compel's weights.
        pooled: whether such embeddings have pooled ones beside them (SDXL).
        text_tokens: the pipeline's max_sequence_length (T5 and the like); None if it has none.
        own_scheduler: the pipeline's own.

    Example:
        >>> import sdnb
        >>> can = Capabilities.of(sdnb.load("emoji"))
        >>> can.steps, can.guidance_scale, can.size, can.multiple, can.sizes
        (50, 7.5, (128, 128), 32, (64, 96, 128, 160, 192, 256))
    """

    name: str
    arguments: frozenset[str]
    prompt: bool
    negative_prompt: bool
    guidance: bool
    starts_from_picture: bool
    picture: bool
    mask: bool
    steps: int
    guidance_scale: float | None
    strength: float | None
    guided_above: float
    calls_a_step: int
    size: tuple[int, int] | tuple[None, None]
    multiple: int
    sizes: tuple[int, ...]
    pieces: bool
    pooled: bool
    text_tokens: int | None
    own_scheduler: SchedulerMixin

    @classmethod
    def of(cls, pipe: DiffusionPipeline) -> Capabilities:
        """Asks the pipeline; again only after its scheduler or its denoiser was replaced."""
        parts = pipe.scheduler, denoiser.denoiser_of(pipe)
        then, known = _records.get(pipe, ((), None))
        if known is None or [part() for part in then] != [*parts]:
            known = cls._asked(pipe)
            _records[pipe] = tuple(map(ref, parts)), known
        return known

    @classmethod
    def _asked(cls, pipe: DiffusionPipeline) -> Capabilities:
        made: Any = type(pipe)
        defaults = arguments_of(made)
        # "true" guidance is beside the one that is distilled into the model, which some lack
        distilled = "true_cfg_scale" in defaults
        config = denoiser.denoiser_of(pipe).config
        # a UNet with the guidance embedded (LCM) runs no unconditional branch: one call a step
        taught = config.get("time_cond_proj_dim") is not None
        embeds = config.get("guidance_embeds", True)
        guidance = "guidance_scale" in defaults and (embeds or not distilled)
        multiple, size = _multiple(pipe), _size(pipe)
        return cls(
            name=made.__name__,
            arguments=frozenset(defaults),
            prompt="prompt" in defaults,
            negative_prompt="negative_prompt" in defaults and not distilled and not taught,
            guidance=guidance,
            starts_from_picture="image" in defaults,
            picture="image" in defaults or task_class(made, "Img2Img") is not None,
            mask=task_class(made, "Inpaint") is not None,
            steps=defaults.get("num_inference_steps") or STEPS,
            guidance_scale=defaults.get("guidance_scale") if guidance else None,
            strength=defaults.get("strength"),
            guided_above=1.0,
            calls_a_step=1 if distilled or taught else _calls_a_step(made),
            size=size,
            multiple=multiple,
            sizes=_sizes(size, multiple) if "width" in defaults else (),
            pieces=re.match(READS_PIECES, made.__name__) is not None,
            pooled="pooled_prompt_embeds" in defaults,
            text_tokens=defaults.get("max_sequence_length"),
            own_scheduler=pipe.scheduler,
        )

    @functools.cached_property
    def schedulers(self) -> tuple[str, ...]:
        """The names of the schedulers that fit, the model's own among them."""
        return tuple(_fitting(self.own_scheduler))

    @property
    def weights(self) -> bool:
        """Whether it can read compel's weights."""
        return self.pieces and find_spec("compel") is not None

    def guided(self, guidance: float | None) -> bool:
        """Whether guidance is on; unless embedded in the model, it makes two rows or calls a step.

        Example:
            >>> import sdnb
            >>> [Capabilities.of(sdnb.load("emoji")).guided(scale) for scale in (1, 7.5)]
            [False, True]
        """
        return guidance is not None and guidance > self.guided_above

    def check_syntax(self) -> None:
        """Raises ValueError where it reads no weights, or where compel is not installed."""
        if not self.pieces:
            raise ValueError(f"compel cannot weigh the prompts of a {self.name}.")
        if not self.weights:
            raise ValueError("prompt_syntax='compel' needs a package: pip install 'sdnb[compel]'.")


# pipeline -> the parts that it had then, and the record
_records: WeakKeyDictionary[
    DiffusionPipeline, tuple[tuple[Callable[[], Any], ...], Capabilities]
]  # fmt: skip
_records = WeakKeyDictionary()


# ---------------------------------------------------------------- what a class can be asked


@functools.cache
def arguments_of(made: Any) -> dict[str, Any]:
    """The arguments of a pipeline class's call, with their defaults; None for those without.

    Example:
        >>> import diffusers
        >>> arguments_of(diffusers.StableDiffusionXLPipeline)["guidance_scale"]
        5.0
    """
    return {name: None if p.default is p.empty else p.default for name, p in _taken(made).items()}


def _taken(made: type[DiffusionPipeline]) -> dict[str, inspect.Parameter]:
    taken = inspect.signature(made.__call__).parameters
    return {name: parameter for name, parameter in taken.items() if name != "self"}


def parts_of(made: type[DiffusionPipeline]) -> list[str]:
    """The parts and options that a pipeline class is made of."""
    return list(inspect.signature(made.__init__).parameters)[1:]


def task_class(made: Any, task: str) -> Any:
    """The class of diffusers that does a task with the same model; None where there is none.

    Arguments:
        made: a pipeline class; one that does the task itself is given back.
        task: "Img2Img" or "Inpaint".

    Example:
        >>> import diffusers
        >>> task_class(diffusers.FluxPipeline, "Inpaint").__name__
        'FluxInpaintPipeline'
    """
    import diffusers

    if task in made.__name__ or (task == "Inpaint" and "mask_image" in arguments_of(made)):
        return made
    name = re.sub(r"(Img2Img|Inpaint)?Pipeline$", f"{task}Pipeline", made.__name__)
    return getattr(diffusers, name, None)


def makes_pictures(made: type[DiffusionPipeline]) -> bool:
    """Whether `generate` can use pipelines of that class: for text, a picture, or variations.

    Example:
        >>> import diffusers
        >>> makes_pictures(diffusers.FluxPipeline), makes_pictures(diffusers.ShapEPipeline)
        (True, False)
    """
    parts, takes = set(parts_of(made)), _taken(made)
    asked = {
        n for n, p in takes.items() if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD
    }
    other = ("num_frames", "frames", "video", "audio", "control_", "reference_image")
    return (
        {"num_inference_steps", "generator"} <= set(takes)
        and "scheduler" in parts
        and bool(parts & {"unet", "transformer"})
        and "vae" in parts
        and not parts & {"controlnet", "adapter", "depth_estimator", "vocoder"}
        and asked <= {"prompt", "image", "mask_image"}  # it would have to be given more
        and not any(name.startswith(other) for name in takes)
        and not re.search("Audio|Video|3D|Edit|Pix2Pix|Cosmos|Kandinsky", made.__name__)
        and ("prompt" in takes or "ImageVariation" in made.__name__)
        and ("image" not in takes or "strength" in takes or "prompt" not in takes)
    )


@functools.cache
def _calls_a_step(made: Any) -> int:
    """2 where the class makes a separate denoiser call for the unconditional branch; else 1.

    Only its source says so: CogView4, Chroma, Lumina 2 and Qwen-Image do.
    """
    try:
        source = inspect.getsource(made.__call__)
    except (OSError, TypeError):  # a class that was typed into a cell
        return 1
    return 2 if re.search(r"(neg|uncond)\w* = self\.transformer\(", source) else 1


# ---------------------------------------------------------------- what a model can be asked


def _fitting(own: SchedulerMixin) -> list[str]:
    mine = schedulers.name_of(own)
    fitting = [mine] if mine not in schedulers.names() else []
    for name in schedulers.names():
        try:
            schedulers.make(name, own)
        except (ValueError, NotImplementedError, TypeError):  # as where a run would use it
            if name != mine:
                continue
        fitting.append(name)
    return fitting


def _sizes(size: tuple[int | None, int | None], multiple: int) -> tuple[int, ...]:
    own = {side or USUAL for side in size}
    near = {max(1, round(side * part / multiple)) * multiple for side in own for part in SIDES}
    return tuple(sorted(near))


def _multiple(pipe: DiffusionPipeline) -> int:
    scale = pipe.vae_scale_factor
    blocks = denoiser.denoiser_of(pipe).config.get("up_block_types") or ()
    if any("SimpleCrossAttn" in block for block in blocks):
        # these blocks only double: what is halved at each level must come out even
        scale *= 2 ** (len(blocks) - 1)
    # latents are taken in patches: SD3 says so itself, Flux has it in its image processor
    processor = getattr(getattr(pipe, "image_processor", None), "config", {})
    return max(8, scale * getattr(pipe, "patch_size", 1), processor.get("vae_scale_factor", 1))


def _size(pipe: DiffusionPipeline) -> tuple[int, int] | tuple[None, None]:
    own = denoiser.denoiser_of(pipe).config.get("sample_size")
    size = getattr(pipe, "default_sample_size", None) or own
    if size is None:
        return None, None
    height, width = size if isinstance(size, (list, tuple)) else (size, size)
    return width * pipe.vae_scale_factor, height * pipe.vae_scale_factor


def models() -> list[str]:
    """Models that need no download: the embedded one, and the pipelines in the hub's cache."""
    from huggingface_hub import constants

    # what a snapshot of a pipeline always has; scanning all files of a large cache takes seconds
    found = Path(constants.HF_HUB_CACHE).glob("models--*--*/snapshots/*/model_index.json")
    names = {file.parts[-4].removeprefix("models--").replace("--", "/") for file in found}
    return [emoji.NAME, *sorted(names)]
