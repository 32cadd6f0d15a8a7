"""Schedulers by the names that users know, and what they cost in denoiser calls.

Names and flags follow https://huggingface.co/docs/diffusers/api/schedulers/overview. Every entry
states all its flags, also the ones that are off: flags stay in a scheduler's config, so a plain
name made from the config of a Karras one would else be Karras too.
"""

from __future__ import annotations

import inspect
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


_OTHERS = {"use_exponential_sigmas": False, "use_beta_sigmas": False}
_PLAIN = {"use_karras_sigmas": False, **_OTHERS}
_KARRAS = {"use_karras_sigmas": True, **_OTHERS}
_ODE = {"algorithm_type": "dpmsolver++", "solver_order": 2}
_SDE = {"algorithm_type": "sde-dpmsolver++", "solver_order": 2}

SCHEDULERS: dict[str, Known] = {
    "PNDM": Known("PNDMScheduler", {"skip_prk_steps": True}, "PLMS", extra=1),
    "DDIM": Known("DDIMScheduler", {"clip_sample": False, "set_alpha_to_one": False}),
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
    "DEIS": Known("DEISMultistepScheduler", {"algorithm_type": "deis", **_PLAIN}),
    "LCM": Known("LCMScheduler", {"clip_sample": False}, most=50),
    "TCD": Known("TCDScheduler", {"clip_sample": False}, most=50),
}
_FLOWS_OWN = "eulersimple"  # what Forge and ComfyUI call a flow model's own
# what else of a scheduler's config people change
_TUNED = (
    "timestep_spacing", "steps_offset", "prediction_type", "beta_start", "beta_end",
    "beta_schedule", "rescale_betas_zero_snr", "final_sigmas_type", "euler_at_final",
    "lower_order_final", "solver_type", "use_lu_lambdas", "thresholding", "shift",
)  # fmt: skip
# the schedules of AUTOMATIC1111's samplers where its "Automatic" (since 1.9) is not the plain one;
# its modules/sd_samplers_kdiffusion.py
AUTOMATIC = {
    "DPM++ 2M": "Karras", "DPM++ SDE": "Karras", "DPM++ 2S a": "Karras", "DPM2": "Karras",
    "DPM2 a": "Karras", "Restart": "Karras", "DPM++ 2M SDE": "Exponential",
    "DPM++ 2M SDE Heun": "Exponential", "DPM++ 3M SDE": "Exponential",
}  # fmt: skip
FLAGS = (*dict.fromkeys(flag for known in SCHEDULERS.values() for flag in known.flags), *_TUNED)


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
UniPC, DEIS, LCM, TCD.
    """
    wanted = _squeezed(name)
    for known, entry in SCHEDULERS.items():
        if wanted in (_squeezed(known), _squeezed(entry.sampler or known)):
            return known
    near = suggestion(name, SCHEDULERS)
    raise ValueError(f"There is no scheduler {name!r}{near} Known are {', '.join(SCHEDULERS)}.")


def spelled(name: str) -> str:
    """The name as listed; as it is, where it is that of a scheduler which only a model can have.

    That is a class name, and what Forge and ComfyUI call a flow model's own, "Euler Simple".

    Raises:
        ValueError: as `find`.

    Example:
        >>> spelled("euler  A"), spelled("FlowMatchHeunDiscreteScheduler"), spelled("euler simple")
        ('Euler a', 'FlowMatchHeunDiscreteScheduler', 'euler simple')
    """
    squeezed = _squeezed(name)
    return name if squeezed.endswith("scheduler") or squeezed == _FLOWS_OWN else find(name)


def check_steps(scheduler: SchedulerMixin, steps: int) -> None:
    """Raises ValueError where the scheduler cannot make so many steps; the sentence says how many.

    Close to the 1000 timesteps of the noise schedule some round two steps onto one timestep, or
    go past the end: diffusers then fails in the middle of the run, or gives black pictures.

    Example:
        >>> from diffusers import LCMScheduler
        >>> check_steps(LCMScheduler(), 51)
        Traceback (most recent call last):
            ...
        ValueError: LCM makes at most 50 steps here, 51 were asked for.
    """
    name = name_of(scheduler)
    most = min(steps, SCHEDULERS[name].most) if name in SCHEDULERS else steps
    while most > 1 and not is_flow(scheduler) and not course(scheduler, most)[1]:
        most -= 1
    if most < steps:
        raise ValueError(f"{name} makes at most {most} steps here, {steps} were asked for.")


def course(scheduler: SchedulerMixin, steps: int) -> tuple[int, bool]:
    """How many timesteps so many steps have; whether they differ and are in the noise schedule.

    A sweep asks the same for each of its pictures, so answers are kept.
    """
    key = type(scheduler), str(scheduler.config), steps
    if key not in _courses:
        trial = timed(scheduler, steps)
        # timesteps may be rounded where the sigmas that count are not
        found = trial.sigmas[:-1] if hasattr(trial, "sigmas") else trial.timesteps
        most = trial.config.get("num_train_timesteps", float("inf"))
        within = bool(trial.timesteps.max() < most)
        if len(_courses) == 1000:
            _courses.clear()
        _courses[key] = len(trial.timesteps), within and len(set(found.tolist())) >= steps
    return _courses[key]


_courses: dict[tuple[type, str, int], tuple[int, bool]] = {}


def timed(scheduler: SchedulerMixin, steps: int) -> SchedulerMixin:
    """A copy with the timesteps of so many steps."""
    trial = copy_of(scheduler)
    taken = inspect.signature(trial.set_timesteps).parameters
    given: dict[str, Any] = {}
    if "intermediate_timesteps" in taken and steps != 2:
        given["intermediate_timesteps"] = None
    if "mu" in taken and trial.config.get("use_dynamic_shifting"):
        given["mu"] = 1.0  # pipelines take it from the picture's size: it shifts, and adds none
    trial.set_timesteps(steps, **given)
    return trial


def is_consistency(scheduler: SchedulerMixin) -> bool:
    """Whether it takes its steps from those that a few-step model was distilled with: LCM, TCD.

    Example:
        >>> from diffusers import DDIMScheduler, LCMScheduler
        >>> is_consistency(LCMScheduler()), is_consistency(DDIMScheduler())
        (True, False)
    """
    return "original_inference_steps" in inspect.signature(scheduler.set_timesteps).parameters


def calls(name: str, steps: int) -> int:
    """Denoiser calls for so many steps: steps are not cost.

    Arguments:
        name: a name of `names()`.
        steps: denoising steps, 1 or more.

    Raises:
        ValueError: the name is unknown.

    Example:
        >>> [calls("DDIM", 24), calls("PNDM", 24), calls("Heun", 24)]
        [24, 25, 47]
    """
    known = SCHEDULERS[find(name)]
    if known.doubled:
        return 2 * steps - 1
    return steps + (known.extra if steps > 1 else 0)


def steps_for(name: str | None, calls_wanted: int) -> int:
    """The most steps that make at most so many denoiser calls; for comparing at equal cost.

    Arguments:
        name: a name of `names()`; a model's own is taken to make one call a step.
        calls_wanted: 1 or more.

    Example:
        >>> [steps_for(name, 25) for name in ("DDIM", "PNDM", "Heun")], steps_for("Heun", 5000)
        ([25, 24, 13], 1000)
    """
    if calls_wanted < 1:
        raise ValueError(f"calls is {calls_wanted}: give 1 or more.")
    known = SCHEDULERS.get(spelled(name)) if name else None
    if known is None:
        return calls_wanted
    steps = (calls_wanted + 1) // 2 if known.doubled else calls_wanted - known.extra
    return max(1, min(steps, known.most))


def make(name: str, own: SchedulerMixin) -> SchedulerMixin:
    """A new scheduler of that name for a model.

    Arguments:
        name: a name of `names()`.
        own: the model's own scheduler (`pipe.scheduler`): its noise schedule and prediction
            type are kept, it is left as it is.

    Raises:
        ValueError: the name is unknown, or it does not fit the model.

    Example:
        >>> from diffusers import DDIMScheduler
        >>> type(make("DPM++ 2M Karras", DDIMScheduler())).__name__
        'DPMSolverMultistepScheduler'
    """
    import diffusers

    if _squeezed(name) == _FLOWS_OWN and type(own) is diffusers.FlowMatchEulerDiscreteScheduler:
        return copy_of(own)
    known = SCHEDULERS[find(name)]
    if is_flow(own):
        raise ValueError(
            f"{name} is for models that predict noise; this one is a flow model, "
            "so leave the scheduler out."
        )
    try:
        return getattr(diffusers, known.cls).from_config(own.config, **known.flags)
    except (NotImplementedError, TypeError) as error:  # as diffusers raises for flags that clash
        raise ValueError(f"{name} does not fit this model: {error}") from error


def new(name: str | None, own: SchedulerMixin) -> SchedulerMixin:
    """A new scheduler of that name, with the model's own flags where it is the model's own.

    Arguments:
        name: a name of `names()`, or None for one like the model's own.
        own: the model's own scheduler; it is left as it is.

    Raises:
        ValueError: as `make`.

    Example:
        >>> from diffusers import DDIMScheduler
        >>> type(new(None, DDIMScheduler())).__name__, type(new("PNDM", DDIMScheduler())).__name__
        ('DDIMScheduler', 'PNDMScheduler')
    """
    if name is None or _squeezed(name) == _squeezed(name_of(own)):
        return copy_of(own)
    return make(name, own)


def needed_flags(scheduler: SchedulerMixin, own: Any) -> dict[str, Any]:
    """The flags without which the model's own config would give another scheduler.

    Arguments:
        scheduler: the one that is meant.
        own: the config of the model's own (`pipe.scheduler.config`).

    Example:
        >>> from diffusers import PNDMScheduler
        >>> own = PNDMScheduler()
        >>> needed_flags(make("DPM++ 2M Karras", own), own.config)
        {'use_karras_sigmas': True}
    """
    bare = type(scheduler).from_config(own).config
    return {
        flag: scheduler.config[flag]
        for flag in FLAGS
        if flag in scheduler.config and scheduler.config[flag] != bare.get(flag)
    }


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
    """How AUTOMATIC1111's web UI writes it: `Sampler`, and `Schedule type` where that is needed.

    Without one its versions from 1.9 on take the sampler's own, which for some is not the plain
    one: for these it is written.

    Example:
        >>> to_a1111("DPM++ 2M Karras")
        {'Sampler': 'DPM++ 2M', 'Schedule type': 'Karras'}
        >>> to_a1111("PNDM")
        {'Sampler': 'PLMS'}
        >>> to_a1111("DPM++ 2M")
        {'Sampler': 'DPM++ 2M', 'Schedule type': 'Uniform'}
    """
    base = name.removesuffix(" Karras")
    known = SCHEDULERS.get(base)
    pairs = {"Sampler": (known.sampler if known else "") or base}
    if base != name:
        return pairs | {"Schedule type": "Karras"}
    return pairs | ({"Schedule type": "Uniform"} if base in AUTOMATIC else {})


def from_a1111(sampler: str, schedule: str = "") -> str:
    """Our name for AUTOMATIC1111's; one that we do not have is given back in full.

    Example:
        >>> from_a1111("DPM++ 2M", "Karras"), from_a1111("PLMS"), from_a1111("Euler", "Beta")
        ('DPM++ 2M Karras', 'PNDM', 'Euler Beta')
        >>> from_a1111("DPM++ 2M", "Automatic"), from_a1111("Euler", "Automatic")
        ('DPM++ 2M Karras', 'Euler')
    """
    if schedule.lower() == "automatic":
        schedule = AUTOMATIC.get(sampler, "")
    plain = schedule.lower() in ("", "normal", "uniform")
    name = sampler if plain else f"{sampler} {schedule}"
    try:
        return find(name)
    except ValueError:
        return name


def _squeezed(name: str) -> str:
    return "".join(name.lower().split())


__all__ = [
    "AUTOMATIC", "FLAGS", "SCHEDULERS", "Known", "calls", "check_steps", "copy_of", "find",
    "from_a1111", "is_consistency", "is_flow", "make", "name_of", "names", "needed_flags",
    "spelled", "steps_for", "timed", "to_a1111",
]  # fmt: skip
