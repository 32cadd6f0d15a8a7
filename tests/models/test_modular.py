"""Modular pipelines go through the same calls as the classic ones, and give diffusers' pixels."""

import json
import shutil

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

import sdnb
from sdnb.generation import denoiser_calls, sampling, x0_preview
from sdnb.models import device, modular_pretrained, provenance
from sdnb.models.capabilities import Capabilities
from sdnb.sweeps.batching import Batcher
from tests.support import families, loras, modular_families

SIZE = {"width": 32, "height": 32}
XL = "StableDiffusionXLModularPipeline"


class Toy:
    def __init__(self, name, folder):
        modular_families.made(name).save_pretrained(str(folder), overwrite_modular_index=True)
        self.name, self.folder = name, folder
        self.pipe = sdnb.load(folder, device="cpu", dtype="float32")

    def own(self, pipe=None, **given):
        """What diffusers itself makes of it."""
        pipe = pipe or self.plain()
        if "guider" in given:
            pipe.update_components(guider=pipe.guider.new(guidance_scale=given.pop("guider")))
        seed = torch.Generator("cpu").manual_seed(1)
        return pipe(prompt="a fox", num_inference_steps=3, generator=seed, **SIZE, **given)

    def plain(self):
        pipe = diffusers.ModularPipeline.from_pretrained(self.folder)
        pipe.load_components()
        return pipe

    def generate(self, **settings):
        return sdnb.generate("a fox", **self.settings(settings), store=False)

    def compare(self, **settings):
        return sdnb.compare("a fox", **self.settings(settings), store=False)

    def settings(self, changes):
        return {"pipe": self.pipe, "steps": 3, "seed": 1} | SIZE | changes


@pytest.fixture(scope="module", params=[XL, "FluxModularPipeline"])
def toy(request, tmp_path_factory):
    return Toy(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def xl(tmp_path_factory):
    return Toy(XL, tmp_path_factory.mktemp("xl"))


@pytest.fixture(scope="module")
def picture():
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    return Image.fromarray(noise)


def pixels(sample):
    return np.asarray(getattr(sample, "image", sample).convert("RGB")).astype(int)


def test_a_picture_is_the_pipelines_own_and_that_of_its_code(toy):
    sample = toy.generate()
    assert (pixels(sample) == pixels(toy.own().images[0])).all()
    scope = {}
    exec(sample.code(), scope)
    assert (pixels(sample) == pixels(scope["image"])).all()
    assert "changed" not in sample.facts
    assert provenance.differences(toy.pipe) == {}


# Qwen-Image's blocks read the names of the denoiser's arguments; Ideogram 4's take a scale a step;
# Z-Image's denoiser makes its rotary tables at the first call
@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("QwenImageModularPipeline", {}),
        ("Ideogram4ModularPipeline", {"guidance_schedule": [7.0] * 3}),
        ("ZImageModularPipeline", {}),
    ],
)
def test_models_with_ways_of_their_own_give_their_own_pictures(name, given, tmp_path):
    toy = Toy(name, tmp_path)
    sample = toy.generate()
    assert np.array_equal(np.asarray(sample.image), np.asarray(toy.own(**given).images[0]))
    assert "changed" not in sample.facts
    scope = {}
    exec(sample.code(), scope)
    assert np.array_equal(np.asarray(sample.image), np.asarray(scope["image"]))


def test_guidance_is_the_guiders(xl):
    sheet = xl.compare(guidance=[2, 9])
    assert (pixels(sheet.samples[1]) == pixels(xl.own(guider=9.0).images[0])).all()
    assert (pixels(sheet.samples[0]) != pixels(sheet.samples[1])).any()
    scope = {}
    exec(sheet.samples[1].code(), scope)
    assert (pixels(sheet.samples[1]) == pixels(scope["image"])).all()
    assert xl.pipe.guider.guidance_scale == 7.5  # a run's own was changed
    with pytest.raises(ValueError, match="counts only with guidance that is not 1, so all"):
        xl.compare(guidance=1, negative_prompt=["a cat", "two dogs"])


def test_a_guider_that_is_off_stays_off_unless_guidance_is_given(tmp_path):
    toy = Toy("ZImageModularPipeline", tmp_path)
    can = Capabilities.of(toy.pipe)
    assert (can.guidance_scale, can.steps) == (1.0, 8)
    own, guided = toy.generate(), toy.generate(guidance=5)
    assert own.facts["denoiser_calls"] == 3
    assert guided.facts["denoiser_calls"] == 6
    assert (pixels(own) == pixels(toy.own().images[0])).all()
    assert (pixels(own) != pixels(guided)).any()


@pytest.mark.parametrize(("guidance", "calls"), [(7.5, 6), (1, 3), (0.5, 6)])
def test_calls_are_counted_and_planned_as_they_are_made(xl, guidance, calls):
    counted = []
    hook = xl.pipe.unet.register_forward_hook(lambda *_: counted.append(1))
    try:
        plan = sdnb.plan("a fox", **xl.settings({"guidance": guidance}))
        assert plan.calls == plan.run(store=False)[0].facts["denoiser_calls"] == calls
    finally:
        hook.remove()
    assert len(counted) == calls


def test_a_batch_shares_denoiser_calls_and_gives_the_same_pictures(toy):
    jobs = [sdnb.Settings("a fox", steps=3, seed=seed, **SIZE) for seed in (1, 2, 3)]
    jobs = [sampling.resolve(job, toy.pipe) for job in jobs]
    batcher = Batcher(toy.pipe)
    made = dict(batcher.run(jobs))
    assert batcher.calls["denoiser"] == denoiser_calls.calls_of(jobs[0], toy.pipe)
    for i, seed in enumerate((1, 2, 3)):
        assert np.abs(pixels(made[i]) - pixels(toy.generate(seed=seed))).max() <= 2


def test_a_guider_that_changes_the_denoiser_runs_one_by_one_and_says_so(xl):
    pipe = xl.plain()
    pipe.update_components(
        guider=diffusers.guiders.PerturbedAttentionGuidance(
            guidance_scale=5.0, perturbed_guidance_layers=["mid_block.attentions.0"]
        )
    )
    assert "changes the denoiser itself" in Capabilities.of(pipe).alone


def test_what_is_seen_on_the_way_is_what_the_blocks_after_the_loop_make(toy):
    plain, steps = toy.plain(), []
    step = plain.scheduler.step

    def stepped(*args, **kwargs):
        steps.append(step(*args, **kwargs))
        return steps[-1]

    plain.scheduler.step = stepped
    own = toy.own(plain)
    seen = x0_preview.decoded(toy.pipe, steps[-1][0], (32, 32))[0]  # where its loop ends
    assert (pixels(seen) == pixels(own.images[0])).all()
    settings = toy.settings({})
    sheet = sdnb.evolution("a fox", [1, 3], store=False, **settings)
    assert (pixels(sheet.samples[1]) == pixels(toy.generate())).all()
    assert (pixels(sheet.samples[0]) != pixels(sheet.samples[1])).any()
    latents = []
    last = sampling.run(
        sampling.resolve(sdnb.Settings("a fox", steps=3, seed=1, **SIZE), toy.pipe),
        toy.pipe,
        on_step=lambda _, x: latents.append(x),
    )
    final = x0_preview.decoded(toy.pipe, latents[-1], (32, 32))[0]
    assert np.abs(pixels(final) - pixels(last)).mean() < 1  # the last step ends at predicted x0


def test_a_run_ends_at_the_call_at_which_it_is_stopped(toy):
    calls = []

    def stop():
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt

    settings = sampling.resolve(sdnb.Settings("a fox", steps=3, seed=1, **SIZE), toy.pipe)
    with pytest.raises(KeyboardInterrupt):
        sampling.run(settings, toy.pipe, stop)
    assert len(calls) == 2
    assert not toy.pipe.scheduler.__dict__.get("step")


def test_no_bar_but_ours_is_shown(toy, capfd):
    toy.generate()
    bars = {line.partition(":")[0] for line in capfd.readouterr().err.split("\r") if "%|" in line}
    assert bars <= {"1 picture"}


@pytest.mark.parametrize("strength", [0.4, 0.5, 1])
def test_image_to_image_is_the_pipelines_own(toy, picture, strength):
    given = {"image": picture, "strength": strength}
    plan = sdnb.plan("a fox", **toy.settings(given))
    sample = plan.run(store=False)[0]
    assert (pixels(sample) == pixels(toy.own(**given).images[0])).all()
    assert plan.calls == sample.facts["denoiser_calls"]


def test_inpainting_is_the_pipelines_own(xl, picture):
    mask = Image.new("L", (32, 32))
    mask.paste(255, (8, 8, 32, 32))
    given = {"image": picture, "strength": 1.0}
    sample = xl.generate(**given, mask=mask)
    own = xl.own(**given, mask_image=mask)
    assert (pixels(sample) == pixels(own.images[0])).all()


def test_a_task_that_the_blocks_do_not_have_is_refused(picture):
    pipe = modular_families.made("FluxModularPipeline")
    mask = Image.new("L", (32, 32), 255)
    with pytest.raises(ValueError, match="The blocks of this FluxModularPipeline have no inpainti"):
        sdnb.generate("a fox", pipe=pipe, image=picture, mask=mask, **SIZE)
    if not hasattr(diffusers, "Krea2TurboModularPipeline"):
        return  # Colab's 0.39
    pipe = modular_families.made("Krea2TurboModularPipeline")
    with pytest.raises(ValueError, match="Krea2TurboModularPipeline have no image to image"):
        sdnb.generate("a fox", pipe=pipe, image=picture, **SIZE)


def test_pictures_are_kept_in_the_store_and_come_back(toy, tmp_path):
    first = sdnb.generate("a fox", **toy.settings({"store": tmp_path}))
    again = sdnb.generate("a fox", **toy.settings({"store": tmp_path}))
    assert again.facts == first.facts  # its seconds too
    assert (pixels(first) == pixels(again)).all()
    first.save(tmp_path / "picture.png")
    back = sdnb.read(tmp_path / "picture.png")
    assert back.settings == first.settings
    assert back.facts["pipeline"] == toy.name


def test_a_live_pipeline_of_the_users_own_blocks_makes_pictures_that_are_not_kept(xl, tmp_path):
    blocks = diffusers.StableDiffusionXLAutoBlocks().get_workflow("text2image")
    pipe = blocks.init_pipeline()
    parts = xl.plain().components
    known = {spec.name for spec in blocks.expected_components}
    pipe.update_components(**{k: v for k, v in parts.items() if k in known and v is not None})
    sample = sdnb.generate("a fox", **xl.settings({"pipe": pipe, "store": tmp_path}))
    assert (pixels(sample) == pixels(xl.own().images[0])).all()
    assert sample.facts["changed"] == "sdnb.load did not make it"
    assert not Capabilities.of(pipe).picture


def test_loading_logs_no_warning_of_diffusers(xl, caplog):
    sdnb.clear()
    sdnb.load(xl.folder, device="cpu", dtype="float32")
    assert not [told for told in caplog.records if told.name.startswith("diffusers")]


def test_what_makes_no_pictures_is_refused_with_the_reason(tmp_path):
    with pytest.raises(ValueError, match="a WanModularPipeline, which makes videos"):
        sdnb.generate("a fox", pipe=diffusers.WanModularPipeline())
    with pytest.raises(ValueError, match=r"has no transformer and no scheduler and no vae: load "):
        sdnb.generate("a fox", pipe=diffusers.FluxModularPipeline())
    index = {"_class_name": "WanModularPipeline", "_blocks_class_name": "WanBlocks"}
    (tmp_path / "modular_model_index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match="is a WanModularPipeline, which makes videos"):
        sdnb.load(tmp_path)
    index = {"_class_name": "ModularPipeline", "_blocks_class_name": "OwnBlocks"}
    (tmp_path / "modular_model_index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match=r"needs program code of its own \(OwnBlocks\)"):
        sdnb.load(tmp_path)


def test_parts_are_taken_from_other_repositories_too(xl, tmp_path):
    own, other = tmp_path / "own", tmp_path / "other"
    shutil.copytree(xl.folder, own)
    other.mkdir()
    (own / "vae").rename(other / "vae")
    index = json.loads((own / "modular_model_index.json").read_text())
    index["vae"][2]["pretrained_model_name_or_path"] = str(other)
    (own / "modular_model_index.json").write_text(json.dumps(index))
    pipe = sdnb.load(own, device="cpu", dtype="float32")
    assert (pixels(xl.generate(pipe=pipe)) == pixels(xl.own().images[0])).all()
    shutil.rmtree(other)
    sdnb.clear()
    with pytest.raises((ValueError, OSError), match="other"):
        sdnb.load(own, device="cpu", dtype="float32")


def test_a_damaged_part_is_named(xl, tmp_path):
    own = tmp_path / "own"
    shutil.copytree(xl.folder, own)
    (own / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(b"no weights")
    with pytest.raises(OSError, match=r"vae/diffusion_pytorch_model\.safetensors.*damaged"):
        sdnb.load(own, device="cpu", dtype="float32")


def test_one_that_is_too_large_for_the_gpu_is_refused_before_its_download(xl, monkeypatch):
    fetched = []
    monkeypatch.setattr(device, "check", lambda name: name)
    monkeypatch.setattr(device, "free_memory", lambda name: 0 if name == "cuda" else 10**10)
    monkeypatch.setattr(modular_pretrained.Modular, "download", lambda *_: fetched.append(1))
    sdnb.clear()
    text = r"needs \d+ MB of memory in float16, and 0 MB are free on the GPU, and sdnb does not"
    with pytest.raises(MemoryError, match=text):
        sdnb.load(xl.folder, device="cuda", dtype="float16")
    assert not fetched


def test_loras_and_another_vae_go_on_it_as_on_a_classic_one(xl, tmp_path):
    classic = families.made("StableDiffusionXLPipeline")
    classic.vae.decoder.conv_out.bias.data += 0.3
    classic.vae.save_pretrained(tmp_path / "vae")
    ink = loras.written(classic, tmp_path / "ink" / "ink.safetensors", size=20)
    pipe = sdnb.load(
        xl.folder, device="cpu", dtype="float32", lora=[str(ink)], vae=str(tmp_path / "vae")
    )
    without, sample = xl.generate(pipe=pipe, lora={}), xl.generate(pipe=pipe)
    assert (pixels(xl.own().images[0]) != pixels(without)).any()
    assert (pixels(without) != pixels(sample)).any()
    scope = {}
    exec(sample.code(), scope)
    assert (pixels(sample) == pixels(scope["image"])).all()


def test_fp8_is_had_and_other_kinds_are_refused(xl):
    pipe = sdnb.load(xl.folder, device="cpu", dtype="float32", quantize="fp8")
    assert xl.generate(pipe=pipe).facts["quantize"] == "fp8"
