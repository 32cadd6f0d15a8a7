"""Training the embedded model, with a few steps a stage: that all of it runs, and goes on."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# narrower parts than the real ones: what is tried is the way, not the width
NARROW = """
import sys
from pathlib import Path
from training import autoencoder, behaviour, judge, score
autoencoder.WIDTH, judge.WIDTH = 8, 32
behaviour.SCHEDULERS = ("PNDM", "DDIM")
behaviour.GUIDANCE, behaviour.STRENGTHS = (1.0, 7.5), (0.5, 1.0)
score.TASKS = {k: score.TASKS[k] for k in ("single object", "position", "style")}
from training import adopt, decoder, denoiser, pack, run
folder = Path(sys.argv[1])
"""
# all stages by the one command; the denoiser in one go and stopped twice; a clock that ran out;
# everything in pieces
MAKE = (
    NARROW
    + """
from training.__main__ import main

few = "--batch 4 --steps 4 --share 0.0001 --scenes 4 --count 4 --levels 32,32,32 --prompts 2"
main(f"all {few} --folder {folder / 'emoji'} --table {folder / 'scores.json'}".split())

small = dict(steps=6, batch=4, scenes=8, levels="32,32,32")
denoiser.train(name="whole", **small)
for until in (2, 3, 0):
    denoiser.train(name="stopped", until=until, **small)
denoiser.train(name="begun", until=1, **small)

pack.main(out=str(folder / "pieces"), judge=True)

run.Clock.minutes = 0
try:
    decoder.train(steps=9, batch=4)
except run.OutOfTimeError:
    print("out of time")
"""
)
CARRIED = (
    NARROW
    + """
pack.main(open=str(folder / "pieces"))
adopt.main(folder=str(run.WORK / "exported"))
denoiser.train(steps=1, batch=4, scenes=4)
assert denoiser.load().config.block_out_channels == (32, 32, 32)  # as adopted
"""
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of what MAKE made, and what it printed in a file there."""
    folder = tmp_path_factory.mktemp("training")
    (folder / "said.txt").write_text(run(MAKE, folder, folder / "work"))
    return folder


def run(script, folder, work):
    environ = os.environ | {
        "SDNB_TRAINING": str(work), "SDNB_VARIANTS": "1", "TORCH_COMPILE_DISABLE": "1",
        "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    words = [sys.executable, "-c", script, str(folder)]
    done = subprocess.run(words, cwd=ROOT, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def checkpoint(trained, name):
    import torch

    return torch.load(trained / "work" / f"{name}.pt")


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
    import torch

    whole, stopped, begun = (checkpoint(trained, name) for name in ("whole", "stopped", "begun"))
    assert whole["step"] == stopped["step"] == 6
    assert all(map(torch.equal, whole["average"], stopped["average"]))
    assert all(torch.equal(whole["model"][key], stopped["model"][key]) for key in whole["model"])
    assert not all(map(torch.equal, whole["average"], begun["average"]))
    log = (trained / "work" / "stopped.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in log] == [2, 3, 6]


def test_where_the_time_ends_the_last_step_is_saved(trained):
    assert "out of time" in (trained / "said.txt").read_text()
    assert checkpoint(trained, "decoder")["step"] == 5  # four by `all`, and one more


def test_what_was_made_can_be_carried_in_pieces_and_trained_on(trained, tmp_path):
    pieces = list((trained / "pieces").iterdir())
    assert pieces
    assert all(piece.stat().st_size <= 15_000_000 for piece in pieces)
    run(CARRIED, trained, tmp_path / "work")
    assert {"autoencoder.pt", "text.pt", "denoiser.pt", "judge.pt"} <= {
        file.name for file in (tmp_path / "work").iterdir()
    }
