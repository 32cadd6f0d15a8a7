"""What the pages say, against the code."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROW = re.compile(r"^\| (?P<when>[^|]+) \| (?P<says>[^|]+) \|$", re.MULTILINE)
PART = re.compile(r"(?<!\w)\*[^*]+\*(?!\w)")  # *id*: what stands for another text


def templates(*rooms):
    """Each text in these folders' code as a pattern: what is filled in is any text."""
    for room in rooms:
        for path in (ROOT / "sdnb" / room).glob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    parts = [node]
                elif isinstance(node, ast.JoinedStr):
                    parts = node.values
                else:
                    continue
                words = [re.escape(p.value) if isinstance(p, ast.Constant) else ".+" for p in parts]
                if len("".join(words)) > 20:
                    yield "".join(words)


def rows():
    text = (ROOT / "docs" / "models.md").read_text()
    table = text.partition("## What a failing `load` says")[2].partition("\n## ")[0]
    found = [m.group("when", "says") for m in ROW.finditer(table)]
    return [row for row in found if row[0] not in ("what happened", "---")]


@pytest.mark.parametrize(("when", "says"), rows(), ids=[when for when, _ in rows()])
def test_each_message_of_the_table_is_one_of_the_code(when, says):
    example = PART.sub("something", says.partition(" (Or:")[0]).strip()
    assert any(re.fullmatch(each, example) for each in KNOWN), example


KNOWN = sorted(set(templates("hub", "models")))


def test_the_table_has_rows_and_the_check_can_fail():
    assert len(rows()) > 40
    assert not any(re.fullmatch(each, "The hub is out of order today.") for each in KNOWN)


def test_each_file_that_contributing_names_is_there():
    text = (ROOT / "CONTRIBUTING.md").read_text().partition("## Where to look")[2]
    names = set(re.findall(r"`([\w/]+\.py)`", text))
    assert len(names) > 40
    assert [n for n in names if not (ROOT / "sdnb" / n).exists() and not (ROOT / n).exists()] == []


def test_the_table_of_seconds_has_every_notebook():
    text = (ROOT / "docs" / "nbtest.md").read_text()
    there = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
    assert re.findall(r"^\| `(\w+)` \| \d+ \| [\d,]+ \|$", text, re.MULTILINE) == there
