"""Attention maps, against weights that diffusers' own eager processors and a plain softmax give."""

import math
import threading

import diffusers
import numpy as np
import pytest
import torch
from torch.nn import functional

import sdnb
from sdnb.generation import attention_recorder
from tests.support import families, toys

PROMPT = "a red fox on a blue background"
QUICK = {"steps": 2, "seed": 1}
SMALL = {"width": 64, "height": 64, **QUICK}


@pytest.fixture(scope="module", params=toys.FAMILIES)
def toy(request, tmp_path_factory):
    folder = toys.saved(request.param, tmp_path_factory.mktemp("toy"))
    return request.param, sdnb.load(folder, device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def emoji():
    return sdnb.load("emoji", device="cpu")


def enlarged(weights, grid, base):
    """(places, words) on a level's grid, as (words, rows, columns) of the first level."""
    layer = weights.T.reshape(1, -1, *grid)
    return functional.interpolate(layer, base, mode="bilinear", align_corners=False)[0]


def test_pixels_are_those_without_looking(toy):
    _, pipe = toy
    plain = sdnb.generate(PROMPT, pipe=pipe, store=False, **SMALL)
    seen = sdnb.attention(PROMPT, ["fox", "blue background"], pipe=pipe, **SMALL)
    assert np.array_equal(plain.image, seen.sample.image)
    assert seen.sample.settings == plain.settings
    assert "changed" not in seen.sample.facts
    assert seen.calls.shape[:2] == (plain.facts["denoiser_calls"], 2)
    assert (seen.calls > 0).all()
    assert (seen.calls < 1).all()


@pytest.mark.parametrize("family", ["SD 2", "SDXL"])
def test_unets_maps_are_the_weights_of_diffusers_eager_processor(family, tmp_path, monkeypatch):
    pipe = sdnb.load(toys.saved(family, tmp_path), device="cpu", dtype="float32")
    seen = sdnb.attention(PROMPT, ["fox", "blue"], pipe=pipe, width=48, height=64, **QUICK)
    rows, cols = seen["fox"].shape
    assert (rows, cols) == (32, 24)
    layers, scores = [], diffusers.models.attention_processor.Attention.get_attention_scores

    def watched(self, *given):
        weights = scores(self, *given)  # (B * heads, places, tokens)
        if self.is_cross_attention:
            prompt = weights.reshape(2, -1, *weights.shape[1:])[1].mean(0)  # with guidance
            level = (rows, cols) if len(prompt) == rows * cols else (rows // 2, cols // 2)
            # start, a, red, fox, on, a, blue, background
            layers.append(enlarged(prompt[:, [3, 6]], level, (rows, cols)))
        return weights

    monkeypatch.setattr(
        diffusers.models.attention_processor.Attention, "get_attention_scores", watched
    )
    pipe.unet.set_attn_processor(diffusers.models.attention_processor.AttnProcessor())
    sdnb.generate(PROMPT, pipe=pipe, width=48, height=64, store=False, **QUICK)
    assert len(layers) > 2 * QUICK["steps"]
    expected = torch.stack(layers).mean(0)
    assert np.abs(seen.calls.mean(0) - expected.numpy()).max() < 1e-6


@pytest.mark.parametrize("family", ["SD3", "Flux"])
def test_transformers_maps_are_a_plain_softmax(family, tmp_path, monkeypatch):
    pipe = sdnb.load(toys.saved(family, tmp_path), device="cpu", dtype="float32")
    monkeypatch.setattr(attention_recorder, "MOST", 5000)  # several pieces a layer
    seen = sdnb.attention(PROMPT, ["fox", "blue"], pipe=pipe, width=48, height=64, **QUICK)
    rows, cols = seen["fox"].shape
    assert rows * 3 == cols * 4
    places, layers = rows * cols, []
    text = {"SD3": 77 + 256, "Flux": 512}[family]
    plain = functional.scaled_dot_product_attention

    def watched(query, key, value, **options):
        if key.shape[2] == places + text:  # the denoiser's
            weights = (query[-1] @ key[-1].mT * query.shape[-1] ** -0.5).softmax(-1).mean(0)
            if family == "SD3":  # the picture, then CLIP with its start token, then T5
                words = weights[:places, [places + 3, places + 6]]
                words = words + weights[:places, [places + 77 + 2, places + 77 + 5]]
            else:  # T5, then the picture
                words = weights[-places:, [2, 5]]
            layers.append(enlarged(words, (rows, cols), (rows, cols)))
        return plain(query, key, value, **options)

    monkeypatch.setattr(functional, "scaled_dot_product_attention", watched)
    sdnb.generate(PROMPT, pipe=pipe, width=48, height=64, store=False, **QUICK)
    assert len(layers) >= QUICK["steps"]
    assert np.abs(seen.calls.mean(0) - torch.stack(layers).mean(0).numpy()).max() < 1e-6


def test_a_level_with_as_many_places_as_tokens_is_not_mistaken(tmp_path, monkeypatch):
    """7 x 11 places and 77 tokens: attention to itself looks like attention to the text."""
    blocks = {"down_block_types": ["DownEncoderBlock2D"] * 3, "block_out_channels": [32] * 3,
              "up_block_types": ["UpDecoderBlock2D"] * 3}  # fmt: skip
    parts = toys.sd2(tmp_path).components | {"vae": diffusers.AutoencoderKL(**toys.VAE | blocks)}
    pipe = diffusers.StableDiffusionPipeline(**parts, requires_safety_checker=False)
    layers, add = [], attention_recorder._Call.add

    def counted(call, weights):
        layers.append(weights.shape)
        add(call, weights)

    monkeypatch.setattr(attention_recorder._Call, "add", counted)
    seen = sdnb.attention("a fox", pipe=pipe, width=88, height=56, **QUICK)
    assert seen.calls.shape[2:] == (14, 22)
    assert set(layers) == {(2, 77)}  # words, places
    crossing = [m for m in pipe.unet.modules() if getattr(m, "is_cross_attention", False)]
    assert len(layers) == len(crossing) * QUICK["steps"]


def test_two_threads_record_each_their_own_run(toy, emoji):
    _, pipe = toy
    alone = [sdnb.attention(PROMPT, ["fox"], pipe=p, **SMALL).calls for p in (pipe, emoji)]
    found = {}

    def look(n, pipe):
        found[n] = sdnb.attention(PROMPT, ["fox"], pipe=pipe, **SMALL).calls

    threads = [threading.Thread(target=look, args=each) for each in enumerate((pipe, emoji))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(alone[n], found[n]) for n in (0, 1))


def test_the_dog_is_looked_for_where_it_is(emoji):
    seen = sdnb.attention(
        "a dog to the left of a cat on a blue background", ["dog", "to the left", "cat"],
        pipe=emoji, steps=6, seed=3, guidance=4, scheduler="DPM++ 2M",
    )  # fmt: skip
    assert seen.peak("dog")[0] < 0.5 < seen.peak("cat")[0]
    assert seen.words == ["dog", "to the left", "cat"]
    assert seen.overlay("dog", call=0).size == (128, 128)
    assert seen.grid().width > 128
    with pytest.raises(KeyError, match="none of the words dog, to the left, cat"):
        seen["fox"]
    with pytest.raises(IndexError, match="6 were made"):
        seen.overlay("dog", call=6)


def test_a_picture_to_start_from_and_its_settings_in_the_file(emoji, tmp_path):
    start = sdnb.generate("a cat", pipe=emoji, store=False, **QUICK)
    seen = sdnb.attention("a red fox", image=start, strength=0.5, pipe=emoji, steps=4, seed=1)
    assert len(seen.calls) == 2
    [(settings, _)] = sdnb.metadata.read(seen.save(tmp_path / "seen.png"))[1]
    assert settings == seen.sample.settings


@pytest.mark.parametrize("name", ["ChromaPipeline", "PixArtSigmaPipeline", "Kandinsky3Pipeline"])
def test_a_family_whose_text_is_not_known_is_refused(name):
    with pytest.raises(ValueError, match=f"Where a {name} has a prompt's words .* is not known"):
        sdnb.attention("a red fox", pipe=families.made(name), **QUICK)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"words": ["dog"]}, "'dog' is not in the prompt"),
        ({"prompt_syntax": "compel"}, "leave out prompt_syntax"),
        ({"long_prompt": "chunk"}, "leave out long_prompt='chunk'"),
    ],
)
def test_what_has_no_maps_gets_a_sentence(options, says, emoji):
    with pytest.raises(ValueError, match=says):
        sdnb.attention("a fox", pipe=emoji, **QUICK, **options)


def test_a_word_that_is_cut_off_is_named(emoji):
    prompt = "a fox " * 37 + "a cat and a dog"
    with pytest.raises(ValueError, match="does not read 'dog'"):
        sdnb.attention(prompt, ["dog"], long_prompt="cut", pipe=emoji, **QUICK)


def test_attention_that_is_computed_otherwise_is_refused(tmp_path):
    pipe = sdnb.load(toys.saved("SD 2", tmp_path), device="cpu", dtype="float32")
    pipe.unet.set_attn_processor(diffusers.models.attention_processor.AttnProcessor())
    with pytest.raises(ValueError, match="computed by AttnProcessor, which does not show"):
        sdnb.attention("a fox", pipe=pipe, **QUICK)


def test_a_denoiser_that_returns_nan_has_no_maps_and_that_is_said(emoji):
    def nan(module, inputs, output):
        return torch.full_like(output, math.nan)

    hook = emoji.unet.mid_block.register_forward_hook(nan)
    try:
        with pytest.raises(ValueError, match="no maps to show: black because the denoiser"):
            sdnb.attention("a fox", steps=1, seed=1, pipe=emoji)
    finally:
        hook.remove()
