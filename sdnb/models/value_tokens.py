"""Value tokens: values as they are compared, and as a sentence names them."""

from __future__ import annotations

import enum
import functools
import pathlib
import re
from typing import Any

PLAIN = (type(None), bool, int, float, complex, str, bytes, enum.Enum, pathlib.PurePath,
         re.Pattern, range, slice)  # fmt: skip
NOTHING = ("nothing",)

Tokens = dict[str, tuple[Any, ...]]  # of values, by where they are
Differences = dict[str, tuple[str, str]]  # where -> (how it was, how it is), in words


def plain(value: Any) -> tuple[Any, ...]:
    """The token of a number, a text or the like.

    A dtype's name, which libraries write in its place, is the dtype; a float is its digits, as NaN
    is not equal to itself.

    Example:
        >>> import torch
        >>> plain("float32") == plain(torch.float32)
        True
        >>> plain(1) == plain(True), plain(float("nan")) == plain(float("nan"))
        (False, True)
    """
    if type(value) is str:
        value = _dtypes().get(value.removeprefix("torch."), value)
    return type(value), repr(value) if isinstance(value, float) else value


@functools.cache
def _dtypes() -> dict[str, Any]:
    """torch's dtypes by their names."""
    import torch

    return {name: each for name, each in vars(torch).items() if isinstance(each, torch.dtype)}


def differences(one: Tokens, other: Tokens) -> Differences:
    """Where two objects differ, from their tokens.

    Example:
        >>> differences({"steps": plain(1)}, {"steps": plain(2), "eta": plain(0.5)})
        {'eta': ('nothing', '0.5'), 'steps': ('1', '2')}
    """
    places = sorted(one.keys() | other.keys())
    pairs = ((place, one.get(place, NOTHING), other.get(place, NOTHING)) for place in places)
    return {place: (words(a), words(b)) for place, a, b in pairs if not _alike(a, b)}


def _alike(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    return one == other and list(map(type, one)) == list(map(type, other))


def words(token: tuple[Any, ...]) -> str:
    """A value as a sentence names it: at most 60 letters."""
    if not isinstance(token[0], type):
        shown = " ".join(str(part) for part in token[:2] if not isinstance(part, tuple))
    elif issubclass(token[0], float):
        shown = token[1]
    else:
        shown = repr(token[1]) if len(token) == 2 else "other values"
    return shown if len(shown) <= 60 else f"{shown[:59]}…"


def name_of(value: Any) -> str:
    """The full name of a class or function; of another object that of its class.

    Example:
        >>> name_of(functools.cache), name_of(3)
        ('functools.cache', 'int')
    """
    module = getattr(value, "__module__", None)
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
    return f"{module}.{name}" if name and module else name or type(value).__qualname__
