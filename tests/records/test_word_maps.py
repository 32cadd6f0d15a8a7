"""Grids of word effects and of attention maps: which map stands where, and in which colours."""

import numpy as np
import pytest
from PIL import Image

from sdnb.display import heat
from sdnb.records import attention, word_effects
from sdnb.records.attention import Attention
from sdnb.records.sample import Sample
from sdnb.records.word_effects import WordEffects
from sdnb.settings import Settings

FACTS = {"model": "toy"}
PROMPT = "a red fox"


def sample(prompt, left=0, right=0):
    """A picture of two halves."""
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:, :32], pixels[:, 32:] = left, right
    return Sample(Image.fromarray(pixels), Settings(prompt, seed=1, steps=2), FACTS)


@pytest.fixture
def grid(monkeypatch):
    """What `grid` lays out: the pictures as they are drawn, their labels, the footer."""
    seen = {}

    def image_grid(images, **options):
        seen.update(options, images=images)
        return Image.new("RGB", (8, 8))

    for module in (word_effects, attention):
        monkeypatch.setattr(module, "image_grid", image_grid)
        monkeypatch.setattr(module, "enlarged", lambda images: images)
    return seen


@pytest.fixture
def effects():
    """Without "red" the right half changes by 40, without "fox" the left one by 200."""
    without = [sample("a fox", right=40), sample("a red", left=200)]
    return WordEffects.of([sample(PROMPT), *without], ["red", "fox"], "made one by one")


def test_each_words_map_stands_below_its_picture_and_all_share_one_scale(effects, grid):
    effects.grid()
    pictures, maps = grid["images"][:3], grid["images"][3:]
    assert [np.asarray(each)[0, 0, 0] for each in pictures] == [0, 200, 0]
    most = max(effect.map.max() for effect in effects)
    for shown, effect in zip(maps[1:], effects, strict=True):
        assert shown == heat.overlay(effects.whole.image, effect.map, 0, most)
    # yellow is the most of all: of fox at the left; red changes a fifth as much, at the right
    (fox, red) = (np.asarray(each, int) for each in maps[1:])
    assert fox[32, 4, 0] > red[32, 60, 0] + 50
    assert red[32, 60, 0] > red[32, 4, 0]
    mean = np.mean([effect.map for effect in effects], axis=0)
    assert maps[0] == heat.overlay(effects.whole.image, mean, 0, most)


def test_labels_name_the_word_above_and_its_change_below_and_the_note_stands_under_all(
    effects, grid
):
    effects.grid()
    assert grid["labels"] == [
        "whole prompt", "without “fox”", "without “red”",
        "mean of all", "100.0 of 255", "20.0 of 255",
    ]  # fmt: skip
    assert grid["footer"] == "toy · made one by one"
    assert effects.sheet.note == "made one by one"


def test_a_row_of_the_table_is_that_of_the_picture_without_its_word(effects):
    rows = effects.table()
    assert [(row["word"], row["prompt"]) for row in rows] == [("fox", "a red"), ("red", "a fox")]


def test_attention_stands_in_the_order_of_the_words_each_map_in_all_colours(grid):
    shares = np.zeros((2, 2, 2, 2), np.float32)  # calls, words, rows, columns
    shares[:, 0, :, 0] = 0.012  # red: left, and little less at the right
    shares[:, 0, :, 1] = 0.01
    shares[0, 1, 1, :] = 0.2  # fox: below, in the first call
    shares[1, 1, 1, :] = 0.6
    seen = Attention(sample(PROMPT), ["red", "fox"], shares)
    seen.grid()
    assert grid["labels"] == ["the picture", "red\n1.0 to 1.2 %", "fox\n0.0 to 40.0 %"]
    red, fox = (np.asarray(each, int)[:, :, 0] for each in grid["images"][1:])
    assert red[32, 4] > red[32, 60] + 100
    assert fox[60, 32] > fox[4, 32] + 100
    assert abs(red.max() - fox.max()) <= 1  # each from its own least to its own most
