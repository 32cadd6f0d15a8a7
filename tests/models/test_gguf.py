"""GGUF files: a denoiser in few bits, with the rest from its settings' source."""

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import sdnb
from sdnb.generation import sample_facts
from sdnb.hub import gguf as headers
from sdnb.models import device, memory, provenance, quantization
from tests.support import checkpoints, loras, programs, toys
from tests.support.checkpoints import _sd3, write_gguf

gguf = pytest.importorskip("gguf", reason="pip install 'sdnb[gguf]'")

HOW = {"seed": 1, "steps": 2, "guidance": 3.0, "width": 64, "height": 64}
PLAIN = {"device": "cpu", "dtype": "float32"}


def pixels(sample):
    return np.asarray(sample.image)


@pytest.fixture(scope="module")
def flux(tmp_path_factory):
    """Flux' toy as a folder, and its transformer under diffusers' names."""
    folder = toys.saved("Flux", tmp_path_factory.mktemp("flux"))
    weights = load_file(folder / "transformer" / "diffusion_pytorch_model.safetensors")
    return folder, write_gguf(weights, folder.parent / "flux.gguf")


@pytest.fixture(scope="module")
def sd3(tmp_path_factory):
    """SD3's toy as a folder, and its transformer under its makers' names."""
    folder, pipe = checkpoints.saved(checkpoints.sd3, tmp_path_factory.mktemp("sd3"))
    return folder, write_gguf(_sd3(pipe.transformer), folder.parent / "sd3.gguf", "Q4_0")


def theirs(folder, file, made, dtype=torch.float32):
    """The same by hand."""
    transformer = made.from_single_file(
        str(file), config=str(folder), subfolder="transformer", dtype=dtype,
        quantization_config=diffusers.GGUFQuantizationConfig(compute_dtype=dtype),
    )  # fmt: skip
    return diffusers.DiffusionPipeline.from_pretrained(folder, transformer=transformer, dtype=dtype)


@pytest.mark.parametrize("family", ["flux", "sd3"])
def test_a_picture_is_diffusers_own_and_its_code_makes_it_in_a_fresh_process(
    family, request, tmp_path
):
    folder, file = request.getfixturevalue(family)
    pipe = sdnb.load(file, config=folder, **PLAIN)
    sample = sdnb.generate("a fox", **HOW, pipe=pipe)
    by_hand = theirs(folder, file, type(pipe.transformer))
    image = by_hand(
        "a fox", num_inference_steps=2, guidance_scale=3.0, width=64, height=64,
        generator=torch.Generator("cpu").manual_seed(1),
    ).images[0]  # fmt: skip
    assert np.array_equal(pixels(sample), np.asarray(image))
    full = sdnb.generate("a fox", **HOW, pipe=sdnb.load(folder, **PLAIN))
    apart = np.abs(pixels(sample).astype(int) - pixels(full)).mean()
    assert 0 < apart < (3 if family == "flux" else 20), "fewer bits, and the same picture"
    programs.run("-c", f"{sample.code()}\nimage.save('again.png')", cwd=tmp_path, check=True)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "again.png")), pixels(sample))


def test_the_header_says_what_gguf_reads(flux, sd3):
    for _, file in (flux, sd3):
        found = headers.read(file)
        known = {t.name: t for t in gguf.GGUFReader(file).tensors}
        assert found.keys() == known.keys()
        for name, tensor in known.items():
            assert found[name].shape == tuple(int(n) for n in tensor.shape[::-1]), name
            assert 0 <= found[name].nbytes - int(tensor.n_bytes) < 32, "as it is aligned"
            kind = tensor.tensor_type.name
            assert found[name].dtype == (kind if kind in ("F32", "F16") else "U8"), name


def test_its_memory_is_counted_as_it_is_stored_and_asked_for_before(flux, monkeypatch):
    folder, file = flux
    pipe = sdnb.load(file, config=folder, **PLAIN)
    plain = sdnb.load(folder, **PLAIN)
    ours, full = (sum(p.nbytes for p in p_.transformer.parameters()) for p_ in (pipe, plain))
    assert ours < 0.45 * full
    assert memory.held(plain) - memory.held(pipe) == full - ours
    sdnb.clear()
    need = memory.held(pipe) * memory.SPARE
    del pipe, plain
    monkeypatch.setattr(device, "free_memory", lambda _: int(0.9 * need))
    with pytest.raises(MemoryError, match=f"{file.name} needs"):
        sdnb.load(file, config=folder, **PLAIN)
    monkeypatch.setattr(device, "free_memory", lambda _: int(1.1 * need))
    sdnb.load(file, config=folder, **PLAIN)
    sdnb.clear()


def test_a_changed_weight_is_noticed_and_another_file_is_another_key(flux, tmp_path):
    folder, file = flux
    pipe = sdnb.load(file, config=folder, **PLAIN)
    sdnb.generate("a fox", **HOW, pipe=pipe)
    assert provenance.differences(pipe) == {}
    settings = sdnb.Settings("a fox", **HOW)
    key = sample_facts.made_by(settings, pipe)
    weights = load_file(folder / "transformer" / "diffusion_pytorch_model.safetensors")
    other = sdnb.load(write_gguf(weights, tmp_path / "flux.gguf", "Q4_0"), config=folder, **PLAIN)
    assert sample_facts.made_by(settings, other) != key
    weight = pipe.transformer.transformer_blocks[0].attn.to_q.weight
    weight.data.as_tensor()[0, 0] += 1
    assert provenance.differences(pipe)
    sdnb.clear()


def test_a_lora_goes_on_it_and_its_weights_are_one_call(flux, tmp_path):
    folder, file = flux
    lora = loras.written(
        diffusers.DiffusionPipeline.from_pretrained(folder), tmp_path / "style.safetensors", size=8
    )
    pipe = sdnb.load(file, config=folder, lora=lora, **PLAIN)
    plain = sdnb.generate("a fox", **HOW, pipe=sdnb.load(file, config=folder, **PLAIN))
    sheet = sdnb.compare("a fox", lora={"style": [0, 1]}, **HOW, pipe=pipe, store=False)
    # the two of a sheet are one call of the denoiser, beside one by one
    assert np.abs(pixels(sheet[0]).astype(int) - pixels(plain)).max() <= 2
    by_hand = theirs(folder, file, type(pipe.transformer))
    by_hand.load_lora_weights(str(lora))
    image = by_hand(
        "a fox", num_inference_steps=2, guidance_scale=3.0, width=64, height=64,
        generator=torch.Generator("cpu").manual_seed(1),
    ).images[0]  # fmt: skip
    apart = np.abs(pixels(sheet[1]).astype(int) - np.asarray(image).astype(int))
    assert apart.max() <= 2
    assert np.abs(pixels(sheet[1]).astype(int) - pixels(plain)).mean() > 1
    sdnb.clear()


def test_what_diffusers_would_compute_wrongly_is_refused(flux, sd3, tmp_path):
    """An embedding table or a bias whose bytes would count as numbers; more than a denoiser."""
    folder, _ = flux
    weights = load_file(folder / "transformer" / "diffusion_pytorch_model.safetensors")
    with pytest.raises(ValueError, match="quantised already, so it cannot be to 'fp8': leave"):
        sdnb.load(flux[1], config=folder, quantize="fp8", **PLAIN)
    whole = {f"model.diffusion_model.{n}": x for n, x in weights.items()}
    file = write_gguf(
        whole | {"vae.decoder.conv_in.weight": torch.ones(8, 8)}, tmp_path / "whole.gguf"
    )
    with pytest.raises(ValueError, match="diffusers reads a denoiser alone from GGUF: take the"):
        sdnb.load(file, config=folder, **PLAIN)
    layers = torch.nn.ModuleDict({"words": torch.nn.Embedding(2, 32)})
    layers.words.weight.quant_type = gguf.GGMLQuantizationType.Q8_0
    with pytest.raises(ValueError, match=r"x\.gguf has quantised words\.weight, and diffusers"):
        quantization.check_gguf("x.gguf", layers)


def test_damaged_files_and_the_wrong_place_are_told(flux, tmp_path, monkeypatch):
    folder, file = flux
    for broken in (file.read_bytes()[:-5000], file.read_bytes()[:100], b"GGUF", b"nothing"):
        (tmp_path / "broken.gguf").write_bytes(broken)
        with pytest.raises(OSError, match=r"broken\.gguf is damaged: .* The fault: it "):
            sdnb.load(tmp_path / "broken.gguf", config=folder, **PLAIN)
    with pytest.raises(ValueError, match=r"flux\.gguf' is a GGUF file, which holds a model: sdnb"):
        sdnb.load(folder, vae=file, **PLAIN)
    sdnb.clear()  # else it is there already
    monkeypatch.setattr(quantization, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"needs the package gguf: pip install 'sdnb\[gg"):
        sdnb.load(file, config=folder, **PLAIN)
