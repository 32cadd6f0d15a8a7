"""Checkpoints from the weights in sdnb/emoji/, so that training can go on from them.

    python -m training adopt        # a second; then `python -m training denoiser …`

What a checkpoint holds besides the weights (the optimisers' momentum) starts anew.
"""

from __future__ import annotations

import shutil

from diffusers import StableDiffusionPipeline

from training.export import FOLDER
from training.run import WORK, Run


def main(folder: str = str(FOLDER)) -> None:
    """Writes the checkpoints of the first three stages, where there are none yet."""
    pipe = StableDiffusionPipeline.from_pretrained(folder)
    parts = {
        "autoencoder": {"vae": pipe.vae.state_dict()},
        "text": {"text": pipe.text_encoder.state_dict()},
        "denoiser": {
            "model": pipe.unet.state_dict(), "average": list(pipe.unet.parameters()), "step": 0,
        },
    }  # fmt: skip
    for name in parts:
        run = Run(name)
        if run.checkpoint.exists():
            raise SystemExit(f"{run.checkpoint} is there already: move it away first.")
    for name, state in parts.items():
        Run(name).save(state)
    shutil.copytree(f"{folder}/tokenizer", WORK / "tokenizer", dirs_exist_ok=True)
