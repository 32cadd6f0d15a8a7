"""LoRA weights as a setting: which LoRAs count, and how strongly, in one frozen value."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn, Union

PARTS = ("denoiser", "text_encoder")  # all text encoders of a model count as one
Weight = Union[float, "Mapping[str, float]", None]


class Frozen(dict[str, Any]):
    """A dict that cannot be changed, and so can be hashed; JSON takes it as any other."""

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("Settings do not change: make others with settings.but(...).")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self),)

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, _: Any) -> Any:
        return self


class LoraWeights(Frozen):
    """The weight of each LoRA that counts, by its name; one that is not named is off.

    Arguments:
        given: names and weights: a number, or one for each part ("denoiser", "text_encoder"; one
            that is left out is 0), or None for the weight that the LoRA was loaded with.

    Raises:
        TypeError: a name is no text, or a weight no number.
        ValueError: a weight is not finite, a name is empty or holds what AUTOMATIC1111's form
            cannot, or there is no such part.

    Example:
        >>> LoraWeights({"ink": 1, "film": {"denoiser": 0.5}})
        {'film': {'denoiser': 0.5, 'text_encoder': 0.0}, 'ink': 1.0}
        >>> hash(LoraWeights({"ink": 1})) == hash(LoraWeights({"ink": 1.0}))
        True
    """

    def __init__(self, given: Mapping[str, Weight] | Iterable[tuple[str, Weight]] = ()) -> None:
        pairs = dict(given)
        for name in pairs:
            check_name(name)
        super().__init__({name: _weight(name, pairs[name]) for name in sorted(pairs)})


class OtherProgramsLoras(LoraWeights):
    """The same as another program wrote them: of files that sdnb may never have loaded.

    A pipeline without any LoRA makes such a picture without them, and logs that.
    """


def lora_weights(value: object) -> LoraWeights:
    """What was given as `lora`, as weights: a name alone, or names and weights.

    Raises:
        TypeError: it is neither; the sentence shows the form.

    Example:
        >>> lora_weights("ink")
        {'ink': None}
        >>> lora_weights(0.8)
        Traceback (most recent call last):
            ...
        TypeError: lora is 0.8: give names and weights, as in lora={'style': 0.8}.
    """
    if isinstance(value, LoraWeights):
        return value
    if isinstance(value, str):
        return LoraWeights({value: None})
    if isinstance(value, Mapping):
        return LoraWeights(value)
    raise TypeError(f"lora is {value!r}: give names and weights, as in lora={{'style': 0.8}}.")


def check_name(name: object) -> None:
    """Raises TypeError or ValueError where a LoRA cannot be called so."""
    if not isinstance(name, str):
        raise TypeError(f"{name!r} is no LoRA's name: give a text.")
    if not name.strip() or not name.isprintable() or set(name) & set('<>:,"'):
        raise ValueError(f"{name!r} is no LoRA's name: give letters, digits, spaces, - or _.")


def adapter_of(name: str) -> str:
    """What diffusers and peft call a LoRA: torch's names hold no dots.

    Example:
        >>> adapter_of("detail v1.5")
        'detail_v1_5'
    """
    return re.sub(r"\W", "_", name)


def of_part(weight: Weight, part: str) -> float:
    """A resolved weight, as it is for one of `PARTS`.

    Example:
        >>> weights = LoraWeights({"ink": {"denoiser": 0.5}})
        >>> of_part(weights["ink"], "denoiser"), of_part(0.8, "text_encoder")
        (0.5, 0.8)
    """
    if isinstance(weight, Mapping):
        return weight[part]
    return 1.0 if weight is None else weight


def in_words(weights: Mapping[str, Weight]) -> str:
    """The weights as they read below a picture.

    Example:
        >>> in_words(LoraWeights({"ink": 0.8, "film": {"denoiser": 1, "text_encoder": 0.5}}))
        'film 1 (text encoder 0.5), ink 0.8'
        >>> in_words(LoraWeights())
        'no LoRA'
    """
    return ", ".join(f"{name} {_shown(weight)}" for name, weight in weights.items()) or "no LoRA"


def _shown(weight: Weight) -> str:
    if weight is None:
        return "as loaded"
    if isinstance(weight, Mapping):
        return f"{weight['denoiser']:g} (text encoder {weight['text_encoder']:g})"
    return f"{weight:g}"


def _weight(name: str, value: Any) -> Any:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        return _number(name, value)
    for part in value:
        if part not in PARTS:
            raise ValueError(f"lora {name} has no part {part!r}: give {' or '.join(PARTS)}.")
    each = {part: _number(name, value.get(part, 0.0)) for part in PARTS}
    one = set(each.values())
    return one.pop() if len(one) == 1 else Frozen(each)


def _number(name: str, value: Any) -> float:
    if hasattr(value, "item") and not isinstance(value, str):
        value = value.item()  # numpy's and torch's
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"The weight of lora {name} is {value!r}: give a number, 1 is usual.")
    if not math.isfinite(value):
        raise ValueError(f"The weight of lora {name} is {value}: give a finite number.")
    return float(value) + 0.0  # no negative zero


__all__ = [
    "PARTS", "LoraWeights", "OtherProgramsLoras", "Weight", "adapter_of", "check_name", "in_words",
    "lora_weights", "of_part",
]  # fmt: skip
