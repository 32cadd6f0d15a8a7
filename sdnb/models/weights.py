"""Weights brought into the dtype and the order that is fastest, without holding both in memory."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sdnb.models import device

if TYPE_CHECKING:
    import torch

PART = 64_000_000  # bytes of a file that are mapped into memory at a time
_load_file_lock = threading.RLock()  # what is replaced is there once for all threads


@contextmanager
def read_as(dtype: torch.dtype, parts: Iterable[type] = ()) -> Iterator[None]:
    """diffusers reads safetensors files in that dtype, a part at a time, while the block runs.

    It maps a whole file into memory and converts what it finds there, so that at its peak a model
    stored in float16 and loaded in bfloat16 takes twice its size. Here what was read is let go
    after every 64 MB.

    Arguments:
        dtype: what floating-point tensors become.
        parts: the classes that are loaded. Where diffusers keeps a part of one in float32
            whatever the dtype, diffusers reads the files itself: nothing is to be rounded twice.

    Example:
        >>> import safetensors.torch, tempfile, torch
        >>> file = f"{tempfile.mkdtemp()}/a.safetensors"
        >>> safetensors.torch.save_file({"x": torch.ones(2, dtype=torch.float16)}, file)
        >>> with read_as(torch.bfloat16):
        ...     safetensors.torch.load_file(file)["x"].dtype
        torch.bfloat16
    """
    import safetensors.torch

    with _load_file_lock:
        plain = safetensors.torch.load_file

        def load_file(filename: Any, *args: Any, **kwargs: Any) -> dict[str, torch.Tensor]:
            return _read(filename, dtype) or plain(filename, *args, **kwargs)

        if not any(getattr(part, "_keep_in_fp32_modules", None) for part in parts):
            safetensors.torch.load_file = load_file
        try:
            yield
        finally:
            safetensors.torch.load_file = plain


def _read(filename: Any, dtype: torch.dtype) -> dict[str, torch.Tensor] | None:
    """The file's tensors in that dtype; None where they are stored in it, and need no more room."""
    from safetensors import safe_open

    with safe_open(filename, "pt") as file:
        names = list(file.keys())
        stored = [file.get_tensor(name) for name in names]  # mapped, not read yet
        if all(x.dtype == dtype or not x.is_floating_point() for x in stored):
            return None
        del stored
    tensors: dict[str, torch.Tensor] = {}
    while len(tensors) < len(names):
        read = 0
        with safe_open(filename, "pt") as file:  # closing it lets go of what was read
            for name in names[len(tensors) :]:
                stored = file.get_tensor(name)
                wanted = dtype if stored.is_floating_point() else stored.dtype
                tensors[name] = stored.to(wanted, copy=True)
                read += stored.nbytes
                del stored
                if read >= PART:
                    break
    return tensors


def trace(*modules: torch.nn.Module) -> tuple[Any, ...]:
    """What of the weights changes when they are changed, by whatever way, or when some are added.

    Their number of changes, which torch counts, and a number of each: LoRAs are merged into
    `weight.data`, where torch does not count.

    Example:
        >>> import torch
        >>> layer = torch.nn.Linear(3, 2)
        >>> before = trace(layer)
        >>> layer.weight.data += 1
        >>> trace(layer) == before
        False
    """
    weights = [p.detach() for m in modules for p in m.parameters()]
    numbers = [w[(0,) * w.ndim].item() for w in weights if w.numel() and not w.is_meta]
    return sum(w._version for w in weights), len(weights), numbers


def to_channels_last(module: torch.nn.Module) -> None:
    """Lays the weights of convolutions out with the channels last, one after another.

    `module.to(memory_format=torch.channels_last)` does the same, but what each weight leaves
    behind stays with the process: a third of the model at the peak.

    Example:
        >>> import torch
        >>> layer = torch.nn.Conv2d(2, 2, 3)
        >>> to_channels_last(layer)
        >>> layer.weight.is_contiguous(memory_format=torch.channels_last)
        True
    """
    import torch

    moved = 0
    for weight in module.parameters():
        if weight.ndim == 4:
            weight.data = weight.data.to(memory_format=torch.channels_last)
            moved += weight.nbytes
        if moved >= PART:
            device.trim()
            moved = 0
    device.trim()


def match_layouts(denoiser: torch.nn.Module, *inputs: Any) -> int:
    """Lays a convolution's weights out as the pictures that it gets lie in memory.

    torch takes channels last where either has it, and copies the other at each call. So where the
    pictures come with channels last (after attention, often) the weights may as well lie so: what
    is computed is the same.

    Arguments:
        denoiser: run once, to see.
        inputs: what it is called with; as many rows as a step with guidance has.

    Returns:
        How many weights were laid out anew.

    Example:
        >>> import torch
        >>> layer = torch.nn.Conv2d(2, 2, 3)
        >>> picture = torch.ones(2, 2, 4, 4)
        >>> match_layouts(layer, picture)
        0
        >>> match_layouts(layer, picture.to(memory_format=torch.channels_last))
        1
    """
    import torch

    moved = 0

    def look(layer: Any, given: tuple[torch.Tensor, ...]) -> None:
        nonlocal moved
        last = torch.channels_last
        if given[0].is_contiguous(memory_format=last) and not given[0].is_contiguous():
            layer.weight.data = layer.weight.data.contiguous(memory_format=last)
            moved += 1

    layers = [layer for layer in denoiser.modules() if isinstance(layer, torch.nn.Conv2d)]
    hooks = [layer.register_forward_pre_hook(look) for layer in layers]
    try:
        with torch.no_grad():
            denoiser(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return moved


@contextmanager
def as_float32(*modules: Any) -> Iterator[None]:
    """These modules' weights in float32 while the block runs, then as before."""
    kept = [(p, p.dtype) for m in modules for p in [*m.parameters(), *m.buffers()]]
    try:  # the memory may not suffice
        for p, dtype in kept:
            if dtype.is_floating_point:
                p.data = p.data.float()
        yield
    finally:
        for p, dtype in kept:
            p.data = p.data.to(dtype)
