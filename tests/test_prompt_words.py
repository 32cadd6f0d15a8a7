"""The words of a prompt, and the prompt without them."""

import pytest

from sdnb.prompt_words import without, words_of


def rest(prompt, chosen=None, **options):
    return {word.name: without(prompt, word) for word in words_of(prompt, chosen, **options)}


def test_each_word_is_left_out_by_itself_and_commas_stay_tidy():
    assert rest("castle, (red) sky,  at night") == {
        "castle": "(red) sky,  at night", "red": "castle, sky,  at night",
        "sky": "castle, (red) at night", "at": "castle, (red) sky, night",
        "night": "castle, (red) sky,  at",
    }  # fmt: skip


def test_a_word_that_stands_twice_is_two_words_and_as_a_phrase_one():
    prompt = "a red fox and a Red cat"
    assert rest(prompt)["red"] == "a fox and a Red cat"
    assert rest(prompt)["Red (2)"] == "a red fox and a cat"
    assert rest(prompt, ["red"]) == {"red": "a fox and a cat"}


@pytest.mark.parametrize(
    ("prompt", "phrase", "left"),
    [
        ("a fox in the box", "ox", None), ("a fox", "fo", None),
        ("film still of a fox", "Film  Still of", "a fox"), ("狐在雪地里", "雪地", "狐在里"),
        ("ein füchs, nachts", "füchs", "ein, nachts"), ("an owl (blue)1.3", "(blue)1.3", "an owl"),
        ("a fox, oil painting", "oil painting", "a fox"),
        ("a fox, oil painting, at night", "oil painting", "a fox, at night"),
        ("<cat> on snow", "<cat>", "on snow"),
    ],
)  # fmt: skip
def test_phrases_are_found_as_whole_words(prompt, phrase, left):
    if left is None:
        with pytest.raises(ValueError, match="is not in the prompt"):
            words_of(prompt, [phrase])
    else:
        assert list(rest(prompt, [phrase]).values()) == [left]


def test_compels_brackets_are_one_word():
    assert list(rest("a (red fox)1.3 on snow++", weighted=True).values())[1] == "a on snow++"


@pytest.mark.parametrize(
    ("prompt", "names"),
    [
        ("a (fox)1.3, cat--", ["a", "(fox)1.3", "cat--"]),
        ("((red fox)1.2 in (snow)0.8)1.1 here", ["((red fox)1.2 in (snow)0.8)1.1", "here"]),
        ("very(big fox)++ (big fox)-.", ["very(big fox)++", "(big fox)-"]),
        ('("a fox", "snow").blend(0.5, 0.5)', ['("a fox", "snow").blend(0.5, 0.5)']),
        ('"red fox"1.2 on "snow"', ['"red fox"1.2', "on", "snow"]),
        ("(a (red)1.1 fox) (here)", ["a (red)1.1 fox", "here"]),
        (r"\(x y\) (a \) b)1.2", ["x", "y", r"(a \) b)1.2"]),
        ("(fox, ) and owl) ()", ["fox", "and", "owl"]), ("(fox in", ["fox", "in"]),
        (r"\(x y\)", ["x", "y"]),
        ("(fox)1.3 (fox)1.3", ["(fox)1.3", "(fox)1.3 (2)"]),
    ],
)  # fmt: skip
def test_compels_groups_are_named_whole_with_their_weights(prompt, names):
    words = words_of(prompt, weighted=True)
    assert [word.name for word in words] == names
    for word in words:
        assert prompt[slice(*word.spans[0])] == word.name.removesuffix(" (2)")


def test_without_a_group_compel_still_reads_the_prompt():
    parser = pytest.importorskip("compel.prompt_parser").PromptParser()
    prompt = "a ((red fox)1.2 in (snow)0.8)1.1, (blue)- sky"
    for word in words_of(prompt, weighted=True):
        left = without(prompt, word)
        assert left.count("(") == left.count(")")
        parser.parse_conjunction(left)


@pytest.mark.parametrize(
    ("chosen", "error", "says"),
    [
        ("fox", TypeError, r"give a list, such as \['fox'\]"), ([], ValueError, "an empty list"),
        (["fox", "Fox"], ValueError, "twice"), ([3], TypeError, "give texts"),
        ([" "], ValueError, "is not in the prompt"), (["dog"], ValueError, "give words of it"),
    ],
)  # fmt: skip
def test_bad_words_get_a_sentence(chosen, error, says):
    with pytest.raises(error, match=says):
        words_of("a fox", chosen)
