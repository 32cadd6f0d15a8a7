"""What a pipeline can be asked for: truth from diffusers' own signatures, and from running it."""

import copy
import gc
import inspect
import re
import weakref
from pathlib import Path

import diffusers
import pytest

import sdnb
from sdnb.models import guidance, tasks
from sdnb.models.capabilities import Capabilities
from tests.support import toys

ROOT = Path(sdnb.__file__).parent
ASKED = {  # family: negative prompt, guidance, pieces, pooled, schedulers, multiple, tokens
    "SD 2": (True, True, True, False, True, 8, None),
    "SDXL": (True, True, True, True, True, 8, None),
    "SD3": (True, True, False, True, False, 4, 256),
    "Flux": (False, True, False, True, False, 4, 512),
}


@pytest.mark.parametrize("family", toys.FAMILIES)
def test_each_family_is_known_for_what_it_takes(family, tmp_path):
    pipe = toys.FAMILIES[family](tmp_path)
    can = Capabilities.of(pipe)
    negative, guided, pieces, pooled, choice, multiple, tokens = ASKED[family]
    assert (can.negative_prompt, can.guidance, can.pieces) == (negative, guided, pieces)
    assert (can.pooled, can.text_tokens) == (pooled, tokens)
    assert (len(can.schedulers) > 1) == choice
    assert can.multiple % multiple == 0
    assert all(side % can.multiple == 0 for side in can.sizes)
    assert can.prompt
    assert can.picture
    assert can.mask
    assert not can.starts_from_picture
    own = inspect.signature(pipe.__call__).parameters
    assert can.steps == own["num_inference_steps"].default
    assert can.guidance_scale == own["guidance_scale"].default
    view = Capabilities.of(tasks.for_task(pipe, "Img2Img"))
    assert view.starts_from_picture
    assert view.strength == inspect.signature(tasks.for_task(pipe, "Img2Img").__call__).parameters[
        "strength"
    ].default  # fmt: skip


def test_a_model_whose_guidance_cannot_be_set_takes_none_and_none_is_recorded(tmp_path):
    pipe = toys.flux(tmp_path)
    pipe.transformer.register_to_config(guidance_embeds=False)
    assert not Capabilities.of(pipe).guidance
    [settings] = sdnb.plan("a fox", pipe=pipe).settings
    assert (settings.steps, settings.guidance) == (4, None)  # as FLUX.1 schnell's page has it
    with pytest.raises(ValueError, match="takes no guidance, so all pictures would be the same"):
        sdnb.plan("a fox", guidance=[1, 4], pipe=pipe)


def test_what_a_family_takes_where_nothing_is_said_is_its_own(tmp_path):
    [settings] = sdnb.plan("a fox", pipe=toys.sdxl(tmp_path)).settings
    assert (settings.steps, settings.guidance) == (50, 5.0)


def test_a_pipeline_is_asked_once_and_again_where_its_scheduler_was_replaced(pipe):
    own = copy.copy(pipe)
    can = Capabilities.of(own)
    assert Capabilities.of(own) is can
    own.scheduler = diffusers.FlowMatchEulerDiscreteScheduler()
    assert Capabilities.of(own).schedulers == ("FlowMatchEulerDiscreteScheduler",)


def test_the_record_does_not_keep_a_pipeline_in_memory(tmp_path):
    pipe = toys.sd2(tmp_path)
    Capabilities.of(pipe)
    unet = weakref.ref(pipe.unet)
    del pipe
    gc.collect()
    assert unet() is None


def test_classes_that_call_their_transformer_twice_a_step_are_known():
    calls = {
        name: guidance._calls_a_step(getattr(diffusers, f"{name}Pipeline"))
        for name in ("StableDiffusion", "StableDiffusionXL", "StableDiffusion3", "CogView4",
                     "Lumina2", "Chroma", "PixArtSigma")
    }  # fmt: skip
    assert [name for name, count in calls.items() if count == 2] == [
        "CogView4",
        "Lumina2",
        "Chroma",
    ]


ASKS = re.compile(
    r"signature\(.*__(call|init)__|[\"']XL[\"']|ImageVariation|takes_mask|guidance_embeds"
    r"|[\"']true_cfg_scale[\"'] in"
)


def test_nobody_else_looks_at_signatures_or_class_names():
    """`records/diffusers_code.py` writes code for a class that a file names, and imports none.
    `models/lora.py` reads for which family a file of LoRA weights is."""
    places = {
        str(path.relative_to(ROOT)) for path in ROOT.rglob("*.py") if ASKS.search(path.read_text())
    }
    asked = ("capabilities", "few_steps", "guidance")
    one_place = {"pipeline_class.py", *(f"models/{name}.py" for name in asked)}
    assert places - one_place == {"records/diffusers_code.py", "models/lora.py"}
