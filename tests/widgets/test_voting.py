"""The widgets of a vote, as a kernel has them."""

import io
import re
from html import unescape

import numpy as np
import pytest
from PIL import Image

import sdnb
from sdnb.studies.tally import Tally
from sdnb.widgets import frontend, voting_view

pytest.importorskip("ipywidgets")
SMALL = {"width": 64, "height": 64}


@pytest.fixture
def vote(pipe, tmp_path, monkeypatch):
    """Opens votes on one step against two, as where a person sits at a notebook."""
    monkeypatch.setattr(frontend, "shows_widgets", lambda: True)
    monkeypatch.setattr(voting_view, "SOON", 0)

    def opened(prompts="a fox", seeds=range(3), **given):
        given = {"pipe": pipe, "store": tmp_path / "store", **SMALL, **given}
        made.append(sdnb.vote({"steps": 1}, {"steps": 2}, prompts, seeds, **given))
        return made[-1]

    made = []
    yield opened
    for each in made:
        each.close()


def said(voting):
    return unescape(re.sub("<[^>]*>", "", voting._view.said.value))


def asked(voting):
    return unescape(re.sub("<[^>]*>", "", voting._view.which.value))


def steps_on_the_left(voting):
    left, right = voting.ballot.shown(voting.ballot.current)
    shown = [Image.open(io.BytesIO(w.value)) for w in (voting._view.left, voting._view.right)]
    for image, sample in zip(shown, (left, right)):
        large = sample.image.resize(image.size, Image.Resampling.LANCZOS)
        assert np.abs(np.asarray(image, int) - np.asarray(large, int)).mean() < 3
    return left.settings.steps


def test_presses_vote_for_what_stands_there_and_nothing_tells_which_is_which(vote):
    voting = vote()
    view = voting._view
    for n in range(3):
        assert asked(voting) == f"{n + 1} of 3 · seed {n}: which is better?"
        texts = " ".join([asked(voting), said(voting), *(b.tooltip for b in view.buttons.values())])
        assert "step" not in texts
        view.buttons["left" if steps_on_the_left(voting) == 1 else "right"].click()
    assert voting.result.tally == Tally(3, 0)
    assert said(voting).startswith("1 step against 2 steps: better in 3 of 3 pairs")
    assert asked(voting) == "All 3 pairs have a vote."
    assert view.two.layout.display == "none"
    view.buttons["undo"].click()
    assert asked(voting).startswith("3 of 3")
    assert view.two.layout.display is None


def test_two_presses_at_once_are_one_vote(vote, monkeypatch):
    monkeypatch.setattr(voting_view, "SOON", 60)
    voting = vote()
    voting._view._since = 0.0  # these were looked at
    voting._view.buttons["left"].click()
    voting._view.buttons["left"].click()
    assert voting.ballot.voted == 1


def test_undo_with_nothing_to_take_back_says_so(vote):
    voting = vote()
    voting._view.buttons["undo"].click()
    assert said(voting) == "No vote to take back."


def test_the_same_call_goes_on_where_the_votes_were(vote):
    vote()._view.buttons["same"].click()
    again = vote()
    assert asked(again) == "2 of 3 · seed 1: which is better?"
    assert vote(store=False).ballot.voted == 0


def test_a_duels_pairs_are_voted_on(vote, pipe):
    given = {"score": lambda s: s.settings.steps, "pipe": pipe, "store": False, **SMALL}
    found = sdnb.duel({"steps": 1}, {"steps": 2}, "a fox", range(2), **given)
    voting = sdnb.vote(found, store=False)
    assert voting.ballot.pairs == found.pairs
    voting.close()
    with pytest.raises(TypeError, match="has its pairs already"):
        sdnb.vote(found, {"steps": 2})
    with pytest.raises(TypeError, match="one side only"):
        sdnb.vote({"steps": 2})


def test_it_says_when_it_is_decided_but_not_how(vote):
    voting = vote(seeds=range(10))
    for n in range(8):
        assert said(voting) != "It is decided: you may stop, and see the result.", n
        voting._view.buttons["left" if steps_on_the_left(voting) == 1 else "right"].click()
    assert said(voting) == "It is decided: you may stop, and see the result."


def test_where_nobody_can_click_it_is_a_sentence(pipe):
    voting = sdnb.vote({"steps": 1}, {"steps": 2}, "a fox", [1], pipe=pipe, store=False, **SMALL)
    assert voting._repr_mimebundle_() == {
        "text/plain": "Vote(1 step against 2 steps: 0 of 1 pairs), without anybody to vote here"
    }
