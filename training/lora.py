"""LoRAs for the embedded model: styles that it does not know, learned in minutes on a CPU.

    python -m training lora --style sepia
    python -m training lora --style cyanotype --start sdnb/emoji/lora/sepia.safetensors --steps 200

The model draws pictures of sentences that it knows, a filter turns them into old photographs, and
the LoRA learns to draw these for the same sentences. So nothing is needed but the model itself, and
the same commands make the LoRAs of its successor.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from sdnb import emoji
from sdnb.models.lora_files import BUNDLED

# of each style two colours (RGB), between which its pictures lie
COLOURS = {
    "cyanotype": ((16, 42, 104), (226, 238, 252)),
    "sepia": ((58, 36, 22), (246, 226, 190)),
}
OBJECTS = (
    "fox", "cat", "dog", "horse", "lion", "elephant", "owl", "duck", "fish", "octopus", "butterfly",
    "mushroom", "pineapple", "cactus", "tree", "rocket", "bicycle", "automobile", "airplane",
    "sailboat", "helicopter", "locomotive", "guitar", "violin", "crown", "key", "robot",
    "astronaut", "balloon", "anchor", "camera", "house", "chair", "umbrella", "snowman", "turtle",
)  # fmt: skip
GROUNDS = ("", "", " on a white background", " on a red background", " on a yellow background",
           " on a green background", " on a black background", " on a pink background")  # fmt: skip
# every attention and resnet, and both ends, where colours are
LAYERS = ("to_q", "to_k", "to_v", "to_out.0", "add_k_proj", "add_v_proj", "conv1", "conv2",
          "conv_in", "conv_out")  # fmt: skip


def styled(image: Image.Image, style: str) -> Image.Image:
    """The picture as a photograph in one of `COLOURS`."""
    light = np.asarray(image.convert("L"), np.float32) / 255
    amount = np.clip((light - 0.05) * 1.1, 0, 1)[..., None]  # (H, W, 1)
    none, full = (np.array(colour, np.float32) for colour in COLOURS[style])
    return Image.fromarray((none * (1 - amount) + full * amount).round().astype(np.uint8))


def likeness(image: Image.Image, style: str) -> float:
    """How near a picture's colours are to a style's: 1 for those between its two, else less.

    That is 1 less the mean distance of its pixels to the line between the two, of a full level.
    """
    pixels = np.asarray(image.convert("RGB"), np.float32).reshape(-1, 3)
    none, full = (np.array(colour, np.float32) for colour in COLOURS[style])
    along = np.clip((pixels - none) @ (full - none) / np.square(full - none).sum(), 0, 1)
    nearest = none + along[:, None] * (full - none)
    return float(1 - np.sqrt(np.square(pixels - nearest).mean(1)).mean() / 255)


def sentences(seed: int) -> Iterator[str]:
    """Endless sentences of one or two objects."""
    draw = random.Random(seed)
    while True:
        first, second = draw.sample(OBJECTS, 2)
        ground = draw.choice(GROUNDS)
        article = "an" if first[0] in "aeiou" else "a"
        if draw.random() < 0.3:
            other = "an" if second[0] in "aeiou" else "a"
            yield f"{article} {first} next to {other} {second}{ground}"
        else:
            yield f"{article} {first}{ground}"


def train(
    style: str = "sepia", pictures: int = 256, steps: int = 260, batch: int = 16,
    rank: int = 4, lr: float = 2e-3,
    seed: int = 510, drawn_in: int = 12, model: str = str(emoji.FOLDER), out: str = str(BUNDLED),
    start: str = "",
) -> None:  # fmt: skip
    """Trains the LoRA, writes it, and prints how its effect grows with its weight.

    Arguments:
        style: one of `COLOURS`, and the file's name.
        pictures: that are learned from.
        drawn_in: steps of each of them.
        out: the folder of the file, which is in half precision.
        start: a LoRA to go on from, such as that of another style; empty begins anew.
    """
    import diffusers
    from peft import LoraConfig

    started = time.monotonic()
    torch.manual_seed(seed)
    pipe = diffusers.StableDiffusionPipeline.from_pretrained(model)
    pipe.set_progress_bar_config(disable=True)
    latents, texts = _examples(pipe, style, pictures, batch, seed, drawn_in)
    print(f"{pictures} pictures are drawn, {time.monotonic() - started:.0f} s", flush=True)
    unet = pipe.unet.requires_grad_(False)
    if start:
        pipe.load_lora_weights(start, adapter_name=style)
        for name, weight in unet.named_parameters():
            weight.requires_grad_("lora_" in name)
    else:
        given = {"r": rank, "lora_alpha": rank, "init_lora_weights": "gaussian"}
        unet.add_adapter(LoraConfig(target_modules=[*LAYERS], **given), style)
    weights = [p for p in unet.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=lr, weight_decay=1e-4)
    noise_schedule = diffusers.DDPMScheduler.from_config(pipe.scheduler.config)
    nothing = _encoded(pipe, [""])
    for step in range(steps):
        rate = min(1.0, (step + 1) / 20) * min(1.0, (steps - step) / (steps / 3))
        for group in optimiser.param_groups:
            group["lr"] = lr * rate
        pick = torch.randint(0, pictures, (batch,))
        given, noise = latents[pick], torch.randn(batch, *latents.shape[1:])
        left_out = torch.rand(batch, 1, 1) < 0.15  # so guidance keeps the style
        context = torch.where(left_out, nothing, texts[pick])
        t = torch.randint(0, 1000, (batch,))
        guess = unet(noise_schedule.add_noise(given, noise, t), t, context).sample
        target = noise_schedule.get_velocity(given, noise, t)
        if pipe.scheduler.config.prediction_type == "epsilon":
            target = noise
        loss = F.mse_loss(guess, target)
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        if step % 20 == 0:
            print(f"step {step}, loss {loss.item():.4f}, {time.monotonic() - started:.0f} s",
                  flush=True)  # fmt: skip
        if step % 50 == 49:  # what is stopped goes on with --start
            file = _saved(unet, style, Path(out))
    file = _saved(unet, style, Path(out))
    print(f"{file}: {file.stat().st_size / 1000:.0f} kB, {time.monotonic() - started:.0f} s")
    for weight, like, far in effect(str(file), style):
        print(f"weight {weight:g}: likeness {like:.3f}, {far:.1f} of 255 from weight 0")


def _saved(unet: Any, style: str, folder: Path) -> Path:
    """The LoRA's file, written in half precision and in diffusers' form."""
    import diffusers
    from peft.utils import get_peft_model_state_dict

    folder.mkdir(parents=True, exist_ok=True)
    diffusers.StableDiffusionPipeline.save_lora_weights(
        folder,
        {name: w.half() for name, w in get_peft_model_state_dict(unet, adapter_name=style).items()},
        weight_name=f"{style}.safetensors",
    )
    return folder / f"{style}.safetensors"


def effect(
    file: str,
    style: str,
    weights: tuple[float, ...] = (0, 0.25, 0.5, 0.75, 1, 1.25),
    seeds: int = 4,
) -> list[tuple[float, float, float]]:
    """Of each weight the mean likeness to the style, and the mean distance to weight 0."""
    import sdnb

    pipe = sdnb.load("emoji", lora={"style": file})
    sheet = sdnb.compare(
        ["a fox", "a rocket on a red background"], seed=range(seeds), steps=20,
        lora={"style": list(weights)}, pipe=pipe, store=False,
    )  # fmt: skip
    of: dict[float, list[Any]] = {weight: [] for weight in weights}
    for sample in sheet.samples:
        of[(sample.settings.lora or {}).get("style", 0.0)].append(sample.image)
    plain = [np.asarray(image, np.float32) for image in of[weights[0]]]

    def far(images: list[Image.Image]) -> float:
        return float(np.mean([np.abs(np.asarray(i) - p).mean() for i, p in zip(images, plain)]))

    return [
        (weight, float(np.mean([likeness(image, style) for image in images])), far(images))
        for weight, images in of.items()
    ]


@torch.no_grad()
def _examples(
    pipe: Any, style: str, pictures: int, batch: int, seed: int, steps: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Latents of pictures in the style, and the embeddings of their sentences."""
    stream = sentences(seed)
    latents, texts = [], []
    for first in range(0, pictures, batch):
        words = [next(stream) for _ in range(min(batch, pictures - first))]
        generators = [torch.Generator().manual_seed(seed + first + i) for i in range(len(words))]
        images = pipe(
            words, num_inference_steps=steps, guidance_scale=5, generator=generators
        ).images
        drawn = np.stack([np.asarray(styled(image, style), np.float32) for image in images])
        given = torch.from_numpy(drawn).permute(0, 3, 1, 2) / 127.5 - 1  # (B, 3, H, W)
        latents.append(pipe.vae.encode(given).latents * pipe.vae.config.scaling_factor)
        texts.append(_encoded(pipe, words))
    return torch.cat(latents), torch.cat(texts)


@torch.no_grad()
def _encoded(pipe: Any, words: list[str]) -> torch.Tensor:
    return pipe.encode_prompt(words, "cpu", 1, do_classifier_free_guidance=False)[0]
