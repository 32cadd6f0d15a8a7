"""Weights in another dtype and order: the same numbers as diffusers', without twice the memory."""

import json
import os
import subprocess
import sys
import threading

import diffusers
import pytest
import safetensors.torch
import torch

import sdnb
from sdnb import emoji
from sdnb.models import weights
from tests.support import toys

PEAK = r"""
import json, pathlib, re, sys, torch, diffusers, transformers
from diffusers import StableDiffusionPipeline
import sdnb, sdnb.models.weights
sdnb.models.weights.PART = 8_000_000
status = pathlib.Path("/proc/self/status")  # ru_maxrss would count the parent's too
peak = lambda: int(re.search(r"VmHWM:\s+(\d+)", status.read_text())[1]) / 1000
before = peak()
pipe = sdnb.load(sys.argv[1], dtype="bfloat16", device="cpu")
print(json.dumps([peak() - before, sum(p.nbytes for p in pipe.unet.parameters()) / 1e6]))
"""


def same(a, b):
    pairs = list(zip(a.state_dict().items(), b.state_dict().items(), strict=True))
    return all(n == m and torch.equal(x, y) and x.dtype == y.dtype for (n, x), (m, y) in pairs)


@pytest.fixture(params=list(toys.FAMILIES))
def halved(request, tmp_path):
    """A toy pipeline's folder, its weights stored in float16."""
    folder = toys.saved(request.param, tmp_path)
    for file in folder.rglob("*.safetensors"):
        tensors = safetensors.torch.load_file(file)
        half = {n: t.half() if t.is_floating_point() else t for n, t in tensors.items()}
        safetensors.torch.save_file(half, file, metadata={"format": "pt"})
    return folder


def test_the_weights_are_those_of_diffusers(halved):
    ours = sdnb.load(halved, dtype="bfloat16", device="cpu")
    theirs = diffusers.DiffusionPipeline.from_pretrained(halved, torch_dtype=torch.bfloat16)
    for name, part in theirs.components.items():
        if isinstance(part, torch.nn.Module):
            assert same(getattr(ours, name), part), name
    sdnb.clear()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_a_model_in_half_precision_takes_little_more_than_its_weights_to_load(tmp_path):
    unet = toys.unet(block_out_channels=(128, 1024), cross_attention_dim=32, layers_per_block=2)
    pipe = diffusers.DiffusionPipeline.from_pretrained(emoji.FOLDER)
    pipe.unet = unet.half()
    pipe.save_pretrained(tmp_path)
    out = subprocess.run(
        [sys.executable, "-c", PEAK, str(tmp_path)], capture_output=True, text=True, check=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    ).stdout  # fmt: skip
    peak, weights_mb = json.loads(out)
    assert weights_mb > 150
    assert peak < 1.15 * weights_mb + 20  # 8 MB of a file at a time, and the rest of the pipeline


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_stored_in_that_dtype_is_mapped_as_ever(tmp_path, dtype):
    file = tmp_path / "a.safetensors"
    safetensors.torch.save_file({"x": torch.ones(3, dtype=dtype), "n": torch.arange(2)}, file)
    assert weights._read(file, dtype) is None


def test_whole_numbers_stay_whole(tmp_path):
    file = tmp_path / "a.safetensors"
    safetensors.torch.save_file({"x": torch.ones(3), "n": torch.arange(2)}, file)
    with weights.read_as(torch.float16):
        read = safetensors.torch.load_file(file)
    assert [read["x"].dtype, read["n"].dtype] == [torch.float16, torch.int64]


def test_files_are_read_in_parts_of_any_size(tmp_path, monkeypatch):
    file = tmp_path / "a.safetensors"
    tensors = {str(i): torch.randn(i + 1, 5) for i in range(20)}
    safetensors.torch.save_file(tensors, file)
    monkeypatch.setattr(weights, "PART", 100)
    with weights.read_as(torch.bfloat16):
        read = safetensors.torch.load_file(file)
    assert read.keys() == tensors.keys()
    assert all(torch.equal(read[n], tensors[n].bfloat16()) for n in tensors)


def test_where_diffusers_keeps_parts_in_float32_nothing_is_rounded_before(tmp_path):
    class Careful:
        _keep_in_fp32_modules = ("norm",)

    plain = safetensors.torch.load_file
    with weights.read_as(torch.bfloat16, [Careful]):
        assert safetensors.torch.load_file is plain


def test_afterwards_safetensors_reads_as_before_whatever_happened():
    plain = safetensors.torch.load_file
    with pytest.raises(FileNotFoundError), weights.read_as(torch.bfloat16):
        safetensors.torch.load_file("nowhere.safetensors")
    assert safetensors.torch.load_file is plain


def test_threads_that_overlap_leave_safetensors_as_it_was():
    plain = safetensors.torch.load_file
    left = threading.Event()

    def second():
        with weights.read_as(torch.float16):
            left.wait(10)

    with weights.read_as(torch.bfloat16):
        other = threading.Thread(target=second)
        other.start()
        other.join(0.3)  # it would come in here
    left.set()
    other.join()
    assert safetensors.torch.load_file is plain


def test_channels_last_is_what_torch_makes_of_it():
    ours, theirs = toys.unet(), toys.unet()
    theirs.load_state_dict(ours.state_dict())
    weights.to_channels_last(ours)
    theirs.to(memory_format=torch.channels_last)
    assert same(ours, theirs)
    strides = [p.stride() for p in ours.parameters()]
    assert strides == [p.stride() for p in theirs.parameters()]


def test_numbers_of_8_bits_are_left_as_they_are(tmp_path):
    """They may be quantised, with a scale beside them: in another dtype nobody would know."""
    file = tmp_path / "a.safetensors"
    tensors = {"x": torch.ones(4).to(torch.float8_e4m3fn), "y": torch.ones(4)}
    safetensors.torch.save_file(tensors, file)
    with weights.read_as(torch.bfloat16):
        read = safetensors.torch.load_file(file)
    assert {name: x.dtype for name, x in read.items()} == {
        "x": torch.float8_e4m3fn, "y": torch.bfloat16
    }  # fmt: skip
