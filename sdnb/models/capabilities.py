"""What a pipeline can be asked for. Nobody else reads a pipeline's signature or class name."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

from sdnb import emoji, schedulers
from sdnb.models import denoiser, few_steps, modular
from sdnb.models.guidance import GUIDER, Guidance, guider_state
from sdnb.pipeline_class import arguments_of, refusal, task_class
from sdnb.settings import figure

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline, SchedulerMixin

    from sdnb.settings import Settings

SIDES = (0.5, 0.75, 1, 1.25, 1.5, 2)  # of the model's own side: farther away it draws badly
USUAL = 1024  # pixels: where only the pipeline knows its model's own side
STEPS = 50  # where a pipeline's signature names no number of its own
# classes that take prompts as embeddings of any length
READS_PIECES = "StableDiffusion(XL|(Img2Img|Inpaint)?Pipeline)"
# whose call has a default that fits one number of steps: with any other it wants None
FITS_STEPS = {"intermediate_timesteps": 2}
IN_PIXELS = "PRX"  # classes whose default_sample_size is in pixels, not in latents
CHANGES_DENOISER = "perturbed-attention guidance changes the denoiser itself while it runs"
EDITS_ONLY = r"Edit|Pix2Pix"  # their signatures take no picture for an answer
# editing models whose call reads a list as several reference pictures; that of others as a batch
SEVERAL = r"Flux[23]|QwenImage(EditPlus|21)|ZImageOmni|JoyImageEditPlus|BriaFibo(2|Edit)"


@dataclass(frozen=True)
class Capabilities:
    """What a pipeline takes, and its own defaults.

    Attributes:
        name: of its class.
        arguments: that its call takes.
        prompt: whether it takes one.
        guide: how it takes guidance.
        starts_from_picture: whether a call needs a picture to start from.
        edits: whether a picture is edited by the words of the prompt, without a strength.
        several: whether it takes several reference pictures at once.
        picture, mask: whether diffusers has image to image, and inpainting, for this model.
        steps, strength: its own defaults; None where it takes no such argument.
        size: the model's own (width, height) in pixels; None twice where only its pipeline knows.
        multiple: width and height must be multiples of so many pixels.
        sizes: widths and heights to choose from, in pixels; none where it takes neither.
        pieces: whether it takes prompts as embeddings of any length (SD 1, SD 2, SDXL), and so a
            long prompt in pieces, and compel's weights.
        pooled: whether such embeddings have pooled ones beside them (SDXL).
        text_tokens: the pipeline's max_sequence_length (T5 and the like); None if it has none.
        alone: why its denoiser calls cannot be merged with other runs'; empty where they can.
        own_scheduler: the pipeline's own.
        unless: arguments that are left out for its own number of steps, and None for any other.
        first: the argument that its call takes first, mostly "prompt".
        output: the name of the pictures in what its call returns.
        guiders: parts that count steps, so that each run has its own.

    Example:
        >>> import sdnb
        >>> can = Capabilities.of(sdnb.load("emoji"))
        >>> can.steps, can.guidance_scale, can.size, can.multiple, can.sizes
        (50, 7.5, (128, 128), 32, (64, 96, 128, 160, 192, 256))
    """

    name: str
    arguments: frozenset[str]
    prompt: bool
    guide: Guidance
    starts_from_picture: bool
    edits: bool
    several: bool
    picture: bool
    mask: bool
    steps: int
    strength: float | None
    size: tuple[int, int] | tuple[None, None]
    multiple: int
    sizes: tuple[int, ...]
    pieces: bool
    pooled: bool
    text_tokens: int | None
    alone: str
    own_scheduler: SchedulerMixin
    unless: tuple[tuple[str, int], ...]
    first: str
    output: str
    guiders: tuple[str, ...]

    @classmethod
    def of(cls, pipe: DiffusionPipeline) -> Capabilities:
        """Asks the pipeline; again only after its scheduler, denoiser or guider was changed."""
        if modular.is_modular(pipe):
            why = None if pipe in _records else modular.refusal(pipe)
            if why := why or modular.lacking(pipe):
                raise ValueError(f"This is a {type(pipe).__name__}, which {why}.")
        parts = pipe.scheduler, denoiser.denoiser_of(pipe)
        guider = guider_state(pipe)
        then, before, known = _records.get(pipe, ((), (), None))
        if known is None or before != guider or [part() for part in then] != [*parts]:
            known = cls._asked(pipe)
            _records[pipe] = tuple(map(ref, parts)), guider, known
        return known

    @classmethod
    def _asked(cls, pipe: DiffusionPipeline) -> Capabilities:
        made: Any = type(pipe)
        if modular.is_modular(pipe):
            return cls._of_blocks(pipe)
        if why := refusal(made):
            raise ValueError(f"This is a {made.__name__}, which {why}.")
        defaults = arguments_of(made)
        multiple, size = _multiple(pipe), _size(pipe, defaults)
        guide = Guidance.of(pipe, defaults)
        steps, guide = _few_steps(pipe, guide)
        takes_picture, strength = "image" in defaults, "strength" in defaults
        edits = takes_picture and "prompt" in defaults and not strength
        return cls(
            name=made.__name__,
            arguments=frozenset(defaults),
            prompt="prompt" in defaults,
            guide=guide,
            starts_from_picture=takes_picture
            and (not edits or re.search(EDITS_ONLY, made.__name__) is not None),
            edits=edits,
            several=edits and re.match(SEVERAL, made.__name__) is not None,
            picture=takes_picture or task_class(made, "Img2Img") is not None,
            mask=task_class(made, "Inpaint") is not None,
            steps=steps or defaults.get("num_inference_steps") or STEPS,
            strength=defaults.get("strength"),
            size=size,
            multiple=multiple,
            sizes=_sizes(size, multiple) if "width" in defaults else (),
            pieces=re.match(READS_PIECES, made.__name__) is not None,
            pooled="pooled_prompt_embeds" in defaults,
            text_tokens=defaults.get("max_sequence_length"),
            alone=CHANGES_DENOISER if "pag_scale" in defaults else "",
            own_scheduler=pipe.scheduler,
            unless=tuple((n, steps) for n, steps in FITS_STEPS.items() if n in defaults),
            first=next(iter(defaults)),
            output="image" if made.__name__.startswith("Kandinsky5") else "images",
            guiders=tuple(n for n in ("guider", "ocr_guider") if getattr(pipe, n, None)),
        )

    @classmethod
    def _of_blocks(cls, pipe: Any) -> Capabilities:
        """Of a modular pipeline, whose blocks say what it takes."""
        name = type(pipe).__name__
        defaults = modular.arguments_of(pipe)
        multiple, size = _multiple(pipe), _size(pipe, defaults)
        steps, guide = _few_steps(pipe, Guidance.of(pipe, defaults))
        picture = "image" in defaults
        edits = picture and not modular.is_redrawn(pipe)
        return cls(
            name=name,
            arguments=frozenset(defaults) | ({GUIDER} if guide.argument == GUIDER else set()),
            prompt=True,
            guide=guide,
            starts_from_picture=modular.needs_picture(pipe),
            edits=edits,
            several=edits and re.match(SEVERAL, name) is not None,
            picture=picture,
            mask="mask_image" in defaults,
            steps=steps or defaults.get("num_inference_steps") or STEPS,
            strength=None if edits else defaults.get("strength"),
            size=size,
            multiple=multiple,
            sizes=_sizes(size, multiple) if "width" in defaults else (),
            pieces=False,
            pooled=False,
            text_tokens=defaults.get("max_sequence_length"),
            alone=CHANGES_DENOISER if _changes_denoiser(pipe) else "",
            own_scheduler=pipe.scheduler,
            unless=(),
            first="",
            output="images",
            guiders=(GUIDER,) if getattr(pipe, GUIDER, None) else (),
        )

    @property
    def guidance(self) -> bool:
        """Whether an argument of its call sets the guidance scale."""
        return self.guide.argument is not None

    @property
    def negative_prompt(self) -> bool:
        """Whether it takes one. Where guidance is distilled into the model, a negative prompt has
        nothing to push against."""
        return "negative_prompt" in self.arguments and self.guide.branches

    @property
    def guidance_scale(self) -> float | None:
        """Its own; None where it takes none, or changes it from step to step (Ideogram 4)."""
        return self.guide.default

    def guidance_for(self, steps: int) -> float | None:
        """The guidance scale where none is given.

        Arguments:
            steps: of the run. Ideogram 4's own scale is a schedule for its own number of steps;
                with any other it is the schedule's first.
        """
        schedule = self.guide.schedule
        if schedule and len(schedule) != steps:
            return schedule[0]
        return self.guide.default

    def call(self, settings: Settings) -> dict[str, Any]:
        """The arguments of its call that settings come to, but for generator and pictures.

        Arguments:
            settings: resolved.

        Example:
            >>> import sdnb
            >>> can = Capabilities.of(sdnb.load("emoji"))
            >>> can.call(sdnb.Settings("a fox", steps=12, guidance=4.0))
            {'prompt': 'a fox', 'num_inference_steps': 12, 'guidance_scale': 4.0}
        """
        given = {
            "prompt": settings.prompt, "num_inference_steps": settings.steps,
            "width": settings.width, "height": settings.height, "strength": settings.strength,
        }  # fmt: skip
        given = {k: v for k, v in given.items() if v is not None}
        given |= self.guide.arguments(settings.guidance, settings.negative_prompt, settings.steps)
        given |= {name: None for name, steps in self.unless if settings.steps != steps}
        if "max_area" in self.arguments and settings.width and settings.height:
            given["max_area"] = settings.width * settings.height  # Kontext fits the size to it
        return {name: value for name, value in given.items() if name in self.arguments}

    def unlike(self, settings: Settings) -> dict[str, Any]:
        """Facts that say how `call` is unlike Stable Diffusion's; empty where it is not.

        Arguments:
            settings: resolved.
        """
        given = self.call(settings)
        usual = {"prompt", "num_inference_steps", "width", "height", "strength"}
        usual |= {"guidance_scale", self.guide.argument or ""}
        usual |= {"negative_prompt"} if settings.negative_prompt else set()
        beside = {name: value for name, value in given.items() if name not in usual}
        found: dict[str, Any] = {"beside": beside} if beside else {}
        if self.guide.argument not in (None, "guidance_scale"):
            found["guidance_argument"] = self.guide.argument
        if self.prompt and self.first != "prompt":
            found["prompt_by_name"] = True
        if self.output != "images":
            found["output"] = self.output
        return found

    def effect(self, settings: Settings) -> tuple[Any, ...]:
        """What of settings makes a difference to the picture: equal ones give equal pictures.

        Arguments:
            settings: resolved.
        """
        given = self.call(settings)
        if not self.guide.on(settings.guidance) and self.guide.unasked == 1:
            given.pop("negative_prompt", None)
            given.pop(self.guide.argument or "", None)
        return settings.scheduler, settings.seed, *sorted(map(repr, given.items()))

    def why_same(self, name: str) -> str:
        """Why a setting changes nothing here, and what would.

        Arguments:
            name: of the setting.
        """
        same = "so all pictures would be the same"
        if name == "guidance" and not self.guidance:
            return f"{self.name} takes no guidance, {same}: {self.guide.why}."
        least = figure(self.guide.above)
        if name == "guidance":
            return f"Guidance is off at {least} and below, {same}: give values above {least}."
        if name == "negative_prompt":
            on = f"above {least}" if self.guide.off is None else f"that is not {least}"
            return f"A negative prompt counts only with guidance {on}, {same}: give guidance= too."
        return f"{self.name} takes no {name}, {same}."

    @functools.cached_property
    def schedulers(self) -> tuple[str, ...]:
        """The names of the schedulers that fit, the model's own among them."""
        fitting = _fitting(self.own_scheduler)
        if "original_inference_steps" in self.arguments:
            ours = {schedulers.name_of(self.own_scheduler), "LCM", "TCD"}
            fitting = [name for name in fitting if name in ours]
        return tuple(fitting)

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
        return self.guide.on(guidance)

    def check_syntax(self) -> None:
        """Raises ValueError where it reads no weights, or where compel is not installed."""
        if not self.pieces:
            raise ValueError(f"compel cannot weigh the prompts of a {self.name}.")
        if not self.weights:
            raise ValueError("prompt_syntax='compel' needs a package: pip install 'sdnb[compel]'.")


# pipeline -> the parts that it had then, how its guider was, and the record
_records: WeakKeyDictionary[
    DiffusionPipeline, tuple[tuple[Callable[[], Any], ...], tuple[Any, ...], Capabilities]
]  # fmt: skip
_records = WeakKeyDictionary()


# ---------------------------------------------------------------- what a model can be asked


def _fitting(own: SchedulerMixin) -> list[str]:
    mine = schedulers.name_of(own)
    fitting = [mine] if mine not in schedulers.names() else []
    for name in schedulers.names():
        try:
            schedulers.make(name, own)
        except ValueError:
            if name != mine:
                continue
        fitting.append(name)
    return fitting


def _few_steps(pipe: DiffusionPipeline, guide: Guidance) -> tuple[int | None, Guidance]:
    """A few-step model's own number of steps, and how it takes guidance."""
    steps, scale = few_steps.own(pipe)
    if scale is not None and guide.argument is not None:
        guide = replace(guide, default=scale)
    return steps, guide


def _changes_denoiser(pipe: Any) -> bool:
    """Whether a modular pipeline's guider puts hooks into the denoiser, as PAG's and SLG's do."""
    from diffusers.guiders import BaseGuidance

    made: Any = type(getattr(pipe, GUIDER, None))
    return getattr(made, "prepare_models", None) not in (None, BaseGuidance.prepare_models)


def _sizes(size: tuple[int | None, int | None], multiple: int) -> tuple[int, ...]:
    own = {side or USUAL for side in size}
    near = {max(1, round(side * part / multiple)) * multiple for side in own for part in SIDES}
    return tuple(sorted(near))


def _multiple(pipe: DiffusionPipeline) -> int:
    scale = getattr(pipe, "vae_scale_factor", 1)  # where there is no VAE
    blocks = denoiser.denoiser_of(pipe).config.get("up_block_types") or ()
    if any("SimpleCrossAttn" in block for block in blocks):
        # these blocks only double: what is halved at each level must come out even
        scale *= 2 ** (len(blocks) - 1)
    # latents are cut into patches: SD3 has `patch_size`, Flux has it in its image processor
    processor = getattr(getattr(pipe, "image_processor", None), "config", {})
    return max(8, scale * getattr(pipe, "patch_size", 1), processor.get("vae_scale_factor", 1))


def _size(pipe: DiffusionPipeline, defaults: dict[str, Any]) -> tuple[int, int] | tuple[None, None]:
    width, height = defaults.get("width"), defaults.get("height")
    if isinstance(width, int) and isinstance(height, int):
        return width, height
    width, height = (getattr(pipe, f"default_{name}", None) for name in ("width", "height"))
    if isinstance(width, int) and isinstance(height, int):
        return width, height  # modular pipelines
    own = denoiser.denoiser_of(pipe).config.get("sample_size")
    size = getattr(pipe, "default_sample_size", None) or own
    if size is None:
        return None, None
    height, width = size if isinstance(size, (list, tuple)) else (size, size)
    scale = 1 if type(pipe).__name__.startswith(IN_PIXELS) else getattr(pipe, "vae_scale_factor", 1)
    return width * scale, height * scale


def models() -> list[str]:
    """Models that need no download: the embedded one, and the pipelines in the hub's cache."""
    from huggingface_hub import constants

    # what a snapshot of a pipeline always has; scanning all files of a large cache takes seconds
    found = Path(constants.HF_HUB_CACHE).glob("models--*--*/snapshots/*/*model_index.json")
    names = {file.parts[-4].removeprefix("models--").replace("--", "/") for file in found}
    return [emoji.NAME, *sorted(names)]
