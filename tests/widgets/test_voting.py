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


# ---------------------------------------------------------------- in the panel


@pytest.fixture
def panel(pipe, tmp_path, monkeypatch):
    """A panel that is to compare one step with two, in pairs of its own store."""
    monkeypatch.setattr(frontend, "shows_widgets", lambda: True)
    monkeypatch.setattr(voting_view, "SOON", 0)
    made = sdnb.panel("a fox", pipe=pipe, seed=5, store=tmp_path / "store", **SMALL)._controller
    made.modes.axis.value, made.modes.among.value, made.modes.pairs.value = "steps", "1, 2", 3
    yield made
    made.close()
    assert made.jobs.wait(60)


def voted(panel):
    """The vote that stands in the panel after a press."""
    panel.modes.vote.click()
    assert panel.jobs.wait(60)
    return panel.output.voting


def heard(panel):
    return unescape(re.sub("<[^>]*>", "", panel.output.said.value))


def test_the_panel_votes_on_two_values_as_a_cell_does_and_tells_neither(panel, pipe, tmp_path):
    view = voted(panel)
    assert panel.output.vote.children == (view.box,)
    assert panel.output.picture.layout.display == "none"
    assert not panel.history.samples
    ballot = view.ballot
    assert ballot.sides == ("1 step", "2 steps")
    assert len(ballot) == 3
    assert [pair.name for pair in ballot.pairs] == ["seed 5", "seed 6", "seed 7"]
    alone = sdnb.generate("a fox", steps=1, seed=6, pipe=pipe, store=False, **SMALL)
    assert np.array_equal(np.asarray(ballot.pairs[1].a.image), np.asarray(alone.image))
    view.buttons["left"].click()
    cell = sdnb.vote(
        {"steps": 1}, {"steps": 2}, "a fox", range(5, 8), pipe=pipe, store=tmp_path / "store",
        **SMALL,
    )  # fmt: skip
    assert cell.ballot.voted == 1
    cell.close()


def test_a_prompt_that_is_one_word_stands_in_the_cell_whatever_the_word(panel):
    panel.controls.prompt.value = "usual"
    voted(panel)
    assert "'usual', seeds=range(5, 8)" in unescape(
        re.sub("<[^>]*>", "", panel.output.unfold.value)
    )


def test_a_vote_in_the_panel_shows_no_preview(panel, monkeypatch):
    monkeypatch.setattr("sdnb.widgets.progress.EVERY", 0)
    frames = []
    panel.output.picture.observe(frames.append, "value")
    panel.modes.among.value = "4, 6"
    assert voted(panel) is not None
    assert not frames


def test_the_votes_cell_opens_the_same_vote(panel, pipe, tmp_path, monkeypatch):
    ballot = voted(panel).ballot
    code = unescape(re.sub("<[^>]*>", "", panel.output.unfold.value))
    code = code[code.index("import sdnb") :]
    monkeypatch.setenv("SDNB_STORE", str(tmp_path / "store"))
    names = {}
    exec(code.replace("sdnb.vote(", "again = sdnb.vote("), names)
    again = names["again"]
    assert again.ballot.sides == ballot.sides
    for one, other in zip(again.ballot.pairs, ballot.pairs, strict=True):
        assert np.array_equal(np.asarray(one.b.image), np.asarray(other.b.image))
    again.close()


def test_a_picture_that_is_gone_back_to_takes_the_votes_place(panel):
    voted(panel)
    panel.modes.count.value, panel.controls.steps.value = 1, 1
    panel.modes.make.click()
    assert panel.jobs.wait(60)
    assert not panel.output.vote.children
    assert panel.output.picture.layout.display is None
    made = panel.output.picture.value
    voted(panel)
    panel.output.begin()  # the next press, before it has anything to show
    assert not panel.output.vote.children
    assert panel.output.picture.layout.display is None
    assert panel.output.picture.value == made


def seen_steps(panel):
    """Of the thumbnails that are shown: the steps."""
    thumbs = zip(panel.history.samples, panel.history.box.children, strict=True)
    return [made.settings.steps for made, thumb in thumbs if thumb.layout.display != "none"]


def test_the_history_hides_what_is_voted_on_until_the_vote_is_over(panel, pipe, tmp_path):
    panel.modes.among.value = "1, 3"
    panel.compare()  # the first pair's picture of one step, and one that is not voted on
    assert panel.jobs.wait(60)
    panel.modes.among.value = "1, 2"
    assert voted(panel) is not None
    assert seen_steps(panel) == [3]
    panel.generate()
    assert panel.jobs.wait(60)
    assert sorted(seen_steps(panel)) == [1, 3, panel.controls.steps.value]
    # another panel begins with what the store has, the pairs too
    other = sdnb.panel("a fox", pipe=pipe, seed=5, store=tmp_path / "store", **SMALL)._controller
    assert 2 in seen_steps(other)
    other.modes.axis.value, other.modes.among.value, other.modes.pairs.value = "steps", "1, 2", 3
    assert voted(other) is not None
    assert not {1, 2} & set(seen_steps(other))
    other.close()
    assert other.jobs.wait(60)


def test_a_control_that_is_changed_shows_none_of_the_pictures_that_are_voted_on(panel):
    view = voted(panel)
    panel.controls.steps.value = 1  # the store has it: the first pair's
    assert panel.output.voting is view
    assert panel.output.vote.children == (view.box,)
    assert panel.output.shown is None


def test_undo_in_the_panel_brings_the_pair_back_as_it_stood(panel):
    view = voted(panel)
    left = view.left.value
    view.buttons["left"].click()
    assert view.left.value != left
    view.buttons["undo"].click()
    assert view.left.value == left
    assert view.ballot.voted == 0


def test_on_colab_the_press_itself_makes_the_pairs(pipe, tmp_path, monkeypatch):
    monkeypatch.setattr(frontend, "in_colab", lambda: True)
    monkeypatch.setattr(frontend, "shows_widgets", lambda: True)
    panel = sdnb.panel("a fox", pipe=pipe, seed=5, store=tmp_path / "store", **SMALL)._controller
    panel.modes.axis.value, panel.modes.among.value, panel.modes.pairs.value = "steps", "1, 2", 2
    panel.modes.vote.click()
    assert len(panel.output.voting.ballot) == 2
    panel.close()


@pytest.mark.parametrize(
    ("axis", "text", "sentence"),
    [
        ("steps", "1, 2, 3", "A vote is between two values: write two, not 3."),
        ("steps", "2", "A vote is between two values: write two, not 1."),
        ("steps", "2, 2", "Both sides come to the same settings"),
        ("seed", "1, 2", "Two pictures of a pair share their seed"),
        ("strength", "0.2, 0.4", "choose a picture to start from"),
        ("guidance", "0.2, 0.4", "Guidance is off at 1 and below"),
    ],
)
def test_what_cannot_be_voted_on_is_said_in_words(panel, axis, text, sentence):
    panel.modes.axis.value = axis
    panel.modes.among.value = text
    assert voted(panel) is None
    assert sentence in heard(panel)


def test_a_vote_that_is_stopped_shows_none_of_its_pictures_and_goes_on_later(panel, monkeypatch):
    stop = panel.stop
    calls = []
    busy = panel.output.busy

    def told(done, *more):
        busy(done, *more)
        if done > 7 and not calls:  # the three pictures of one step are finished
            calls.append(done)
            stop()

    monkeypatch.setattr(panel.output, "busy", told)
    monkeypatch.setattr("sdnb.widgets.progress.EVERY", 0)
    panel.modes.among.value = "1, 4"
    assert voted(panel) is None
    assert heard(panel).startswith("Stopped after")
    assert panel.output.shown is None
    assert not panel.history.samples
    assert len(voted(panel).ballot) == 3


def test_where_nobody_can_click_it_is_a_sentence(pipe):
    voting = sdnb.vote({"steps": 1}, {"steps": 2}, "a fox", [1], pipe=pipe, store=False, **SMALL)
    assert voting._repr_mimebundle_() == {
        "text/plain": "Vote(1 step against 2 steps: 0 of 1 pairs), without anybody to vote here"
    }
