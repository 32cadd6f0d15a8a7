"""The text's projections, computed once a text: nothing but the work becomes less."""

import copy

import pytest
import torch
from diffusers import StableDiffusionPipeline

import sdnb
from sdnb import emoji
from sdnb.models import projections
from sdnb.models.projections import KeptLinear

HOW = {"steps": 4, "seed": 3, "scheduler": "DDIM"}


@pytest.fixture
def fresh(pipe):
    """The embedded model once more, whose weights a test may change."""
    changed = copy.copy(pipe)
    changed.unet = copy.deepcopy(pipe.unet)
    return changed


@pytest.fixture
def counted(monkeypatch):
    """The layers that computed, in order."""
    seen, plain = [], torch.nn.Linear.forward

    def forward(self, x):
        if isinstance(self, KeptLinear):
            seen.append(self)
        return plain(self, x)

    monkeypatch.setattr(torch.nn.Linear, "forward", forward)
    return seen


def kept(unet):
    return [m for m in unet.modules() if isinstance(m, KeptLinear)]


def test_a_text_is_projected_once_a_run(pipe, counted):
    sdnb.generate("a fox", **HOW, pipe=pipe, store=False)
    assert len(kept(pipe.unet)) == 14
    assert sorted(map(id, counted)) == sorted(map(id, kept(pipe.unet)))


def test_runs_side_by_side_project_their_texts_anew_only_when_one_has_ended(pipe, counted):
    sdnb.plan("a fox", steps=[2, 4, 6], seed=3, pipe=pipe).run(store=False)
    assert len(counted) == 3 * len(kept(pipe.unet))


def test_weights_that_change_count_from_the_next_run_on(pipe, fresh):
    before = sdnb.generate("a fox", **HOW, pipe=fresh, store=False).image
    plain = StableDiffusionPipeline.from_pretrained(emoji.FOLDER, safety_checker=None)
    for unet in (fresh.unet, plain.unet):
        for name, layer in unet.named_modules():
            if name.endswith("add_v_proj"):
                layer.weight.data += 0.05  # as a fused LoRA does, of which torch keeps no count
    after = sdnb.generate("a fox", **HOW, pipe=fresh, store=False).image
    theirs = plain(
        "a fox", num_inference_steps=4, generator=torch.Generator("cpu").manual_seed(3)
    ).images[0]
    assert after.tobytes() == theirs.tobytes() != before.tobytes()


def test_a_copy_stands_for_itself(pipe):
    with torch.no_grad():
        layer, x = kept(pipe.unet)[0], torch.ones(1, 2, 192)
        layer(x)
        other = copy.deepcopy(layer)
        other.weight.data.zero_()
        assert torch.equal(other(x), other.bias.expand(1, 2, -1))


def test_with_gradients_everything_is_computed():
    layer = torch.nn.ModuleDict({"add_k_proj": torch.nn.Linear(2, 3)})
    assert projections.keep(layer) == 1
    x = torch.ones(1, 2)
    for times in (1, 2):
        layer["add_k_proj"](x).sum().backward()
        assert torch.equal(layer["add_k_proj"].weight.grad, torch.full((3, 2), float(times)))
