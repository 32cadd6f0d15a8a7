"""What only a GPU shows; `SDNB_MODEL=emoji pytest -n0 tests/test_gpu.py` where there is one."""

import gc
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import sdnb
from sdnb import schedulers
from sdnb.models import device, provenance

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="needs an NVIDIA GPU, and SDNB_MODEL=emoji to see it"
)
PROMPT = "two red squares on a blue background"


@pytest.fixture(scope="module")
def gpu():
    """The embedded model in float32, on the GPU."""
    return sdnb.load("emoji", device="cuda")


def apart(one, two):
    """The mean difference of two pictures, of 255."""
    a, b = (np.asarray(image.convert("RGB"), float) for image in (one, two))
    return np.abs(a - b).mean()


def left():
    """Bytes that are free on the GPU."""
    return torch.cuda.mem_get_info()[0]


def test_a_gpu_is_taken_where_there_is_one(gpu):
    assert sdnb.load("emoji") is gpu
    origin = provenance.origin_of(gpu)
    assert (origin.device, origin.dtype) == ("cuda:0", "float32")
    done = subprocess.run(
        [sys.executable, "-m", "sdnb", "doctor"], capture_output=True, text=True, check=False
    )
    assert torch.cuda.get_device_name() in done.stdout


@pytest.mark.parametrize("name", schedulers.names())
def test_the_same_seed_is_the_same_picture_as_on_the_cpu(gpu, pipe, name):
    made = [
        sdnb.generate(PROMPT, steps=12, guidance=4, scheduler=name, seed=1, pipe=each, store=False)
        for each in (gpu, pipe)
    ]
    assert apart(*(sample.image for sample in made)) < 1
    assert made[0].facts["device"].startswith("cuda")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_too(dtype):
    made = [
        sdnb.generate(
            PROMPT, seed=1, pipe=sdnb.load("emoji", device=each, dtype=dtype), store=False
        ).image
        for each in ("cuda", "cpu")
    ]
    assert apart(*made) < 2


def test_merged_calls_give_the_pictures_of_one_by_one(gpu):
    plan = sdnb.plan(PROMPT, steps=[4, 8], scheduler=["DDIM", "Euler a"], seed=[1, 2], pipe=gpu)
    ours, single = (plan.run(store=False, batch=batch).samples for batch in (None, 1))
    assert max(apart(a.image, b.image) for a, b in zip(ours, single)) < 1


def test_from_a_picture_and_within_a_mask(gpu, pipe):
    start = Image.new("RGB", (128, 128), "white")
    start.paste("red", (32, 32, 96, 96))
    mask = Image.new("L", (128, 128), 0)
    mask.paste(255, (64, 0, 128, 128))
    for more in ({}, {"mask": mask}):
        made = [
            sdnb.generate(
                "a fox", image=start, strength=0.7, seed=3, pipe=each, store=False, **more
            )
            for each in (gpu, pipe)
        ]
        assert apart(*(sample.image for sample in made)) < 1


def test_where_the_gpus_memory_runs_out_fewer_are_decoded_at_once(gpu, monkeypatch):
    plan = sdnb.plan("a fox", steps=2, seed=range(16), width=512, height=512, pipe=gpu)
    rows = []
    hook = gpu.vae.decoder.register_forward_hook(lambda *given: rows.append(len(given[-1])))
    whole = plan.run(store=False).samples
    assert max(rows) == 8
    rows.clear()
    free = device.free_memory("cuda")
    monkeypatch.setattr(device, "free_memory", lambda _: free)  # so it hopes for more than is left
    torch.cuda.empty_cache()
    ballast = torch.empty(left() - 600 * 10**6, dtype=torch.uint8, device="cuda")
    try:
        tight = plan.run(store=False).samples
    finally:
        del ballast
        hook.remove()
        torch.cuda.empty_cache()
    assert 1 <= max(rows) < 8
    assert len(tight) == 16
    assert max(apart(a.image, b.image) for a, b in zip(whole, tight)) < 1


def test_a_model_that_does_not_fit_takes_turns_and_makes_the_same_picture(gpu, heard):
    half = sdnb.load("emoji", device="cuda", dtype="float16")
    whole = sdnb.generate(PROMPT, steps=25, seed=1, pipe=half, store=False).image
    del half
    sdnb.clear()
    weights = 2 * sum(sum(p.numel() for p in m.parameters())
                      for m in (gpu.unet, gpu.vae, gpu.text_encoder))  # fmt: skip
    torch.cuda.empty_cache()
    ballast = torch.empty(left() - int(weights * 1.05), dtype=torch.uint8, device="cuda")
    try:
        turns = sdnb.load("emoji", device="cuda", dtype="float16")
    finally:
        del ballast
        torch.cuda.empty_cache()
    assert (
        "its parts are kept in main memory, and each is on the GPU only while it runs"
        in heard()[-1]
    )
    plan = sdnb.plan(PROMPT, steps=25, seed=[1, 2], pipe=turns)
    made = plan.run(store=False).samples
    assert apart(made[0].image, whole) < 1
    assert turns.unet.device.type == "cpu"


def test_clear_gives_the_gpus_memory_back():
    sdnb.load("emoji", device="cuda", dtype="bfloat16")
    sdnb.generate("a fox", steps=2, store=False)  # libraries keep some that they work in
    sdnb.clear()
    gc.collect()
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated()
    sdnb.load("emoji", device="cuda", dtype="bfloat16")
    sdnb.generate("a fox", steps=2, store=False)
    assert torch.cuda.memory_allocated() > before + 30 * 10**6
    sdnb.clear()
    assert torch.cuda.memory_allocated() <= before + 10**6
