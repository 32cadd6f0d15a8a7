"""Prompts by name, for both kinds of model."""

import pytest

import sdnb
from sdnb import emoji, prompts
from sdnb.generation import prompt_encoding
from tests.support import toys


def test_each_model_gets_the_prompts_that_it_can_draw(pipe, tmp_path):
    assert sdnb.prompts.for_model(pipe) is prompts.EMOJI
    assert sdnb.prompts.for_model(toys.sd2(tmp_path)) is prompts.ARTICLE


def test_where_no_pipeline_is_given_it_is_the_one_loaded_last():
    sdnb.load("emoji", device="cpu")
    assert prompts.for_model() is prompts.EMOJI


@pytest.mark.parametrize("name", prompts.EMOJI._fields)
def test_the_embedded_model_knows_every_word_of_its_prompts_and_reads_them_whole(name, pipe):
    prompt = getattr(prompts.EMOJI, name)
    assert not emoji.unknown_words(prompt)
    assert not prompt_encoding.lost(pipe, prompt)


def test_the_articles_prompts_hold_words_that_it_does_not_know():
    assert emoji.unknown_words(prompts.ARTICLE.chess) == ["elderly", "man", "playing", "chess"]


def test_all_prompts_together_are_an_axis(pipe):
    plan = sdnb.plan(prompts.for_model(pipe), steps=2, seed=1, pipe=pipe)
    assert [each.prompt for each in plan.settings] == list(prompts.EMOJI)
