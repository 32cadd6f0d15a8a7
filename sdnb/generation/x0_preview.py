"""Predicted x0, taken before each `scheduler.step`, and decoded as a preview."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from sdnb import compat, schedulers
from sdnb.models import modular, weights

if TYPE_CHECKING:
    import torch
    from diffusers import DiffusionPipeline
    from PIL import Image

OnStep = Callable[[int, "torch.Tensor | Exception"], object]


@contextmanager
def watching(pipe: DiffusionPipeline, on_step: OnStep) -> Iterator[None]:
    """Hands predicted x0 to `on_step` before each `scheduler.step`, while the block runs.

    Arguments:
        pipe: a pipeline with a scheduler of its own, such as the view that a run works on.
        on_step: called with the number of the call, from 1, and latents as the pipeline has them;
            or with the exception, if they cannot be computed: the run itself goes on.
    """
    scheduler, calls = pipe.scheduler, 0
    scale: Any = getattr(scheduler, "scale_model_input", None)
    step = scheduler.step
    enlarged = 1.0  # norm of the scheduler's latents over that of the denoiser's input

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
    """Predicted x0 from the denoiser's output, computed before the scheduler's step.

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
        compat.begin_at(scheduler, time)
    return float(scheduler.sigmas[scheduler.step_index])


def decoded(
    pipe: DiffusionPipeline, latents: torch.Tensor | Exception, size: tuple[int, int]
) -> list[Image.Image]:
    """Latents as pictures, as the pipeline itself decodes them.

    Arguments:
        pipe: SD 1 and 2, SDXL, SD3, Flux, or others that scale their latents the same way.
        latents: (B, …); or the error for which there are none, which is then raised.
        size: (width, height) in pixels, which Flux's packed latents do not tell.

    Raises:
        ValueError: the pipeline scales its latents in a way of its own.
    """
    import torch

    check(pipe)
    if isinstance(latents, Exception):
        raise latents
    if modular.is_modular(pipe):
        return modular.decoded(pipe, latents, size)
    vae = pipe.vae
    # SDXL's overflows in half precision, so its pipeline decodes in float32
    overflows = vae.dtype == torch.float16 and vae.config.get("force_upcast")
    widened = weights.as_float32(vae) if overflows and hasattr(pipe, "upcast_vae") else None
    with torch.no_grad(), widened or nullcontext():
        final: Any = compat.unpacked(pipe, latents.to(vae.dtype), size)
        mean, spread = (vae.config.get(f"latents_{name}") for name in ("mean", "std"))
        if mean and spread:  # one number a channel
            mean, spread = (final.new_tensor(each).view(1, -1, 1, 1) for each in (mean, spread))
        else:
            mean, spread = vae.config.get("shift_factor") or 0.0, 1.0
        final = final * spread / vae.config.scaling_factor + mean
        pictures = vae.decode(final, return_dict=False)[0]
        return pipe.image_processor.postprocess(pictures.float(), output_type="pil")


def check(pipe: DiffusionPipeline) -> None:
    """Raises ValueError where `decoded` does not know how the pipeline scales its latents."""
    vae = getattr(pipe, "vae", None)
    if modular.is_modular(pipe):
        if not modular.has_loop(pipe):
            raise ValueError(
                f"A run of this {type(pipe).__name__} cannot be previewed: there is no "
                "loop of steps among its blocks. sdnb.generate makes its pictures."
            )
        return
    if vae is None or vae.config.get("scaling_factor") is None:
        raise ValueError(
            f"The steps of a {type(pipe).__name__} cannot be shown: its latents are "
            "scaled in a way of its own. sdnb.generate makes its pictures."
        )
