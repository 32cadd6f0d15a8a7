"""Prompts that are longer than the model reads."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import sdnb
from sdnb import tokens

LONG = "a fox on a blue background " * 14 + "and a cat"  # 14 * 6 + 3 = 87 tokens


def test_a_prompt_that_is_too_long_is_an_error_that_names_what_would_be_cut(pipe):
    with pytest.raises(ValueError, match="The prompt has 87 tokens") as caught:
        sdnb.generate(LONG, steps=1, pipe=pipe)
    assert str(caught.value) == (
        "The prompt has 87 tokens, the model reads 75: 'a blue background a fox on a blue "
        "background and a cat' would be cut off. Shorten it, or give long_prompt='cut', or 'chunk' "
        "to read it in pieces."
    )
    with pytest.raises(ValueError, match="The negative prompt has 87 tokens"):
        sdnb.compare("a fox", negative_prompt=LONG, steps=[1, 2], pipe=pipe)


def test_cut_is_what_the_pipeline_does_by_itself(pipe):
    ours = sdnb.generate(LONG, steps=2, seed=1, long_prompt="cut", pipe=pipe)
    pipe.set_progress_bar_config(disable=True)
    theirs = pipe(LONG, num_inference_steps=2, generator=torch.Generator().manual_seed(1)).images[0]
    assert np.array_equal(np.asarray(ours.image), np.asarray(theirs))


def test_in_pieces_the_end_counts_too(pipe):
    def picture(prompt, way):
        sample = sdnb.generate(prompt, steps=3, seed=1, long_prompt=way, pipe=pipe)
        return np.asarray(sample.image, int)

    other = LONG.replace("cat", "bus")
    assert np.array_equal(picture(LONG, "cut"), picture(other, "cut"))
    assert np.abs(picture(LONG, "chunk") - picture(other, "chunk")).mean() > 0.1


def test_a_short_prompt_is_the_same_in_every_way(pipe):
    made = [sdnb.generate("a fox", steps=2, seed=1, long_prompt=way, pipe=pipe)
            for way in ("error", "cut", "chunk")]  # fmt: skip
    assert len({s.image.tobytes() for s in made}) == 1


def test_the_code_of_a_prompt_in_pieces_makes_the_same_picture(pipe, tmp_path):
    sample = sdnb.generate(LONG, negative_prompt="a dog", steps=2, seed=1, long_prompt="chunk",
                           pipe=pipe)  # fmt: skip
    code = sample.code() + "\nimage.save('again.png')\n"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=tmp_path)
    again = Image.open(tmp_path / "again.png")
    assert np.array_equal(np.asarray(again), np.asarray(sample.image))
    assert sdnb.read(sample.save(tmp_path / "long.png")).settings.long_prompt == "chunk"


def test_pieces_break_between_words_and_lose_none(pipe):
    parts = tokens.pieces(pipe, LONG)
    assert " ".join(parts).split() == LONG.split()
    assert all(not tokens.lost(pipe, part) for part in parts)
