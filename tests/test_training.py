"""Training the embedded model, with a few steps a stage: that all of it runs, and goes on."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FEW = ["--batch", "4", "--steps", "4", "--share", "0.0001", "--count", "4", "--levels", "32,64,64"]
# narrower parts than the real ones: what is tried is the way, not the width
NARROW = """
import sys
from training import autoencoder, behaviour, score
autoencoder.WIDTH = 16
behaviour.GUIDANCE, behaviour.STRENGTHS = (1.0, 7.5), (0.5, 1.0)
score.TASKS = {k: score.TASKS[k] for k in ("single object", "position", "style")}
from training import denoiser, run
"""
ALL = NARROW + "from training.__main__ import main; main(sys.argv[1:])"
GO_ON = (
    NARROW
    + """
import torch

few = dict(steps=6, batch=4, count=8, levels="32,64,64")
denoiser.train(name="whole", **few)
for until in (2, 3, 0):
    denoiser.train(name="stopped", until=until, **few)
logs = [(run.WORK / f"{name}.jsonl").read_text().splitlines() for name in ("whole", "stopped")]
assert len(logs[0]) == 1 and len(logs[1]) == 3
whole, stopped = (denoiser.load(name).state_dict() for name in ("whole", "stopped"))
assert all(torch.equal(whole[key], stopped[key]) for key in whole)
denoiser.train(name="new", until=1, **few)
assert not torch.equal(whole["conv_in.weight"], denoiser.load("new").state_dict()["conv_in.weight"])
"""
)
OUT_OF_TIME = NARROW + "from training.__main__ import main; main(['all', '--minutes', '0'])"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """All stages from nothing, by the one command; the folder of what they made."""
    folder = tmp_path_factory.mktemp("training")
    made = ("--folder", folder / "emoji", "--table", folder / "scores.json")
    run(folder, "-c", ALL, "all", *FEW, "--prompts", "2", *made)
    return folder


def run(folder, *words):
    environ = os.environ | {
        "SDNB_TRAINING": str(folder / "work"), "SDNB_VARIANTS": "1", "TORCH_COMPILE_DISABLE": "1",
        "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, *map(str, words)], cwd=ROOT, env=environ, check=True, capture_output=True,
        text=True,
    )  # fmt: skip
    return done.stdout


def test_one_command_trains_a_model_that_diffusers_loads(trained):
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(trained / "emoji")
    image = pipe("a fox", num_inference_steps=2, output_type="np").images[0]
    assert image.shape == (256, 256, 3)
    assert type(pipe.scheduler).__name__ == "PNDMScheduler"
    assert len(json.loads((trained / "emoji" / "model_index.json").read_text())["_revision"]) == 12


def test_it_is_scored_by_both_tables(trained):
    scores = json.loads((trained / "scores.json").read_text())
    assert all(0 <= row["right"] <= row["prompts"] for row in scores["tasks"].values())
    assert all(low <= high for low, high in (r["interval"] for r in scores["tasks"].values()))
    rows = scores["behaviour"]
    assert rows["4 steps"]["from_50"] == 0 < rows["2 steps"]["from_50"]
    assert {"guidance 7.5", "a style word", "a negative prompt"} <= set(rows)
    assert any(title.startswith("fox to cat, strength") for title in rows)


def test_a_denoiser_that_was_stopped_goes_on_to_the_same_weights(trained):
    run(trained, "-c", GO_ON)


def test_without_time_it_stops_with_what_it_has_and_goes_on_at_the_next_call(tmp_path):
    said = run(tmp_path, "-c", OUT_OF_TIME)
    assert "The minutes are over in autoencoder" in said
    assert (tmp_path / "work" / "autoencoder.pt").exists()


def test_what_was_made_can_be_carried_in_pieces_and_trained_on(trained, tmp_path):
    run(trained, "-c", ALL, "pack", "--out", tmp_path / "pieces")
    pieces = tmp_path / "pieces"
    assert all(piece.stat().st_size <= 15_000_000 for piece in pieces.iterdir())
    run(tmp_path, "-c", ALL, "pack", "--open", pieces)
    run(tmp_path, "-c", ALL, "adopt", "--folder", tmp_path / "work" / "exported")
    assert {"autoencoder.pt", "text.pt", "denoiser.pt", "judge.pt"} <= {
        file.name for file in (tmp_path / "work").iterdir()
    }
