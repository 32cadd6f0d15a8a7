"""sdnb.words: what a word changes, against pictures that are made one by one."""

import math
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import sdnb
from sdnb.models.capabilities import Capabilities
from sdnb.records.word_effects import WordEffects
from sdnb.studies import which_word
from tests.support import toys
from tests.support.denoiser_calls import watched

QUICK = {"steps": 4, "seed": 3, "scheduler": "DPM++ 2M", "guidance": 4, "store": False}


@pytest.fixture(scope="module")
def emoji():
    return sdnb.load("emoji", device="cpu")


@pytest.fixture(scope="module")
def effects(emoji):
    prompt = "a dog to the left of a cat on a blue background"
    return sdnb.words(prompt, ["cat", "on a blue background"], pipe=emoji, **QUICK)


def test_each_picture_is_the_one_that_the_prompt_without_the_word_gives(effects, emoji):
    cat = sdnb.generate("a dog to the left of a on a blue background", pipe=emoji, **QUICK)
    made = effects["cat"].sample
    assert made.settings == cat.settings
    assert np.abs(np.asarray(made.image, int) - np.asarray(cat.image, int)).max() <= 1
    whole = np.asarray(effects.whole.image, float)
    expected = np.abs(whole - np.asarray(made.image, float)).mean()
    assert effects["cat"].change == pytest.approx(expected)


def test_the_word_that_changes_most_comes_first(effects):
    assert effects.words == ["on a blue background", "cat"]
    assert effects[0].change > 3 * effects[1].change
    assert effects.plot().axes[0].get_yticklabels()[0].get_text() == "on a blue background"


def test_the_map_shows_where(effects):
    """The cat stands at the right: the left half has next to none of its change."""
    left, right = np.split(effects["cat"].map, 2, axis=1)
    assert effects["cat"].map.shape == (128, 128)
    assert right.mean() > 4 * left.mean()


def test_all_pictures_share_the_denoiser_calls(emoji):
    calls = []
    with watched(emoji, after=lambda answers: calls.append(len(answers))):
        sdnb.words("a red fox", pipe=emoji, **{**QUICK, "steps": 2})
    assert calls == [4, 4]


@pytest.mark.parametrize("family", toys.FAMILIES)
def test_every_family_takes_it(family, tmp_path):
    pipe = sdnb.load(toys.saved(family, tmp_path))
    found = sdnb.words("a red fox", pipe=pipe, steps=2, seed=1, width=64, height=64, store=False)
    assert sorted(found.words) == ["a", "fox", "red"]
    assert all(effect.change > 0 for effect in found)


def test_from_a_picture_the_last_word_can_go(emoji, effects):
    found = sdnb.words(
        "fox", image=effects.whole, strength=0.5, pipe=emoji, **{**QUICK, "steps": 6}
    )
    assert found["fox"].sample.settings.prompt == ""
    assert found.whole.facts["start"]


def test_what_is_saved_carries_all_settings(effects, tmp_path):
    file = effects.save(tmp_path / "words.png")
    records = sdnb.metadata.read(file)[1]
    assert [settings.prompt for settings, _ in records] == [
        effects.whole.settings.prompt, "a dog to the left of a cat",
        "a dog to the left of a on a blue background",
    ]  # fmt: skip
    assert [row["word"] for row in effects.table()] == effects.words
    assert effects.sheet.col_labels[2] == "without “cat”"


def test_a_failed_or_blackened_picture_has_no_change(effects):
    black = sdnb.Sample(Image.new("RGB", (128, 128)), effects.whole.settings, {"flagged": True})
    found = WordEffects.of([effects.whole, black, effects["cat"].sample], ["bad", "cat"])
    assert found.words == ["cat", "bad"]
    assert math.isnan(found["bad"].change)
    assert found.grid().width > 128
    assert len(found.plot().axes[0].patches) == 1


@pytest.mark.parametrize(
    ("prompt", "options", "says"),
    [
        ("fox", {}, "Without 'fox' nothing is left"),
        ("", {}, "The prompt is empty"),
        (" . ", {}, "There is no word in the prompt"),
        ("a fox", {"words": ["dog"]}, "'dog' is not in the prompt"),
        ("a fox", {"steps": 0}, "steps is 0"),
    ],
)
def test_bad_input_gets_a_sentence(prompt, options, says, emoji):
    with pytest.raises(ValueError, match=says):
        sdnb.words(prompt, pipe=emoji, **{**QUICK, **options})


def test_a_blackened_picture_of_the_whole_prompt_is_no_measure(emoji, monkeypatch):
    monkeypatch.setattr(which_word, "why_black", lambda facts: ["blackened by the checker"])
    with pytest.raises(ValueError, match="no picture to compare with: blackened by the checker"):
        sdnb.words("a fox", pipe=emoji, **{**QUICK, "steps": 1})


def test_compels_brackets_are_left_out_as_a_whole(emoji):
    pytest.importorskip("compel")
    options = {**QUICK, "steps": 1, "prompt_syntax": "compel"}
    found = sdnb.words("a (red fox)1.3", pipe=emoji, **options)
    assert {effect.sample.settings.prompt for effect in found} == {"a", "(red fox)1.3"}


def test_a_word_that_is_not_there_is_named(effects):
    with pytest.raises(KeyError, match="none of the words on a blue background, cat"):
        effects["dog"]


def test_what_the_sheet_notes_is_said(emoji, monkeypatch):
    can = Capabilities.of(emoji)
    monkeypatch.setattr(Capabilities, "of", lambda pipe: replace(can, alone="a reason"))
    found = sdnb.words("a fox", pipe=emoji, **{**QUICK, "steps": 1})
    assert found.note == "made one by one: a reason"
