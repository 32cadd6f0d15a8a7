import numpy as np
import pytest

import sdnb
from sdnb import Settings, sweep

PROMPT = "a fox on a blue background"


def same(a, b):
    return np.array_equal(np.asarray(a.image), np.asarray(b.image))


def test_one_axis_is_a_labelled_row(pipe):
    sheet = sdnb.compare(PROMPT, steps=[1, 2, 3, 4], seed=510, pipe=pipe)
    assert (sheet.rows, sheet.cols, len(sheet)) == (1, 4, 4)
    assert sheet.col_labels == ["1 step", "2 steps", "3 steps", "4 steps"]
    assert [s.settings.steps for s in sheet] == [1, 2, 3, 4]
    assert sheet.title == f"{PROMPT}\nguidance 7.5 · DDIM · seed 510"


def test_two_axes_are_a_table_with_the_first_as_columns(pipe):
    sheet = sdnb.compare(
        PROMPT, guidance=[1, 4, 7.5], scheduler=["DDIM", "LMS"], steps=1, seed=1, pipe=pipe
    )
    assert (sheet.rows, sheet.cols) == (2, 3)
    assert sheet.col_labels == ["guidance 1", "guidance 4", "guidance 7.5"]
    assert sheet.row_labels == ["DDIM", "LMS"]
    assert [(s.settings.scheduler, s.settings.guidance) for s in sheet.samples] == [
        ("DDIM", 1), ("DDIM", 4), ("DDIM", 7.5), ("LMS", 1), ("LMS", 4), ("LMS", 7.5),
    ]  # fmt: skip


def test_more_axes_are_rows_of_their_combinations(pipe):
    sheet = sdnb.compare([PROMPT, "an owl"], steps=[1, 2], guidance=[1, 2], seed=[5, 6], pipe=pipe)
    assert (sheet.rows, sheet.cols) == (8, 2)
    assert sheet.row_labels[0] == "1 step, guidance 1, seed 5"
    assert sheet.samples[15].settings.prompt == "an owl"


def test_picture_3_of_4_made_alone_is_the_same_bit_for_bit(pipe):
    sheet = sdnb.compare(PROMPT, seed=[3, 1, 4, 2], steps=5, scheduler="Euler a", pipe=pipe)
    alone = sdnb.generate(PROMPT, seed=4, steps=5, scheduler="Euler a", pipe=pipe)
    assert same(sheet[2], alone)
    assert not same(sheet[2], sheet[3])


def test_a_seed_that_is_not_given_is_drawn_once_for_the_whole_sheet(pipe):
    seeds = {s.settings.seed for s in sdnb.compare(PROMPT, steps=[1, 2], pipe=pipe)}
    assert len(seeds) == 1
    again = {s.settings.seed for s in sdnb.compare(PROMPT, steps=[1, 2], pipe=pipe)}
    assert seeds != again


@pytest.mark.parametrize("values", [range(1, 3), (1, 2), np.array([1, 2]), (n for n in (1, 2))])
def test_an_axis_may_be_a_range_a_tuple_an_array_or_a_generator(values):
    assert sweep.split(prompt="a", steps=values) == ({"prompt": "a"}, {"steps": [1, 2]})


def test_values_keep_their_order_and_repeats():
    assert sweep.split(prompt=["b", "a", "b"])[1] == {"prompt": ["b", "a", "b"]}
    with pytest.raises(TypeError, match="prompt is a set, which has no order"):
        sweep.split(prompt={"b", "a"})


def test_a_plan_lists_settings_without_a_pipeline():
    plan = sweep.plan({"prompt": "a fox"}, {"steps": [12, 24], "scheduler": ["DDIM", "LMS"]})
    assert plan[1] == Settings("a fox", steps=24, scheduler="DDIM")
    assert plan[2] == Settings("a fox", steps=12, scheduler="LMS")


@pytest.mark.parametrize(
    ("axes", "sentence"),
    [
        ({"steps": [12, 0]}, "steps is 0"),
        ({"steps": []}, "steps is an empty list"),
        ({"scheduler": ["DDIM", "DDMI"]}, "There is no scheduler 'DDMI'"),
        ({"width": [128, 136]}, "width 136 is not a multiple of 32: use 128 or 160."),
        ({"guidance": [7.5, float("nan")]}, "guidance is nan"),
    ],
)
def test_one_bad_value_fails_the_plan_before_the_first_denoiser_call(pipe, axes, sentence):
    calls = []
    hook = pipe.unet.register_forward_hook(lambda *_: calls.append(1))
    try:
        with pytest.raises(ValueError, match=sentence):
            sdnb.compare(PROMPT, pipe=pipe, **axes)
    finally:
        hook.remove()
    assert calls == []


def test_steps_have_a_visible_effect_and_settle(pipe):
    sheet = sdnb.compare(PROMPT, steps=[2, 24, 50], seed=510, pipe=pipe)
    two, many, most = (np.asarray(s.image, float) for s in sheet)
    assert np.abs(two - most).mean() > 10 > 3 > np.abs(many - most).mean()


def test_a_sheet_shows_one_picture_and_all_settings_as_text(pipe):
    sheet = sdnb.compare(PROMPT, steps=[1, 2], seed=510, pipe=pipe)
    bundle = sheet._repr_mimebundle_()
    assert len(bundle) == 2
    assert "1 step, guidance 7.5, DDIM, seed 510" in bundle["text/plain"]
    assert sheet.grid().width > 2 * 256


def test_a_sheet_whose_numbers_disagree_is_refused(pipe):
    with pytest.raises(ValueError, match="2 x 2 = 4 cells for 1 samples"):
        sdnb.Sheet([sdnb.generate(PROMPT, steps=1, pipe=pipe)], 2, 2)
