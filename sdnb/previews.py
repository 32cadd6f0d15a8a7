"""What a run would show if it ended now: the picture that the denoiser predicts at each step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sdnb import schedulers

if TYPE_CHECKING:
    import torch
    from diffusers import DiffusionPipeline
    from PIL import Image

OnStep = Callable[[int, "torch.Tensor | Exception"], object]


@contextmanager
def watching(pipe: DiffusionPipeline, on_step: OnStep) -> Iterator[None]:
    """Tells the predicted final latents after each denoiser call, while the block runs.

    Arguments:
        pipe: a pipeline with a scheduler of its own, such as the view that a run works on.
        on_step: called with the number of the call, from 1, and latents as the pipeline has them;
            or with the error, where they cannot be told: the run itself goes on.
    """
    scheduler, calls = pipe.scheduler, 0
    scale: Any = getattr(scheduler, "scale_model_input", None)
    step = scheduler.step
    enlarged = 1.0  # how many times larger than for the denoiser the scheduler keeps the latents

    def scaled(latents: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        nonlocal enlarged
        small = scale(latents, *args, **kwargs)
        enlarged = float(latents.float().norm() / small.float().norm())
        return small

    def stepped(
        output: torch.Tensor, time: Any, latents: torch.Tensor, *args: Any, **kwargs: Any
    ) -> Any:
        nonlocal calls
        calls += 1
        seen: torch.Tensor | Exception
        try:
            seen = predicted(scheduler, output, time, latents, enlarged)
        except Exception as error:
            seen = error
        on_step(calls, seen)
        return step(output, time, latents, *args, **kwargs)

    scheduler.step = stepped
    if scale is not None:
        scheduler.scale_model_input = scaled
    try:
        yield
    finally:
        del scheduler.step
        vars(scheduler).pop("scale_model_input", None)


def predicted(
    scheduler: Any, output: torch.Tensor, time: Any, latents: torch.Tensor, enlarged: float = 1.0
) -> torch.Tensor:
    """The final latents that the denoiser's output speaks of; asked before the scheduler's step.

    Arguments:
        scheduler: with its timesteps set.
        output: of the denoiser, after guidance.
        time: the timestep.
        latents: that the step starts from.
        enlarged: how many times larger they are than what the denoiser was given.

    Returns:
        Latents of the same shape: with x = a * final + s * noise and a^2 + s^2 = 1, what is left
        when the predicted noise is taken out. https://arxiv.org/abs/2010.02502, equation 9.
    """
    kind = scheduler.config.get("prediction_type", "epsilon")
    if kind == "sample":
        return output
    if schedulers.is_flow(scheduler):
        return latents - _sigma(scheduler, time) * output
    if scheduler.init_noise_sigma != 1:
        a = 1 / enlarged  # these keep x / a
    elif hasattr(scheduler, "sigmas"):
        a = float(1 + _sigma(scheduler, time) ** 2) ** -0.5
    else:
        a = float(scheduler.alphas_cumprod[int(time)]) ** 0.5
    x, s = latents / enlarged, (1 - a * a) ** 0.5
    return a * x - s * output if kind == "v_prediction" else (x - s * output) / a


def _sigma(scheduler: Any, time: Any) -> float:
    if scheduler.step_index is None:  # before its first step
        scheduler._init_step_index(time)
    return float(scheduler.sigmas[scheduler.step_index])


def decoded(
    pipe: DiffusionPipeline, latents: torch.Tensor | Exception, size: tuple[int, int]
) -> list[Image.Image]:
    """Latents as pictures, as the pipeline itself decodes them.

    Arguments:
        pipe: SD 1 and 2, SDXL, SD3, Flux, or others that scale their latents the same way.
        latents: (B, …); or the error for which there are none, which is then raised.
        size: (width, height) in pixels, which Flux's packed latents do not tell.
    """
    import torch

    if isinstance(latents, Exception):
        raise latents
    with torch.no_grad():
        final: Any = latents
        if hasattr(pipe, "_unpack_latents"):
            final = pipe._unpack_latents(final, size[1], size[0], pipe.vae_scale_factor)
        config = pipe.vae.config
        final = final / config.scaling_factor + (config.get("shift_factor") or 0.0)
        pictures = pipe.vae.decode(final.to(pipe.vae.dtype), return_dict=False)[0]
        return pipe.image_processor.postprocess(pictures.float(), output_type="pil")
