"""Between two prompts or two noises: what a run's pipeline encodes and starts from, mixed.

Prompt embeddings are mixed on a straight line, pooled ones too, whatever the pipeline's own
`encode_prompt` gives; noise along the sphere on which it lies (slerp), as a mean of two noises
would be too weak for the denoiser. https://en.wikipedia.org/wiki/Slerp
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sdnb import schedulers
from sdnb.generation import prompt_encoding
from sdnb.models import scheduler_run
from sdnb.models.capabilities import Capabilities
from sdnb.settings import Settings

if TYPE_CHECKING:
    import torch
    from diffusers import DiffusionPipeline, SchedulerMixin


def check(
    settings: Settings, pipe: DiffusionPipeline, scheduler: SchedulerMixin, starts: bool
) -> None:
    """Raises ValueError where a pipeline cannot go toward another prompt or seed.

    Arguments:
        settings: of the run.
        pipe: the pipeline.
        scheduler: that the run has.
        starts: whether there is a picture to start from.
    """
    toward = settings.toward
    if not toward:
        return
    if starts:
        raise ValueError("toward is for pictures from text: leave it out, or image=.")
    name = type(pipe).__name__
    if not all(hasattr(pipe, each) for each in ("encode_prompt", "prepare_latents")):
        raise ValueError(f"{name} encodes prompts in a way of its own, so toward cannot be used.")
    if settings.prompt_syntax or settings.long_prompt == "chunk":
        raise ValueError(
            "toward is for plain prompts that the model reads at once: leave out prompt_syntax "
            "and long_prompt='chunk'."
        )
    if toward["prompt"]:
        prompt_encoding.check(pipe, "prompt", toward["prompt"], settings.long_prompt)
    # diffusers' pipelines that have an eta give it to each step, and it is 0
    eta = {"eta": 0.0} if "eta" in Capabilities.of(pipe).arguments else {}
    if toward["seed"] is not None and scheduler_run.draws_noise(scheduler, **eta):
        name = schedulers.name_of(scheduler)
        raise ValueError(
            f"{name} draws new noise at each step, so there is no way from one seed to another: "
            "take a scheduler that does not, such as DDIM."
        )


def apply(view: DiffusionPipeline, toward: Mapping[str, Any]) -> None:
    """Has a run's own copy of a pipeline mix what it encodes, and the noise it starts from."""
    import torch

    part = toward["part"]
    if toward["prompt"] is not None:
        encode = view.encode_prompt

        def encoded(*args: Any, **kwargs: Any) -> Any:
            given = inspect.signature(encode).bind(*args, **kwargs).arguments
            return mixed(encode(**given), encode(**{**given, "prompt": toward["prompt"]}), part)

        view.encode_prompt = encoded
    if toward["seed"] is not None:
        prepare = view.prepare_latents

        def prepared(*args: Any, **kwargs: Any) -> Any:
            given = inspect.signature(prepare).bind(*args, **kwargs).arguments
            one = prepare(**given)
            other = prepare(
                **{**given, "generator": torch.Generator("cpu").manual_seed(toward["seed"])}
            )
            if isinstance(one, tuple):  # Flux gives the places of the latents beside them
                return (slerp(one[0], other[0], part), *one[1:])
            return slerp(one, other, part)

        view.prepare_latents = prepared


def mixed(one: Any, other: Any, part: float) -> Any:
    """Embeddings on the straight line between two, in tuples and lists too.

    Raises:
        ValueError: they differ in length, as where a model does not pad its prompts.

    Example:
        >>> import torch
        >>> mixed((torch.zeros(2), None), (torch.ones(2), None), 0.25)
        (tensor([0.2500, 0.2500]), None)
    """
    import torch

    if isinstance(one, (tuple, list)) and isinstance(other, (tuple, list)):
        if len(one) == len(other):
            return type(one)(mixed(a, b, part) for a, b in zip(one, other))
    elif not isinstance(one, torch.Tensor) or not isinstance(other, torch.Tensor):
        return one
    elif one.shape == other.shape:
        if torch.equal(one, other):
            return one
        if one.is_floating_point():
            return one + part * (other - one)
    raise ValueError(
        "This model reads the two prompts in different lengths, so there is nothing halfway "
        "between them: give prompts of as many words."
    )


def slerp(one: torch.Tensor, other: torch.Tensor, part: float) -> torch.Tensor:
    """Noise on the arc between two, of the strength that each of them has.

    Example:
        >>> import torch
        >>> source = torch.Generator().manual_seed(0)
        >>> one, other = torch.randn(2, 4, 64, 64, generator=source)
        >>> round(float(slerp(one, other, 0.5).std()), 1)
        1.0
    """
    import torch

    if torch.equal(one, other):  # the same seed twice: there is no arc
        return one
    a, b = one.float(), other.float()
    cosine = (a.flatten() @ b.flatten()) / (a.norm() * b.norm())
    angle = cosine.clamp(-1, 1).acos()
    made = ((1 - part) * angle).sin() * a + (part * angle).sin() * b
    return (made / angle.sin()).to(one.dtype)


__all__ = ["apply", "check", "mixed", "slerp"]
