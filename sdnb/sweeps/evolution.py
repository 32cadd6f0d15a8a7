"""Evolution: one run, and the pictures that its denoiser predicted after some of its steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sdnb.generation import (
    denoiser_calls,
    init_image,
    model_lock,
    sample_facts,
    sampling,
    x0_preview,
)
from sdnb.records.sample import Sample
from sdnb.records.store import Store
from sdnb.settings import Settings
from sdnb.sweeps.execution import Kept, opened, tell_of_drive

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline


@dataclass(frozen=True)
class Evolution:
    """One run whose predicted x0 is looked at.

    Attributes:
        settings: resolved.
        pipe, start: the pipeline, and the picture to start from.
        steps: that the run makes.
    """

    settings: Settings
    pipe: DiffusionPipeline
    start: init_image.Start | None
    steps: int

    @classmethod
    def of(
        cls, settings: Settings, pipe: DiffusionPipeline, start: init_image.Start | None
    ) -> Evolution:
        """The run of resolved settings."""
        return cls(settings, pipe, start, denoiser_calls.start_steps(settings, pipe))

    def seen(self, places: list[int], kept: Kept) -> list[Sample]:
        """The pictures at these steps; from the store where it has all of them."""
        store = opened(kept)
        keys = self._keys(places) if store else {}
        samples = {p: store.get(key) if store else None for p, key in keys.items()}
        if not samples or None in samples.values():
            if keys:
                tell_of_drive(kept)
            samples = self._made(places)
            for place, key in keys.items():
                if store and (sample := samples[place]) and not sample.facts.get("broken"):
                    store.put(key, sample)
        return [sample for place in places if (sample := samples[place])]

    def _keys(self, places: list[int]) -> dict[int, str]:
        """The keys in the store; none where it is not known what the pictures are made by."""
        by = sample_facts.made_by(self.settings, self.pipe, self.start)
        return {p: Store.key(self.settings, by | {"step": p}) for p in places} if by else {}

    def _made(self, places: list[int]) -> dict[int, Sample | None]:
        ends = {p: denoiser_calls.scheduler_calls(self.settings, self.pipe, p) for p in places}
        latents: dict[int, Any] = {}

        def look(call: int, predicted: Any) -> None:
            latents.update((place, predicted) for place in places if ends[place] == call)

        samples: dict[int, Sample | None] = {}
        with model_lock.lock(self.pipe):
            whole = denoiser_calls.calls_of(self.settings, self.pipe)
            with denoiser_calls.progress([whole]) as bar:
                last = sampling.run(self.settings, self.pipe, bar.update, self.start, look)
            for place in places:
                image, calls = last.image, last.facts["denoiser_calls"]
                if place < self.steps:
                    seen = x0_preview.decoded(self.pipe, latents[place], image.size)
                    image = seen[0].convert("RGB")
                    if self.settings.keep and self.start is not None:
                        image = self.start.pasted(image)
                    calls = ends[place] * denoiser_calls.calls_a_time(self.settings, self.pipe)
                facts = last.facts | {"step": place, "denoiser_calls": calls}
                samples[place] = Sample(image, last.settings, facts)
        return samples
