"""Memory for a model: what it needs, and which cached pipelines are evicted for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from sdnb.models import device

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

SPARE = 1.1  # what is needed beside the weights
Key = TypeVar("Key")


@dataclass(frozen=True)
class Room:
    """What a model needs and what is free on its device, in bytes; `whole` if it fits as a whole.

    Where it does not, its parts fit one by one.
    """

    need: int
    free: int
    whole: bool

    def __str__(self) -> str:
        return f"It takes {self.need / 1e6:,.0f} MB of memory, {self.free / 1e6:,.0f} MB are free."


def make(
    model: str, parameters: Mapping[str, int], dtype: str, where: str,
    pipelines: Mapping[Key, DiffusionPipeline], forget: Callable[[Key], bool], times: float = 1,
) -> Room:  # fmt: skip
    """Makes room for a model: loaded pipelines go, if that helps.

    Arguments:
        model: as sentences name it.
        parameters: how many numbers each of its parts holds.
        dtype: in which it is to run, such as "float16".
        where: the device.
        pipelines: those that are loaded, the first to go first.
        forget: lets one of them go, and returns whether its memory was really given back.
        times: how many times its weights the model takes at its peak.

    Raises:
        MemoryError: the memory is too small even then; in that case all loaded ones are left.
    """
    size = 4 if dtype == "float32" else 2
    parts = [size * number for number in parameters.values()]
    need, largest = int(sum(parts) * SPARE * times), int(max(parts, default=0) * SPARE)
    needs = f"{model} needs {need / 1e6:,.0f} MB of memory in {dtype}, "
    whole = _freed(where, need, pipelines, forget)
    if _place(where) != "cpu":
        if not whole and not _freed(where, largest, pipelines, forget):
            raise MemoryError(
                f"{needs}its largest part {largest / 1e6:,.0f} MB; on the GPU "
                f"{device.free_memory(where) / 1e6:,.0f} MB are free: take a smaller model, or "
                "sdnb.load(..., device='cpu')."
            )
        # it passes through the main memory, or stays there
        if not _freed("cpu", sum(parts), pipelines, forget):
            raise MemoryError(
                f"{needs}which passes through the main memory, where "
                f"{device.free_memory('cpu') / 1e6:,.0f} MB are free: close other notebooks, or "
                "take a smaller model."
            )
    elif not whole:
        raise MemoryError(
            f"{needs}{device.free_memory('cpu') / 1e6:,.0f} MB are free: close other notebooks, "
            "or take a smaller model."
        )
    return Room(need, device.free_memory(where), whole)


def _freed(
    where: str, need: int, pipelines: Mapping[Key, DiffusionPipeline], forget: Callable[[Key], bool]
) -> bool:
    """Whether so many bytes are free there, if need be after some pipelines have gone."""
    stay: set[Key] = set()  # those that went and left their memory taken
    while (lacks := need - device.free_memory(where)) > 0:
        held = {
            key: size
            for key, pipe in pipelines.items()
            if key not in stay and (size := _held(pipe, where))
        }
        if sum(held.values()) < lacks:
            return False
        first = next(iter(held))
        if not forget(first):
            stay.add(first)
    return True


def _held(pipe: DiffusionPipeline, where: str) -> int:
    """The bytes that a pipeline's weights take there."""
    import torch

    modules = [m for m in pipe.components.values() if isinstance(m, torch.nn.Module)]
    # OpenVINO has weights of its own
    held = {p: 2 if hasattr(m, "backend") else 1 for m in modules for p in m.parameters()}
    return sum(n * p.nbytes for p, n in held.items() if _place(str(p.device)) == _place(where))


def _place(where: str) -> str:
    """The memory that a device has: a GPU's own, or the main memory, which Apple's share."""
    if not where.startswith("cuda"):
        return "cpu"
    return "cuda:0" if where == "cuda" else where
