"""Checkpoints from an exported folder, so that training can go on from its weights.

    python -m training adopt        # a second; then `python -m training denoiser …`

What a checkpoint holds besides the weights (the optimisers' momentum) starts anew.
"""

from __future__ import annotations

import json
import shutil

from diffusers import StableDiffusionPipeline

from training import denoiser
from training.export import FOLDER
from training.run import WORK, Run


def main(folder: str = str(FOLDER)) -> None:
    """Writes the checkpoints of the first three stages, where there are none yet."""
    names = ("autoencoder", "text", "denoiser")
    for name in names:
        if Run(name).checkpoint.exists():
            raise SystemExit(f"{Run(name).checkpoint} is there already: move it away first.")
    pipe = StableDiffusionPipeline.from_pretrained(folder)
    config = pipe.unet.config
    levers = denoiser.Levers(
        levels=",".join(map(str, config.block_out_channels)),
        prediction=pipe.scheduler.config.prediction_type,
        pooled=config.addition_embed_type == "text",
    )
    model = denoiser.Trained(levers)
    model.unet.load_state_dict(pipe.unet.state_dict())
    states = (
        {"vae": pipe.vae.state_dict()},
        {"text": pipe.text_encoder.state_dict()},
        {"model": model.state_dict(), "average": list(model.parameters()), "step": 0},
    )
    for name, state in zip(names, states):
        Run(name).save(state)
    # no steps are planned: the next `denoiser` plans its own
    (WORK / "denoiser.json").write_text(json.dumps({"steps": 0, "levers": vars(levers)}))
    shutil.copytree(f"{folder}/tokenizer", WORK / "tokenizer", dirs_exist_ok=True)
