"""Stage 3: the denoiser, noise and a sentence -> latents.

    python -m training denoiser --steps 4400        # about two hours on two cores

UNet2DConditionModel on latents of 16 x 8 x 8. The text reaches it twice: by cross-attention, and
pooled into the time embedding (`addition_embed_type="text"`), which scales and shifts every
resnet. Text embeddings and latents are computed once and kept. The learning rate stays flat and
falls only over the last `decay` steps, so that a run can be prolonged from its checkpoint.
"""

from __future__ import annotations

import time
from itertools import islice

import torch
from diffusers import DDPMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnAddedKVProcessor

from training import autoencoder, text, world
from training.optimiser import Average, Optimiser
from training.run import DEVICE, WORK, Run, ahead, autocast

LEVELS = (160, 256)
PREDICTION = "v_prediction"


def new(levels: tuple[int, ...] = LEVELS) -> UNet2DConditionModel:
    """One resnet a level, attention to the text and to itself at every one of them."""
    n = len(levels)
    return UNet2DConditionModel(
        sample_size=world.CELLS,
        in_channels=autoencoder.CHANNELS,
        out_channels=autoencoder.CHANNELS,
        layers_per_block=1,
        block_out_channels=levels,
        down_block_types=("SimpleCrossAttnDownBlock2D",) * n,
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        up_block_types=("SimpleCrossAttnUpBlock2D",) * n,
        cross_attention_dim=text.WIDTH,
        attention_head_dim=32,
        resnet_time_scale_shift="scale_shift",
        addition_embed_type="text",
        addition_embed_type_num_heads=4,
    )


def new_scheduler(prediction: str = PREDICTION) -> DDPMScheduler:
    """Stable Diffusion's noise schedule."""
    return DDPMScheduler(
        num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012,
        beta_schedule="scaled_linear", prediction_type=prediction, clip_sample=False,
    )  # fmt: skip


@torch.inference_mode()
def examples(seed: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Latents (N, 16, 8, 8) and text embeddings (N, 77, 192) in bfloat16, kept on disk."""
    kept = WORK / f"examples-{seed}-{count}.pt"
    if kept.exists():
        return torch.load(kept, map_location=DEVICE)
    vae = autoencoder.load().to(memory_format=torch.channels_last)
    tokenizer, encoder = text.load()
    scenes = list(islice(world.scenes(seed), count))
    parts = [scenes[i : i + 250] for i in range(0, count, 250)]
    latents, texts = [], []
    for part, given in zip(parts, ahead(autoencoder.drawn, parts)):
        with autocast():
            latents.append(vae.encode(autoencoder.scaled(given)).latents.bfloat16())
            ids = text.tokens(tokenizer, [s.caption for s in part])
            texts.append(text.encode(encoder, ids).bfloat16())
    both = torch.cat(latents).contiguous(), torch.cat(texts)
    torch.save(both, kept)
    return both


def flat_then_down(step: int, steps: int, decay: int, warm: int = 100) -> float:
    """The learning rate's scale: warm-up, flat, then a line to nearly nothing."""
    if step < warm:
        return (step + 1) / warm
    return min(1.0, max(0.01, (steps - step) / max(1, decay)))


def train(
    steps: int = 4400, decay: int = 400, batch: int = 256, lr: float = 1e-3, muon_lr: float = 3e-3,
    seed: int = 12, count: int = 80_000, name: str = "denoiser", prediction: str = PREDICTION,
    minutes: float = 1e9,
) -> None:  # fmt: skip
    """Trains, or goes on from the checkpoint; stops after `steps` or `minutes`."""
    run = Run(name)
    latents, texts = examples(seed, count)
    tokenizer, encoder = text.load()
    with torch.inference_mode():
        nothing = text.encode(encoder, text.tokens(tokenizer, [""])).bfloat16()
    torch.manual_seed(3)
    model = new()
    model.set_attn_processor(AttnAddedKVProcessor())  # explicit: faster backward at these sizes
    model = model.to(DEVICE, memory_format=torch.channels_last).train()
    plain = ("conv_in", "conv_out", "time_embedding")
    optimiser = Optimiser(model, lr=lr, muon_lr=muon_lr, plain=plain)
    average = Average(model, horizon=250)
    scheduler = new_scheduler(prediction)
    first = 0
    if state := run.load():
        model.load_state_dict(state["model"])
        if "optimiser" in state:
            optimiser.load(state["optimiser"])
        average.values, first = [v.detach() for v in state["average"]], state["step"]
    compiled = torch.compile(model)
    started, recent = time.monotonic(), []
    for step in range(first, steps):
        torch.manual_seed(1000 + step)
        pick = torch.randint(0, len(latents), (batch,), device=DEVICE)
        x = latents[pick].float().contiguous(memory_format=torch.channels_last)
        left_out = torch.rand(batch, 1, 1, device=DEVICE) < 0.1
        context = torch.where(left_out, nothing, texts[pick]).float()
        noise = torch.randn_like(x)
        # one timestep from each of `batch` equal slices: less variance than independent draws
        slices = torch.randperm(batch, device=DEVICE) + torch.rand(batch, device=DEVICE)
        t = (slices * 1000 / batch).long()
        noisy = scheduler.add_noise(x, noise, t)
        target = noise if prediction == "epsilon" else scheduler.get_velocity(x, noise, t)
        with autocast():
            guess = compiled(noisy, t, context, return_dict=False)[0]
        error = (guess.float() - target).square().mean(dim=(1, 2, 3))
        if prediction == "epsilon":  # weighted as the same error of the velocity would be
            error = error / scheduler.alphas_cumprod[t]
        loss = error.mean()
        loss.backward()
        optimiser.step(flat_then_down(step, steps, decay))
        average.update(step)
        recent.append(loss.item())
        out_of_time = time.monotonic() - started > minutes * 60
        if step % 50 == 49 or out_of_time:
            high = float(error[t > 600].mean().detach())
            run.log(step=step + 1, loss=sum(recent) / len(recent), loss_high=high,
                    seconds=time.monotonic() - started)  # fmt: skip
            recent = []
        if run.due() or step == steps - 1 or out_of_time:
            run.save({"model": model.state_dict(), "optimiser": optimiser.state(),
                      "average": average.values, "step": step + 1})  # fmt: skip
        if out_of_time:
            return


def load(name: str = "denoiser") -> UNet2DConditionModel:
    """The denoiser of the last checkpoint, its weights averaged."""
    state = Run(name).load()
    if state is None:
        raise FileNotFoundError("No denoiser yet: run `python -m training denoiser` first.")
    model = new().to(DEVICE)
    for p, v in zip(model.parameters(), state["average"]):
        p.data.copy_(v)
    return model.eval()
