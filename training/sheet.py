"""A contact sheet of prompts, drawn once and not chosen.

python -m training sheet --out sheet.png        # 64 held-out prompts
"""

from __future__ import annotations

from itertools import islice
from random import Random

import torch
from diffusers import DiffusionPipeline

from sdnb import image_grid, schedulers
from training import export, world
from training.run import DEVICE


def prompts(count: int, seed: int, held: bool = True) -> list[str]:
    """Plain sentences of random scenes, held-out ones or training's."""
    scenes = islice(world.scenes(seed, held=held), count)
    return [world.sentence(Random(0), s, plain=True) for s in scenes]


def pictures(
    pipe: DiffusionPipeline, texts: list[str], steps: int = 25, guidance: float = 5.0,
    scheduler: str = "DPM++ 2M",
):  # fmt: skip
    """One picture a prompt, seeds 0, 1, 2, …, in batches as large as the device likes."""
    pipe.scheduler = schedulers.make(scheduler, pipe.scheduler)
    pipe.set_progress_bar_config(disable=True)
    images = []
    size = 16 if DEVICE == "cpu" else 64
    for i in range(0, len(texts), size):
        part = texts[i : i + size]
        seeds = [torch.Generator().manual_seed(i + j) for j in range(len(part))]
        images += pipe(
            part, num_inference_steps=steps, guidance_scale=guidance, generator=seeds
        ).images
    return images


def main(
    out: str = "sheet.png", count: int = 64, seed: int = 77, name: str = "denoiser",
    steps: int = 25, guidance: float = 5.0,
) -> None:  # fmt: skip
    """Writes the sheet."""
    texts = prompts(count, seed)
    images = pictures(export.pipeline(name), texts, steps, guidance)
    image_grid(images, cols=8, labels=texts).save(out)
