"""A contact sheet of prompts, drawn once and not chosen.

python -m training sheet --out sheet.png                    # 64 held-out prompts
python -m training sheet --article true --out article.png   # the article's five, 8 seeds each
"""

from __future__ import annotations

from itertools import islice
from random import Random

import torch
from diffusers import DiffusionPipeline, StableDiffusionPipeline
from PIL import Image

from sdnb import image_grid, schedulers
from sdnb.prompts import ARTICLE
from training import export, world
from training.run import DEVICE
from training.world import text_scenes


def prompts(count: int, seed: int, held: bool = True) -> list[str]:
    """Plain sentences of random scenes, held-out ones or training's."""
    scenes = islice(world.scenes(seed, held=held), count)
    return [world.sentence(Random(0), s, plain=True) for s in scenes]


def pictures(
    pipe: DiffusionPipeline, texts: list[str], steps: int = 50, guidance: float = 7.5,
    scheduler: str = "PNDM", negative: list[str] | None = None, first_seed: int = 0,
) -> list[Image.Image]:  # fmt: skip
    """One picture a prompt, seeds 0, 1, 2, …, in batches as large as the device likes."""
    pipe.scheduler = schedulers.make(scheduler, pipe.scheduler)
    pipe.set_progress_bar_config(disable=True)
    images: list[Image.Image] = []
    size = 16 if DEVICE == "cpu" else 128
    for i in range(0, len(texts), size):
        part = texts[i : i + size]
        seeds = [torch.Generator().manual_seed(first_seed + i + j) for j in range(len(part))]
        images += pipe(
            part, num_inference_steps=steps, guidance_scale=guidance, generator=seeds,
            negative_prompt=negative[i : i + size] if negative else None,
        ).images  # fmt: skip
    return images


def open_pipeline(name: str = "denoiser", folder: str = "") -> DiffusionPipeline:
    """The checkpoints' pipeline, or that of an exported folder: the shipped model's, say."""
    if folder:
        return StableDiffusionPipeline.from_pretrained(folder).to(DEVICE)
    return export.pipeline(name)


def main(
    out: str = "sheet.png", count: int = 64, seed: int = 77, name: str = "denoiser",
    folder: str = "", steps: int = 50, guidance: float = 7.5, article: bool = False,
    of: str = "model",
) -> None:  # fmt: skip
    """Writes the sheet: of the model, or of the world itself."""
    if of == "world":
        if article:
            scenes = [text_scenes.article(Random(i), p) for p in ARTICLE for i in range(8)]
        else:
            scenes = list(islice(world.scenes(seed), min(count, 40)))
        labels = [text for text in ARTICLE for _ in range(8)] if article else None
        labels = labels or [scene.caption for scene in scenes]
        image_grid(list(map(world.render, scenes)), cols=8, labels=labels).save(out)
        return
    texts = [text for text in ARTICLE for _ in range(8)] if article else prompts(count, seed)
    images = pictures(open_pipeline(name, folder), texts, steps, guidance)
    image_grid(images, cols=8, labels=texts).save(out)
