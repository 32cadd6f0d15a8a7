"""Choices in a prompt are axes of a comparison."""

import numpy as np
import pytest

import sdnb
from sdnb import Settings
from sdnb.prompt_choices import chosen, every, groups

QUICK = {"steps": 2, "seed": 1, "store": False}


@pytest.mark.parametrize(
    ("prompt", "prompts"),
    [
        ("a {red|blue} fox", ["a red fox", "a blue fox"]),
        ("{a|two} {fox|foxes}", ["a fox", "two fox", "a foxes", "two foxes"]),
        (r"a \{red|blue\} fox", ["a {red|blue} fox"]), (r"a fox \| owl", ["a fox | owl"]),
        (r"{a \| b|c}", ["a | b", "c"]), (r"{\{a\}|b}", ["{a}", "b"]),
        ("{a fox} | b", ["{a fox} | b"]), ("a } {x|y}", ["a } x", "a } y"]), ("{", ["{"]),
        ("{|small} fox", ["fox", "small fox"]), ("a {small |}fox", ["a smallfox", "a fox"]),
        ("{{x}} a|b", ["{{x}} a|b"]), ("a|b {{x}}", ["a|b {{x}}"]),
        ("{{x}} {a|b}", ["{{x}} a", "{{x}} b"]), ("{a|b} {{x}}", ["a {{x}}", "b {{x}}"]),
        (r"{{x \| y}} a|b", ["{{x | y}} a|b"]),
        ("a\n{x|\ny}", ["a\nx", "a\ny"]), ("{a\\\n|b}", ["a\\", "b"]), (r"C:\foxes", [r"C:\foxes"]),
    ],
)  # fmt: skip
def test_what_a_prompt_comes_to(prompt, prompts):
    assert every(prompt) == prompts


@pytest.mark.parametrize(
    "prompt", ["a {b|{c|d}}", "{a {b} | c}", "} {b {c|d}}", "{{a|b}}", "{a|b {c}}", "{a|{b|c}"]
)
def test_nested_choices_are_refused(prompt):
    with pytest.raises(ValueError, match="braces within braces"):
        groups(prompt)


def test_a_choice_that_stands_twice_is_refused():
    with pytest.raises(ValueError, match=r"'a' twice in \{a\|b\|a\}"):
        groups("{a|b| a }")
    assert chosen("plain", []) == "plain"


def test_each_group_is_an_axis_with_its_choices_as_labels():
    pipe = sdnb.load("emoji", device="cpu")
    sheet = sdnb.compare("a {red|blue} {square|circle}", guidance=[1, 4], pipe=pipe, **QUICK)
    assert (sheet.rows, sheet.cols, sheet.pages) == (2, 2, 2)
    assert (sheet.col_labels, sheet.row_labels) == (["red", "blue"], ["square", "circle"])
    assert [s.settings.prompt for s in sheet][:3] == [
        "a red square", "a blue square", "a red circle",
    ]  # fmt: skip
    assert sheet.title.startswith("a {red|blue} {square|circle}\n")
    alone = sdnb.generate("a blue square", guidance=1, pipe=pipe, **QUICK)
    apart = np.asarray(sheet[1].image, int) - np.asarray(alone.image, int)
    assert sheet[1].settings == alone.settings
    assert np.abs(apart).max() <= 1


def test_in_a_list_of_prompts_they_are_spread():
    pipe = sdnb.load("emoji", device="cpu")
    planned = sdnb.plan(["a {red|blue} square", "a fox"], pipe=pipe, steps=2, seed=1)
    assert planned.col_labels == ["a red square", "a blue square", "a fox"]


def test_whole_settings_are_taken_as_they_are():
    pipe = sdnb.load("emoji", device="cpu")
    planned = sdnb.plan(Settings("a {red|blue} square"), pipe=pipe, steps=[1, 2], seed=1)
    assert {s.prompt for s in planned.settings} == {"a {red|blue} square"}
    assert planned.title.startswith("a {red|blue} square")


def test_an_escaped_brace_is_one_picture():
    pipe = sdnb.load("emoji", device="cpu")
    planned = sdnb.plan(r"a \{red|blue\} square", pipe=pipe, steps=2, seed=1)
    assert [s.prompt for s in planned.settings] == ["a {red|blue} square"]
