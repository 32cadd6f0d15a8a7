"""Memory that is too small for a picture is a sentence with the numbers and the way out."""

import gc

import pytest
import torch

import sdnb
from sdnb.generation import out_of_memory

FULL = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has …")
ON_CPU = RuntimeError(
    "[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: "
    "you tried to allocate 4294967296 bytes. Error code 12 (Cannot allocate memory)"
)


@pytest.fixture
def pipe():
    return sdnb.load("emoji", device="cpu")


def generate(pipe, **settings):
    return sdnb.generate("a fox", pipe=pipe, steps=2, seed=1, store=False, **settings)


def failing(module, error):
    def fail(*_):
        raise error

    return module.register_forward_pre_hook(fail)


@pytest.mark.parametrize(("error", "asked"), [(FULL, "2,147"), (ON_CPU, "4,295")])
@pytest.mark.parametrize("part", ["unet", "text_encoder"])
def test_at_the_first_call_the_numbers_and_a_smaller_size_are_said(pipe, error, asked, part):
    hook = failing(getattr(pipe, part), error)
    try:
        with pytest.raises(MemoryError) as told:
            generate(pipe, width=64, height=96)
    finally:
        hook.remove()
    text = str(told.value)
    assert f"make a picture of 64 x 96: {asked} MB more were asked for" in text
    held = sum(p.nbytes for m in (pipe.unet, pipe.vae, pipe.text_encoder) for p in m.parameters())
    assert f"and the model holds {held / 1e6:,.0f} MB." in text
    assert "a smaller width= and height=" in text
    assert "quantize='fp8'" in text
    assert told.value.__cause__ is error
    assert generate(pipe).facts["denoiser_calls"] == 2  # the next picture is made


def test_at_decoding_tiles_are_named_and_then_what_is_left(pipe):
    hook = failing(pipe.vae.decoder, FULL)
    try:
        with pytest.raises(MemoryError, match="to decode this picture: 2,147 MB more were") as told:
            generate(pipe)
        assert str(told.value).endswith("decodes it in tiles, which takes much less.")
        pipe.vae.enable_tiling()
        with pytest.raises(MemoryError, match="Give a smaller width= and height="):
            generate(pipe)
    finally:
        pipe.vae.disable_tiling()
        hook.remove()


def test_what_was_computed_is_not_held_by_the_error(pipe):
    class Big(torch.Tensor):
        pass

    def fail(*_):
        big = torch.ones(3).as_subclass(Big)
        assert big.sum() == 3
        raise torch.OutOfMemoryError("out of memory")

    hook = pipe.unet.register_forward_pre_hook(fail)
    try:
        with pytest.raises(MemoryError) as told:
            generate(pipe)
    finally:
        hook.remove()
    gc.collect()
    assert told.value.__cause__ is not None
    assert not [o for o in gc.get_objects() if type(o) is Big]


def test_other_errors_stay_what_they_are(pipe):
    hook = failing(pipe.unet, RuntimeError("shapes do not fit"))
    try:
        with pytest.raises(RuntimeError, match="shapes do not fit"):
            generate(pipe)
    finally:
        hook.remove()


@pytest.mark.parametrize(
    ("text", "asked"), [("Tried to allocate 512.00 MiB", 2**29), ("no numbers here", None)]
)
def test_what_was_asked_for_is_read_from_torchs_words(text, asked):
    assert out_of_memory.asked_for(RuntimeError(text)) == asked
