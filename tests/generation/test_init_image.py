"""Pictures to start from: image to image, inpainting, variations."""

import copy

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image, PngImagePlugin
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

import sdnb
from sdnb.generation import init_image
from sdnb.models import tasks
from tests.support import families, programs


@pytest.fixture(scope="module")
def fox(pipe):
    return sdnb.generate("a fox", steps=8, seed=1, pipe=pipe)


def difference(a, b):
    """Mean absolute difference, of 255."""
    return float(np.abs(np.asarray(a, float) - np.asarray(b, float)).mean())


@pytest.fixture(scope="module")
def half_mask():
    mask = Image.new("L", (128, 128), 0)
    mask.paste(255, (64, 0, 128, 128))
    return mask


def test_image_to_image_is_diffusers_own(pipe, fox):
    ours = sdnb.generate("a cat", image=fox, strength=0.5, steps=6, seed=2, pipe=pipe)
    other = diffusers.StableDiffusionImg2ImgPipeline(
        **{**pipe.components, "scheduler": diffusers.DDIMScheduler.from_config(
            pipe.scheduler.config)}, requires_safety_checker=False,
    )  # fmt: skip
    other.set_progress_bar_config(disable=True)
    theirs = other(
        "a cat", image=fox.image, strength=0.5, num_inference_steps=6, guidance_scale=7.5,
        generator=torch.Generator("cpu").manual_seed(2),
    ).images[0]  # fmt: skip
    assert np.array_equal(np.asarray(ours.image), np.asarray(theirs))
    assert ours.facts["denoiser_calls"] == 3
    assert (ours.settings.strength, ours.settings.width) == (0.5, 128)


def test_inpainting_is_diffusers_own_and_keeps_what_is_black_in_the_mask(pipe, fox, half_mask):
    ours = sdnb.generate("a cat", image=fox, mask=half_mask, steps=6, seed=2, pipe=pipe)
    unet = copy.deepcopy(pipe.unet)
    unet.register_to_config(in_channels=4)  # diffusers' way to say: without the mask among them
    other = diffusers.StableDiffusionInpaintPipeline(
        **{**pipe.components, "unet": unet, "scheduler": diffusers.DDIMScheduler.from_config(
            pipe.scheduler.config)}, requires_safety_checker=False,
    )  # fmt: skip
    other.set_progress_bar_config(disable=True)
    theirs = other(
        "a cat", image=fox.image, mask_image=half_mask, num_inference_steps=6, guidance_scale=7.5,
        strength=1.0, width=128, height=128, generator=torch.Generator("cpu").manual_seed(2),
    ).images[0]  # fmt: skip
    assert np.array_equal(np.asarray(ours.image), np.asarray(theirs))
    left, right = (0, 0, 56, 128), (64, 0, 128, 128)
    assert difference(ours.image.crop(left), fox.image.crop(left)) < 8
    assert difference(ours.image.crop(right), fox.image.crop(right)) > 16


def test_pixels_that_are_kept_are_the_pictures_own_and_an_edge_is_a_mixture(pipe, fox):
    """Truth: the formula of compositing, on what inpainting gives without `keep`."""
    rng = np.random.default_rng(0)
    photo = Image.fromarray(rng.integers(0, 255, (16, 16, 3), "uint8")).resize((128, 128), 0)
    mask = Image.new("L", (128, 128))
    mask.paste(255, (96, 96, 128, 128))
    mask.paste(100, (88, 96, 96, 128))
    given = {"image": photo, "mask": mask, "steps": 2, "seed": 2, "pipe": pipe}
    sheet = sdnb.compare("a cat", keep=[None, "pixels"], **given)
    plain, kept = (np.asarray(sample.image, float) for sample in sheet)
    own, share = np.asarray(photo, float), np.asarray(mask, float)[..., None] / 255
    assert np.abs(plain - own)[:80, :80].max() > 20  # what the VAE makes of noise
    assert np.array_equal(kept[np.asarray(mask) == 0], own[np.asarray(mask) == 0])
    assert np.array_equal(kept[np.asarray(mask) == 255], plain[np.asarray(mask) == 255])
    assert np.abs(kept - (plain * share + own * (1 - share))).max() <= 1
    assert sheet.col_labels == ["as decoded", "pixels kept"]


def test_keep_is_a_setting_like_any_other(pipe, fox, half_mask, tmp_path):
    given = {"image": fox, "mask": half_mask, "steps": 2, "seed": 2, "pipe": pipe}
    kept = sdnb.generate("a cat", keep="pixels", **given)
    plain = sdnb.generate("a cat", **given)
    assert kept.settings == plain.settings.but(keep="pixels")
    assert kept.image.tobytes() != plain.image.tobytes()
    assert "pixels kept" in repr(kept)
    assert "keep" not in repr(plain.settings)
    back = sdnb.read(kept.save(tmp_path / "kept.png"))
    assert back.settings == kept.settings
    with Image.open(tmp_path / "kept.png") as opened:
        assert "pixels" not in opened.info["parameters"]  # AUTOMATIC1111 has no word for it
    assert sdnb.generate(back.settings, **given).image.tobytes() == kept.image.tobytes()
    [planned] = sdnb.plan("a cat", keep="pixels", **given).settings
    assert planned.keep == "pixels"
    for wrong in ({}, {"image": fox}):
        with pytest.raises(ValueError, match="keep is for inpainting: give the picture"):
            sdnb.generate("a cat", keep="pixels", steps=2, pipe=pipe, **wrong)
    with pytest.raises(ValueError, match="keep is 'all': give 'pixels' or None"):
        sdnb.Settings("a cat", keep="all")


def test_what_a_start_went_through_stands_in_its_facts(pipe, fox, tmp_path, heard):
    layer = Image.new("RGBA", (128, 128))
    layer.paste("white", (64, 0, 128, 128))
    layer.save(tmp_path / "mask.png")
    sample = sdnb.generate("a cat", image=fox.image.convert("RGBA"), mask=tmp_path / "mask.png",
                           steps=2, seed=1, pipe=pipe)  # fmt: skip
    facts = sample.facts["start"]
    assert facts["mask_file_steps"] == "transparent stays"
    assert "image_file_steps" not in facts  # opaque: nothing was done
    black = Image.new("L", (128, 128))
    init_image.start(fox, black)
    assert any("The mask is black everywhere" in sentence for sentence in heard())


def test_more_strength_leaves_less_of_the_picture_and_strength_is_an_axis(pipe, fox):
    sheet = sdnb.compare(
        "a cat", image=fox, strength=[0.1, 0.5, 1.0], guidance=3, steps=20, seed=3, pipe=pipe
    )
    changes = [difference(s.image, fox.image) for s in sheet]
    assert changes == sorted(changes)
    assert sheet.col_labels == ["strength 0.1", "strength 0.5", "strength 1"]
    assert [s.facts["denoiser_calls"] for s in sheet] == [2, 10, 20]


def test_the_views_share_the_weights_but_not_the_scheduler(pipe):
    view = tasks.for_task(pipe, "Img2Img")
    assert view is tasks.for_task(pipe, "Img2Img")
    assert view.unet is pipe.unet
    assert view.scheduler is not pipe.scheduler
    half = sdnb.load("emoji", dtype="float16", device="cpu")
    assert tasks.for_task(half, "Inpaint").unet.dtype == torch.float16


@pytest.mark.parametrize("task", ["Img2Img", "Inpaint"])
def test_a_view_follows_parts_that_were_replaced(task):
    own = diffusers.StableDiffusionPipeline.from_pretrained(sdnb.emoji.FOLDER)
    first = tasks.for_task(own, task)
    assert tasks.for_task(own, task) is first
    own.scheduler = diffusers.EulerDiscreteScheduler.from_config(own.scheduler.config)
    assert type(tasks.for_task(own, task).scheduler) is diffusers.EulerDiscreteScheduler
    own.unet = copy.deepcopy(own.unet)
    assert tasks.for_task(own, task).unet.conv_in is own.unet.conv_in
    own.feature_extractor, own.safety_checker = CLIPImageProcessor(), copy.deepcopy(own.vae)
    assert tasks.for_task(own, task).safety_checker is own.safety_checker
    own.safety_checker = None
    assert tasks.for_task(own, task).safety_checker is None


def test_a_file_its_turn_and_its_transparency_are_heeded(tmp_path):
    wide = Image.new("RGB", (40, 20), "red")
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    wide.save(tmp_path / "photo.jpg", exif=exif)
    assert init_image.start(tmp_path / "photo.jpg", None).image.size == (20, 40)
    Image.new("RGBA", (8, 8), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert init_image.start(str(tmp_path / "clear.png"), None).image.getpixel((0, 0)) == (255,) * 3


def test_a_large_picture_is_taken_at_the_models_size_in_its_own_shape(pipe):
    photo = Image.new("RGB", (1000, 500), "blue")
    sample = sdnb.generate("a fox", image=photo, steps=2, seed=1, pipe=pipe)
    assert sample.image.size == (192, 96)  # about 128 * 128 pixels, two to one


@pytest.mark.parametrize(
    ("arguments", "kind", "sentence"),
    [
        ({"mask": Image.new("L", (8, 8))}, ValueError, "A mask needs a picture"),
        ({"strength": 0.5}, ValueError, "give the picture to start from"),
        ({"image": Image.new("RGB", (64, 64)), "mask": Image.new("L", (8, 8))}, ValueError,
         "The mask is 8 x 8, the picture 64 x 64: make them the same size"),
        ({"image": Image.new("RGB", (64, 64)), "strength": 0.1, "steps": 5}, ValueError,
         "strength 0.1 of 5 steps is less than one step"),
        ({"image": "missing.png"}, FileNotFoundError, "There is no file missing.png"),
        ({"image": __file__}, ValueError, "is not a picture that can be read"),
    ],
)  # fmt: skip
def test_wrong_pictures_get_a_sentence(arguments, kind, sentence, pipe):
    with pytest.raises(kind, match=sentence):
        sdnb.generate("a fox", pipe=pipe, **arguments)


@pytest.mark.parametrize("keep", [None, "pixels"])
@pytest.mark.parametrize("masked", [False, True], ids=["image to image", "inpainting"])
def test_the_code_makes_the_same_picture_in_a_fresh_process(
    masked, keep, pipe, fox, half_mask, tmp_path
):
    if keep and not masked:
        pytest.skip("there is nothing to keep")
    start = fox.save(tmp_path / "start.png")
    half_mask.save(tmp_path / "mask.png")
    mask = {"mask": tmp_path / "mask.png", "keep": keep} if masked else {}
    sample = sdnb.generate("a cat", image=start, **mask, strength=0.7, steps=6, seed=4,
                           scheduler="DPM++ 2M", pipe=pipe)  # fmt: skip
    again = tmp_path / "again.png"
    code = sample.code() + f"\nimage.save({str(again)!r})\n"
    programs.run("-c", code, cwd=tmp_path, check=True)
    assert np.array_equal(np.asarray(Image.open(again)), np.asarray(sample.image))


def test_variations_of_a_sample_resemble_it_and_differ(pipe, fox):
    sheet = sdnb.variations(fox, 3, seed=5, steps=8, pipe=pipe)
    assert [s.settings.seed for s in sheet] == [5, 6, 7]
    other = sdnb.generate("a bus on a black background", steps=8, seed=1, pipe=pipe)
    for sample in sheet:
        assert 1 < difference(sample.image, fox.image) < difference(other.image, fox.image)


def test_variations_take_the_prompt_that_the_picture_carries(pipe, fox, tmp_path, heard):
    ours = fox.save(tmp_path / "fox.png")
    text = PngImagePlugin.PngInfo()
    text.add_text("parameters", "a bus\nSteps: 20, Sampler: DDIM, CFG scale: 7, Seed: 1")
    fox.image.save(tmp_path / "bus.png", pnginfo=text)
    few = {"steps": 2, "seed": 5, "pipe": pipe}
    for given, prompt in (
        (ours, "a fox"), (str(ours), "a fox"), (Image.open(ours), "a fox"),
        (tmp_path / "bus.png", "a bus"), (Image.open(tmp_path / "bus.png"), "a bus"),
    ):  # fmt: skip
        assert [s.settings.prompt for s in sdnb.variations(given, 2, **few)] == [prompt] * 2
    assert sdnb.variations(ours, 1, prompt="a cat", **few)[0].settings.prompt == "a cat"
    assert not [s for s in heard() if "without a prompt" in s]


def test_variations_of_a_picture_that_says_nothing_are_made_and_that_is_said(
    pipe, fox, tmp_path, heard
):
    fox.image.save(tmp_path / "photo.jpg")
    for given in (fox.image, tmp_path / "photo.jpg"):
        sheet = sdnb.variations(given, n=4, steps=2, pipe=pipe)
        assert len({s.image.tobytes() for s in sheet}) == 4
        assert {s.settings.prompt for s in sheet} == {""}
    assert sum("made without a prompt" in s for s in heard()) == 2
    with pytest.raises(FileNotFoundError, match=r"There is no file .*none.png"):
        sdnb.variations(tmp_path / "none.png", pipe=pipe)


@pytest.fixture(scope="module")
def variation_pipe():
    """A toy of the article's image-variations model: random weights, diffusers' own pipeline."""
    torch.manual_seed(0)
    vision = CLIPVisionConfig(
        hidden_size=32, intermediate_size=37, num_hidden_layers=2, num_attention_heads=4,
        image_size=32, patch_size=4, projection_dim=32,
    )  # fmt: skip
    return diffusers.StableDiffusionImageVariationPipeline(
        vae=diffusers.AutoencoderKL(
            block_out_channels=[32, 64], latent_channels=4, sample_size=64,
            down_block_types=["DownEncoderBlock2D"] * 2, up_block_types=["UpDecoderBlock2D"] * 2,
        ),
        unet=diffusers.UNet2DConditionModel(
            block_out_channels=(32, 64), layers_per_block=1, sample_size=32, in_channels=4,
            out_channels=4, cross_attention_dim=32,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        ),
        image_encoder=CLIPVisionModelWithProjection(vision),
        scheduler=diffusers.PNDMScheduler(skip_prk_steps=True), safety_checker=None,
        feature_extractor=CLIPImageProcessor(crop_size=32, size=32),
        requires_safety_checker=False,
    )  # fmt: skip


def test_variations_by_an_editing_model_have_a_prompt_and_no_strength():
    pipe = families.made("Flux2KleinPipeline")
    red = Image.new("RGB", (64, 64), "red")
    few = {"steps": 1, "seed": 1, "width": 64, "height": 64, "pipe": pipe, "store": False}
    sheet = sdnb.variations(red, 2, prompt="make it blue", **few)
    assert [(s.settings.strength, s.settings.seed) for s in sheet] == [(None, 1), (None, 2)]
    whole = sdnb.variations(red, 1, prompt=sdnb.Settings("make it blue"), **few)
    assert whole[0].settings == sheet[0].settings
    for prompt in (None, ""):
        with pytest.raises(
            ValueError, match=r"Flux2KleinPipeline edits .* say in prompt= what is to change"
        ):
            sdnb.variations(red, 2, prompt=prompt, **few)
    with pytest.raises(ValueError, match="takes no strength"):
        sdnb.variations(red, 2, prompt="make it blue", strength=0.5, **few)


def test_an_image_variations_model_has_no_words_to_leave_out(variation_pipe, fox):
    with pytest.raises(ValueError, match="takes no prompt, so there are no words to leave out"):
        sdnb.words("a fox", image=fox.image, pipe=variation_pipe)


def test_an_image_variations_model_takes_the_picture_as_its_prompt(variation_pipe, fox, tmp_path):
    variation_pipe.save_pretrained(tmp_path / "variations")
    pipe = sdnb.load(tmp_path / "variations", device="cpu", dtype="float32")
    sheet = sdnb.variations(fox.image, 2, steps=3, guidance=3, seed=7, pipe=pipe)
    pipe.set_progress_bar_config(disable=True)
    for i, sample in enumerate(sheet):
        theirs = pipe(
            fox.image, num_inference_steps=3, guidance_scale=3.0, width=64, height=64,
            generator=torch.Generator("cpu").manual_seed(7 + i),
        ).images[0]  # fmt: skip
        # made together, so the last digits may differ
        assert np.abs(np.asarray(sample.image, int) - np.asarray(theirs, int)).max() <= 2
    with pytest.raises(ValueError, match="starts from a picture: give image="):
        sdnb.generate("a fox", pipe=pipe)


def test_inpainting_of_a_model_that_denoises_pixels_is_diffusers_own(tmp_path, fox, half_mask):
    families.made("IFPipeline").save_pretrained(tmp_path)
    pipe = sdnb.load(tmp_path, device="cpu", dtype="float32")
    start, mask = (picture.resize((32, 32)) for picture in (fox.image, half_mask))
    sample = sdnb.generate(
        "a fox",
        pipe=pipe,
        image=start,
        mask=mask,
        steps=3,
        seed=1,
        store=False,
        width=32,
        height=32,
    )
    own = diffusers.IFInpaintingPipeline(
        **diffusers.IFPipeline.from_pretrained(tmp_path).components
    )
    made = own(
        prompt="a fox", image=start, mask_image=mask, num_inference_steps=3, strength=1.0,
        generator=torch.Generator("cpu").manual_seed(1),
    ).images[0]  # fmt: skip
    assert sample.settings.strength == 1
    assert (np.asarray(sample.image) == np.asarray(made)).all()
    assert np.asarray(made).std() > 0
