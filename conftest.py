"""What all tests share, the notebooks' too, and `python -m sdnb.nbtest --update`.

A plain `pytest` runs in two processes what daily work needs; `pytest tests/test_x.py` in one.
What is slow is left out unless it is named: `pytest -m slow`, `pytest tests/slow/test_ray.py`.
"""

import os
from pathlib import Path

import pytest

pytest_plugins = ["tests.support.needs", "tests.support.tries"]
collect_ignore = ["tests/support/interrupts.py"]  # a program, which a test starts

ROOT = Path(__file__).parent
# What kills processes, starts Ray, OpenVINO or JupyterLab, trains, or measures for minutes. A
# single test elsewhere has the mark itself.
SLOW = [
    "tests/slow",
    "tests/test_training.py",
    "notebooks/05_limits.ipynb",
    "notebooks/09_big_sweeps.ipynb",
]
# The longest files, so that no process is left alone with one at the end.
FIRST = [
    "tests/slow/test_ray.py",
    "notebooks",
    "tests/test_nbtest.py",
    "tests/widgets",
    "tests/generation",
    "tests/hub",
]

# the notebooks are stored and checked without progress bars, which a stored page cannot move
os.environ["TQDM_DISABLE"] = "1"
os.environ["SDNB_TIMES"] = "off"
# torch would start as many threads in each process as there are cores
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
# The notebooks' stored outputs are of a CPU; whoever names a model wants it on their GPU.
if "SDNB_MODEL" not in os.environ:
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["SDNB_STORE"] = "off"  # a picture from an earlier run would prove nothing
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test needs the network

left_out = pytest.StashKey[int]()


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: left out unless it is named, or by -m")


def pytest_xdist_auto_num_workers(config):
    """What `-n auto` (addopts, in setup.cfg) means: two processes for everything, else one."""
    return 0 if config.args_source is config.ArgsSource.ARGS else 2


@pytest.hookimpl(tryfirst=True)  # before pytest looks at the marks
def pytest_collection_modifyitems(config, items):
    places = [ROOT / name for name in FIRST]
    items.sort(key=lambda item: _first(item.path, places))
    slow = [item for item in items if _first(item.path, [ROOT / name for name in SLOW]) < len(SLOW)]
    for item in slow:
        item.add_marker("slow")
    if config.option.markexpr:
        return
    out = [item for item in items if item.get_closest_marker("slow") and not _named(item, config)]
    items[:] = [item for item in items if item not in set(out)]
    config.hook.pytest_deselected(items=out)
    config.stash[left_out] = len(out)


def _first(path, places):
    """Where in the list of files and folders this file stands; their number if nowhere."""
    return next((n for n, at in enumerate(places) if path.is_relative_to(at)), len(places))


def _named(item, config):
    """Whether a command line's word names a slow file or folder, or this very test."""
    slow = [ROOT / name for name in SLOW]
    for word in config.args:
        path, _, test = word.partition("::")
        path = (config.invocation_params.dir / path).resolve()
        if item.path.is_relative_to(path) and (test or _first(path, slow) < len(slow)):
            return True
    return False


def pytest_sessionfinish(session):
    if hasattr(session.config, "workeroutput"):  # one of xdist's processes: all collect the same
        session.config.workeroutput["slow"] = session.config.stash.get(left_out, 0)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    node.config.stash[left_out] = getattr(node, "workeroutput", {}).get("slow", 0)


def pytest_terminal_summary(terminalreporter, config):
    if number := config.stash.get(left_out, 0):
        terminalreporter.write_line(f"{number} slow tests were left out: pytest -m slow runs them")


@pytest.fixture(scope="session")
def pipe():
    """The embedded model in float32, loaded once."""
    import sdnb

    return sdnb.load("emoji", dtype="float32", device="cpu")


@pytest.fixture
def heard(caplog):
    """The sentences that the library said during the test."""
    caplog.set_level("INFO", logger="sdnb")
    return lambda: [r.getMessage() for r in caplog.records if r.name == "sdnb"]
