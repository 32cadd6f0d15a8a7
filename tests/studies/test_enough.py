"""How many steps are enough: against distances that are computed here, and with known pictures."""

import numpy as np
import pytest
from PIL import Image

import sdnb
from sdnb.generation import sampling
from sdnb.studies.enough import enough
from tests.support import toys

SMALL = {"width": 64, "height": 64, "store": False}


@pytest.fixture
def known(monkeypatch):
    """A pipeline whose pictures are grey: how light is said by a function of their settings."""

    def drawn_by(shade):
        def run(settings, pipe, on_call=lambda: None, *given, **named):
            image = Image.new("RGB", (8, 8), (shade(settings),) * 3)
            return sdnb.Sample(image, settings, {"denoiser_calls": 1})

        monkeypatch.setattr(sampling, "run", run)

    return drawn_by


def grey(settings):
    """Seed 0 settles at 8 steps, seed 1 at 12; at 4 steps seed 1 is near by chance."""
    far = {0: {4: 30, 8: 1, 12: 0}, 1: {4: 0, 8: 9, 12: 2}}
    return 100 + far[settings.seed].get(settings.steps, 0)


def test_a_picture_has_settled_where_it_stays_near_the_last(known, pipe):
    known(grey)
    given = {"steps": [50, 4, 8, 12], "scheduler": "DDIM", "pipe": pipe, **SMALL}
    found = enough("a fox", [0, 1], **given)
    assert found.steps == found.calls == {"DDIM": 12}
    assert [point.settled for point in found.lines["DDIM"]] == [0, 1, 2, 2]
    assert found.lines["DDIM"][1].distances == [1, 9]
    assert enough("a fox", [0, 1], share=0.5, **given).steps == {"DDIM": 8}
    assert enough("a fox", [0, 1], within=1.5, **given).steps == {"DDIM": None}
    assert str(found) == (
        "Within 2 grey levels of the last for 95 % of 2 pictures:\n"
        "  DDIM  from 12 steps on (2 of 2, 34 to 100 %), measured against 50 steps"
    )
    assert "not by 12 steps (1 of 2), measured against 50 steps: try more" in str(
        enough("a fox", [0, 1], within=1.5, **given)
    )


def test_the_table_has_the_middle_picture_and_nine_of_ten(known, pipe):
    known(lambda s: 100 + s.seed * (s.steps < 50))
    found = enough("a fox", range(21), steps=[4, 50], scheduler="DDIM", pipe=pipe, **SMALL)
    first, last = found.table()
    assert first == {
        "scheduler": "DDIM", "steps": 4, "calls": 4, "median": 10, "low": 1, "high": 19,
        "settled": 3 / 21,
    }  # fmt: skip
    assert (last["high"], last["settled"]) == (0, 1)


def test_schedulers_are_compared_at_equal_cost(known, pipe):
    known(lambda s: 100)
    found = enough("a fox", [1], calls=[7, 8, 25], scheduler=["DDIM", "Heun", "PNDM"], pipe=pipe,
                   **SMALL)  # fmt: skip
    assert {n: [(p.steps, p.calls) for p in line] for n, line in found.lines.items()} == {
        "DDIM": [(7, 7), (8, 8), (25, 25)],
        "Heun": [(4, 7), (13, 25)],
        "PNDM": [(6, 7), (7, 8), (24, 25)],
    }
    assert [
        len(line.get_xdata()) for line in found.plot().axes[0].lines if len(line.get_xdata()) > 2
    ] == [3, 3]


def test_without_numbers_it_goes_up_to_the_pipelines_own(known, pipe):
    known(lambda s: 100)
    [line] = enough("a fox", [1], pipe=pipe, **SMALL).lines.values()
    assert [point.steps for point in line] == [4, 6, 8, 12, 18, 25, 38, 50]


def test_the_distances_are_those_of_whole_runs(pipe):
    found = enough(["a fox", "an owl"], [3], steps=[1, 2, 4], scheduler="DDIM", pipe=pipe, **SMALL)
    for i, prompt in enumerate(["a fox", "an owl"]):
        given = {"scheduler": "DDIM", "seed": 3, "pipe": pipe, **SMALL}
        samples = [sdnb.generate(prompt, steps=n, **given) for n in (1, 2, 4)]
        made = [np.asarray(sample.image, int) for sample in samples]
        for point, image in zip(found.lines["DDIM"], made):
            assert point.distances[i] == pytest.approx(np.abs(image - made[2]).mean(), abs=0.1)


@pytest.mark.parametrize("family", ["SDXL", "SD3", "Flux"])
def test_it_takes_every_family(family, tmp_path):
    toy = sdnb.load(toys.saved(family, tmp_path), dtype="float32", device="cpu")
    found = enough("a fox", [1], steps=[1, 2], pipe=toy, **SMALL)
    [line] = found.lines.values()
    assert line[0].distances[0] > 0 == line[1].distances[0]


def test_a_picture_that_failed_is_left_out_with_its_whole_line(known, pipe):
    def shade(settings):
        if settings.seed == 1 and settings.steps == 4:
            raise ValueError("no luck today")
        return grey(settings)

    known(shade)
    found = enough("a fox", [0, 1], steps=[4, 8, 50], scheduler="DDIM", pipe=pipe, **SMALL)
    assert found.pictures == 1
    assert "1 picture left out: failed (no luck today)" in str(found)


@pytest.mark.parametrize(
    ("given", "kind", "says"),
    [
        ({"steps": 12}, ValueError, "steps is 12: give two numbers or more"),
        ({"steps": [12]}, ValueError, "nothing to compare with"),
        ({"steps": [1, 2], "calls": [1, 2]}, ValueError, "Give calls or steps"),
        ({"guidance": [1, 2]}, TypeError, "give one guidance"),
        ({"seed": 3}, TypeError, "seed is .*, and several are compared here: give seeds="),
        ({"within": 0}, ValueError, "within is 0"),
        ({"share": 95}, ValueError, "share is 95"),
        ({"calls": 25}, TypeError, "calls is 25"),
        ({"num_inference_steps": [1, 2]}, TypeError, "here it is steps=50"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_runs(pipe, monkeypatch, given, kind, says):
    monkeypatch.setattr(sampling, "run", lambda *_, **__: pytest.fail("it has run"))
    with pytest.raises(kind, match=says):
        enough("a fox", [1], pipe=pipe, **{**SMALL, **given})
