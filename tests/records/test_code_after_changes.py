"""code() makes the very picture, or says in a comment what it cannot know."""

import copy
import random

import numpy as np
import pytest
import torch
from PIL import Image

import sdnb
from tests.support import programs, toys

COMMENT = "# made otherwise than by this pipeline as it is loaded here: "


def fused(pipe):
    for module in pipe.unet.modules():
        if isinstance(module, torch.nn.Linear):
            module.weight.data += 0.03 * torch.ones_like(module.weight)


def another_vae(pipe):
    pipe.vae = copy.deepcopy(pipe.vae)
    for weight in pipe.vae.decoder.parameters():
        weight.data *= 0.97


def clip_skip(pipe):
    inner = getattr(pipe.text_encoder, "text_model", pipe.text_encoder)
    inner.encoder.layers = inner.encoder.layers[:-1]


def seamless(pipe):
    for module in pipe.unet.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.padding_mode = "circular"


def word(pipe):
    pipe.load_textual_inversion({"<barn>": torch.ones(pipe.text_encoder.config.hidden_size)},
                                token="<barn>")  # fmt: skip


def hooked(pipe):
    pipe.unet.register_forward_hook(lambda module, inputs, output: None)


def wrapped(pipe):
    plain = pipe.unet.forward
    pipe.unet.forward = lambda *args, **kwargs: plain(*args, **kwargs)


UNKNOWN = [fused, another_vae, clip_skip, seamless, word, hooked, wrapped]
KNOWN = {
    "freeu": lambda pipe: pipe.enable_freeu(s1=0.2, s2=0.2, b1=1.6, b2=1.6),
    "vae_tiling": lambda pipe: pipe.vae.enable_tiling(),
    "vae_slicing": lambda pipe: pipe.vae.enable_slicing(),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return toys.saved("SD 2", tmp_path_factory.mktemp("toy"))


@pytest.fixture
def toy(folder):
    sdnb.clear()
    yield sdnb.load(folder, device="cpu", dtype="float32")
    sdnb.clear()


@pytest.mark.parametrize("known", KNOWN)
def test_a_change_that_code_can_make_hides_no_other(known, toy):
    KNOWN[known](toy)
    clip_skip(toy)
    sample = sdnb.generate("a fox", steps=1, seed=1, pipe=toy)
    assert COMMENT in sample.code()
    assert "text_encoder.encoder.layers" in sample.facts["changed"]


@pytest.mark.parametrize("change", UNKNOWN, ids=lambda change: change.__name__)
def test_a_change_that_code_cannot_make_stands_in_a_comment_and_leaves_the_store_alone(
    change, toy, tmp_path, heard
):
    kept = sdnb.Store(tmp_path)
    change(toy)
    sample = sdnb.generate("a fox", steps=1, seed=3, pipe=toy, store=kept)
    sdnb.generate("a fox", steps=1, seed=4, pipe=toy, store=kept)
    [comment] = [line for line in sample.code().splitlines() if line.startswith("#")]
    assert comment == COMMENT + sample.facts["changed"]
    assert len(kept) == 0
    said = [s for s in heard() if "not kept" in s]
    assert said == [f"Pictures are made anew and not kept in the store: {sample.facts['changed']}."]
    if change is word:
        assert "textual_inversion" in comment


def test_what_diffusers_switches_on_is_written_as_code_and_makes_the_same_pixels(toy, tmp_path):
    plain = sdnb.generate("a fox", steps=2, seed=3, width=128, height=128, pipe=toy)
    for change in KNOWN.values():
        change(toy)
    sample = sdnb.generate("a fox", steps=2, seed=3, width=128, height=128, pipe=toy)
    assert sample.facts.keys() >= KNOWN.keys()
    assert "changed" not in sample.facts
    assert not np.array_equal(np.asarray(sample.image), np.asarray(plain.image))
    assert_same([sample], tmp_path)


def test_a_pipeline_of_ones_own_is_not_looked_for_on_the_hub(tmp_path):
    torch.manual_seed(0)
    sample = sdnb.generate("a fox", steps=1, seed=3, pipe=toys.sd2(tmp_path))
    code = sample.code()
    assert "from_pretrained" not in code
    assert "# pipe is your own StableDiffusionPipeline: sdnb does not know what it was" in code


def test_what_a_file_says_was_changed_stays_a_comment():
    facts = {"model": "a/b", "dtype": "float32", "changed": "x\nimport os"}
    with pytest.raises(ValueError, match="which is not a line of text"):
        sdnb.Sample(Image.new("RGB", (8, 8)), sdnb.Settings("a fox", seed=1), facts).code()


def assert_same(samples, folder):
    names = [str(folder / f"{i}.png") for i in range(len(samples))]
    program = "\n".join(f"{s.code()}\nimage.save({n!r})" for s, n in zip(samples, names))
    programs.run("-c", program, cwd=folder, check=True)
    for sample, name in zip(samples, names):
        again = np.asarray(Image.open(name).convert("RGB"))
        assert np.array_equal(np.asarray(sample.image), again), sample


def draws(folder, tmp_path, seed, count):
    """Random settings, starts and changes: each makes the picture anew, or carries the comment."""
    chance, same = random.Random(seed), []
    start = tmp_path / "start.png"
    Image.radial_gradient("L").resize((64, 64)).convert("RGB").save(start)
    for _ in range(count):
        sdnb.clear()
        pipe = sdnb.load(folder, device="cpu", dtype="float32")
        known = [change for change in KNOWN.values() if chance.random() < 0.3]
        unknown = [change for change in UNKNOWN if chance.random() < 0.05]
        for change in known + unknown:
            change(pipe)
        how = {"image": start, "strength": 0.5} if chance.random() < 0.3 else {}
        sample = sdnb.generate(
            chance.choice(["a fox", "two 'red' squares", 'a "cat"']),
            negative_prompt=chance.choice(["", "blur"]), steps=chance.choice([2, 3]),
            guidance=chance.choice([1, 3.5, 7.5]), seed=chance.randrange(2**32),
            scheduler=chance.choice([None, "DDIM", "Heun", "DPM++ 2M Karras"]),
            pipe=pipe, **how,
        )  # fmt: skip
        if unknown:
            assert COMMENT in sample.code()
        else:
            same.append(sample)
    sdnb.clear()
    assert_same(same, tmp_path)


def test_random_settings_and_changes_make_the_picture_anew_or_carry_the_comment(folder, tmp_path):
    draws(folder, tmp_path, seed=0, count=4)


@pytest.mark.slow
def test_many_random_settings_and_changes_do_so_too(folder, tmp_path):
    draws(folder, tmp_path, seed=1, count=60)
