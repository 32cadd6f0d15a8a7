"""Stage 1: the autoencoder, pictures <-> latents of 16 x 8 x 8.

    python -m training autoencoder --steps 1600        # 16 minutes on two cores

The latents are normalised as they are made (batch normalisation without weights, folded into the
last convolution at the end), so each channel has zero mean and unit variance and the denoiser
needs no scaling factor. Noise on the latents teaches the decoder to draw a known thing from
nearly its latents: what the denoiser makes is always only nearly right.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial
from itertools import islice

import numpy as np
import torch
from diffusers import AutoencoderTiny
from PIL import Image
from torch import nn

from training import world
from training.optimiser import Average, Optimiser
from training.run import DEVICE, Run, ahead, autocast, cosine

CHANNELS, WIDTH = 16, 64


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
    """Pictures as bytes (B, 3, 128, 128), channels last, on the CPU."""
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


def loss_of(y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Absolute and squared difference, and the difference of the gradients: edges count twice."""
    loss = (y - x).abs().mean() + (y - x).square().mean()
    for dim in (2, 3):
        loss = loss + (torch.diff(y, dim=dim) - torch.diff(x, dim=dim)).abs().mean()
    return loss


def batch_at(step: int, size: int) -> torch.Tensor:
    """The step's own batch, as bytes: half crowded, half scenes as the denoiser meets them."""
    crowded = islice(world.packed(2 * step + 10**6), size // 2)
    plain = islice(world.scenes(2 * step + 1 + 10**6), size - size // 2)
    return drawn([*crowded, *plain])


def psnr(y: torch.Tensor, x: torch.Tensor) -> float:
    """Peak signal-to-noise ratio in dB, of pictures in [-1, 1], mean over the batch."""
    mse = ((y.clamp(-1, 1) - x) / 2).square().mean(dim=(1, 2, 3))
    return float((-10 * mse.log10()).mean())


def train(steps: int = 1600, batch: int = 32, lr: float = 2e-3, noise: float = 0.35) -> None:
    """Trains, or goes on from the checkpoint; the last one holds the folded autoencoder."""
    torch.manual_seed(0)
    run = Run("autoencoder")
    model = Trained().to(DEVICE, memory_format=torch.channels_last)
    optimiser = Optimiser(model, lr=lr, muon_lr=lr)
    average = Average(model, horizon=300)
    first = 0
    if state := run.load():
        if "model" not in state:
            return  # the adopted one
        model.load_state_dict(state["model"])
        optimiser.load(state["optimiser"])
        average.values, first = state["average"], state["step"]
    test = scaled(drawn(islice(world.scenes(5), 2 * batch)))
    started = time.monotonic()
    batches = ahead(partial(batch_at, size=batch), range(first, steps))
    for step, given in enumerate(batches, first):
        torch.manual_seed(step)
        x = scaled(given)
        amount = noise * torch.rand(batch, 1, 1, 1, device=DEVICE)
        eps = amount * torch.randn(batch, CHANNELS, 8, 8, device=DEVICE)
        with autocast():
            y = model(x, eps)
        loss = loss_of(y, x)
        loss.backward()
        optimiser.step(cosine(step, steps))
        average.update(step)
        if step % 50 == 0 or step == steps - 1:
            model.eval()
            with torch.no_grad(), autocast():
                quality = psnr(model(test, torch.zeros((), device=DEVICE)), test)
                z = 0.3 * torch.randn(2 * batch, CHANNELS, 8, 8, device=DEVICE)
                noisy = psnr(model(test, z), test)
            model.train()
            run.log(step=step, loss=loss.item(), psnr=quality, psnr_noisy=noisy,
                    seconds=time.monotonic() - started)  # fmt: skip
        if run.due() or step == steps - 1:
            shadow = Trained().to(DEVICE)
            shadow.load_state_dict(model.state_dict())
            average.apply_to(shadow)
            run.save({"model": model.state_dict(), "optimiser": optimiser.state(),
                      "average": average.values, "step": step + 1,
                      "vae": shadow.folded().state_dict()})  # fmt: skip


def load() -> AutoencoderTiny:
    """The autoencoder of the last checkpoint."""
    state = Run("autoencoder").load()
    if state is None:
        raise FileNotFoundError("No autoencoder yet: run `python -m training autoencoder` first.")
    vae = new().to(DEVICE)
    vae.load_state_dict(state["vae"])
    return vae.eval()
