"""Between two prompts and seeds: the ends are plain pictures, the middle is what it says."""

import copy
import json
from contextlib import nullcontext

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

import sdnb
from sdnb import Settings, schedulers
from sdnb.generation import between
from sdnb.models import scheduler_run
from tests.support import families, toys
from tests.support.denoiser_calls import watched

QUICK = {"steps": 2, "store": False, "width": 64, "height": 64}


@pytest.fixture(scope="module", params=toys.FAMILIES)
def toy(request, tmp_path_factory):
    folder = toys.saved(request.param, tmp_path_factory.mktemp("toy"))
    return request.param, sdnb.load(folder, device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def emoji():
    return sdnb.load("emoji", device="cpu")


def apart(one, other):
    return np.abs(np.asarray(one.image, int) - np.asarray(other.image, int)).max()


def test_the_ends_are_the_plain_pictures(toy):
    _, pipe = toy
    way = sdnb.path(
        "a red fox", "a blue owl on snow", to_seed=2, seed=1, frames=3, pipe=pipe, **QUICK
    )
    first = sdnb.generate("a red fox", seed=1, pipe=pipe, **QUICK)
    last = sdnb.generate("a blue owl on snow", seed=2, pipe=pipe, **QUICK)
    assert (way[0].settings, way[2].settings) == (first.settings, last.settings)
    assert way.col_labels == ["a red fox, seed 1", "50 %", "a blue owl on snow, seed 2"]
    assert apart(way[0], first) <= 1
    assert apart(way[2], last) <= 1
    assert apart(way[1], first) > 3
    assert apart(way[1], last) > 3


def test_the_middle_is_what_diffusers_makes_of_mixed_embeddings_and_noise(toy):
    """By hand, without sdnb: embeddings and latents are given to the pipeline."""
    family, pipe = toy
    halfway = Settings("a red fox", seed=1, toward={"prompt": "an owl", "seed": 2, "part": 0.3})
    made = sdnb.generate(halfway, pipe=pipe, guidance=1, **QUICK)
    plain, seen = copy.copy(pipe), []
    plain.scheduler = copy.deepcopy(pipe.scheduler)
    given = {"num_inference_steps": 2, "guidance_scale": 1.0, "width": made.image.width,
             "height": made.image.height}  # fmt: skip
    options = {"device": "cpu", "num_images_per_prompt": 1}
    if family == "Flux":
        both = [pipe.encode_prompt(p, None, **options) for p in ("a red fox", "an owl")]
        names = ["prompt_embeds", "pooled_prompt_embeds"]
    elif family == "SD3":
        both = [pipe.encode_prompt(p, None, None, **options) for p in ("a red fox", "an owl")]
        names = ["prompt_embeds", None, "pooled_prompt_embeds"]
    else:
        both = [
            pipe.encode_prompt(prompt=p, do_classifier_free_guidance=False, **options)
            for p in ("a red fox", "an owl")
        ]
        names = ["prompt_embeds", None, "pooled_prompt_embeds"]
    for name, one, other in zip(names, *both):
        if name:
            given[name] = torch.lerp(one, other, 0.3)

    def catch(*args, **kwargs):
        seen.append(prepare(*args, **kwargs))
        return seen[-1]

    prepare = plain.prepare_latents
    for seed in (1, 2):  # the noise of both
        plain.prepare_latents = catch
        plain(**given, generator=torch.Generator().manual_seed(seed), output_type="latent")
    del plain.prepare_latents
    one, other = (x[0] if isinstance(x, tuple) else x for x in seen)
    angle = torch.arccos(torch.cosine_similarity(one.flatten(), other.flatten(), 0))
    weights = torch.sin(0.7 * angle) / torch.sin(angle), torch.sin(0.3 * angle) / torch.sin(angle)
    noise = weights[0] * one + weights[1] * other
    if "Flux" not in family and "3" not in family:
        noise = noise / pipe.scheduler.init_noise_sigma  # the pipeline scales what it is given
    result = plain(**given, latents=noise).images[0]
    assert np.abs(np.asarray(result, int) - np.asarray(made.image, int)).max() <= 1


def test_all_frames_share_the_denoiser_calls(emoji):
    calls = []
    with watched(emoji, after=lambda answers: calls.append(len(answers))):
        way = sdnb.path("a fox", "a cat", seed=1, frames=4, pipe=emoji, **QUICK)
    assert set(calls) == {4}
    assert way.col_labels == ["a fox", "33.3 %", "66.7 %", "a cat"]
    alone = sdnb.generate(way[1].settings, pipe=emoji, store=False)
    assert apart(way[1], alone) <= 1


def test_a_middle_frame_comes_back_from_its_file_and_from_the_store(emoji, tmp_path):
    way = sdnb.path("a fox", to_seed=2, seed=1, frames=3, steps=2, pipe=emoji, store=tmp_path)
    again = sdnb.path("a fox", to_seed=2, seed=1, frames=3, steps=2, pipe=emoji, store=tmp_path)
    assert apart(way[1], again[1]) == 0
    assert way.col_labels == ["seed 1", "50 %", "seed 2"]
    read = sdnb.read(way[1].save(tmp_path / "middle.png"))
    assert read.settings == way[1].settings
    assert hash(read.settings) == hash(way[1].settings)
    assert "50 % toward seed 2" in repr(read)
    assert Settings.from_dict(json.loads(json.dumps(read.settings.to_dict()))) == read.settings
    text = sdnb.metadata.to_a1111(read.settings, {}) if hasattr(sdnb.metadata, "to_a1111") else ""
    assert not text or "Toward: 50 % toward seed 2" in text


def test_its_code_makes_the_same_pixels(toy):
    _, pipe = toy
    halfway = {"prompt": "an owl", "seed": 2, "part": 0.25}
    made = sdnb.generate("a red fox", seed=1, toward=halfway, pipe=pipe, **QUICK)
    cell = {}
    exec(made.code(), cell)
    assert np.array_equal(cell["image"], made.image)


def test_toward_is_an_axis(emoji):
    way = [None, {"prompt": "a cat", "part": 0.5}]
    planned = sdnb.plan("a fox", toward=way, seed=1, steps=2, pipe=emoji)
    assert planned.col_labels == ["no toward", "50 % toward a cat"]


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({}, ValueError, "no other end"), ({"to_seed": 1}, ValueError, "no other end"),
        ({"to_seed": 2, "frames": 1}, ValueError, "from 2 to 1000"),
        ({"to_seed": 2, "scheduler": "Euler a"}, ValueError, "draws new noise at each step"),
        ({"to_seed": 2, "strength": 0.5}, ValueError, "strength does not go with a path"),
        ({"to_prompt": "fox " * 90}, ValueError, "would be cut off"),
        ({"to_seed": -2}, ValueError, "seed of toward is -2|seed is -2"),
        ({"to_seed": 2, "toward": {"seed": 3, "part": 0.5}}, ValueError, "toward does not go"),
    ],
)  # fmt: skip
def test_bad_paths_get_a_sentence(options, error, says, emoji):
    with pytest.raises(error, match=says):
        sdnb.path("a fox", seed=1, pipe=emoji, **QUICK, **options)


@pytest.mark.parametrize(
    ("toward", "error", "says"),
    [
        ("a cat", TypeError, "give it as in"), ({"prompt": "a cat", "at": 1}, TypeError, "'at'"),
        ({"prompt": "a cat"}, TypeError, "part of toward is None"),
        ({"prompt": "a cat", "part": 1}, ValueError, "over 0 and under 1"),
        ({"prompt": " ", "part": 0.5}, ValueError, "prompt of toward is empty"),
        ({"seed": 0.5, "part": 0.5}, TypeError, "seed of toward is 0.5"),
    ],
)  # fmt: skip
def test_bad_values_get_a_sentence(toward, error, says):
    with pytest.raises(error, match=says):
        Settings("a fox", toward=toward)


@pytest.mark.parametrize(
    ("toward", "options", "says"),
    [
        ({"prompt": "fox " * 90, "part": 0.5}, {}, "would be cut off"),
        ({"seed": 2, "part": 0.5}, {"image": True, "strength": 0.5}, "pictures from text"),
        ({"seed": 2, "part": 0.5}, {"scheduler": "DPM2 a"}, "draws new noise at each step"),
        ({"seed": 2, "part": 0.5}, {"long_prompt": "chunk"}, "leave out prompt_syntax"),
        ({"seed": 2, "part": 0.5}, {"prompt_syntax": "compel"}, "leave out prompt_syntax"),
    ],
)  # fmt: skip
def test_what_does_not_go_with_toward_gets_a_sentence(toward, options, says, emoji):
    if "image" in options:
        options = options | {"image": Image.new("RGB", (128, 128))}
    with pytest.raises(ValueError, match=says):
        sdnb.generate("a fox", toward=toward, seed=1, pipe=emoji, **QUICK, **options)


@pytest.mark.parametrize("name", [*schedulers.names(), "euler a", "dpm++2msde", "DPM2  A"])
def test_from_one_seed_to_another_goes_where_its_last_picture_is_the_plain_one(emoji, name):
    """Truth from outside: whether diffusers, given seed 1's noise and else the draws of seed 2,
    ends elsewhere than its run of seed 1."""
    pipe = copy.copy(emoji)
    pipe.scheduler = schedulers.make(name, emoji.scheduler)
    given = {"num_inference_steps": 3, "width": 64, "height": 64}
    plain = pipe("a fox", generator=torch.Generator().manual_seed(1), **given).images[0]
    side = 64 // pipe.vae_scale_factor
    start = torch.randn(
        1, pipe.unet.config.in_channels, side, side, generator=torch.Generator().manual_seed(1)
    )
    other = pipe(
        "a fox", generator=torch.Generator().manual_seed(2), latents=start, **given
    ).images[0]
    draws = np.abs(np.asarray(plain, int) - np.asarray(other, int)).max() > 1
    options = {"steps": 3, "width": 64, "height": 64, "pipe": emoji, "scheduler": name}
    toward = {"seed": 2, "part": 0.5}
    if draws:
        with pytest.raises(ValueError, match="draws new noise at each step"):
            sdnb.plan("a fox", seed=1, toward=toward, **options)
    else:
        sdnb.plan("a fox", seed=1, toward=toward, **options)


@pytest.mark.parametrize(
    ("name", "flags", "draws"),
    [
        ("DDPMScheduler", {}, True),
        ("DPMSolverSinglestepScheduler", {"algorithm_type": "sde-dpmsolver++"}, True),
        ("DPMSolverSinglestepScheduler", {}, False),
        ("SASolverScheduler", {}, True),
        ("HeunDiscreteScheduler", {"use_exponential_sigmas": True}, False),
    ],
)  # fmt: skip
def test_a_scheduler_without_a_name_is_asked_whether_it_draws(emoji, name, flags, draws):
    own = copy.copy(emoji)
    own.scheduler = getattr(diffusers, name).from_config(emoji.scheduler.config, **flags)
    says = pytest.raises(ValueError, match="draws new noise") if draws else nullcontext()
    with says:
        sdnb.plan("a fox", seed=1, steps=3, toward={"seed": 2, "part": 0.5}, pipe=own)


@pytest.mark.parametrize(
    ("name", "flags", "draws"),
    [
        ("FlowMatchEulerDiscreteScheduler", {"stochastic_sampling": True}, True),
        ("FlowMatchEulerDiscreteScheduler", {}, False),
        ("FlowMatchHeunDiscreteScheduler", {}, False),
        ("FlowMatchLCMScheduler", {}, True),
    ],
)
def test_a_flow_models_scheduler_is_asked_whether_it_draws(tmp_path, name, flags, draws):
    pipe = toys.sd3(tmp_path)
    pipe.scheduler = getattr(diffusers, name)(**flags)
    says = pytest.raises(ValueError, match="draws new noise") if draws else nullcontext()
    with says:
        sdnb.plan("a fox", seed=1, steps=3, toward={"seed": 2, "part": 0.5}, pipe=pipe)


def test_a_scheduler_with_a_noise_sampler_of_its_own_draws():
    class OwnSampler(diffusers.DDIMScheduler):  # as DPMSolverSDE's, which needs torchsde
        noise_sampler = None

        def step(self, model_output, timestep, sample, return_dict=True, s_noise=1.0):
            return super().step(model_output, timestep, sample)

    assert scheduler_run.draws_noise(OwnSampler())


def test_toward_the_same_seed_is_the_plain_picture(emoji):
    plain = sdnb.generate("a fox", seed=1, pipe=emoji, **QUICK)
    same = sdnb.generate("a fox", seed=1, toward={"seed": 1, "part": 0.5}, pipe=emoji, **QUICK)
    assert apart(plain, same) == 0


def test_a_model_whose_prompts_differ_in_length_is_refused():
    with pytest.raises(ValueError, match=r"different lengths|way of its own"):
        sdnb.generate(
            "a fox", toward={"prompt": "a small red fox on snow", "part": 0.5}, seed=1,
            pipe=families.made("QwenImagePipeline"), **QUICK,
        )  # fmt: skip


def test_embeddings_that_are_the_same_stay_the_same():
    one = torch.full((3,), 0.1)
    assert between.mixed(one, one.clone(), 0.3) is one
