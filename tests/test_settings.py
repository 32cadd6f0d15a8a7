import dataclasses
import json
import re

import numpy as np
import pytest

from sdnb import Settings


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"prompt": ""}, "The prompt is empty"),
        ({"prompt": " \n"}, "The prompt is empty"),
        ({"steps": 0}, "steps is 0: give a number from 1 to 1000."),
        ({"steps": 1001}, "steps is 1001: give a number from 1 to 1000."),
        ({"guidance": -0.1}, "guidance is -0.1: give 0 or more"),
        ({"guidance": float("nan")}, "guidance is nan: give a finite number."),
        ({"guidance": float("inf")}, "guidance is inf: give a finite number."),
        ({"width": 500}, "width 500 is not a multiple of 8: use 496 or 504."),
        ({"height": 4}, "height 4 is too small: use 8 or more."),
        ({"height": -8}, "height -8 is too small: use 8 or more."),
        ({"seed": -1}, "seed is -1: give a number from 0 to 18446744073709551615."),
        ({"seed": 2**64}, "seed is 18446744073709551616: give a number from 0 to"),
        ({"scheduler": ""}, "scheduler is empty"),
        ({"prompt": "caf\udce9"}, "prompt holds what is no character"),
        ({"strength": 0}, "strength is 0: give over 0 and up to 1."),
        ({"strength": 1.01}, "strength is 1.01: give over 0 and up to 1."),
    ],
)
def test_a_value_out_of_range_gets_a_sentence(changes, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        Settings(**({"prompt": "a fox"} | changes))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"steps": 12.5}, "steps is 12.5: give a whole number."),
        ({"steps": True}, "steps is True: give a whole number."),
        ({"seed": "510"}, "seed is '510': give a whole number."),
        ({"guidance": "7.5"}, "guidance is '7.5': give a number."),
        ({"prompt": 7}, "prompt is 7: give a text."),
        ({"scheduler": 7}, "scheduler is 7: give its name"),
    ],
)
def test_a_value_of_the_wrong_type_gets_a_sentence(changes, sentence):
    with pytest.raises(TypeError, match=re.escape(sentence)):
        Settings(**({"prompt": "a fox"} | changes))


def test_zero_is_a_seed_and_the_largest_seed_is_torchs():
    import torch

    for seed in (0, 2**64 - 1):
        kept = Settings("a fox", seed=seed).seed
        assert torch.Generator("cpu").manual_seed(kept).initial_seed() == seed


def test_settings_are_frozen_equal_by_value_and_hashable():
    a, b = Settings("a fox", steps=12), Settings("a fox", steps=12)
    assert a == b
    assert len({a, b}) == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        a.steps = 24


def test_numpy_numbers_become_plain_ones_so_that_json_takes_them():
    settings = Settings("a fox", steps=np.int64(12), guidance=np.float32(7.5), seed=np.uint32(3))
    assert Settings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings
    assert type(settings.steps) is int
    assert type(settings.guidance) is float


def test_the_repr_makes_the_same_settings_again():
    settings = Settings("a 'fox'\n\"in\" snow", "blur", 12, 0.1 + 0.2, "DDIM", 0, 64, 72, 0.5)
    assert eval(repr(settings)) == settings


def test_an_unknown_setting_names_the_nearest():
    with pytest.raises(TypeError, match="no setting 'step': did you mean 'steps'"):
        Settings("a fox").but(step=12)


def test_toward_in_another_form_gets_the_sentence_that_says_the_form():
    for given in ([1], ["ab", 3], {"seed"}):
        with pytest.raises(TypeError, match=r"^toward "):
            Settings("a fox", toward=given)
