"""What is drawn beside pictures names no device: a stored output is compared on other machines."""

import numpy as np
import pytest
from PIL import Image

from sdnb import Settings
from sdnb.records.attention import Attention
from sdnb.records.sample import Sample
from sdnb.records.sheet import Sheet
from sdnb.records.word_effects import WordEffects
from sdnb.widgets import html

PLACES = [("float32", "cpu"), ("bfloat16", "cpu"), ("float16", "cuda:0")]


def made(dtype, device):
    facts = {"model": "emoji", "dtype": dtype, "device": device, "denoiser_calls": 25}
    settings = Settings("a fox", "", 24, 7.5, "PNDM", 510)
    return Sample(Image.new("RGB", (64, 64), "orange"), settings, facts)


def words_of(sample):
    return WordEffects.of([sample, sample], ["fox"])


def attention_of(sample):
    return Attention(sample, ["fox"], np.linspace(0, 1, 64).reshape(1, 1, 8, 8))


def drawn(shown):
    """The encoded picture, PNG or, where that is large, JPEG."""
    return next(v for k, v in shown._repr_mimebundle_().items() if k.startswith("image/"))


@pytest.mark.parametrize("place", PLACES[1:])
def test_a_picture_and_a_sheet_are_drawn_alike_whatever_made_them(place):
    here, there = made(*PLACES[0]), made(*place)
    assert drawn(here) == drawn(there)
    assert drawn(Sheet([here] * 2, 1, 2)) == drawn(Sheet([there] * 2, 1, 2))
    for shown in (words_of, attention_of):
        assert drawn(shown(here)) == drawn(shown(there))
    assert place[0] in repr(there)
    assert place[0] in html.caption(there)


def test_a_sheet_of_two_dtypes_tells_which():
    apart = drawn(Sheet([made(*PLACES[0]), made(*PLACES[1])], 1, 2))
    assert apart != drawn(Sheet([made(*PLACES[0])] * 2, 1, 2))
