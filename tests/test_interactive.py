"""Whether a person is there to answer."""

import pytest

from sdnb import interactive


@pytest.mark.parametrize(
    ("ci", "answers"),
    [(None, True), ("", True), ("0", True), ("false", True), ("False", True), ("no", True),
     ("1", False), ("true", False), ("woodpecker", False)],
)  # fmt: skip
def test_ci_says_that_nobody_is_there_unless_it_says_that_it_is_none(monkeypatch, ci, answers):
    monkeypatch.delenv("CI", raising=False)
    if ci is not None:
        monkeypatch.setenv("CI", ci)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.delitem(interactive.sys.modules, "ipykernel", raising=False)
    assert interactive.someone_can_answer() is answers
