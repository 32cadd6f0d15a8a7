"""Stage 6: the judge, a small detector that says what a picture shows and where.

    python -m training judge --steps 480        # 5 minutes on two cores

It is trained on rendered scenes, half of them through the autoencoder, blurred and with noise;
it never sees what the denoiser draws. Like CenterNet (https://arxiv.org/abs/1904.07850) it gives,
for each place of a 16 x 16 grid (8 pixels), how likely an object's centre is there, and which.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from itertools import islice

import torch
import torch.nn.functional as F
from torch import nn

from training import autoencoder, world
from training.optimiser import Optimiser
from training.run import DEVICE, Run, ahead, autocast, cosine

GRID = 16
COLORS = [*world.BACKGROUNDS, *(c for c in dict.fromkeys(world.UNNAMED) if c != (255, 255, 255))]


@dataclass(frozen=True)
class Found:
    """An object that the judge sees; x and y in pixels, of its centre."""

    name: str
    x: float
    y: float


class Judge(nn.Module):
    """Pictures (B, 3, 128, 128) -> what is where.

    Gives centres (B, 16, 16), names (B, 98, 16, 16) and background (B, 12), all as logits.
    """

    def __init__(self, width: int = 96):
        super().__init__()

        def block(a: int, b: int, stride: int = 1) -> nn.Module:
            return nn.Sequential(
                nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU()
            )

        self.down = nn.Sequential(
            block(3, 32, 2), block(32, 64, 2), block(64, width, 2), block(width, width)
        )
        self.wide = nn.Sequential(
            block(width, width, 2), block(width, 2 * width), block(2 * width, 2 * width),
            nn.Upsample(scale_factor=2),
        )  # fmt: skip
        self.join = nn.Sequential(block(3 * width, 2 * width), block(2 * width, 2 * width))
        self.centre = nn.Conv2d(2 * width, 1, 3, padding=1)
        self.name = nn.Conv2d(2 * width, len(world.NAMES), 1)
        self.color = nn.Linear(width, len(COLORS))
        nn.init.constant_(self.centre.bias, -4.0)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        near = self.down(x)
        return self.join(torch.cat([near, self.wide(near)], 1))  # (B, 192, 16, 16)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        near = self.down(x)
        all_ = self.join(torch.cat([near, self.wide(near)], 1))
        edge = torch.cat([near[:, :, 0], near[:, :, -1], near[:, :, :, 0], near[:, :, :, -1]], 2)
        return self.centre(all_)[:, 0], self.name(all_), self.color(edge.mean(2))

    @torch.no_grad()
    def look(self, pictures: torch.Tensor) -> list[tuple[list[Found], str]]:
        """What each picture shows: objects, and the background's name ("" for unnamed tints)."""
        centres, names, colors = self(pictures)
        heat = centres.sigmoid()
        peak = (heat == F.max_pool2d(heat[:, None], 3, 1, 1)[:, 0]) & (heat > 0.4)
        seen = []
        for i in range(len(pictures)):
            found = [
                Found(world.NAMES[int(names[i, :, y, x].argmax())], 8.0 * x, 8.0 * y)
                for y, x in peak[i].nonzero().tolist()
            ]
            color = COLORS[int(colors[i].argmax())]
            seen.append((found, color if isinstance(color, str) else ""))
        return seen


def truth(scenes: list[world.Scene]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Centres (B, 16, 16), names (B, 16, 16, -1 where none), backgrounds (B)."""
    centres = torch.zeros(len(scenes), GRID, GRID)
    names = torch.full((len(scenes), GRID, GRID), -1)
    colors = torch.zeros(len(scenes), dtype=torch.long)
    for i, scene in enumerate(scenes):
        for item in scene.items:
            y, x = 2 * item.y + item.side, 2 * item.x + item.side
            centres[i, y, x] = 1
            names[i, y, x] = world.NAMES.index(item.name)
        named = scene.background or ("white" if scene.rgb == (255, 255, 255) else scene.rgb)
        colors[i] = COLORS.index(named)
    return centres, names, colors


def batch_at(step: int, size: int) -> tuple[torch.Tensor, ...]:
    """The step's own pictures, as bytes, and what `truth` says of them."""
    scenes = list(islice(world.scenes(10**7 + step), size))
    return autoencoder.drawn(scenes), *truth(scenes)


def worn(x: torch.Tensor, vae: nn.Module) -> torch.Tensor:
    """The pictures as a generator might make them: half through the autoencoder, blur, noise."""
    half = len(x) // 2
    with torch.no_grad(), autocast():
        z = vae.encode(x[:half]).latents
        z = z + torch.rand(half, 1, 1, 1, device=DEVICE) * 0.5 * torch.randn_like(z)
        x = torch.cat([vae.decode(z).sample.float(), x[half:]])
    soft = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
    each = len(x), 1, 1, 1
    mix = torch.rand(each, device=DEVICE) * (torch.rand(each, device=DEVICE) < 0.5)
    x = x + mix * (soft - x)
    return (x + 0.1 * torch.rand(each, device=DEVICE) * torch.randn_like(x)).clamp(-1, 1)


def train(steps: int = 480, batch: int = 64, lr: float = 2e-3) -> None:
    """Trains, and goes on from the checkpoint."""
    torch.manual_seed(4)
    run = Run("judge")
    vae = autoencoder.load().to(memory_format=torch.channels_last)
    model = Judge().to(DEVICE, memory_format=torch.channels_last)
    optimiser = Optimiser(model, lr=lr, muon_lr=lr, plain=("centre", "name", "color"))
    first = 0
    if state := run.load():
        model.load_state_dict(state["model"])
        optimiser.load(state["optimiser"])
        first = state["step"]
    started = time.monotonic()
    batches = ahead(partial(batch_at, size=batch), range(first, steps))
    for step, (given, *truths) in enumerate(batches, first):
        torch.manual_seed(step)
        centres, names, colors = (each.to(DEVICE) for each in truths)
        x = worn(autoencoder.scaled(given), vae)
        with autocast():
            heat, logits, color = model(x)
        heat, logits, color = heat.float(), logits.float(), color.float()
        # focal loss: nearly all places hold no centre
        p = heat.sigmoid()
        off = (1 - p) * centres + p * (1 - centres)
        found = F.binary_cross_entropy_with_logits(heat, centres, reduction="none") * off.square()
        loss = (
            found.sum() / centres.sum()
            + F.cross_entropy(logits, names, ignore_index=-1)
            + 0.3 * F.cross_entropy(color, colors)
        )
        loss.backward()
        optimiser.step(cosine(step, steps))
        if step % 50 == 0 or step == steps - 1:
            known = names >= 0
            right = (logits.argmax(1) == names)[known].float().mean()
            run.log(step=step, loss=loss.item(), named=float(right),
                    color=float((color.argmax(1) == colors).float().mean()),
                    seconds=time.monotonic() - started)  # fmt: skip
        if run.due() or step == steps - 1:
            run.save(
                {"model": model.state_dict(), "optimiser": optimiser.state(), "step": step + 1}
            )


def load() -> Judge:
    """The judge of the last checkpoint."""
    state = Run("judge").load()
    if state is None:
        raise FileNotFoundError("No judge yet: run `python -m training judge` first.")
    model = Judge().to(DEVICE)
    model.load_state_dict(state["model"])
    return model.eval()
