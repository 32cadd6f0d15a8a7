"""Several reference pictures at once, for editing models that take several."""

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

import sdnb
from sdnb.generation import init_image, sample_facts, sampling
from tests.support import families

SIZE = {"width": 32, "height": 32}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("klein")
    families.made("Flux2KleinPipeline").save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def pipe(folder):
    return sdnb.load(folder, device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("references")
    for seed, name in enumerate(["fox.png", "hat.png"]):
        noise = np.random.default_rng(seed).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / name)
    return [folder / "fox.png", folder / "hat.png"]


def generate(pipe, image, **changes):
    return sdnb.generate(
        "a fox", pipe=pipe, image=image, **{"steps": 2, "seed": 1, "store": False} | SIZE | changes
    )


def pixels(sample):
    return np.asarray(getattr(sample, "image", sample)).astype(int)


def test_the_picture_is_that_of_the_pipelines_own_call_and_of_its_code(pipe, folder, files):
    sample = generate(pipe, files)
    own = diffusers.DiffusionPipeline.from_pretrained(folder)
    made = own(
        prompt="a fox", image=[Image.open(f) for f in files], num_inference_steps=2, **SIZE,
        generator=torch.Generator("cpu").manual_seed(1),
    ).images[0]  # fmt: skip
    assert (pixels(sample) == pixels(made)).all()
    code = sample.code()
    assert "image=[start, start_2]," in code
    scope = {}
    exec(code, scope)
    assert (pixels(sample) == pixels(scope["image"])).all()


def test_each_picture_and_their_order_count(pipe, files):
    fox, hat = files
    made = [pixels(generate(pipe, given)) for given in ([fox, hat], [hat, fox], [fox], fox)]
    assert (made[0] != made[1]).any()
    assert (made[0] != made[2]).any()
    assert (made[2] == made[3]).all()


def test_the_code_of_one_edited_picture_gives_it_to_the_model_as_it_is(pipe, files):
    sample = generate(pipe, files[0])  # 64 x 64, for a picture of 32 x 32
    scope = {}
    exec(sample.code(), scope)
    assert (pixels(sample) == pixels(scope["image"])).all()


def test_the_record_and_the_stores_key_hold_all_of_them(pipe, files, tmp_path):
    sample = generate(pipe, files)
    facts = sample.facts["start"]
    assert facts["image_2_file"] == str(files[1])
    assert facts["image"] != facts["image_2"]
    sample.save(tmp_path / "picture.png")
    back = sdnb.read(tmp_path / "picture.png").facts["start"]
    assert back["image_2_file"] == "hat.png"  # no folder of this machine
    assert back["image_2"] == facts["image_2"]
    settings = sampling.resolve(sdnb.Settings("a fox", seed=1, **SIZE), pipe)
    keys = set()
    for given in (files, files[::-1], files[:1]):
        by = sample_facts.made_by(settings, pipe, init_image.start(given, None))
        keys.add(sdnb.Store.key(settings, by))
    assert len(keys) == 3
    first, again = (generate(pipe, files, store=tmp_path / "store") for _ in range(2))
    assert again.facts == first.facts  # its seconds too


def test_where_one_is_taken_several_are_refused(files):
    pipe = sdnb.load("emoji", device="cpu")
    with pytest.raises(ValueError, match="takes one picture, and 2 are given: give one, image="):
        sdnb.generate("a fox", pipe=pipe, image=files)
    assert generate(pipe, files[:1], width=64, height=64).facts["denoiser_calls"]
    mask = Image.new("L", (64, 64), 255)
    with pytest.raises(ValueError, match="A mask goes with one picture, and 2 are given"):
        sdnb.generate("a fox", pipe=pipe, image=files, mask=mask)
    with pytest.raises(ValueError, match="image is an empty list: give one picture or more"):
        sdnb.generate("a fox", pipe=pipe, image=[])
    with pytest.raises(FileNotFoundError, match=r"none\.png"):
        sdnb.generate("a fox", pipe=pipe, image=[files[0], "none.png"])
