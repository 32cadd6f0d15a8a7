"""The denoiser of a pipeline: its UNet or transformer, and what computes its calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sdnb import compat

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

# arguments of a denoiser that hold the timestep: one number for all rows, or one a row
TIMESTEP_NAMES = {"timestep", "timesteps"}


def denoiser_of(pipe: DiffusionPipeline) -> Any:
    """The pipeline's UNet or transformer."""
    unet = getattr(pipe, "unet", None)
    return pipe.transformer if unet is None else unet


def all_of(pipe: DiffusionPipeline) -> list[Any]:
    """The denoiser, and the one of the unconditional branch where that is another (Ideogram 4)."""
    other = getattr(pipe, "unconditional_transformer", None)
    return [denoiser_of(pipe)] if other is None else [denoiser_of(pipe), other]


def settle(pipe: DiffusionPipeline) -> None:
    """Does now what models do at their first call, so that this does not change the pipeline.

    Z-Image and Bria FIBO 2 make their rotary tables then, and bitsandbytes' 8-bit layers take the
    weights out of their parameters.
    """
    import torch

    parts = [part for part in pipe.components.values() if isinstance(part, torch.nn.Module)]
    layers: list[Any] = [layer for part in parts for layer in part.modules()]
    for layer in layers:
        if hasattr(layer, "init_8bit_state") and layer.weight.CB is not None:
            layer.init_8bit_state()
    for each in all_of(pipe):
        rotary = getattr(each, "rope_embedder", None)
        if rotary is not None and getattr(rotary, "freqs_cis", ()) is None:
            where = compat.execution_device(pipe)
            rotary(torch.zeros(1, len(rotary.axes_dims), dtype=torch.int64, device=where))


def backend_of(pipe: DiffusionPipeline) -> tuple[str, int]:
    """The backend that runs the denoiser instead of torch, and its calls so far; else "" and 0."""
    backend = getattr(denoiser_of(pipe), "backend", None)
    return (backend.name, backend.calls) if backend else ("", 0)
