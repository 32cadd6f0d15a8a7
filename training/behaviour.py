"""How a model behaves: against steps, guidance, schedulers, seeds, strength and words.

Distances are mean absolute differences in grey levels (0 to 255). For any pipeline; what the judge
says is left out for one that was not trained on this world.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations, islice
from random import Random
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline, StableDiffusionImg2ImgPipeline
from PIL import Image

from training import judge, score, sheet, world
from training.world.sentences import WHERE

STEPS = (4, 8, 12, 24, 38, 50)  # of 50; of fewer, the same parts
GUIDANCE = (1.0, 3.0, 7.5, 15.0)
SCHEDULERS = ("PNDM", "DDIM", "LMS", "Euler a", "DPM++ 2M")
STRENGTHS = (0.2, 0.4, 0.6, 0.8, 1.0)
# what both this world and the first embedded model's have words for
SHARED = {
    "cat", "dog", "horse", "fox", "lion", "elephant", "owl", "duck", "penguin", "apple", "banana",
    "rose", "tree", "rocket", "bicycle", "automobile", "guitar", "crown", "robot", "astronaut",
    "house", "heart", "red square", "blue circle",
}  # fmt: skip


def distance(a: Image.Image, b: Image.Image) -> float:
    """Mean absolute difference, in grey levels."""
    return float(np.abs(np.asarray(a, np.float32) - np.asarray(b, np.float32)).mean())


def apart(images: Sequence[Image.Image]) -> float:
    """The mean distance of all pairs."""
    return float(np.mean([distance(a, b) for a, b in combinations(images, 2)]))


def mean_distance(some: Sequence[Image.Image], others: Sequence[Image.Image]) -> float:
    """The mean distance of each to its fellow."""
    return float(np.mean(list(map(distance, some, others))))


def scenes(count: int, shared: bool) -> list[world.Scene]:
    """Held-out scenes in no style; `shared` ones hold only what the first model knew too."""
    arrangements = {"single": 1, "count": 1, "beside": 1, "above": 1, "riding": 1}
    drawn = world.scenes(31, arrangements, held=True, style="photograph")
    kept = (
        replace(
            s,
            said=s.said
            - {"style"}
            - ({"place", "light"} if shared and s.place in world.PLACES else set()),
        )
        for s in drawn
        if not shared or {name for name, _ in s.kinds} <= SHARED
    )
    return list(islice(kept, count))


class Table:
    """Draws and measures; prints each row as it comes."""

    def __init__(self, pipe: DiffusionPipeline, count: int, judged: bool, most: int):
        self.pipe = pipe
        self.most = most
        self.rows: dict[str, dict[str, float]] = {}
        self.eye = judge.load() if judged else None
        self.scenes = scenes(count, shared=not judged)
        self.texts = [world.sentence(Random(0), s, plain=True) for s in self.scenes]

    def row(self, title: str, **values: float) -> None:
        self.rows[title] = values
        print(f"{title:34}", "  ".join(f"{k} {v:.3g}" for k, v in values.items()), flush=True)

    def obeyed(self, images: list[Image.Image]) -> dict[str, float]:
        """The share of what the sentences say that the judge finds right; nothing without one."""
        if self.eye is None:
            return {}
        right = [f for s, seen in zip(self.scenes, self.see(images)) for f in score.facts(s, seen)]
        return {"obeyed": float(np.mean(right))}

    def see(self, images: list[Image.Image]) -> list[judge.Seen]:
        assert self.eye is not None
        return score.looked(self.eye, score.tensor(images))

    def part(self, steps: int) -> int:
        """So many of fifty, as that part of the most."""
        return max(2, round(steps * self.most / 50))

    def draw(self, texts: list[str], **settings: Any) -> list[Image.Image]:
        return sheet.pictures(self.pipe, texts, **({"steps": self.most} | settings))

    def steps(self) -> None:
        drawn = {n: self.draw(self.texts, steps=n) for n in map(self.part, STEPS)}
        for n, images in drawn.items():
            far = mean_distance(images, drawn[self.most])
            self.row(f"{n} steps", from_50=far, **self.obeyed(images))

    def guidance(self, seeds: int) -> None:
        some = self.texts[: max(2, len(self.texts) // 4)]
        few = self.part(24)
        for g in GUIDANCE:
            images = self.draw(self.texts, guidance=g)
            again = [
                self.draw(some, steps=few, guidance=g, first_seed=100 * k) for k in range(seeds)
            ]
            variety = float(np.mean([apart(each) for each in zip(*again)]))
            self.row(f"guidance {g:g}", variety=variety, **self.obeyed(images))

    def schedulers(self) -> None:
        first: list[Image.Image] = []
        few = self.part(24)
        for each in SCHEDULERS:
            images = self.draw(self.texts, steps=few, scheduler=each)
            first = first or images
            far = mean_distance(images, first)
            self.row(f"{each}, {few} steps", from_pndm=far, **self.obeyed(images))

    def seeds(self, count: int) -> None:
        images = self.draw(["an astronaut riding a horse"] * count)
        self.row(f"{count} seeds of an astronaut riding", apart=apart(images))

    def strength(self, seeds: int) -> None:
        """From a fox to a cat, the same start for every strength."""
        start = self.draw(["a fox"] * seeds)
        parts = {k: v for k, v in self.pipe.components.items() if k != "image_encoder"}
        view = StableDiffusionImg2ImgPipeline(**parts, requires_safety_checker=False)
        view.set_progress_bar_config(disable=True)
        for strength in STRENGTHS:
            noise = [torch.Generator().manual_seed(i) for i in range(seeds)]
            images = view(
                ["a cat"] * seeds,
                image=start,
                strength=strength,
                num_inference_steps=self.most,
                generator=noise,
            ).images
            self.row(f"fox to cat, strength {strength}", moved=mean_distance(images, start))

    def words(self) -> None:
        """A style's word; and a negative prompt that names the place which was there without it."""
        styles = [
            list(world.STYLES)[1 + i % (len(world.STYLES) - 1)] for i in range(len(self.scenes))
        ]
        asked = [
            replace(s, style=style, said=s.said | {"style"})
            for s, style in zip(self.scenes, styles)
        ]
        texts = [world.sentence(Random(0), s, plain=True) for s in asked]
        seen = self.see(self.draw(texts))
        self.row(
            "a style word",
            obeyed=float(np.mean([s.style == style for s, style in zip(seen, styles)])),
        )
        bare = [
            world.sentence(Random(0), replace(s, said=frozenset()), plain=True) for s in self.scenes
        ]
        before = [s.place for s in self.see(self.draw(bare))]
        negative = [WHERE[p][0] if p in WHERE else p for p in before]
        after = [s.place for s in self.see(self.draw(bare, negative=negative))]
        self.row(
            "a negative prompt", obeyed=float(np.mean([a != b for a, b in zip(after, before)]))
        )


def table(
    pipe: DiffusionPipeline, count: int, judged: bool, steps: int = 50
) -> dict[str, dict[str, float]]:
    """All of it, for `count` prompts; rows by title. Fewer `steps` than 50 only to try it."""
    it = Table(pipe, count, judged, steps)
    many = count >= 8
    it.steps()
    it.guidance(4 if many else 2)
    it.schedulers()
    it.seeds(16 if many else 2)
    it.strength(8 if many else 1)
    if judged:
        it.words()
    return it.rows
