"""Black pictures told apart: NaN in the decoder, NaN in the denoiser, the checker, truly dark."""

import copy
from unittest.mock import patch

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

import sdnb
from sdnb.generation import nan_guard
from sdnb.models import provenance
from sdnb.records.sample import Sample
from tests.support import toys

SMALL = {"seed": 1, "width": 64, "height": 64}  # bfloat16 is slow without units for it


@pytest.fixture
def half():
    """The embedded model in bfloat16, a copy of its own to be broken."""
    pipe = copy.copy(sdnb.load("emoji", dtype="bfloat16", device="cpu"))
    pipe.vae, pipe.unet = copy.deepcopy(pipe.vae), copy.deepcopy(pipe.unet)
    return pipe


def overflows(module):
    """Makes a module give NaN in half precision, as a real one does where numbers are too large."""
    real = module.forward

    def forward(*given, **named):
        out = real(*given, **named)
        if next(module.parameters()).dtype == torch.float32:
            return out
        if isinstance(out, torch.Tensor):
            return out * torch.nan
        return (out[0] * torch.nan, *out[1:])

    module.forward = forward


def test_a_decoder_that_overflows_decodes_again_in_float32(half, heard):
    good = sdnb.generate("a fox", steps=4, **SMALL, pipe=half)
    overflows(half.vae.decoder)
    again = sdnb.generate("a fox", steps=4, **SMALL, pipe=half)
    assert np.abs(np.asarray(again.image, int) - np.asarray(good.image, int)).mean() < 3
    assert again.facts["decoder_upcast"]
    assert sum("decoded again in float32" in s for s in heard()) == 1
    assert {p.dtype for p in half.vae.parameters()} == {torch.bfloat16}


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
def test_a_denoiser_that_overflows_runs_again_in_float32_once(half, pipe, heard):
    overflows(half.unet)
    before = {k: v.clone() for k, v in half.unet.state_dict().items()}
    sample = sdnb.generate("a fox", steps=4, **SMALL, pipe=half)
    full = sdnb.generate("a fox", steps=4, **SMALL, pipe=pipe)
    assert np.abs(np.asarray(sample.image, int) - np.asarray(full.image, int)).mean() < 4
    assert sample.facts["dtype"] == "float32"
    assert "broken" not in sample.facts
    assert sum("made again in float32" in s for s in heard()) == 1
    assert all(torch.equal(v, before[k]) for k, v in half.unet.state_dict().items())
    assert half.unet.dtype == torch.bfloat16


def test_weights_that_find_no_room_in_float32_are_as_before(half, monkeypatch):
    before, widen, done = half.vae.state_dict(), torch.Tensor.float, []

    def float_(tensor):
        done.append(tensor)
        if len(done) > 5:
            raise torch.OutOfMemoryError("no room")
        return widen(tensor)

    monkeypatch.setattr(torch.Tensor, "float", float_)
    with pytest.raises(torch.OutOfMemoryError), nan_guard.in_float32(half):
        pass
    assert {p.dtype for p in half.vae.parameters()} == {torch.bfloat16}
    assert all(torch.equal(v, before[k]) for k, v in half.vae.state_dict().items())


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
def test_evolution_shows_the_run_that_was_made_again_not_the_broken_one(half, pipe):
    overflows(half.unet)
    sheet = sdnb.evolution("a fox", [2, 4], steps=4, **SMALL, pipe=half)
    full = sdnb.evolution("a fox", [2, 4], steps=4, **SMALL, pipe=pipe)
    for ours, theirs in zip(sheet, full):
        assert np.abs(np.asarray(ours.image, int) - np.asarray(theirs.image, int)).mean() < 4


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
def test_a_denoiser_that_gives_nan_in_float32_too_is_said_under_the_picture(pipe):
    broken = copy.copy(pipe)
    broken.unet = copy.deepcopy(pipe.unet)
    broken.unet.conv_out.bias.data.fill_(torch.nan)
    sample = sdnb.generate("a fox", steps=2, **SMALL, pipe=broken)
    assert sample.facts["broken"]
    assert "black because the denoiser returned NaN" in repr(sample)
    assert "black because the denoiser" in repr(sdnb.Sheet([sample], 1, 1))


@pytest.fixture
def tiled(tmp_path):
    """A toy in bfloat16 whose pictures of 96 pixels are decoded in four tiles."""
    torch.manual_seed(0)
    pipe = toys.sd2(tmp_path)
    pipe.vae = diffusers.AutoencoderKL(**toys.VAE, use_post_quant_conv=False)
    pipe.to(torch.bfloat16).set_progress_bar_config(disable=True)
    pipe.vae.enable_tiling()
    return pipe


def test_every_tile_that_overflows_is_decoded_in_float32_and_it_is_said_once(
    tiled, heard, monkeypatch
):
    given, decode = [], diffusers.AutoencoderKL.decode
    monkeypatch.setattr(
        diffusers.AutoencoderKL,
        "decode",
        lambda vae, z, **how: given.append(z) or decode(vae, z, **how),
    )
    overflows(tiled.vae.decoder)
    sample = sdnb.generate("a fox", steps=2, seed=1, width=96, height=96, pipe=tiled)
    assert {p.dtype for p in tiled.vae.parameters()} == {torch.bfloat16}
    full = tiled.vae.float()
    assert given[0].shape[-1] > full.tile_latent_min_size
    with torch.no_grad():
        decoded = decode(full, given[0].float()).sample
    theirs = tiled.image_processor.postprocess(decoded)[0]
    assert np.array_equal(np.asarray(sample.image), np.asarray(theirs))
    assert sum("decoded again in float32" in s for s in heard()) == 1


def test_every_slice_that_overflows_is_decoded_in_float32(tiled, heard):
    tiled.vae.enable_slicing()
    overflows(tiled.vae.decoder)
    with nan_guard.watched(tiled) as seen, torch.no_grad():
        decoded = tiled.vae.decode(torch.randn(3, 4, 8, 8, dtype=torch.bfloat16)).sample
    assert torch.isfinite(decoded).all()
    assert (seen.upcast, seen.decoder_broken) == (True, False)
    assert sum("decoded again in float32" in s for s in heard()) == 1


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_decoder_that_gives_nan_in_float32_too_is_said_under_the_picture_which_is_not_stored(
    dtype, tmp_path
):
    broken = copy.copy(sdnb.load("emoji", dtype=dtype, device="cpu"))
    broken.vae = copy.deepcopy(broken.vae)
    next(broken.vae.decoder.parameters()).data.fill_(torch.nan)
    kept = sdnb.Store(tmp_path / "store")
    with patch.object(provenance, "differences", lambda *_: {}):  # only NaN is in the way
        sample = sdnb.generate("a fox", steps=2, **SMALL, pipe=broken, store=kept)
        sheet = sdnb.compare("a fox", steps=2, pipe=broken, store=kept, **SMALL | {"seed": [1, 2]})
    assert len(kept) == 0
    for each in (sample, *sheet):
        assert each.facts["broken"]
        assert each.facts["dtype"] == dtype  # the denoiser was in order
    assert "black because the decoder returned NaN" in repr(sample)
    assert "black because the decoder" in repr(sheet)
    again = sdnb.read(sample.save(tmp_path / "black.png"))
    assert "black because the decoder" in repr(again)


def test_the_safety_checker_says_so_and_a_dark_picture_says_nothing(pipe):
    facts = {"model": "a/b", "flagged": True}
    black = Image.new("RGB", (64, 64))
    flagged = Sample(black, sdnb.Settings("a night"), facts)
    dark = Sample(black, sdnb.Settings("a night"), {"model": "a/b", "flagged": False})
    assert flagged.flagged
    assert "blackened by the model's safety checker" in repr(flagged)
    assert "black" not in repr(dark)


def test_a_models_safety_checker_stays_on(pipe):
    class Checker(torch.nn.Module):
        dtype, device = torch.float32, torch.device("cpu")

        def forward(self, images, clip_input):
            return torch.zeros_like(images), [True]

    class Features:
        pixel_values = torch.zeros(1, 3, 8, 8)

        def to(self, device):
            return self

    class Extractor:
        def __call__(self, images, return_tensors):
            return Features()

    checked = copy.copy(pipe)
    checked.register_modules(safety_checker=Checker(), feature_extractor=Extractor())
    sample = sdnb.generate("a fox", steps=1, seed=1, pipe=checked)
    assert sample.flagged
    assert not np.asarray(sample.image).any()
