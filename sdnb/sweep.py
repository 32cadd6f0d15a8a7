"""Sweeps: axes -> a plan (a list of Settings), a plan -> samples -> a sheet."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from sdnb import generation, loading, pictures, schedulers
from sdnb.sample import Sample, Sheet
from sdnb.settings import NAMES, Settings, check_names, label

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline


def compare(
    prompt: str | Iterable[str],
    *,
    pipe: DiffusionPipeline | None = None,
    negative_prompt: str | Iterable[str] = "",
    steps: int | Iterable[int] = 50,
    guidance: float | Iterable[float] = 7.5,
    scheduler: str | Iterable[str] | None = None,
    seed: int | Iterable[int] | None = None,
    width: int | Iterable[int] | None = None,
    height: int | Iterable[int] | None = None,
    strength: float | Iterable[float] | None = None,
    image: pictures.Source | None = None,
    mask: pictures.Source | None = None,
    long_prompt: str = "error",
) -> Sheet:
    """Makes one picture for each combination of the settings that are given as lists.

    One list gives one row. With two, the columns are the first of them in the order of the
    arguments below, the rows the second. With more, the rows are their combinations. Without a
    seed one is drawn and shared, so that all pictures start from the same noise.

    Arguments:
        prompt, negative_prompt, steps, guidance, scheduler, seed, width, height, strength: as
            for `generate`; each also as a list, range, tuple or array of values.
        image, mask, long_prompt: as for `generate`; the same for all pictures.
        pipe: the pipeline; None takes the one that `load` last returned, or loads the default.

    Returns:
        A labelled sheet; `sheet.samples` are its pictures, row by row.

    Raises:
        ValueError: a value is out of its range or does not fit the model, or a list is empty;
            before anything runs.

    Example:
        >>> import sdnb
        >>> sheet = compare("a fox", steps=[2, 4], seed=510, pipe=sdnb.load("emoji"))
        >>> sheet.rows, sheet.cols, sheet.col_labels
        (1, 2, ['2 steps', '4 steps'])
    """
    fixed, axes = split(
        prompt=prompt, negative_prompt=negative_prompt, steps=steps, guidance=guidance,
        scheduler=scheduler, seed=seed, width=width, height=height, strength=strength,
        long_prompt=long_prompt,
    )  # fmt: skip
    drafts = plan(fixed, axes)
    start = pictures.start(image, mask)
    pipe = generation.pipeline_for(loading.current(pipe), start)
    shared = secrets.randbelow(2**32)
    settings = [
        generation.resolve(s if s.seed is not None else s.but(seed=shared), pipe, start)
        for s in drafts
    ]
    columns, *others = list(axes.items()) or [("", [None])]
    rows = list(itertools.product(*(values for _, values in others)))
    names = [name for name, _ in others]
    return Sheet(
        run(settings, pipe, start),
        rows=len(rows),
        cols=len(columns[1]),
        col_labels=[label(columns[0], v) for v in columns[1]] if axes else [],
        row_labels=[", ".join(map(label, names, values)) for values in rows] if others else [],
        title=title_of(settings[0], axes),
    )


def variations(
    image: pictures.Source,
    n: int = 4,
    *,
    prompt: str | None = None,
    pipe: DiffusionPipeline | None = None,
    seed: int | None = None,
    strength: float = 0.6,
    steps: int = 50,
    guidance: float = 7.5,
) -> Sheet:
    """Makes pictures that resemble a given one.

    With an image-variations model (the article's is "lambdalabs/sd-image-variations-diffusers",
    revision "v2.0") the picture takes the prompt's place; with any other this is image to image.

    Arguments:
        image: a PIL picture, a file, or a `Sample`, whose prompt is then used.
        n: how many.
        prompt: what the picture shows, for image to image; a `Sample` brings its own.
        pipe: the pipeline; None takes the one that `load` last returned, or loads the default.
        seed: of the first; the others have the next numbers. Drawn where not given.
        strength: how much is redrawn, over 0 and up to 1; variations models redraw all.
        steps: denoising steps.
        guidance: guidance scale.

    Returns:
        A sheet of one row.

    Raises:
        ValueError: a setting does not fit, or image to image has no prompt.

    Example:
        >>> import sdnb
        >>> fox = sdnb.generate("a fox", steps=4, seed=1, pipe=sdnb.load("emoji"))
        >>> len(variations(fox, 2, steps=4, seed=1))
        2
    """
    if n < 1:
        raise ValueError(f"n is {n}: give 1 or more.")
    pipe = loading.current(pipe)
    if "ImageVariation" in type(pipe).__name__:
        prompt, strength = "", 1.0
    elif prompt is None:
        if not isinstance(image, Sample):
            raise ValueError("Say in words what the picture shows: give prompt=.")
        prompt = image.settings.prompt
    first = secrets.randbelow(2**32) if seed is None else seed
    return compare(
        prompt, image=image, strength=strength, steps=steps, guidance=guidance, pipe=pipe,
        seed=[first + i for i in range(n)],
    )  # fmt: skip


def split(**arguments: Any) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """Tells single values from axes: lists, ranges, tuples, arrays, and other iterables.

    Raises:
        ValueError: an axis is empty.
        TypeError: there is no such setting, or it is a set, whose order is not defined.

    Example:
        >>> split(prompt="a fox", steps=range(12, 37, 12))
        ({'prompt': 'a fox'}, {'steps': [12, 24, 36]})
    """
    check_names(arguments)
    fixed: dict[str, Any] = {}
    axes: dict[str, list[Any]] = {}
    for name in NAMES:
        if name not in arguments:
            continue
        value = arguments[name]
        if isinstance(value, (set, frozenset)):
            raise TypeError(f"{name} is a set, which has no order: give a list.")
        if isinstance(value, str) or not hasattr(value, "__iter__"):
            fixed[name] = value
            continue
        # arrays give their own number types, and 12 is to be labelled like any other 12
        axes[name] = [v.item() if hasattr(v, "item") else v for v in value]
        if not axes[name]:
            raise ValueError(f"{name} is an empty list: give at least one value.")
    return fixed, axes


def plan(fixed: Mapping[str, Any], axes: Mapping[str, list[Any]]) -> list[Settings]:
    """The settings of each picture, row by row: the first axis runs fastest.

    Raises:
        ValueError, TypeError: a value does not fit.

    Example:
        >>> plan({"prompt": "a fox"}, {"steps": [12, 24]})
        [Settings(prompt='a fox', steps=12), Settings(prompt='a fox', steps=24)]
    """
    for name in [*axes.get("scheduler", []), fixed.get("scheduler")]:
        # a model's own may be one that is not in the list; it then goes by its class name
        if name and not str(name).endswith("Scheduler"):
            schedulers.find(str(name))
    names = list(axes)[::-1]
    combinations = itertools.product(*(axes[name] for name in names))
    return [Settings(**fixed, **dict(zip(names, values))) for values in combinations]


def run(
    settings: list[Settings], pipe: DiffusionPipeline, start: pictures.Start | None = None
) -> list[Sample]:
    """Makes the pictures one after another, with one progress bar over all denoiser calls."""
    with generation.progress(settings) as bar:
        return [generation.run(s, pipe, bar.update, start) for s in settings]


def title_of(settings: Settings, axes: Mapping[str, list[Any]]) -> str:
    r"""What all pictures of the sheet share: the prompt, then the settings that matter.

    Example:
        >>> title_of(Settings("a fox", scheduler="PNDM", seed=510), {"steps": [12, 24]})
        'a fox\nguidance 7.5 · PNDM · seed 510'
    """
    values = settings.to_dict()
    shown = ["negative_prompt", "steps", "guidance", "scheduler", "seed", "strength"]
    texts = [label(n, values[n]) for n in shown if n not in axes and values[n] not in (None, "")]
    return "\n".join([settings.prompt] * ("prompt" not in axes) + [" · ".join(texts)])
