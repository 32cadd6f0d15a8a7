"""A blind vote in a real JupyterLab: keys, what is seen, and what is left after a restart."""

import hashlib

import pytest

pytest.importorskip("ipywidgets")
pytest_plugins = ["tests.support.browser", "tests.support.lab"]

SETUP = """
import hashlib, sdnb
pipe = sdnb.load("emoji")
"""
VOTE = """
voting = sdnb.vote({"steps": 1}, {"steps": 6}, ["a fox", "an owl"], range(2), scheduler="DDIM",
                   pipe=pipe, store="STORE")
voting"""


def asked(page, words):
    page.locator(".sdnb-which").filter(has_text=words).wait_for()


def settled(page):
    page.wait_for_timeout(300)  # longer than `voting_view.SOON`: somebody looks


def six_steps(book, page):
    """The arrow key of the picture with six steps, by its pixels."""
    left = page.locator(".sdnb-two img").first
    shown = hashlib.sha256(book.pixels(left).convert("RGB").tobytes()).hexdigest()
    # what the kernel says of the same pair: the hash of its left picture, and its steps
    code = "[hashlib.sha256(__import__('PIL.Image').Image.open(__import__('io').BytesIO("
    code += "voting._view.left.value)).convert('RGB').tobytes()).hexdigest(), "
    code += "voting.ballot.shown(voting.ballot.current)[0].settings.steps]"
    known, steps = book.value(code)
    assert shown == known
    return "ArrowLeft" if steps == 6 else "ArrowRight"


def test_vote_with_keys_and_buttons_undo_and_go_on_after_a_restart(notebook, tmp_path):
    vote = VOTE.replace("STORE", str(tmp_path / "store"))
    book = notebook(SETUP, vote, width=900).run_all()
    page = book.page
    asked(page, "1 of 4 · a fox, seed 0: which is better?")
    assert page.locator(".sdnb-two img").count() == 2
    page.screenshot(path=str(tmp_path / "vote.png"))
    page.locator(".sdnb-which").click()
    settled(page)
    page.keyboard.press(six_steps(book, page))
    asked(page, "2 of 4 · an owl, seed 0")
    settled(page)
    page.keyboard.press("ArrowDown")
    asked(page, "3 of 4")
    page.keyboard.press("Backspace")
    asked(page, "2 of 4")
    settled(page)
    page.keyboard.press(six_steps(book, page))
    asked(page, "3 of 4")
    # JupyterLab has not taken the arrow keys for its own: the same cell is active
    active = "() => window.jupyterapp.shell.currentWidget.content.activeCellIndex"
    assert page.evaluate(active) == 1
    settled(page)
    page.get_by_role("button", name="↓ Same").click()
    asked(page, "4 of 4")
    page.get_by_role("button", name="Result").click()
    page.get_by_text("6 steps: better in 0 of 2 pairs").wait_for()
    assert book.value("[voting.result.tally.losses, voting.result.tally.ties]") == [2, 1]
    box = page.locator(".sdnb-vote")
    assert box.evaluate("e => e.scrollWidth <= e.clientWidth")

    # a new kernel: three votes are there, and the fourth ends it
    page.evaluate(
        "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()"
    )
    book.wait().run_all()
    asked(page, "4 of 4")
    page.locator(".sdnb-which").click()
    settled(page)
    page.keyboard.press(six_steps(book, page))
    asked(page, "All 4 pairs have a vote.")
    page.get_by_text("better in 0 of 3 pairs").wait_for()
    page.screenshot(path=str(tmp_path / "end.png"))


PANEL = """
panel = sdnb.panel("a fox", pipe=pipe, seed=0, width=64, height=64, scheduler="DDIM",
                   store="STORE")
panel"""


def test_vote_in_the_panel_with_keys_and_go_back_to_making_pictures(notebook, tmp_path):
    book = notebook(SETUP, PANEL.replace("STORE", str(tmp_path / "store")), width=1200).run_all()
    page = book.page
    page.get_by_role("tab", name="Compare").click()
    page.get_by_label("Values").fill("1, 6")
    page.get_by_role("button", name="Compare", exact=True).click()
    thumbs = page.locator(".sdnb-thumb:visible")
    thumbs.nth(1).wait_for()
    page.get_by_role("button", name="Vote", exact=True).click()
    asked(page, "1 of 8 · seed 0: which is better?")
    assert not thumbs.count()  # nothing else shows one of the two
    settled(page)
    page.locator(".sdnb-which").click()
    page.keyboard.press("ArrowLeft")
    asked(page, "2 of 8 · seed 1")
    page.screenshot(path=str(tmp_path / "vote.png"))
    ballot = "panel._controller.output.voting.ballot"
    # the vote is for what stood at the left, and it is kept
    better = f"({ballot}.result.tally.wins == 1, {ballot}.shown(0)[0].settings.steps == 1)"
    assert len(set(book.value(better))) == 1
    assert len((tmp_path / "store" / "votes.jsonl").read_text().splitlines()) == 1
    settled(page)
    page.keyboard.press("Backspace")
    asked(page, "1 of 8 · seed 0")
    assert book.value(f"{ballot}.voted") == 0
    settled(page)
    page.keyboard.press("ArrowDown")
    asked(page, "2 of 8 · seed 1")
    assert book.value(f"{ballot}.result.tally.ties") == 1
    box = page.locator(".sdnb-vote")
    assert box.evaluate("e => e.scrollWidth <= e.clientWidth")
    page.get_by_role("tab", name="Generate").click()
    page.get_by_role("button", name="Generate", exact=True).click()
    page.locator(".sdnb-picture").wait_for()
    assert not page.locator(".sdnb-vote").count()
    thumbs.nth(2).wait_for()  # those of the comparison are back
