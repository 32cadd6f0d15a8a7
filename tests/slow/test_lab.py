"""What only a real front end shows: pictures, updates, keys and scripts, in JupyterLab."""

import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageColor

pytest_plugins = ["tests.support.browser", "tests.support.lab"]

LOAD = "import sdnb\npipe = sdnb.load('emoji', dtype='float32', device='cpu')"
COLORS = ["red", "lime", "blue"]
TILES = f"""from PIL import Image
import sdnb
from sdnb import Sample, Sheet
from sdnb.settings import Settings
tiles = [Image.new('RGB', (64, 64), color) for color in {COLORS}]"""
EVIL = "<b>a fox</b><script>window.evil = 1</script><img src=x onerror='window.evil = 2'> & $x$"


def array(image):
    return np.asarray(image.convert("RGB")).astype(int)


def test_a_sample_is_a_picture_with_the_pixels_that_the_kernel_made(notebook, tmp_path):
    book = notebook(LOAD, "sample = sdnb.generate('a fox', steps=4, seed=1)\nsample")
    book.run_all()
    image = book.output(1).locator("img")
    image.wait_for()
    shown = array(book.pixels(image))
    book.add(f"sample.image.save({str(tmp_path / 'fox.png')!r})")
    made = Image.open(tmp_path / "fox.png")
    made = array(made.resize((2 * made.width, 2 * made.height), Image.Resampling.LANCZOS))
    height, width, _ = made.shape
    rows, cols = (range(shown.shape[i] - made.shape[i] + 1) for i in (0, 1))
    apart = min(
        np.abs(shown[y : y + height, x : x + width] - made).mean() for y in rows for x in cols
    )
    assert made.std() > 20  # not of one colour
    assert apart < 2  # grey levels: it may be a JPEG
    seen = image.bounding_box()
    assert (seen["width"], seen["height"]) == shown.shape[1::-1]


def test_a_sheet_fills_in_where_it_stands_and_leaves_one_picture(notebook):
    slow = "from sdnb.display import live_sheet as live\nlive.EVERY = live.SHARE = 0"
    compare = "sheet = sdnb.compare('a fox', steps=[1, 2, 3], seed=1, batch=1)\nsheet"
    book = notebook(LOAD, slow, compare)
    book.run(0).run(1)
    book.cell(2).evaluate(
        """cell => {
            window.seen = [];
            new MutationObserver(() => {
                const now = [...cell.querySelectorAll(".jp-Cell-outputArea img")];
                window.seen.push(now.map(image => image.src));
            }).observe(cell, {subtree: true, childList: true, attributes: true});
        }"""
    )
    book.run(2)
    seen = book.page.evaluate("window.seen")
    pictures = list(dict.fromkeys(source for now in seen for source in now))
    assert len(pictures) == 3  # with one, two and three of its cells made
    assert max(map(len, seen)) == 1
    assert book.output(2).locator("img").get_attribute("src") == pictures[-1]  # there is but one
    assert "display_data" in {output["output_type"] for output in book.outputs(2)}  # the live one


def test_arrow_keys_change_the_picture_of_a_slider(notebook):
    book = notebook(
        TILES, f"from sdnb.display.slider import Slider\nSlider(tiles, {COLORS})"
    ).run_all()
    output = book.output(1)
    slider = output.get_by_role("slider", name="Picture")
    steps = {"Home": "red", "ArrowRight": "lime", "End": "blue", "ArrowLeft": "lime"}
    for key, name in steps.items():
        slider.press(key)
        [picture] = output.locator("figure img:visible").all()
        middle = book.pixels(picture).convert("RGB").getpixel((32, 32))
        assert np.abs(np.subtract(middle, ImageColor.getrgb(name))).max() < 9
        assert book.text(1).split() == [name, str(COLORS.index(name) + 1), "of", "3"]
    # JupyterLab did not take the keys for moving between its cells
    assert "jp-mod-active" in book.cell(1).get_attribute("class")


def test_a_prompt_with_html_is_shown_as_text_and_runs_nothing(notebook):
    book = notebook(
        TILES + f"\nevil = {EVIL!r}",
        "sample = Sample(tiles[0], Settings(evil, steps=3, seed=1))\nsample",
        "sheet = Sheet([sample] * 3, 1, 3, col_labels=[evil, 'a', 'b'], title=evil)\nsheet",
        "sheet.slider()",
        "for shown in (sample, sheet, sheet.slider()):\n"
        "    display({'text/plain': repr(shown)}, raw=True)",
        "print(sample)\nprint(sheet)\nsheet.table()",
        dark=True,
    )
    book.run_all()
    for cell in (3, 4, 5):
        assert EVIL in book.text(cell), cell
    assert book.page.evaluate("window.evil") is None
    assert book.page.locator("body").get_attribute("data-jp-theme-light") == "false"
    assert book.page.locator(".jp-Cell-outputArea script").count() == 1  # the slider's own
    assert book.page.locator(".jp-Cell-outputArea b").count() == 0


def test_a_widget_of_ipywidgets_moves_and_the_kernel_knows(notebook):
    book = notebook(
        "import ipywidgets\nsteps = ipywidgets.IntSlider(24, description='Steps')\nsteps"
    )
    book.run_all()
    slider = book.output(0).get_by_role("slider")
    slider.press("ArrowRight")
    assert book.text(0).split() == ["Steps", "25"]
    assert book.value("steps.value") == 25


def test_a_stored_notebook_opens_with_all_its_pictures_none_wider_than_the_page(notebook):
    path = Path(__file__).parents[2] / "notebooks" / "01_stable_diffusion.ipynb"
    cells = json.loads(path.read_text("utf-8"))["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    pictures = [o for o in outputs if {"image/png", "image/jpeg"} & set(o.get("data", {}))]
    book = notebook(path)
    right = "all => all.map(image => image.naturalWidth && image.getBoundingClientRect().right)"
    edges = book.page.locator(".jp-RenderedImage img").evaluate_all(right)
    assert len(edges) == len(pictures) > 0
    assert 0 < min(edges) <= max(edges) < 1000
    badge = "https://colab.research.google.com/assets/colab-badge.svg"
    assert book.strangers == [badge]  # which a test does not load; nothing else is from elsewhere
    book.strangers.clear()
