"""Stage 3: the denoiser, noise and a sentence -> latents.

    python -m training denoiser --steps 6000

UNet2DConditionModel on latents of 16 x 16 x 16, three levels, attention at the two smaller ones;
the text comes by cross-attention, as in Stable Diffusion. Everything that may be otherwise is a
field of `Levers`. The learning rate stays flat and falls only over the last fifth, so that a run
can be prolonged from its checkpoint.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler, UNet2DConditionModel
from torch import nn

from training import autoencoder, run, text, world
from training.examples import Examples
from training.optimiser import Average, Optimiser
from training.run import DEVICE, WORK, autocast


@dataclass(frozen=True)
class Levers:
    """What the short runs compare.

    Arguments:
        levels: channels of the levels, from 16 x 16 latents down.
        prediction: "v_prediction" or "epsilon".
        pooled: whether the text also scales and shifts every resnet, pooled, with the time.
        weighting: "none", or "min-snr" with gamma 5 (https://arxiv.org/abs/2303.09556).
        sampling: timesteps "uniform", or "middle": logit-normal, fewer at both ends.
        head: the weight of an auxiliary head that reads the map of objects off the middle.
    """

    levels: str = "128,224,256"
    prediction: str = "v_prediction"
    pooled: bool = False
    weighting: str = "none"
    sampling: str = "uniform"
    head: float = 0.1


def new(levers: Levers) -> UNet2DConditionModel:
    """One resnet a level; attention to text and picture where latents are 8 x 8 and 4 x 4."""
    levels = tuple(int(width) for width in levers.levels.split(","))
    deep = len(levels) - 1
    more: dict[str, Any] = {}
    if levers.pooled:
        more = {"addition_embed_type": "text", "addition_embed_type_num_heads": 4,
                "resnet_time_scale_shift": "scale_shift"}  # fmt: skip
    return UNet2DConditionModel(
        sample_size=world.SIZE // autoencoder.DOWN,
        in_channels=autoencoder.CHANNELS,
        out_channels=autoencoder.CHANNELS,
        layers_per_block=1,
        block_out_channels=levels,
        down_block_types=("DownBlock2D", *("CrossAttnDownBlock2D",) * deep),
        up_block_types=(*("CrossAttnUpBlock2D",) * deep, "UpBlock2D"),
        cross_attention_dim=text.WIDTH,
        # diffusers' historical name: it is the number of heads; 32 channels each
        attention_head_dim=tuple(width // 32 for width in levels),
        **more,
    )


def new_scheduler(levers: Levers) -> DDPMScheduler:
    """Stable Diffusion's noise schedule."""
    return DDPMScheduler(
        num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012,
        beta_schedule="scaled_linear", prediction_type=levers.prediction, clip_sample=False,
    )  # fmt: skip


class Trained(nn.Module):
    """The UNet, and the head that reads the map of objects off its middle."""

    def __init__(self, levers: Levers):
        super().__init__()
        self.unet = new(levers)
        width = self.unet.config.block_out_channels[-1]
        self.head = nn.Sequential(
            nn.GroupNorm(32, width), nn.SiLU(), nn.Conv2d(width, 1 + len(world.NAMES), 1)
        )
        self.middle: torch.Tensor | None = None
        self.unet.mid_block.register_forward_hook(self._keep)

    def _keep(self, module: nn.Module, given: object, out: torch.Tensor) -> None:
        self.middle = out

    def forward(
        self, x: torch.Tensor, t: torch.Tensor, context: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The prediction (B, 16, 16, 16), and logits of the map (B, 1 + names, 4, 4)."""
        guess = self.unet(x, t, context, return_dict=False)[0]
        assert self.middle is not None
        return guess.float(), self.head(self.middle).float()


def timesteps(batch: int, sampling: str) -> torch.Tensor:
    """One from each of `batch` equal slices, in random order: less variance than free draws."""
    slices = torch.randperm(batch, device=DEVICE) + torch.rand(batch, device=DEVICE)
    u = (slices / batch).clamp(1e-4, 1 - 1e-4)
    if sampling == "middle":
        u = torch.sigmoid(1.2 * torch.special.ndtri(u))
    return (u * 1000).long().clamp(0, 999)


def weights(t: torch.Tensor, scheduler: DDPMScheduler, levers: Levers) -> torch.Tensor:
    """What each sample's squared error counts, (B,)."""
    alphas = scheduler.alphas_cumprod.to(t.device)[t]
    snr = alphas / (1 - alphas)
    if levers.weighting == "min-snr":
        capped = snr.clamp(max=5.0)
        return capped / (snr if levers.prediction == "epsilon" else snr + 1)
    # of the noise, as the same error of the velocity would count
    return 1 / alphas if levers.prediction == "epsilon" else torch.ones_like(alphas)


def map_loss(logits: torch.Tensor, maps: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """Cross-entropy to the shares of objects in each of the middle's places, (B,)."""
    shares = F.one_hot(maps.long(), logits.shape[1]).permute(0, 3, 1, 2).float()
    shares = F.adaptive_avg_pool2d(shares, logits.shape[-2:])
    lost = -(shares * logits.log_softmax(1)).sum(1).mean((1, 2))
    return lost * (1 - t / 1000)  # where nearly all is noise, nothing can be read


def flat_then_down(step: int, steps: int, warm: int = 100) -> float:
    """The learning rate's scale: warm-up, flat, and over the last fifth down to nearly nothing."""
    warm = min(warm, max(1, steps // 10))
    if step < warm:
        return (step + 1) / warm
    return min(1.0, max(0.01, (steps - step) / max(1, steps / 5)))


def train(
    steps: int = 6000, minutes: float = 0, batch: int = 256, lr: float = 1e-3,
    muon_lr: float = 3e-3, seed: int = 12, scenes: int = 60_000, objects: int = 0, places: int = 0,
    name: str = "denoiser",
    levels: str = Levers.levels, prediction: str = Levers.prediction, pooled: bool = Levers.pooled,
    weighting: str = Levers.weighting, sampling: str = Levers.sampling, head: float = Levers.head,
    until: int = 0,
) -> None:  # fmt: skip
    """Trains, or goes on from the checkpoint.

    Arguments:
        minutes: in place of `steps`, as many more as fit: this machine's speed is measured first.
        scenes: how many are held at a time; on a GPU new ones replace them all the while.
        objects, places: a smaller world: see `examples.small`.
    """
    options = locals()
    levers = Levers(**{field.name: options[field.name] for field in fields(Levers)})
    started = time.monotonic()
    plan_file = WORK / f"{name}.json"
    plan = json.loads(plan_file.read_text()) if plan_file.exists() else {}
    levers = Levers(**plan["levers"]) if "levers" in plan else levers
    behind = (run.Run(name).load() or {}).get("step", 0)
    if plan.get("steps") and behind >= plan["steps"]:
        return
    torch.manual_seed(3)
    model = Trained(levers).to(DEVICE, memory_format=torch.channels_last)
    scheduler = new_scheduler(levers)
    skip = behind if DEVICE == "cuda" else 0
    examples = Examples(seed, scenes, (objects, places), skip)
    with torch.inference_mode():
        nothing = examples.encoded_text(text.tokens(examples.tokenizer, [""]))
    # on a CPU it is worth 3 % here, and takes two minutes at each start
    compiled = torch.compile(model) if DEVICE == "cuda" else model

    def loss(step: int, _: object) -> run.Loss:
        pick = torch.randint(0, scenes, (batch,), device=DEVICE)
        x = examples.latents[pick].float().contiguous(memory_format=torch.channels_last)
        left_out = torch.rand(batch, 1, 1, device=DEVICE) < 0.1
        context = torch.where(left_out, nothing, examples.contexts(pick))
        noise = torch.randn_like(x)
        t = timesteps(batch, levers.sampling)
        noisy = scheduler.add_noise(x, noise, t)
        target = noise if levers.prediction == "epsilon" else scheduler.get_velocity(x, noise, t)
        with autocast():
            guess, logits = compiled(noisy, t, context)
        error = (guess - target).square().mean(dim=(1, 2, 3)) * weights(t, scheduler, levers)
        seen = map_loss(logits, examples.maps[pick], t)
        whole = error.mean() + levers.head * seen.mean()
        if step % 50 != 49:
            return whole, {}
        return whole, {"error": float(error.mean().detach()), "map": float(seen.mean().detach()),
                       "error_high": float(error[t > 600].mean().detach())}  # fmt: skip

    def fresh_optimiser() -> Optimiser:
        plain = ("conv_in", "conv_out", "time_embedding", "head")
        return Optimiser(model, lr=lr, muon_lr=muon_lr, plain=plain)

    if minutes:  # planned anew by every call: the machine, or its speed, may be another
        each = _seconds_a_step(loss, fresh_optimiser())
        more = int(max(60, minutes * 60 - (time.monotonic() - started)) / each)
        steps = behind + max(10, more)
        print(f"{batch / each:.0f} samples a second here: to step {steps}", flush=True)
    if minutes or not plan.get("steps"):
        plan = {"steps": steps, "levers": vars(levers)}
        plan_file.write_text(json.dumps(plan))
    average = Average(model, horizon=max(8, min(400, plan["steps"] / 8)))

    def batches(first: int) -> Iterator[object]:
        new_ones = examples.fresh() if DEVICE == "cuda" else iter(())
        for step in range(first, plan["steps"]):
            next(new_ones, None)
            yield step

    run.train(name, model, fresh_optimiser(), average, plan["steps"], batches, loss,
              rate=flat_then_down, until=until)  # fmt: skip


def _seconds_a_step(loss: Any, optimiser: Optimiser) -> float:
    """What a step takes here; what it learns is thrown away."""
    warm, timed = (6, 20) if DEVICE == "cuda" else (1, 2)
    started, taken = time.monotonic(), torch.zeros(())
    for i in range(warm + timed):
        if i == warm:
            float(taken)  # waits for the GPU
            started = time.monotonic()
        taken = loss(0, None)[0]
        taken.backward()
        optimiser.step(0.0)
    float(taken)
    return (time.monotonic() - started) / timed


def levers_of(name: str = "denoiser") -> Levers:
    """Those that a run was started with."""
    file = WORK / f"{name}.json"
    return Levers(**json.loads(file.read_text())["levers"]) if file.exists() else Levers()


def load(name: str = "denoiser") -> UNet2DConditionModel:
    """The denoiser of the last checkpoint, its weights averaged."""
    return run.averaged(name, Trained(levers_of(name))).unet
