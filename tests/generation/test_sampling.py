"""generate, against the plain pipeline called as a person would call it."""

import copy

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

import sdnb
from sdnb import schedulers
from sdnb.models import provenance
from tests.support import programs

PROMPT = "two red squares on a blue background"
SMALL = {"width": 64, "height": 64}


def pixels(picture):
    return np.asarray(picture.convert("RGB"))


@pytest.fixture(scope="module")
def plain():
    """The embedded model as diffusers alone loads it, once."""
    pipe = diffusers.StableDiffusionPipeline.from_pretrained(sdnb.emoji.FOLDER)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def plain_call(plain, name, seed, **arguments):
    """diffusers alone: its own loading, its own scheduler, its own call."""
    known = schedulers.SCHEDULERS[name]
    cls = getattr(diffusers, known.cls)
    pipe = copy.copy(plain)
    pipe.scheduler = cls.from_config(plain.scheduler.config, **known.flags)
    return pipe(PROMPT, generator=torch.Generator("cpu").manual_seed(seed), **arguments).images[0]


@pytest.mark.parametrize("name", schedulers.names())
def test_a_picture_is_pixel_for_pixel_the_pipelines_own(pipe, plain, name):
    ours = sdnb.generate(PROMPT, steps=6, guidance=4, scheduler=name, seed=0, **SMALL, pipe=pipe)
    theirs = plain_call(plain, name, 0, num_inference_steps=6, guidance_scale=4.0, **SMALL)
    assert np.array_equal(pixels(ours.image), pixels(theirs))
    assert ours.facts["denoiser_calls"] == schedulers.calls(name, 6)


def test_negative_prompt_and_size_reach_the_pipeline(pipe, plain):
    ours = sdnb.generate(
        PROMPT, negative_prompt="a fox", steps=3, seed=1, width=160, height=96, pipe=pipe
    )
    theirs = plain_call(
        plain, "DDIM", 1, num_inference_steps=3, negative_prompt="a fox", width=160, height=96
    )
    assert ours.image.size == (160, 96)
    assert np.array_equal(pixels(ours.image), pixels(theirs))


def test_the_pipeline_stays_as_it_was(pipe):
    before = (
        pipe.scheduler,
        dict(pipe.scheduler.config),
        dict(pipe.config),
        len(pipe.unet._forward_hooks),
    )
    sdnb.generate(PROMPT, steps=2, scheduler="DPM++ 2M Karras", pipe=pipe)
    sdnb.compare(PROMPT, steps=[1, 2], scheduler=["LMS", "Heun"], pipe=pipe)
    after = (
        pipe.scheduler,
        dict(pipe.scheduler.config),
        dict(pipe.config),
        len(pipe.unet._forward_hooks),
    )
    assert before[0] is after[0]
    assert before[1:] == after[1:]


def test_a_seed_that_is_not_given_is_drawn_and_makes_the_picture_again(pipe):
    first = sdnb.generate(PROMPT, steps=2, pipe=pipe)
    second = sdnb.generate(PROMPT, steps=2, pipe=pipe)
    assert first.settings.seed != second.settings.seed
    again = sdnb.generate(first.settings, pipe=pipe)
    assert np.array_equal(pixels(first.image), pixels(again.image))


def test_seed_zero_is_a_seed(pipe):
    assert sdnb.generate(PROMPT, steps=1, seed=0, pipe=pipe).settings.seed == 0


def test_global_random_state_is_left_alone(pipe):
    torch.manual_seed(7)
    before = torch.get_rng_state()
    sdnb.generate(PROMPT, steps=2, scheduler="Euler a", pipe=pipe)
    assert torch.equal(before, torch.get_rng_state())


def test_settings_that_are_left_out_are_the_models_and_are_recorded(pipe):
    settings = sdnb.generate("a fox", steps=1, pipe=pipe).settings
    assert (settings.scheduler, settings.width, settings.height) == ("DDIM", 128, 128)
    assert settings.guidance == 7.5


def test_the_facts_say_how_the_picture_was_made(pipe):
    facts = sdnb.generate("a fox", steps=3, scheduler="Heun", pipe=pipe).facts
    assert (facts["model"], facts["dtype"], facts["device"]) == ("emoji", "float32", "cpu")
    assert facts["denoiser_calls"] == 5
    assert facts["seconds"] > 0
    assert facts["flagged"] is False
    assert facts["versions"]["diffusers"] == diffusers.__version__


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"prompt": ""}, "The prompt is empty"),
        ({"steps": 0}, "steps is 0"),
        ({"width": 120}, "width 120 is not a multiple of 32: use 96 or 128."),
        ({"scheduler": "DIMD"}, "did you mean 'DDIM'"),
        ({"scheduler": "LCM", "steps": 51}, "LCM makes at most 50 steps here, 51 were asked for."),
        ({"steps": 1000}, "DDIM makes at most 999 steps here, 1000 were asked for."),
        ({"prompt": sdnb.Settings("a fox", strength=0.5)}, "give the picture to start from"),
    ],
)
def test_bad_input_gets_a_sentence_before_the_model_runs(pipe, arguments, sentence):
    calls = []
    hook = pipe.unet.register_forward_hook(lambda *_: calls.append(1))
    try:
        with pytest.raises(ValueError, match=sentence):
            sdnb.generate(**({"prompt": "a fox", "pipe": pipe} | arguments))
    finally:
        hook.remove()
    assert calls == []


def test_words_that_the_embedded_model_does_not_know_are_named_once(pipe, heard):
    sdnb.compare("a fox with a kazoo", steps=[1, 2], pipe=pipe)
    sdnb.generate("a fox with a kazoo", steps=1, pipe=pipe)
    sdnb.generate("a fox", negative_prompt="a zither", steps=1, pipe=pipe)
    said = [s for s in heard() if "does not know" in s]
    assert said == [
        "The embedded model does not know: kazoo. It draws what it knows.",
        "The embedded model does not know: zither. It draws what it knows.",
    ]


def test_the_code_of_a_sample_makes_the_same_pixels_with_diffusers_alone(pipe, tmp_path):
    sample = sdnb.generate(
        "a 'fox' on a \"blue\" background", negative_prompt="an owl", steps=4, guidance=5.5,
        scheduler="DPM++ 2M SDE Karras", seed=3, width=96, height=128, pipe=pipe,
    )  # fmt: skip
    code = sample.code()
    assert "import sdnb" not in code  # only the folder of the weights is asked for
    program = f"{code}\n.save({str(tmp_path / 'again.png')!r})".replace("\nimage\n.", "\nimage.")
    programs.run("-c", program, cwd=tmp_path, check=True)
    assert np.array_equal(pixels(sample.image), pixels(Image.open(tmp_path / "again.png")))


ONCE = """
import copy, functools
from diffusers import StableDiffusionPipeline
loaded = functools.cache(StableDiffusionPipeline.from_pretrained)
StableDiffusionPipeline.from_pretrained = lambda *given, **named: copy.copy(loaded(*given, **named))
"""  # each cell of code loads the model, and here they come one after another


def test_the_code_makes_the_same_pixels_with_every_scheduler(pipe, tmp_path):
    made = {
        f"{i}.png": sdnb.generate("a fox", steps=3, seed=3, scheduler=name, **SMALL, pipe=pipe)
        for i, name in enumerate(sdnb.schedulers.names())
    }
    code = "\n".join(f"{s.code()}\nimage.save({str(tmp_path / n)!r})" for n, s in made.items())
    programs.run("-c", ONCE + code, cwd=tmp_path, check=True)
    for name, sample in made.items():
        again = pixels(Image.open(tmp_path / name))
        assert np.array_equal(pixels(sample.image), again), sample.settings.scheduler


@pytest.mark.parametrize("start", [None, Image.new("RGB", (128, 128), "red")], ids=["", "image"])
def test_the_code_says_what_a_person_changed_in_the_scheduler(pipe, tmp_path, start):
    mine = copy.copy(pipe)
    provenance.inherit(mine, pipe)
    mine.scheduler = diffusers.DPMSolverMultistepScheduler.from_config(
        pipe.scheduler.config, use_karras_sigmas=True, timestep_spacing="trailing"
    )
    if start:
        start.save(tmp_path / "start.png")
        start = tmp_path / "start.png"
    sample = sdnb.generate("a fox", image=start, steps=4, seed=3, pipe=mine)
    code = f"{sample.code()}\nimage.save({str(tmp_path / 'again.png')!r})"
    programs.run("-c", code, cwd=tmp_path, check=True)
    assert np.array_equal(pixels(sample.image), pixels(Image.open(tmp_path / "again.png")))


def test_the_code_says_that_adapters_are_missing_in_it(pipe):
    mine = copy.copy(pipe)
    mine.unet = copy.copy(pipe.unet)
    mine.unet.peft_config = {"default": "a LoRA"}
    assert "# made with adapters" in sdnb.generate("a fox", steps=1, seed=3, pipe=mine).code()
    assert "adapters" not in sdnb.generate("a fox", steps=1, seed=3, pipe=pipe).code()


def test_a_sample_shows_a_small_picture_and_text_that_does_not_change_from_run_to_run(pipe):
    bundles = [
        sdnb.generate("a fox", steps=1, seed=5, pipe=pipe)._repr_mimebundle_() for _ in range(2)
    ]
    assert bundles[0] == bundles[1]
    text = bundles[0]["text/plain"]
    for part in ("'a fox'", "1 step", "guidance 7.5", "DDIM", "seed 5", "emoji", "1 denoiser call"):
        assert part in text
    assert text.endswith("1 denoiser call)")
    (kind,) = set(bundles[0]) - {"text/plain"}
    assert kind in ("image/png", "image/jpeg")
    assert len(bundles[0][kind]) < 200_000
