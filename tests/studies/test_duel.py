"""A duel: the pictures that it compares, when it stops, what it says, what it refuses."""

import shutil

import numpy as np
import pytest

import sdnb
from sdnb.generation import sampling
from sdnb.studies.duel import duel
from tests.support import toys

SMALL = {"width": 64, "height": 64, "store": False}
STEPS = {"steps": 1}, {"steps": 2}


def brightness(sample):
    return np.asarray(sample.image).mean()


def steps(sample):
    return sample.settings.steps


def test_each_pair_is_made_of_the_pictures_that_generate_makes(pipe):
    found = duel(*STEPS, ["a fox", "an owl"], [3, 4], score=brightness, pipe=pipe, **SMALL)
    assert [pair.name for pair in found.pairs] == [
        "a fox, seed 3", "an owl, seed 3", "a fox, seed 4", "an owl, seed 4",
    ]  # fmt: skip
    for pair in found.pairs:
        for number, sample in ((1, pair.a), (2, pair.b)):
            prompt, seed = pair.name.split(", seed ")
            alone = sdnb.generate(prompt, steps=number, seed=int(seed), pipe=pipe, **SMALL)
            apart = np.asarray(alone.image, int) - np.asarray(sample.image, int)
            assert sample.settings == alone.settings
            assert np.abs(apart).max() <= 2  # merged: but for the last digits
        assert pair.scores == (brightness(pair.a), brightness(pair.b))
    assert found.tally.wins == sum(p.scores[0] > p.scores[1] for p in found.pairs)
    assert [row["a"] for row in found.table()] == [p.scores[0] for p in found.pairs]


@pytest.mark.parametrize("family", ["SDXL", "SD3", "Flux"])
def test_it_takes_every_family(family, tmp_path):
    toy = sdnb.load(toys.saved(family, tmp_path), dtype="float32", device="cpu")
    found = duel(*STEPS, "a fox", [1, 2], score=steps, pipe=toy, **SMALL)
    assert (found.a, found.b) == ("1 step", "2 steps")
    assert found.tally.losses == len(found) == 2
    alone = sdnb.generate("a fox", steps=2, seed=2, pipe=toy, **SMALL).image
    apart = np.asarray(alone, int) - np.asarray(found.pairs[1].b.image, int)
    assert np.abs(apart).max() <= 2


def test_it_stops_when_the_answer_is_clear_and_says_so(pipe, tmp_path):
    store = sdnb.Store(tmp_path / "store")
    given = {**SMALL, "store": store, "pipe": pipe, "score": steps}
    found = duel(*STEPS, "a fox", range(20), **given)
    assert len(found) == 8
    assert len(store) == 16
    assert str(found) == (
        "1 step against 2 steps: better in 0 of 8 pairs, 0 % (0 to 48), and so worse, not luck "
        "(p = 0.04). That was clear, and it stopped, after 8 of 20 pairs."
    )
    whole = duel(*STEPS, "a fox", range(10), stop_early=False, **given)
    assert str(whole) == (
        "1 step against 2 steps: better in 0 of 10 pairs, 0 % (0 to 28), and so worse, not luck "
        "(p = 0.002)."
    )
    assert len(store) == 20  # the first eight pairs were there


def test_ties_are_told_and_do_not_count(pipe):
    found = duel(
        *STEPS, "a fox", range(3), score=lambda s: s.settings.seed == 9, pipe=pipe, **SMALL
    )
    assert str(found) == (
        "1 step against 2 steps: neither was better in any pair. 3 pairs are equal and not counted."
    )
    assert found.p == 1


def test_a_pair_of_which_a_picture_failed_is_left_out_and_told(pipe, monkeypatch):
    run = sampling.run

    def broken(settings, *given, **named):
        if settings.seed == 1 and settings.steps == 2:
            raise ValueError("no luck today")
        return run(settings, *given, **named)

    monkeypatch.setattr(sampling, "run", broken)
    found = duel(*STEPS, "a fox", range(3), score=steps, pipe=pipe, **SMALL)
    assert [pair.name for pair in found.pairs] == ["seed 0", "seed 2"]
    assert str(found).endswith(
        "So few tell nothing: it takes 8 that differ, or more. "
        "1 pair is left out: failed (no luck today)."
    )


def test_a_picture_that_the_safety_checker_blackened_is_not_scored(pipe, monkeypatch):
    run = sampling.run

    def flagged(settings, *given, **named):
        made = run(settings, *given, **named)
        made.facts["flagged"] = settings.seed == 0
        return made

    monkeypatch.setattr(sampling, "run", flagged)
    found = duel(*STEPS, "a fox", range(2), score=steps, pipe=pipe, **SMALL)
    assert found.left_out == ["blackened by the model's safety checker"]


def test_ctrl_c_says_what_is_known_and_the_same_call_goes_on(pipe, tmp_path, heard, monkeypatch):
    given = {**SMALL, "store": tmp_path / "store", "pipe": pipe}
    seen = []

    def stopping(sample):
        seen.append(sample)
        if len(seen) == 17:  # the first of the second round
            raise KeyboardInterrupt
        return sample.settings.seed % 3 == sample.settings.steps

    with pytest.raises(KeyboardInterrupt):
        duel(*STEPS, "a fox", range(10), score=stopping, **given)
    assert any("Interrupted after 8 of 10 pairs." in said for said in heard())
    # the store has all: nothing is run again
    monkeypatch.setattr(sampling, "run", lambda *_, **__: pytest.fail("it has run"))
    assert len(duel(*STEPS, "a fox", range(10), score=stopping, **given)) == 10


def test_prompts_are_compared_alone_or_as_what_goes_around_them(pipe):
    found = duel("a fox", "an owl", seeds=[1], score=brightness, pipe=pipe, steps=1, **SMALL)
    assert (found.a, found.b) == ("a fox", "an owl")
    found = duel("{}", "{}, sepia", ["a fox", "an owl"], [1], score=len_of_prompt, pipe=pipe,
                 steps=1, **SMALL)  # fmt: skip
    assert [p.b.settings.prompt for p in found.pairs] == ["a fox, sepia", "an owl, sepia"]
    assert (found.a, found.b) == ("{}", "{}, sepia")
    assert str(found).startswith("{} against {}, sepia: better in 0 of 2 pairs")
    assert found.tally.losses == 2
    found = duel(*STEPS, "a {red|blue} fox", [1], score=steps, pipe=pipe, **SMALL)
    assert [p.a.settings.prompt for p in found.pairs] == ["a red fox", "a blue fox"]


def len_of_prompt(sample):
    return len(sample.settings.prompt)


def test_models_are_compared_by_name(tmp_path):
    names = [str(shutil.copytree(sdnb.emoji.FOLDER, tmp_path / name)) for name in ("one", "two")]
    a, b = ({"model": name} for name in names)
    found = duel(a, b, "a fox", [1, 2], score=brightness, steps=1, **SMALL)
    assert (found.a, found.b) == ("one", "two")
    assert found.tally.ties == 2  # they are the same


def test_whole_settings_are_a_side_or_what_both_share(pipe):
    shared = sdnb.Settings("a fox", steps=1, width=64, height=64, seed=9)
    found = duel({"scheduler": "PNDM"}, {"scheduler": "Euler"}, shared, [4], score=brightness,
                 pipe=pipe, store=False)  # fmt: skip
    assert (found.a, found.b) == ("PNDM", "Euler")
    assert found.pairs[0].a.settings == shared.but(scheduler="PNDM", seed=4, guidance=7.5)


def test_equal_cost(pipe):
    sides = {"scheduler": "DDIM"}, {"scheduler": "Heun"}
    found = duel(*sides, "a fox", [4], calls=3, score=steps, pipe=pipe, **SMALL)
    assert (found.a, found.b) == ("DDIM, 3 steps", "Heun, 2 steps")


REFUSED = [
    (({"model": "a/b"}, {"model": "c/d"}), {}, ValueError, "Give pipe or model, not both"),
    (STEPS[:1] * 2, {}, ValueError, "Both sides come to the same settings"),
    (({"guidance": 0.5}, {"guidance": 1}), {}, ValueError, "Guidance is off at 1 and below"),
    (STEPS, {"seeds": 20}, TypeError, r"seeds is 20: give range\(20\)"),
    (STEPS, {"seeds": []}, ValueError, "empty list"),
    (STEPS, {"seeds": [1, 2, 1]}, ValueError, "seeds has 1 2 times"),
    (STEPS, {"seed": 5}, TypeError, r"give seeds=\[5, \.\.\.\]"),
    (({"steps": [1, 2]}, STEPS[0]), {}, TypeError, "each with one steps"),
    (({"num_inference_steps": 5}, STEPS[0]), {}, TypeError, "here it is steps=50"),
    (({"seed": 5}, STEPS[0]), {}, ValueError, "none has one of its own"),
    ((3, STEPS[0]), {}, TypeError, "A side of the comparison is 3"),
    (("an owl", "a cat"), {}, ValueError, "write where they go"),
    (({"steps": 0}, STEPS[0]), {}, ValueError, "steps is 0"),
    (STEPS, {"prompts": None}, ValueError, "There is no prompt"),
    (STEPS, {"score": None}, ValueError, "cannot judge 'a fox'"),
]


@pytest.mark.parametrize(("sides", "given", "kind", "says"), REFUSED)
def test_what_does_not_fit_is_said_before_anything_runs(
    pipe, monkeypatch, sides, given, kind, says
):
    monkeypatch.setattr(sampling, "run", lambda *_, **__: pytest.fail("it has run"))
    given = {"prompts": "a fox", "seeds": [1], "score": steps, "pipe": pipe, **SMALL, **given}
    with pytest.raises(kind, match=says):
        duel(*sides, **given)


@pytest.mark.parametrize(
    ("value", "kind", "says"),
    [("good", TypeError, "is 'good'"), (float("nan"), ValueError, "is nan"),
     (None, TypeError, "is None"), (np.ones(2), TypeError, "return a number")],
)  # fmt: skip
def test_a_score_that_is_no_number_is_refused(pipe, value, kind, says):
    with pytest.raises(kind, match=says):
        duel(*STEPS, "a fox", [1], score=lambda _: value, pipe=pipe, **SMALL)


def test_the_result_shows_the_pairs_that_differ_most(pipe):
    found = duel(*STEPS, "a fox", range(6), score=lambda s: s.settings.seed * s.settings.steps,
                 pipe=pipe, **SMALL)  # fmt: skip
    sheet = found.sheet(2)
    assert (sheet.row_labels, sheet.col_labels) == (["1 step", "2 steps"], ["seed 5", "seed 4"])
    assert sheet.below == ["score 5", "score 4", "score 10", "score 8"]
    many = duel(*STEPS, "a fox", [5], score=lambda s: 1000 * s.settings.steps, pipe=pipe, **SMALL)
    assert many.sheet().below == ["score 1000", "score 2000"]
    shown = found._repr_mimebundle_()
    assert "better in 0 of 5 pairs" in shown["text/plain"]
    assert {"image/png", "image/jpeg"} & set(shown)


def test_loras_are_compared_by_their_weights():
    pytest.importorskip("peft")
    styled = sdnb.load("emoji", lora=["sepia"], dtype="float32", device="cpu")
    sides = {"lora": {"sepia": 0}}, {"lora": {"sepia": 1}}
    found = duel(*sides, "a fox", [1, 2], score=brightness, pipe=styled, steps=2, **SMALL)
    assert (found.a, found.b) == ("no LoRA", "sepia 1")
    alone = sdnb.generate("a fox", lora={"sepia": 1}, steps=2, seed=2, pipe=styled, **SMALL).image
    apart = np.abs(np.asarray(alone, int) - np.asarray(found.pairs[1].b.image, int))
    assert apart.max() <= 2
