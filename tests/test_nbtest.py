"""nbval that sees pictures, held against what it must and must not see.

`python tests/test_nbtest.py` prints the table that stands in docs/nbtest.md, and draws its picture.
"""

import base64
import io
import json
import os
import re
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbformat import v4
from PIL import Image, ImageChops, ImageOps
from skimage.metrics import structural_similarity

from sdnb.nbtest import notebooks, outputs
from sdnb.nbtest.__main__ import main
from sdnb.nbtest.likeness import likeness, side_by_side

HERE = Path(__file__).parent
OBJECT = "<IPython.core.display.Image object>"
LIMITS = outputs.Tolerance(3, 0.9)


@cache
def sheet():
    """The README's sheet: four pictures of 256 x 256 with labels."""
    return Image.open(HERE.parent / "tests" / "pictures" / "steps.png").convert("RGB")


@cache
def tile(number=0):
    left = 6 + 262 * number
    return sheet().crop((left, 74, left + 256, 330))


@cache
def fox(seed):
    return Image.open(HERE / "pictures" / f"fox-{seed}.png").convert("RGB")


def noisy(image, levels):
    """Each channel of each pixel moved by the levels, up or down."""
    rng = np.random.default_rng(510)
    moved = np.asarray(image, "int16") + rng.choice([-levels, levels], (*image.size[::-1], 3))
    return Image.fromarray(moved.clip(0, 255).astype("uint8"))


def rounded(image):
    """Each channel of each pixel moved by -1, 0 or 1, as another CPU's last digits do."""
    rng = np.random.default_rng(7)
    moved = np.asarray(image, "int16") + rng.integers(-1, 2, (*image.size[::-1], 3))
    return Image.fromarray(moved.clip(0, 255).astype("uint8"))


def with_tiles(images):
    changed = sheet().copy()
    for number, image in images.items():
        changed.paste(image, (6 + 262 * number, 74))
    return changed


def swapped_channels(image):
    red, green, blue = image.split()
    return Image.merge("RGB", (blue, green, red))


# what happened: its stored pictures, its fresh pictures
CHANGES = {
    "a black picture": lambda: ([tile()], [Image.new("RGB", (256, 256))]),
    "another picture": lambda: ([fox(1)], [tile().resize((128, 128))]),
    "a similar one: the fox of seed 2 for that of seed 1": lambda: ([fox(1)], [fox(2)]),
    "the order of two pictures": lambda: ([fox(1), fox(2)], [fox(2), fox(1)]),
    "one of a sheet's four pictures black": lambda: (
        [sheet()],
        [with_tiles({2: Image.new("RGB", (256, 256))})],
    ),
    "a sheet's 12 and 50 steps swapped": lambda: (
        [sheet()],
        [with_tiles({0: tile(3), 3: tile(0)})],
    ),
    "red and blue swapped": lambda: ([tile()], [swapped_channels(tile())]),
    "in grey": lambda: ([tile()], [tile().convert("L")]),
    "ten grey levels brighter": lambda: ([tile()], [tile().point(lambda v: min(v + 10, 255))]),
    "shifted by one pixel": lambda: ([tile()], [ImageChops.offset(tile(), 1, 0)]),
    "shifted by three pixels": lambda: ([fox(1)], [ImageChops.offset(fox(1), 3, 0)]),
    "mirrored": lambda: ([tile()], [ImageOps.mirror(tile())]),
    "one pixel less wide": lambda: ([tile()], [tile().crop((0, 0, 255, 256))]),
    "a missing picture": lambda: ([tile(), fox(1)], [tile()]),
    "an additional picture": lambda: ([tile()], [tile(), fox(1)]),
}
# so alike that only a cell (or a project) with a limit of its own tells them apart
ALIKE = {
    "a very similar one: 24 steps for 12": lambda: ([tile(0)], [tile(1)]),
    "a sheet's 12 and 24 steps swapped": lambda: (
        [sheet()],
        [with_tiles({0: tile(1), 1: tile(0)})],
    ),
}
STRICT = {"nbtest": {"mean": 1}}
SAME = {
    "the same picture": lambda: ([tile()], [tile()]),
    "another CPU's rounding, one grey level": lambda: ([tile()], [rounded(tile())]),
    "another CPU's rounding, on a fox": lambda: ([fox(1)], [rounded(fox(1))]),
    "another CPU's rounding, on a sheet": lambda: ([sheet()], [rounded(sheet())]),
    "two grey levels of noise": lambda: ([tile()], [noisy(tile(), 2)]),
    "two grey levels of noise on a fox": lambda: ([fox(1)], [noisy(fox(1), 2)]),
    "two grey levels of noise on a sheet": lambda: ([sheet()], [noisy(sheet(), 2)]),
    "two grey levels of noise on flat grey": lambda: (
        [Image.new("RGB", (128, 128), "#888888")],
        [noisy(Image.new("RGB", (128, 128), "#888888"), 2)],
    ),
    "an opaque alpha channel": lambda: ([tile()], [tile().convert("RGBA")]),
}


def png(image, kind="PNG", **how):
    buffer = io.BytesIO()
    image.save(buffer, kind, **how)
    return base64.b64encode(buffer.getvalue()).decode()


def output(image):
    return v4.new_output("display_data", {"image/png": png(image), "text/plain": OBJECT})


def cell(source, stored, **metadata):
    return v4.new_code_cell(source, outputs=stored, execution_count=1, metadata=metadata)


def showing(folder, name, images):
    """The source of a cell that displays pictures from files."""
    for number, image in enumerate(images):
        image.save(folder / f"{name}-{number}.png")
    lines = [f"display(Image(filename='{name}-{n}.png'))" for n in range(len(images))]
    return "\n".join(["from IPython.display import Image", *lines])


def notebook(path, cells):
    nbformat.write(v4.new_notebook(cells=cells), path)
    return path


def run_pytest(folder, *words):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--color=no", "-rA"]
    return subprocess.run([*command, *words], cwd=folder, env=clean, capture_output=True, text=True)


NBVAL = ["--nbval", "--nbval-current-env"]


def red(done):
    """Which cells failed, by their numbers."""
    found = re.findall(r"^(FAILED|PASSED) \S+::Cell (\d+)", done.stdout, re.M)
    assert found, done.stdout + done.stderr
    return {int(number): word == "FAILED" for word, number in found}


@cache
def seen():
    """What happened -> (plain nbval is red, --nbtest-images is red, mean, ssim)."""
    cases = {what: (*make(), {}) for what, make in (CHANGES | ALIKE).items()}
    cases |= {f"{what}, `mean: 1` in its cell": (*make(), STRICT) for what, make in ALIKE.items()}
    cases |= {what: (*make(), {}) for what, make in SAME.items()}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cells = [
            cell(showing(folder, number, fresh), [output(image) for image in stored], **limits)
            for number, (stored, fresh, limits) in enumerate(cases.values())
        ]
        notebook(folder / "a.ipynb", cells)
        plain, ours = (red(run_pytest(folder, *NBVAL, *w)) for w in ([], ["--nbtest-images"]))
    rows = {}
    for number, (what, (stored, fresh, _)) in enumerate(cases.items()):
        numbers = ["", ""]
        if len(stored) == len(fresh) and stored[0].size == fresh[0].size:
            alike = likeness(stored[0], fresh[0])
            numbers = [f"{alike.mean:.1f}", f"{alike.ssim:.2f}"]
        rows[what] = (plain[number], ours[number], *numbers)
    return rows


def table():
    lines = ["| What happened | plain nbval | `--nbtest-images` | mean | SSIM |",
             "|---|---|---|---|---|"]  # fmt: skip
    for what, (plain, ours, *numbers) in seen().items():
        words = ["red" if wrong else "green" for wrong in (plain, ours)]
        lines.append("| " + " | ".join([what, *words, *numbers]) + " |")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("what", CHANGES)
def test_a_changed_picture_turns_its_cell_red(what):
    assert seen()[what][1]


@pytest.mark.parametrize("what", SAME)
def test_noise_that_nobody_sees_stays_green(what):
    assert not seen()[what][1]


@pytest.mark.parametrize("what", ALIKE)
def test_a_cell_can_ask_for_more_than_the_default(what):
    assert not seen()[what][1]
    assert seen()[f"{what}, `mean: 1` in its cell"][1]


def test_plain_nbval_passes_most_of_what_changed():
    assert sum(seen()[what][0] for what in CHANGES) == 2  # it counts outputs


def test_the_page_has_the_table():
    assert table() in (HERE.parent / "docs" / "nbtest.md").read_text()


def test_flat_pictures_are_compared_by_their_shade():
    grey, lighter = (Image.new("RGB", (100, 40), (shade,) * 3) for shade in (100, 110))
    assert likeness(grey, grey)[:2] == (0, 1)
    alike = likeness(grey, lighter)
    assert alike.mean == pytest.approx(10)
    assert 0.98 < alike.ssim < 1


@pytest.mark.parametrize("size", [(1, 1), (2, 5), (6, 6), (3, 200), (7, 7), (64, 64), (65, 63)])
def test_a_picture_of_any_size_can_be_compared(size):
    rng = np.random.default_rng(510)
    image = Image.fromarray(rng.integers(0, 256, (*size[::-1], 3), dtype="uint8"))
    assert likeness(image, image) == (0, pytest.approx(1), (0, 0, *(min(64, n) for n in size)), 0)
    inverted = likeness(image, ImageOps.invert(image))
    assert inverted.mean > 30
    assert inverted.ssim < 0.9


def test_the_numbers_are_those_of_the_worst_place():
    clean = Image.new("RGB", (300, 200), "white")
    spotted = clean.copy()
    spotted.paste("black", (200, 100, 264, 164))
    alike = likeness(clean, spotted)
    assert alike.mean == pytest.approx(255)
    assert alike.box == (200, 100, 264, 164)
    assert alike.ssim < 0.01


def test_ssim_is_scikit_images_own_where_the_window_is_the_picture():
    one, other = (fox(seed).crop((40, 40, 104, 104)) for seed in (1, 2))
    truth = structural_similarity(
        np.asarray(one), np.asarray(other), channel_axis=2, data_range=255, full=True
    )[1].mean()
    assert likeness(one, other).ssim == pytest.approx(truth, abs=1e-4)


def test_a_grey_picture_equals_its_copy_in_colour():
    grey = tile().convert("L")
    assert likeness(grey, grey.convert("RGB"))[:2] == (0, 1)
    sixteen = Image.fromarray(np.asarray(grey, "uint16") * 257)
    assert sixteen.mode == "I;16"
    assert likeness(grey, sixteen)[:2] == (0, 1)


def test_what_is_transparent_has_no_colour():
    red, blue = (Image.new("RGBA", (80, 80), shade) for shade in ("#ff000000", "#0000ff00"))
    assert likeness(red, blue).mean == 0
    assert likeness(red, Image.new("RGBA", (80, 80), "#ff0000")).mean > 100


def film(*images):
    return {"kind": "WEBP", "save_all": True, "append_images": images, "lossless": True}


def test_every_frame_of_an_animation_is_compared():
    frames = [fox(1), fox(2), tile().resize((128, 128))]
    same = outputs.Picture("", {"image/webp": png(frames[0], **film(*frames[1:]))})
    last = outputs.Picture("", {"image/webp": png(frames[0], **film(frames[1], fox(1)))})
    short = outputs.Picture("", {"image/webp": png(frames[0], **film(frames[1]))})
    outs = [{"data": picture.forms} for picture in (same, last, short)]
    assert not outputs.differences(outs[:1], outs[:1], LIMITS)
    [found] = outputs.differences(outs[:1], outs[1:2], LIMITS)
    assert "of frame 3" in found.sentence
    [found] = outputs.differences(outs[:1], outs[2:], LIMITS)
    assert "3 frames expected, 2 found" in found.sentence


def test_a_png_that_became_a_jpeg_is_compared_by_its_pixels():
    stored = [{"data": {"image/png": png(fox(1))}}]
    assert not outputs.differences(
        stored, [{"data": {"image/jpeg": png(fox(1), "JPEG", quality=98, subsampling=0)}}], LIMITS
    )
    [found] = outputs.differences(stored, [{"data": {"image/jpeg": png(fox(2), "JPEG")}}], LIMITS)
    assert "PNG stored, JPEG fresh" in found.sentence
    assert found.sheet.width > 3 * 128


def test_a_picture_that_cannot_be_read_is_told():
    torn = [{"data": {"image/png": png(fox(1))[:400]}}]
    [found] = outputs.differences(torn, [output(fox(1))], LIMITS)
    assert "the stored image/png cannot be read" in found.sentence


@pytest.mark.parametrize("given", [{"men": 3}, {"mean": "3"}, {"mean": True}, {"ssim": 2}, 3])
def test_a_wrong_limit_is_told(given):
    with pytest.raises(ValueError, match=r"nbtest knows mean \(0 to 255\) and ssim"):
        LIMITS.of({"nbtest": given})


def html(image, text="a fox"):
    return f'<p>{text}<img src="data:image/png;base64,{png(image)}"></p>'


SOURCES = {
    "html, only rounded": (html(fox(1)), html(rounded(fox(1)))),
    "html, another picture": (html(fox(1)), html(fox(2))),
    "html, another text": (html(fox(1)), html(fox(1), "an owl")),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One pytest run of cells with a peculiarity each: (folder, its result, name -> red)."""
    folder = tmp_path_factory.mktemp("peculiar")
    cells = {}
    for name, (stored, fresh) in SOURCES.items():
        out = v4.new_output(
            "display_data",
            {"text/html": stored, "text/plain": "<IPython.core.display.HTML object>"},
        )
        cells[name] = cell(f"from IPython.display import HTML\ndisplay(HTML('{fresh}'))", [out])
    other = showing(folder, "other", [fox(2)])
    cells |= {
        "ignored": cell(f"# NBVAL_IGNORE_OUTPUT\n{other}", [output(fox(1))]),
        "ignored by tag": cell(other, [output(fox(1))], tags=["nbval-ignore-output"]),
        "lenient": cell(other, [output(fox(1))], nbtest={"mean": 100, "ssim": 0}),
        "wrong limit": cell(other, [output(fox(2))], nbtest={"men": 100}),
        "nothing stored": cell(other, []),
        "nothing fresh": cell("0;", [output(fox(1))]),
        "updated": cell(
            f"shown = display(0, display_id=True)\n{other}\n"
            "shown.update(Image(filename='other-0.png'))",
            [output(fox(2)), output(fox(2))],
        ),
        "cleared": cell(
            f"from IPython.display import clear_output\ndisplay(1)\nclear_output(True)\n{other}",
            [output(fox(2))],
        ),
        "path and time": cell(
            "import os, time\nprint(os.getcwd() + '/a.png', 'Wall time: 12 s', sep='\\n')",
            [v4.new_output("stream", name="stdout", text="./a.png\nWall time: …\n")],
        ),
        "raises": cell(f"{other}\nraise ValueError('no')", [output(fox(2))]),
    }  # fmt: skip
    notebook(folder / "b.ipynb", list(cells.values()))
    (folder / "nbtest-failures").mkdir()
    for name in ("b-cell-9-1.png", "b-cell-9-2.png", "b-cell-99-1.png", "mine.png"):
        (folder / "nbtest-failures" / name).touch()
    done = run_pytest(folder, *NBVAL, "--nbtest-images")
    failed = red(done)
    return folder, done, {name: failed[number] for number, name in enumerate(cells)}


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("html, only rounded", False),
        ("html, another picture", True),
        ("html, another text", True),
        ("ignored", False),
        ("ignored by tag", False),
        ("lenient", False),
        ("wrong limit", True),
        ("nothing stored", True),
        ("nothing fresh", True),
        ("updated", False),
        ("cleared", False),
        ("path and time", False),
        ("raises", True),
    ],
)
def test_a_peculiar_cell(run, name, wrong):
    assert run[2][name] is wrong, run[1].stdout


def test_a_failure_tells_cell_numbers_limits_and_file(run):
    done = run[1]
    sentence = (
        r"Picture 1 \(output 1, text/html\) differs: "
        r"mean absolute difference 83\.58 \(at most 3\), "
        r"SSIM 0\.243 \(at least 0\.9\); worst at x \d+ to \d+, y \d+ to \d+\.\n"
        r"  see nbtest-failures/b-cell-1-1\.png"
    )
    assert re.search(sentence, done.stdout)
    assert "Cell 1: Cell outputs differ" in done.stdout
    assert "nbtest knows mean (0 to 255) and ssim" in done.stdout
    assert "pictures: 0 stored, 1 fresh" in done.stdout
    assert "pictures: 1 stored, 0 fresh" in done.stdout
    assert re.search(r"^nbtest: \d+ pictures compared, 3 differ; see nbtest-failures$", done.stdout,
                     re.M)  # fmt: skip


def test_expected_actual_and_difference_lie_side_by_side_in_the_folder(run):
    folder = run[0] / "nbtest-failures"
    assert {"b-cell-1-1.png", "b-cell-7-1.png", "b-cell-8-1.png"} < set(os.listdir(folder))
    drawn = Image.open(folder / "b-cell-1-1.png")
    scale = 2  # small pictures are enlarged
    width = 128 * scale
    top = next(
        y
        for y in range(drawn.height)
        if drawn.getpixel((10, y))[2] > 200 > drawn.getpixel((10, y))[0]
    )
    for number, truth in enumerate((fox(1), fox(2))):
        left = 6 + number * (width + 6)
        part = drawn.crop((left, top, left + width, top + width))
        assert likeness(part, truth.resize((width, width), 0)).mean == 0


def test_what_is_right_again_leaves_the_folder_and_nothing_else_does(run):
    names = os.listdir(run[0] / "nbtest-failures")
    assert sorted(names)[2:] == ["b-cell-8-1.png", "b-cell-99-1.png", "mine.png"]


def test_side_by_side_shows_what_is_missing_and_marks_what_differs():
    missing = side_by_side(None, fox(1), "none")
    assert missing.size == side_by_side(fox(1), None, "none").size
    both = side_by_side(sheet(), with_tiles({2: tile(0).convert("L").convert("RGB")}), "x", 0,
                        (600, 100, 664, 164))  # fmt: skip
    assert both.height > 3 * sheet().height  # wide ones stand below each other
    assert (255, 0, 0) in {colour for _, colour in both.getcolors(1 << 24)}


def test_without_nbval_the_plugin_does_nothing(tmp_path):
    (tmp_path / "test_x.py").write_text(
        "import sys\ndef test_x():\n"
        "    assert not {'skimage', 'PIL', 'numpy', 'nbformat'} & set(sys.modules)\n"
    )
    done = run_pytest(tmp_path, "--nbtest-images", "-p", "no:nbval")
    assert done.returncode == 0, done.stdout
    assert "nbtest:" not in done.stdout


@pytest.mark.parametrize(("fresh", "agrees"), [("float16 on cuda:0", True), ("no picture", False)])
def test_what_the_configuration_ignores_in_texts_is_not_compared(tmp_path, fresh, agrees):
    stored = nbformat.v4.new_output("stream", name="stdout", text="a fox, float32 on cpu\n")
    notebook(tmp_path / "a.ipynb", [cell(f"print('a fox, {fresh}')", [stored])])
    lines = "nbtest_ignore =\n    float(16|32)\n    (?<= on )(cpu|cuda:0)\n"
    (tmp_path / "pytest.ini").write_text(f"[pytest]\n{lines}")
    done = run_pytest(tmp_path, *NBVAL, "--nbtest-images")
    assert (done.returncode == 0) == agrees, done.stdout


def test_a_wrong_limit_in_the_configuration_is_told(tmp_path):
    (tmp_path / "pytest.ini").write_text("[pytest]\nnbtest_mean = 300\n")
    done = run_pytest(tmp_path, *NBVAL, "--nbtest-images")
    assert done.returncode == 4
    assert "nbtest knows mean (0 to 255) and ssim (-1 to 1)" in done.stderr


# the command


ENVIRONMENT = "import os\nos.environ['FROM_CONFTEST'] = 'yes'\n"
RUNS = {
    "6 * 7": "42",
    "_ / 6": "7.0",
    "import os\nos.environ['FROM_CONFTEST']": "'yes'",
    "print(os.getcwd() + '/cat.png', os.path.expanduser('~/x'))": "./cat.png ~/x\n",
    "import warnings\nwarnings.warn('careful')": "<cell>:2: UserWarning: careful\n",
    "%time 1 + 1": "CPU times: …\nWall time: …\n",
    "# NBVAL_RAISES_EXCEPTION\n1 / 0": "ZeroDivisionError",
    "import ipywidgets\nipywidgets.IntSlider()": "IntSlider(value=0)",
    "print(1, flush=True)\nprint(2)": "1\n2\n",
    "1 if display('before', display_id='d').update(0) else 2": "0",
}


def command(folder, *words):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    line = [sys.executable, "-m", "sdnb.nbtest", *words]
    return subprocess.run(line, cwd=folder, env=clean, capture_output=True, text=True)


@pytest.fixture(scope="module")
def updated(tmp_path_factory):
    """A folder whose notebook was made anew twice, and what was said and written each time."""
    folder = tmp_path_factory.mktemp("update")
    (folder / "conftest.py").write_text(ENVIRONMENT)
    nb = v4.new_notebook(cells=[v4.new_code_cell(source) for source in RUNS])
    nb.cells.append(v4.new_code_cell(showing(folder, "x", [fox(1)])))
    nb.cells.append(v4.new_code_cell("'silent';"))
    nb.cells.append(cell("# NBVAL_SKIP\nrm", [v4.new_output("stream", text="kept\n")]))
    nb.cells[0].metadata |= {"tags": ["mine"], "executionInfo": {"timestamp": 1}}
    nb.cells[0].metadata["execution"] = {"iopub.execute_input": "2026-01-01T00:00:00Z"}
    nb.metadata |= {
        "papermill": {"duration": 3},
        "language_info": {"name": "python", "version": "3"},
    }
    nb.metadata["widgets"] = {notebooks.STATE: {"version_major": 2}}
    nbformat.write(nb, folder / "n.ipynb")
    said, written = [], []
    for path in ("n.ipynb", "."):
        said.append(command(folder, "--update", path))
        written.append((folder / "n.ipynb").read_bytes())
    return folder, said, written


def test_made_anew_a_notebook_agrees_with_nbval_and_is_clean(updated):
    for done in updated[1]:
        assert done.returncode == 0, done.stdout + done.stderr
        assert "nbval agrees." in done.stdout
        assert "1 notebook, 0 with something wrong." in done.stdout


@pytest.mark.parametrize("source", RUNS)
def test_outputs_are_stored_without_what_another_run_would_change(updated, source):
    nb = nbformat.read(updated[0] / "n.ipynb", 4)
    out = next(one for one in nb.cells if one.source == source).outputs[0]
    texts = [out.get("text"), out.get("ename"), out.get("data", {}).get("text/plain")]
    assert any(text and text.startswith(RUNS[source]) for text in texts), out


def test_metadata_keep_what_a_person_wrote_only(updated):
    nb = nbformat.read(updated[0] / "n.ipynb", 4)
    assert nb.cells[0].metadata == {"tags": ["mine"]}
    assert set(nb.metadata) == {"language_info", "widgets"}
    assert nb.metadata.language_info == {"name": "python"}
    assert set(nb.metadata.widgets[notebooks.STATE].state) == {f"{n:032x}" for n in range(3)}
    assert nb.cells[-1].outputs[0].text == "kept\n"


def test_made_anew_twice_the_file_is_the_same(updated):
    first, second = updated[2]
    assert first == second


def test_a_cell_that_fails_leaves_the_file_as_it_was(tmp_path):
    cells = [v4.new_code_cell("1 + 1"), v4.new_markdown_cell("two"), v4.new_code_cell("1 / 0")]
    path = notebook(tmp_path / "n.ipynb", cells)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"(?s)cell 3 of \S+n.ipynb fails: .*ZeroDivisionError"):
        notebooks.run(path, project=tmp_path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["n.ipynb"]


TWO = ["-n2", "--dist", "loadfile"]


@pytest.mark.slow
def test_two_processes_count_the_pictures_of_all_notebooks(tmp_path):
    for seed in (1, 2):
        source = showing(tmp_path, f"fox{seed}", [fox(1)])
        notebook(tmp_path / f"{seed}.ipynb", [cell(source, [output(fox(seed))])])
    done = run_pytest(tmp_path, *NBVAL, "--nbtest-images", *TWO)
    assert "nbtest: 2 pictures compared, 1 differ; see nbtest-failures" in done.stdout
    assert "FAILED 2.ipynb::Cell 0" in done.stdout
    assert [path.name for path in (tmp_path / "nbtest-failures").iterdir()] == ["2-cell-0-1.png"]


@pytest.mark.slow
def test_where_a_project_has_two_processes_a_notebook_is_made_anew_once(tmp_path):
    (tmp_path / "pytest.ini").write_text(f"[pytest]\naddopts = {' '.join(TWO)}")
    source = "with open('runs.txt', 'a') as file:\n    print('once', file=file)"
    notebook(tmp_path / "n.ipynb", [v4.new_code_cell(source)])
    done = command(tmp_path, "--update", "n.ipynb")
    assert "nbval agrees." in done.stdout, done.stdout + done.stderr
    assert (tmp_path / "runs.txt").read_text() == "once\n" * 2  # made anew, and compared


def stored(text, source="1"):
    return cell(source, [v4.new_output("stream", text=text)])


VIEW = {notebooks.VIEW: {"model_id": "0" * 32}, "text/plain": "IntSlider(value=0)"}
FAULTS = {
    r"11 lines, at most 10\.": cell("1\n" * 11, []),
    r"a token, hf_abc…, in the source\. Revoke it\.": cell("login('hf_abcdefghijklmnopqrst')", []),
    r"a token, hf_abc…, in output 1": stored("hf_abcdefghijklmnopqrst"),
    r"an absolute path in the source: .*/home/me": cell("open('/home/me/cat.png')", []),
    r"an absolute path in output 1: .*/content/x": stored("saved to /content/x.png"),
    r"an absolute path in output 1: .*Users": stored("saved to C:\\Users\\me\\x.png"),
    r"a timing in output 1: '4 pictures in 3\.2 s'": stored("4 pictures in 3.2 s\n"),
    r"a timing in output 1: .*7it/s": stored("| 50/50 at 7it/s"),
    r"a timing in output 1: 'took 80s'": stored("took 80s"),
    r"a timing in output 1: 'made in the 12 s": stored("made in the 12 s that it took"),
    r"an address in memory in output 1: '<object at 0x7f": stored("<object at 0x7f35ab12cd00>"),
    r"was never run": v4.new_code_cell("1"),
    r"a widget without state in output 1": cell("1", [v4.new_output("display_data", VIEW)]),
    r"an absolute path in output 1, an error": cell(
        "1", [v4.new_output("error", ename="E", evalue="/home/me/x", traceback=[])]
    ),
}


@pytest.mark.parametrize("what", FAULTS)
def test_what_should_not_be_stored_is_told_with_its_cell(tmp_path, what):
    path = notebook(tmp_path / "n.ipynb", [v4.new_markdown_cell("one"), FAULTS[what]])
    [found] = notebooks.faults(path)
    assert re.match(f"Cell 2: {what}", found)


def test_what_may_be_stored_is_not_complained_of(tmp_path):
    page = '<style>a { transition: .3s }</style><a href="/usr/x">25 steps</a>'
    cells = [
        stored("25 steps at 7.5, 12 calls; 3 MB; see https://example.com/home/x and ./home/y\n"),
        stored("a 3s b".replace("3s", "3 sheep") + ", Wall time: …, [00:12<00:03, 4.1it/s]\n"),
        stored("a poster of the 1980s, of 2000s, of the 80s, of the '60s\n"),
        cell("1", [v4.new_output("display_data", {"text/html": page + html(fox(1))})]),
        v4.new_code_cell(""),
    ]
    assert notebooks.faults(notebook(tmp_path / "n.ipynb", cells)) == []


def test_a_notebook_of_an_older_format_with_ids_is_read_as_jupyter_reads_it(tmp_path):
    """Colab and others write format 4.4 with the ids that came with 4.5."""
    path = notebook(tmp_path / "n.ipynb", [v4.new_markdown_cell("one"), cell("1", [])])
    book = json.loads(path.read_text())
    assert all(cell["id"] for cell in book["cells"])
    path.write_text(json.dumps(book | {"nbformat_minor": 4}))
    assert notebooks.faults(path) == []
    assert nbformat.reads(notebooks.cleaned(notebooks._read(path), {}), 4).cells[0].source == "one"


def test_what_is_wrong_with_a_whole_file_is_told(tmp_path):
    path = notebook(tmp_path / "n.ipynb", [stored("x" * 1_000_000)])
    [found] = notebooks.faults(path)
    assert re.fullmatch(r"1,000,\d\d\d bytes with its outputs, at most 1,000,000\.", found)
    nb = v4.new_notebook()
    nb.metadata["widgets"] = {notebooks.STATE: {"version_major": 2}}
    path.write_text(nbformat.writes(nb))
    assert notebooks.faults(path) == [
        "metadata.widgets has no state, so GitHub calls the notebook invalid."
    ]
    for text in (
        '{"cells": 3, "nbformat": 4, "nbformat_minor": 5, "metadata": {}}',
        "[]",
        "{}",
        "no",
    ):
        path.write_text(text)
        [found] = notebooks.faults(path)
        assert found.startswith(f"{path} is no valid notebook: ")


def test_the_command_says_what_is_wrong_and_where(tmp_path, capsys):
    assert main([str(tmp_path)]) == 2
    assert "neither a notebook (.ipynb) nor a folder" in capsys.readouterr().err
    path = notebook(tmp_path / "n.ipynb", [v4.new_code_cell("1")])
    assert main([str(tmp_path)]) == 1
    assert capsys.readouterr().out == (
        f"{path}: Cell 1: was never run, so its outputs are not compared.\n"
        "1 notebook, 1 with something wrong.\n"
    )


if __name__ == "__main__":
    old, new = ([output(fox(seed))] for seed in (1, 2))
    [found] = outputs.differences(old, new, LIMITS)
    found.sheet.save(HERE.parent / "docs" / "nbtest.png")
    print(table(), end="")
