"""Counting by colour, on drawn pictures whose truth is known."""

from random import Random

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from sdnb import counting


def drawn(color, spots, side, size=128, paper="white"):
    """Squares and circles in turn, their upper left corners at these spots."""
    image = Image.new("RGB", (size, size), paper)
    pen = ImageDraw.Draw(image)
    for i, (x, y) in enumerate(spots):
        draw = pen.ellipse if i % 2 else pen.rectangle
        draw((x, y, x + side - 1, y + side - 1), fill=color)
    return image


@pytest.mark.parametrize("paper", ["white", "black", "pink", "gray"])
@pytest.mark.parametrize("color", counting.HUES)
def test_every_number_of_every_colour_is_counted_on_every_paper(color, paper):
    places = [(4, 4), (70, 8), (10, 70), (80, 80)]
    for number in range(5):
        image = drawn(color, places[:number], 40, paper=paper)
        assert len(counting.patches(image, color)) == number
        others = set(counting.HUES) - {color}
        assert not any(counting.patches(image, other) for other in others)


@pytest.mark.parametrize("scale", [1, 4])
def test_what_stands_close_is_told_apart_also_where_the_picture_is_soft_and_noisy(scale):
    """Two pixels of 128 between them, as in the embedded model's pictures; also at 512."""
    spots = [(1, 1), (65, 1), (1, 65), (65, 65)]
    image = drawn("red", [(x * scale, y * scale) for x, y in spots], 62 * scale, 128 * scale)
    assert len(counting.patches(image, "red")) == 4
    soft = image.filter(ImageFilter.GaussianBlur(0.7 * scale))
    noise = np.random.default_rng(0).normal(0, 6, (128 * scale, 128 * scale, 3))
    noisy = Image.fromarray((np.asarray(soft) + noise).clip(0, 255).astype(np.uint8))
    assert len(counting.patches(noisy, "red")) == 4


@pytest.mark.parametrize(("thick", "count"), [(2, 2), (8, 1)])
@pytest.mark.parametrize("scale", [1, 4])
def test_a_thin_bridge_does_not_join_two_and_a_thick_one_does(scale, thick, count):
    image = drawn("red", [(0, 40 * scale), (80 * scale, 40 * scale)], 48 * scale, 128 * scale)
    box = (0, 64 * scale, 127 * scale, (64 + thick) * scale - 1)
    ImageDraw.Draw(image).rectangle(box, fill="red")
    assert len(counting.patches(image, "red")) == count


def test_what_overlaps_is_one():
    assert len(counting.patches(drawn("blue", [(20, 20), (40, 30)], 40), "blue")) == 1


def test_patches_know_where_they_are():
    image = drawn("green", [(0, 64), (96, 0)], 32)
    left, right = counting.patches(image, "green")
    assert (left.x, left.y, left.area) == (0.125, 0.625, 1 / 16)
    assert right.x == pytest.approx(0.875, abs=0.01)
    assert right.y == pytest.approx(0.125, abs=0.01)


def test_the_middle_of_a_wide_picture_is_counted_in_its_own_width():
    image = Image.new("RGB", (200, 100), "white")
    ImageDraw.Draw(image).rectangle((100, 0, 199, 49), fill="red")
    [patch] = counting.patches(image, "red")
    assert (patch.x, patch.y, patch.area) == (0.75, 0.25, 0.25)


def test_specks_are_not_counted():
    image = drawn("red", [(10, 10)], 40)
    ImageDraw.Draw(image).rectangle((100, 100, 106, 106), fill="red")
    assert len(counting.patches(image, "red")) == 1


def test_random_scenes_of_two_colours_are_counted_and_placed_right():
    rng = Random(5)
    for _ in range(40):
        lefts, rights = rng.randint(0, 4), rng.randint(0, 4)
        image = drawn("red", [(0, 32 * i) for i in range(lefts)], 30)
        pen = ImageDraw.Draw(image)
        for i in range(rights):
            pen.ellipse((70, 32 * i, 98, 32 * i + 28), fill="blue")
        red, blue = (counting.patches(image, color) for color in ("red", "blue"))
        assert (len(red), len(blue)) == (lefts, rights)
        assert all(a.x < b.x for a in red for b in blue)


def test_an_unknown_colour_is_named_with_those_that_are_there():
    with pytest.raises(ValueError, match="no colour 'mauve' here: give one of red, orange"):
        counting.patches(Image.new("RGB", (8, 8)), "mauve")


@pytest.mark.parametrize(("right", "total"), [(0, 10), (7, 10), (10, 10), (30, 40)])
def test_the_interval_is_wilsons(right, total):
    """His formula, written out: https://en.wikipedia.org/wiki/Binomial_proportion_confidence_interval"""
    z, p = 1.959964, right / total
    middle = (p + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * (p * (1 - p) / total + z * z / (4 * total**2)) ** 0.5
    expected = pytest.approx((middle - half, middle + half), abs=1e-6)
    assert counting.interval(right, total) == expected


@pytest.mark.parametrize(("right", "total"), [(3, 2), (-1, 2), (0, 0)])
def test_more_right_ones_than_there_are_is_an_error(right, total):
    with pytest.raises(ValueError, match=f"{right} right of {total}"):
        counting.interval(right, total)
