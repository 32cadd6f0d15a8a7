"""What a run on a scheduler comes to: its calls, and whether it draws noise; tried on a copy."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from sdnb.schedulers import course, timed

if TYPE_CHECKING:
    from diffusers import SchedulerMixin

WITH_END = ("SCMScheduler", "DDPMWuerstchenScheduler")  # whose timesteps hold the end, too


def calls_made(
    scheduler: SchedulerMixin, steps: int, made: int | None = None, until: int | None = None
) -> int:
    """How often a run comes to its scheduler: its timesteps, as the scheduler itself sets them.

    Arguments:
        scheduler: of the run; it is left as it is.
        steps: of the whole schedule.
        made: how many of them, the last, are made, as from a picture; None for all.
        until: how many of those are done; None for all.

    Example:
        >>> from diffusers import DDIMScheduler, HeunDiscreteScheduler
        >>> calls_made(DDIMScheduler(), 10, 3), calls_made(HeunDiscreteScheduler(), 10, 3)
        (3, 5)
        >>> [calls_made(HeunDiscreteScheduler(), 10, until=done) for done in (1, 9, 10)]
        [2, 18, 19]
    """
    made = steps if made is None else made
    order = getattr(scheduler, "order", 1)  # timesteps of a step, the last one's excepted
    whole = course(scheduler, steps)[0] - (type(scheduler).__name__ in WITH_END)
    whole -= (steps - made) * order
    if until is None:
        return whole
    extra = whole - order * made + order - 1  # in the first step, as PNDM's
    return min(whole, order * until + extra)


def draws_noise(scheduler: SchedulerMixin, **arguments: Any) -> bool:
    """Whether its steps draw new noise, so that two seeds differ in more than what they start from.

    A run of three steps on few numbers is made with two generators, and compared.

    Arguments:
        scheduler: it is left as it is.
        arguments: that the pipeline gives to each step, as `eta`, where the scheduler takes them.

    Example:
        >>> from diffusers import DDIMScheduler, DDPMScheduler
        >>> draws_noise(DDIMScheduler()), draws_noise(DDPMScheduler())
        (False, True)
    """
    import torch

    if hasattr(scheduler, "noise_sampler"):  # of its own, as DPMSolverSDE's
        return True
    taken = inspect.signature(scheduler.step).parameters
    if "generator" not in taken:
        return False
    arguments = {name: value for name, value in arguments.items() if name in taken}
    ends = []
    for seed in (0, 1):
        run, generator = timed(scheduler, 3), torch.Generator("cpu").manual_seed(seed)
        sample = torch.ones(1, 4, 2, 2)
        for time in run.timesteps[: calls_made(scheduler, 3)]:
            if hasattr(run, "scale_model_input"):
                run.scale_model_input(sample, time)  # some ask that it was called
            given = 0.1 * sample, time, sample
            sample = run.step(*given, generator=generator, return_dict=False, **arguments)[0]
        ends.append(sample)
    return not torch.equal(*ends)


__all__ = ["calls_made", "draws_noise"]
