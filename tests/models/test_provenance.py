"""Other pipelines than Stable Diffusion 1: small ones with random weights, from a folder."""

import copy

import numpy as np
import pytest
import torch
from PIL import Image

import sdnb
from sdnb.generation import prompt_encoding, x0_preview
from sdnb.models import denoiser, tasks
from tests.support import programs, toys


@pytest.fixture(scope="module", params=toys.FAMILIES)
def family(request):
    return request.param


@pytest.fixture(scope="module")
def toy(family, tmp_path_factory):
    folder = toys.saved(family, tmp_path_factory.mktemp("toy"))
    pipe = sdnb.load(folder, device="cpu", dtype="float32")
    pipe.set_progress_bar_config(disable=True)
    return pipe


SMALL = {"width": 64, "height": 64}
START = Image.radial_gradient("L").resize((64, 64)).convert("RGB")


def test_a_picture_is_pixel_for_pixel_the_pipelines_own(toy, family):
    ours = sdnb.generate("a fox", seed=1, steps=2, guidance=3, **SMALL, pipe=toy)
    theirs = toy(
        "a fox", num_inference_steps=2, guidance_scale=3.0, **SMALL,
        generator=torch.Generator("cpu").manual_seed(1),
    ).images[0]  # fmt: skip
    assert np.array_equal(np.asarray(ours.image), np.asarray(theirs))
    assert ours.facts["denoiser_calls"] == 2
    assert ours.image.size == (ours.settings.width, ours.settings.height)


def test_a_negative_prompt_is_taken_where_the_model_takes_one(toy, family):
    if family == "Flux":  # its guidance is distilled
        with pytest.raises(ValueError, match="FluxPipeline takes no negative prompt"):
            sdnb.generate("a fox", negative_prompt="blur", steps=1, pipe=toy)
        return
    ours = sdnb.generate("a fox", seed=1, steps=2, guidance=3, negative_prompt="blur", pipe=toy)
    theirs = toy(
        "a fox", negative_prompt="blur", num_inference_steps=2, guidance_scale=3.0,
        generator=torch.Generator("cpu").manual_seed(1),
    ).images[0]  # fmt: skip
    assert np.array_equal(np.asarray(ours.image), np.asarray(theirs))


def test_image_to_image_and_inpainting_are_the_families_own(toy):
    for task in ("Img2Img", "Inpaint"):
        view = tasks.for_task(toy, task)
        assert task in type(view).__name__
        assert denoiser.denoiser_of(view) is denoiser.denoiser_of(toy)
        assert view.dtype == toy.dtype
        mask = {"mask": Image.new("L", (64, 64), 255)} if task == "Inpaint" else {}
        ours = sdnb.generate("a fox", image=START, **mask, strength=0.5, steps=4, guidance=3,
                             seed=1, width=64, height=64, pipe=toy)  # fmt: skip
        given = {"mask_image": mask["mask"], "width": 64, "height": 64} if mask else {}
        view.set_progress_bar_config(disable=True)
        if "Flux" in type(view).__name__ or "Diffusion3" in type(view).__name__:
            given |= {"width": 64, "height": 64}
        theirs = view(
            "a fox", image=START, **given, strength=0.5, num_inference_steps=4, guidance_scale=3.0,
            generator=torch.Generator("cpu").manual_seed(1),
        ).images[0]  # fmt: skip
        assert np.array_equal(np.asarray(ours.image), np.asarray(theirs))


def test_the_code_makes_the_same_picture_in_a_fresh_process(toy, family, tmp_path):
    START.save(tmp_path / "start.png")
    made = {
        "text.png": sdnb.generate("a fox", seed=1, steps=2, guidance=3, **SMALL, pipe=toy),
        "image.png": sdnb.generate("a fox", image=tmp_path / "start.png", strength=0.5, steps=4,
                                   seed=1, **SMALL, pipe=toy),
    }  # fmt: skip
    if family in ("SD 2", "SDXL"):
        long = "a fox on a blue background " * 14
        made["long.png"] = sdnb.generate(long, seed=1, steps=2, long_prompt="chunk", pipe=toy)
    code = "\n".join(f"{s.code()}\nimage.save({str(tmp_path / n)!r})" for n, s in made.items())
    programs.run("-c", code, cwd=tmp_path, check=True)
    for name, sample in made.items():
        again = np.asarray(Image.open(tmp_path / name))
        assert np.array_equal(again, np.asarray(sample.image)), name


def test_a_size_that_does_not_fit_is_refused_before_the_run(toy):
    multiple = sdnb.generate("a fox", steps=1, width=64, height=48, pipe=toy)
    assert multiple.image.size == (64, 48)
    with pytest.raises(ValueError, match="is not a multiple of"):
        sdnb.generate("a fox", steps=1, width=68, pipe=toy)


def test_noise_schedulers_fit_noise_models_only(toy, family):
    if family in ("SD 2", "SDXL"):
        sheet = sdnb.compare("a fox", scheduler=["DDIM", "Heun"], steps=2, pipe=toy)
        assert [s.facts["denoiser_calls"] for s in sheet] == [2, 3]
    else:
        with pytest.raises(ValueError, match="this one is a flow model"):
            sdnb.compare("a fox", scheduler=["DDIM"], steps=2, pipe=toy)
        small = {"steps": 2, "width": 64, "height": 64, "pipe": toy}
        own = sdnb.generate("a fox", **small).settings.scheduler
        assert own == "FlowMatchEulerDiscreteScheduler"
        assert sdnb.generate("a fox", scheduler=own, **small).facts["denoiser_calls"] == 2


def test_what_the_longest_reader_reads_is_not_lost(toy, family):
    long = "a fox on a blue background " * 14  # 84 tokens
    assert (
        prompt_encoding.limit(toy)[1] == {"SD 2": 75, "SDXL": 75, "SD3": 256, "Flux": 512}[family]
    )
    assert bool(prompt_encoding.lost(toy, long)) == (family in ("SD 2", "SDXL"))
    if family in ("SD3", "Flux"):
        with pytest.raises(ValueError, match="cannot read a prompt in pieces: shorten it"):
            sdnb.generate(long * 7, steps=1, long_prompt="chunk", pipe=toy)


@pytest.mark.parametrize("own", [False, True], ids=["scaled by one number", "by one a channel"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_a_run_on_its_way_is_decoded_as_sdxl_decodes_it(tmp_path, own, dtype):
    """Truth from outside: the pipeline's own picture of the same latents."""
    pipe = sdnb.load(toys.saved("SDXL", tmp_path), device="cpu", dtype=dtype)
    pipe.set_progress_bar_config(disable=True)
    if own:
        pipe.vae.register_to_config(latents_mean=[1, 0, 0, -1], latents_std=[2, 1, 1, 0.5])
    seen = []
    decode = pipe.vae.decode
    pipe.vae.decode = lambda z, **how: seen.append(z.dtype) or decode(z, **how)

    def made(kind):
        noise = torch.Generator("cpu").manual_seed(1)
        return pipe("a fox", num_inference_steps=2, generator=noise, output_type=kind).images[0]

    latents, theirs = made("latent"), made("pil")
    [ours] = x0_preview.decoded(pipe, latents[None], theirs.size)
    assert np.abs(np.asarray(ours, int) - np.asarray(theirs, int)).max() <= 2
    assert seen == [torch.float32] * 2  # in half precision SDXL's decoder overflows
    assert pipe.vae.dtype == dtype


def test_a_model_whose_latents_nobody_can_look_at_is_told_before_the_run(tmp_path, monkeypatch):
    pipe = copy.copy(sdnb.load(toys.saved("SD 2", tmp_path), device="cpu"))
    pipe.vae = copy.deepcopy(pipe.vae)
    pipe.vae._internal_dict = {k: v for k, v in pipe.vae.config.items() if k != "scaling_factor"}
    monkeypatch.setattr(type(pipe.unet), "forward", lambda *_: pytest.fail("it ran"))
    with pytest.raises(ValueError, match="The steps of a StableDiffusionPipeline cannot be shown"):
        sdnb.evolution("a fox", [1, 2], steps=2, pipe=pipe)


def test_another_pipeline_of_the_model_has_its_options(tmp_path):
    pipe = sdnb.load(toys.saved("SDXL", tmp_path), device="cpu")
    pipe.register_to_config(force_zeros_for_empty_prompt=False)
    for task in ("Img2Img", "Inpaint"):
        assert tasks.for_task(pipe, task).config.force_zeros_for_empty_prompt is False


def test_a_pipeline_that_takes_a_mask_already_is_taken_for_inpainting_as_it_is():
    class FluxFillPipeline:
        def __call__(self, prompt, image, mask_image): ...

    fill = FluxFillPipeline()
    assert tasks.for_task(fill, "Inpaint") is fill


@pytest.mark.parametrize("kind", ["SD 2", "SDXL"])
def test_the_empty_negative_of_a_long_prompt_is_what_the_pipeline_takes_for_none(kind, tmp_path):
    toy = sdnb.load(toys.saved(kind, tmp_path), device="cpu", dtype="float32")
    made = prompt_encoding.embeddings(toy, (["a fox", "an owl"], ["", ""]))
    theirs = toy.encode_prompt("a fox", device="cpu", num_images_per_prompt=1,
                               do_classifier_free_guidance=True)  # fmt: skip
    with torch.no_grad():
        assert torch.equal(made["negative_prompt_embeds"], torch.cat([theirs[1]] * 2, 1))
    if kind == "SDXL":
        assert torch.equal(made["negative_pooled_prompt_embeds"], theirs[3])
