"""docs/reliability.md: its tests are there, and make their faults as often as it says."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from tests.support import programs

ROOT = Path(__file__).parents[1]
TABLE = (ROOT / "docs" / "reliability.md").read_text("utf-8")
COLLECT = """
import json, sys
import pytest

class Seen:
    def pytest_collection_finish(self, session):
        marks = [(item, item.get_closest_marker("tries")) for item in session.items]
        tries = [(item.nodeid, mark.args[0] if mark else 1) for item, mark in marks]
        json.dump(tries, open(sys.argv[1], "w"))

words = ["--collect-only", "-qq", "-n0", "-m", "slow or not slow", "-p", "no:cacheprovider"]
sys.exit(pytest.main([*words, *sys.argv[2:]], plugins=[Seen()]))
"""


def rows():
    """Of each row: its tests, and its three numbers."""
    for row in re.findall(r"^\|.*$", TABLE, re.MULTILINE)[2:]:
        *_, tests, tried, survived, lost = (cell.strip() for cell in row.strip("|").split("|"))
        yield re.findall(r"`([\w/]+\.py::\w+)`", tests), int(tried), int(survived), int(lost)


@pytest.mark.slow  # it collects a third of the tests
def test_each_row_of_the_table_says_how_often_its_tests_make_their_fault(tmp_path):
    """What a test says of itself is checked when it runs: tests/support/tries.py."""
    names = {f"tests/{name}" for tests, *_ in rows() for name in tests}
    out = tmp_path / "tries.json"
    programs.run("-c", COLLECT, out, *sorted(names), cwd=ROOT, check=True)  # red where one is not
    tries = Counter()
    for test, number in json.loads(out.read_text()):
        tries[test.partition("[")[0].removeprefix("tests/")] += number
    found = [(tests, sum(tries[name] for name in tests)) for tests, *_ in rows()]
    said = [(tests, tried) for tests, tried, *_ in rows()]
    assert [each for each in found if each not in said] == []
    assert found == said
    assert len(found) > 30


def test_nothing_was_lost():
    """A test that loses something fails; a row that says otherwise is wrong."""
    for tests, tried, survived, lost in rows():
        assert tests
        assert (survived, lost) == (tried, 0), tests
