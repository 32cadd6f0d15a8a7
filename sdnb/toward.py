"""Toward: a part of the way from one prompt, or one seed's noise, to another, as a setting."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from sdnb.lora_weights import Frozen

KEYS = ("prompt", "seed", "part")
MAX_SEED = 2**64 - 1  # what torch.Generator takes


class Toward(Frozen):
    """Where a picture lies between two.

    Arguments:
        given: `prompt`, the other prompt (left out: the same); `seed`, of the other noise (left
            out: the same); `part`, how much of the way, over 0 and under 1.

    Raises:
        TypeError: it is no mapping, has other names, or a value is not of its type.
        ValueError: a value is out of its range, or nothing is to change.

    Example:
        >>> Toward({"prompt": "a cat", "part": 0.25})
        {'prompt': 'a cat', 'seed': None, 'part': 0.25}
        >>> Toward({"part": 0.25})
        Traceback (most recent call last):
            ...
        ValueError: toward has neither a prompt nor a seed: give one of them, or both.
    """

    def __init__(self, given: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> None:
        if not isinstance(given, Iterable) or isinstance(given, (str, bytes)):
            raise TypeError(f"toward is {given!r}: {FORM}.")
        try:
            pairs = dict(given)
        except (TypeError, ValueError):  # Python's own message is of sequence elements
            raise TypeError(f"toward is {given!r}: {FORM}.") from None
        if others := [name for name in pairs if name not in KEYS]:
            raise TypeError(f"toward holds {others[0]!r}: {FORM}.")
        prompt, seed, part = (pairs.get(name) for name in KEYS)
        if prompt is None and seed is None:
            raise ValueError("toward has neither a prompt nor a seed: give one of them, or both.")
        if prompt is not None and not isinstance(prompt, str):
            raise TypeError(f"The prompt of toward is {prompt!r}: give a text.")
        if prompt is not None and not prompt.strip():
            raise ValueError("The prompt of toward is empty: say in words where to go.")
        if seed is not None:
            if isinstance(seed, bool) or not hasattr(seed, "__index__"):
                raise TypeError(f"The seed of toward is {seed!r}: give a whole number.")
            seed = int(seed)
            if not 0 <= seed <= MAX_SEED:
                raise ValueError(f"The seed of toward is {seed}: give 0 to {MAX_SEED}.")
        if part is None or isinstance(part, bool) or not hasattr(part, "__float__"):
            raise TypeError(f"The part of toward is {part!r}: give a number, such as 0.5.")
        if not (math.isfinite(part) and 0 < part < 1):
            raise ValueError(
                f"The part of toward is {part}: give over 0 and under 1; at the ends it is a "
                "picture of one prompt and seed."
            )
        super().__init__({"prompt": prompt, "seed": seed, "part": float(part)})


FORM = 'give it as in toward={"prompt": "a cat", "seed": 2, "part": 0.5}'


def in_words(toward: Mapping[str, Any] | None) -> str:
    """How it reads under a picture.

    Example:
        >>> in_words({"prompt": "a cat", "seed": 2, "part": 0.25})
        '25 % toward a cat, seed 2'
    """
    if toward is None:
        return "no toward"
    toward = Toward(toward)  # an axis has it as it was given
    goals = [toward["prompt"], None if toward["seed"] is None else f"seed {toward['seed']}"]
    return f"{100 * toward['part']:.3g} % toward {', '.join(filter(None, goals))}"


__all__ = ["MAX_SEED", "Toward", "in_words"]
