"""A run for which the memory is too small: what was asked for, what is free, and what helps."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sdnb.models import device, memory, provenance

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from sdnb.settings import Settings

UNITS = {"b": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
# as torch's allocators say it, on GPUs and on CPUs
_ASKED = re.compile(r"tried to allocate ([\d.]+) ?(b|k|m|g|t)", re.IGNORECASE)


def explained(
    error: BaseException, pipe: DiffusionPipeline, settings: Settings, decoding: bool
) -> MemoryError:
    """What torch's error means for that picture, and the setting that helps.

    Arguments:
        error: that a call of the pipeline raised.
        pipe: the pipeline.
        settings: of the picture, resolved.
        decoding: whether the VAE was decoding, else the denoiser or a text encoder was at work.

    Example:
        >>> import sdnb, torch
        >>> full = torch.OutOfMemoryError("Tried to allocate 2.00 GiB.")
        >>> text = str(explained(full, sdnb.load("emoji"), sdnb.Settings("a fox"), True))
        >>> text.startswith("There is too little memory to decode this picture: 2,147 MB more")
        True
    """
    origin = provenance.origin_of(pipe)
    where = "memory" if origin.device == "cpu" else f"memory on {origin.device}"
    size = f"of {settings.width} x {settings.height} " if settings.width else ""
    doing = "decode this picture" if decoding else f"make a picture {size}".strip()
    asked = asked_for(error)
    more = f"{asked / 1e6:,.0f} MB more were asked for, " if asked else ""
    numbers = (
        f"{more}{device.free_memory(origin.device) / 1e6:,.0f} MB are free, and the model holds "
        f"{memory.held(pipe, origin.device) / 1e6:,.0f} MB."
    )
    return MemoryError(
        f"There is too little {where} to {doing}: {numbers} {_helps(pipe, origin, decoding)}"
    )


def _helps(pipe: DiffusionPipeline, origin: provenance.Origin, decoding: bool) -> str:
    """What is to be done, the mildest first."""
    vae = getattr(pipe, "vae", None)
    if decoding and hasattr(vae, "enable_tiling") and not getattr(vae, "use_tiling", False):
        return "pipe.vae.enable_tiling() decodes it in tiles, which takes much less."
    ways = ["a smaller width= and height="]
    if origin.dtype == "float32" and origin.device != "cpu":
        ways.append("sdnb.load(..., dtype='float16')")
    if "quantize" not in origin.additions and not origin.backend:
        ways.append("sdnb.load(..., quantize='fp8')")
    other = "close other notebooks" if origin.device == "cpu" else "end other programs that use it"
    return f"Give {' or '.join(ways)}, or {other}."


def asked_for(error: BaseException) -> int | None:
    """The bytes that torch tried to get; None where it does not say.

    Example:
        >>> asked_for(RuntimeError("you tried to allocate 4096 bytes")), asked_for(MemoryError())
        (4096, None)
    """
    found = _ASKED.search(str(error))
    return int(float(found[1]) * UNITS[found[2].lower()]) if found else None
