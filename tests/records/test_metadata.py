"""Settings in files, read back by us and by other programs."""

import os
import subprocess
import sys
from xml.etree import ElementTree

import pytest
from PIL import Image, PngImagePlugin
from sd_parsers import ParserManager

from sdnb import Sample, Settings, Sheet, read, schedulers
from sdnb.records import metadata

FACTS = {"model": "emoji", "dtype": "float32", "device": "cpu", "denoiser_calls": 25}


def sample(**changes):
    values = {
        "prompt": "a fox", "steps": 50, "guidance": 7.5, "scheduler": "PNDM", "seed": 510,
        "width": 64, "height": 48,
    }  # fmt: skip
    return Sample(Image.new("RGB", (64, 48), "orange"), Settings(**(values | changes)), FACTS)


TEXTS = [
    "a fox",
    "two foxes, one red: the other blue",
    "line one\nline two\n\nline four",
    "\"quotes\", 'more' and \\backslashes\\",
    "Füchse, 狐, لأ, 🦊",
    "Negative prompt: not really\nSteps: 3, Sampler: none, Seed: 4",
    "<script>alert(1)</script> & co",
    "x" * 100_000,
]


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_a_saved_picture_gives_its_settings_back_exactly(tmp_path, text):
    made = sample(prompt=text, negative_prompt=text, guidance=0.1 + 0.2, seed=0, strength=0.75)
    back = read(made.save(tmp_path / "fox.png"))
    assert back.settings == made.settings
    assert back.facts == made.facts
    assert back.image.tobytes() == made.image.tobytes()


@pytest.mark.parametrize("scheduler", schedulers.names())
@pytest.mark.parametrize("text", TEXTS[:5], ids=range(5))
def test_another_program_reads_the_same_settings(tmp_path, scheduler, text):
    made = sample(
        prompt=text, negative_prompt="blur, noise", steps=24, guidance=7.25, scheduler=scheduler
    )
    info = ParserManager().parse(made.save(tmp_path / "fox.png"))
    assert info.full_prompt == text
    assert info.full_negative_prompt == "blur, noise"
    (sampler,) = info.samplers
    assert sampler.name == schedulers.to_a1111(scheduler)["Sampler"]
    assert sampler.parameters["seed"] == "510"
    assert sampler.parameters["steps"] == "24"
    assert sampler.parameters["cfg_scale"] == "7.25"


def test_without_our_record_automatic1111s_text_gives_the_same_settings(tmp_path):
    made = sample(negative_prompt="blur", steps=24, scheduler="DPM++ 2M Karras")
    text = metadata.to_a1111(made.settings, made.facts)
    assert metadata.from_a1111(text)[0] == made.settings


def test_a_picture_from_automatic1111_opens(tmp_path):
    info = PngImagePlugin.PngInfo()
    info.add_text(
        "parameters",
        "portrait of a fox, (sharp:1.2)\nNegative prompt: blur\n"
        "Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7, Seed: 1234567890, "
        "Size: 512x768, Model hash: 6ce0161689, Model: v1-5-pruned, "
        'Lora hashes: "a: 1, b: 2", Version: v1.10.1',
    )
    Image.new("RGB", (512, 768)).save(tmp_path / "a.png", pnginfo=info)
    opened = read(tmp_path / "a.png")
    assert opened.settings == Settings(
        "portrait of a fox, (sharp:1.2)", "blur", 20, 7.0, "DPM++ 2M Karras", 1234567890, 512, 768
    )
    assert opened.facts["model"] == "v1-5-pruned"
    assert opened.facts["lora hashes"] == "a: 1, b: 2"


def test_settings_that_automatic1111_has_and_we_have_not_are_not_made_into_others():
    text = (
        "a sign: Negative prompt: no\nNegative prompt: blur\nSteps: 20, Sampler: Euler, {}Seed: 1"
    )
    settings, _ = metadata.from_a1111(text.format(""))
    assert (settings.prompt, settings.negative_prompt) == ("a sign: Negative prompt: no", "blur")
    settings, _ = metadata.from_a1111(text.format("Schedule type: Karras, "))
    assert settings.scheduler == "Euler Karras"
    settings, facts = metadata.from_a1111(
        text.format("Denoising strength: 0.7, Hires upscale: 2, ")
    )
    assert settings.strength is None
    assert facts["denoising strength"] == "0.7"
    assert metadata.from_a1111(text.format("Denoising strength: 0, "))[0].strength is None
    with pytest.raises(ValueError, match="not made by sdnb"):
        Sample(Image.new("RGB", (8, 8)), settings, facts).code()


def test_a_file_name_of_the_longest_allowed_length_is_written(tmp_path):
    assert sample().save(tmp_path / f"{'a' * 251}.png").exists()


@pytest.mark.parametrize(
    "text",
    [
        "only a prompt",
        "a prompt: with a colon, and a comma",
        "\nSteps: 20, Sampler: Euler, Seed: 1",
        "a fox\nSteps: many, Sampler: Euler, Seed: 1",
        "a fox\nSteps: 20, Sampler: Euler, Seed: 1, Size: 511x512",
    ],
)
def test_a_parameters_text_without_usable_settings_is_told_so(tmp_path, text):
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", text)
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png", pnginfo=info)
    with pytest.raises(ValueError, match="AUTOMATIC1111 settings"):
        read(tmp_path / "a.png")


def test_the_file_says_that_a_trained_model_made_it(tmp_path):
    def source(path):
        with Image.open(path) as image:
            packet = ElementTree.fromstring(image.info["XML:com.adobe.xmp"])
        name = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
        return next(e.attrib[name] for e in packet.iter() if name in e.attrib)

    assert source(sample().save(tmp_path / "a.png")).endswith("/trainedAlgorithmicMedia")
    mixed = source(sample(strength=0.5).save(tmp_path / "b.png"))
    assert mixed.endswith("/compositeWithTrainedAlgorithmicMedia")


def test_a_sheets_file_carries_the_settings_of_all_its_pictures(tmp_path):
    samples = [sample(steps=n) for n in (12, 24)]
    path = Sheet(samples, 1, 2, col_labels=["12", "24"], title="a fox").save(tmp_path / "s.png")
    _, records = metadata.read(path)
    assert [settings for settings, _ in records] == [s.settings for s in samples]
    with pytest.raises(ValueError, match="is a sheet of 2 pictures"):
        read(path)


def test_a_picture_without_settings_is_told_so(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "plain.png")
    with pytest.raises(ValueError, match=r"plain\.png carries no settings"):
        read(tmp_path / "plain.png")


def test_what_is_no_picture_is_told_so(tmp_path):
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(ValueError, match="is not a picture that can be read"):
        read(tmp_path / "text.png")
    with pytest.raises(FileNotFoundError, match="There is no file"):
        read(tmp_path / "none.png")


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "{}",
        '{"format": 1, "samples": [{}]}',
        "[]",
        '{"format": 9}',
        '{"format": 1, "samples": []}',
        '{"format": 1, "samples": [{"settings": {"prompt": "a"}, "facts": 1}]}',
        '{"format": 1, "samples": [{"settings": {"prompt": "a", "steps": 0}, "facts": {}}]}',
        # half of a pair of UTF-16: no character, and no text that holds it can be saved
        r'{"format": 1, "samples": [{"settings": {"prompt": "a"}, "facts": {"model": "\ud800"}}]}',
    ],
)
def test_a_damaged_record_is_told_so(tmp_path, text):
    info = PngImagePlugin.PngInfo()
    info.add_itxt("sdnb", text)
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png", pnginfo=info)
    with pytest.raises(ValueError, match=r"The settings in .*a\.png are damaged"):
        read(tmp_path / "a.png")


@pytest.mark.parametrize("name", ["a.gif", "a", "folder"])
def test_only_png_jpeg_and_webp_files_are_written(tmp_path, name):
    (tmp_path / "folder").mkdir()
    with pytest.raises(ValueError, match=r"does not end in \.png, \.jpg or \.webp"):
        sample().save(tmp_path / name)


@pytest.mark.parametrize("ending", ["jpg", "jpeg", "webp"])
@pytest.mark.parametrize("text", [*TEXTS[:7], "a\0\x1b", "a \"b\" & <c>\n'd'"], ids=range(9))
def test_jpeg_and_webp_carry_the_same(tmp_path, ending, text):
    made = sample(prompt=text, negative_prompt="blur", seed=2**64 - 1, strength=0.1 + 0.2)
    path = made.save(tmp_path / f"a.{ending}")
    back = read(path)
    assert (back.settings, back.facts) == (made.settings, made.facts)
    if ending == "webp":
        assert back.image.tobytes() == made.image.tobytes()
    with Image.open(path) as opened:
        comment = opened.getexif().get_ifd(0x8769)[0x9286]
        packet = ElementTree.fromstring(opened.info["xmp"])
    assert comment[:8] == b"UNICODE\0"
    assert comment[8:].decode("utf-16-be") == metadata.to_a1111(made.settings, made.facts)
    assert "compositeWithTrained" in ElementTree.tostring(packet, "unicode")
    if text == TEXTS[0]:
        info = ParserManager().parse(path)
        assert (info.full_prompt, info.samplers[0].parameters["steps"]) == ("a fox", "50")


def test_settings_that_a_jpeg_has_no_room_for_are_told_so(tmp_path):
    long = sample(prompt="x" * 100_000)
    with pytest.raises(OSError, match=r"a JPEG has room for 65: let its name end in \.png"):
        long.save(tmp_path / "a.jpg")
    assert os.listdir(tmp_path) == []
    assert read(long.save(tmp_path / "a.webp")).settings == long.settings


def test_no_file_names_a_folder_of_this_machine(tmp_path):
    facts = FACTS | {
        "model": "/home/zuse/models/dream", "error": "Cannot read '/home/zuse/x/y.png': no memory.",
        "start": {"image": "0" * 64, "image_file": "C:\\Users\\zuse\\fox.png", "mask_file": None},
    }  # fmt: skip
    made = Sample(Image.new("RGB", (64, 48)), sample(strength=0.5).settings, facts)
    for name in ("a.png", "a.webp", "a.jpg"):
        path = made.save(tmp_path / name)
        assert b"zuse" not in path.read_bytes()
        back = read(path)
        assert (back.facts["model"], back.facts["start"]["image_file"]) == ("dream", "fox.png")
        assert back.facts["error"] == "Cannot read 'y.png': no memory."
    assert made.facts["model"] == "/home/zuse/models/dream"  # in memory it says all
    assert "zuse" not in repr(Sample(made.image, made.settings, facts | {"error": ""}))
    hub = Sample(made.image, made.settings, FACTS | {"model": "CompVis/stable-diffusion-v1-4"})
    assert read(hub.save(tmp_path / "b.png")).facts["model"] == "CompVis/stable-diffusion-v1-4"


def test_large_texts_beside_the_settings_are_passed_over(tmp_path):
    """Pillow refuses a compressed text of more than a megabyte, and all above 64 of them."""
    flow = "x" * 2_000_000
    for name, more in (("a.png", 1), ("b.png", 35)):
        info = PngImagePlugin.PngInfo()
        for number in range(more):
            info.add_text(f"workflow{number}" if number else "workflow", flow, zip=True)
        info.add_text("parameters", "a fox\nSteps: 20, Sampler: Euler, CFG scale: 7, Seed: 5")
        Image.new("RGB", (64, 48), "red").save(tmp_path / name, pnginfo=info)
        with pytest.raises(ValueError, match="too large"), Image.open(tmp_path / name) as opened:
            opened.load()
        back = read(tmp_path / name)
        assert (back.settings.seed, back.image.getpixel((0, 0))) == (5, (255, 0, 0))


def test_a_folder_that_is_missing_or_closed_is_told_so_and_nothing_is_left(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        sample().save(tmp_path / "none" / "a.png")
    (tmp_path / "file").touch()
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        sample().save(tmp_path / "file" / "a.png")
    assert os.listdir(tmp_path) == ["file"]


def test_a_write_that_fails_half_way_leaves_the_old_picture_and_nothing_else(tmp_path):
    path = sample(prompt="the old one").save(tmp_path / "a.png")
    limited = f"""
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
import random
from PIL import Image
from sdnb import Sample, Settings
noise = Image.frombytes("RGB", (64, 64), random.Random(0).randbytes(64 * 64 * 3))
Sample(noise, Settings("the new one")).save({str(path)!r})
"""
    done = subprocess.run([sys.executable, "-c", limited], capture_output=True, text=True)
    assert "File too large" in done.stderr
    assert read(path).settings.prompt == "the old one"
    assert os.listdir(tmp_path) == ["a.png"]
