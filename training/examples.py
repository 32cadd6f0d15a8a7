"""What the denoiser learns from: scenes as latents, sentences as tokens, objects as maps.

On a CPU a fixed number of them is made once and kept on disk, so that a run that was stopped goes
on exactly. On a GPU the cores go on drawing while it trains, and new ones take the place of old.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import islice

import numpy as np
import torch

from training import autoencoder, text, world
from training.run import DEVICE, WORK, ahead, autocast

PART = 50  # scenes that one worker draws at a time, at most
Drawn = tuple[torch.Tensor, list[str], torch.Tensor]


def part_at(seed: int, size: int = PART, limits: tuple[int, int] = (0, 0)) -> Drawn:
    """Pictures as bytes, captions, maps (size, 16, 16) of scenes of this seed's own."""
    scenes = list(islice(small(world.scenes(seed), *limits), size))
    maps = torch.from_numpy(np.stack([world.object_map(s) for s in scenes]))
    return autoencoder.drawn(scenes), [s.caption for s in scenes], maps


def small(scenes: Iterator[world.Scene], objects: int, places: int) -> Iterator[world.Scene]:
    """Only scenes of the first so many objects and painted places; 0 for all of them."""
    names = {*FEW[:objects], *list(world.SHAPES)[:2]} if objects else set(world.NAMES)
    where = {*world.PLACES[:places], *world.PLAIN} if places else {*world.PLACES, *world.PLAIN}
    return (s for s in scenes if s.place in where and {name for name, _ in s.kinds} <= names)


# the objects of a small world, for short runs that compare
FEW = ["fox", "cat", "astronaut", "horse", "old man", "chess board", "border collie", "aviator cap",
       "elephant", "robot", "owl", "castle", "tree", "rocket", "guitar", "automobile", "balloon",
       "crown", "panda", "bicycle"]  # fmt: skip


class Examples:
    """Latents (N, 16, 16, 16) in bfloat16, token ids (N, 77) and maps (N, 16, 16), on the device.

    Arguments:
        seed: of the first scene; every fifty scenes have the next.
        count: how many are held at a time.
        limits: how many objects and places, (0, 0) for all: see `small`.
        skip: parts that an earlier call has drawn already (on a GPU).
    """

    def __init__(self, seed: int, count: int, limits: tuple[int, int] = (0, 0), skip: int = 0):
        self.seed, self.count, self.limits = seed * 10**7 + skip, count, limits
        self.part = min(PART, count)
        self.vae = autoencoder.load().to(memory_format=torch.channels_last)
        self.tokenizer, self.encoder = text.load()
        kept = WORK / f"examples-{seed}-{count}-{limits[0]}-{limits[1]}.pt"
        if kept.exists():
            self.latents, self.ids, self.maps = torch.load(kept, map_location=DEVICE)
        else:
            parts = [self.encoded(part) for part in self._drawn(range(-(-count // self.part)))]
            self.latents, self.ids, self.maps = (torch.cat(each)[:count] for each in zip(*parts))
        self.embeddings = None
        if DEVICE == "cpu":
            torch.save((self.latents, self.ids, self.maps), kept)
            # 40 KB each: a twentieth of each step's time is saved
            parts = [self.encoded_text(some).bfloat16() for some in self.ids.split(500)]
            self.embeddings = torch.cat(parts)

    def _drawn(self, numbers: range) -> Iterator[Drawn]:
        make = partial(part_at, size=self.part, limits=self.limits)
        return ahead(make, range(self.seed + numbers.start, self.seed + numbers.stop))

    @torch.inference_mode()
    def encoded(self, part: Drawn) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """A drawn part as latents, token ids and maps."""
        given, captions, maps = part
        with autocast():
            latents = [
                self.vae.encode(autoencoder.scaled(some)).latents for some in given.split(50)
            ]
        ids = text.tokens(self.tokenizer, captions).to(torch.int16)
        return torch.cat(latents).bfloat16().contiguous(), ids, maps.to(DEVICE)

    def fresh(self, every: int = 2) -> Iterator[None]:
        """Each step; every second one puts fifty new scenes in the place of the oldest.

        At ten steps a second that is 250 scenes, which a dozen cores draw with ease.
        """
        first = -(-self.count // self.part)
        drawn = self._drawn(range(first, 10**6))
        at = 0
        while True:
            for _ in range(every):
                yield
            part = self.encoded(next(drawn))
            rows = torch.arange(at, at + len(part[0])) % self.count
            for mine, new in zip((self.latents, self.ids, self.maps), part):
                mine[rows] = new
            at += len(part[0])

    def contexts(self, pick: torch.Tensor) -> torch.Tensor:
        """Text embeddings (B, 77, 256) of the examples with these numbers."""
        if self.embeddings is not None:
            return self.embeddings[pick].float()
        return self.encoded_text(self.ids[pick])

    @torch.no_grad()
    def encoded_text(self, ids: torch.Tensor) -> torch.Tensor:
        """Text embeddings (B, 77, 256) of token ids."""
        with autocast():
            return text.encode(self.encoder, ids.long()).float()
