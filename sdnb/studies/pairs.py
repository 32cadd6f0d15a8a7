"""Pairs: two settings with the same prompts and seeds, as one plan that is made in rounds."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sdnb.display.live_sheet import Live
from sdnb.files import without_folder
from sdnb.generation import denoiser_calls, init_image
from sdnb.models.capabilities import Capabilities
from sdnb.records.sample import Sample, why_black
from sdnb.settings import Settings, check_names, label
from sdnb.sweeps import axes
from sdnb.sweeps.axes import LOADING, Cell
from sdnb.sweeps.execution import Kept, Making
from sdnb.sweeps.plan import Plan

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

Side = str | Mapping[str, Any] | Settings  # what is compared, as `duel` takes it
_EXAMPLES = {
    "prompts": 'a text, or a list such as ["a fox", "an owl"]', "seeds": "range(20)",
    "calls": "a list such as [6, 12, 25, 50]",
}  # fmt: skip
LOOK = 8  # pairs a round: their denoiser calls fill one of `batching.MOST`


@dataclass(frozen=True)
class Pair:
    """Two pictures that differ in what is compared, and in nothing else.

    Attributes:
        name: prompt and seed, as far as they differ between pairs.
        a, b: the pictures.
        scores: of both; the higher is the better.
    """

    name: str
    a: Sample
    b: Sample
    scores: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Pairs:
    """Pairs to be made: their plan has the first of a pair at 2 i, the second at 2 i + 1.

    All prompts have had their first seed before one has its second, so that whoever stops early
    has seen them all.

    Attributes:
        plan: of all pictures.
        sides: the names of the two: the settings in which they differ.
        names: of each pair.
    """

    plan: Plan
    sides: tuple[str, str]
    names: Sequence[str]

    @classmethod
    def of(
        cls,
        a: Side,
        b: Side,
        prompts: str | Settings | Iterable[str] | None,
        seeds: Iterable[int],
        pipe: DiffusionPipeline | None = None,
        start: init_image.Start | None = None,
        calls: int | None = None,
        **shared: Any,
    ) -> Pairs:
        """Checks and resolves them, as `compare` does.

        Arguments:
            a, b, prompts, seeds, calls: as for `duel`.
            pipe, start: the pipeline, and the picture to start from.
            shared: settings of both, and model, dtype and quantize.

        Raises:
            ValueError, TypeError: a value does not fit, or both make the same pictures.
        """
        shared = shared_by(prompts, shared)
        texts = several("prompts", prompts)
        numbers = several("seeds", seeds)
        _check_names({**shared, "prompt": "", "seed": 0})
        drafts = [
            _cell(side, shared, text, seed, calls)
            for seed in numbers for text in texts or [None] for side in (a, b)
        ]  # fmt: skip
        plan = Plan.of(drafts, pipe, start)
        _check_differ(plan)
        sides = _sides(plan, drafts, (a, b))
        return cls(plan, sides, _names(plan, texts, numbers))

    def __len__(self) -> int:
        return len(self.names)

    def rounds(
        self,
        store: Kept = True,
        batch: int | None = None,
        left_out: list[str] | None = None,
        shown: Callable[[], Any] | None = None,
    ) -> Generator[list[Pair], None, None]:
        """Makes them, some at a time; gives those of a round when they are there.

        Arguments:
            store: where finished pictures are looked for and kept.
            batch: pictures at once; None takes what fits into the memory.
            left_out: takes the reason for each pair that cannot be compared, as one of its
                pictures failed, was blackened by a safety checker, or is NaN.
            shown: gives what is shown meanwhile, after the first round.
        """
        plan, making = self.plan, Making(self.plan, store)
        todo = making.todo
        live = Live(len(plan), shown or (lambda: None))
        live.wanted = live.wanted and shown is not None
        with denoiser_calls.progress([plan.counts[i] for i in todo]) as bar, live:
            for first in range(0, len(self), LOOK):
                round_ = range(first, min(first + LOOK, len(self)))
                making.todo = [i for i in todo if i // 2 in round_]
                with contextlib.closing(making.go_on(batch, bar.update)) as made:
                    for _ in made:  # a traceback would keep it, and the model's lock
                        pass
                if not making.made:
                    raise next(iter(making.errors.values()))
                yield self.made(making, round_, left_out)
                live.update()

    def made(
        self, making: Making, which: Iterable[int], left_out: list[str] | None = None
    ) -> list[Pair]:
        """Those of the pairs `which` that can be compared.

        Arguments:
            making: of the plan, with their pictures.
            left_out: as for `rounds`.
        """
        found = []
        for n in which:
            if why := _lacks(making, 2 * n) or _lacks(making, 2 * n + 1):
                if left_out is not None:
                    left_out.append(why)
            else:
                found.append(Pair(self.names[n], making.made[2 * n], making.made[2 * n + 1]))
        return found


def shared_by(
    prompts: str | Settings | Iterable[str] | None, options: Mapping[str, Any], *varied: str
) -> dict[str, Any]:
    """What all pictures share: the options, and below them what whole settings say.

    Arguments:
        prompts, options: as they were given.
        varied: settings that are not shared, beside prompt and seed.

    Raises:
        TypeError: the options give a seed.
    """
    options = dict(options)
    if (seed := options.pop("seed", None)) is not None:
        raise TypeError(f"seed is {seed}, and several are compared here: give seeds=[{seed}, ...].")
    if not isinstance(prompts, Settings):
        return options
    whole = prompts.to_dict()
    for name in ("prompt", "seed", *varied):
        del whole[name]
    return whole | {name: value for name, value in options.items() if value is not None}


def several(name: str, values: Any) -> list[Any]:
    """Prompts, seeds or calls as a list, each once.

    Raises:
        TypeError: it is no list.
        ValueError: it is empty, or something is there twice.
    """
    if values is None and name == "prompts":
        return []
    if isinstance(values, Settings):
        return [values.prompt]  # as it stands: in whole settings braces are no choices
    if isinstance(values, str) and name == "prompts":
        values = [values]
    if not hasattr(values, "__iter__") or isinstance(values, (str, Mapping)):
        raise TypeError(f"{name} is {values!r}: give {_EXAMPLES[name]}.")
    listed = axes.listed(name, values)
    listed = axes.spread(listed) if name == "prompts" else listed
    for value in listed:
        if listed.count(value) > 1:
            raise ValueError(
                f"{name} has {value!r} {listed.count(value)} times: a pair that is counted twice "
                "proves nothing. Give each once."
            )
    return listed


def _check_names(given: Iterable[str]) -> None:
    check_names(name for name in given if name not in LOADING)


def _cell(
    side: Side, shared: Mapping[str, Any], prompt: str | None, seed: int, calls: int | None
) -> Cell:
    """One picture's settings: what is shared, and on it what its side says."""
    own: dict[str, Any]
    if isinstance(side, Settings):
        usual = Settings("usual").to_dict()
        own = {
            name: value
            for name, value in side.to_dict().items()
            if value != usual[name] or name == "prompt"
        }
        own.pop("seed", None)  # a sample's has one
    elif isinstance(side, str):
        own = {"prompt": side}
    elif isinstance(side, Mapping):
        own = dict(side)
    else:
        raise TypeError(
            f"A side of the comparison is {side!r}: give its settings, such as "
            '{"scheduler": "DDIM"}, or its prompt.'
        )
    _check_names(own)
    if own.pop("seed", None) is not None:
        raise ValueError("Both have the same seeds, so none has one of its own: give seeds=.")
    if prompt is not None and "prompt" in own:
        if "{}" not in own["prompt"]:
            raise ValueError(
                f"There are prompts, and a prompt of its own, {own['prompt']!r}: leave prompts "
                'out, or write where they go, as in "{}, film still".'
            )
        own["prompt"] = own["prompt"].replace("{}", prompt)
    elif prompt is None and "prompt" not in own and "prompt" not in shared:
        raise ValueError('There is no prompt: give prompts, such as ["a fox", "an owl"].')
    given = {"prompt": prompt, **shared, **own, "seed": seed}
    given = {name: value for name, value in given.items() if value is not None}
    for name, value in given.items():
        if hasattr(value, "__iter__") and not isinstance(value, (str, Mapping)):
            raise TypeError(f"{name} is {value!r}: two are compared, each with one {name}.")
    return axes.cells(given, {}, calls)[0]


def _check_differ(plan: Plan) -> None:
    """Raises ValueError where the two of a pair are the same picture."""
    no_effect = {"guidance", "negative_prompt", "width", "height"}  # in some pipelines
    for i in range(0, len(plan), 2):
        one, other = (plan.settings[n].to_dict() for n in (i, i + 1))
        differing = {name for name in one if one[name] != other[name]}
        if plan.models[i] != plan.models[i + 1] or not differing <= no_effect:
            continue
        if not differing:
            raise ValueError(
                "Both sides come to the same settings, so their pictures would be the same: let "
                "them differ in at least one setting."
            )
        if plan.effects[i] == plan.effects[i + 1]:
            can = Capabilities.of(plan.pipeline(plan.models[i]))
            raise ValueError(can.why_same(sorted(differing)[0]))


def _sides(plan: Plan, drafts: Sequence[Cell], given: Sequence[Side]) -> tuple[str, str]:
    """The names of the two: the settings that they do not share, or the prompts as given."""
    values = [plan.settings[i].to_dict() for i in (0, 1)]
    prompts = [{plan.settings[i].prompt for i in range(side, len(plan), 2)} for side in (0, 1)]
    order = ["model", "dtype", "quantize", "scheduler", "steps"]
    order += [name for name in values[0] if name not in order]
    sides: list[list[str]] = [[], []]
    for name in order:
        if name in LOADING:
            both = [getattr(drafts[i], name) for i in (0, 1)]
        elif name == "prompt":
            both = [values[0][name], values[1][name]]
            if both[0] != both[1] and len(prompts[0]) > 1:
                both = [_prompt_of(side) for side in given]
        else:
            both = [values[0][name], values[1][name]]
        if both[0] == both[1]:
            continue
        for texts, value in zip(sides, both):
            texts.append(_label(name, value))
    return ", ".join(sides[0]), ", ".join(sides[1])


def _prompt_of(side: Side) -> str:
    """What a side puts around each prompt; {} where it adds nothing."""
    if isinstance(side, Settings):
        return side.prompt
    return side if isinstance(side, str) else side.get("prompt", "{}")


def _label(name: str, value: Any) -> str:
    if name == "model":
        return without_folder(str(value)) if value else "the pipeline"
    if name in LOADING:
        return str(value) if value else f"own {name}"
    return label(name, value)


def _names(plan: Plan, prompts: Sequence[str], seeds: Sequence[int]) -> list[str]:
    """Of each pair: what tells it from the others."""
    prompted = prompts if len(prompts) > 1 else [""]
    return [
        ", ".join(filter(None, [prompt, f"seed {plan.settings[0].but(seed=seed).seed}"]))
        for seed in seeds
        for prompt in prompted
    ]


def _lacks(making: Making, i: int) -> str:
    """Why a picture cannot be compared; empty where it can."""
    if i in making.errors:
        return f"failed ({making.errors[i]})"
    return "; ".join(why_black(making.made[i].facts))
