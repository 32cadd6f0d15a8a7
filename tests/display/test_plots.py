"""Plots: the numbers in them, and that a notebook shows them."""

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from sdnb import Sample, Settings, Sheet
from sdnb.display.plots import accuracy, convergence, difference
from tests.support import programs


def sample(shade, steps, facts=None, **settings):
    image = Image.new("RGB", (16, 16), (shade, shade, shade))
    return Sample(image, Settings("a fox", steps=steps, seed=510, **settings), facts or {})


def costs(calls, seconds):
    return {"denoiser_calls": calls, "seconds": seconds}


PNDM = [
    sample(90, 12, costs(13, 0.5), scheduler="PNDM"),
    sample(20, 24, costs(25, 1.0), scheduler="PNDM"),
    sample(0, 50, costs(51, 2.0), scheduler="PNDM"),
]
HEUN = [
    sample(40, 12, costs(23, 0.9), scheduler="Heun"),
    sample(10, 50, costs(99, 4.0), scheduler="Heun"),
]


def points(line):
    return [(float(x), float(y)) for x, y in line.get_xydata()]


def test_each_scheduler_has_a_line_of_distances_to_its_own_longest_run(monkeypatch):
    monkeypatch.delenv("SDNB_TIMES")
    steps, calls, seconds = convergence(PNDM + HEUN).axes
    assert [points(line) for line in steps.lines] == [
        [(12, 90), (24, 20), (50, 0)],
        [(12, 30), (50, 0)],
    ]
    assert points(calls.lines[1]) == [(23, 30), (99, 0)]
    assert points(seconds.lines[0]) == [(0.5, 90), (1.0, 20), (2.0, 0)]
    assert [axis.get_xlabel() for axis in (steps, calls, seconds)] == [
        "steps", "denoiser calls", "seconds",
    ]  # fmt: skip


def test_without_times_a_plot_has_no_seconds(monkeypatch):
    monkeypatch.setenv("SDNB_TIMES", "off")
    labels = [axis.get_xlabel() for axis in convergence(PNDM).axes]
    assert labels == ["steps", "denoiser calls"]


def test_the_places_of_one_run_make_a_line():
    shades = {12: 50, 24: 10, 50: 0}
    facts = {at: {**costs(at + 1, 2.0), "step": at} for at in shades}
    run = [sample(shade, 50, facts[at], scheduler="PNDM") for at, shade in shades.items()]
    steps, calls = convergence(run).axes
    assert points(steps.lines[0]) == [(12, 50), (24, 10), (50, 0)]
    assert points(calls.lines[0]) == [(13, 50), (25, 10), (51, 0)]
    assert list(steps.get_xticks()) == [12, 24, 50]


def test_the_order_of_the_samples_does_not_matter():
    one, other = convergence(PNDM + HEUN), convergence([*reversed(PNDM), *reversed(HEUN)])
    for a, b in zip(one.axes, other.axes):
        assert [points(line) for line in a.lines] == [points(line) for line in b.lines]


def test_a_sheet_is_taken_and_its_lines_are_named_by_what_differs():
    figure = convergence(Sheet([*PNDM[1:], *HEUN], 2, 2))
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["PNDM", "Heun"]
    shown = [handle.get_color() for handle in legend.legend_handles]
    assert shown == [line.get_color() for line in figure.axes[0].lines]
    assert convergence(PNDM).legends == []


@pytest.mark.parametrize(
    ("facts", "names"),
    [
        (({"model": "/home/ada/one"}, {"model": "a/two"}), ["model one", "model a/two"]),
        (({"revision": "1" * 40}, {"revision": "2" * 40}), [f"revision {n * 7}" for n in "12"]),
        (({"dtype": "float32"}, {"dtype": "float16"}), ["float32", "float16"]),
        (({}, {"quantize": "fp8"}), ["not quantised", "fp8"]),
        (
            ({"model": "a", "revision": "1"}, {"model": "b", "revision": "2"}),
            ["model a", "model b"],
        ),
    ],
)
def test_each_model_revision_and_precision_has_a_line_and_its_name(facts, names):
    pictures = [
        [sample(shade, steps, each, scheduler="DDIM") for shade, steps in run]
        for each, run in zip(facts, ([(9, 12), (0, 50)], [(200, 12), (180, 50)]))
    ]
    figure = convergence(pictures[0] + pictures[1])
    assert [points(line) for line in figure.axes[0].lines] == [
        [(12, 9), (50, 0)],
        [(12, 20), (50, 0)],
    ]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == names


@pytest.mark.parametrize("prompt", ["_hidden", "from $5 to $6 and $x_$", "狐 " * 90])
def test_names_of_lines_are_shown_as_they_are(prompt):
    other = [Sample(s.image, s.settings.but(prompt=prompt), s.facts) for s in PNDM]
    figure = convergence(PNDM + other)
    figure.savefig(io.BytesIO())
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names[0] == "a fox"
    assert names[1].replace("\\$", "$")[:5] == prompt[:5]
    assert len(names[1]) < 70


def test_what_is_not_known_of_every_picture_has_no_panel():
    figure = convergence([*PNDM[:2], sample(0, 50, scheduler="PNDM")])
    assert [axis.get_xlabel() for axis in figure.axes] == ["steps"]


def test_pictures_that_do_not_differ_in_steps_are_told_so():
    for samples in ([], PNDM[:1], [PNDM[0], HEUN[0]], [PNDM[0], PNDM[0]]):
        with pytest.raises(ValueError, match="differ in steps"):
            convergence(samples)


def test_accuracy_is_the_share_of_right_ones_at_each_value_with_its_interval():
    samples = [sample(i, 12, guidance=g) for g, n in ((7.5, 8), (1, 4)) for i in range(n)]
    plot = accuracy({"dark": samples, "all": samples[:8]}, lambda s: dark(s) < 3, "guidance")
    [axis] = plot.axes
    lines = [container.lines[0] for container in axis.containers]
    assert [points(line) for line in lines] == [[(1, 75), (7.5, 37.5)], [(7.5, 37.5)]]
    [bars] = axis.containers[0].lines[2]
    assert bars.get_segments()[0][:, 1] == pytest.approx([30.06, 95.44], abs=0.01)
    assert [text.get_text() for text in plot.legends[0].get_texts()] == ["dark", "all"]


def test_bars_of_equal_shares_stand_beside_one_another():
    samples = [sample(0, 12, guidance=g) for g in (1, 7.5)]
    plot = accuracy(dict.fromkeys("abc", samples), bool, "guidance")
    plot.savefig(io.BytesIO())
    drawn = [container.lines[2][0] for container in plot.axes[0].containers]
    at = [bars.get_transform().transform(bars.get_segments()[0])[0, 0] for bars in drawn]
    assert np.diff(at).min() > 4  # pixels
    assert 7.5 < plot.axes[0].get_xlim()[1] < 8.5


def dark(sample):
    return sample.image.getpixel((0, 0))[0]


@pytest.mark.parametrize("shade", [0, 1])
def test_all_and_none_right_are_drawn_too(shade):
    plot = accuracy({"a": [sample(0, 12), sample(0, 24)]}, lambda s: dark(s) == shade, "steps")
    assert {y for _, y in points(plot.axes[0].containers[0].lines[0])} == {100 * (shade == 0)}
    assert b"PNG" in plot._repr_png_()


def test_accuracy_against_names_and_against_nothing_that_is():
    both = [sample(0, 12, scheduler=name) for name in ("PNDM", "DDIM")]
    labels = accuracy({"a": both}, bool, "scheduler").axes[0].get_xticklabels()
    assert [label.get_text() for label in labels] == ["DDIM", "PNDM"]
    with pytest.raises(TypeError, match="There is no setting 'guidence'"):
        accuracy({"a": both}, bool, "guidence")


def test_the_difference_is_numpys_mean_of_all_channels():
    chance = np.random.default_rng(0)
    one, other = chance.integers(0, 256, (2, 31, 17, 3), dtype=np.uint8)
    expected = np.abs(one.astype(int) - other.astype(int)).mean()
    assert difference(*map(Image.fromarray, (one, other))) == pytest.approx(expected)


def test_pictures_of_different_sizes_are_told_so():
    with pytest.raises(ValueError, match="16 x 16 and 8 x 8 pixels"):
        difference(PNDM[0].image, Image.new("RGB", (8, 8)))


def test_a_notebook_shows_it_as_a_picture_in_which_all_lines_are_seen():
    with Image.open(io.BytesIO(convergence(PNDM + HEUN)._repr_png_())) as shown:
        assert shown.format == "PNG"
        assert 800 < shown.width < 1600
        colors = {color for _, color in shown.convert("RGB").getcolors(1 << 20)}
    assert {(31, 119, 180), (255, 127, 14)} <= colors


def test_pyplot_and_its_global_state_are_not_touched():
    code = "import sys, sdnb.plots; print('matplotlib.pyplot' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout == "False\n"


def test_without_matplotlib_a_sentence_says_what_to_install(tmp_path):
    code = "import sys; sys.modules['matplotlib'] = None; import sdnb.plots"
    done = programs.run("-c", code, cwd=tmp_path)
    assert done.stderr.splitlines()[-1] == (
        "ModuleNotFoundError: Plots need matplotlib: pip install matplotlib"
    )


def test_pictures_are_compared_without_matplotlib_too(tmp_path):
    code = "import sys; sys.modules['matplotlib'] = None; import sdnb; sdnb.compare"
    programs.run("-c", code, cwd=tmp_path, check=True)
