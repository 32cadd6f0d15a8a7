"""code() opens the picture to start from, and its mask, as sdnb did: the same pixels come out."""

import io

import numpy as np
import pytest
from PIL import Image

import sdnb
from sdnb import image_conversion, image_input
from sdnb.records import diffusers_code
from tests.records.test_code_after_changes import assert_same
from tests.support import toys

NOISE = np.random.default_rng(0).integers(0, 256, (64, 64, 4)).astype("uint8")


def cut_out(path):
    Image.fromarray(NOISE).save(path)


def sixteen_bits(path):
    Image.fromarray((NOISE[..., 0].astype("uint16") << 8) + NOISE[..., 1]).save(path)


def turned(path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(NOISE[..., :3]).save(path.with_suffix(".jpg"), exif=exif)
    return path.with_suffix(".jpg")


def palette(path):
    Image.fromarray(NOISE[..., :3]).quantize(16).save(path, transparency=3)


def mask(path):
    layer = Image.new("RGBA", (64, 64), (255, 255, 255, 0))
    layer.paste("white", (8, 8, 40, 40))
    layer.save(path)


STARTS = {
    cut_out: "paper", sixteen_bits: "16 bits", turned: "orientation", palette: "palette, paper",
}  # fmt: skip


def test_the_code_of_files_of_all_kinds_makes_the_same_pixels(tmp_path):
    pipe = sdnb.load(toys.saved("SD 2", tmp_path), device="cpu", dtype="float32")
    mask(white := tmp_path / "white.png")
    samples = []
    for save, steps in STARTS.items():
        path = tmp_path / f"{save.__name__}.png"
        path = save(path) or path
        for more in ({}, {"mask": white}, {"mask": path}):
            if more and save is not cut_out:
                continue
            sample = sdnb.generate(
                "a fox", image=path, strength=0.6, steps=2, seed=3, pipe=pipe, store=False, **more,
                keep="pixels" if more else None,
            )  # fmt: skip
            assert sample.facts["start"]["image_file_steps"] == steps
            if more:
                assert "transparent stays" in sample.facts["start"]["mask_file_steps"]
            samples.append(sample)
    assert_same(samples, tmp_path)
    sdnb.clear()


def cell(**start):
    facts = {
        "model": "a/b", "dtype": "float32", "pipeline": "StableDiffusionImg2ImgPipeline",
        "start": {"image": "x"} | start,
    }  # fmt: skip
    return diffusers_code.cell(sdnb.Settings("a fox", seed=1, strength=0.5), facts)


@pytest.mark.parametrize("step", image_conversion.STEPS)
def test_each_step_stands_as_a_line_or_in_a_comment(step):
    code = cell(image_file="a.png", image_file_steps=step)
    words, line = image_conversion.STEPS[step]
    assert (line.format(x="start") or f"# not written here: {words}") in code
    assert "load_image" not in code
    compile(code, "cell", "exec")


def test_what_an_array_or_another_version_did_is_a_comment():
    start = image_input.picture(io.BytesIO(tiff_of_floats()))
    assert "# not written here" in cell(image_file="a.tiff", image_file_steps=start.steps[0])
    code = cell(image_file="a.png", image_file_steps="x = __import__('os')")
    assert "__import__" not in code
    assert "# not written here: what another version of sdnb did to it" in code


def tiff_of_floats():
    file = io.BytesIO()
    Image.fromarray(NOISE[..., 0].astype("float32") / 255).save(file, "TIFF")
    return file.getvalue()
