import copy
import io
import json
import pickle
import shutil
import signal
import sys
import threading

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

import sdnb
from sdnb import Settings, schedulers
from sdnb.display import live_sheet
from sdnb.generation import model_lock, sampling, x0_preview
from sdnb.sweeps import axes
from sdnb.widgets import html
from tests.support import denoiser_calls, families, programs

PROMPT = "a fox on a blue background"


def same(a, b):
    return np.array_equal(np.asarray(a.image), np.asarray(b.image))


def test_one_axis_is_a_labelled_row(pipe):
    sheet = sdnb.compare(PROMPT, steps=[1, 2, 3, 4], seed=510, pipe=pipe)
    assert (sheet.rows, sheet.cols, len(sheet)) == (1, 4, 4)
    assert sheet.col_labels == ["1 step", "2 steps", "3 steps", "4 steps"]
    assert [s.settings.steps for s in sheet] == [1, 2, 3, 4]
    assert sheet.title == f"{PROMPT}\nguidance 7.5 · DDIM · seed 510"


def test_two_axes_are_a_table_with_the_first_as_columns(pipe):
    sheet = sdnb.compare(
        PROMPT, guidance=[1, 4, 7.5], scheduler=["DDIM", "LMS"], steps=1, seed=1, pipe=pipe
    )
    assert (sheet.rows, sheet.cols) == (2, 3)
    assert sheet.col_labels == ["guidance 1", "guidance 4", "guidance 7.5"]
    assert sheet.row_labels == ["DDIM", "LMS"]
    assert [(s.settings.scheduler, s.settings.guidance) for s in sheet.samples] == [
        ("DDIM", 1), ("DDIM", 4), ("DDIM", 7.5), ("LMS", 1), ("LMS", 4), ("LMS", 7.5),
    ]  # fmt: skip


def test_a_third_axis_gives_pages_of_tables(pipe):
    sheet = sdnb.compare([PROMPT, "an owl"], steps=[1, 2], guidance=[1, 2], seed=[5, 6], pipe=pipe)
    assert (sheet.pages, sheet.rows, sheet.cols, len(sheet)) == (4, 2, 2, 16)
    assert sheet.page_labels == ["guidance 1, seed 5", "guidance 2, seed 5", "guidance 1, seed 6",
                                 "guidance 2, seed 6"]  # fmt: skip
    for i, sample in enumerate(sheet):
        page, row, col = i // 4, i // 2 % 2, i % 2
        assert sample.settings.prompt == sheet.col_labels[col]
        assert f"{sample.settings.steps} step" in sheet.row_labels[row]
        guidance, seed = sample.settings.guidance, sample.settings.seed
        assert sheet.page_labels[page] == f"guidance {guidance:g}, seed {seed}"
    assert sheet.grid().height > 4 * 2 * 256


def test_picture_3_of_4_made_alone_is_the_same_but_for_the_last_digits(pipe):
    sheet = sdnb.compare(PROMPT, seed=[3, 1, 4, 2], steps=5, scheduler="Euler a", pipe=pipe)
    alone = sdnb.generate(PROMPT, seed=4, steps=5, scheduler="Euler a", pipe=pipe)
    difference = np.abs(np.asarray(sheet[2].image, int) - np.asarray(alone.image, int))
    assert difference.max() <= 2
    assert difference.mean() <= 0.1
    assert not same(sheet[2], sheet[3])
    one_by_one = sdnb.compare(PROMPT, seed=[3, 4], steps=5, scheduler="Euler a", batch=1, pipe=pipe)
    assert same(one_by_one[1], alone)


def test_a_seed_that_is_not_given_is_drawn_once_for_the_whole_sheet(pipe):
    seeds = {s.settings.seed for s in sdnb.compare(PROMPT, steps=[1, 2], pipe=pipe)}
    assert len(seeds) == 1
    again = {s.settings.seed for s in sdnb.compare(PROMPT, steps=[1, 2], pipe=pipe)}
    assert seeds != again


@pytest.mark.parametrize(
    "values",
    [range(1, 3), (1, 2), np.array([1, 2]), (n for n in (1, 2)), {1: "one", 2: "two"}],
)
def test_an_axis_may_be_a_range_a_tuple_an_array_a_generator_or_a_dicts_keys(values):
    assert axes.split(prompt="a", steps=values) == ({"prompt": "a"}, {"steps": [1, 2]})


def test_values_keep_their_order_and_repeats():
    assert axes.split(prompt=["b", "a", "b"])[1] == {"prompt": ["b", "a", "b"]}
    with pytest.raises(TypeError, match="prompt is a set, which has no order"):
        axes.split(prompt={"b", "a"})


def test_a_plan_lists_settings_without_a_pipeline():
    lists = {"steps": [12, 24], "scheduler": ["DDIM", "LMS"]}
    plan = [cell.settings for cell in axes.cells({"prompt": "a fox"}, lists)]
    assert plan[1] == Settings("a fox", steps=24, scheduler="DDIM")
    assert plan[2] == Settings("a fox", steps=12, scheduler="LMS")


@pytest.mark.parametrize(
    ("axes", "sentence"),
    [
        ({"steps": [12, 0]}, "steps is 0"),
        ({"steps": []}, "steps is an empty list"),
        ({"scheduler": ["DDIM", "DDMI"]}, "There is no scheduler 'DDMI'"),
        ({"width": [128, 136]}, "width 136 is not a multiple of 32: use 128 or 160."),
        ({"guidance": [7.5, float("nan")]}, "guidance is nan"),
    ],
)
def test_one_bad_value_fails_the_plan_before_the_first_denoiser_call(pipe, axes, sentence):
    calls = []
    hook = pipe.unet.register_forward_hook(lambda *_: calls.append(1))
    try:
        with pytest.raises(ValueError, match=sentence):
            sdnb.compare(PROMPT, pipe=pipe, **axes)
    finally:
        hook.remove()
    assert calls == []


def test_steps_have_a_visible_effect_and_settle(pipe):
    sheet = sdnb.compare(PROMPT, steps=[2, 24, 50], seed=510, pipe=pipe)
    two, many, most = (np.asarray(s.image, float) for s in sheet)
    assert np.abs(two - most).mean() > 10 > 3 > np.abs(many - most).mean()


def test_a_sheet_shows_one_picture_and_all_settings_as_text(pipe):
    sheet = sdnb.compare(PROMPT, steps=[1, 2], seed=510, pipe=pipe)
    bundle = sheet._repr_mimebundle_()
    assert len(bundle) == 2
    assert "1 step, guidance 7.5, DDIM, seed 510" in bundle["text/plain"]
    assert sheet.grid().width > 2 * 256


def test_a_sheet_whose_numbers_disagree_is_refused(pipe):
    with pytest.raises(ValueError, match="2 x 2 = 4 cells for 1 samples"):
        sdnb.Sheet([sdnb.generate(PROMPT, steps=1, pipe=pipe)], 2, 2)


# ---------------------------------------------------------------- the plan


def test_a_plan_says_what_it_costs_and_runs_later(pipe):
    plan = sdnb.plan(PROMPT, steps=[12, 24, 38, 50], seed=510, pipe=pipe)
    assert (len(plan), plan.calls, plan.merged_calls) == (4, 124, 50)
    assert [s.steps for s in plan.settings] == [12, 24, 38, 50]
    mixed = sdnb.plan(PROMPT, steps=[4, 6], scheduler=["Heun", "PNDM"], seed=1, pipe=pipe)
    assert mixed.calls == 7 + 11 + 5 + 7
    sheet = sdnb.plan(PROMPT, steps=[1, 2], seed=1, pipe=pipe).run()
    assert [s.facts["denoiser_calls"] for s in sheet] == [1, 2]
    assert plan.seconds() > 0
    many = sdnb.plan(PROMPT, steps=50, seed=range(100), pipe=pipe)
    assert many.merged_calls == 313  # 16 at once


def test_equal_cost_gives_each_scheduler_its_own_number_of_steps(pipe):
    names = ["DDIM", "PNDM", "Heun"]
    plan = sdnb.plan(PROMPT, scheduler=names, calls=25, seed=1, pipe=pipe)
    assert [s.steps for s in plan.settings] == [25, 24, 13]
    sheet = sdnb.compare(PROMPT, scheduler=names, calls=5, seed=1, pipe=pipe)
    assert [s.facts["denoiser_calls"] for s in sheet] == [5, 5, 5]
    assert "steps" not in sheet.title
    with pytest.raises(ValueError, match="Give calls or steps, not both"):
        sdnb.plan(PROMPT, calls=25, steps=[1], pipe=pipe)


def test_models_can_be_compared(pipe, tmp_path):
    other = shutil.copytree(sdnb.emoji.FOLDER, tmp_path / "other")
    sheet = sdnb.compare(PROMPT, model=["emoji", str(other)], steps=[1, 2], seed=1)
    assert [s.facts["model"] for s in sheet] == ["emoji", str(other)] * 2 or [
        s.facts["model"] for s in sheet
    ] == ["emoji", "emoji", str(other), str(other)]
    config = json.loads((other / "scheduler" / "scheduler_config.json").read_text())
    config["_class_name"] = "EulerDiscreteScheduler"
    (other / "scheduler" / "scheduler_config.json").write_text(json.dumps(config))
    index = json.loads((other / "model_index.json").read_text())
    index["scheduler"] = ["diffusers", "EulerDiscreteScheduler"]
    (other / "model_index.json").write_text(json.dumps(index))
    sdnb.clear()
    plan = sdnb.plan(PROMPT, model=["emoji", str(other)], steps=2, seed=1)
    assert [s.scheduler for s in plan.settings] == ["DDIM", "Euler"]
    assert "DDIM" not in plan.title
    with pytest.raises(ValueError, match="Give pipe or model"):
        sdnb.compare(PROMPT, model="emoji", pipe=pipe)


# ---------------------------------------------------------------- the store


@pytest.fixture
def store(tmp_path):
    return sdnb.Store(tmp_path / "store")


@pytest.fixture
def calls(pipe):
    """Counts the real denoiser calls."""
    made = []
    with denoiser_calls.watched(pipe, lambda: made.append(1)):
        yield made


def test_asking_again_makes_nothing_and_one_more_value_makes_one_more(pipe, store, calls):
    first = sdnb.compare(PROMPT, steps=[2, 3], seed=1, store=store, pipe=pipe)
    assert (len(store), len(calls)) == (2, 3)
    calls.clear()
    again = sdnb.compare(PROMPT, steps=[2, 3], seed=1, store=store, pipe=pipe)
    assert calls == []
    assert all(same(a, b) for a, b in zip(first, again))
    assert [s.facts for s in first] == [s.facts for s in again]
    more = sdnb.compare(PROMPT, steps=[2, 3, 4], seed=1, store=store, pipe=pipe)
    assert len(calls) == 4
    assert same(more[1], first[1])
    assert same(sdnb.generate(PROMPT, steps=3, seed=1, store=store, pipe=pipe), first[1])
    assert len(calls) == 4


def test_what_a_person_did_to_the_pipeline_is_never_mixed_up_with_what_is_stored(store):
    sdnb.clear()
    own = sdnb.load("emoji", device="cpu")
    kept = sdnb.generate(PROMPT, steps=2, seed=1, store=store, pipe=own)
    own.unet.conv_out.weight.data.mul_(0.5)
    with torch.no_grad():
        own.unet.conv_out.weight.mul_(1.0)
    changed = sdnb.generate(PROMPT, steps=2, seed=1, store=store, pipe=own)
    assert not same(kept, changed)
    assert len(store) == 1
    sdnb.clear()


def test_a_scheduler_that_a_person_configured_has_pictures_of_its_own(pipe, store, heard):
    own = pipe.scheduler
    one = sdnb.generate(PROMPT, steps=4, seed=1, store=store, pipe=pipe)
    try:
        pipe.scheduler = type(own).from_config(own.config, timestep_spacing="trailing")
        two = sdnb.generate(PROMPT, steps=4, seed=1, store=store, pipe=pipe)
        pipe.scheduler = diffusers.EulerDiscreteScheduler.from_config(own.config)
        sdnb.generate(PROMPT, steps=4, seed=1, store=store, pipe=pipe)
    finally:
        pipe.scheduler = own
    assert len(store) == 3
    assert not same(one, two)
    assert heard() == []


KILLED = """
import os, signal, sys, sdnb
from sdnb import Store
real, pictures = Store.put, 0
def put(self, key, sample):
    global pictures
    real(self, key, sample)
    pictures += 1
    print("made", sample.settings.steps, flush=True)
    if pictures == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
Store.put = put
sdnb.compare("a fox", steps=[2, 3, 4, 5], seed=1, store=Store(sys.argv[1]),
             pipe=sdnb.load("emoji", device="cpu"))
"""


def test_a_sweep_that_was_killed_makes_only_what_is_missing(tmp_path):
    def run(most):
        return programs.run("-c", KILLED, tmp_path / "store", most, cwd=tmp_path)

    killed = run(2)
    assert killed.returncode == -signal.SIGKILL
    assert killed.stdout.split() == ["made", "2", "made", "3"]
    again = run(99)
    assert again.returncode == 0, again.stderr
    assert again.stdout.split() == ["made", "4", "made", "5"]


# ---------------------------------------------------------------- what goes wrong


def test_one_picture_that_fails_does_not_end_the_others(pipe, monkeypatch, heard):
    real = sampling.run

    def run(settings, *given, **named):
        if settings.steps == 2:
            raise RuntimeError("the second one breaks")
        return real(settings, *given, **named)

    monkeypatch.setattr(sampling, "run", run)
    sheet = sdnb.compare(PROMPT, steps=[1, 2, 3], seed=1, pipe=pipe)
    assert [s.facts.get("denoiser_calls") for s in sheet] == [1, None, 3]
    assert "failed (the second one breaks)" in repr(sheet)
    assert "Picture 2 failed: the second one breaks" in heard()
    with pytest.raises(RuntimeError, match="the second one breaks"):
        sdnb.compare(PROMPT, steps=2, seed=1, pipe=pipe)


def test_ctrl_c_keeps_what_is_finished_and_the_pipeline_as_it_was(pipe, store):
    calls, unet = [], pipe.unet

    def stop():
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt

    with denoiser_calls.watched(pipe, stop), pytest.raises(KeyboardInterrupt):
        sdnb.compare(PROMPT, steps=[2, 6], seed=1, store=store, pipe=pipe)
    assert len(store) == 1
    assert pipe.unet is unet
    assert not unet._forward_hooks
    assert sdnb.generate(PROMPT, steps=2, seed=1, pipe=pipe).image


# ---------------------------------------------------------------- sheets


def test_a_sheet_saves_itself_and_its_pictures(pipe, tmp_path):
    sheet = sdnb.compare(PROMPT, steps=[1, 2], seed=1, pipe=pipe)
    path = sheet.save(tmp_path / "sheet.png")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["sheet-1.png", "sheet-2.png", "sheet.png"]
    assert [sdnb.read(p).settings.steps for p in sheet.files(path)] == [1, 2]


def test_a_sheets_files_are_in_the_home_folder_that_a_tilde_stands_for(tmp_path, monkeypatch):
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    tile = sdnb.Sample(Image.new("RGB", (8, 8)), Settings("a fox"))
    sheet = sdnb.Sheet([tile, tile], 1, 2)
    sheet.save("~/sheet.png")
    assert sheet.files("~/sheet.png") == [tmp_path / "sheet-1.png", tmp_path / "sheet-2.png"]
    assert all(file.exists() for file in sheet.files("~/sheet.png"))


def test_a_sheet_of_hundreds_of_rows_can_be_shown():
    grey = sdnb.Sample(Image.effect_noise((128, 128), 60).convert("RGB"), Settings("a fox"))
    bundle = sdnb.Sheet([grey] * 400, 400, 1)._repr_mimebundle_()
    with Image.open(io.BytesIO(bundle["image/jpeg"])) as shown:
        assert shown.height <= 16_000


def test_a_sheet_gives_rows_a_plot_a_slider_and_a_moving_picture(pipe, tmp_path):
    sheet = sdnb.compare(PROMPT, steps=[1, 2, 4], scheduler=["DDIM", "LMS"], seed=1, pipe=pipe)
    rows = sheet.table()
    assert [(r["steps"], r["scheduler"]) for r in rows[:3]] == [
        (1, "DDIM"),
        (2, "DDIM"),
        (4, "DDIM"),
    ]
    assert len(sheet.plot().axes[0].lines) == 2
    page = sheet.slider().save(tmp_path / "page.html").read_text()
    assert "4 steps" in page
    assert "LMS" in page
    with Image.open(sheet.animate(tmp_path / "steps.gif")) as moving:
        assert moving.n_frames == 6


def test_a_picture_from_elsewhere_is_one_more_column(pipe):
    sheet = sdnb.compare(PROMPT, steps=[1, 2], seed=1, pipe=pipe)
    both = sheet.beside(Image.new("RGB", (300, 200), "red"), "DALL-E 2")
    assert (both.rows, both.cols, both.col_labels[-1]) == (1, 3, "DALL-E 2")
    assert both[2].image.size == (128, 128)
    assert both[2].image.getpixel((64, 64)) == (255, 0, 0)
    with pytest.raises(ValueError, match="1 pictures for 2 rows"):
        sdnb.compare(PROMPT, steps=[1, 2], guidance=[1, 2], seed=1, pipe=pipe).beside(
            [both[2].image], "x"
        )


def test_of_a_picture_from_elsewhere_nothing_is_said_but_its_name(pipe, tmp_path):
    sheet = sdnb.compare(PROMPT, steps=[1, 2], seed=1, pipe=pipe)
    both = sheet.beside(Image.new("RGB", (300, 200), "red"), "DALL-E 2")
    row = both.table()[2]
    assert {name for name, value in row.items() if value is not None} == {"model", "elsewhere"}
    assert repr(both).splitlines()[-1] == "  DALL-E 2"
    assert repr(both[2]) == "Sample(DALL-E 2)"
    assert [sample.settings is None for sample in both] == [False, False, True]
    assert "50 steps" not in str(both[2]._repr_mimebundle_()) + html.caption(both[2]) + repr(both)
    assert html.caption(both[2]).count("<p>") == 1
    with pytest.raises(ValueError, match="DALL-E 2 was not made by sdnb"):
        both[2].code()
    assert repr(pickle.loads(pickle.dumps(both))) == repr(both)
    assert both.plot().axes[0].lines[0].get_xydata()[:, 0].tolist() == [1, 2]
    assert both.slider().labels[2] == "DALL-E 2"
    path = both.save(tmp_path / "both.png")
    _, records = sdnb.metadata.read(path)
    assert [settings.steps for settings, _ in records] == [1, 2]
    with Image.open(both.files(path)[2]) as alone:
        assert alone.info == {}  # neither settings nor that a trained model made it


# ---------------------------------------------------------------- evolution


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("name", schedulers.names())
def test_the_predicted_latents_are_those_that_the_noise_was_added_to(pipe, name, kind):
    """Truth from outside: each scheduler's own add_noise."""
    own = diffusers.DDIMScheduler.from_config(pipe.scheduler.config, prediction_type=kind)
    scheduler = schedulers.make(name, own)
    scheduler.set_timesteps(10)
    torch.manual_seed(0)
    final, noise = torch.randn(1, 16, 8, 8), torch.randn(1, 16, 8, 8)
    time = scheduler.timesteps[4]
    latents = scheduler.add_noise(final, noise, time[None])
    small = scheduler.scale_model_input(latents, time)
    enlarged = float(latents.norm() / small.norm())
    # small = a * final + sqrt(1 - a * a) * noise: a by least squares
    pair = torch.stack([final.flatten(), noise.flatten()], 1)
    a = float(torch.linalg.lstsq(pair, small.flatten()[:, None]).solution[0])
    output = noise if kind == "epsilon" else a * noise - (1 - a * a) ** 0.5 * final
    found = x0_preview.predicted(scheduler, output, time, latents, enlarged)
    assert torch.allclose(found, final, atol=2e-3)


@pytest.mark.parametrize("scheduler", ["DDIM", "Euler", "Heun", "DPM++ 2M", "LCM"])
def test_what_the_last_call_predicts_is_the_picture(pipe, scheduler):
    settings = sampling.resolve(Settings(PROMPT, steps=8, seed=3, guidance=3,
                                           scheduler=scheduler), pipe)  # fmt: skip
    seen = []
    sample = sampling.run(settings, pipe, on_step=lambda call, latents: seen.append(latents))
    assert len(seen) == sample.facts["denoiser_calls"]
    [shown] = x0_preview.decoded(pipe, seen[-1], sample.image.size)
    assert np.abs(np.asarray(shown, int) - np.asarray(sample.image, int)).mean() < 3


def test_evolution_looks_at_one_run(pipe, calls):
    sheet = sdnb.evolution(PROMPT, [2, 4, 6], steps=6, seed=1, pipe=pipe)
    assert same(sheet[2], sdnb.generate(PROMPT, steps=6, seed=1, pipe=pipe))
    with pytest.raises(ValueError, match=r"at is \[9\]: give steps from 1 to 6"):
        sdnb.evolution(PROMPT, [9], steps=6, pipe=pipe)
    with pytest.raises(ValueError, match=r"at is \[2\.5\]: give steps from 1 to 6"):
        sdnb.evolution(PROMPT, [2.5], steps=6, pipe=pipe)


def test_evolution_takes_settings_which_the_other_arguments_change(pipe, tmp_path):
    given = Settings(PROMPT, "an owl", 6, 3.0, "Euler", 5)
    sheet = sdnb.evolution(given, np.array([2, 6]), guidance=1.5, seed=1, pipe=pipe)
    assert sheet[0].settings == given.but(guidance=1.5, seed=1, width=128, height=128)
    assert sdnb.read(sheet[0].save(tmp_path / "way.png")).facts["step"] == 2


@pytest.mark.parametrize(("name", "calls"), [("DDIM", 3), ("PNDM", 4), ("Heun", 6), ("LCM", 3)])
def test_evolution_counts_the_calls_of_the_steps_that_were_made(pipe, name, calls):
    """Truth from outside: how many calls there were when diffusers began its fourth step."""
    scheduler = schedulers.make(name, pipe.scheduler)
    scheduler.set_timesteps(8)
    times = scheduler.timesteps.tolist()
    fourth = list(dict.fromkeys(times))[3]  # Heun's third step ends there, its fourth begins
    assert max(i for i, time in enumerate(times) if time == fourth) == calls
    sheet = sdnb.evolution(PROMPT, [3, 8], steps=8, scheduler=name, seed=1, pipe=pipe)
    assert [s.facts["denoiser_calls"] for s in sheet] == [calls, len(times)]


@pytest.mark.parametrize("name", ["CogView4Pipeline", "ChromaPipeline", "Lumina2Pipeline"])
def test_evolution_counts_both_calls_of_a_step_with_guidance(name):
    """Truth from outside: the transformer's calls when diffusers ends each of its steps."""
    pipe, calls, after = families.made(name), [], []
    with pipe.transformer.register_forward_hook(lambda *_: calls.append(None)):
        pipe(
            "a fox", num_inference_steps=4, guidance_scale=3.0, width=32, height=32,
            callback_on_step_end=lambda *given: (after.append(len(calls)), given[-1])[1],
        )  # fmt: skip
    sheet = sdnb.evolution(
        "a fox", [1, 3, 4], steps=4, guidance=3.0, seed=1, width=32, height=32, pipe=pipe
    )
    assert [s.facts["denoiser_calls"] for s in sheet] == [after[0], after[2], after[3]]


@pytest.mark.parametrize("flags", [{"use_exponential_sigmas": True}, {"use_beta_sigmas": True}])
def test_evolution_asks_a_scheduler_that_has_no_name_how_many_calls_a_step_takes(pipe, flags):
    own = copy.copy(pipe)
    own.scheduler = diffusers.HeunDiscreteScheduler.from_config(pipe.scheduler.config, **flags)
    seen = sdnb.evolution(PROMPT, [1, 3, 4], steps=4, seed=1, pipe=own)
    assert [s.facts["denoiser_calls"] for s in seen] == [2, 6, 7]
    latents = []
    sampling.run(seen[0].settings, own, on_step=lambda call, predicted: latents.append(predicted))
    [after_three] = x0_preview.decoded(own, latents[6 - 1], seen[1].image.size)
    assert np.array_equal(after_three.convert("RGB"), seen[1].image)


# ---------------------------------------------------------------- while it is made


class Handle:
    """What `display(display_id=True)` gives: remembers all that was shown in its place."""

    def __init__(self):
        self.shown = []

    def update(self, what, raw=False):
        self.shown.append(what)


def test_a_sheet_fills_in_while_a_person_looks_and_leaves_one_result(pipe, monkeypatch):
    handle = Handle()

    def display(what, display_id):
        handle.shown.append(what)
        return handle

    monkeypatch.setitem(sys.modules, "ipykernel", sys)
    monkeypatch.setattr(live_sheet.interactive, "someone_can_answer", lambda: True)
    monkeypatch.setattr(live_sheet, "EVERY", 0)
    monkeypatch.setattr(live_sheet, "SHARE", 0)
    monkeypatch.setattr("IPython.display.display", display)
    sheet = sdnb.compare(PROMPT, steps=[1, 2, 3], seed=1, batch=1, pipe=pipe)
    *partial, last = handle.shown
    assert [sum("denoiser_calls" in s.facts for s in p) for p in partial] == [1, 2, 3]
    assert same(partial[-1][2], sheet[2])
    assert last == {"text/plain": ""}


def test_ctrl_c_while_the_sheet_is_drawn_frees_the_model(pipe, monkeypatch):
    def update(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(live_sheet.Live, "update", update)
    with pytest.raises(KeyboardInterrupt) as caught:
        sdnb.compare(PROMPT, steps=[1, 2], seed=1, batch=1, pipe=pipe)
    free, lock = [], model_lock.lock(pipe)

    def ask():
        free.append(lock.acquire(blocking=False))
        if free[0]:
            lock.release()

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert free == [True]
    assert caught.traceback  # which would have kept the run


def test_where_all_comes_from_the_store_there_is_no_bar(pipe, store, monkeypatch, capsys):
    monkeypatch.delenv("TQDM_DISABLE")
    for bar in (True, False):
        sdnb.generate(PROMPT, steps=1, seed=1, pipe=pipe, store=store)
        assert bool(capsys.readouterr().err) == bar


def test_a_sheet_that_takes_long_to_draw_is_drawn_seldom(monkeypatch):
    now, drawn = [100.0], []
    monkeypatch.setattr(live_sheet.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(live_sheet.interactive, "someone_can_answer", lambda: True)
    monkeypatch.setitem(sys.modules, "ipykernel", True)

    def draw():
        drawn.append(now[0])
        now[0] += 2
        return "a sheet of 2000 pictures"

    with live_sheet.Live(2000, draw) as view:
        while now[0] < 162:
            view.update()
            now[0] += 0.1
    assert len(drawn) == 4, drawn


def test_nothing_is_shown_beside_the_result_where_a_program_runs_the_notebook(pipe, monkeypatch):
    monkeypatch.setitem(sys.modules, "ipykernel", sys)
    monkeypatch.setattr(live_sheet.interactive, "someone_can_answer", lambda: False)
    monkeypatch.setattr("IPython.display.display", lambda *_, **__: pytest.fail("shown"))
    assert len(sdnb.compare(PROMPT, steps=[1, 2], seed=1, pipe=pipe)) == 2
