"""Stage 4: the trained parts as a folder in diffusers' layout, in float16.

    python -m training export        # writes sdnb/emoji/, a few seconds

The model card (README.md) beside the weights is written by hand.
"""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import PNDMScheduler, StableDiffusionPipeline

from training import autoencoder, denoiser, text, world

FOLDER = Path(__file__).parent.parent / "sdnb" / "emoji"
MOST = 45_000_000  # bytes, all files together


def pipeline(name: str = "denoiser") -> StableDiffusionPipeline:
    """The last checkpoints as a pipeline, in float32, with Stable Diffusion v1-4's scheduler."""
    tokenizer, encoder = text.load()
    scheduler = PNDMScheduler.from_config(
        denoiser.new_scheduler().config, skip_prk_steps=True, set_alpha_to_one=False, steps_offset=1
    )
    return StableDiffusionPipeline(
        vae=autoencoder.load(), text_encoder=encoder, tokenizer=tokenizer,
        unet=denoiser.load(name), scheduler=scheduler, safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip


def main(name: str = "denoiser", folder: str = str(FOLDER)) -> None:
    """Writes weights, configs and the word list."""
    pipeline(name).to(torch.float16).save_pretrained(folder)
    Path(folder, "words.txt").write_text("\n".join(world.vocabulary()) + "\n")
    size = sum(f.stat().st_size for f in Path(folder).rglob("*") if f.is_file())
    print(f"{folder}: {size / 1e6:.1f} MB")
    if size > MOST:
        raise SystemExit(f"That is more than {MOST / 1e6:.0f} MB.")
