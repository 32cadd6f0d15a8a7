"""One way in for settings: the same names with the same defaults in all six functions."""

import inspect
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sdnb
from sdnb import Settings, log
from sdnb.models import cache, provenance
from sdnb.options import Axes, Options
from sdnb.records import store as stores
from sdnb.sweeps import execution

SIX = ["generate", "compare", "plan", "evolution", "variations", "panel"]
PROMPT = "a fox on a blue background"
GREY = Image.new("RGB", (64, 64), "grey")


def called(name, **given):
    first = GREY if name == "variations" else PROMPT
    return getattr(sdnb, name)(first, **given)


def test_the_options_are_the_settings():
    names = [f.name for f in fields(Settings)][1:]
    assert list(Options.__annotations__) == list(Axes.__annotations__) == names


@pytest.mark.parametrize("name", SIX)
def test_each_function_names_all_settings_and_takes_none_for_the_pipelines_own(name):
    given = inspect.signature(getattr(sdnb, name)).parameters
    for setting in (*Options.__annotations__, "pipe", "mask"):
        assert given[setting].default is None, setting
        assert given[setting].kind is inspect.Parameter.KEYWORD_ONLY
    assert "image" in given
    assert not [p for p in given.values() if p.kind is p.VAR_KEYWORD]
    assert name == "plan" or given["store"].default is True


@pytest.mark.parametrize("name", SIX)
@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("num_inference_steps", "steps=50"), ("guidance_scale", "guidance=7.5"),
     ("generator", "seed=510"), ("negative", "negative_prompt="), ("cfg_scale", "guidance=7.5"),
     ("sampler", "scheduler="), ("mask_image", "mask=")],
)  # fmt: skip
def test_a_name_of_diffusers_gets_an_error_that_names_ours(name, theirs, ours, pipe):
    with pytest.raises(TypeError, match=f"no setting {theirs!r}: here it is {ours}"):
        called(name, **{theirs: 1}, pipe=pipe)
    with pytest.raises(TypeError, match=r"no setting 'step': did you mean 'steps'\?"):
        called(name, step=1, pipe=pipe)


@pytest.mark.parametrize("name", SIX)
def test_height_and_width_need_their_names_since_diffusers_has_them_in_another_order(name):
    with pytest.raises(TypeError, match=r"name each, as in \w+\(.*, width=512, height=512\)"):
        getattr(sdnb, name)(GREY, [1], 768, 512)


@pytest.mark.parametrize("name", ["generate", "compare", "evolution", "variations"])
@pytest.mark.parametrize("kind", [str, Path, sdnb.Store])
def test_a_store_may_be_a_folder(name, kind, pipe, tmp_path):
    more = {"at": [1]} if name == "evolution" else {"n": 1} if name == "variations" else {}
    if name == "variations":
        more |= {"prompt": PROMPT, "strength": 1}
    made = called(name, steps=1, seed=1, pipe=pipe, store=kind(tmp_path / "mine"), **more)
    assert len(list((tmp_path / "mine").glob("*.png"))) == 1
    first = made if name == "generate" else made[0]
    again = called(name, steps=1, seed=1, pipe=pipe, store=str(tmp_path / "mine"), **more)
    assert (again if name == "generate" else again[0]).facts == first.facts  # the seconds too


def test_the_stores_of_a_plan_and_of_a_panel_may_be_folders(pipe, tmp_path):
    sdnb.plan(PROMPT, steps=1, pipe=pipe).run(store=tmp_path / "plan")
    assert sdnb.panel(PROMPT, steps=1, pipe=pipe, store=tmp_path / "panel").sample
    assert [len(list(each.glob("*.png"))) for each in sorted(tmp_path.iterdir())] == [1, 1]


@pytest.mark.parametrize(("store", "error"), [(7, TypeError), ("", ValueError), (None, TypeError)])
def test_what_is_no_store_is_said(store, error, pipe):
    with pytest.raises(error, match=r"give True, False, a folder|give a folder, or True"):
        sdnb.generate(PROMPT, steps=1, pipe=pipe, store=store)


def test_what_is_not_given_is_the_pipelines_own(pipe):
    assert Settings(PROMPT).steps is None
    [settings] = sdnb.plan(PROMPT, pipe=pipe).settings
    assert (settings.steps, settings.guidance) == (50, 7.5)
    assert settings == sdnb.plan(PROMPT, steps=50, guidance=7.5, seed=settings.seed,
                                 pipe=pipe).settings[0]  # fmt: skip


def test_whole_settings_are_taken_which_the_others_change(pipe):
    given = Settings(PROMPT, "an owl", 1, 3.0, "Euler", 5)
    whole = given.but(width=128, height=128)
    assert sdnb.plan(given, pipe=pipe).settings == [whole]
    sheet = sdnb.plan(given, seed=[1, 2], guidance=None, pipe=pipe)
    assert sheet.settings == [whole.but(seed=1), whole.but(seed=2)]
    assert sdnb.plan(given, calls=3, pipe=pipe).settings == [whole.but(steps=3)]
    varied = sdnb.variations(GREY, 2, prompt=given, width=64, height=64, strength=1, pipe=pipe)
    assert [s.settings for s in varied] == [
        given.but(width=64, height=64, strength=1, seed=seed) for seed in (5, 6)
    ]


def test_a_strength_of_nothing_is_refused_by_all(pipe):
    for name in ("generate", "evolution", "variations"):
        with pytest.raises(ValueError, match="strength is 0: give over 0 and up to 1"):
            called(name, strength=0, pipe=pipe)


def test_a_run_from_a_picture_can_be_looked_at_on_its_way(pipe, tmp_path):
    given = {"image": GREY, "steps": 8, "strength": 0.5, "seed": 1, "pipe": pipe}
    sheet = sdnb.evolution(PROMPT, [2, 4], store=tmp_path, **given)
    assert sheet.col_labels == ["after 2 of 4 steps", "after 4 of 4 steps"]
    assert [s.facts["denoiser_calls"] for s in sheet] == [2, 4]
    whole = sdnb.generate(PROMPT, **given)
    assert np.array_equal(np.asarray(sheet[1].image), np.asarray(whole.image))
    with pytest.raises(ValueError, match=r"at is \[5\]: give steps from 1 to 4"):
        sdnb.evolution(PROMPT, [5], **given)


# ---------------------------------------------------------------- the current pipeline


def test_a_comparison_of_models_leaves_the_current_pipeline_as_it_is(tmp_path):
    before = dict(cache._loaded), list(cache._current)
    mine = sdnb.load("emoji", dtype="float16", device="cpu")
    small = {"width": 32, "height": 32}  # float16 is slow without units for it
    try:
        sdnb.compare(PROMPT, model=["emoji"], steps=1, seed=1, store=False, **small)
        assert cache.current() is mine
        assert sdnb.generate(PROMPT, steps=1, seed=1, **small).facts["dtype"] == "float16"
    finally:
        cache._loaded.clear()
        cache._loaded.update(before[0])
        cache._current[:] = before[1]


def test_a_current_pipeline_that_had_to_make_room_comes_back():
    before = dict(cache._loaded), list(cache._current)
    try:
        sdnb.load("emoji", dtype="bfloat16", device="cpu")
        cache._forget(cache._current[0])
        assert provenance.origin_of(cache.current()).dtype == "bfloat16"
    finally:
        cache._loaded.clear()
        cache._loaded.update(before[0])
        cache._current[:] = before[1]


# ---------------------------------------------------------------- Google Drive


def test_that_pictures_go_to_the_users_drive_is_said_with_the_first(
    pipe, tmp_path, monkeypatch, heard
):
    monkeypatch.delenv("SDNB_STORE")
    for module in (stores, execution):
        monkeypatch.setattr(module, "DRIVE", tmp_path)
    monkeypatch.setattr(log, "_said", set())
    for seed in (1, 2):
        sdnb.generate(PROMPT, steps=1, seed=seed, pipe=pipe)
    told = [s for s in heard() if "Google Drive" in s]
    assert told == [
        f"Pictures are kept on your Google Drive, in {tmp_path / 'sdnb'}. Elsewhere: "
        "store='folder', or SDNB_STORE names one; nowhere: store=False, or SDNB_STORE=off."
    ]
    assert len(list((tmp_path / "sdnb").glob("*.png"))) == 2
    monkeypatch.setattr(log, "_said", set())
    sdnb.generate(PROMPT, steps=1, seed=3, pipe=pipe, store=tmp_path / "mine")
    assert told == [s for s in heard() if "Google Drive" in s]
