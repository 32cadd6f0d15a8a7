"""Calls of one module, joined along the batch axis into one call, and its output split again."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from itertools import chain, count
from typing import Any

from sdnb import compat
from sdnb.models.denoiser import TIMESTEP_NAMES
from sdnb.models.lora import OfPart, weighted

UNBATCHED = {"img_ids", "txt_ids"}  # Flux's positions: (tokens, 3), the same for all rows
TEXT = "encoder_hidden_states"  # the same tensor at each step of a run


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a module.

    Attributes:
        module: the module, as the pipeline has it.
        arguments: by name, the positional ones first.
        positional: how many of them were given by position.
        rows: length of the batch axis; 0 where the first argument is no tensor, and there is none.
        lora: the weights of LoRAs in the module for this call; None leaves it as it is.
    """

    module: Any
    arguments: dict[str, Any]
    positional: int
    rows: int
    lora: OfPart | None = None

    @classmethod
    def of(
        cls, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any],
        own: OfPart | None = None,
    ) -> Call:  # fmt: skip
        """The call module(*args, **kwargs), not yet made."""
        forward = compat.uncompiled(module).forward
        names = list(inspect.signature(forward).parameters)
        arguments = dict(zip(chain(names, map(str, count())), args)) | kwargs
        first: Any = arguments.get(names[0])
        rows = first.shape[0] if _is_tensor(first) and first.ndim else 0
        return cls(module, arguments, len(args), rows, own)


def differing(a: Call, b: Call) -> str | None:
    """The name of an argument that keeps two calls from being merged; None where they can be.

    Example:
        >>> import torch
        >>> layer = torch.nn.Linear(3, 2)
        >>> shapes = (1, 3), (2, 3), (1, 4)
        >>> one, two, wide = (Call.of(layer, (torch.ones(shape),), {}) for shape in shapes)
        >>> differing(one, two), differing(one, wide)
        (None, 'input')
    """
    if a.module is not b.module:
        return "module"
    if a.lora != b.lora and not (a.lora and b.lora and a.lora.merges):
        return "lora"
    names = list(a.arguments)
    if (a.positional, set(names)) != (b.positional, set(b.arguments)):
        return "list of arguments"
    if not (a.rows and b.rows):
        return names[0]
    unlike = (n for n in names if not _fit(n, a.arguments[n], b.arguments[n], (a.rows, b.rows)))
    return next(unlike, None)


def same(a: Call, b: Call) -> bool:
    """Whether two calls are the same in all their inputs, so that the output of one will do.

    Example:
        >>> import torch
        >>> layer = torch.nn.Linear(3, 2)
        >>> a, b, c = (Call.of(layer, (torch.full((1, 3), v),), {}) for v in (1.0, 1.0, 2.0))
        >>> same(a, b), same(a, c)
        (True, False)
    """
    return (
        a.module is b.module
        and a.lora == b.lora
        and (a.positional, a.arguments.keys()) == (b.positional, b.arguments.keys())
        and all(_fit(name, a.arguments[name], b.arguments[name], (0, 0)) for name in a.arguments)
    )


def make(
    calls: list[Call], kept: dict[tuple[int, ...], tuple[Any, Any]] | None = None
) -> list[Any]:
    """Makes calls that do not differ as one, without gradients; one output for each.

    Arguments:
        calls: the calls.
        kept: keeps the joined text from one merged call to the next, so that a module that looks
            knows it again.

    Raises:
        ValueError: the output cannot be split.

    Example:
        >>> import torch
        >>> layer = torch.nn.Linear(3, 2)
        >>> calls = [Call.of(layer, (torch.ones(rows, 3),), {}) for rows in (1, 2)]
        >>> [tuple(output.shape) for output in make(calls)]
        [(1, 2), (2, 2)]
    """
    import torch

    first, rows = calls[0], [call.rows for call in calls]
    arguments = first.arguments
    if len(calls) > 1:
        arguments = {n: _joined(n, [c.arguments[n] for c in calls], rows) for n in arguments}
        if kept is not None and _is_tensor(arguments.get(TEXT)):
            texts = [c.arguments[TEXT] for c in calls]
            key = tuple(map(id, texts))
            if key not in kept:
                kept.clear()
                kept[key] = texts, arguments[TEXT]  # as long as the texts are held, ids stay theirs
            arguments[TEXT] = kept[key][1]
    names = list(arguments)
    with torch.no_grad(), weighted([call.lora for call in calls], rows):
        output = first.module(
            *(arguments[name] for name in names[: first.positional]),
            **{name: arguments[name] for name in names[first.positional :]},
        )
    return _split(output, rows) if len(calls) > 1 else [output]


def _is_tensor(value: Any) -> bool:
    import torch

    return isinstance(value, torch.Tensor)


def _is_batched(name: str, value: Any, rows: int) -> bool:
    return name not in UNBATCHED and value.ndim > 0 and value.shape[0] == rows


def _fit(name: str, a: Any, b: Any, rows: tuple[int, int]) -> bool:
    """Whether two values of an argument can be joined, or else are the same."""
    import torch

    if name in TIMESTEP_NAMES and all(rows):
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_fit(key, a[key], b[key], rows) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(_fit(name, *both, rows) for both in zip(a, b))
    if not _is_tensor(a):
        return a is b or (isinstance(a, (bool, int, float, str)) and a == b)
    if (a.dtype, a.device) != (b.dtype, b.device):
        return False
    if _is_batched(name, a, rows[0]) and _is_batched(name, b, rows[1]):
        return a.shape[1:] == b.shape[1:]
    return torch.equal(a, b)


def _joined(name: str, values: list[Any], rows: list[int]) -> Any:
    """The values of an argument as one."""
    import torch

    first = values[0]
    if name in TIMESTEP_NAMES:  # of any scheduler: whole numbers or not, on any device
        device = next((v.device for v in values if _is_tensor(v)), None)
        times = [torch.as_tensor(v, device=device).reshape(-1) for v in values]
        return torch.cat([t.expand(n) for t, n in zip(times, rows)])  # (sum of rows,)
    if isinstance(first, dict):
        return {key: _joined(key, [v[key] for v in values], rows) for key in first}
    if isinstance(first, (list, tuple)):
        return type(first)(_joined(name, list(each), rows) for each in zip(*values))
    if _is_tensor(first) and _is_batched(name, first, rows[0]):
        return torch.cat(values)
    return first


def _split(output: Any, rows: list[int]) -> list[Any]:
    """A merged call's output as one output for each call."""
    if _is_tensor(output) and output.ndim and output.shape[0] == sum(rows):
        return list(output.split(rows))
    if isinstance(output, dict):  # diffusers' outputs are dicts too
        columns = [_split(value, rows) for value in output.values()]
        return [type(output)(**dict(zip(output, parts))) for parts in zip(*columns)]
    if isinstance(output, (list, tuple)):
        return [type(output)(parts) for parts in zip(*(_split(each, rows) for each in output))]
    raise ValueError(f"{sum(rows)} rows went in, and a {type(output).__name__} without them out.")


__all__ = ["UNBATCHED", "Call", "differing", "make", "same"]
