"""Stage 6: the judge, which says what a picture shows: objects, place, light and style.

    python -m training judge --steps 1500

It is trained on rendered scenes, half of them through the autoencoder, blurred and with noise; it
never sees what the denoiser draws. Like CenterNet (https://arxiv.org/abs/1904.07850) it gives,
for each place of a 32 x 32 grid (8 pixels), how likely an object's middle is there, and which.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice

import torch
import torch.nn.functional as F
from torch import nn

from training import autoencoder, run, world
from training.optimiser import Average, Optimiser
from training.run import DEVICE, ahead, autocast

WIDTH = 128  # channels
CELL = 8  # pixels
GRID = world.SIZE // CELL
PLACES, LIGHTS, STYLES = [*world.PLACES, *world.PLAIN], list(world.LIGHTS), list(world.STYLES)


@dataclass(frozen=True)
class Found:
    """An object that the judge sees; x and y in pixels, of its middle."""

    name: str
    x: float
    y: float


@dataclass(frozen=True)
class Seen:
    """What a picture shows."""

    objects: tuple[Found, ...]
    place: str
    light: str
    style: str


class Judge(nn.Module):
    """Pictures (B, 3, 256, 256) -> what is where.

    Gives middles (B, 32, 32), names (B, names, 32, 32), places, lights and styles, all as logits.
    """

    def __init__(self) -> None:
        super().__init__()
        width = WIDTH

        def block(a: int, b: int, stride: int = 1) -> nn.Module:
            return nn.Sequential(
                nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU()
            )

        self.down = nn.Sequential(
            block(3, 32, 2), block(32, 64, 2), block(64, width, 2), block(width, width)
        )
        self.wide = nn.Sequential(
            block(width, width, 2), block(width, 2 * width, 2), block(2 * width, 2 * width),
            block(2 * width, 2 * width), nn.Upsample(scale_factor=4),
        )  # fmt: skip
        self.join = nn.Sequential(block(3 * width, 2 * width), block(2 * width, 2 * width))
        self.centre = nn.Conv2d(2 * width, 1, 3, padding=1)
        self.name = nn.Conv2d(2 * width, len(world.NAMES), 1)
        # colours near, shapes far, and how much of each: enough for places, lights and styles
        self.whole = nn.Linear(6 * width, len(PLACES) + len(LIGHTS) + len(STYLES))
        nn.init.constant_(self.centre.bias, -4.0)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        near = self.down(x)
        return self.join(torch.cat([near, self.wide(near)], 1))  # (B, 256, 32, 32)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        near = self.down(x)
        both = torch.cat([near, self.wide(near)], 1)
        joined = self.join(both)
        pooled = torch.cat([both.mean((2, 3)), both.amax((2, 3))], 1)
        whole = self.whole(pooled).split([len(PLACES), len(LIGHTS), len(STYLES)], 1)
        return self.centre(joined)[:, 0], self.name(joined), *whole

    @torch.no_grad()
    def look(self, pictures: torch.Tensor) -> list[Seen]:
        """What each picture shows."""
        centres, names, *whole = self(pictures)
        heat = centres.sigmoid()
        peak = (heat == F.max_pool2d(heat[:, None], 5, 1, 2)[:, 0]) & (heat > 0.4)
        best = names.argmax(1)
        kinds = [logits.argmax(1).tolist() for logits in whole]
        seen = []
        for i in range(len(pictures)):
            found = tuple(
                Found(world.NAMES[int(best[i, y, x])], CELL * (x + 0.5), CELL * (y + 0.5))
                for y, x in peak[i].nonzero().tolist()
            )
            place, light, style = (
                known[kind[i]] for known, kind in zip((PLACES, LIGHTS, STYLES), kinds)
            )
            seen.append(Seen(found, place, light, style))
        return seen


def truth(scenes: list[world.Scene]) -> tuple[torch.Tensor, ...]:
    """Middles (B, 32, 32), names (B, 32, 32, -1 where none), places, lights and styles (B)."""
    centres = torch.zeros(len(scenes), GRID, GRID)
    names = torch.full((len(scenes), GRID, GRID), -1)
    for i, scene in enumerate(scenes):
        for item in scene.items:
            x, y = (min(GRID - 1, max(0, int(v // CELL))) for v in item.middle)
            centres[i, y, x] = 1
            names[i, y, x] = world.NAMES.index(item.name)
    whole = [
        torch.tensor([known.index(getattr(s, each)) for s in scenes])
        for each, known in (("place", PLACES), ("light", LIGHTS), ("style", STYLES))
    ]
    return centres, names, *whole


def batch_at(step: int, size: int) -> tuple[torch.Tensor, ...]:
    """The step's own pictures, as bytes, and what `truth` says of them."""
    scenes = list(islice(world.scenes(3 * 10**6 + step), size))
    return autoencoder.drawn(scenes), *truth(scenes)


def worn(x: torch.Tensor, vae: nn.Module) -> torch.Tensor:
    """The pictures as a generator might make them: half through the autoencoder, blur, noise."""
    half = len(x) // 2
    with torch.no_grad(), autocast():
        z = vae.encode(x[:half]).latents
        z = z + torch.rand(half, 1, 1, 1, device=DEVICE) * 0.4 * torch.randn_like(z)
        x = torch.cat([vae.decode(z).sample.float(), x[half:]])
    soft = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
    each = len(x), 1, 1, 1
    mix = torch.rand(each, device=DEVICE) * (torch.rand(each, device=DEVICE) < 0.5)
    x = x + mix * (soft - x)
    return (x + 0.1 * torch.rand(each, device=DEVICE) * torch.randn_like(x)).clamp(-1, 1)


def train(steps: int = 1500, batch: int = 64, lr: float = 2e-3, until: int = 0) -> None:
    """Trains, or goes on from the checkpoint."""
    if run.Run("judge").done(steps):
        return
    torch.manual_seed(4)
    vae = autoencoder.load().to(memory_format=torch.channels_last)
    model = Judge().to(DEVICE, memory_format=torch.channels_last)
    optimiser = Optimiser(model, lr=lr, muon_lr=lr, plain=("centre", "name", "whole"))

    def batches(first: int) -> Iterator[tuple[torch.Tensor, ...]]:
        return ahead(partial(batch_at, size=batch), range(first, steps))

    def loss(step: int, given: tuple[torch.Tensor, ...]) -> run.Loss:
        pictures, *truths = given
        centres, names, *kinds = (each.to(DEVICE) for each in truths)
        x = worn(autoencoder.scaled(pictures), vae)
        with autocast():
            heat, logits, *whole = (out.float() for out in model(x))
        # focal loss: nearly all places hold no middle
        p = heat.sigmoid()
        off = (1 - p) * centres + p * (1 - centres)
        found = F.binary_cross_entropy_with_logits(heat, centres, reduction="none") * off.square()
        lost = found.sum() / centres.sum().clamp(min=1)
        lost = lost + F.cross_entropy(logits, names, ignore_index=-1)
        lost = lost + 0.3 * sum(F.cross_entropy(out, kind) for out, kind in zip(whole, kinds))
        if step % 50 != 49 and step != steps - 1:
            return lost, {}
        known = names >= 0
        values = {"named": float((logits.argmax(1) == names)[known].float().mean())}
        for each, out, kind in zip(("place", "light", "style"), whole, kinds):
            values[each] = float((out.argmax(1) == kind).float().mean())
        return lost, values

    average = Average(model, horizon=max(8, min(200, steps / 8)))
    run.train("judge", model, optimiser, average, steps, batches, loss, until=until)


def load() -> Judge:
    """The judge of the last checkpoint, its weights averaged."""
    return run.averaged("judge", Judge())
