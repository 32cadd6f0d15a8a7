"""The world that the embedded model is to be trained on: pictures are what their sentences say."""

import re
from dataclasses import replace
from itertools import combinations, islice
from random import Random

import numpy as np
import pytest

from sdnb.prompts import ARTICLE
from training import world
from training.world import objects, places, scene, sentences, styles, text_scenes

PHOTO = {"style": "photograph"}


@pytest.fixture(scope="module", autouse=True)
def few_paintings(tmp_path_factory):
    """Two paintings of each place and light, in a folder of their own."""
    before = places.VARIANTS, places.FOLDER
    places.VARIANTS, places.FOLDER = 2, tmp_path_factory.mktemp("places")
    yield
    places.VARIANTS, places.FOLDER = before


@pytest.fixture(scope="module")
def scenes(few_paintings):
    return list(islice(world.scenes(seed=1), 500))


@pytest.fixture(scope="module")
def held(few_paintings):
    return list(islice(world.scenes(seed=1, held=True), 150))


def pixels(scene):
    return np.asarray(world.render(scene)).astype(float)


# ---------------------------------------------------------------- what stands where


def test_a_scene_holds_what_its_sentence_means(scenes):
    for each in scenes:
        names = [item.name for item in each.items]
        assert {name: names.count(name) for name in names} == dict(each.kinds)


def test_everything_is_inside_the_picture(scenes):
    for each in scenes:
        for item in each.items:
            assert scene.inside(item, margin=-item.height * 0.1), (each.caption, item)


def test_counted_things_hardly_overlap(scenes):
    from training.world.layouts import overlap

    for each in scenes:
        if each.arrangement in ("count", "rows", "columns", "corner"):
            assert all(overlap(a, b) < 0.1 for a, b in combinations(each.items, 2)), each.caption


@pytest.mark.parametrize(
    ("arrangements", "axis"), [({"beside", "columns", "corner"}, 0), ({"above", "rows"}, 1)]
)
def test_the_first_kind_is_left_of_or_above_the_second(scenes, arrangements, axis):
    some = [s for s in scenes if s.arrangement in arrangements]
    assert len(some) > 25
    for each in some:
        (a, _), (b, _) = each.kinds
        first = [item.middle[axis] for item in each.items if item.name == a]
        second = [item.middle[axis] for item in each.items if item.name == b]
        assert max(first) < min(second), each.caption


def test_riders_sit_on_their_mounts_and_hats_on_heads(scenes):
    some = [s for s in scenes if s.arrangement in ("riding", "wearing", "pilot")]
    assert len(some) > 25
    for each in some:
        below, upper = each.items
        left, top, right, bottom = below.box
        assert left < upper.x < right, each.caption
        assert top - upper.height < upper.y < bottom, each.caption
        if each.arrangement == "riding":
            assert upper.middle[1] < below.middle[1], each.caption


def test_nothing_is_left_to_a_grid(scenes):
    singles = [s.items[0] for s in scenes if s.arrangement == "single"]
    assert len({round(item.x) for item in singles}) > 0.5 * len(singles)
    sizes = [item.height for item in singles]
    assert max(sizes) > 3 * min(sizes)
    assert 0.2 < np.mean([item.mirrored for item in singles]) < 0.6  # shapes never are


# ---------------------------------------------------------------- what one sees


def test_taking_an_object_away_changes_the_picture_where_it_is_said_to_be(few_paintings):
    checked = 0
    mix = {"single": 1, "count": 1, "beside": 1, "riding": 1}
    for each in islice(world.scenes(4, mix, **PHOTO), 30):
        item = each.items[-1]  # nothing is before it
        if item.pose == "afloat" or item.name == "cloud":
            continue
        whole = pixels(each)
        without = pixels(replace(each, items=each.items[:-1]))
        changed = np.abs(whole - without).max(-1) > 6
        there = world.outline(item)
        # snow and grass before it are drawn by chance, and white on white is not seen
        assert changed[there].mean() > 0.6, each.caption
        left, top, right, bottom = item.box
        far = np.ones_like(there)
        reach = item.width * 0.3 + 6
        far[
            max(0, int(top) - 4) : int(bottom + item.width * 0.3 + 6),
            max(0, int(left - reach)) : int(right + reach),
        ] = False
        if each.place != "snow":
            assert changed[far].mean() < 0.02, each.caption
        checked += 1
    assert checked > 20


def test_shapes_have_the_colour_and_the_number_that_the_sentence_says(few_paintings):
    from scipy.ndimage import label

    known = np.array(list(world.COLORS.values()), float)
    names = list(world.COLORS)
    for color in names:
        ground = "black background" if color != "black" else "pink background"
        for form in ("square", "circle"):
            rng = Random(f"{color} {form}")
            n = rng.choice((2, 3, 4))
            drawn = world.draw(rng, "count", ((f"{color} {form}", n),), place=ground, **PHOTO)
            picture = pixels(drawn)
            for item in drawn.items:
                x, y = map(int, item.middle)
                seen = picture[y - 3 : y + 4, x - 3 : x + 4].mean((0, 1))
                assert names[np.abs(known - seen).sum(1).argmin()] == color
            like = np.abs(picture - known[names.index(color)]).max(-1) < 30
            parts, _ = label(like)
            smallest = min(item.width * item.height for item in drawn.items)
            assert sum(np.bincount(parts.ravel())[1:] > 0.5 * smallest) == n, drawn.caption


def test_places_are_told_apart_by_their_pixels(few_paintings):
    def look(place, variant):
        light = places.lights(place)[0]
        picture, _ = places.backdrop(place, light, variant, 16, 16, False)
        return picture.reshape(8, 32, 8, 32, 3).mean((1, 3)).ravel()

    first = {place: look(place, 0) for place in world.PLACES + world.PLAIN}
    right = 0
    for place in first:
        again = look(place, 1)
        right += min(first, key=lambda other: np.abs(first[other] - again).mean()) == place
    assert right >= 0.75 * len(first)


def test_two_paintings_of_a_place_are_different(few_paintings):
    for place in world.PLACES:
        light = places.lights(place)[0]
        a, b = (places.backdrop(place, light, v, 16, 16, False)[0] for v in (0, 1))
        assert np.abs(a.astype(float) - b).mean() > 8, place


def test_it_is_darkest_at_night_and_reddest_at_sunset(few_paintings):
    for place in ("meadow", "sea", "beach", "desert", "mountains", "city", "snow"):
        seen = {
            light: places.backdrop(place, light, 0, 16, 16, False)[0].mean((0, 1))
            for light in world.LIGHTS
        }
        assert seen["night"].sum() < 0.6 * seen["day"].sum(), place
        assert seen["sunset"][0] / seen["sunset"][2] > 1.2 * seen["day"][0] / seen["day"][2], place


def test_each_style_leaves_its_mark(few_paintings):
    each = next(world.scenes(8, {"beside": 1}, place="meadow", light="day", **PHOTO))
    seen = {style: pixels(replace(each, style=style)) for style in world.STYLES}
    for a, b in combinations(world.STYLES, 2):
        assert np.abs(seen[a] - seen[b]).mean() > 8, (a, b)
    grey = seen["black and white photograph"]
    assert (grey[..., 0] == grey[..., 2]).all()
    assert seen["film still"][:20].mean() < 15
    assert seen["pencil drawing"].mean() > 140
    blocks = seen["pixel art"]
    assert len(np.unique(blocks.reshape(-1, 3), axis=0)) <= 24
    poster = seen["propaganda poster"]
    assert poster[2:6].mean((0, 1))[0] > 2 * poster[2:6].mean((0, 1))[2]
    red, green, blue = seen["synthwave style"].mean((0, 1))
    assert green < 0.8 * min(red, blue)


def test_the_map_says_where_the_objects_are(few_paintings):
    each = next(world.scenes(3, {"beside": 1}, place="meadow", **PHOTO))
    cells = world.object_map(each)
    for item in each.items:
        y, x = np.nonzero(cells == 1 + world.NAMES.index(item.name))
        assert abs(16 * x.mean() + 8 - item.middle[0]) < 24
        assert abs(16 * y.mean() + 8 - item.middle[1]) < 24
    assert (cells == 0).any()


def test_a_scene_is_drawn_the_same_again(few_paintings):
    for each in islice(world.scenes(12), 12):
        assert (pixels(each) == pixels(each)).all()
    a, b = (list(islice(world.scenes(5), 20)) for _ in range(2))
    assert a == b


# ---------------------------------------------------------------- what is kept back


def test_training_never_shows_what_is_held_out_in_whatever_words(scenes, held):
    def pairs(some):
        return {
            (s.arrangement, *(n for n, _ in s.kinds)) for s in some if s.arrangement in scene.PAIRED
        }

    def counts(some):
        return {s.kinds[0] for s in some if s.arrangement == "count"}

    assert pairs(held)
    assert not pairs(scenes) & pairs(held)
    assert counts(held)
    assert not counts(scenes) & counts(held)


def test_about_15_percent_of_the_combinations_are_held_out():
    some = [("beside", a, b) for a in world.OBJECTS for b in world.OBJECTS if a != b]
    share = sum(world.held_out(*pair) for pair in some) / len(some)
    assert 0.13 < share < 0.17


# ---------------------------------------------------------------- sentences


def test_every_word_is_in_the_word_list_but_those_made_to_be_unknown(scenes):
    known = set(world.vocabulary())
    for each in scenes:
        text = re.sub(r"(, \w+ style| by \w+)$", "", each.caption)
        assert set(re.sub("[,-]", " ", text).split()) <= known, text


@pytest.mark.parametrize(
    ("arrangement", "kinds", "place", "light", "style", "text"),
    [
        ("single", [("owl", 1)], "blue background", "", "", "an owl on a blue background"),
        ("single", [("fox", 1)], "snow", "", "", "a fox in the snow"),
        ("single", [("robot", 1)], "moon", "", "film still", "a film still of a robot on the moon"),
        ("count", [("fox", 2)], "city", "night", "", "two foxes in the city at night"),
        ("beside", [("cat", 1), ("dog", 1)], "", "", "", "a cat to the left of a dog"),
        ("riding", [("robot", 1), ("horse", 1)], "sea", "sunset", "",
         "a robot riding a horse in the sea at sunset"),
        ("rows", [("red square", 2), ("blue ball", 3)], "", "", "",
         "two red squares above three blue balls"),
    ],
)  # fmt: skip
def test_plain_sentences(arrangement, kinds, place, light, style, text):
    given = {"place": place, "light": light, "style": style}
    drawn = world.draw(Random(0), arrangement, tuple(kinds), **given)
    drawn = replace(drawn, said=frozenset(key for key, value in given.items() if value))
    assert world.sentence(Random(0), drawn, plain=True) == text


@pytest.mark.parametrize("prompt", ARTICLE)
def test_the_articles_prompts_are_sentences_of_the_world(prompt, few_paintings):
    rng = Random(0)
    drawn = text_scenes.article(rng, prompt)
    said = {world.sentence(rng, drawn) for _ in range(6000)}
    assert prompt.lower() in {text.lower() for text in said}


def test_the_world_has_the_objects_that_were_asked_for():
    must = """
        cat dog horse fox lion tiger bear panda rabbit pig cow elephant monkey penguin owl duck
        fish whale octopus turtle snake butterfly banana grapes strawberry lemon watermelon
        carrot mushroom rose tulip cactus rocket bicycle bus automobile tractor guitar violin
        trumpet crown key robot astronaut rainbow castle mountain goggles
    """
    assert {*must.split(), "old man", "chess piece", "border collie"} <= set(world.OBJECTS)
    assert len(world.OBJECTS) >= 100
    assert len(world.SHAPES) == 36
    assert len(world.PLACES) >= 12
    assert len(world.STYLES) > 8


def test_the_artwork_is_here_and_its_licence_beside_it():
    from training.world.figures import FOLDER

    used = {f"{code}.webp" for code in objects.ARTWORK.values()}
    assert {file.name for file in FOLDER.glob("*.webp")} == used
    assert "Permission is hereby granted" in (FOLDER / "LICENSE-FLUENT.txt").read_text()


def test_every_place_light_and_style_has_words():
    assert set(sentences.WHERE) == set(sentences.VIEWS) == set(world.PLACES)
    assert set(sentences.HOW) == set(world.STYLES)
    assert set(styles.FILTERS) | {styles.PLAIN} == set(world.STYLES)


def test_many_boxes_and_a_ufo():
    words = ("red box", "blue cube", "old man", "fox", "alarm clock")
    many = [sentences.plural(word) for word in words]
    assert many == ["red boxes", "blue cubes", "old men", "foxes", "alarm clocks"]
    words = ("ufo", "unicorn", "umbrella", "owl", "horse")
    assert [sentences.with_article(word)[:3] for word in words] == [
        "a u",
        "a u",
        "an ",
        "an ",
        "a h",
    ]
