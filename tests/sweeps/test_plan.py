"""A plan of several models: in memory one after another, where it is too small for all."""

import json
import shutil
import weakref

import pytest

import sdnb
from sdnb.generation import sampling
from sdnb.models import build, cache, device
from sdnb.sweeps import plan
from tests.support import toys

PROMPT = "a fox on a blue background"


@pytest.fixture
def short(monkeypatch):
    """The memory of one and a half models; a list of how many were in it after each load."""
    kept, current = dict(cache._loaded), list(cache._current)
    cache._loaded.clear()
    cache._current.clear()
    real, alive, counts = build.load, [], []
    one = sum(f.stat().st_size for f in sdnb.emoji.FOLDER.rglob("*.safetensors"))

    def load(*given):
        made = real(*given)
        alive.append(weakref.ref(made[0].unet))
        counts.append(sum(each() is not None for each in alive))
        return made

    def free(_):
        return int(1.5 * one * 2) - one * 2 * sum(each() is not None for each in alive)

    monkeypatch.setattr(build, "load", load)
    monkeypatch.setattr(device, "free_memory", free)
    yield counts
    cache._loaded.clear()
    cache._loaded.update(kept)
    cache._current[:] = current


def test_three_models_are_compared_within_the_memory_of_one_and_a_half(
    short, tmp_path, monkeypatch, heard
):
    names = [shutil.copytree(sdnb.emoji.FOLDER, tmp_path / name) for name in "abc"]
    given = {"model": names, "steps": 1, "seed": 1, "store": tmp_path / "store"}
    sheet = sdnb.compare(PROMPT, **given)
    assert [s.facts["model"] for s in sheet] == [str(name) for name in names]
    assert short == [1] * 5, "three to check the settings, and all but the last again"
    assert not [s for s in heard() if "cannot be evicted" in s]
    monkeypatch.setattr(device, "free_memory", lambda _: 10**11)
    again = sdnb.compare(PROMPT, **given)  # the keys are those of models that are in memory
    assert [s.facts for s in again] == [s.facts for s in sheet]


def test_where_there_is_room_each_model_is_loaded_once(short, tmp_path, monkeypatch):
    monkeypatch.setattr(device, "free_memory", lambda _: 10**11)
    names = [shutil.copytree(sdnb.emoji.FOLDER, tmp_path / name) for name in "ab"]
    sdnb.compare(PROMPT, model=names, steps=1, seed=1, store=False)
    assert short == [1, 2]


def test_a_value_that_does_not_fit_the_second_model_fails_before_the_first_has_run(
    short, tmp_path, monkeypatch
):
    other = shutil.copytree(sdnb.emoji.FOLDER, tmp_path / "other")
    path = other / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"num_train_timesteps": 10}))
    monkeypatch.setattr(sampling, "run", lambda *_, **__: pytest.fail("it has run"))
    with pytest.raises(ValueError, match="20"):
        sdnb.compare(PROMPT, model=["emoji", other], steps=20, seed=1, store=False)


def test_a_model_that_is_gone_when_its_turn_comes_fails_alone(short, tmp_path, heard):
    names = [shutil.copytree(sdnb.emoji.FOLDER, tmp_path / name) for name in "ab"]
    plan = sdnb.plan(PROMPT, model=names, steps=1, seed=1)
    shutil.rmtree(names[0])
    sheet = plan.run(store=False)
    assert "error" in sheet[0].facts
    assert sheet[1].facts["denoiser_calls"] == 1


def test_a_model_that_came_back_otherwise_than_it_was_checked_fills_no_key(short, tmp_path):
    names = [shutil.copytree(sdnb.emoji.FOLDER, tmp_path / name) for name in "ab"]
    plan = sdnb.plan(PROMPT, model=names, steps=1, seed=1)  # now only the second is in memory
    path = names[0] / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"beta_end": 0.02}))
    store = sdnb.Store(tmp_path / "store")
    assert len(plan.run(store=store)) == 2
    assert len(store) == 1


def test_a_large_distance_from_full_precision_is_said_in_plain_digits(monkeypatch):
    monkeypatch.setattr(plan, "difference", lambda *_: 120.4)
    sheet = sdnb.compare("a fox", model="emoji", dtype=["float32", "bfloat16"], steps=1, seed=1)
    assert sheet.below == ["full precision", "120 of 255 from full precision"]


@pytest.mark.parametrize(
    "name", ["Euler Simple", "euler simple", "flowmatcheulerdiscretescheduler"]
)
@pytest.mark.parametrize("options", [{"steps": [1, 2]}, {"calls": 2}])
def test_a_sweep_takes_every_spelling_of_a_scheduler_that_one_picture_takes(
    tmp_path, name, options
):
    pipe = toys.sd3(tmp_path)
    plan = sdnb.plan("a fox", scheduler=[name, None], seed=1, pipe=pipe, **options)
    assert {s.scheduler for s in plan.settings} == {"FlowMatchEulerDiscreteScheduler"}
    assert max(plan.counts) == 2


def test_a_sweep_of_a_spelling_that_is_another_models_is_refused_in_the_plan(pipe):
    with pytest.raises(ValueError, match="There is no scheduler 'Euler Simple'"):
        sdnb.plan("a fox", scheduler=["Euler Simple", "DDIM"], calls=4, pipe=pipe)
