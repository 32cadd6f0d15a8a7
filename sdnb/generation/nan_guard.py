"""NaN guard: finds NaN in the latents or the decoded picture, and decodes again in float32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sdnb.log import notice
from sdnb.models import weights

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline


@dataclass
class Seen:
    """What was seen of a run.

    Attributes:
        decoding: the decoder was called.
        broken: the latents that the decoder was given hold NaN, so the denoiser returned it.
        upcast: the decoder returned NaN, and the latents were decoded again in float32.
        decoder_broken: the decoder returned NaN in float32 too.
    """

    decoding: bool = False
    broken: bool = False
    upcast: bool = False
    decoder_broken: bool = False


@contextmanager
def watched(pipe: DiffusionPipeline) -> Iterator[Seen]:
    """Looks at what goes into the decoder and what comes out, while the block runs.

    Half precision overflows in some decoders (SDXL's, and SD's on some GPUs); the picture then is
    black. Such a decoding is done once more in float32, and logged once: with tiling or slicing the
    decoder is called for each part of the picture.

    Arguments:
        pipe: the pipeline; nothing is looked at where it has no VAE with a decoder.

    Yields:
        What was seen so far; whole when the block has ended.
    """
    seen = Seen()
    decoder = getattr(getattr(pipe, "vae", None), "decoder", None)
    if decoder is None:
        yield seen
        return

    def after(module: Any, inputs: tuple[Any, ...], output: Any) -> Any:
        import torch

        if torch.isfinite(output).all():
            return None
        if not torch.isfinite(inputs[0]).all():
            seen.broken = True
            return None
        dtype = output.dtype
        if dtype != torch.float32:
            if not seen.upcast:
                notice(
                    f"The decoder returned NaN in {str(dtype).removeprefix('torch.')}, so "
                    "the picture was decoded again in float32."
                )
            seen.upcast = True
            with weights.as_float32(module):
                return module(inputs[0].float())
        seen.decoder_broken = True
        return None

    def before(*_: Any) -> None:
        seen.decoding = True

    hooks = decoder.register_forward_hook(after), decoder.register_forward_pre_hook(before)
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def in_float32(pipe: DiffusionPipeline) -> Iterator[None]:
    """The pipeline's weights in float32 while the block runs, then as before: nothing is lost."""
    with weights.as_float32(*(m for m in pipe.components.values() if hasattr(m, "parameters"))):
        yield
