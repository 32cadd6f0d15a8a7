"""Stage 5: the trained parts as a folder in diffusers' layout, in float16.

    python -m training export        # writes sdnb/emoji/, a few seconds

The model card (README.md) beside the weights is written by hand.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline

from training import autoencoder, denoiser, text, world

FOLDER = Path(__file__).parent.parent / "sdnb" / "emoji"
MOST = 45_000_000  # bytes, all files together


def pipeline(name: str = "denoiser") -> StableDiffusionPipeline:
    """The last checkpoints as a pipeline, in float32.

    Its own scheduler is DDIM: PNDM, Stable Diffusion v1's, breaks this model's pictures below
    about 40 steps at guidance 7.5, where DDIM has settled after 12.
    """
    tokenizer, encoder = text.load()
    config = denoiser.new_scheduler().config
    scheduler = DDIMScheduler.from_config(config, set_alpha_to_one=False, steps_offset=1)
    return StableDiffusionPipeline(
        vae=autoencoder.load(), text_encoder=encoder, tokenizer=tokenizer,
        unet=denoiser.load(name), scheduler=scheduler, safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip


def main(name: str = "denoiser", folder: str = str(FOLDER)) -> None:
    """Writes weights, configs and the word list."""
    pipeline(name).to(torch.float16).save_pretrained(folder)
    # AutoencoderTiny adds this to its config by itself, and warns where it finds it there
    _edit(Path(folder, "vae", "config.json"), block_out_channels=None)
    # transformers loads in the dtype that is named here, diffusers' parts in float32
    _edit(Path(folder, "text_encoder", "config.json"), dtype="float32")
    Path(folder, "words.txt").write_text("\n".join(world.vocabulary()) + "\n")
    size = sum(f.stat().st_size for f in Path(folder).rglob("*") if f.is_file())
    print(f"{folder}: {size / 1e6:.1f} MB")
    if size > MOST:
        raise SystemExit(f"That is more than {MOST / 1e6:.0f} MB.")


def _edit(config: Path, **changes: object) -> None:
    """Changes entries of a JSON file; None removes one."""
    values = json.loads(config.read_text()) | changes
    kept = {k: v for k, v in values.items() if k not in changes or v is not None}
    config.write_text(json.dumps(kept, indent=2) + "\n")
