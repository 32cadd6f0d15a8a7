"""LoRAs in a pipeline: loaded, weighed, recorded, refused."""

import json
import pickle
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import sdnb
from sdnb.models import cache, lora_files, provenance
from sdnb.records import metadata
from sdnb.records.store import Store
from sdnb.settings import Settings
from tests.support import loras, programs, toys

SMALL = {"steps": 2, "seed": 1, "width": 64, "height": 64}


def pixels(sample):
    return np.asarray(sample.image, int)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A toy SD 2 as a folder, and two LoRAs for it, one of which has a part for the text."""
    folder = tmp_path_factory.mktemp("toy")
    model = toys.saved("SD 2", folder)
    for name, text in (("ink", False), ("film", True)):
        pipe = diffusers.StableDiffusionPipeline.from_pretrained(model)
        loras.written(pipe, folder / f"{name}.safetensors", seed=len(name), text=text, size=3)
    return model, folder / "ink.safetensors", folder / "film.safetensors"


@pytest.fixture(scope="module")
def both(made):
    model, ink, film = made
    return sdnb.load(model, lora=[ink, (film, 0.5)], dtype="float32")


def by_hand(made, weights):
    """What diffusers alone draws with these weights, in sdnb's order of their names."""
    model, ink, film = made
    pipe = diffusers.StableDiffusionPipeline.from_pretrained(model)
    pipe.set_progress_bar_config(disable=True)
    for name, file in (("ink", ink), ("film", film)):
        if name in weights:
            pipe.load_lora_weights(str(file.parent), weight_name=file.name, adapter_name=name)
    if weights:
        pipe.set_adapters(sorted(weights), [weights[name] for name in sorted(weights)])
    image = pipe(
        "a fox", num_inference_steps=2, width=64, height=64,
        generator=torch.Generator().manual_seed(1),
    ).images[0]  # fmt: skip
    return np.asarray(image, int)


@pytest.mark.parametrize(
    ("given", "theirs"),
    [
        (None, {"ink": 1.0, "film": 0.5}),
        ({}, {}),
        ({"ink": 0.8}, {"ink": 0.8}),
        ({"ink": 0.8, "film": 1.2}, {"ink": 0.8, "film": 1.2}),
        (
            {"film": {"denoiser": 1.0, "text_encoder": 0.25}},
            {"film": {"unet": 1.0, "text_encoder": 0.25}},
        ),
        ("film", {"film": 0.5}),
    ],
)
def test_a_picture_is_what_set_adapters_makes(made, both, given, theirs):
    ours = sdnb.generate("a fox", lora=given, pipe=both, **SMALL)
    assert np.array_equal(pixels(ours), by_hand(made, theirs))
    assert provenance.differences(both) == {}


def test_pictures_differ_by_the_weights(both):
    sheet = sdnb.compare("a fox", lora={"film": [0, 0.5, 1]}, pipe=both, **SMALL)
    a, b, c = map(pixels, sheet.samples)
    assert 0 < np.abs(a - b).mean() < np.abs(a - c).mean()


def test_an_image_to_image_pipeline_has_them_too(both):
    start = sdnb.generate("a fox", lora={}, pipe=both, **SMALL)
    given = {"image": start, "strength": 1.0, "pipe": both, **SMALL}
    off, on = (sdnb.generate("a fox", lora=lora, **given) for lora in ({}, {"film": 1}))
    assert not np.array_equal(pixels(off), pixels(on))
    assert off.settings.lora == {}


@pytest.mark.skipif(
    diffusers.__version__ < "0.40", reason="0.39 fails with a CLIP of transformers 5"
)
def test_kohyas_form_is_the_same_lora(made, tmp_path):
    model, _, film = made
    theirs = loras.as_kohya(film, tmp_path / "film.safetensors")
    pipes = [sdnb.load(model, lora=file) for file in (film, theirs)]
    a, b = (sdnb.generate("a fox", pipe=pipe, **SMALL) for pipe in pipes)
    assert np.array_equal(pixels(a), pixels(b))
    assert a.facts["lora"]["film"]["sha256"] != b.facts["lora"]["film"]["sha256"]


def test_unknown_names_are_an_error_that_lists_the_known(both, pipe):
    with pytest.raises(
        ValueError, match=r"no LoRA 'inc' in this pipeline: did you mean 'ink'.*film"
    ):
        sdnb.plan("a fox", lora={"inc": 1}, pipe=both)
    with pytest.raises(ValueError, match=r"no LoRA 'ink' in this pipeline: sdnb.load\(model, lora"):
        sdnb.plan("a fox", lora={"ink": 1}, pipe=pipe)
    assert sdnb.plan("a fox", lora={}, pipe=pipe).settings[0].lora is None


def keys_of(file, to, change):
    state = change(load_file(file))
    save_file(state, to)
    return to


def test_what_does_not_fit_is_an_error_and_leaves_the_pipeline_as_it_was(made, tmp_path):
    model, ink, film = made
    other = diffusers.StableDiffusionXLPipeline.from_pretrained(toys.saved("SDXL", tmp_path))
    foreign = loras.written(other, tmp_path / "xl.safetensors", text=True)
    odd = keys_of(
        ink, tmp_path / "odd.safetensors",
        lambda s: s | {k.replace("down_blocks", "low_blocks"): v.clone() for k, v in s.items()},
    )  # fmt: skip
    none = tmp_path / "none.safetensors"
    save_file({"conv.weight": torch.ones(2, 2)}, none)
    dora = keys_of(
        loras.as_kohya(film, tmp_path / "dora.safetensors"), tmp_path / "dora.safetensors",
        lambda s: s | {"lora_unet_mid_block.dora_scale": torch.ones(2)},
    )  # fmt: skip
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(ink.read_bytes()[:-100])
    for file, words in [
        (foreign, "does not fit this StableDiffusionPipeline"),
        (odd, "weights have no place in it, such as unet.low_blocks"),
        (none, "holds no LoRA: its weights have names such as 'conv.weight'"),
        (dora, "DoRA in kohya's form"),
    ]:
        with pytest.raises(ValueError, match=words):
            sdnb.load(model, lora=[ink, file])
    with pytest.raises(OSError, match="is damaged"):
        sdnb.load(model, lora=torn)
    whole = diffusers.StableDiffusionPipeline.from_pretrained(model)
    before = [type(module) for module in whole.unet.modules()]
    from sdnb.models import lora

    with pytest.raises(ValueError, match="fit"):
        lora.load(whole, lora_files.wanted([ink, foreign]))
    assert [type(module) for module in whole.unet.modules()] == before
    assert not provenance.has_adapters(whole)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ("no/such/file.bin", ValueError, "is no LoRA: give a .safetensors file that exists"),
        (3, TypeError, "3 is no LoRA: give a file"),
        ([3], TypeError, "3 is no LoRA"),
        ([("cyanotype", "strong")], TypeError, r"\('cyanotype', 'strong'\) is no LoRA"),
    ],
)
def test_what_is_no_lora_is_said(given, error, words):
    with pytest.raises(error, match=words):
        lora_files.wanted(given)


def test_pickled_files_are_refused(tmp_path):
    (tmp_path / "lora.bin").write_bytes(b"")
    with pytest.raises(ValueError, match="no safetensors file"):
        sdnb.load("emoji", lora=tmp_path / "lora.bin")


def test_without_peft_a_sentence_says_what_to_install(made, monkeypatch):
    from sdnb.models import lora

    monkeypatch.setattr(lora, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'sdnb\[lora\]'"):
        sdnb.load(made[0], lora=[made[1]], dtype="bfloat16")


def test_lora_weights_are_checked():
    assert Settings("a", lora={"x": 1}) == Settings("a", lora={"x": 1.0})
    assert hash(Settings("a", lora={"x": {"denoiser": 1, "text_encoder": 1}})) == hash(
        Settings("a", lora={"x": 1})
    )
    for wrong in (0.8, {"x": "strong"}, {"x": True}, {3: 1}):
        with pytest.raises(TypeError):
            Settings("a", lora=wrong)
    for wrong in ({"x": float("nan")}, {"x": {"decoder": 1}}, {"a:b": 1}, {"": 1}):
        with pytest.raises(ValueError, match=r"lora|LoRA"):
            Settings("a", lora=wrong)
    with pytest.raises(TypeError, match="do not change"):
        Settings("a", lora={"x": 1}).lora["x"] = 2


# ---------------------------------------------------------------- the record


def test_two_loras_go_through_a_picture_and_back(both, tmp_path):
    given = {"film": {"denoiser": 0.9, "text_encoder": 0.4}, "ink": 0.8}
    sample = sdnb.generate("a fox", lora=given, pipe=both, **SMALL)
    back = sdnb.read(sample.save(tmp_path / "fox.png"))
    assert back.settings == sample.settings
    assert back.settings.lora == given
    facts = back.facts["lora"]
    assert facts["film"]["source"] == "film.safetensors"  # no folder of this machine
    assert len(facts["ink"]["sha256"]) == 64
    _, text = metadata.read(tmp_path / "fox.png")[0], metadata.to_a1111(sample.settings, facts)
    assert text.startswith("a fox <lora:film:0.4:0.9> <lora:ink:0.8>\n")


def test_automatic1111s_form_says_them_and_is_read_back(both):
    sample = sdnb.generate("a fox", lora={"film": 0.5, "ink": 0.8}, pipe=both, **SMALL)
    text = metadata.to_a1111(sample.settings, sample.facts)
    known = sample.facts["lora"]
    hashes = f'Lora hashes: "film: {known["film"]["hash"]}, ink: {known["ink"]["hash"]}"'
    assert hashes in text
    settings, facts = metadata.from_a1111(text)
    assert (settings.prompt, settings.lora) == ("a fox", sample.settings.lora)
    assert facts["lora hashes"] == hashes.partition(": ")[2].strip('"')
    theirs = "a <lora:detail.v1:0.7>, fox <lora:x:0.3:0.6>  <lora:y> <lora:odd:a>\n"
    theirs += "Steps: 20, Seed: 1, CFG scale: 7"
    settings, _ = metadata.from_a1111(theirs)
    assert settings.prompt == "a, fox <lora:odd:a>"
    assert settings.lora == {
        "detail.v1": 0.7, "x": {"denoiser": 0.6, "text_encoder": 0.3}, "y": 1.0,
    }  # fmt: skip


def test_the_store_tells_weights_and_files_apart(made, both, tmp_path):
    store = Store(tmp_path / "store")
    first = sdnb.generate("a fox", lora={"ink": 0.8}, pipe=both, store=store, **SMALL)
    again = sdnb.plan("a fox", lora={"ink": 0.8}, pipe=both, **SMALL).run(store)[0]
    assert len(store) == 1, provenance.differences(both)
    assert again.facts["seconds"] == first.facts["seconds"]  # it comes from the store
    sdnb.generate("a fox", lora={"ink": 0.7}, pipe=both, store=store, **SMALL)
    assert len(store) == 2
    same_name = tmp_path / "ink.safetensors"
    same_name.write_bytes(made[2].read_bytes())
    other = sdnb.load(made[0], lora=[same_name, (made[2], 0.5)])
    sdnb.generate("a fox", lora={"ink": 0.8}, pipe=other, store=store, **SMALL)
    assert len(store) == 3


def test_code_makes_the_very_pixels_in_a_fresh_process(both, tmp_path):
    given = {"film": {"denoiser": 0.9, "text_encoder": 0.4}, "ink": 0.8}
    sample = sdnb.generate("a fox", lora=given, pipe=both, **SMALL)
    assert "made with adapters" not in sample.code()
    program = f"{sample.code()}\nimage.save({str(tmp_path / 'fox.png')!r})"
    programs.run("-c", program, cwd=tmp_path, check=True)
    from PIL import Image

    assert np.array_equal(np.asarray(Image.open(tmp_path / "fox.png"), int), pixels(sample))


def test_one_that_is_added_by_hand_is_a_change_that_is_told(made):
    model, ink, film = made
    cache.clear()
    pipe = sdnb.load(model, lora=ink)
    pipe.load_lora_weights(str(film.parent), weight_name=film.name, adapter_name="film")
    assert provenance.differences(pipe)
    sample = sdnb.generate("a fox", pipe=pipe, **SMALL)
    assert sample.facts["adapters"]
    assert sample.facts["changed"]
    cache.clear()


def test_facts_of_a_file_are_checked_before_they_become_code():
    wrong = {"model": "a/b", "dtype": "float32", "lora": {"ink": {"source": 3}}}
    with pytest.raises(ValueError, match="The fact lora"):
        metadata.from_json(
            json.dumps(
                {
                    "format": 1,
                    "samples": [{"settings": Settings("a", seed=1).to_dict(), "facts": wrong}],
                }
            )
        )


def test_the_hubs_file_and_commit_are_recorded(made, tmp_path, monkeypatch):
    """From the cache, as an earlier download has left it."""
    import huggingface_hub
    from huggingface_hub import constants

    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = Path(tmp_path, "models--ada--ink-style")
    snapshot = repository / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs/main").write_text(commit)
    (snapshot / "pytorch_lora_weights.safetensors").write_bytes(made[1].read_bytes())
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    pipe = sdnb.load(made[0], lora="ada/ink-style")
    [lora] = provenance.origin_of(pipe).lora
    assert (lora.name, lora.revision) == ("ink-style", commit)
    sample = sdnb.generate("a fox", pipe=pipe, **SMALL)
    assert '"ada/ink-style", weight_name="pytorch_lora_weights.safetensors"' in sample.code()
    assert f'revision="{commit}"' in sample.code()


def test_a_ray_worker_comes_to_the_same_pipeline(both, tmp_path):
    """In a process of its own, by the recipe that the sweep hands it."""
    from sdnb.generation import sample_facts
    from sdnb.sweeps.ray_worker import Recipe

    [settings] = sdnb.plan("a fox", lora={"film": 0.7, "ink": 1.1}, pipe=both, **SMALL).settings
    here = sdnb.generate(settings, pipe=both)
    (tmp_path / "recipe").write_bytes(pickle.dumps((Recipe.of(both, "cpu"), settings)))
    program = f"""
import json, pickle, sys
from sdnb.generation import sample_facts, sampling
recipe, settings = pickle.loads(open({str(tmp_path / "recipe")!r}, "rb").read())
pipe = recipe.pipeline(None)
sampling.run(settings, pipe).save({str(tmp_path / "fox.png")!r})
json.dump(sample_facts.made_by(settings, pipe), open({str(tmp_path / "by.json")!r}, "w"))
"""
    programs.run("-c", program, cwd=tmp_path, check=True)
    assert np.array_equal(pixels(sdnb.read(tmp_path / "fox.png")), pixels(here))
    by = sample_facts.made_by(settings, both)
    there = json.loads((tmp_path / "by.json").read_text())
    assert Store.key(settings, by) == Store.key(settings, there)


# ---------------------------------------------------------------- those that come with sdnb


@pytest.mark.parametrize("name", ["cyanotype", "sepia"])
def test_the_embedded_models_loras_draw_their_style_the_more_the_larger_the_weight(name):
    from training.lora import likeness

    pipe = sdnb.load("emoji", lora=name, device="cpu")
    sheet = sdnb.compare("a fox", lora={name: [0, 0.5, 1]}, steps=10, seed=1, pipe=pipe)
    like = [likeness(each.image, name) for each in sheet.samples]
    assert like == sorted(like)
    assert like[2] > like[0] + 0.02
    size = (lora_files.BUNDLED / f"{name}.safetensors").stat().st_size
    assert size < 700_000
