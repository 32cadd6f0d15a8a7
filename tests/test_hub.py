"""Loading, the cache, login."""

import shutil
import subprocess
import sys

import diffusers
import numpy as np
import pytest
import torch

import sdnb
from sdnb import hub


@pytest.fixture(autouse=True)
def _cache_as_before():
    kept, last = dict(hub._loaded), list(hub._last)
    yield
    hub._loaded.clear()
    hub._loaded.update(kept)
    hub._last[:] = last


def test_load_gives_a_plain_pipeline_and_the_same_one_again(pipe):
    assert type(pipe) is diffusers.StableDiffusionPipeline
    assert sdnb.load("emoji", dtype=torch.float32, device=torch.device("cpu")) is pipe
    assert sdnb.load("emoji", dtype="bfloat16", device="cpu") is not pipe
    assert {o.dtype for o in hub.loaded()} >= {"float32", "bfloat16"}


def test_a_folder_loads_like_the_embedded_model_and_is_another_entry(pipe, tmp_path):
    copy = shutil.copytree(sdnb.emoji.FOLDER, tmp_path / "copy")
    other = sdnb.load(copy, device="cpu")
    assert other is not pipe
    assert sdnb.load(str(copy), device="cpu") is other
    one, two = (sdnb.generate("a fox", steps=2, seed=1, pipe=p) for p in (pipe, other))
    assert np.array_equal(np.asarray(one.image), np.asarray(two.image))
    assert two.facts["model"] == str(copy)


def test_a_pipeline_of_ones_own_is_taken_as_it_is():
    own = diffusers.StableDiffusionPipeline.from_pretrained(sdnb.emoji.FOLDER)
    sample = sdnb.generate("a fox", steps=1, pipe=own)
    assert (sample.facts["model"], sample.facts["dtype"]) == ("emoji", "float32")


def test_clear_forgets_and_gives_the_memory_back():
    import gc
    import weakref

    before = sdnb.load("emoji", dtype="float16", device="cpu")
    weights = weakref.ref(before.unet)
    del before
    sdnb.clear()
    assert hub.loaded() == []
    gc.collect()
    assert weights() is None


def test_generate_takes_the_pipeline_that_load_last_returned():
    other = sdnb.load("emoji", dtype="bfloat16", device="cpu")
    assert hub.current() is other
    assert sdnb.generate("a fox", steps=1).facts["dtype"] == "bfloat16"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"model": "no such model"}, "'no such model' is no model: give 'emoji', a folder"),
        ({"model": "./missing/folder"}, "is no model"),
        ({"model": "emoji", "dtype": "float8"}, "dtype is 'float8': give 'float32'"),
        ({"model": "emoji", "device": "abacus"}, "There is no device 'abacus'"),
        ({"model": "emoji", "device": "xpu"}, "There is no xpu device on this machine"),
    ],
)
def test_what_cannot_be_loaded_gets_a_sentence(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        sdnb.load(**arguments)


def test_a_folder_without_a_pipeline_is_told_so(tmp_path):
    with pytest.raises(ValueError, match=r"holds no pipeline: there is no model_index\.json"):
        sdnb.load(tmp_path)


def test_a_hub_model_that_cannot_be_reached_is_an_oserror_with_its_cause():
    with pytest.raises(OSError, match="Could not load nobody/nothing-here") as caught:
        sdnb.load("nobody/nothing-here")
    assert caught.value.__cause__ is not None


def test_the_default_model_is_embedded_without_a_gpu_and_the_environments_where_set(
    monkeypatch, heard
):
    monkeypatch.setattr(hub, "best_device", lambda: "cpu")
    monkeypatch.delenv("SDNB_MODEL", raising=False)
    sdnb.clear()
    assert hub.origin_of(sdnb.load()).model == "emoji"
    assert any("No GPU here" in s for s in heard())
    monkeypatch.setattr(hub, "best_device", lambda: "cuda")
    assert hub.default_model() == "CompVis/stable-diffusion-v1-4"
    monkeypatch.setenv("SDNB_MODEL", "a/b")
    assert hub.default_model() == "a/b"


def test_login_returns_at_once_where_a_token_is_and_never_shows_it(monkeypatch, heard, capfd):
    monkeypatch.setenv("HF_TOKEN", "hf_" + "planted" * 5)
    sdnb.notebook_login()
    assert any("already logged in" in s for s in heard())
    assert "planted" not in "".join([*heard(), *capfd.readouterr()])


@pytest.mark.parametrize(("device", "asked"), [("cpu", 0), ("cuda", 1)])
def test_login_is_asked_for_only_where_a_hub_model_is_the_default(
    monkeypatch, heard, device, asked
):
    opened = []
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    monkeypatch.setattr("huggingface_hub.notebook_login", lambda: opened.append(1))
    monkeypatch.setattr(hub, "best_device", lambda: device)
    monkeypatch.delenv("SDNB_MODEL", raising=False)
    sdnb.notebook_login()
    assert len(opened) == asked
    assert any("No login needed" in s for s in heard()) is not bool(asked)


def test_a_notice_is_shown_also_where_logging_is_already_set_up():
    code = "import logging; logging.basicConfig(); from sdnb import hub; hub.notice('hear me')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "hear me" in done.stderr
    done = subprocess.run(
        [sys.executable, "-c", code.replace("logging.basicConfig()", "1")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stderr == "hear me\n"


def test_the_facts_follow_a_pipeline_that_was_moved():
    moved = sdnb.load("emoji", dtype="float16", device="cpu").to(torch.float32)
    assert hub.origin_of(moved).dtype == "float32"
