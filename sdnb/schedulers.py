"""Schedulers by the names that users know, and what they cost in denoiser calls.

Names and flags follow https://huggingface.co/docs/diffusers/api/schedulers/overview. Every entry
states all its flags, also the ones that are off: flags stay in a scheduler's config, so a plain
name made from the config of a Karras one would else be Karras too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sdnb.settings import suggestion

if TYPE_CHECKING:
    from diffusers import SchedulerMixin


@dataclass(frozen=True)
class Known:
    """One scheduler: the diffusers class, its flags, its name elsewhere, its cost.

    `doubled` schedulers call the denoiser twice a step except at the last; `extra` is a fixed
    number of further calls; `most` is the largest number of steps.
    """

    cls: str
    flags: dict[str, Any] = field(default_factory=dict)
    sampler: str = ""  # AUTOMATIC1111's name, where it is not ours
    doubled: bool = False
    extra: int = 0
    most: int = 1000


_PLAIN = {"use_karras_sigmas": False}
_KARRAS = {"use_karras_sigmas": True}
_ODE = {"algorithm_type": "dpmsolver++", "solver_order": 2}
_SDE = {"algorithm_type": "sde-dpmsolver++", "solver_order": 2}

SCHEDULERS: dict[str, Known] = {
    "PNDM": Known("PNDMScheduler", {"skip_prk_steps": True}, "PLMS", extra=1),
    "DDIM": Known("DDIMScheduler"),
    "LMS": Known("LMSDiscreteScheduler", _PLAIN),
    "Euler": Known("EulerDiscreteScheduler", _PLAIN),
    "Euler a": Known("EulerAncestralDiscreteScheduler"),
    "Heun": Known("HeunDiscreteScheduler", _PLAIN, doubled=True),
    "DPM2": Known("KDPM2DiscreteScheduler", _PLAIN, doubled=True),
    "DPM2 a": Known("KDPM2AncestralDiscreteScheduler", _PLAIN, doubled=True),
    "DPM++ 2M": Known("DPMSolverMultistepScheduler", {**_ODE, **_PLAIN}),
    "DPM++ 2M Karras": Known("DPMSolverMultistepScheduler", {**_ODE, **_KARRAS}),
    "DPM++ 2M SDE": Known("DPMSolverMultistepScheduler", {**_SDE, **_PLAIN}),
    "DPM++ 2M SDE Karras": Known("DPMSolverMultistepScheduler", {**_SDE, **_KARRAS}),
    "UniPC": Known("UniPCMultistepScheduler", _PLAIN),
    "DEIS": Known("DEISMultistepScheduler", _PLAIN),
    "LCM": Known("LCMScheduler", most=50),
}


def names() -> list[str]:
    """All scheduler names, the article's three first.

    Example:
        >>> names()[:3]
        ['PNDM', 'DDIM', 'LMS']
    """
    return list(SCHEDULERS)


def find(name: str) -> str:
    """The name as listed, whatever its case and spacing.

    Raises:
        ValueError: there is no such scheduler; the sentence lists the known and the nearest.

    Example:
        >>> find("dpm++ 2m karras")
        'DPM++ 2M Karras'
        >>> find("DDMI")
        Traceback (most recent call last):
            ...
        ValueError: There is no scheduler 'DDMI': did you mean 'DDIM'? Known are PNDM, DDIM, LMS, \
Euler, Euler a, Heun, DPM2, DPM2 a, DPM++ 2M, DPM++ 2M Karras, DPM++ 2M SDE, DPM++ 2M SDE Karras, \
UniPC, DEIS, LCM.
    """
    wanted = _squeezed(name)
    for known, entry in SCHEDULERS.items():
        if wanted in (_squeezed(known), _squeezed(entry.sampler or known)):
            return known
    near = suggestion(name, SCHEDULERS) or "."
    raise ValueError(f"There is no scheduler {name!r}{near} Known are {', '.join(SCHEDULERS)}.")


def check_steps(name: str, steps: int) -> None:
    """Raises ValueError where the scheduler cannot make so many steps.

    Example:
        >>> check_steps("LCM", 51)
        Traceback (most recent call last):
            ...
        ValueError: LCM makes at most 50 steps, 51 were asked for.
    """
    most = SCHEDULERS[name].most
    if steps > most:
        raise ValueError(f"{name} makes at most {most} steps, {steps} were asked for.")


def calls(name: str, steps: int) -> int:
    """Denoiser calls for so many steps: steps are not cost.

    Example:
        >>> [calls("DDIM", 24), calls("PNDM", 24), calls("Heun", 24)]
        [24, 25, 47]
    """
    known = SCHEDULERS[find(name)]
    if known.doubled:
        return 2 * steps - 1
    return steps + (known.extra if steps > 1 else 0)


def make(name: str, own: SchedulerMixin) -> SchedulerMixin:
    """A new scheduler of that name for a model.

    Arguments:
        name: a name of `names()`.
        own: the model's own scheduler (`pipe.scheduler`): its noise schedule and prediction
            type are kept, it is left as it is.

    Raises:
        ValueError: the name is unknown, or the model is a flow model and the scheduler is not.

    Example:
        >>> from diffusers import DDIMScheduler
        >>> type(make("DPM++ 2M Karras", DDIMScheduler())).__name__
        'DPMSolverMultistepScheduler'
    """
    import diffusers

    known = SCHEDULERS[find(name)]
    if is_flow(own):
        raise ValueError(
            f"{name} is for models that predict noise; this one is a flow model, "
            "so leave the scheduler out."
        )
    return getattr(diffusers, known.cls).from_config(own.config, **known.flags)


def copy_of(scheduler: SchedulerMixin) -> SchedulerMixin:
    """A new scheduler like the given one, without its state: views must not share the object."""
    return type(scheduler).from_config(scheduler.config)


def is_flow(scheduler: SchedulerMixin) -> bool:
    """Whether this is a flow-matching model's scheduler (SD3, Flux)."""
    flows = scheduler.config.get("use_flow_sigmas", False)
    return flows or type(scheduler).__name__.startswith("FlowMatch")


def name_of(scheduler: SchedulerMixin) -> str:
    """The name of a scheduler object, or its class name where it is not in the list.

    Example:
        >>> from diffusers import DPMSolverMultistepScheduler
        >>> name_of(DPMSolverMultistepScheduler(use_karras_sigmas=True))
        'DPM++ 2M Karras'
    """
    cls = type(scheduler).__name__
    for name, known in SCHEDULERS.items():
        if known.cls == cls and all(
            scheduler.config.get(flag) == value for flag, value in known.flags.items()
        ):
            return name
    return cls


def to_a1111(name: str) -> dict[str, str]:
    """How AUTOMATIC1111's web UI writes it: `Sampler`, and `Schedule type` where it is Karras.

    Example:
        >>> to_a1111("DPM++ 2M Karras")
        {'Sampler': 'DPM++ 2M', 'Schedule type': 'Karras'}
        >>> to_a1111("PNDM")
        {'Sampler': 'PLMS'}
    """
    base = name.removesuffix(" Karras")
    known = SCHEDULERS.get(base)
    pairs = {"Sampler": (known.sampler if known else "") or base}
    return pairs | ({"Schedule type": "Karras"} if base != name else {})


def from_a1111(sampler: str, schedule: str = "") -> str:
    """Our name for AUTOMATIC1111's; one that we do not have is given back as it is.

    Example:
        >>> from_a1111("DPM++ 2M", "Karras"), from_a1111("PLMS"), from_a1111("Restart")
        ('DPM++ 2M Karras', 'PNDM', 'Restart')
    """
    wanted = f"{sampler} Karras" if schedule == "Karras" else sampler
    for attempt in (wanted, sampler):
        try:
            return find(attempt)
        except ValueError:
            continue
    return wanted


def _squeezed(name: str) -> str:
    return "".join(name.lower().split())


__all__ = [
    "SCHEDULERS", "Known", "calls", "check_steps", "copy_of", "find", "from_a1111", "is_flow",
    "make", "name_of", "names", "to_a1111",
]  # fmt: skip
