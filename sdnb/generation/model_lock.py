"""A lock per model, shared by cells and panels: one run of its weights at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from sdnb.models.denoiser import denoiser_of

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

_locks: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
_guard = threading.Lock()


def lock(pipe: DiffusionPipeline) -> Any:
    """The lock of a model: the same for all pipelines that share its weights.

    It is reentrant: a thread that holds it may take it again.

    Arguments:
        pipe: the pipeline; the lock is that of its VAE, or of its denoiser where it has none.

    Returns:
        A `threading.RLock`.

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


@contextmanager
def waited(
    pipe: DiffusionPipeline, waiting: Callable[[], object], check: Callable[[], object]
) -> Iterator[None]:
    """Holds the lock of a model while the block runs.

    Arguments:
        pipe: the model.
        waiting: called once where somebody else has the lock.
        check: called ten times a second until the lock is there; what it raises ends the waiting,
            and the block does not run.
    """
    theirs = lock(pipe)
    if not theirs.acquire(blocking=False):
        waiting()
        while not theirs.acquire(timeout=0.1):
            check()
    try:
        yield
    finally:
        theirs.release()
