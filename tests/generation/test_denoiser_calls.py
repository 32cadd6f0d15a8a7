"""Denoiser calls, as they are announced and as they are made."""

import copy

import diffusers
import pytest
from PIL import Image

import sdnb
from sdnb import schedulers
from tests.support import families, toys

RED = Image.new("RGB", (64, 64), "red")
# what has no name of ours, and its flags
UNNAMED = [
    ("DDPMScheduler", {}),
    ("PNDMScheduler", {"skip_prk_steps": False}),
    ("HeunDiscreteScheduler", {"use_exponential_sigmas": True}),
    ("HeunDiscreteScheduler", {"use_beta_sigmas": True}),
    ("KDPM2DiscreteScheduler", {"use_exponential_sigmas": True}),
    ("DPMSolverSinglestepScheduler", {}),
    ("DPMSolverMultistepScheduler", {"use_exponential_sigmas": True}),
    ("SASolverScheduler", {}),
]


@pytest.mark.parametrize(("name", "flags"), UNNAMED)
@pytest.mark.parametrize("strength", [None, 0.5])
def test_the_calls_of_a_scheduler_without_a_name_are_those_that_are_made(
    pipe, name, flags, strength
):
    own = copy.copy(pipe)
    own.scheduler = getattr(diffusers, name).from_config(pipe.scheduler.config, **flags)
    assert schedulers.name_of(own.scheduler) not in schedulers.names()
    given = {"image": RED, "strength": strength} if strength else {}
    plan = sdnb.plan("a fox", steps=6, seed=1, width=64, height=64, pipe=own, **given)
    assert plan.run(store=False)[0].facts["denoiser_calls"] == plan.calls


@pytest.mark.parametrize("strength", [None, 0.5])
@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("FlowMatchHeunDiscreteScheduler", {}),
        ("FlowMatchLCMScheduler", {}),
    ],
)
def test_the_calls_of_a_flow_models_scheduler_are_those_that_are_made(
    tmp_path, name, flags, strength
):
    pipe = toys.sd3(tmp_path)
    pipe.scheduler = getattr(diffusers, name)(**flags)
    given = {"image": RED, "strength": strength} if strength else {}
    plan = sdnb.plan("a fox", steps=4, seed=1, width=64, height=64, pipe=pipe, **given)
    assert plan.run(store=False)[0].facts["denoiser_calls"] == plan.calls


@pytest.mark.parametrize("name", ["FluxPipeline", "SanaSprintPipeline", "QwenImagePipeline"])
def test_a_scheduler_that_needs_more_than_steps_is_asked_as_its_pipeline_asks_it(name):
    pipe = families.made(name)
    if "Flux" in name:
        pipe.scheduler = diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    plan = sdnb.plan("a fox", steps=[1, 2, 3], seed=1, width=64, height=64, pipe=pipe)
    made = plan.run(store=False)
    assert [sample.facts["denoiser_calls"] for sample in made] == list(plan.counts)
