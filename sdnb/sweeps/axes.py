"""Axes: which settings are lists, and all their combinations as a table of settings."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sdnb import prompt_choices, schedulers
from sdnb.files import without_folder
from sdnb.lora_weights import LoraWeights
from sdnb.settings import LORA, NAMES, Settings, check_names, label

MODEL, DTYPE, QUANTIZE = "model", "dtype", "quantize"
CHOICE = "choice:"  # before a number: which of the prompt's choices in braces
LOADING = (MODEL, DTYPE, QUANTIZE)  # axes that are no settings: which pipeline


def split(choices: bool = True, **arguments: Any) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """Tells single values from axes: lists, ranges, tuples, arrays, and other iterables.

    Arguments:
        choices: whether {red|blue} in a prompt is an axis; in whole `Settings` it is plain text.
        arguments: settings by their names.

    Raises:
        ValueError: an axis is empty, or a prompt's choices are nested.
        TypeError: there is no such setting, or it is a set, whose order is not defined.

    Example:
        >>> split(prompt="a fox", steps=range(12, 37, 12))
        ({'prompt': 'a fox'}, {'steps': [12, 24, 36]})
    """
    check_names(name for name in arguments if name not in LOADING)
    fixed: dict[str, Any] = {}
    axes: dict[str, list[Any]] = {}
    for name in (*NAMES, *LOADING):
        value = arguments.get(name)
        if value is None:
            continue
        if name == "lora" and isinstance(value, Mapping) and not isinstance(value, LoraWeights):
            for each, weight in value.items():  # a list of one's weights is an axis of its own
                if _is_axis(name, weight):
                    axes[f"{LORA}{each}"] = listed(f"the weight of lora {each}", weight)
            fixed[name] = {each: w for each, w in value.items() if f"{LORA}{each}" not in axes}
            continue
        if _is_axis(name, value):
            axes[name] = listed(name, value)
            if name == "prompt":
                axes[name] = spread(axes[name])
        elif name == "prompt" and isinstance(value, str) and choices:
            for n, group in enumerate(prompt_choices.groups(value)):
                axes[f"{CHOICE}{n}"] = group  # each is an axis of its own
            fixed[name] = value if has_choices(axes) else prompt_choices.chosen(value, [])
        else:
            fixed[name] = value
    return fixed, axes


def has_choices(axes: Iterable[str]) -> bool:
    """Whether the prompt holds choices, so that it is not yet any picture's."""
    return any(name.startswith(CHOICE) for name in axes)


def spread(prompts: list[Any]) -> list[Any]:
    """Prompts of a list, those with choices as all that they come to."""
    return [
        p
        for each in prompts
        for p in (prompt_choices.every(each) if isinstance(each, str) else [each])
    ]


def _is_axis(name: str, value: Any) -> bool:
    if isinstance(value, Mapping):  # a value of these two; of any other setting its keys are many
        return name not in ("lora", "toward")
    return hasattr(value, "__iter__") and not isinstance(value, str)


def listed(name: str, values: Any) -> list[Any]:
    """The values of an axis, as Python's own types.

    Arguments:
        name: of the setting, for errors.
        values: in their order: a list, a range, an array.

    Raises:
        TypeError: they are a set.
        ValueError: there are none.
    """
    if isinstance(values, (set, frozenset)):
        raise TypeError(f"{name} is a set, which has no order: give a list.")
    # arrays give their own number types, and 12 is to be labelled like any other 12
    found = [v.item() if hasattr(v, "item") else v for v in values]
    if not found:
        raise ValueError(f"{name} is an empty list: give at least one value.")
    return found


@dataclass(frozen=True)
class Cell:
    """One picture of a table: its settings, and how its model is loaded where that is compared."""

    settings: Settings
    model: str | None = None
    dtype: str | None = None
    quantize: str | None = None

    @property
    def loading(self) -> tuple[str | None, str | None, str | None]:
        """Model, dtype and quantisation."""
        return self.model, self.dtype, self.quantize


def cells(
    fixed: Mapping[str, Any], axes: Mapping[str, list[Any]], calls: int | None = None
) -> list[Cell]:
    """The table's pictures: row by row, the first axis runs fastest, the third gives the pages.

    Arguments:
        fixed: settings that are the same everywhere.
        axes: settings that differ.
        calls: as many steps for each scheduler as make about so many denoiser calls.

    Raises:
        ValueError, TypeError: a value does not fit.

    Example:
        >>> [cell.settings for cell in cells({"prompt": "a fox"}, {"steps": [12, 24]})]
        [Settings(prompt='a fox', steps=12), Settings(prompt='a fox', steps=24)]
    """
    for name in [*axes.get("scheduler", []), fixed.get("scheduler")]:
        if name:
            schedulers.spelled(str(name))
    check_calls(calls, axes.get("steps", fixed.get("steps")))
    names = list(axes)[::-1]
    made = []
    for values in itertools.product(*(axes[name] for name in names)):
        given = {**fixed, **dict(zip(names, values))}
        # a name or a path; a name or torch's own
        model, dtype, quantize = (given.pop(name, None) for name in LOADING)
        if single := {n.removeprefix(LORA): given.pop(n) for n in axes if n.startswith(LORA)}:
            given["lora"] = given["lora"] | single
        if calls is not None:
            given["steps"] = schedulers.steps_for(given.get("scheduler"), calls)
        if picks := [given.pop(n) for n in axes if n.startswith(CHOICE)]:
            given["prompt"] = prompt_choices.chosen(given["prompt"], picks)
        dtype = dtype and str(dtype).removeprefix("torch.")
        made.append(Cell(Settings(**given), model and str(model), dtype, quantize))
    return made


def check_calls(calls: Any, steps: Any) -> None:
    """Raises ValueError where denoiser calls and steps are both given."""
    if calls is not None and steps is not None:
        raise ValueError("Give calls or steps, not both: each scheduler's steps follow from calls.")


def labels(axes: Mapping[str, list[Any]]) -> tuple[list[str], list[str], list[str]]:
    """The texts of columns, rows and pages; none where there is no such axis.

    Example:
        >>> labels({"steps": [12, 24], "guidance": [1, 7.5], "scheduler": ["DDIM"]})
        (['12 steps', '24 steps'], ['guidance 1', 'guidance 7.5'], ['DDIM'])
    """
    texts = [[_label(name, value) for value in values] for name, values in axes.items()]
    empty: list[list[str]] = [[]] * (2 - len(texts))
    cols, rows, *pages = texts + empty
    # more than three: the third runs faster, as everywhere
    combined = [", ".join(each[::-1]) for each in itertools.product(*pages[::-1])]
    return cols, rows, combined if pages else []


def _label(name: str, value: Any) -> str:
    if name == MODEL:  # labels are drawn into files
        value = without_folder(str(value))
    elif name == DTYPE:
        return str(value).removeprefix("torch.")
    elif name == QUANTIZE:
        return value or "not quantised"
    elif name.startswith(CHOICE):
        return value or "(nothing)"
    return label(name, value)


def title(settings: Settings, axes: Mapping[str, list[Any]], prompt: str = "") -> str:
    r"""What all pictures share: the prompt, then the settings that matter.

    Arguments:
        settings: of one of them.
        axes: the settings that differ.
        prompt: what stands in the place of their prompt, where it holds choices.

    Example:
        >>> title(Settings("a fox", scheduler="PNDM", seed=510), {"steps": [12, 24]})
        'a fox\nPNDM · seed 510'
    """
    values = settings.to_dict()
    shown = [
        "negative_prompt", "steps", "guidance", "scheduler", "seed", "strength", "keep", "lora",
        "toward",
    ]  # fmt: skip
    texts = [label(n, values[n]) for n in shown if n not in axes and values[n] not in (None, "")]
    if not prompt and "prompt" not in axes:
        prompt = settings.prompt
    return "\n".join([prompt] * bool(prompt) + [" · ".join(texts)])
