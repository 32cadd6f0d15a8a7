"""AUTOMATIC1111's text, as its versions, Forge, SD.Next, Civitai and extensions write it."""

import pytest
from PIL import Image, PngImagePlugin

import sdnb
from sdnb import Settings, read
from sdnb.records import exif
from sdnb.records.a1111 import from_a1111, not_applied, to_a1111

LAST = "Steps: 22, Sampler: Euler a, CFG scale: 6, Seed: 4711, Size: 512x640, Model: demo"
TEXT = f"a lighthouse at dusk\nNegative prompt: people\n{LAST}"
MEANT = Settings("a lighthouse at dusk", "people", 22, 6.0, "Euler a", 4711, 512, 640)


def saved(path, comment, at_the_top=False):
    """A picture with such a comment in its EXIF, as another program has it."""
    meant = Image.Exif()
    (meant if at_the_top else meant.get_ifd(0x8769))[0x9286] = comment
    Image.new("RGB", (512, 640), "teal").save(path, exif=meant)
    return path


@pytest.mark.parametrize("ending", ["jpg", "webp"])
@pytest.mark.parametrize(
    "comment",
    [
        b"UNICODE\0" + TEXT.encode("utf-16-be"),
        b"UNICODE\0" + TEXT.encode("utf-16-le"),
        b"UNICODE\0" + TEXT.encode("utf-16"),
        b"UNICODE\0" + TEXT.encode(),
        b"ASCII\0\0\0" + TEXT.encode(),
        b"\0" * 8 + TEXT.encode() + b"\0",
        TEXT.encode(),
    ],
    ids=["big", "little", "mark", "utf-8", "ascii", "undefined", "bare"],
)
def test_the_comment_of_a_jpeg_or_webp_is_read_in_every_encoding(tmp_path, ending, comment):
    assert read(saved(tmp_path / f"a.{ending}", comment)).settings == MEANT
    assert sdnb.metadata.prompt_of(tmp_path / f"a.{ending}") == MEANT.prompt


def test_the_comment_is_found_beside_the_camera_s_tags_and_in_other_scripts(tmp_path):
    assert read(saved(tmp_path / "a.jpg", TEXT.encode(), at_the_top=True)).settings == MEANT
    text = TEXT.replace("a lighthouse at dusk", "狐狸在雪中奔跑，远山。" * 20)
    for order in ("utf-16-be", "utf-16-le"):
        assert exif.decoded(b"UNICODE\0" + text.encode(order)) == text


def test_a_damaged_exif_is_none(tmp_path):
    file = tmp_path / "a.jpg"
    Image.new("RGB", (8, 8)).save(file, exif=b"Exif\0\0XX*\0broken")
    with pytest.raises(ValueError, match="carries no settings"):
        read(file)


# ---------------------------------------------------------------- samplers and schedules


@pytest.mark.parametrize(
    ("sampler", "schedule", "right"),
    [
        ("DPM++ 2M", "Automatic", "DPM++ 2M Karras"),
        ("DPM++ 2M SDE", "Automatic", "DPM++ 2M SDE Exponential"),
        ("DPM2", "Automatic", "DPM2 Karras"),
        ("Euler", "Automatic", "Euler"),
        ("Euler a", "Automatic", "Euler a"),
        ("LMS", "Automatic", "LMS"),
        ("DPM++ 2M", "Uniform", "DPM++ 2M"),
        ("DPM++ 2M", "Karras", "DPM++ 2M Karras"),
        ("DPM++ 2M SDE", "karras", "DPM++ 2M SDE Karras"),
        ("DPM++ 2M Karras", None, "DPM++ 2M Karras"),  # before 1.9
        ("DPM++ 2M", None, "DPM++ 2M"),
        ("Euler", "SGM Uniform", "Euler SGM Uniform"),
    ],
)
def test_a_sampler_is_read_with_the_schedule_that_it_had(sampler, schedule, right):
    more = "" if schedule is None else f", Schedule type: {schedule}"
    text = f"a harbour\nSteps: 20, Sampler: {sampler}{more}, CFG scale: 7, Seed: 9"
    assert from_a1111(text)[0].scheduler == right


@pytest.mark.parametrize("name", sdnb.schedulers.names())
def test_what_is_written_means_the_same_to_automatic1111_since_1_9(name):
    """It takes "Automatic" where no schedule is named."""
    text = to_a1111(Settings("a fox", scheduler=name, seed=1), {})
    assert from_a1111(text)[0].scheduler == name
    if "Schedule type" not in text:
        automatic = text.replace(", CFG", ", Schedule type: Automatic, CFG")
        assert from_a1111(automatic)[0].scheduler == name


# ---------------------------------------------------------------- prompts and the last line


@pytest.mark.parametrize(
    ("prompt", "negative", "below"),
    [
        ("a red barn", "blurry", "\nTemplate: a {red|blue} barn\nNegative Template: blurry"),
        ("a red barn", "", "\nTemplate: a {red|blue} barn, {snow|rain}"),
        ("a red barn\nSteps: 3, Sampler: none, Seed: 4", "blurry", ""),
        ("a red barn\nSteps: of stone", "Steps: 3, Sampler: no, Seed: 9", ""),
        ("a sign: Negative prompt: no", "blurry", ""),
    ],
)
def test_the_settings_are_the_last_line_that_begins_with_steps(prompt, negative, below):
    text = f"{prompt}\n" + (f"Negative prompt: {negative}\n" if negative else "") + LAST + below
    settings, facts = from_a1111(text)
    assert settings == MEANT.but(prompt=prompt, negative_prompt=negative)
    assert ("template" in facts) == bool(below)


def test_a_line_of_ours_that_begins_with_negative_prompt_stays_in_the_prompt():
    fox = Settings("a fox\nNegative prompt: is what the sign says", "blur", 24, 7.5, seed=1)
    back, _ = from_a1111(to_a1111(fox, {}))
    assert back.prompt == "a fox Negative prompt: is what the sign says"
    assert back.negative_prompt == "blur"


@pytest.mark.parametrize("seed", [0, 2**63 - 1, 2**63 + 12345, 2**64 - 1])
def test_every_seed_of_torch_comes_back(seed):
    assert from_a1111(to_a1111(Settings("a kite", "", 24, 7.5, seed=seed), {}))[0].seed == seed


def test_a_seed_that_is_not_known_is_none():
    assert from_a1111(TEXT.replace("4711", "-1"))[0].seed is None


@pytest.mark.parametrize("change", [str.lower, str.title, lambda key: key])
def test_keys_are_read_whatever_their_letters(change):
    pairs = [pair.partition(":") for pair in LAST.split(", ")]
    last = ", ".join(f"{change(key) if key != 'Steps' else key}:{value}" for key, _, value in pairs)
    assert from_a1111(f"a lighthouse at dusk\nNegative prompt: people\n{last}")[0] == MEANT


# ---------------------------------------------------------------- strength, guidance


@pytest.mark.parametrize("strength", ["0.7", "0", "0.0", "1"])
def test_a_strength_without_a_sign_of_a_picture_is_a_fact_and_no_setting(strength):
    settings, facts = from_a1111(f"{TEXT}, Denoising strength: {strength}")
    assert settings == MEANT
    assert facts["denoising strength"] == strength


@pytest.mark.parametrize(
    "more",
    ["Mask blur: 4", "Operations: img2img; inpaint", "Inpaint area: Whole picture",
     "Init image hash: 12ab"],
)  # fmt: skip
def test_a_strength_is_one_where_a_picture_went_in(more):
    assert from_a1111(f"{TEXT}, Denoising strength: 0.7, {more}")[0].strength == 0.7


def test_our_own_strength_comes_back_and_a_second_pass_has_none():
    fox = Settings("a fox", seed=1, strength=0.75)
    assert from_a1111(to_a1111(fox, {}))[0] == fox
    hires = ("Hires upscale: 2", "Second pass: True", "Hires steps: 25, Operations: txt2img; hires")
    for more in hires:
        assert from_a1111(f"{TEXT}, Denoising strength: 0.5, {more}")[0] == MEANT


def test_distilled_guidance_is_flux_s_guidance_both_ways():
    forge = (
        "a fox\nSteps: 2, Sampler: Euler, Schedule type: Simple, CFG scale: 1, "
        "Distilled CFG Scale: 3.5, Seed: 21, Size: 64x64, Model: flux1-dev, Version: f2.0.1"
    )
    settings, facts = from_a1111(forge)
    assert settings.guidance == 3.5
    assert "cfg scale" not in facts
    ours = to_a1111(Settings("a fox", guidance=3.5, seed=21), {"pipeline": "FluxPipeline"})
    assert "CFG scale: 1, Distilled CFG Scale: 3.5, " in ours
    assert from_a1111(ours)[0].guidance == 3.5
    both = from_a1111(forge.replace("CFG scale: 1,", "CFG scale: 2,"))
    assert (both[0].guidance, both[1]["cfg scale"]) == (3.5, "2")
    assert "cfg scale 2" in not_applied(*both)


# ---------------------------------------------------------------- what is not applied


@pytest.mark.parametrize(
    ("prompt", "pairs", "told"),
    [
        ("a (fox:1.4)", "", "weights such as (fox:1.4)"),
        ("a ((fox))", "", "emphasis such as ((fox))"),
        ("on a [blue:red:0.5] field", "", "prompt editing such as [blue:red:0.5]"),
        ("a [fox|cat]", "", "prompt editing such as [fox|cat]"),
        ("a fox <hypernet:style:0.8>", "", "<hypernet:style:0.8>"),
        ("a fox BREAK a cat", "", "BREAK"),
        ("a fox", "Clip skip: 2", "clip skip 2"),
        ("a fox", "Hires upscale: 1.5", "hires upscale 1.5"),
        ("a fox", "Variation seed: 3", "variation seed 3"),
    ],
)
def test_what_sdnb_does_not_apply_is_said_once_by_its_name(tmp_path, caplog, prompt, pairs, told):
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", f"{prompt}\nNegative prompt: owl\n{LAST}, {pairs}".strip(", "))
    Image.new("RGB", (512, 640)).save(tmp_path / "a.png", pnginfo=info)
    caplog.set_level("INFO", logger="sdnb")
    read(tmp_path / "a.png")
    assert caplog.messages == [
        f"{tmp_path / 'a.png'} was made with what sdnb does not apply: {told}."
    ]


def test_loras_are_read_as_settings_and_where_they_are_missing_is_said(tmp_path, caplog, pipe):
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", f"a fox <lora:style:0.8>\n{LAST}")
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png", pnginfo=info)
    caplog.set_level("INFO", logger="sdnb")
    settings = read(tmp_path / "a.png").settings
    assert (settings.prompt, settings.lora) == ("a fox", {"style": 0.8})
    [said] = caplog.messages
    assert said.endswith("was made with the LoRA style: sdnb.load(..., lora=[...]) loads LoRAs.")
    plans = [sdnb.plan(settings, steps=steps, width=64, height=64, pipe=pipe) for steps in (2, [2])]
    for plan in plans:  # what is made says that it was made without
        assert plan.settings[0].lora is None
    assert caplog.messages[1].endswith(
        "the LoRA style, which is not in this pipeline: made without. "
        "sdnb.load(model, lora=[...]) loads one."
    )
    caplog.clear()
    assert sdnb.plan(settings, lora={}, width=64, height=64, pipe=pipe).settings[0].lora is None
    assert caplog.messages == []
    with pytest.raises(ValueError, match="no LoRA 'style' in this pipeline"):
        sdnb.plan("a fox", lora={"style": 0.8}, pipe=pipe)
    with pytest.raises(ValueError, match="no LoRA 'style' in this pipeline"):  # a picture of ours
        sdnb.plan(Settings("a fox", lora={"style": 0.8}), pipe=pipe)


def test_plain_prompts_and_our_own_pictures_are_said_nothing_of(tmp_path, caplog):
    caplog.set_level("INFO", logger="sdnb")
    for prompt in ("a fox (red) at 7:30 [sic], BREAKING waves", r"a \(fox:1.2\)"):
        assert not_applied(*from_a1111(f"{prompt}\n{LAST}, Clip skip: 1")) == []
    facts = {"model": "a/b", "dtype": "float32"}
    fox = sdnb.Sample(Image.new("RGB", (8, 8)), Settings("a (fox:1.4)", seed=1), facts)
    read(fox.save(tmp_path / "a.png"))
    assert caplog.messages == []
