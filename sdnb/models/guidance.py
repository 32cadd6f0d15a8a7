"""Guidance: which argument of a pipeline sets it, from which scale it is on, calls per step.

A signature tells half of it. The rest is in the pipeline's config and in the source of its call:
whether the guidance scale is an input of the denoiser, or weighs a second, unconditional branch.
"""

from __future__ import annotations

import copy
import functools
import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sdnb.models import modular
from sdnb.models.denoiser import denoiser_of

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

DISTILLED = "its guidance is distilled into the model"
# modular pipelines whose guider does nothing where no negative prompt is given, be it a blank one
NEED_NEGATIVE = "StableDiffusion3"
GUIDER = "guider"  # in place of an argument: a part of modular pipelines, which has the scale
PER_STEP = "guidance_schedule"  # an argument that takes a list of scales, one a step


@dataclass(frozen=True)
class Guidance:
    """How a pipeline takes guidance.

    Attributes:
        argument: of its call; None where none sets it. "guider" is no argument but the part of
            modular pipelines that guides: it gets the scale.
        default: the pipeline's own scale; None where it has none.
        above: the scale above which the unconditional branch runs; below any where the scale is
            always used.
        off: the one scale that turns guidance off, where a lower one does not: modular guiders.
        branches: whether there is an unconditional branch, which a negative prompt can replace.
        calls: denoiser calls a step with guidance on.
        unasked: denoiser calls a step where `argument` is None, or guidance is off.
        needs_negative: the branch runs only beside a negative prompt, be it a blank one.
        beside: what has to be given along with a scale, so that it counts.
        schedule: the pipeline's own scales, one a step, where they are not one number.
        why: why none can be set, to follow "…, since".
    """

    argument: str | None = None
    default: float | None = None
    above: float = 1.0
    off: float | None = None
    branches: bool = False
    calls: int = 1
    unasked: int = 1
    needs_negative: bool = False
    beside: Mapping[str, Any] = field(default_factory=dict)
    schedule: tuple[float, ...] = ()
    why: str = ""

    @classmethod
    def of(cls, pipe: DiffusionPipeline, defaults: Mapping[str, Any]) -> Guidance:
        """Asks a pipeline.

        Arguments:
            pipe: the pipeline.
            defaults: of its call's arguments.
        """
        made, config = type(pipe), denoiser_of(pipe).config
        if (guider := getattr(pipe, GUIDER, None)) is not None and modular.is_modular(pipe):
            needs = type(pipe).__name__.startswith(NEED_NEGATIVE)
            return replace(
                cls._of_guider(guider, "negative_prompt" in defaults), needs_negative=needs
            )
        embedded, calls = config.get("guidance_embeds"), _calls_a_step(made)
        if "distilled_guidance_scale" in defaults:  # HunyuanImage
            own = defaults["distilled_guidance_scale"]
            if embedded:
                return cls("distilled_guidance_scale", own, above=-1.0)
            guider = getattr(pipe, "guider", None)
            both = (
                guider.num_conditions if guider is not None and guider.get_state()["enabled"] else 1
            )
            return cls(
                branches=both > 1, calls=both, unasked=both,
                why="its guider decides: pipe.guider.guidance_scale sets it",
            )  # fmt: skip
        own = defaults.get("guidance_scale")
        if PER_STEP in defaults and "guidance_scale" not in defaults:  # Ideogram 4's modular one
            return cls(PER_STEP, above=-1.0, calls=2, unasked=2, schedule=tuple(defaults[PER_STEP]))
        if "true_cfg_scale" in defaults and own is None:  # Qwen-Image
            scale = defaults["true_cfg_scale"]
            return cls(
                "true_cfg_scale", scale, branches=True, calls=calls, needs_negative=True
            )  # fmt: skip
        if "guidance_scale" not in defaults:
            return cls(why=DISTILLED)
        if getattr(pipe, "unconditional_transformer", None) is not None:  # Ideogram 4
            return cls(
                "guidance_scale", above=-1.0, calls=2, unasked=2,
                beside={PER_STEP: None}, schedule=tuple(defaults.get(PER_STEP) or ()),
            )  # fmt: skip
        if own is None:  # taken and ignored: DreamLite Mobile
            return cls(why=DISTILLED)
        if config.get("time_cond_proj_dim") is not None:
            # LCM: a UNet with the guidance embedded runs no unconditional branch
            return cls("guidance_scale", own, above=-1.0)
        if "true_cfg_scale" in defaults or not _compares(made):  # Flux, SANA-Sprint
            if embedded is False:
                return cls(why=DISTILLED)
            blends = not embedded and _blends(made)  # OmniGen, always
            return cls("guidance_scale", own, above=-1.0, branches=blends)
        if pipe.config.get("is_distilled"):  # FLUX.2 Klein reads no scale, Krea 2 Turbo wants none
            if _reads_distilled(made):
                return cls(why=DISTILLED)
            own = 0.0
        return cls("guidance_scale", own, above=_above(made), branches=True, calls=calls)

    @classmethod
    def _of_guider(cls, guider: Any, negative: bool) -> Guidance:
        """Of a modular pipeline: each condition that its guider has is a denoiser call a step.

        https://huggingface.co/docs/diffusers/modular_diffusers/guiders
        """
        scale = getattr(guider, "guidance_scale", None)
        if not isinstance(scale, (int, float)):
            calls = guider.num_conditions
            return cls(
                branches=negative, calls=calls, unasked=calls,
                why="its guider has no single scale: pipe.guider sets it",
            )  # fmt: skip
        off = 0.0 if getattr(guider, "use_original_formulation", False) else 1.0
        alike = copy.deepcopy(guider)
        alike.enable()
        alike.guidance_scale = off + 1
        return cls(
            GUIDER, float(scale) if guider.get_state()["enabled"] else off, off=off, above=off,
            branches=negative, calls=alike.num_conditions,
        )  # fmt: skip

    def on(self, scale: float | None) -> bool:
        """Whether a scale makes a difference: it is over the one that turns guidance off.

        Example:
            >>> Guidance("guidance_scale", 7.5).on(1), Guidance("guidance_scale", 7.5).on(2)
            (False, True)
        """
        if self.argument is None or scale is None:
            return False
        return scale > self.above if self.off is None else scale != self.off

    def calls_a_step(self, scale: float | None) -> int:
        """Denoiser calls a step with that scale.

        Example:
            >>> Guidance("true_cfg_scale", 4.0, calls=2).calls_a_step(4)
            2
        """
        return self.calls if self.on(scale) else self.unasked

    def arguments(self, scale: float | None, negative: str, steps: int | None) -> dict[str, Any]:
        """What a call of so many steps is given of a scale and a negative prompt.

        Example:
            >>> Guidance("true_cfg_scale", 4.0, needs_negative=True).arguments(4, "", 50)
            {'negative_prompt': ' ', 'true_cfg_scale': 4}
        """
        given: dict[str, Any] = {}
        if self.argument is None or scale is None:
            return {"negative_prompt": negative} if negative and self.branches else {}
        if negative:  # some pipelines cannot take an empty one
            given["negative_prompt"] = negative
        elif self.needs_negative and self.on(scale):
            given["negative_prompt"] = " "
        scales = [scale] * steps if self.argument == PER_STEP and steps else scale
        return given | {self.argument: scales} | dict(self.beside)


def guider_state(pipe: Any) -> tuple[Any, ...]:
    """How a pipeline's guider is just now: its class, its scale, whether it is on."""
    guider = getattr(pipe, GUIDER, None)
    if guider is None:
        return ()
    scale = getattr(guider, "guidance_scale", None)
    return type(guider), scale, guider.get_state()["enabled"], str(guider.config)


# ---------------------------------------------------------------- what only the source shows


@functools.cache
def _source(made: Any, name: str = "__call__") -> str:
    found = inspect.getattr_static(made, name, None)
    found = found.fget if isinstance(found, property) else found
    try:
        return inspect.getsource(found) if found else ""
    except (OSError, TypeError):  # a class that was typed into a cell
        return ""


def _calls_a_step(made: Any) -> int:
    """2 where the class makes a separate denoiser call for the unconditional branch; else 1.

    CogView4, Chroma, Lumina 2 and Qwen-Image do.
    """
    return 2 if re.search(r"(neg|uncond)\w* = self\.transformer\(", _source(made)) else 1


def _compares(made: Any) -> bool:
    """Whether the class turns its unconditional branch on and off by the scale."""
    told = r"guidance_scale > [01]|do_classifier_free_guidance"
    return bool(re.search(told, _code(_source(made))))


def _blends(made: Any) -> bool:
    """Whether the class runs the branch at any scale: OmniGen does."""
    return bool(re.search(r"uncond", _code(_source(made))))


def _above(made: Any) -> float:
    """0 for Z-Image and Krea 2, 1 for all others."""
    whole = _source(made, "do_classifier_free_guidance") or _code(_source(made))
    found = re.search(r"guidance_scale > ([01])", whole)
    return float(found[1]) if found else 1.0


def _reads_distilled(made: Any) -> bool:
    """Whether a distilled model of the class ignores the scale."""
    return "is_distilled" in _source(made, "do_classifier_free_guidance")


def _code(source: str) -> str:
    """Without the docstring, which speaks of guidance in any case."""
    return re.sub(r'r?""".*?"""', "", source, count=1, flags=re.DOTALL)


__all__ = ["GUIDER", "Guidance", "guider_state"]
