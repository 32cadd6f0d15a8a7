"""Scores: what they see in pictures whose truth is known, and against transformers' own numbers."""

import pytest
import torch
from PIL import Image, ImageDraw
from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPTokenizer,
)

import sdnb
from sdnb import emoji
from tests.support import toys

PLACES = {"left": (20, 50), "right": (80, 50), "top": (50, 10), "bottom": (50, 90)}


def drawn(**colors):
    """A picture with a square of a colour at each of the named places."""
    image = Image.new("RGB", (128, 128), "white")
    for place, color in colors.items():
        x, y = PLACES[place]
        ImageDraw.Draw(image).rectangle((x, y, x + 24, y + 24), fill=color)
    return image


@pytest.mark.parametrize(
    ("prompt", "colors", "share"),
    [
        ("two red squares", {"left": "red", "right": "red"}, 1),
        ("two red squares", {"left": "red"}, 0),
        ("a red square to the left of a blue circle", {"left": "red", "right": "blue"}, 1),
        ("a red square to the left of a blue circle", {"left": "blue", "right": "red"}, 2 / 3),
        ("a red square to the right of a blue circle", {"left": "blue", "right": "red"}, 1),
        ("a red square above a blue circle", {"top": "red", "bottom": "blue"}, 1),
        ("a red square below a blue circle", {"top": "red", "bottom": "blue"}, 2 / 3),
        ("a red square on the left", {"right": "red"}, 1 / 2),
        ("one green cube on the right together with a red square", {"right": "green"}, 2 / 3),
    ],
)
def test_counted_sees_what_was_drawn(prompt, colors, share):
    sample = sdnb.Sample(drawn(**colors), sdnb.Settings(prompt))
    assert sdnb.scores.Counted()(sample) == pytest.approx(share)


@pytest.mark.parametrize("prompt", ["a fox", "two red foxes", "a red square on a red background"])
def test_counted_says_what_it_cannot_judge(prompt):
    with pytest.raises(ValueError, match="cannot judge"):
        sdnb.scores.Counted().check(sdnb.Settings(prompt))


@pytest.mark.parametrize(
    ("prompt", "what"),
    [
        ("a red square and two black squares", "two black squares"),
        ("a white circle to the left of a blue circle", "a white circle"),
        ("a red square above a brown cube", "a brown cube"),
        ("five red squares and a blue circle", "five red squares"),
        ("a large red square and a blue circle", "a large red square"),
        ("a red square, two circles", "two circles"),
    ],
)
def test_counted_names_what_of_a_prompt_it_does_not_count(prompt, what):
    told = f"cannot judge '{what}': it counts one to four squares or circles in red, orange"
    with pytest.raises(ValueError, match=told):
        sdnb.scores.Counted().check(sdnb.Settings(prompt))


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A CLIP of random weights, as a folder."""
    folder = tmp_path_factory.mktemp("clip")
    torch.manual_seed(0)
    vision = {
        "hidden_size": 32, "intermediate_size": 37, "num_hidden_layers": 2, "image_size": 32,
        "num_attention_heads": 4, "patch_size": 8,
    }  # fmt: skip
    text = {**toys.TEXT, "max_position_embeddings": 77}
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)
    CLIPModel(config).save_pretrained(folder)
    CLIPTokenizer.from_pretrained(emoji.FOLDER / "tokenizer").save_pretrained(folder)
    size = {"shortest_edge": 32}
    CLIPImageProcessorPil(size=size, crop_size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def test_clip_gives_transformers_own_number(clip):
    image, prompt = drawn(left="red"), "a red square on a blue background"
    model = CLIPModel.from_pretrained(clip)
    inputs = CLIPImageProcessorPil.from_pretrained(clip)(image, return_tensors="pt")
    inputs |= CLIPTokenizer.from_pretrained(clip)([prompt], return_tensors="pt")
    with torch.no_grad():
        out = model(**inputs)
    wanted = float(out.logits_per_image / model.logit_scale.exp())
    score = sdnb.scores.Clip(str(clip), device="cpu")
    assert score(sdnb.Sample(image, sdnb.Settings(prompt))) == pytest.approx(wanted, abs=1e-5)
    score(sdnb.Sample(image, sdnb.Settings("a fox " * 99)))  # longer than it reads
    assert -1 <= wanted <= 1


def test_a_clip_that_is_not_there_is_said_before_anything_runs(pipe, monkeypatch):
    monkeypatch.setattr("sdnb.generation.sampling.run", lambda *_: pytest.fail("it has run"))
    with pytest.raises(OSError, match=r"^nobody/clip is not in the cache.*HF_HUB_OFFLINE"):
        sdnb.duel(
            {"steps": 1}, {"steps": 2}, "a fox", [1], score=sdnb.scores.Clip("nobody/clip"),
            pipe=pipe,
        )  # fmt: skip


def test_a_model_that_is_no_clip_is_named(tmp_path):
    toys.t5(tmp_path)[1].save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"is a model of type 't5', and no CLIP"):
        sdnb.scores.Clip(str(tmp_path)).check(sdnb.Settings("a fox"))
