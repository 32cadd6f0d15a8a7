"""What this project's pytest runs: conftest.py and tests/support, in a small project."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS = {
    "tests/slow/test_far.py": "def test_far(): pass",
    "tests/test_near.py": """
import os, pytest
from tests.support import needs
needs.NEEDS["moon"] = (lambda: False, "the moon", "apt-get install moon")

def test_quick(): pass

@pytest.mark.slow
def test_long(): pass

@pytest.mark.needs("moon")
def test_moon(): pass

@pytest.mark.tries(3)
@pytest.mark.parametrize("times", [2, 3])
def test_tries(tried, times):
    tried(times)
""",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    shutil.copy(ROOT / "conftest.py", folder)
    shutil.copytree(ROOT / "tests" / "support", folder / "tests" / "support")
    (folder / "tests" / "slow").mkdir()
    for name, text in TESTS.items():
        (folder / name).write_text(text)
    (folder / "setup.cfg").write_text(
        "[tool:pytest]\npythonpath = .\ntestpaths = tests\naddopts = -n auto --dist loadfile -rfs\n"
    )
    return folder


def ran(project, *words, **environment):
    """What a person sees who types `pytest` and these words."""
    known = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "SDNB", "COLUMNS"))}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--color=no", *words]
    return subprocess.run(
        command, cwd=project, env=known | environment, capture_output=True, text=True
    ).stdout


def test_a_plain_pytest_has_two_processes_leaves_out_what_is_slow_and_says_what_is_missing(project):
    said = ran(project)
    assert "created: 2/2 workers" in said
    assert "2 slow tests were left out: pytest -m slow runs them" in said
    assert "1 failed, 2 passed, 1 skipped" in said
    assert "needs the moon: apt-get install moon" in said
    assert "its mark says 3 tries, and it made 2" in said


def test_where_nothing_may_be_missing_a_skip_is_a_failure(project):
    said = ran(project, "tests/test_near.py", "-k", "moon", SDNB_ALL="1")
    assert "workers" not in said  # one file: one process
    assert "Failed: needs the moon: apt-get install moon" in said
    assert "1 error" in said


@pytest.mark.parametrize(
    ("words", "passed"),
    [(["-m", "slow", "-n0"], 2), (["tests/slow/test_far.py"], 1), (["tests/slow"], 1),
     (["tests/test_near.py::test_long"], 1)],
)  # fmt: skip
def test_what_is_slow_runs_where_it_is_named(project, words, passed):
    said = ran(project, *words)
    assert f"{passed} passed" in said, said
    assert "were left out" not in said
