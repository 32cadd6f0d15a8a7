"""Weight samples: torch's version counter of a tensor, and values from all over it.

The counter alone is not enough: LoRAs are merged into `weight.data`, which it does not count. The
device does not matter: model CPU offload moves a pipeline's parts all the time.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any
from weakref import ref

from sdnb import compat

PLACES = 64  # values that are compared of each weight
BROAD = 65536  # the same where one tensor has taken another's place
SMALL = 4096  # values of a tensor that is compared whole

_how = attrgetter(compat.VERSION, "dtype", "shape", "requires_grad")


def sample(tensor: Any, places: int = PLACES) -> tuple[Any, ...]:
    """What is compared of a tensor: version counter, dtype, shape, gradients, layout, values.

    The counter is left out where all values are compared.

    Arguments:
        tensor: the tensor.
        places: how many of its values are compared, where it is not small.

    Example:
        >>> import torch
        >>> weight = torch.zeros(3)
        >>> before = sample(weight)
        >>> weight.data[1] = 2
        >>> sample(weight) == before
        False
    """
    import torch

    small = tensor.numel() <= SMALL
    version = 0 if small or tensor.is_inference() else compat.version_of(tensor)
    how: tuple[Any, ...]
    how = version, tensor.dtype, tuple(tensor.shape), tensor.requires_grad
    if tensor.layout != torch.strided or tensor.is_meta:
        return how
    how = *how, not tensor.is_contiguous() and _is_channels_last(tensor)
    words = _words_in(tensor)
    if not words:
        return *how, spread(tensor, places)
    if tensor.device.type == "cpu":
        return *how, _places(tensor.data_ptr(), words, places).tobytes()
    return *how, _far_words(tensor, words, places).cpu().numpy().tobytes()


def spread(tensor: Any, places: int = BROAD) -> bytes:
    """Values from all over a tensor, whatever its strides; none of a subclass of Tensor."""
    import torch

    if type(tensor) not in (torch.Tensor, torch.nn.Parameter) or tensor.layout != torch.strided:
        return b""
    with torch.no_grad():
        flat = tensor.detach().reshape(-1)
        if flat.numel() > SMALL:
            flat = flat[:: max(1, flat.numel() // places)]
        return flat.contiguous().view(torch.uint8).cpu().numpy().tobytes()


class Weight:
    """One tensor of those that are asked about; it is not kept alive.

    Arguments:
        path: where it is.
        tensor: the tensor.
        places: how many of its values are compared, where it is not small.
    """

    __slots__ = ("path", "places", "sample", "there", "words")

    def __init__(self, path: str, tensor: Any, places: int = PLACES) -> None:
        self.path, self.there, self.places = path, ref(tensor), places
        self.sample = sample(tensor, places)
        self.words = 0 if tensor.is_inference() else _words_in(tensor)

    def is_changed(self) -> bool:
        """Whether its values are others; False for a tensor that is gone."""
        tensor = self.there()
        return tensor is not None and sample(tensor, self.places) != self.sample


class Weights:
    """Many tensors, compared in one go; those in main memory by reading it directly."""

    def __init__(self, weights: Iterable[Weight]) -> None:
        self._all = list(weights)
        self._settle()

    def are_untouched(self) -> bool:
        """Whether all are there and as they were."""
        tensors = [there() for there in self._there]
        if any(tensor is None for tensor in tensors):
            return False
        if _where(tensors) != self._where:  # some were moved, or changed
            if not _are_alike(self._all):
                return False
            self._settle()
            return True
        return (
            b"".join(self._whole) == self._numbers
            and b"".join(map(memoryview.tobytes, self._parts)) == self._known
            and _are_alike(self._others)
        )

    def _settle(self) -> None:
        """Notes where the tensors lie: memory is read only where they are at that time."""
        there = [(weight, weight.there()) for weight in self._all]
        near = [(w, t) for w, t in there if w.words and t is not None and t.is_cpu]
        known = {id(weight) for weight, _ in near}
        self._others = [weight for weight in self._all if id(weight) not in known]
        self._there = [weight.there for weight, _ in near]
        self._where = _where([tensor for _, tensor in near])
        places = [(_places(t.data_ptr(), w.words, w.places), w.sample[-1]) for w, t in near]
        whole = [(place, numbers) for place, numbers in places if place.c_contiguous]
        parts = [(place, numbers) for place, numbers in places if not place.c_contiguous]
        self._whole, self._numbers = [p for p, _ in whole], b"".join(n for _, n in whole)
        self._parts, self._known = [p for p, _ in parts], b"".join(n for _, n in parts)


def _where(tensors: Sequence[Any]) -> tuple[list[Any], ...]:
    """Addresses and layouts of tensors, and torch's version counters."""
    import torch

    kind = torch.Tensor
    return (
        list(map(kind.data_ptr, tensors)), list(map(kind.stride, tensors)),
        list(map(_how, tensors)),
    )  # fmt: skip


def _are_alike(weights: Iterable[Weight]) -> bool:
    """One by one; those on GPUs in one go, as each answer takes its time."""
    import torch

    far: dict[Any, list[tuple[Any, bytes]]] = {}
    for weight in weights:
        tensor = weight.there()
        if tensor is None:
            return False
        if weight.words and not tensor.is_cpu and _is_so(tensor, weight):
            words = _far_words(tensor, weight.words, weight.places)
            far.setdefault(tensor.device, []).append((words, weight.sample[-1]))
        elif sample(tensor, weight.places) != weight.sample:
            return False
    return all(
        torch.cat([words for words, _ in each]).cpu().numpy().tobytes()
        == b"".join(known for _, known in each)
        for each in far.values()
    )


def _is_so(tensor: Any, weight: Weight) -> bool:
    """Whether all but the values is as it was."""
    small = tensor.numel() <= SMALL
    now = (
        0 if small else compat.version_of(tensor),
        tensor.dtype,
        tuple(tensor.shape),
        tensor.requires_grad,
    )
    order = not tensor.is_contiguous() and _is_channels_last(tensor)
    return (*now, order) == weight.sample[:-1] and _words_in(tensor) == weight.words


def _words_in(tensor: Any) -> int:
    """How many 32-bit words of memory a tensor lies in; 0 where these cannot be looked at."""
    import torch

    if tensor.is_meta:
        return 0
    # GGUF's have their bytes where a plain tensor has them
    plain = type(tensor) in (torch.Tensor, torch.nn.Parameter) or hasattr(tensor, "quant_type")
    if not plain:
        return 0
    if tensor.layout != torch.strided:
        return 0
    dense = tensor.is_contiguous() or _is_channels_last(tensor)
    return tensor.numel() * tensor.itemsize // 4 if dense else 0


def _is_channels_last(tensor: Any) -> bool:
    import torch

    return tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last)


def _places(address: int, words: int, places: int) -> memoryview:
    """Words from all over main memory: a tenth of the time that torch takes."""
    return memoryview(_memory(words).from_address(address))[:: _step(words, places)]


@functools.cache
def _memory(words: int) -> Any:
    """So many 32-bit words as ctypes sees them."""
    return ctypes.c_int32 * words


def _step(words: int, places: int) -> int:
    return 1 if words <= SMALL else max(1, words // places)


def _far_words(tensor: Any, words: int, places: int) -> Any:
    """The same of a tensor on a GPU, still there."""
    import torch

    with torch.no_grad():
        flat = tensor.as_tensor() if hasattr(tensor, "quant_type") else tensor.detach()
        if not flat.is_contiguous():
            flat = flat.permute(0, 2, 3, 1)
        flat = flat.reshape(-1)
        return flat[: words * 4 // flat.itemsize].view(torch.int32)[:: _step(words, places)]
