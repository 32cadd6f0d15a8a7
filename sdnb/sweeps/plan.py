"""Plan: pictures to be made, checked before any of them is, counted, and set into a sheet."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Union

from PIL import Image

from sdnb.display.distance import difference
from sdnb.display.live_sheet import Live
from sdnb.generation import denoiser_calls, init_image, model_lock, sample_facts, sampling
from sdnb.models import cache
from sdnb.models.build import Request
from sdnb.models.capabilities import Capabilities
from sdnb.records.sample import Sample
from sdnb.records.sheet import Sheet
from sdnb.settings import Settings, draw_seed, rounded
from sdnb.sweeps import ray_engine
from sdnb.sweeps.axes import Cell
from sdnb.sweeps.batching import DENOISER, MOST
from sdnb.sweeps.execution import Kept, Making

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

# what `cache.get` takes, a name or a whole request; or a pipeline that is held
Model = Union[str, Request, "DiffusionPipeline"]


@dataclass(frozen=True)
class Plan:
    """Pictures to be made, checked and with all that the model decides filled in.

    Attributes:
        settings: of each picture, row by row.
        models: of each picture: a pipeline, or the name of a model that is loaded for its
            pictures, so that models that each fit into the memory alone can be compared.
        counts: denoiser calls of each picture.
        start: the picture that all of them start from, if they do.
        rows, cols, row_labels, col_labels, page_labels, title: of the sheet.
        full: for each picture the index of the one that is like it in full precision; none where
            precision is not compared.
        known: what decides the pictures of named models besides their settings, as it was when
            they were checked: (model, scheduler) -> what `sample_facts.made_by` gives.
        effects: of each picture: equal ones give equal pictures of the same model.
    """

    settings: Sequence[Settings]
    models: Sequence[Model] = field(repr=False)
    counts: Sequence[int] = field(repr=False)
    start: init_image.Start | None = None
    rows: int = 1
    cols: int = 1
    row_labels: Sequence[str] = ()
    col_labels: Sequence[str] = ()
    page_labels: Sequence[str] = ()
    title: str = ""
    full: Sequence[int] = field(default=(), repr=False)
    known: Mapping[tuple[Model, str | None], dict[str, Any] | None] = field(
        default_factory=dict, repr=False
    )
    effects: Sequence[tuple[Any, ...]] = field(default=(), repr=False)

    @classmethod
    def of(
        cls, drafts: list[Cell], pipe: DiffusionPipeline | None, start: init_image.Start | None
    ) -> Plan:
        """Resolves drafts on their models; a seed that none gives is drawn once for all.

        Models that are named are loaded one after another, here to be checked and again to run:
        those for which the memory is too small at once are read from the disk twice.
        """
        shared = draw_seed()
        if pipe is not None and all(cell.model for cell in drafts):
            raise ValueError("Give pipe or model, not both.")
        names = {name: cache.locate(name) for cell in drafts if (name := cell.model)}
        precise = any(cell.dtype or cell.quantize for cell in drafts)
        own = None if all(cell.model for cell in drafts) else cache.current(pipe)
        models: list[Model] = [names[c.model] if c.model else own for c in drafts]
        if precise:
            models = [
                cache.variant_of(model, cell.dtype, cell.quantize)
                for model, cell in zip(models, drafts)
            ]
        settings: dict[int, Settings] = {}
        counts: dict[int, int] = {}
        effects: dict[int, tuple[Any, ...]] = {}
        known: dict[tuple[Model, str | None], dict[str, Any] | None] = {}
        for model in dict.fromkeys(models):
            mine = {i: drafts[i].settings for i, each in enumerate(models) if each == model}
            settings |= _resolved(model, mine, start, shared, counts, known, effects)
        places = range(len(drafts))
        return cls(
            [settings[i] for i in places],
            models,
            [counts[i] for i in places],
            start,
            known=known,
            effects=[effects[i] for i in places],
            full=_full(drafts, models) if precise else (),
        )

    def pipeline(self, model: Model) -> DiffusionPipeline:
        """The pipeline that makes a model's pictures; loaded where it is not in memory."""
        return _pipeline(model, self.start)

    @property
    def differing(self) -> dict[str, list[Any]]:
        """The settings that not all pictures share, each with its values."""
        values = [settings.to_dict() for settings in self.settings]
        columns = {name: [each[name] for each in values] for name in values[0]}
        return {name: column for name, column in columns.items() if len(set(column)) > 1}

    def check_axes(self, drafts: Sequence[Cell], axes: Mapping[str, list[Any]]) -> None:
        """Raises ValueError for a setting whose values all give the same picture.

        Arguments:
            drafts: of each picture, as they were asked for.
            axes: settings that differ, each with its values.
        """
        for name in axes:
            if name not in ("guidance", "negative_prompt", "width", "height"):
                continue  # the others always reach the pipeline, or were refused
            seen: dict[Any, set[Any]] = {}
            asked: dict[Any, set[Any]] = {}
            for draft, effect in zip(drafts, self.effects):
                others = draft.settings.to_dict()
                value = others.pop(name)
                key = draft.model, *others.values()
                asked.setdefault(key, set()).add(value)
                seen.setdefault(key, set()).add(effect)
            if all(len(values) > 1 for values in asked.values()) and all(
                len(effects) == 1 for effects in seen.values()
            ):
                raise ValueError(Capabilities.of(self.pipeline(self.models[0])).why_same(name))

    @property
    def calls(self) -> int:
        """Denoiser calls of all pictures, one by one."""
        return sum(self.counts)

    @property
    def merged_calls(self) -> int:
        """Denoiser calls that are left where all that can be merged is, 16 at most."""
        runs: dict[tuple[Any, ...], list[int]] = {}
        for settings, model, calls in zip(self.settings, self.models, self.counts):
            group = (model, settings.width, settings.height)
            runs.setdefault(group, []).append(calls)
        return sum(max(*calls, math.ceil(sum(calls) / MOST[DENOISER])) for calls in runs.values())

    def seconds(self) -> float:
        """An estimate for all pictures one by one: a short run of each model and size is timed."""
        return sum(self._seconds(model) for model in dict.fromkeys(self.models))

    def _seconds(self, model: Model) -> float:
        pipe = self.pipeline(model)
        can = Capabilities.of(pipe)
        took: dict[tuple[Any, ...], float] = {}
        total = 0.0
        for settings, each, calls in zip(self.settings, self.models, self.counts):
            if each != model:
                continue
            group = (settings.width, settings.height, can.guided(settings.guidance))
            if group not in took:
                short = settings.but(steps=max(2, math.ceil(2 / (settings.strength or 1))))
                with model_lock.lock(pipe):
                    sample = sampling.run(short, pipe, start=self.start)
                took[group] = sample.facts["seconds"] / sample.facts["denoiser_calls"]
            total += took[group] * calls
        return total

    def __len__(self) -> int:
        return len(self.settings)

    def __repr__(self) -> str:
        s = "s" * (len(self) != 1)
        return (
            f"Plan({len(self)} picture{s}, {self.calls} denoiser calls, "
            f"merged about {self.merged_calls})"
        )

    def run(
        self,
        store: Kept = True,
        batch: int | None = None,
        engine: str | ray_engine.Ray | None = None,
    ) -> Sheet:
        """Makes the pictures that the store does not have, and sets all into a sheet.

        Arguments:
            store: where pictures are looked for and kept: True for the usual place, a folder, a
                `Store`; False uses none.
            batch: pictures at once; None takes what fits into the memory.
            engine: "ray" or a `cluster.Ray` makes them on Ray's workers; None makes them here.

        Raises:
            the first error, where every picture failed; else a cell says what went wrong.
            ValueError: there is no such engine, or a pipeline is not as `load` made it and so
                cannot go to Ray's workers; before anything runs.
            ModuleNotFoundError: Ray is not installed.
        """
        with ray_engine.opened(engine) as remote:
            making = Making(self, store, remote)
            with (
                denoiser_calls.progress([self.counts[i] for i in making.todo]) as bar,
                Live(len(self), making.sheet) as live,
            ):
                if remote:
                    made = making.far(remote, batch, bar.update)
                else:
                    made = making.go_on(batch, bar.update)
                with contextlib.closing(made):  # a traceback would keep it, and the model's lock
                    for _ in made:
                        live.update()
        return making.finished()

    def made_by(self) -> list[dict[str, Any] | None]:
        """What besides the settings decides what each picture looks like; None: not known.

        A named model that had to leave the memory comes back as it was when it was checked.
        """
        found: dict[tuple[Model, str | None], dict[str, Any] | None] = {}
        for settings, model in zip(self.settings, self.models):
            key = model, settings.scheduler
            if key in found:
                continue
            if isinstance(model, (str, Request)) and not cache.is_loaded(model):
                found[key] = self.known[key]
            else:
                found[key] = sample_facts.made_by(settings, self.pipeline(model), self.start)
        return [found[model, s.scheduler] for s, model in zip(self.settings, self.models)]

    def _sheet(
        self, made: dict[int, Sample], errors: dict[int, Exception], alone: dict[int, str]
    ) -> Sheet:
        samples = [
            made[i] if i in made else _placeholder(settings, errors.get(i))
            for i, settings in enumerate(self.settings)
        ]
        reasons = dict.fromkeys(alone.values())
        note = f"made one by one: {'; '.join(reasons)}" if reasons and len(self) > 1 else ""
        return Sheet(
            samples, self.rows, self.cols, self.row_labels, self.col_labels, self.title,
            self.page_labels, note, self._distances(made),
        )  # fmt: skip

    def _distances(self, made: Mapping[int, Sample]) -> list[str]:
        """A text for each picture: how far it is from the one in full precision."""
        texts = []
        for i, full in enumerate(self.full):
            dtype = getattr(self.models[full], "dtype", "")
            name = "full precision" if dtype == "float32" else str(dtype)
            if i == full:
                texts.append(name)
            elif i in made and full in made:
                apart = difference(made[i].image, made[full].image)
                texts.append(f"{rounded(apart, 2)} of 255 from {name}")
            else:
                texts.append("")
        return texts


def _placeholder(settings: Settings, error: Exception | None) -> Sample:
    """A grey picture: one that failed, or is not made yet."""
    grey = Image.new("RGB", (settings.width or 512, settings.height or 512), "#d0d4d8")
    return Sample(grey, settings, {"error": str(error)} if error else {})


def _pipeline(model: Model, start: init_image.Start | None) -> DiffusionPipeline:
    there = cache.get(model) if isinstance(model, (str, Request)) else model
    return sampling.pipeline_for(there, start)


def _full(drafts: Sequence[Cell], models: Sequence[Any]) -> list[int]:
    """For each picture the one of its settings and model that is the most exact.

    Where the most exact is quantised, too, there is nothing to compare with.
    """
    exact = [(each.quantize is not None, each.dtype != "float32") for each in models]
    best: dict[Any, int] = {}
    for i, cell in enumerate(drafts):
        like = cell.settings, cell.model
        if like not in best or exact[i] < exact[best[like]]:
            best[like] = i
    found = [best[cell.settings, cell.model] for cell in drafts]
    alike = len({cell.loading[1:] for cell in drafts}) == 1
    return [] if alike or any(exact[i][0] for i in found) else found


def _resolved(
    model: Model,
    drafts: Mapping[int, Settings],
    start: init_image.Start | None,
    seed: int,
    counts: dict[int, int],
    known: dict[tuple[Model, str | None], dict[str, Any] | None],
    effects: dict[int, tuple[Any, ...]],
) -> dict[int, Settings]:
    """One model's settings; when this has returned, nothing here holds the model in memory."""
    pipe, resolved = _pipeline(model, start), {}
    for i, draft in drafts.items():
        draft = draft if draft.seed is not None else draft.but(seed=seed)
        settings = resolved[i] = sampling.resolve(draft, pipe, start)
        counts[i] = denoiser_calls.calls_of(settings, pipe)
        effects[i] = Capabilities.of(pipe).effect(settings)
        if isinstance(model, (str, Request)) and (model, settings.scheduler) not in known:
            known[model, settings.scheduler] = sample_facts.made_by(settings, pipe, start)
    return resolved
