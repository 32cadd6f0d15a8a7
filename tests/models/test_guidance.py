"""How families take guidance, and what an axis that changes nothing is told. All of them: the gate.

The truth is diffusers' own source: `true_cfg_scale` beside a negative prompt turns Qwen-Image's
guidance on (https://huggingface.co/Qwen/Qwen-Image), Z-Image's is on above 0.
"""

import numpy as np
import pytest

import sdnb
from sdnb.models.capabilities import Capabilities
from tests.support import families

SIZE = {"width": 32, "height": 32, "steps": 2, "seed": 1}
# class -> the argument, its own scale, the scale that turns it off, calls a step with it on
KNOWN = {
    "StableDiffusion": ("guidance_scale", 7.5, 1, 1),
    "QwenImage": ("true_cfg_scale", 4.0, 1, 2),
    "ZImage": ("guidance_scale", 5.0, 0, 1),
    "Krea2": ("guidance_scale", 4.5, 0, 2),
    "Chroma": ("guidance_scale", 5.0, 1, 2),
    "LongCatImage": ("guidance_scale", 4.5, 1, 2),
    "Flux2Klein": ("guidance_scale", 4.0, 1, 2),
    "CogView4": ("guidance_scale", 5.0, 1, 2),
}


@pytest.mark.parametrize("name", KNOWN)
def test_which_argument_is_guidance_and_what_a_step_costs_with_it(name):
    argument, own, off, calls = KNOWN[name]
    can = Capabilities.of(families.made(f"{name}Pipeline"))
    assert (can.guide.argument, can.guidance_scale) == (argument, own)
    assert not can.guided(off)
    assert can.guided(off + 0.5)
    assert can.guide.calls_a_step(own) == calls
    assert can.guide.calls_a_step(off) == 1


def test_qwen_image_is_guided_and_its_negative_prompt_counts():
    pipe = families.made("QwenImagePipeline")
    sheet = sdnb.compare("a fox", guidance=[1, 4, 9], pipe=pipe, store=False, **SIZE)
    first, second, third = (np.asarray(sample.image) for sample in sheet.samples)
    assert (first != second).any()
    assert (second != third).any()
    assert [sample.facts["denoiser_calls"] for sample in sheet.samples] == [2, 4, 4]
    assert 'negative_prompt=" "' in sheet[1].code()
    assert "true_cfg_scale=4," in sheet[1].code()
    other = sdnb.generate(
        "a fox", guidance=4, negative_prompt="a cat", pipe=pipe, store=False, **SIZE
    )
    assert (np.asarray(other.image) != second).any()


def test_hunyuan_image_says_that_its_guider_decides():
    pipe = families.made("HunyuanImagePipeline")
    with pytest.raises(ValueError, match=r"all pictures would be the same: its guider decides"):
        sdnb.plan("a fox", guidance=[2, 9], pipe=pipe, **SIZE)
    assert sdnb.plan("a fox", pipe=pipe, **SIZE).calls == 4


def test_scales_that_all_turn_guidance_off_are_an_error_in_the_plan(pipe):
    with pytest.raises(ValueError, match="off at 1 and below, so all pictures would be the same"):
        sdnb.plan("a fox", guidance=[0, 0.5, 1], pipe=pipe)
    assert len(sdnb.plan("a fox", guidance=[1, 2], pipe=pipe)) == 2


def test_negative_prompts_without_guidance_are_an_error_in_the_plan(pipe):
    with pytest.raises(ValueError, match="counts only with guidance above 1"):
        sdnb.plan("a fox", negative_prompt=["", "a cat"], guidance=1, pipe=pipe)
    assert len(sdnb.plan("a fox", negative_prompt=["", "a cat"], guidance=[1, 4], pipe=pipe)) == 4


def test_ideogram_keeps_its_own_schedule_of_guidance_until_steps_differ():
    pipe = families.made("Ideogram4Pipeline")
    can = Capabilities.of(pipe)
    assert can.guidance_for(48) is None
    assert can.guidance_for(3) == 7.0
    settings = sdnb.Settings("a fox", steps=3, guidance=7.0)
    assert can.call(settings)["guidance_schedule"] is None


def test_a_picture_is_edited_without_a_strength():
    pipe = families.made("Flux2KleinPipeline")
    size = {"width": 64, "height": 64, "steps": 2, "seed": 1}
    fox = sdnb.generate("a fox", pipe=pipe, store=False, **size).image
    edited = sdnb.generate("a fox in snow", image=fox, pipe=pipe, store=False, **size)
    assert edited.settings.strength is None
    assert (np.asarray(edited.image) != np.asarray(fox)).any()
    with pytest.raises(ValueError, match="takes no strength: say in the prompt what is to change"):
        sdnb.generate("a fox in snow", image=fox, strength=0.5, pipe=pipe, store=False, **size)
