"""The panel's widgets, as a kernel has them: what they ask for, what is made, what is said."""

import io
import itertools
import random
import re
import sys
import threading
import time
from datetime import datetime, timezone
from html import unescape

import pytest
from PIL import Image, PngImagePlugin

import sdnb
from sdnb.generation import model_lock, x0_preview
from sdnb.models import cache, provenance
from sdnb.models.capabilities import Capabilities, models
from sdnb.records.store import Store
from sdnb.widgets import Panel, frontend, parsing
from sdnb.widgets.job_thread import JobThread, Stopped
from tests.support import denoiser_calls, toys

pytest.importorskip("ipywidgets")
OWL = "an owl on a blue background"
SMALL = {"width": 32, "height": 32}
LONG = 60  # seconds: far more than anything here takes


@pytest.fixture
def controller(pipe, monkeypatch):
    """Opens panels' desks, as where a person sits at a notebook, and closes them."""
    desks = []

    def opened(prompt=OWL, **given):
        monkeypatch.setattr(frontend, "shows_widgets", lambda: True)
        made = sdnb.panel(prompt, **{"pipe": pipe, "steps": 3, "seed": 510, **given})
        desks.append(made._controller)
        return made._controller

    yield opened
    for each in desks:
        each.close()
        assert each.jobs.wait(LONG)


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """A store of the test's own."""
    monkeypatch.setenv("SDNB_STORE", str(tmp_path / "store"))
    return Store()


def done(controller):
    """The controller, when its worker is idle."""
    assert controller.jobs.wait(LONG)
    return controller


def said(controller):
    """What the panel says, without the markup."""
    return unescape(re.sub("<[^>]*>", "", controller.output.said.value))


def shown(widget):
    return widget.layout.display != "none"


@pytest.fixture
def often(monkeypatch):
    """A preview at each step."""
    monkeypatch.setattr("sdnb.widgets.progress.EVERY", 0)
    monkeypatch.setattr("sdnb.widgets.progress.SHARE", 0)


# ---------------------------------------------------------------- making


def test_the_panel_makes_the_picture_that_a_cell_makes(controller, pipe):
    panel = controller()
    panel.generate()
    made = done(panel).output.shown
    alone = sdnb.generate(OWL, steps=3, seed=510, pipe=pipe)
    assert made.settings == alone.settings
    assert made.image.tobytes() == alone.image.tobytes()
    assert Image.open(io.BytesIO(panel.output.picture.value)).tobytes() == alone.image.tobytes()


def test_all_controls_go_into_the_settings(controller):
    panel = controller()
    form = panel.controls
    form.prompt.value, form.negative.value = "a fox", "a cat"
    form.steps.value, form.guidance.value, form.scheduler.value = 2, 4.0, "Euler a"
    form.width.value, form.height.value = 96, 160
    form.seed.value = str(2**64 - 1)  # beyond what a page's numbers can hold
    panel.modes.make.click()
    assert done(panel).output.shown.settings == sdnb.Settings(
        "a fox", "a cat", 2, 4.0, "Euler a", 2**64 - 1, 96, 160
    )


def test_a_change_that_its_press_overtook_counts(controller):
    panel = controller(steps=3)
    panel.modes.make.click()
    time.sleep(0.02)  # on its way from the page
    panel.controls.steps.value = 2
    assert done(panel).output.shown.settings.steps == 2

    panel.modes.among.value = "2, few"
    panel.modes.set_out.click()
    time.sleep(0.02)
    panel.modes.among.value = "1, 2"
    assert [made.settings.steps for made in done(panel).output.shown] == [1, 2]


def test_a_press_waits_while_changes_come(controller, monkeypatch):
    monkeypatch.setattr("sdnb.widgets.quiet.SETTLE", 0.5)
    monkeypatch.setattr("sdnb.widgets.quiet.CEILING", LONG)
    panel = controller(steps=9)
    panel.modes.make.click()
    for steps in (8, 7, 6, 5, 4, 3, 2):
        time.sleep(0.1)
        panel.controls.steps.value = steps
    assert done(panel).output.shown.settings.steps == 2


def test_live_waits_until_a_text_is_typed(controller, monkeypatch):
    panel, made = controller(), []
    monkeypatch.setattr(panel, "_make", lambda draft, check: made.append(draft.plan().settings[0]))
    panel.modes.live.value = True
    for end in range(1, 6):
        panel.controls.prompt.value = "a fox"[:end]
        time.sleep(0.05)
    done(panel)
    assert [settings.prompt for settings in made] == ["a fox"]


def test_a_seed_that_was_diced_is_the_next_pictures(controller):
    panel = controller(seed=None)
    panel.controls.dice.click()
    diced, seeds = int(panel.controls.seed.value), []
    for _ in range(2):
        panel.generate()
        seeds.append(done(panel).output.shown.settings.seed)
    assert seeds[0] == diced
    assert seeds[1] != diced


def test_an_unkept_seed_is_drawn_for_each_picture_and_recorded(controller):
    panel = controller(seed=None)
    seeds = []
    for _ in range(2):
        panel.generate()
        seeds.append(done(panel).output.shown.settings.seed)
    assert seeds[0] != seeds[1]
    assert panel.controls.seed.value == str(seeds[1])


def test_a_seed_that_is_typed_is_kept(controller):
    panel = controller(seed=None)
    assert not panel.controls.lock.value
    panel.controls.seed.value = "7"
    panel.generate()
    assert panel.controls.lock.value
    assert done(panel).output.shown.settings.seed == 7


def test_several_pictures_have_the_seeds_that_follow_and_each_can_be_had_alone(controller, pipe):
    panel = controller(steps=2)
    panel.modes.count.value = 6
    panel.generate()
    sheet = done(panel).output.shown
    assert [s.settings.seed for s in sheet] == list(range(510, 516))
    assert (sheet.rows, sheet.cols) == (2, 3)
    assert [s.settings.seed for s in panel.history.samples] == list(range(515, 509, -1))
    assert "seed=[510, 511, 512, 513, 514, 515]" in panel.output.code


def test_a_preview_is_shown_from_the_second_step_on_and_the_bar_moves(controller, often):
    panel = controller(steps=5)
    previews, bars = [], []
    panel.output.preview = lambda jpeg: previews.append((len(bars), jpeg))
    panel.output.bar.observe(lambda change: bars.append(change["new"]), "value")
    panel.generate()
    done(panel)
    assert len(previews) == 4  # of 5 steps
    sizes = [Image.open(io.BytesIO(jpeg)).size for _, jpeg in previews]
    assert set(sizes) == {(128, 128)}
    assert len({jpeg for _, jpeg in previews}) == 4
    assert any("4 of 5" in bar and "left" in bar for bar in bars)
    assert not shown(panel.output.run)


def test_previews_come_at_most_four_times_a_second(controller, calls, monkeypatch):
    monkeypatch.setattr("sdnb.widgets.progress.SHARE", 0)  # however long one takes
    panel = controller(steps=20)
    calls.at = lambda number: time.sleep(0.06)
    times = []
    panel.output.preview = lambda jpeg: times.append(time.monotonic())
    panel.generate()
    done(panel)
    assert len(times) >= 3  # one in six steps at least, from the second on
    assert all(b - a >= 0.25 for a, b in itertools.pairwise(times))


@pytest.mark.parametrize("missing", ["predicted", "decoded"])
def test_a_picture_without_previews_is_made_all_the_same(
    controller, pipe, often, monkeypatch, missing
):
    asked = []

    def broken(*_):
        asked.append(1)
        raise AttributeError("no scaling_factor")

    monkeypatch.setattr(x0_preview, missing, broken)
    panel = controller(steps=5)
    panel.generate()
    made = done(panel).output.shown
    assert made.image.tobytes() == sdnb.generate(OWL, steps=5, seed=510, pipe=pipe).image.tobytes()
    assert said(panel) == "There is no preview of this run: AttributeError: no scaling_factor"
    assert len(asked) == (1 if missing == "decoded" else 5)


# ---------------------------------------------------------------- stopping


@pytest.fixture
def calls(pipe):
    """What happens at each call of the real denoiser; `at` is called with its number."""

    class Calls:
        count, at = 0, staticmethod(lambda number: None)

    def after(*_):
        Calls.count += 1
        Calls.at(Calls.count)

    with denoiser_calls.watched(pipe, after=after):
        yield Calls


def test_stop_ends_within_one_denoiser_step_and_the_panel_goes_on(controller, calls):
    panel = controller(steps=30)
    calls.at = lambda number: panel.output.stop.click() if number == 4 else None
    panel.generate()
    done(panel)
    assert calls.count <= 5
    assert "Stopped after" in said(panel)
    assert not shown(panel.output.run)
    panel.controls.steps.value = 2
    panel.generate()
    assert done(panel).output.shown.settings.steps == 2


def test_stop_in_a_comparison_ends_within_one_step_and_keeps_what_is_finished(controller, calls):
    panel = controller()
    panel.modes.among.value = "2, 30"
    calls.at = lambda number: panel.stop() if number == 6 else None
    panel.compare()
    done(panel)
    assert calls.count <= 7
    assert said(panel) == "Stopped: 1 of 2 pictures are finished."
    assert [s.settings.steps for s in panel.history.samples] == [2]
    assert panel.output.shown.samples[0].facts["denoiser_calls"] == 2


def test_stop_brings_back_the_picture_that_stood_there(controller, calls):
    panel = controller()
    panel.generate()
    before = done(panel).output.picture.value
    calls.count, calls.at = 0, lambda number: panel.stop() if number == 3 else None
    panel.controls.steps.value = 30
    panel.generate()
    assert done(panel).output.picture.value == before


def test_a_press_that_makes_nothing_leaves_no_preview(controller, calls, often):
    panel = controller(steps=30)

    def press(number):
        if number == 5:
            panel.controls.seed.value = "x"
            panel.modes.make.click()

    calls.at = press
    panel.generate()
    assert "'x' is no whole number" in said(done(panel))
    assert not shown(panel.output.picture)
    assert shown(panel.output.empty)


def test_a_press_that_is_stopped_at_once_leaves_what_stood_there(controller, calls, often):
    panel = controller()
    panel.generate()
    before = done(panel).output.picture.value

    def press(number):
        if number == 5:
            panel.modes.make.click()
            panel.output.stop.click()

    calls.count, calls.at = 0, press
    panel.controls.steps.value = 30
    panel.generate()
    assert done(panel).output.picture.value == before
    assert "Stopped after" in said(panel)
    panel.modes.make.click()
    panel.output.stop.click()
    assert said(done(panel)) == "Stopped."


def test_a_stop_between_the_press_and_the_run_is_heard(controller, monkeypatch, calls):
    panel = controller()
    settings = panel.controls.settings
    monkeypatch.setattr(panel.controls, "settings", lambda: (panel.stop(), settings())[1])
    panel.modes.make.click()
    assert "Stopped" in said(done(panel))
    assert panel.output.shown is None
    assert calls.count <= 1


def test_no_preview_covers_a_picture_that_was_gone_back_to(controller, calls, often):
    panel = controller()
    panel.generate()
    made = done(panel).output.shown
    seen = []
    panel.output.picture.observe(lambda change: seen.append(change["new"][:4]), "value")
    calls.count, calls.at = 0, lambda number: panel.choose(made) if number == 5 else None
    panel.controls.steps.value = 8
    panel.generate()
    assert done(panel).output.shown.settings.steps == 8
    jpeg, png = b"\xff\xd8\xff\xe0", b"\x89PNG"
    assert seen == [*[jpeg] * 3, png, png]


def test_the_latest_wish_wins_and_nothing_queues_up(controller, calls):
    panel = controller(steps=30)
    panel.modes.live.value = True

    def wishes(number):
        if number == 2:
            for steps in (29, 28, 27, 2):
                panel.controls.steps.value = steps

    calls.at = wishes
    panel.generate()
    assert done(panel).output.shown.settings.steps == 2
    assert calls.count <= 3 + 2
    assert [s.settings.steps for s in panel.history.samples] == [2]


def test_a_worker_takes_only_the_latest_of_what_waits():
    worker, did, go = JobThread(), [], threading.Event()
    worker.submit(lambda check: (go.wait(LONG), check(), did.append("first")))
    while not worker._running:
        time.sleep(0.01)
    for name in ("second", "third"):
        worker.submit(lambda check, name=name: did.append(name))
    go.set()
    assert worker.wait(LONG)
    worker.close()
    worker.submit(lambda check: did.append("too late"))
    assert did == ["third"]
    worker._thread.join(LONG)
    assert not worker._thread.is_alive()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_worker_whose_thread_died_gets_another():
    worker, did = JobThread(), []
    worker.submit(lambda check: 1 / 0)
    worker._thread.join(LONG)
    worker.submit(lambda check: did.append("the next"))
    assert worker.wait(LONG)
    worker.close()
    assert did == ["the next"]


# ---------------------------------------------------------------- one model, several panels


def test_two_panels_on_one_pipeline_take_turns(controller, pipe):
    one, other = controller(steps=6), controller("a fox", steps=6)
    with model_lock.lock(pipe):  # as a cell that runs
        one.generate()
        other.generate()
        time.sleep(0.3)
        assert one.jobs.busy
        assert other.jobs.busy
        assert "Waiting" in one.output.bar.value
    assert (
        done(one).output.shown.image.tobytes()
        == sdnb.generate(OWL, steps=6, seed=510, pipe=pipe).image.tobytes()
    )
    assert done(other).output.shown.settings.prompt == "a fox"


def test_a_panel_that_waits_for_its_turn_can_be_stopped(controller, pipe):
    panel = controller()
    with model_lock.lock(pipe):
        panel.generate()
        time.sleep(0.2)
        panel.stop()
        done(panel)
    assert said(panel) == "Stopped."


# ---------------------------------------------------------------- comparing


def test_the_compare_tab_starts_with_the_articles_steps(controller):
    panel = controller()
    assert panel.modes.axis.value == "steps"
    assert panel.modes.among.value == "12, 24, 38, 50"
    panel.modes.axis.value = "scheduler"
    assert panel.modes.among.value == "PNDM, DDIM, LMS"
    panel.modes.axis.value = "prompt"
    assert panel.modes.among.value == OWL


def test_a_comparison_is_the_sheet_that_compare_makes_with_its_slider_and_its_code(
    controller, pipe
):
    panel = controller()
    panel.modes.axis.value, panel.modes.among.value = "guidance", "1, 7.5"
    panel.compare()
    sheet = done(panel).output.shown
    cell = panel.output.code
    scope = {}
    exec(cell.replace("sdnb.compare", "made = sdnb.compare"), scope)
    assert sheet.col_labels == scope["made"].col_labels == ["guidance 1", "guidance 7.5"]
    assert [a.image.tobytes() for a in sheet] == [b.image.tobytes() for b in scope["made"]]
    assert panel.output.view.value.count("<figure>") == 2


@pytest.mark.parametrize(
    ("axis", "text", "sentence"),
    [
        ("steps", "12, many", "'many' is no whole number"),
        ("steps", "", "There is nothing to compare"),
        ("steps", "12, 0", "steps is 0"),
        ("scheduler", "DDMI", "did you mean 'DDIM'?"),
        ("strength", "0.5", "choose a picture to start from"),
    ],
)
def test_bad_values_are_one_sentence_in_the_panel(controller, axis, text, sentence):
    panel = controller()
    panel.modes.axis.value, panel.modes.among.value = axis, text
    panel.compare()
    assert sentence in said(done(panel))
    assert "sdnb-wrong" in panel.output.said.value
    assert panel.output.shown is None


def test_values_are_read_as_they_are_written():
    assert parsing.read("steps", parsing.AXES["steps"]) == [12, 24, 38, 50]
    assert parsing.read("guidance", "1;7.5\n12") == [1.0, 7.5, 12.0]
    assert parsing.read("scheduler", "dpm++ 2m karras, Euler a") == ["DPM++ 2M Karras", "Euler a"]
    assert parsing.read("prompt", "a fox, red\n\n an owl ") == ["a fox, red", "an owl"]
    assert parsing.read("negative_prompt", "\na cat\n\na dog\n") == ["", "a cat", "a dog"]
    assert parsing.read("negative_prompt", "a cat\n") == ["a cat"]
    with pytest.raises(ValueError, match="nothing to compare"):
        parsing.read("negative_prompt", "\n \n")


def test_no_negative_prompt_can_be_compared_with_one(controller):
    panel = controller(steps=2)
    panel.modes.axis.value, panel.modes.among.value = "negative_prompt", "\na cat"
    panel.compare()
    assert [made.settings.negative_prompt for made in done(panel).output.shown] == ["", "a cat"]


# ---------------------------------------------------------------- the store and the history


def test_a_slider_moved_to_what_the_store_has_shows_it_at_once(controller, kept, pipe, calls):
    sheet = sdnb.compare(OWL, steps=[2, 4], seed=510, pipe=pipe)
    panel = controller()
    made = calls.count
    assert panel.output.shown is None
    panel.controls.steps.value = 4
    assert panel.output.shown.image.tobytes() == sheet[1].image.tobytes()
    panel.controls.steps.value = 3
    assert panel.output.shown.settings.steps == 4
    assert calls.count == made
    assert not panel.jobs.busy


def test_what_the_store_has_is_shown_also_while_the_model_runs(controller, kept, pipe, calls):
    sheet = sdnb.compare(OWL, steps=[2, 4], seed=510, pipe=pipe)
    panel = controller()
    with model_lock.lock(pipe):  # as a cell that runs
        page = threading.Thread(target=panel.controls.steps.set_trait, args=("value", 2))
        page.start()
        page.join(LONG)
    assert panel.output.shown.image.tobytes() == sheet[0].image.tobytes()

    def move(number):
        if number == 3:
            panel.controls.steps.value = 4
            seen.append(panel.output.shown)

    seen, calls.count, calls.at = [], 0, move
    panel.controls.steps.value = 9
    panel.generate()
    assert done(panel).output.shown.settings.steps == 9
    assert seen[0].image.tobytes() == sheet[1].image.tobytes()


def test_the_history_begins_with_the_stores_newest(controller, kept, pipe):
    for seed in (1, 2, 3):
        sdnb.generate(OWL, steps=2, seed=seed, pipe=pipe)
    assert [s.settings.seed for s in controller().history.samples] == [3, 2, 1]


def test_a_click_in_the_history_brings_all_controls_back(controller, pipe):
    panel = controller()
    form = panel.controls
    form.negative.value, form.guidance.value, form.scheduler.value = "a cat", 4.25, "LMS"
    form.width.value = 96
    panel.generate()
    made = done(panel).output.shown
    form.prompt.value, form.negative.value, form.steps.value = "a fox", "", 2
    form.guidance.value, form.scheduler.value, form.seed.value = 1.0, "DDIM", "9"
    form.width.value = form.height.value = 0
    panel.generate()
    done(panel)
    panel.history.box.children[1].children[1].click()
    assert form.settings() == made.settings
    assert panel.output.shown is made
    assert not panel.jobs.busy


def test_two_clicks_at_once_do_not_mix(controller):
    panel, interval = controller(), sys.getswitchinterval()
    both = [
        sdnb.Sample(
            Image.new("RGB", (64, 64), colour),
            sdnb.Settings(colour, f"no {colour}", steps, 7.5, scheduler, steps),
        )
        for colour, steps, scheduler in (("red", 2, "LMS"), ("blue", 3, "PNDM"))
    ]
    start = threading.Barrier(2)

    def click(made):
        start.wait(LONG)
        panel.choose(made)

    sys.setswitchinterval(1e-5)
    try:
        for _ in range(30):
            clicks = [threading.Thread(target=click, args=(made,)) for made in both]
            for each in clicks:
                each.start()
            for each in clicks:
                each.join(LONG)
            made = panel.output.shown
            assert panel.controls.settings() == made.settings
            assert made.settings.prompt in panel.output.caption.value
            picture = Image.open(io.BytesIO(panel.output.picture.value)).convert("RGB")
            assert picture.tobytes() == made.image.tobytes()
    finally:
        sys.setswitchinterval(interval)


def test_a_change_is_heard_after_two_threads_filled_the_form(controller):
    form, heard = controller().controls, []
    form._changed = heard.append
    entered, leave = threading.Event(), threading.Event()

    def fill():
        with form.filling():
            entered.set()
            leave.wait(LONG)

    other = threading.Thread(target=fill)
    with form.filling():
        other.start()
        assert entered.wait(LONG)
    leave.set()
    other.join(LONG)
    form.steps.value = 2
    assert heard == [False]


def test_what_a_picture_does_not_say_goes_back_to_the_models_own(controller):
    panel = controller()
    panel.controls.scheduler.value = "LMS"
    start = Image.new("RGB", (64, 64), "red")
    settings = sdnb.Settings("a fox", steps=100, guidance=7.5, seed=1, strength=0.02)
    made = sdnb.Sample(start, settings, {"model": "a/model"})
    panel.choose(made, sdnb.generation.init_image.start(start, None))
    assert panel.controls.settings() == settings.but(scheduler="DDIM")
    assert panel.controls.model.value == "a/model"
    assert said(panel) == "Restored, but: a/model made it, here is emoji."


def test_what_is_made_twice_stands_in_the_history_once_and_old_thumbnails_are_closed(controller):
    from sdnb.widgets import history

    made = [
        sdnb.Sample(Image.new("RGB", (8, 8)), sdnb.Settings("a fox", seed=seed))
        for seed in range(history.MOST + 3)
    ]
    panel = controller()
    for each in [*made, made[-2]]:
        panel.history.add(each)
    assert len(panel.history.samples) == history.MOST
    assert panel.history.samples[:2] == [made[-2], made[-1]]


def upload(field, name, content):
    """Gives a file to an upload button, in the way of the installed ipywidgets."""
    if isinstance(field.value, dict):
        field.metadata, field.data = [{"name": name}], [content]
        field._counter += 1
    else:
        about = {"name": name, "type": "image/png", "size": len(content)}
        now = datetime.now(timezone.utc)
        field.value = ({**about, "content": memoryview(content), "last_modified": now},)


def test_a_png_gives_its_settings_back(controller, tmp_path, pipe):
    made = sdnb.generate("a fox", steps=2, seed=3, guidance=4, scheduler="LMS", pipe=pipe)
    panel = controller()
    upload(panel.restore, "fox.png", made.save(tmp_path / "fox.png").read_bytes())
    assert panel.controls.settings() == made.settings
    assert panel.output.shown.image.tobytes() == made.image.tobytes()
    assert said(panel) == ""


def test_a_png_of_automatic1111_gives_its_settings_and_its_model_is_named_but_not_loaded(
    controller, monkeypatch
):
    info, file = PngImagePlugin.PngInfo(), io.BytesIO()
    info.add_text(
        "parameters",
        "a <b>cat</b>\nNegative prompt: dog\n"
        "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x512, Model: v1-5-pruned",
    )
    Image.new("RGB", (512, 512)).save(file, "PNG", pnginfo=info)
    panel = controller()
    monkeypatch.setattr(
        "sdnb.models.cache.get", lambda *_, **__: pytest.fail("nobody asked for it")
    )
    upload(panel.restore, "cat.png", file.getvalue())
    assert panel.controls.settings() == sdnb.Settings(
        "a <b>cat</b>", "dog", 20, 7.0, "Euler a", 1, 512, 512
    )
    assert said(panel) == "Restored, but: v1-5-pruned made it, here is emoji."
    assert "<b>" not in panel.output.caption.value
    assert "Copy as cell" not in panel.output.out.value  # which model exactly is not known


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_a_web_ui_s_jpeg_or_webp_gives_its_settings_and_what_is_lost_is_said(controller, kind):
    text = (
        "a (tall:1.2) ship\nNegative prompt: fog\nSteps: 150, Sampler: DPM++ SDE, Schedule type: "
        "Karras, CFG scale: 30, Seed: 18446744073709551615, Size: 832x1216, Model: emoji"
    )
    exif, file = Image.Exif(), io.BytesIO()
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + text.encode("utf-16-be")
    Image.new("RGB", (832, 1216)).save(file, kind, exif=exif)
    panel = controller()
    upload(panel.restore, "ship.jpg", file.getvalue())
    own = panel.controls.scheduler.value
    assert panel.controls.settings() == sdnb.Settings(
        "a (tall:1.2) ship", "fog", 150, 30.0, own, 2**64 - 1, 832, 1216
    )
    assert said(panel) == (
        "Restored, but: DPM++ SDE Karras does not fit it; "
        "not applied are weights such as (tall:1.2)."
    )


def test_files_that_are_no_pictures_are_refused_in_words(controller):
    panel = controller()
    upload(panel.restore, "notes.png", b"no picture")
    assert "notes.png is not a picture" in said(panel)
    upload(panel.controls.upload, "notes.png", b"no picture")
    assert said(panel) == "notes.png is not a picture that can be read."


def test_a_picture_that_is_far_too_large_is_refused_in_words(controller, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    panel, file = controller(), io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, "PNG")
    upload(panel.controls.upload, "huge.png", file.getvalue())
    assert said(panel).startswith("huge.png is not a picture that can be read: Image size (4096 ")


# ---------------------------------------------------------------- from a picture


def test_an_uploaded_picture_is_the_start_and_its_strength_counts(controller, pipe):
    panel = controller(steps=4)
    assert not shown(panel.controls.strength)
    file = io.BytesIO()
    start = Image.new("RGB", (128, 128), "red")
    start.save(file, "PNG")
    upload(panel.controls.upload, "red.png", file.getvalue())
    assert shown(panel.controls.strength)
    panel.controls.strength.value = 0.5
    panel.generate()
    alone = sdnb.generate(OWL, image=start, strength=0.5, steps=4, seed=510, pipe=pipe)
    assert done(panel).output.shown.image.tobytes() == alone.image.tobytes()
    panel.controls.forget.click()
    assert panel.controls.settings().strength is None
    panel.history.box.children[0].children[1].click()  # brings the picture back too
    assert panel.controls.start.image.tobytes() == start.tobytes()


# ---------------------------------------------------------------- what fits a model


def test_what_a_pipeline_cannot_do_is_not_offered(tmp_path):
    can = {}
    for family in ("SD 2", "SD3", "Flux"):
        (tmp_path / family).mkdir()
        pipe = sdnb.load(toys.saved(family, tmp_path / family), device="cpu", dtype="float32")
        can[family] = Capabilities.of(pipe)
    assert can["SD 2"].negative_prompt
    assert can["SD 2"].pieces
    assert {"DDIM", "DPM++ 2M Karras"} <= set(can["SD 2"].schedulers)
    assert can["SD3"].schedulers == ("FlowMatchEulerDiscreteScheduler",)
    assert can["SD3"].negative_prompt
    assert not can["Flux"].negative_prompt
    assert can["Flux"].guidance
    assert not can["Flux"].pieces


def test_a_model_that_was_taught_its_guidance_has_no_negative_prompt(tmp_path, controller):
    pipe = toys.sd2(tmp_path)
    pipe.unet = toys.unet(
        attention_head_dim=(2, 4), use_linear_projection=True, time_cond_proj_dim=32
    )
    panel = controller(pipe=pipe)
    assert not shown(panel.controls.negative)
    assert "negative_prompt" not in [name for _, name in panel.modes.axis.options]
    panel.controls.negative.value = "a cat"
    assert panel.controls.settings().negative_prompt == ""
    assert shown(panel.controls.guidance)
    panel.generate()
    assert done(panel).output.shown.settings.prompt == OWL


def test_each_scheduler_and_size_that_is_offered_makes_a_picture(pipe):
    can = Capabilities.of(pipe)
    for name in can.schedulers:
        assert sdnb.generate("a fox", steps=2, scheduler=name, seed=1, **SMALL, pipe=pipe)
    for size in (can.sizes[0], can.sizes[-1]):
        made = sdnb.generate("a fox", steps=1, width=size, height=size, seed=1, pipe=pipe)
        assert made.image.size == (size, size)


def test_another_model_brings_its_own_controls(controller, tmp_path):
    panel, current = controller(), cache.current()
    panel.controls.negative.value = "a cat"
    panel.controls.model.value = str(toys.saved("Flux", tmp_path))
    panel.controls.load.click()
    assert "is loaded" in said(done(panel))
    assert not shown(panel.controls.negative)
    assert panel.controls.settings().negative_prompt == ""
    assert panel.controls.scheduler.value == "FlowMatchEulerDiscreteScheduler"
    assert not shown(panel.controls.scheduler)  # there is no choice
    assert "scheduler" not in [name for _, name in panel.modes.axis.options]
    panel.controls.width.value = panel.controls.height.value = Capabilities.of(panel.pipe).sizes[0]
    panel.generate()
    assert done(panel).output.shown.facts["pipeline"] == "FluxPipeline"
    assert cache.current() is current  # what a cell's `generate` takes


def test_a_model_that_is_not_there_is_said_in_words_and_the_old_one_stays(controller, pipe):
    panel = controller()
    panel.load("no/such-model")
    assert "no/such-model" in said(done(panel))
    assert panel.pipe is pipe
    assert panel.controls.model.value == "emoji"


@pytest.fixture
def other(tmp_path, monkeypatch):
    """Another model, which `cache.get` gives whatever is asked; `asked` holds their names."""

    class Other:
        pipe = sdnb.load(toys.saved("SD 2", tmp_path), device="cpu", dtype="float32")
        name, asked, at = str(tmp_path / "pipeline"), [], staticmethod(lambda: None)

    def load(model):
        Other.asked.append(model.source)
        Other.at()
        return Other.pipe

    monkeypatch.setattr("sdnb.models.cache.get", load)
    return Other


def test_load_takes_what_its_press_overtook(controller, other):
    panel = controller()
    panel.controls.load.click()
    time.sleep(0.02)
    panel.controls.model.value = "a/model"
    done(panel)
    assert other.asked == ["a/model"]
    assert panel.controls.model.value == other.name


def test_a_change_while_a_model_is_loaded_is_made_with_that_model(controller, other):
    panel = controller()
    panel.modes.live.value = True
    other.at = lambda: panel.controls.steps.set_trait("value", 2)
    panel.load("a/model")
    assert done(panel).output.shown.facts["model"] == other.name
    assert panel.pipe is other.pipe


def test_a_press_does_not_take_the_place_of_a_model_that_waits(controller, other, pipe):
    panel = controller()
    with model_lock.lock(pipe):
        panel.generate()
        while "Waiting" not in panel.output.bar.value:
            time.sleep(0.01)
        panel.controls.model.value = "a/model"
        panel.controls.load.click()
        panel.modes.make.click()
        done(panel)
    assert other.asked == ["a/model"]
    assert panel.output.shown.facts["model"] == other.name


def test_a_model_whose_loading_was_stopped_is_not_taken(controller, other, pipe):
    panel = controller()
    other.at = panel.stop
    panel.load("a/model")
    assert said(done(panel)) == "Stopped."
    assert panel.pipe is pipe
    assert panel.controls.model.value == "emoji"


def test_a_model_that_does_not_fit_the_panel_changes_nothing(controller, other, pipe, monkeypatch):
    panel = controller()
    can = panel.controls.can
    with monkeypatch.context() as patch:
        patch.setattr(Capabilities, "of", lambda pipe: 1 / 0)
        panel.load("a/model")
        done(panel)
    assert said(panel) == "This failed: ZeroDivisionError: division by zero"
    assert (panel.pipe, panel.controls.can) == (pipe, can)
    panel.generate()
    assert done(panel).output.shown.facts["model"] == "emoji"


def test_models_of_the_hubs_cache_are_offered(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    for name in ("models--a--pipeline/snapshots/1/model_index.json",
                 "models--a--language-model/snapshots/1/config.json"):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("{}")
    assert models() == ["emoji", "a/pipeline"]


# ---------------------------------------------------------------- prompts


def test_tokens_are_counted_while_typing_and_what_would_be_cut_is_named(controller):
    panel = controller()
    assert "6 of 75 tokens" in panel.controls.prompt_tokens.value
    assert not shown(panel.controls.long)
    panel.controls.prompt.value = "a fox " * 37 + "a cat and a dog"
    assert "would be cut: “cat and a dog”" in panel.controls.prompt_tokens.value
    assert shown(panel.controls.long)
    panel.generate()
    assert "would be cut off" in said(done(panel))
    panel.controls.long.value = "chunk"
    panel.generate()
    assert done(panel).output.shown.settings.long_prompt == "chunk"


def test_tokens_are_counted_while_the_model_runs(controller, pipe):
    panel = controller()
    with model_lock.lock(pipe):
        worker = threading.Thread(target=panel.controls.prompt.set_trait, args=("value", "a fox"))
        worker.start()
        worker.join(LONG)
        assert not worker.is_alive()
    assert "2 of 75 tokens" in panel.controls.prompt_tokens.value


def test_what_a_person_types_is_escaped_everywhere(controller):
    nasty = "a fox <img src=x onerror=alert(1)> \"'& $x$"
    panel = controller(nasty)
    panel.modes.among.value = "2, 3"
    for ask in (panel.generate, panel.compare):
        ask()
        done(panel)
        stage = panel.output
        for part in (stage.caption, stage.out, stage.unfold, stage.view, stage.said):
            assert "<img src=x" not in part.value


# ---------------------------------------------------------------- errors, Colab, the rest


def test_an_error_is_said_in_the_panel_and_everything_stays_usable(controller, monkeypatch):
    panel = controller()

    def broken(*_, **__):
        raise RuntimeError("the denoiser\nis ill")

    with monkeypatch.context() as patch:
        patch.setattr("sdnb.sweeps.execution.sampling.run", broken)
        panel.generate()
        done(panel)
    assert said(panel) == "This failed: RuntimeError: the denoiser"
    assert not shown(panel.output.run)
    panel.generate()
    assert done(panel).output.shown.settings.seed == 510
    assert said(panel) == ""


def test_an_error_before_the_run_is_said_and_everything_stays_usable(controller, monkeypatch):
    panel = controller()
    with monkeypatch.context() as patch:
        patch.setattr(panel.controls, "settings", lambda: {}["ill"])
        panel.modes.make.click()
        done(panel)
    assert said(panel) == "This failed: KeyError: 'ill'"
    panel.modes.make.click()
    assert done(panel).output.shown.settings.seed == 510


def test_an_error_after_a_stop_is_said_and_everything_stays_usable(controller, calls):
    panel = controller()
    panel.finished = lambda made: {}["ill"]
    panel.modes.among.value = "2, 30"
    calls.at = lambda number: panel.stop() if number == 6 else None
    panel.compare()
    assert said(done(panel)) == "This failed: KeyError: 'ill'"
    assert not shown(panel.output.run)
    panel.finished = lambda made: None
    panel.modes.make.click()
    assert done(panel).output.shown.settings.seed == 510


def test_what_the_library_says_is_said_in_the_panel(controller, capsys):
    word = "".join(random.choices("qxz", k=12))
    panel = controller(f"a fox and a {word}")
    words = []
    panel.output.said.observe(lambda change: words.append(change["new"]), "value")
    panel.generate()
    done(panel)
    assert any(f"does not know: {word}" in each for each in words)
    assert word not in "".join(capsys.readouterr())


def test_on_colab_the_callback_itself_makes_the_picture(controller, monkeypatch):
    monkeypatch.setattr(frontend, "in_colab", lambda: True)
    panel = controller()
    threads = []
    monkeypatch.setattr(panel, "finished", lambda made: threads.append(threading.current_thread()))
    panel.modes.make.click()
    assert panel.output.shown.settings.seed == 510  # there when the click has been answered
    assert threads == [threading.current_thread()]
    assert not shown(panel.modes.live)
    assert "Runtime &gt; Interrupt execution" in panel.output.stop.value  # no button could be heard


def test_on_colab_the_kernels_interrupt_stops_and_keeps_what_is_finished(
    controller, monkeypatch, calls
):
    monkeypatch.setattr(frontend, "in_colab", lambda: True)
    panel = controller()

    def interrupt(number):
        if number == 5:
            raise KeyboardInterrupt

    calls.at = interrupt
    panel.modes.among.value = "2, 30"
    panel.compare()
    assert said(panel) == "Stopped: 1 of 2 pictures are finished."
    panel.generate()
    assert panel.output.shown.settings.steps == 3


def test_where_nobody_sits_the_panel_is_its_first_picture(pipe):
    panel = sdnb.panel(OWL, steps=2, seed=510, pipe=pipe)
    bundle = panel._repr_mimebundle_()
    alone = sdnb.generate(OWL, steps=2, seed=510, pipe=pipe)
    assert bundle["image/png"] == alone._repr_mimebundle_()["image/png"]
    assert bundle["text/plain"].startswith("Panel, without anybody to use it: Sample(")
    assert not [kind for kind in bundle if "widget" in kind]


def test_a_page_without_a_kernel_has_words_in_the_panels_place(controller):
    panel = controller()
    panel.generate()
    made = done(panel).output.shown
    assert panel.name in panel.plain(made)
    assert "data:image/jpeg;base64," in panel.plain(made)


def test_running_a_cell_again_closes_its_earlier_panel_and_no_other(pipe, monkeypatch):
    runs = iter([("cell 1", "a"), ("cell 1", "a"), ("cell 2", "b"), ("cell 1", "c")])
    monkeypatch.setattr(frontend, "shows_widgets", lambda: True)
    monkeypatch.setattr(frontend, "cell", lambda: next(runs))
    panels: list[Panel] = [sdnb.panel(OWL, pipe=pipe) for _ in range(4)]
    assert [each._controller.jobs._closed for each in panels] == [True, True, False, False]
    assert panels[0]._controller.box.comm is None
    for each in panels:
        each.close()


def test_without_ipywidgets_a_sentence_says_what_to_install(pipe, monkeypatch):
    monkeypatch.setattr(frontend, "shows_widgets", lambda: True)
    for name in ("controller", "controls", "output_view", "history"):
        monkeypatch.delitem(sys.modules, f"sdnb.widgets.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install sdnb\[notebook\]"):
        sdnb.panel(OWL, pipe=pipe)


def test_save_writes_a_picture_that_can_be_read_again(controller, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    panel = controller()
    panel.generate()
    done(panel).output.save.click()
    [file] = tmp_path.glob("*.png")
    assert file.name in said(panel)
    assert sdnb.read(file).settings == panel.output.shown.settings


def test_stopped_passes_by_what_catches_exceptions():
    assert not issubclass(Stopped, Exception)


# ---------------------------------------------------------------- LoRAs


@pytest.fixture(scope="module")
def with_loras():
    pytest.importorskip("peft", reason="peft is not installed: pip install 'sdnb[lora]'")
    return sdnb.load("emoji", lora={"ink": ("cyanotype", 0.5), "old": "sepia"}, device="cpu")


def test_a_panel_without_loras_shows_none(controller):
    panel = controller()
    assert not shown(panel.controls._loras.box)
    assert not [name for name, _ in panel.modes.axis.options if "LoRA" in name]
    assert panel.controls.settings().lora is None


def test_loras_have_sliders_that_begin_where_they_were_loaded(controller, with_loras):
    panel = controller(pipe=with_loras)
    sliders = panel.controls.loras
    assert shown(panel.controls._loras.box)
    assert {name: slider.value for name, slider in sliders.items()} == {"ink": 0.5, "old": 1.0}
    sliders["ink"].value, sliders["old"].value = 0.8, 0
    panel.modes.make.click()
    made = done(panel).output.shown
    alone = sdnb.generate(OWL, steps=3, seed=510, lora={"ink": 0.8}, pipe=with_loras)
    assert made.settings == alone.settings
    assert made.image.tobytes() == alone.image.tobytes()


def test_a_weight_is_compared_and_its_code_loads_the_loras(controller, with_loras):
    panel = controller(pipe=with_loras, lora={"old": 0.25})
    panel.modes.axis.value = "lora:ink"
    assert panel.modes.among.value == "0, 0.4, 0.8, 1.2"
    panel.modes.among.value = "0, 1.5"
    panel.modes.set_out.click()
    sheet = done(panel).output.shown
    assert [made.settings.lora for made in sheet] == [{"old": 0.25}, {"ink": 1.5, "old": 0.25}]
    code = panel.output.code
    assert "lora={'ink': ('cyanotype', 0.5), 'old': 'sepia'}" in code
    assert "lora={'old': 0.25, 'ink': [0, 1.5]}" in code
    made_again = {}
    exec(code.replace("sdnb.compare", "sheet = sdnb.compare"), made_again)
    assert [s.settings for s in made_again["sheet"]] == [s.settings for s in sheet]


def test_going_back_sets_the_sliders_and_names_a_lora_that_is_not_here(
    controller, with_loras, kept
):
    panel = controller(pipe=with_loras)
    first = sdnb.generate(OWL, steps=3, seed=510, lora={"ink": 0.3}, pipe=with_loras)
    parts = {"old": {"denoiser": 0.6, "text_encoder": 0.2}}
    second = sdnb.generate(OWL, steps=3, seed=510, lora=parts, pipe=with_loras)
    new = []
    with denoiser_calls.watched(with_loras, after=lambda *_: new.append(1)):
        for made in (first, second):
            panel.choose(made)
            assert panel.controls.settings().lora == made.settings.lora
            panel.modes.make.click()
            assert done(panel).output.shown.settings == made.settings
    assert new == []  # both come from the store
    panel.choose(sdnb.Sample(first.image, first.settings.but(lora={"neon": 1}), first.facts))
    assert "the LoRA neon is not loaded" in said(panel)


def test_another_model_takes_the_sliders_away(controller, with_loras):
    panel = controller(pipe=with_loras)
    panel.load("emoji")
    done(panel)
    assert panel.controls.loras == {}
    assert not shown(panel.controls._loras.box)


def test_a_model_is_loaded_with_what_stands_below_it(controller, pipe, tmp_path):
    panel = controller()
    choice = panel.controls.choice
    assert not shown(choice._fields)
    choice.more.value = True
    assert shown(choice._fields)
    assert [kind for _, kind in choice.bits.options][:2] == ["", "fp8"]
    choice.bits.value = "fp8"
    choice.load.click()
    done(panel)
    assert cache.current() is not panel.pipe
    assert provenance.request_of(panel.pipe).quantize == "fp8"
    assert panel.controls.choice.bits.value == "fp8"
    panel.modes.make.click()
    made = done(panel).output.shown
    assert made.facts["quantize"] == "fp8"
    assert "enable_layerwise_casting" in panel.output.code
    loaded = panel.pipe
    choice.vae.value = str(tmp_path)
    choice.load.click()
    done(panel)
    assert "is no VAE, and no model that has one" in said(panel)
    assert panel.pipe is loaded, "what cannot be loaded changes nothing"
    choice.more.value = False
    choice.load.click()
    done(panel)
    assert provenance.request_of(panel.pipe).extras == {}


def test_the_fields_say_what_a_pipeline_was_loaded_with_and_load_it_again(controller, with_loras):
    panel = controller(pipe=with_loras)
    choice = panel.controls.choice
    assert choice.more.value
    assert choice.loras.value == "cyanotype\nsepia"
    assert choice.request() == provenance.request_of(with_loras), "names and weights too"
    choice.loras.value = "sepia"
    choice.load.click()
    done(panel)
    assert {n: s.value for n, s in panel.controls.loras.items()} == {"old": 1.0}
