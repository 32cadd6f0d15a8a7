"""Stage 5: the trained parts as a folder in diffusers' layout, in float16.

    python -m training export        # writes sdnb/emoji/, a few seconds

The model card (README.md) beside the weights is written by hand.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from diffusers import PNDMScheduler, StableDiffusionPipeline

from training import autoencoder, denoiser, text, world

FOLDER = Path(__file__).parent.parent / "sdnb" / "emoji"
MOST = 64_000_000  # bytes, all files together


def pipeline(name: str = "denoiser") -> StableDiffusionPipeline:
    """The last checkpoints as a pipeline, in float32; PNDM as Stable Diffusion v1-4 has it."""
    tokenizer, encoder = text.load()
    config = denoiser.new_scheduler(denoiser.levers_of(name)).config
    scheduler = PNDMScheduler.from_config(
        config, skip_prk_steps=True, set_alpha_to_one=False, steps_offset=1
    )
    return StableDiffusionPipeline(
        vae=autoencoder.load(), text_encoder=encoder, tokenizer=tokenizer,
        unet=denoiser.load(name), scheduler=scheduler, safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip


def main(name: str = "denoiser", folder: str = str(FOLDER)) -> None:
    """Writes weights, configs and the word list.

    model_index.json gets a `_revision`, a digest of all weights, by which this model is told from
    every other one of the same name (diffusers warns of entries without the underscore).
    """
    pipe = pipeline(name).to(torch.float16)
    pipe.save_pretrained(folder)
    # AutoencoderTiny adds this to its config by itself, and warns where it finds it there
    edit(Path(folder, "vae", "config.json"), block_out_channels=None)
    # transformers loads in the dtype that is named here, diffusers' parts in float32
    edit(Path(folder, "text_encoder", "config.json"), dtype="float32")
    edit(Path(folder, "model_index.json"), _revision=revision(Path(folder)))
    Path(folder, "words.txt").write_text("\n".join(world.vocabulary()) + "\n")
    size = sum(f.stat().st_size for f in Path(folder).rglob("*") if f.is_file())
    print(f"{folder}: {size / 1e6:.1f} MB")
    if size > MOST:
        raise SystemExit(f"That is more than {MOST / 1e6:.0f} MB.")


def revision(folder: Path) -> str:
    """Twelve hexadecimal digits of all weights in a folder."""
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*.safetensors")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def edit(config: Path, **changes: object) -> None:
    """Changes entries of a JSON file; None removes one."""
    values = json.loads(config.read_text()) | changes
    kept = {k: v for k, v in values.items() if k not in changes or v is not None}
    config.write_text(json.dumps(kept, indent=2) + "\n")
