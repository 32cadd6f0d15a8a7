"""Runs with different LoRA weights are one denoiser call, and each is what it is alone."""

import diffusers
import numpy as np
import pytest

import sdnb
from sdnb.models import provenance
from sdnb.sweeps.batching import Batcher
from tests.support import loras, toys

SMALL = {"steps": 2, "seed": 1, "width": 32, "height": 32}
WEIGHTS = [0, 0.4, 0.8, -0.5]


def pixels(sample):
    return np.asarray(sample.image, int)


@pytest.fixture(scope="module", params=toys.FAMILIES)
def pipe(request, tmp_path_factory):
    """A toy with two LoRAs; the second has a part for the text encoders."""
    folder = tmp_path_factory.mktemp("toy")
    model = toys.saved(request.param, folder)
    for name, text in (("ink", False), ("film", True)):
        bare = diffusers.DiffusionPipeline.from_pretrained(model)
        loras.written(bare, folder / f"{name}.safetensors", seed=len(name), text=text, size=3)
    files = [folder / "ink.safetensors", folder / "film.safetensors"]
    return sdnb.load(model, lora=files, dtype="float32")


def both_ways(plan):
    """Together and one by one: the pictures, the denoiser calls, and why some were alone."""
    together, alone = (
        Batcher(plan.pipeline(plan.models[0])),
        Batcher(plan.pipeline(plan.models[0]), 1),
    )
    made = [[s for _, s in sorted(b.run([*plan.settings]))] for b in (together, alone)]
    for sample in made[0] + made[1]:
        assert not isinstance(sample, Exception), sample
    return made, together, alone


def test_a_row_of_weights_is_one_denoiser_call_a_step(pipe):
    plan = sdnb.plan("a fox", lora={"ink": WEIGHTS, "film": [0, 1]}, pipe=pipe, **SMALL)
    (together, alone), batcher, one_by_one = both_ways(plan)
    assert batcher.calls["denoiser"] == plan.counts[0]
    assert one_by_one.calls["denoiser"] == plan.calls
    assert batcher.alone == {}
    worst = max(np.abs(pixels(a) - pixels(b)).max() for a, b in zip(together, alone))
    assert worst <= 2
    apart = [np.abs(pixels(a) - pixels(alone[0])).max() for a in alone[1:]]
    assert min(apart) > 5, apart  # so it is seen where rows are mixed up
    left = [name for name in provenance.differences(pipe) if "_forward_hooks" not in name]
    assert [name for name in left if "_output_capturing" not in name] == []  # transformers' own


def test_they_merge_with_other_axes_and_guidance(pipe):
    plan = sdnb.plan(
        "a fox", lora={"ink": [0, 1]}, guidance=[1, 5], steps=[2, 3], pipe=pipe, seed=1, width=32,
        height=32,
    )  # fmt: skip
    (together, alone), batcher, _ = both_ways(plan)
    assert batcher.calls["denoiser"] < plan.calls
    assert max(np.abs(pixels(a) - pixels(b)).max() for a, b in zip(together, alone)) <= 2


def test_each_run_encodes_its_text_with_its_own_weights(pipe):
    plan = sdnb.plan("a fox", lora={"film": [0, 0.5, 1]}, pipe=pipe, **SMALL)
    (together, alone), batcher, _ = both_ways(plan)
    encoders = [n for n in ("text_encoder", "text_encoder_2") if getattr(pipe, n, None) is not None]
    assert batcher.calls["text encoder"] >= 3
    assert encoders
    assert max(np.abs(pixels(a) - pixels(b)).max() for a, b in zip(together, alone)) <= 2


def test_a_dora_runs_alone_and_says_so(tmp_path):
    model = toys.saved("SD 2", tmp_path)
    bare = diffusers.DiffusionPipeline.from_pretrained(model)
    file = loras.written(bare, tmp_path / "dora.safetensors", size=3, use_dora=True)
    pipe = sdnb.load(model, lora=file)
    sheet = sdnb.compare("a fox", lora={"dora": [0.5, 1]}, pipe=pipe, store=False, **SMALL)
    assert "the weights of a LoRA that cannot be merged" in sheet.note
    same = sdnb.compare("a fox", seed=[1, 2], steps=2, width=64, height=64, pipe=pipe, store=False)
    assert same.note == ""  # the same weights are no reason
    off = sdnb.generate("a fox", lora={}, pipe=pipe, **SMALL)
    assert np.abs(pixels(off) - pixels(sheet[1])).max() > 5
