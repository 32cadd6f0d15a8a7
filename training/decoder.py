"""Stage 4: the decoder once more, alone: sharper pictures from the same latents.

    python -m training decoder --steps 1000

The encoder stays as it is, so the denoiser's latents keep their meaning, and the decoder can be
trained on while or after the denoiser is. `autoencoder.load` takes the result.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch

from training import autoencoder, run
from training.optimiser import Average, Optimiser
from training.run import DEVICE, ahead, autocast

START = 10**6  # the number of its first batch: other pictures than the autoencoder's


def train(
    steps: int = 1000, batch: int = 48, lr: float = 1.5e-3, noise: float = 0.35, until: int = 0
) -> None:
    """Trains, or goes on from the checkpoint."""
    if run.Run("decoder").done(steps):
        return
    vae = autoencoder.load().to(memory_format=torch.channels_last)
    decoder = vae.decoder
    optimiser = Optimiser(decoder, lr=lr, muon_lr=lr)
    test = autoencoder.scaled(autoencoder.crops_at(-5, 2 * batch))
    with torch.no_grad():
        test_latents = vae.encode(test).latents

    def batches(first: int) -> Iterator[torch.Tensor]:
        make = partial(autoencoder.crops_at, size=batch)
        return ahead(make, range(START + first, START + steps))

    def loss(step: int, given: torch.Tensor) -> run.Loss:
        x = autoencoder.scaled(given)
        with autocast():
            with torch.no_grad():
                z = vae.encode(x).latents
            amount = noise * torch.rand(batch, 1, 1, 1, device=DEVICE)
            y = decoder(z + amount * torch.randn_like(z)).float()
        return autoencoder.loss_of(y, x), {}

    @torch.no_grad()
    def look() -> dict[str, float]:
        with autocast():
            return {"psnr": autoencoder.psnr(decoder(test_latents).float(), test)}

    average = Average(decoder, horizon=max(8, min(200, steps / 8)))
    run.train("decoder", decoder, optimiser, average, steps, batches, loss, look=look, until=until)
