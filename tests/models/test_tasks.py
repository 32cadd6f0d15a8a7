"""How many steps and denoiser calls a pipeline makes where it starts from a picture."""

import inspect

import diffusers
import pytest
import torch
from PIL import Image

import sdnb
from sdnb import schedulers
from sdnb.models import tasks
from tests.support import families, toys

STARTING = [
    "StableDiffusionImg2Img",
    "StableDiffusionInpaint",
    "StableDiffusionXLImg2Img",
    "StableDiffusionXLInpaint",
    "StableDiffusion3Img2Img",
    "StableDiffusion3Inpaint",
    "FluxImg2Img",
    "FluxInpaint",
    "LatentConsistencyModelImg2Img",
    "IFImg2Img",
    "IFInpainting",
    "ChromaImg2Img",
    "QwenImageImg2Img",
]
SHARES = [(1, 1.0), (4, 0.2), (5, 0.5), (4, 0.6), (10, 0.3), (10, 0.75), (50, 0.58), (9, 1.0)]


class Scheduler:
    """What `get_timesteps` asks a real scheduler for."""

    order = 1

    def __init__(self, steps):
        self.timesteps = torch.arange(steps)
        self.config = self

    def set_begin_index(self, index):
        pass


@pytest.mark.parametrize("name", STARTING)
def test_steps_from_a_picture_are_counted_as_each_pipeline_of_diffusers_counts_them(name):
    made = getattr(diffusers, f"{name}Pipeline")
    pipe = object.__new__(made)
    for steps, strength in SHARES:
        whole = object.__new__(made)
        object.__setattr__(whole, "scheduler", Scheduler(steps))
        taken = inspect.signature(made.get_timesteps).parameters
        rest = {"device": "cpu"} if "device" in taken else {}
        theirs = made.get_timesteps(whole, steps, strength, **rest)[0]
        assert tasks.steps_made(pipe, steps, strength) == len(theirs)
    assert tasks.steps_made(pipe, 7, None) == 7


@pytest.mark.parametrize("family", [*toys.FAMILIES])
def test_the_calls_of_a_plan_from_a_picture_are_those_that_are_made(tmp_path, family):
    pipe = sdnb.load(toys.saved(family, tmp_path), device="cpu", dtype="float32")
    red, small = Image.new("RGB", (64, 64), "red"), {"width": 64, "height": 64, "pipe": pipe}
    for steps, strength in SHARES[:5]:
        if not schedulers.is_flow(pipe.scheduler) and int(steps * strength) < 1:
            with pytest.raises(ValueError, match="is less than one step"):
                sdnb.plan("a fox", image=red, steps=steps, strength=strength, **small)
            continue
        plan = sdnb.plan("a fox", image=red, steps=steps, strength=strength, seed=1, **small)
        assert plan.run(store=False)[0].facts["denoiser_calls"] == plan.calls


@pytest.mark.parametrize("name", schedulers.names())
def test_the_calls_of_every_scheduler_from_a_picture_are_those_that_are_made(pipe, name):
    """One step of PNDM is two calls."""
    red = Image.new("RGB", (64, 64), "red")
    for steps, strength in [(1, 1.0), (2, 0.5), (5, 0.2), (4, 0.75)]:
        plan = sdnb.plan(
            "a fox",
            image=red,
            steps=steps,
            strength=strength,
            scheduler=name,
            seed=2,
            width=64,
            height=64,
            pipe=pipe,
        )
        assert plan.run(store=False)[0].facts["denoiser_calls"] == plan.calls


TASKS = {
    "Img2Img": diffusers.AutoPipelineForImage2Image,
    "Inpaint": diffusers.AutoPipelineForInpainting,
}


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("family", [*toys.FAMILIES])
def test_another_task_has_the_class_and_the_parts_that_diffusers_gives_it(tmp_path, family, task):
    pipe = toys.FAMILIES[family](tmp_path)
    ours, theirs = tasks.for_task(pipe, task), TASKS[task].from_pipe(pipe)
    assert type(ours) is type(theirs)
    for name, part in theirs.components.items():
        assert ours.components[name] is part or name == "scheduler"
    # the reason why it is not diffusers' own: each call sets the timesteps of its scheduler
    assert theirs.scheduler is pipe.scheduler
    assert ours.scheduler is not pipe.scheduler
    assert ours.scheduler.config == pipe.scheduler.config


@pytest.mark.parametrize("task", TASKS)
def test_a_task_that_diffusers_own_table_leaves_out_is_found(task):
    """When diffusers finds it too, `for_task` may become its `from_pipe`."""
    pipe = families.made("ChromaPipeline")
    with pytest.raises(ValueError, match="can't find a pipeline"):
        TASKS[task].from_pipe(pipe)
    made = tasks.for_task(pipe, task)
    assert type(made).__name__ == f"Chroma{task}Pipeline"
    assert made.transformer is pipe.transformer


def test_a_model_that_only_inpaints_asks_for_the_mask():
    pipe = families.made("FluxFillPipeline")
    with pytest.raises(ValueError, match="mask shows in white: give mask= too"):
        sdnb.plan("a fox", image=Image.new("RGB", (32, 32)), pipe=pipe)
