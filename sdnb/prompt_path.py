"""The way from one prompt or seed to another, in equal steps."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sdnb.models import cache
from sdnb.options import Options, spelled_out
from sdnb.records.sheet import Sheet
from sdnb.settings import Settings, draw_seed
from sdnb.sweeps import axes
from sdnb.sweeps.axes import Cell
from sdnb.sweeps.execution import Kept
from sdnb.sweeps.plan import Plan
from sdnb.sweeps.ray_engine import Ray

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from typing_extensions import Unpack

MOST = 1000  # frames


@spelled_out(Options)
def path(
    prompt: str | Settings,
    to_prompt: str | None = None,
    *,
    to_seed: int | None = None,
    frames: int = 9,
    pipe: DiffusionPipeline | None = None,
    store: Kept = True,
    batch: int | None = None,
    engine: str | Ray | None = None,
    **options: Unpack[Options],
) -> Sheet:
    """Walks from one prompt to another, from one seed's noise to another's, or both at once.

    The first picture is the one of `prompt` and `seed`, the last that of `to_prompt` and
    `to_seed`; those between have mixed prompt embeddings and noise, by the setting `toward`. All
    are made together. `sheet.animate("way.gif")` makes a film of them, `sheet.slider()` a view.

    Arguments:
        prompt: where it begins; or whole `Settings`, which the other arguments change.
        to_prompt: where it ends; None stays with the same prompt.
        to_seed: of the noise at its end; None stays with the same noise.
        frames: pictures, both ends among them, 2 to 1000.
        negative_prompt, steps, guidance, scheduler, seed, width, height, long_prompt, lora: as for
            `generate`.
        strength, prompt_syntax, keep, toward: not for a path.
        pipe, store: as for `generate`.
        batch, engine: as for `compare`.

    Returns:
        A sheet of one row.

    Raises:
        ValueError: the two ends are the same, a setting does not fit, or the scheduler draws noise
            at each step, so that there is no way between two seeds.
        TypeError: there is no such setting; where diffusers has it, the error names ours.

    Example:
        >>> import sdnb
        >>> sheet = path("a fox", "a cat", frames=3, steps=4, seed=1, pipe=sdnb.load("emoji"))
        >>> sheet.col_labels, sheet[1].settings.toward
        (['a fox', '50 %', 'a cat'], {'prompt': 'a cat', 'seed': None, 'part': 0.5})
    """
    if isinstance(frames, bool) or not isinstance(frames, int) or not 2 <= frames <= MOST:
        raise ValueError(f"frames is {frames!r}: give a whole number from 2 to {MOST}.")
    first = Settings.of(prompt, **options)
    if first.toward or first.prompt_syntax or first.strength is not None:
        name = "toward" if first.toward else "prompt_syntax" if first.prompt_syntax else "strength"
        raise ValueError(f"{name} does not go with a path: leave it out.")
    if first.seed is None:
        first = first.but(seed=draw_seed())
    to_prompt = None if to_prompt == first.prompt else to_prompt
    to_seed = None if to_seed == first.seed else to_seed
    if to_prompt is None and to_seed is None:
        raise ValueError(
            "The path has no other end: give to_prompt, or to_seed, which differs from the first."
        )
    last = first.but(
        prompt=first.prompt if to_prompt is None else to_prompt,
        seed=first.seed if to_seed is None else to_seed,
    )
    goal = {"prompt": to_prompt, "seed": to_seed}
    parts = [n / (frames - 1) for n in range(1, frames - 1)]
    settings = [first, *(first.but(toward={**goal, "part": part}) for part in parts), last]
    ends = [
        ", ".join(
            ([end.prompt] if to_prompt is not None else [])
            + ([f"seed {end.seed}"] if to_seed is not None else [])
        )
        for end in (first, last)
    ]
    labels = [ends[0], *(f"{100 * part:.3g} %" for part in parts), ends[1]]
    plan = Plan.of([Cell(each) for each in settings], cache.current(pipe), None)
    title = axes.title(plan.settings[0], plan.differing)
    planned = replace(plan, cols=frames, col_labels=labels, title=title)
    return planned.run(store, batch, engine)


__all__ = ["path"]
