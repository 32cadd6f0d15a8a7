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
class Size:
    """What a model's weights take, in bytes: those of each part, and while all are read."""

    parts: Mapping[str, int]
    reading: int

    @property
    def whole(self) -> int:
        """Of all parts."""
        return sum(self.parts.values())

    @property
    def largest(self) -> int:
        """Of the largest part."""
        return max(self.parts.values(), default=0)


@dataclass(frozen=True)
class Need:
    """What a model takes.

    Attributes:
        model: its name in messages.
        size: of its weights, as they were asked for.
        dtype: in which it is to run, such as "float16".
        times: how many times its weights the model takes at its peak.
        less: other settings of `load`, such as "quantize='fp8'", and its size with them, the most
            exact first.
        turns: whether its parts can take turns on a GPU; not a modular pipeline's.
    """

    model: str
    size: Size
    dtype: str
    times: float = 1
    less: Mapping[str, Size] = field(default_factory=dict)
    turns: bool = True

    def whole(self, near: bool) -> int:
        """The bytes that it needs to run as a whole; `near` as for `instead`."""
        size = self.size
        return int(max(size.whole, size.reading if near else 0) * SPARE * self.times)

    def instead(self, free: int, main: int, near: bool, one_by_one: bool = False) -> str:
        """A sentence with the first settings with which it fits; empty where there are none.

        Arguments:
            free: bytes on the device.
            main: bytes in main memory, which it passes through.
            near: whether the device is the main memory.
            one_by_one: whether it is enough that its parts fit one by one.
        """
        for settings, size in self.less.items():
            need = max(size.whole, size.reading if near else 0) * SPARE
            if need <= free and size.reading <= main:
                return f" With {settings} it takes {need / 1e6:,.0f} MB."
        for settings, size in self.less.items() if one_by_one and not near else ():
            if size.largest * SPARE <= free and size.reading <= main:
                largest = f"{size.largest * SPARE / 1e6:,.0f} MB"
                return f" With {settings} its parts fit one by one, the largest takes {largest}."
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
    """Makes room for a model: evicts loaded pipelines, if that helps.

    Arguments:
        wanted: what the model takes.
        where: the device.
        pipelines: those that are loaded, the first to go first.
        forget: lets one of them go, and returns whether its memory was really given back.

    Raises:
        MemoryError: the memory is too small even then. All loaded ones are left, but where one
            that something else still uses did not give its memory back.
    """
    # checked before any is evicted, so that a load that is refused evicts nothing
    _check(wanted, where, lambda place, need: _could_be_free(place, pipelines) >= need, pipelines)
    whole = _check(
        wanted, where, lambda place, need: _freed(place, need, pipelines, forget), pipelines
    )
    free, near = device.free_memory(where), _place(where) == "cpu"
    instead = "" if whole else wanted.instead(free, device.free_memory("cpu"), near)
    return Room(wanted.whole(near), free, whole, instead)


def _check(
    wanted: Need, where: str, enough: Callable[[str, int], bool],
    pipelines: Mapping[Key, DiffusionPipeline],
) -> bool:  # fmt: skip
    """Whether a model fits as a whole; otherwise its parts do, one by one.

    Arguments:
        wanted, where, pipelines: as for `make`.
        enough: whether so many bytes are, or could be, free on a device.

    Raises:
        MemoryError: it does not fit at all.
    """
    size, near = wanted.size, _place(where) == "cpu"
    need, largest = wanted.whole(near), int(size.largest * SPARE)
    needs = f"{wanted.model} needs {need / 1e6:,.0f} MB of memory in {wanted.dtype}, "
    whole = enough(where, need)
    free, main = device.free_memory(where), device.free_memory("cpu")
    could = _could_be_free(where, pipelines), _could_be_free("cpu", pipelines)
    if near:
        if not whole:
            raise MemoryError(
                f"{needs}{free / 1e6:,.0f} MB are free: close other notebooks, "
                f"or take a smaller model.{wanted.instead(*could, near)}"
            )
        return True
    instead = wanted.instead(*could, near, one_by_one=wanted.turns)
    if not whole and not wanted.turns:
        raise MemoryError(
            f"{needs}and {free / 1e6:,.0f} MB are free on the GPU, and sdnb does not offload "
            f"modular pipelines. Take sdnb.load(..., device='cpu'), or a smaller model.{instead}"
        )
    if not whole and not enough(where, largest):
        raise MemoryError(
            f"{needs}its largest part {largest / 1e6:,.0f} MB; on the GPU {free / 1e6:,.0f} MB "
            f"are free: take a smaller model, or sdnb.load(..., device='cpu').{instead}"
        )
    # it passes through the main memory, or stays there
    if not enough("cpu", size.reading):
        raise MemoryError(
            f"{needs}which passes through the main memory, where {main / 1e6:,.0f} MB are free: "
            f"close other notebooks, or take a smaller model.{instead}"
        )
    return whole


def ran_out(error: object) -> bool:
    """Whether an error says that there is not enough memory.

    Example:
        >>> ran_out(RuntimeError("CUDA out of memory.")), ran_out(KeyError())
        (True, False)
    """
    # GPUs say "CUDA out of memory" and the like, torch's CPU allocator "can't allocate memory"
    text = str(error) if isinstance(error, RuntimeError) else ""
    told = any(words in text for words in ("out of memory", "allocate memory", "enough memory"))
    return told or isinstance(error, MemoryError)


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


def _could_be_free(where: str, pipelines: Mapping[Key, DiffusionPipeline]) -> int:
    """The bytes that would be free there if all these pipelines went."""
    return device.free_memory(where) + sum(held(pipe, where) for pipe in pipelines.values())


def _freed(
    where: str, need: int, pipelines: Mapping[Key, DiffusionPipeline], forget: Callable[[Key], bool]
) -> bool:
    """Whether so many bytes are free there, if need be after evicting some pipelines."""
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
