"""Stage 1: the autoencoder, pictures <-> latents of 16 x 16 x 16 (16 times smaller a side).

    python -m training autoencoder --steps 2000

It learns on parts of 128 x 128, half of them around objects. The latents are normalised as they
are made (batch normalisation without weights, folded into the last convolution at the end), so
each channel has zero mean and unit variance and the denoiser needs no scaling factor. Noise on
the latents teaches the decoder to draw a known thing from nearly its latents: what the denoiser
makes is always only nearly right.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from random import Random

import numpy as np
import torch
from diffusers import AutoencoderTiny
from PIL import Image
from torch import nn

from training import run, world
from training.optimiser import Average, Optimiser
from training.run import DEVICE, ahead, autocast

CHANNELS, WIDTH, CROP = 16, 64, 128
DOWN = 16


def new() -> AutoencoderTiny:
    """Five levels, 16 x down; few blocks where pixels are many, more where they are few."""
    return AutoencoderTiny(
        encoder_block_out_channels=(WIDTH,) * 5,
        decoder_block_out_channels=(WIDTH,) * 5,
        num_encoder_blocks=(0, 1, 1, 2, 2),
        num_decoder_blocks=(4, 4, 3, 1, 0),
        latent_channels=CHANNELS,
        scaling_factor=1.0,
    )


def pixels(images: Iterable[Image.Image]) -> torch.Tensor:
    """Pictures as bytes (B, 3, H, W), channels last, on the CPU."""
    array = np.stack([np.asarray(image) for image in images])
    return torch.from_numpy(array).permute(0, 3, 1, 2)  # NHWC memory, NCHW shape


def drawn(scenes: Iterable[world.Scene]) -> torch.Tensor:
    """What the scenes show, as bytes."""
    return pixels(map(world.render, scenes))


def scaled(x: torch.Tensor) -> torch.Tensor:
    """Bytes as numbers in [-1, 1], on the device."""
    return x.to(DEVICE).float().div(127.5).sub(1)


class Trained(nn.Module):
    """Encoder, normalisation, noise, decoder: what is trained as one."""

    def __init__(self) -> None:
        super().__init__()
        self.vae = new()
        self.norm = nn.BatchNorm2d(CHANNELS, affine=False, momentum=0.02)

    def forward(self, x: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        z = self.norm(self.vae.encoder(x).float())
        return self.vae.decoder(z + noise).float()

    @torch.no_grad()
    def folded(self) -> AutoencoderTiny:
        """The autoencoder with the normalisation folded into the encoder's last convolution."""
        vae = new().to(DEVICE)
        vae.load_state_dict(self.vae.state_dict())
        last = vae.encoder.layers[-1]
        scale = (self.norm.running_var + self.norm.eps).rsqrt()
        last.weight.mul_(scale[:, None, None, None])
        last.bias.sub_(self.norm.running_mean).mul_(scale)
        return vae.eval()


@torch.no_grad()
def calibrated(vae: AutoencoderTiny, x: torch.Tensor) -> AutoencoderTiny:
    """Another world's autoencoder with latents of zero mean and unit variance on these pictures."""
    z = vae.encoder(x)
    mean, deviation = z.mean((0, 2, 3)), z.std((0, 2, 3))
    into = vae.encoder.layers[-1]
    into.weight.div_(deviation[:, None, None, None])
    into.bias.sub_(mean).div_(deviation)
    out_of = vae.decoder.layers[0]
    out_of.bias.add_((out_of.weight.sum((2, 3)) * mean).sum(1))
    out_of.weight.mul_(deviation[:, None, None])
    return vae


def loss_of(y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Absolute and squared difference, and the difference of the gradients: edges count twice."""
    loss = (y - x).abs().mean() + (y - x).square().mean()
    for dim in (2, 3):
        loss = loss + (torch.diff(y, dim=dim) - torch.diff(x, dim=dim)).abs().mean()
    return loss


def crops_at(step: int, size: int) -> torch.Tensor:
    """The step's own parts of pictures, as bytes (size, 3, 128, 128): four of each picture."""
    rng = Random(10**6 + step)
    parts = []
    for scene in islice(world.scenes(10**6 + step), -(-size // 4)):
        picture = world.render(scene)
        for i in range(4):
            x, y = rng.randint(0, world.SIZE - CROP), rng.randint(0, world.SIZE - CROP)
            if i < 2 and scene.items:  # around an object
                mx, my = rng.choice(scene.items).middle
                x = round(min(max(mx - CROP / 2 + rng.uniform(-30, 30), 0), world.SIZE - CROP))
                y = round(min(max(my - CROP / 2 + rng.uniform(-30, 30), 0), world.SIZE - CROP))
            parts.append(picture.crop((x, y, x + CROP, y + CROP)))
    return pixels(parts[:size])


def psnr(y: torch.Tensor, x: torch.Tensor) -> float:
    """Peak signal-to-noise ratio in dB, of pictures in [-1, 1], mean over the batch."""
    mse = ((y.clamp(-1, 1) - x) / 2).square().mean(dim=(1, 2, 3))
    return float((-10 * mse.log10()).mean())


def train(
    steps: int = 2000, batch: int = 48, lr: float = 2e-3, noise: float = 0.35, start: str = "",
    until: int = 0,
) -> None:  # fmt: skip
    """Trains, or goes on from the checkpoint.

    Arguments:
        start: a folder with an `AutoencoderTiny` of the same shape to begin with: an earlier
            model's, which knows edges and colours already.
    """
    if run.Run("autoencoder").done(steps):
        return
    torch.manual_seed(0)
    model = Trained().to(DEVICE, memory_format=torch.channels_last)
    if start:
        earlier = AutoencoderTiny.from_pretrained(start).to(DEVICE)
        model.vae.load_state_dict(calibrated(earlier, scaled(crops_at(-6, batch))).state_dict())
    optimiser = Optimiser(model, lr=lr, muon_lr=lr)
    side = CROP // DOWN
    test = scaled(crops_at(-5, 2 * batch))

    def batches(first: int) -> Iterator[torch.Tensor]:
        return ahead(partial(crops_at, size=batch), range(first, steps))

    def loss(step: int, given: torch.Tensor) -> run.Loss:
        x = scaled(given)
        amount = noise * torch.rand(batch, 1, 1, 1, device=DEVICE)
        eps = amount * torch.randn(batch, CHANNELS, side, side, device=DEVICE)
        with autocast():
            y = model(x, eps)
        return loss_of(y, x), {}

    @torch.no_grad()
    def look() -> dict[str, float]:
        model.eval()
        with autocast():
            quality = psnr(model(test, torch.zeros((), device=DEVICE)), test)
            z = 0.3 * torch.randn(2 * batch, CHANNELS, side, side, device=DEVICE)
            noisy = psnr(model(test, z), test)
        model.train()
        return {"psnr": quality, "psnr_noisy": noisy}

    # the average's horizon is a part of the run: a longer one would lag behind a short run
    average = Average(model, horizon=max(8, min(300, steps / 8)))
    run.train(
        "autoencoder", model, optimiser, average, steps, batches, loss, look=look, until=until
    )


def load() -> AutoencoderTiny:
    """The autoencoder, averaged and folded; its decoder the sharper one, where there is one."""
    state = run.Run("autoencoder").load() or {}
    if "vae" in state:  # adopted from an exported folder
        vae = new()
        vae.load_state_dict(state["vae"])
        vae = vae.to(DEVICE).eval()
    else:
        vae = run.averaged("autoencoder", Trained()).folded()
    if decoder := run.Run("decoder").load():
        for p, v in zip(vae.decoder.parameters(), decoder["average"]):
            p.data.copy_(v)
    return vae
