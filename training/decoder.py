"""Stage 4: the decoder once more, alone: sharper pictures from the same latents.

    python -m training decoder --steps 800        # 7 minutes on two cores

The encoder stays as it is, so the denoiser's latents keep their meaning, and the decoder can be
trained on while or after the denoiser is.
"""

from __future__ import annotations

import time
from functools import partial
from itertools import islice

import torch

from training import autoencoder, world
from training.optimiser import Average, Optimiser
from training.run import DEVICE, Run, ahead, autocast, cosine


def train(steps: int = 800, batch: int = 32, lr: float = 1.5e-3, noise: float = 0.35) -> None:
    """Trains, or goes on from the checkpoint; the autoencoder's checkpoint takes the result."""
    run = Run("decoder")
    vae = autoencoder.load().to(memory_format=torch.channels_last)
    decoder = vae.decoder.train()
    optimiser = Optimiser(decoder, lr=lr, muon_lr=lr)
    average = Average(decoder, horizon=200)
    first = 0
    if state := run.load():
        decoder.load_state_dict(state["decoder"])
        optimiser.load(state["optimiser"])
        average.values, first = state["average"], state["step"]
    test = autoencoder.scaled(autoencoder.drawn(islice(world.scenes(5), 2 * batch)))
    with torch.no_grad():
        test_latents = vae.encode(test).latents
    started = time.monotonic()
    start = 10**6
    numbers = range(start + first, start + steps)
    batches = ahead(partial(autoencoder.batch_at, size=batch), numbers)
    for step, given in enumerate(batches, first):
        torch.manual_seed(start + step)
        x = autoencoder.scaled(given)
        with autocast():
            with torch.no_grad():
                z = vae.encode(x).latents
            amount = noise * torch.rand(batch, 1, 1, 1, device=DEVICE)
            z = z + amount * torch.randn_like(z)
            y = decoder(z).float()
        loss = autoencoder.loss_of(y, x)
        loss.backward()
        optimiser.step(cosine(step, steps))
        average.update(step)
        if step % 50 == 0 or step == steps - 1:
            with torch.no_grad(), autocast():
                quality = autoencoder.psnr(decoder(test_latents).float(), test)
            run.log(step=step, loss=loss.item(), psnr=quality, seconds=time.monotonic() - started)
        if run.due() or step == steps - 1:
            run.save({"decoder": decoder.state_dict(), "optimiser": optimiser.state(),
                      "average": average.values, "step": step + 1})  # fmt: skip
    average.apply_to(decoder)
    whole = Run("autoencoder")
    whole.save({**(whole.load() or {}), "vae": vae.state_dict()})
