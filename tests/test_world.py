"""The world that the embedded model is trained on: its scenes, sentences and what is held out."""

import re
from itertools import combinations, islice
from random import Random

import pytest

from training import world

SCENES = list(islice(world.scenes(seed=1), 3000))
HELD = list(islice(world.scenes(seed=1, held=True), 300))


def cells(item):
    return {(item.x + i, item.y + j) for i in range(item.side) for j in range(item.side)}


def test_everything_lies_on_the_grid_and_only_riders_overlap():
    grid = {(x, y) for x in range(world.CELLS) for y in range(world.CELLS)}
    for scene in SCENES:
        assert all(cells(item) <= grid for item in scene.items)
        if scene.arrangement != "riding":
            assert all(not cells(a) & cells(b) for a, b in combinations(scene.items, 2))


def test_a_scene_shows_what_its_kinds_say():
    for scene in SCENES:
        names = [item.name for item in scene.items]
        assert {name: names.count(name) for name in names} == dict(scene.kinds)


def test_the_first_kind_is_left_of_or_above_the_second():
    for scene in SCENES:
        if len(scene.kinds) == 2:
            axis = "x" if scene.arrangement in ("beside", "columns") else "y"
            (a, _), (b, _) = scene.kinds
            first = [getattr(i, axis) for i in scene.items if i.name == a]
            second = [getattr(i, axis) for i in scene.items if i.name == b]
            assert max(first) < min(second)


def test_training_never_shows_what_is_held_out_in_whatever_words():
    shown = {(s.arrangement, *(n for n, _ in s.kinds)) for s in SCENES if len(s.items) == 2}
    held = {(s.arrangement, *(n for n, _ in s.kinds)) for s in HELD if len(s.items) == 2}
    assert not shown & held
    counts = {k for s in SCENES for k in s.kinds if k[1] > 1}
    held_counts = {s.kinds[0] for s in HELD if s.arrangement == "count"}
    assert held
    assert held_counts
    assert not counts & held_counts


def test_about_15_percent_of_the_combinations_are_held_out():
    pairs = [("beside", a, b) for a in world.NAMES for b in world.NAMES if a != b]
    share = sum(world.held_out(*p) for p in pairs) / len(pairs)
    assert 0.13 < share < 0.17


def test_every_word_of_a_sentence_is_in_the_word_list_but_those_made_to_be_unknown():
    known = set(world.vocabulary())
    for scene in SCENES:
        text = re.sub(r"(, \w+ style| by \w+)$", "", scene.caption)
        assert set(text.replace(",", " ").split()) <= known, text


@pytest.mark.parametrize(
    ("arrangement", "kinds", "text"),
    [
        ("single", [("owl", 1)], "an owl on a blue background"),
        ("count", [("fox", 2)], "two foxes on a blue background"),
        ("beside", [("cat", 1), ("dog", 1)], "a cat to the left of a dog on a blue background"),
        ("riding", [("robot", 1), ("horse", 1)], "a robot riding a horse on a blue background"),
        (
            "rows",
            [("red square", 2), ("blue circle", 3)],
            "two red squares and three blue circles on a blue background",
        ),
    ],
)  # fmt: skip
def test_plain_sentences_are_the_issues(arrangement, kinds, text):
    scene = world.Scene((), tuple(kinds), arrangement, "blue", world.BACKGROUNDS["blue"])
    assert world.sentence(Random(0), scene, plain=True) == text


def test_the_world_has_the_objects_that_were_asked_for():
    must = """
        cat dog horse fox lion tiger bear panda rabbit pig cow elephant monkey penguin owl duck
        fish whale octopus turtle snake butterfly banana grapes strawberry lemon watermelon
        carrot mushroom rose tulip cactus rocket bicycle bus automobile tractor guitar violin
        trumpet crown key robot astronaut rainbow
    """
    assert set(must.split()) <= set(world.OBJECTS)
    assert len(world.OBJECTS) >= 80
    assert len(world.SHAPES) == 18


def test_without_raqm_no_joined_emoji_is_drawn_as_half_of_itself(monkeypatch):
    monkeypatch.setattr(world.features, "check", lambda name: name != "raqm")
    with pytest.raises(RuntimeError, match=r"only with Raqm: .*libfribidi0"):
        world.sprite.__wrapped__("astronaut", 16)
