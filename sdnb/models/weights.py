"""Weights brought into the dtype and the order that is fastest, without holding both in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sdnb import compat
from sdnb.models import device

if TYPE_CHECKING:
    import torch

PART = 64_000_000  # bytes of a file that are mapped into memory at a time


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
    if any(map(compat.keeps_float32, parts)):
        yield
        return
    with compat.safetensors_read_by(lambda filename: _read(filename, dtype)):
        yield


def _read(filename: Any, dtype: torch.dtype) -> dict[str, torch.Tensor] | None:
    """The file's tensors in that dtype; None where they are stored in it, and need no more room."""
    from safetensors import safe_open

    with safe_open(filename, "pt") as file:
        names = list(file.keys())
        stored = [file.get_tensor(name) for name in names]  # mapped, not read yet
        if all(x.dtype == dtype or not _is_number(x) for x in stored):
            return None
        del stored
    tensors: dict[str, torch.Tensor] = {}
    while len(tensors) < len(names):
        read = 0
        with safe_open(filename, "pt") as file:  # closing it lets go of what was read
            for name in names[len(tensors) :]:
                stored = file.get_tensor(name)
                wanted = dtype if _is_number(stored) else stored.dtype
                tensors[name] = stored.to(wanted, copy=True)
                read += stored.nbytes
                del stored
                if read >= PART:
                    break
    return tensors


def _is_number(stored: torch.Tensor) -> bool:
    """Whether a tensor is converted: 8-bit floats may be half of a number, with a scale beside."""
    return stored.is_floating_point() and stored.itemsize > 1


def trace(*modules: torch.nn.Module) -> tuple[Any, ...]:
    """What differs once weights were changed, in whatever way, or added.

    torch's version counters, and a value of each: LoRAs are merged into `weight.data`, which the
    counter misses.

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
    return sum(map(compat.version_of, weights)), len(weights), numbers


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
