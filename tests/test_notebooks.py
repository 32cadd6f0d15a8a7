"""The stored notebooks: nothing in them that should not be there, and no picture that went wrong.

The GPU's workflow runs the second test too, on what Stable Diffusion has drawn there.
"""

import base64
import io
import runpy
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from PIL import Image
from scipy.ndimage import maximum_filter

from sdnb import Sample, Settings, Sheet, image_grid
from sdnb.nbtest import notebooks, outputs

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
TOLD = ("blackened by", "black because", "failed (")  # how samples and sheets say it
TILE = 90  # pixels; the smallest picture in a grid has 96


def spoilt(path):
    """The cells with a picture that is black, flagged or failed: their numbers, from 1."""
    cells = enumerate(nbformat.read(path, as_version=4).cells, 1)
    return [n for n, cell in cells if cell.cell_type == "code" and _spoilt(cell)]


def _spoilt(cell):
    for output in cell.outputs:
        said = output.get("data", {}).get("text/plain", "") + output.get("text", "")
        if any(words in said for words in TOLD):
            return True
        if said.startswith(("Sample(", "Sheet(")) or "mask" in cell.source:
            continue  # the first say it themselves, and a mask is black on purpose
        if any(map(_has_black_tile, outputs.pictures([output]))):
            return True
    return False


def _has_black_tile(picture):
    image = Image.open(io.BytesIO(base64.b64decode(next(iter(picture.forms.values())))))
    brightest = maximum_filter(np.asarray(image.convert("L")), TILE, mode="constant", cval=255)
    return bool(brightest.min() <= 2)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_nothing_is_stored_that_should_not_be(path):
    assert notebooks.faults(path) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_stored_picture_is_black_or_flagged(path):
    assert spoilt(path) == []


def test_a_black_picture_is_found_alone_in_a_grid_and_in_a_sheet(tmp_path):
    black, red = Image.new("RGB", (96, 96)), Image.new("RGB", (96, 96), "red")
    grid = image_grid([red, red, red, black], rows=2, labels=list("abcd"))
    fine, flagged = (Sample(red, Settings("a"), {"flagged": f}) for f in (False, True))
    shown = [{"image/png": image._repr_png_()} for image in (red, black, grid)]
    shown += [each._repr_mimebundle_() for each in (fine, flagged, Sheet([fine, flagged], 1, 2))]
    book = new_notebook()
    for bundle in shown:
        data = {
            k: v if k == "text/plain" else base64.b64encode(v).decode() for k, v in bundle.items()
        }
        book.cells.append(new_code_cell("x", outputs=[new_output("display_data", data)]))
    path = tmp_path / "book.ipynb"
    nbformat.write(book, path)
    assert spoilt(path) == [2, 3, 5, 6]


def test_the_table_of_times_takes_the_place_of_the_last_one_and_of_nothing_else():
    written = runpy.run_path(str(ROOT / "docs" / "times.py"))["written"]
    page = (ROOT / "docs" / "nbtest.md").read_text("utf-8")
    once = written(page, "a table\n")
    assert "\na table\n" in once
    assert written(once, "another\n") == once.replace("a table", "another")
    assert once.startswith(page.split("<!-- times")[0])
