"""A lock per model, shared by cells and panels: one run of its weights at a time."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from sdnb.models.denoiser import denoiser_of

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

_locks: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
_guard = threading.Lock()


def lock(pipe: DiffusionPipeline) -> Any:
    """The lock of a model: the same for all pipelines that share its weights.

    A thread that has it may take it again.

    Example:
        >>> import sdnb
        >>> from sdnb.models.tasks import for_task
        >>> pipe = sdnb.load("emoji")
        >>> lock(pipe) is lock(for_task(pipe, "Img2Img"))
        True
    """
    vae = getattr(pipe, "vae", None)  # img2img and inpainting share it; inpainting may copy a UNet
    part = denoiser_of(pipe) if vae is None else vae
    with _guard:
        return _locks.setdefault(part, threading.RLock())
