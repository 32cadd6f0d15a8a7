"""Training the embedded model, with a few steps a stage: that all of it runs, and goes on."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
GO_ON = """
import torch
from training import denoiser

few = dict(steps=3, decay=2, batch=4, count=80)
denoiser.train(name="whole", **few)
for _ in range(3):
    denoiser.train(name="stopped", minutes=0, **few)
whole, stopped = (denoiser.load(name).state_dict() for name in ("whole", "stopped"))
assert all(torch.equal(whole[key], stopped[key]) for key in whole)
assert not torch.equal(whole["conv_in.weight"], denoiser.new().state_dict()["conv_in.weight"])
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """All stages from nothing, by the one command; the folder of what they made."""
    folder = tmp_path_factory.mktemp("training")
    run(
        folder,
        *["-m", "training", "all", "--share", "0.001", "--batch", "4", "--steps", "4"],
        *("--folder", folder / "emoji", "--table", folder / "scores.json"),
    )
    return folder


def run(folder, *words):
    environ = os.environ | {"SDNB_TRAINING": str(folder / "work"), "TORCH_COMPILE_DISABLE": "1"}
    subprocess.run([sys.executable, *words], cwd=ROOT, env=environ, check=True)


def test_one_command_trains_a_model_that_diffusers_loads_and_scores_it(trained):
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(trained / "emoji")
    image = pipe("a fox", num_inference_steps=2, output_type="np").images[0]
    assert image.shape == (128, 128, 3)
    tasks = json.loads((trained / "scores.json").read_text())["tasks"]
    assert len(tasks) == 9
    assert all(0 <= row["score"] <= 1 for row in tasks.values())


def test_a_denoiser_that_was_stopped_goes_on_to_the_same_weights(trained):
    run(trained, "-c", GO_ON)
