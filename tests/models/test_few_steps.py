"""Few-step models: truth from their pages, whose numbers stand here beside their addresses."""

import diffusers
import pytest

import sdnb
from sdnb.models import provenance
from sdnb.models.capabilities import Capabilities
from tests.support import families


@pytest.mark.parametrize(
    ("scheduler", "guidance"), [("LCMScheduler", 1.0), ("TCDScheduler", 0.0)]
)  # fmt: skip
def test_a_model_with_a_few_step_scheduler_takes_few_steps(scheduler, guidance):
    """https://huggingface.co/docs/diffusers/using-diffusers/inference_with_lcm and …_with_tcd"""
    pipe = families.made("StableDiffusionPipeline")
    assert sdnb.plan("a fox", pipe=pipe).settings[0].steps == 50
    pipe.scheduler = getattr(diffusers, scheduler).from_config(pipe.scheduler.config)
    [settings] = sdnb.plan("a fox", pipe=pipe).settings
    assert (settings.steps, settings.guidance) == (4, guidance)
    assert len(set(sdnb.compare("a fox", seed=[1, 2], pipe=pipe, store=False).samples)) == 2


@pytest.mark.parametrize(
    ("name", "model", "steps", "guidance"),
    [
        ("StableDiffusionXLPipeline", "stabilityai/sdxl-turbo", 1, 0.0),
        ("StableDiffusionXLPipeline", "stabilityai/stable-diffusion-xl-base-1.0", 50, 5.0),
        ("ZImagePipeline", "Tongyi-MAI/Z-Image-Turbo", 9, 0.0),
        ("ZImagePipeline", "Tongyi-MAI/Z-Image", 50, 5.0),
    ],
)
def test_a_turbo_is_known_by_its_name(name, model, steps, guidance):
    pipe = families.made(name)
    origin = provenance.Origin(model, None, "float32", "cpu", None)
    provenance.remember(pipe, origin, pickled=False)
    can = Capabilities.of(pipe)
    assert (can.steps, can.guidance_scale) == (steps, guidance)


def test_a_distilled_klein_takes_four_steps_and_no_guidance():
    pipe = families.made("Flux2KleinPipeline")
    pipe.register_to_config(is_distilled=True)
    can = Capabilities.of(pipe)
    assert (can.steps, can.guidance) == (4, False)
    with pytest.raises(ValueError, match="guidance is distilled into the model"):
        sdnb.plan("a fox", guidance=[2, 9], pipe=pipe)
