"""What a person types where a setting is compared, read as a list of values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from sdnb import schedulers
from sdnb.settings import LORA, draw_seed, figure

if TYPE_CHECKING:
    from sdnb.models.capabilities import Capabilities

# the axes of a comparison, and what stands there to begin with
AXES: dict[str, str] = {
    "steps": "12, 24, 38, 50",
    "guidance": "1, 4, 7.5, 12",
    "scheduler": "PNDM, DDIM, LMS",
    "seed": "1, 2, 3, 4",
    "strength": "0.2, 0.4, 0.6, 0.8",
    "prompt": "",
    "negative_prompt": "",
}
LORA_WEIGHTS = "0, 0.4, 0.8, 1.2"  # likewise of one LoRA's weight
TEXTS = ("prompt", "negative_prompt")  # these hold commas themselves: one a line


def axes_of(can: Capabilities, loras: Iterable[str]) -> list[tuple[str, str]]:
    """The axes that a pipeline can be compared along: each as it is shown, and by its name."""
    lacking = {
        "guidance": can.guidance, "negative_prompt": can.negative_prompt,
        "prompt": can.prompt, "strength": can.picture, "scheduler": len(can.schedulers) > 1,
    }  # fmt: skip
    names = [name for name in AXES if lacking.get(name, True)]
    weights = [(f"LoRA {name}", f"{LORA}{name}") for name in loras]
    return [*((name.replace("_", " "), name) for name in names), *weights]


def usual(axis: str) -> str:
    """What stands there when an axis is chosen.

    Example:
        >>> usual("lora:ink")
        '0, 0.4, 0.8, 1.2'
    """
    return LORA_WEIGHTS if axis.startswith(LORA) else AXES[axis]


def read(axis: str, text: str) -> list[Any]:
    """The values in a text: between commas, prompts one a line.

    Of negative prompts one may be none: an empty line, where others follow it.

    Arguments:
        axis: a name of `AXES`, or "lora:" and a LoRA's name.
        text: what was typed.

    Raises:
        ValueError: there is none, or one is of another kind; the sentence names it.

    Example:
        >>> read("steps", "12, 24, 38, 50"), read("guidance", "1 7.5"), read("prompt", "a fox\\n")
        ([12, 24, 38, 50], [1.0, 7.5], ['a fox'])
        >>> read("steps", "12, many")
        Traceback (most recent call last):
            ...
        ValueError: 'many' is no whole number: write steps as in "12, 24, 38, 50".
    """
    if axis in TEXTS:
        parts = text.split("\n")
    elif axis == "scheduler":
        parts = text.replace("\n", ",").split(",")
    else:
        parts = text.replace(",", " ").replace(";", " ").split()
    words = [part.strip() for part in parts]
    name = _called(axis)
    if not any(words):
        raise ValueError(
            f"There is nothing to compare: write one {name} a line."
            if axis in TEXTS
            else f'There is nothing to compare: write {name} as in "{usual(axis)}".'
        )
    if axis == "negative_prompt":
        last = max(i for i, word in enumerate(words) if word)
        words = [word for i, word in enumerate(words[: last + 1]) if word or "" not in words[:i]]
    else:
        words = [word for word in words if word]
    return [_value(axis, word) for word in words]


def _value(axis: str, word: str) -> Any:
    if axis in TEXTS:
        return word
    if axis == "scheduler":
        return schedulers.spelled(word)
    whole = axis in ("steps", "seed")
    try:
        return int(word) if whole else float(word)
    except ValueError:
        kind = "whole number" if whole else "number"
        name = _called(axis)
        raise ValueError(f'{word!r} is no {kind}: write {name} as in "{usual(axis)}".') from None


def _called(axis: str) -> str:
    return (
        f"the weight of {axis.removeprefix(LORA)}"
        if axis.startswith(LORA)
        else axis.replace("_", " ")
    )


def seed(text: str) -> int:
    """The seed in a text; a drawn one where there is none.

    Raises:
        ValueError: it is no whole number.

    Example:
        >>> seed(" 510 ")
        510
    """
    if not text.strip():
        return draw_seed()
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"The seed {text.strip()!r} is no whole number: write 510, say.") from None


def written(values: Sequence[Any]) -> str:
    """Values as Python writes them in a list, numbers as short as they can be.

    Example:
        >>> written([1.0, 7.5]), written(["DDIM"])
        ('[1, 7.5]', "['DDIM']")
    """
    texts = [figure(v) if isinstance(v, float) else repr(v) for v in values]
    return f"[{', '.join(texts)}]"
