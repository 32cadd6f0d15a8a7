"""Memory for a model: what it needs, and which cached pipelines are evicted for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from sdnb.models import device

if TYPE_CHECKING:
    import torch
    from diffusers import DiffusionPipeline

SPARE = 1.1  # what is needed beside the weights
Key = TypeVar("Key")


@dataclass(frozen=True)
class Need:
    """What a model takes.

    Attributes:
        model: its name in messages.
        parts: bytes of each part's weights.
        reading: bytes in main memory while it is read.
        dtype: in which it is to run, such as "float16".
        times: how many times its weights the model takes at its peak.
        less: bytes of all weights, for each way of quantising them that can be had.
    """

    model: str
    parts: Mapping[str, int]
    reading: int
    dtype: str
    times: float = 1
    less: Mapping[str, int] = field(default_factory=dict)

    def instead(self, free: int) -> str:
        """A sentence with the first way in which it fits; empty where there is none."""
        for kind, size in self.less.items():
            if size * SPARE <= free:
                return f" With quantize={kind!r} it takes {size * SPARE / 1e6:,.0f} MB."
        return ""


@dataclass(frozen=True)
class Room:
    """What a model needs and what is free on its device, in bytes; `whole` if it fits as a whole.

    Where it does not, its parts fit one by one, and `instead` is a sentence on what would fit.
    """

    need: int
    free: int
    whole: bool
    instead: str = ""

    def __str__(self) -> str:
        return f"It takes {self.need / 1e6:,.0f} MB of memory, {self.free / 1e6:,.0f} MB are free."


def make(
    wanted: Need, where: str, pipelines: Mapping[Key, DiffusionPipeline],
    forget: Callable[[Key], bool],
) -> Room:  # fmt: skip
    """Makes room for a model: loaded pipelines go, if that helps.

    Arguments:
        wanted: what the model takes.
        where: the device.
        pipelines: those that are loaded, the first to go first.
        forget: lets one of them go, and returns whether its memory was really given back.

    Raises:
        MemoryError: the memory is too small even then; in that case all loaded ones are left.
    """
    whole_size, largest = sum(wanted.parts.values()), max(wanted.parts.values(), default=0)
    near = _place(where) == "cpu"
    need = int(max(whole_size, wanted.reading if near else 0) * SPARE * wanted.times)
    largest = int(largest * SPARE)
    needs = f"{wanted.model} needs {need / 1e6:,.0f} MB of memory in {wanted.dtype}, "
    whole = _freed(where, need, pipelines, forget)
    free = device.free_memory(where)
    if not near:
        if not whole and not _freed(where, largest, pipelines, forget):
            raise MemoryError(
                f"{needs}its largest part {largest / 1e6:,.0f} MB; on the GPU "
                f"{device.free_memory(where) / 1e6:,.0f} MB are free: take a smaller model, or "
                f"sdnb.load(..., device='cpu').{wanted.instead(free)}"
            )
        # it passes through the main memory, or stays there
        if not _freed("cpu", wanted.reading, pipelines, forget):
            raise MemoryError(
                f"{needs}which passes through the main memory, where "
                f"{device.free_memory('cpu') / 1e6:,.0f} MB are free: close other notebooks, or "
                f"take a smaller model.{wanted.instead(device.free_memory('cpu'))}"
            )
    elif not whole:
        raise MemoryError(
            f"{needs}{free / 1e6:,.0f} MB are free: close other notebooks, "
            f"or take a smaller model.{wanted.instead(free)}"
        )
    return Room(need, device.free_memory(where), whole, "" if whole else wanted.instead(free))


def held(pipe: DiffusionPipeline, where: str | None = None) -> int:
    """The bytes that a pipeline's weights take, as they are stored; only those there, if given.

    Example:
        >>> import sdnb
        >>> pipe = sdnb.load("emoji", device="cpu")
        >>> held(pipe) == sum(p.nbytes for m in (pipe.unet, pipe.vae, pipe.text_encoder)
        ...                   for p in m.parameters())
        True
    """
    import torch

    modules = [m for m in pipe.components.values() if isinstance(m, torch.nn.Module)]
    # OpenVINO has weights of its own
    times = {p: 2 if hasattr(m, "backend") else 1 for m in modules for p in m.parameters()}
    return sum(
        n * _bytes(p)
        for p, n in times.items()
        if where is None or _place(str(p.device)) == _place(where)
    )


def _bytes(weight: torch.Tensor) -> int:
    """Of a quantised one, what lies behind it: torchao's say that they are as they were."""
    if not hasattr(weight, "__tensor_flatten__"):
        return weight.nbytes
    names, _ = weight.__tensor_flatten__()
    return sum(_bytes(getattr(weight, name)) for name in names)


def _freed(
    where: str, need: int, pipelines: Mapping[Key, DiffusionPipeline], forget: Callable[[Key], bool]
) -> bool:
    """Whether so many bytes are free there, if need be after some pipelines have gone."""
    stay: set[Key] = set()  # those that went and left their memory taken
    while (lacks := need - device.free_memory(where)) > 0:
        taken = {
            key: size
            for key, pipe in pipelines.items()
            if key not in stay and (size := held(pipe, where))
        }
        if sum(taken.values()) < lacks:
            return False
        first = next(iter(taken))
        if not forget(first):
            stay.add(first)
    return True


def _place(where: str) -> str:
    """The memory that a device has: a GPU's own, or the main memory, which Apple's share."""
    if not where.startswith("cuda"):
        return "cpu"
    return "cuda:0" if where == "cuda" else where
