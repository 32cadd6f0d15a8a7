"""Sweeps on Ray: the same pictures, whatever is killed, interrupted or broken on the way."""

import contextlib
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import diffusers
import numpy as np
import psutil
import pytest
from PIL import Image

import sdnb
from sdnb import Settings, Store
from sdnb.generation import sample_facts
from sdnb.generation.denoiser_calls import calls_of
from sdnb.sweeps import ray_engine, ray_session, ray_worker
from tests.support import denoiser_calls

ROOT = Path(__file__).parents[2]
PROMPT = "a fox on a blue background"
TWO = ray_engine.Ray(workers=2, cpus=1)


@pytest.fixture(scope="module")
def ray():
    """Ray with two cores, as a user would have it running; the drivers of the tests find it."""
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'sdnb[ray]'")
    folder = tempfile.mkdtemp(prefix="sdnb-")  # a socket's path may have 107 characters
    with pytest.MonkeyPatch.context() as patch:
        for name in ("RAY_ADDRESS", "RAY_AUTH_MODE"):
            patch.delenv(name, raising=False)
        patch.setenv("OMP_NUM_THREADS", "1")
        ray_session.start(
            address="local", num_cpus=2, include_dashboard=False, log_to_driver=False,
            object_store_memory=200_000_000, _temp_dir=folder,
        )  # fmt: skip
        yield ray
        ray.shutdown()
    shutil.rmtree(folder)


def workers(parent=None):
    """The processes of Ray Data's workers below this one."""
    found = []
    for process in (parent or psutil.Process()).children(recursive=True):
        try:
            if "MapWorker" in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def wait(condition, seconds=120):
    """Waits until it is so; the machine may be busy with other things."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)


def when(condition, act):
    """Does something as soon as it is so, in a thread of its own."""

    def watch():
        wait(condition)
        act()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def drawing(act=lambda settings: None):
    """A worker that loads no model, so that it starts at once: `act`, then an empty picture."""

    class Drawing(ray_worker.Worker):  # a class that has no name elsewhere is sent as it is
        def _made(self, number, jobs):
            for i, job in jobs.items():
                settings = Settings.from_dict(json.loads(job["settings"]))
                act(settings)
                yield i, sdnb.Sample(Image.new("RGB", (8, 8)), settings, {"model": "emoji"})

    return Drawing


def difference(a, b):
    return np.abs(np.asarray(a.image, int) - np.asarray(b.image, int)).max()


# ---------------------------------------------------------------- one sweep, looked at


@pytest.fixture(scope="module")
def swept(ray, pipe, tmp_path_factory):
    """24 pictures by two workers; the second model is gone before they look for it."""
    folder = tmp_path_factory.mktemp("models") / "fox"
    pipe.save_pretrained(folder)
    plan = sdnb.plan(
        PROMPT, model=["emoji", str(folder)], steps=[2, 3], seed=range(6), scheduler="Euler a"
    )
    shutil.rmtree(folder)
    kept = Store(tmp_path_factory.mktemp("store"))
    with pytest.MonkeyPatch.context() as patch:  # here, not where the workers are
        patch.setattr(Store, "put", lambda *_: pytest.fail("the driver keeps what a worker has"))
        return plan, kept, plan.run(store=kept, engine=TWO)


def emoji(plan, sheet):
    """The part of the sheet whose model is there."""
    return [s for s, model in zip(sheet, plan.models) if model == str(sdnb.emoji.FOLDER)]


def test_the_pictures_are_those_of_a_run_without_ray(swept):
    plan, _, sheet = swept
    here = plan.run(store=False)
    pairs = list(zip(emoji(plan, sheet), emoji(plan, here)))
    assert len(pairs) == 12
    assert [a.settings for a, _ in pairs] == [b.settings for _, b in pairs]
    assert max(difference(a, b) for a, b in pairs) <= 2
    assert min(difference(a, pairs[-1][0]) for a, _ in pairs[:-1]) > 50, "all are the same picture"
    for a, b in pairs:
        assert {**a.facts, "seconds": 0} == {**b.facts, "seconds": 0}
    assert (sheet.rows, sheet.cols, sheet.row_labels) == (here.rows, here.cols, here.row_labels)


@pytest.mark.tries(12)
def test_a_row_that_fails_is_a_grey_cell_with_the_sentence(swept, tried):
    plan, _, sheet = swept
    failed = [s for s in sheet if s.facts.get("error")]
    assert len(failed) == 12
    assert not any(s in failed for s in emoji(plan, sheet))
    for sample in failed:
        assert "is no model: give 'emoji', a folder that exists" in sample.facts["error"]
        assert sample.image.getextrema() == ((208, 208), (212, 212), (216, 216))
        tried()


@pytest.mark.tries(2)
def test_where_every_row_fails_the_first_error_is_raised(ray, pipe, monkeypatch, tried):
    seeds = [1, 2]

    def fail(settings):
        raise ValueError(f"no picture of seed {settings.seed}")

    monkeypatch.setattr(ray_engine, "Worker", drawing(fail))
    with pytest.raises(ValueError, match="no picture of seed 1"):
        sdnb.compare(PROMPT, seed=seeds, pipe=pipe, store=False, engine=ray_engine.Ray(1, 1))
    tried(len(seeds))


def test_the_workers_keep_their_pictures_in_the_store_of_the_local_run(swept, pipe):
    plan, kept, sheet = swept
    assert len(kept) == 12
    assert not list(kept.folder.glob(".sdnb-*")), "no mark or half-written file is left"
    calls = []
    one = sdnb.plan(PROMPT, model="emoji", steps=[2, 3], seed=range(6), scheduler="Euler a")
    with denoiser_calls.watched(pipe, lambda: calls.append(1)):
        again = one.run(store=kept)
    assert calls == []
    assert [s.facts for s in again] == [s.facts for s in emoji(plan, sheet)]


def test_of_rows_with_different_steps_the_shortest_come_first(ray, pipe, monkeypatch):
    monkeypatch.setattr(ray_engine, "Worker", drawing())
    plan = sdnb.plan(PROMPT, steps=[40, 4, 3, 2], seed=1, pipe=pipe)
    with ray_engine.opened(ray_engine.Ray(1, 1)) as remote:
        recipe = ray_worker.Recipe.of(pipe, "cpu")
        jobs = [
            ray_engine.Job(
                i,
                settings,
                calls_of(settings, pipe),
                recipe,
                remote.made_by(sample_facts.made_by(settings, pipe)),
            )
            for i, settings in enumerate(plan.settings)
        ]
        order = [number for number, _ in remote.make(jobs, None, None, None)]
    assert order == [3, 2, 1, 0]


# ---------------------------------------------------------------- interrupted, resumed, killed


@pytest.fixture(scope="module")
def story(ray, pipe, tmp_path_factory):
    """A sweep that Ctrl-C ends; then the same again, one of whose workers is killed."""
    start = sdnb.generate("a cat", seed=1, steps=4, pipe=pipe).image
    plan = sdnb.plan(
        PROMPT, image=start, strength=0.8, steps=20, seed=range(10), guidance=[3, 7.5], pipe=pipe
    )
    kept = Store(tmp_path_factory.mktemp("story"))
    told = {}

    def interrupt():
        told["busy"] = len(workers())
        os.kill(os.getpid(), signal.SIGINT)

    old = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        watch = when(lambda: len(kept) >= 4, interrupt)
        with pytest.raises(KeyboardInterrupt):
            plan.run(store=kept, batch=2, engine=TWO)
    finally:
        signal.signal(signal.SIGINT, old)
        watch.join()
    wait(lambda: not workers())
    told["first"] = {path.name: path.read_bytes() for path in kept.folder.glob("*.png")}

    def kill():
        told["killed"] = workers()[0].pid
        os.kill(told["killed"], signal.SIGKILL)

    watch = when(lambda: len(kept) >= len(told["first"]) + 4, kill)
    sheet = plan.run(store=kept, batch=2, engine=TWO)
    watch.join()
    return plan, kept, told, sheet


def test_ctrl_c_leaves_ray_but_no_worker_and_what_is_finished(story, ray):
    _, _, told, _ = story
    assert told["busy"] == 2
    assert 4 <= len(told["first"]) < 20
    assert ray.is_initialized(), "it was there before"


@pytest.mark.tries(0)
def test_the_same_again_makes_only_what_is_missing(story):
    _, kept, told, sheet = story
    assert len(kept) == len(sheet) == 20
    for name, data in told["first"].items():
        assert (kept.folder / name).read_bytes() == data


def test_a_worker_killed_in_mid_sweep_costs_nothing_but_time(story):
    plan, _, told, sheet = story
    assert told["killed"]
    assert not any(s.facts.get("error") for s in sheet)
    here = plan.run(store=False)
    assert max(difference(a, b) for a, b in zip(sheet, here)) <= 2
    assert [s.settings for s in sheet] == [s.settings for s in here]


def test_a_row_that_kills_its_worker_does_not_end_the_others(ray, pipe, monkeypatch, tmp_path):
    def die(settings):
        if settings.seed == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(ray_engine, "Worker", drawing(die))
    monkeypatch.setattr(ray_engine, "TRIES", 1)
    kept = Store(tmp_path)
    sheet = sdnb.compare(PROMPT, seed=[1, 2], pipe=pipe, store=kept, engine=ray_engine.Ray(1, 1))
    assert sheet[0].facts["error"].startswith("The worker that made it died, 2 times")
    assert "error" not in sheet[1].facts
    [path] = kept.folder.glob("*.png")  # these workers keep nothing: the driver has put it there
    assert sdnb.read(path).settings == sheet[1].settings


DRIVER = """
import json, sys, time
import sdnb
from PIL import Image
from sdnb import Store
from sdnb.sweeps import ray_engine, ray_worker

class Slow(ray_worker.Worker):
    # one that loads no model, so that it starts at once
    def _made(self, number, jobs):
        for i, job in jobs.items():
            time.sleep(0.3)
            settings = sdnb.Settings.from_dict(json.loads(job["settings"]))
            yield i, sdnb.Sample(Image.new("RGB", (8, 8)), settings, {"model": "emoji"})

ray_engine.Worker = Slow
pipe = sdnb.load("emoji", device="cpu")
plan = sdnb.plan("a fox", steps=100, seed=range(40), pipe=pipe)
print("ready", flush=True)
plan.run(store=Store(sys.argv[1]), batch=2, engine=ray_engine.Ray(workers=1, cpus=1))
"""
KERNEL = (
    DRIVER.replace("plan.run", "try:\n    plan.run")
    + """
except KeyboardInterrupt:  # a notebook's next cell
    import ray, signal
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    print("stopped", ray.is_initialized(), flush=True)
    sys.stdin.readline()
"""
)


def started(program, folder):
    """A program that sweeps on a Ray of its own, about to start it."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    driver = subprocess.Popen(
        [sys.executable, "-c", program, str(folder)], cwd=ROOT, text=True,
        env=environment | {"RAY_ADDRESS": "local"},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert driver.stdout.readline() == "ready\n"
    return driver, psutil.Process(driver.pid)


@pytest.mark.parametrize("moment", ["while Ray starts", "in the sweep"])
def test_a_second_ctrl_c_leaves_no_ray_either(ray, tmp_path, moment):
    driver, me = started(KERNEL, tmp_path)
    if moment == "in the sweep":
        wait(lambda: len(Store(tmp_path)) >= 1)
    else:
        wait(lambda: any("gcs_server" in p.name() for p in me.children()))
    for _ in range(2):
        driver.send_signal(signal.SIGINT)
        time.sleep(0.3)
    assert driver.stdout.readline() == "stopped False\n"
    _, alive = psutil.wait_procs(me.children(recursive=True), timeout=30)
    assert alive == []
    _, said = driver.communicate("\n", timeout=60)
    assert driver.returncode == 0, said


def test_ctrl_c_ends_a_ray_that_the_sweep_has_started_with_all_its_processes(ray, tmp_path):
    driver, me = started(DRIVER, tmp_path)
    wait(lambda: len(Store(tmp_path)) >= 2)
    below = me.children(recursive=True)
    assert len(workers(me)) == 1
    driver.send_signal(signal.SIGINT)
    _, said = driver.communicate(timeout=60)
    # not always the last line: threads of Ray Data may complain when the interpreter ends
    assert "KeyboardInterrupt" in said.splitlines()
    assert driver.returncode == -signal.SIGINT
    assert "core_worker.cc" not in said
    gone, alive = psutil.wait_procs(below, timeout=30)
    assert len(gone) >= 4, "raylet, GCS, worker, monitor"
    assert alive == []
    assert 2 <= len(Store(tmp_path)) < 40


GPUS = """
import os
import ray, sdnb
from PIL import Image
from sdnb.models import device
from sdnb.sweeps import ray_engine, ray_worker
device.best = lambda: "cpu"  # the driver has no GPU
ray.init("local", num_cpus=2, num_gpus=2, include_dashboard=False, log_to_driver=False)

class Drawn(ray_worker.Worker):
    # one that loads nothing: only where it is placed counts
    def _made(self, number, jobs):
        seen = {"device": self.recipes[number].device, "pid": os.getpid(),
                "gpus": os.environ["CUDA_VISIBLE_DEVICES"]}
        for i in jobs:
            yield i, sdnb.Sample(Image.new("RGB", (8, 8)), sdnb.Settings("a fox", seed=1), seen)

ray_engine.Worker = Drawn
pipe = sdnb.load("emoji", device="cpu")
sheet = sdnb.compare("a fox", steps=1, seed=range(64), pipe=pipe, store=False, engine="ray")
for sample in sheet:
    print(*sample.facts.values())
"""


def test_on_a_cluster_with_gpus_each_has_one_worker_that_sees_no_other(ray, tmp_path):
    """The GPUs are numbers that Ray is told: who is placed where, not what is made there."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "CUDA_"))}
    done = subprocess.run(
        [sys.executable, "-c", GPUS], cwd=ROOT, text=True, env=environment, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    rows = {tuple(line.split()) for line in done.stdout.splitlines()}
    assert {device for device, *_ in rows} == {"cuda"}
    assert sorted(gpus for *_, gpus in rows) == ["0", "1"]
    assert len({pid for _, pid, _ in rows}) == 2


# ---------------------------------------------------------------- before anything runs


def test_there_is_no_other_engine(pipe):
    with pytest.raises(ValueError, match="There is no engine 'dask': give 'ray', or None"):
        sdnb.compare(PROMPT, steps=[1, 2], pipe=pipe, engine="dask")


def test_a_number_of_workers_or_cores_below_one_is_refused():
    with pytest.raises(ValueError, match="workers is 0: give 1 or more"):
        ray_engine.Ray(workers=0)


def test_without_ray_one_sentence_says_how_to_get_it(pipe, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setitem(sys.modules, "ray.data", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'sdnb\[ray\]'"):
        sdnb.compare(PROMPT, steps=[1, 2], pipe=pipe, engine="ray")


WAIT = sys.executable, "-c", "import time; time.sleep(60)"


@pytest.mark.parametrize("late", [1, 2])
def test_a_start_that_times_out_is_tried_once_more_and_leaves_no_process(monkeypatch, late):
    ray, tried, others = pytest.importorskip("ray"), [], []

    def init(**options):
        others.append(subprocess.Popen(["sleep", "60"]))  # another thread's, say
        tried.append(subprocess.Popen([*WAIT, "/site-packages/ray/core/gcs_server"]))
        if len(tried) <= late:
            raise Exception("The current node timed out during startup. This could happen because")

    monkeypatch.setattr(ray, "init", init)
    failing = pytest.raises(Exception, match=r"timed out during startup\.")
    with failing if late == 2 else contextlib.nullcontext():
        ray_session.start(num_cpus=2)
    assert len(tried) == 2
    for process in tried[:late]:
        assert process.wait(timeout=10) == -signal.SIGKILL
    for process in [*tried[late:], *others]:
        assert process.poll() is None
        process.kill()


def test_a_pipeline_that_was_changed_is_refused_before_anything_runs(ray):
    pipe = diffusers.StableDiffusionPipeline.from_pretrained(ROOT / "sdnb" / "emoji")
    why = r"is not as sdnb\.load made it \(sdnb\.load did not make it\), and workers on Ray load"
    with pytest.raises(ValueError, match=why):
        sdnb.compare(PROMPT, steps=[1, 2], pipe=pipe, engine=TWO)
    assert workers() == []


def test_a_worker_that_no_machine_has_room_for_is_refused(ray, pipe):
    with pytest.raises(ValueError, match="A worker needs 64 CPUs, and no machine has more than 2"):
        sdnb.compare(PROMPT, steps=[1, 2], pipe=pipe, engine=ray_engine.Ray(cpus=64))


def results(pipe, rows, sdnb=None, store=None):
    """What a worker, here in this process, gives for these rows: number -> result."""
    pyarrow = pytest.importorskip("pyarrow")
    here = sample_facts.version_of("sdnb")
    one = ray_worker.Worker(
        [ray_worker.Recipe.of(pipe, "cpu")], None, store, None, None, sdnb or here
    )
    try:
        with pytest.MonkeyPatch.context() as patch:
            # Ray answers its own processes alone
            patch.setattr(ray_worker, "_stop_if_cancelled", lambda: None)
            made = [row.to_pylist()[0] for row in one(pyarrow.Table.from_pylist(rows))]
    finally:
        ray_worker.log.removeHandler(one.said)
        ray_worker.log.propagate = True
    return {row["number"]: pickle.loads(row["result"]) for row in made}


@pytest.fixture
def rows(ray, pipe):
    """Three pictures as a worker is given them."""
    plan = sdnb.plan(PROMPT, steps=1, seed=[1, 2, 3], pipe=pipe)
    with ray_engine.opened(TWO) as remote:
        made_by = remote.made_by(sample_facts.made_by(plan.settings[0], pipe))
    recipe = ray_worker.Recipe.of(pipe, "cpu")
    jobs = [
        ray_engine.Job(i, settings, calls_of(settings, pipe), recipe, made_by)
        for i, settings in enumerate(plan.settings)
    ]
    return [ray_engine._row(job, 0) for job in jobs]


def test_a_worker_keeps_to_the_size_of_your_store(rows, pipe, tmp_path):
    """Not to the usual one: no small store grows, and of a large one nothing is dropped."""
    large = tmp_path / f"{'0' * 64}.png"
    with large.open("wb") as file:
        file.truncate(3_000_000_000)

    def keep(rows, most_bytes):
        with ray_engine._marked(Store(tmp_path, most_bytes)) as shared:
            results(pipe, rows, store=pickle.loads(pickle.dumps(shared)))

    keep(rows[:1], 10**12)
    assert large.exists()
    assert len(Store(tmp_path)) == 2
    large.unlink()
    one = Store(tmp_path).size()
    keep(rows[1:], 2 * one)
    assert 0 < Store(tmp_path).size() <= 2.2 * one


def test_a_worker_with_other_versions_says_so_instead_of_making_another_picture(rows, pipe):
    made_by = json.loads(rows[1]["made_by"])
    made_by["versions"]["diffusers"] = "0.1"
    rows[1]["made_by"] = json.dumps(made_by)
    made = results(pipe, rows)
    assert isinstance(made[1], ValueError)
    assert f"its diffusers is {diffusers.__version__}, where the sweep was started 0.1" in str(
        made[1]
    )
    assert [made[i].settings.seed for i in (0, 2)] == [1, 3]


def test_a_worker_with_another_sdnb_says_so(rows, pipe):
    made = results(pipe, rows, "0.0")
    assert len(made) == 3
    assert "where the sweep was started 0.0: install the same" in str(made[0])


@pytest.mark.parametrize("where", ["a row", "the batch"])
def test_what_goes_wrong_in_a_worker_beside_the_pipeline_is_its_rows_result(
    rows, pipe, monkeypatch, where
):
    if where == "a row":
        rows[1]["settings"] = '{"prompt": "a fox", "hue": 3}'
    else:
        monkeypatch.setattr(ray_worker, "Batcher", None)
    made = results(pipe, rows)
    failed = {i for i, result in made.items() if isinstance(result, TypeError)}
    assert set(made) == {0, 1, 2}
    assert failed == ({1} if where == "a row" else {0, 1, 2})


def test_lora_weights_go_to_the_workers(ray):
    """They load the LoRAs themselves, from what the pipeline was loaded with."""
    pytest.importorskip("peft", reason="peft is not installed: pip install 'sdnb[lora]'")
    loras = {"ink": ("sepia", 0.5), "blue": "cyanotype"}
    pipe = sdnb.load("emoji", lora=loras, device="cpu")
    given = {
        "lora": {"ink": [0, 0.5, 1], "blue": 0.3},
        "steps": 3,
        "seed": 1,
        "pipe": pipe,
        "store": False,
    }
    here, there = sdnb.compare(PROMPT, **given), sdnb.compare(PROMPT, engine=TWO, **given)
    for a, b in zip(here, there):
        assert a.settings == b.settings
        assert a.facts.get("lora") == b.facts.get("lora")
        assert difference(a, b) <= 2
