import io
import re

import pytest
from PIL import Image, ImageChops

from sdnb import Sample, Settings, Sheet, image_grid
from sdnb.records import metadata
from sdnb.records import sheet as sheets

COLORS = ["red", "green", "blue", "orange", "purple", "black"]


def tiles(n, size=(64, 48)):
    return [Image.new("RGB", size, COLORS[i % 6]) for i in range(n)]


def test_pictures_are_set_row_by_row_and_columns_are_not_swapped_with_rows():
    grid = image_grid(tiles(6), rows=2, cols=3)
    assert grid.size == (3 * 64, 2 * 48)
    for i, tile in enumerate(tiles(6)):
        x, y = 64 * (i % 3), 48 * (i // 3)
        assert ImageChops.difference(grid.crop((x, y, x + 64, y + 48)), tile).getbbox() is None


@pytest.mark.parametrize(
    ("n", "rows", "cols", "size"),
    [
        (4, None, None, (256, 48)),
        (4, None, 2, (128, 96)),
        (5, 2, None, (192, 96)),
        (5, 3, 2, (128, 144)),
    ],
)
def test_what_is_left_out_is_worked_out(n, rows, cols, size):
    assert image_grid(tiles(n), rows, cols).size == size


def test_too_few_cells_say_both_numbers():
    with pytest.raises(ValueError, match="2 x 2 = 4 cells cannot hold 5 images"):
        image_grid(tiles(5), rows=2, cols=2)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"labels": ["a", "b"]}, "2 labels for 4 images: give one label per image, or none."),
        ({"row_labels": ["a", "b"]}, "2 row labels for 1 rows"),
        ({"col_labels": ["a"]}, "1 column labels for 4 cols|1 column labels for 4 columns"),
        ({"rows": 0}, "rows is 0: give 1 or more."),
    ],
)
def test_labels_that_do_not_fit_say_both_numbers(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        image_grid(tiles(4), **options)


def test_no_images_is_said():
    with pytest.raises(ValueError, match="There are no images"):
        image_grid([])


def test_labels_leave_every_pixel_of_the_pictures_as_it_is():
    pictures = tiles(4, (128, 128))
    grid = image_grid(
        pictures, 2, 2, labels=["one two three four five six seven", "b", "c", "d"],
        row_labels=["row 1", "row 2"], col_labels=["col 1", "col 2"], title="T " * 80, footer="F",
    )  # fmt: skip
    for picture in pictures:
        color = picture.getpixel((0, 0))
        assert sum(count for count, c in grid.getcolors(1 << 20) if c == color) >= 128 * 128


def test_each_label_is_drawn_under_its_own_picture():
    blank = image_grid(tiles(3), labels=[" ", " ", " "])
    second = image_grid(tiles(3), labels=[" ", "here", " "])
    left, top, right, _ = ImageChops.difference(blank, second).getbbox()
    assert 64 < left < right < 2 * 64 + 4 * 6
    assert top >= 48


def test_a_long_label_stays_within_its_column():
    plain = image_grid(tiles(2), labels=[" ", " "])
    long = image_grid(tiles(2), labels=["incomprehensibilities " * 3, " "])
    assert long.width == plain.width
    assert long.height > plain.height
    right_half = long.crop((64 + 6 + 3, 48 + 12, long.width, long.height))
    assert right_half.getcolors() == [(right_half.width * right_half.height, (255, 255, 255))]


def test_lines_of_a_text_stay_lines_and_very_long_texts_end():
    one, two = (image_grid(tiles(1), footer=f) for f in ("a b", "a\nb"))
    assert two.height > one.height
    endless = image_grid(tiles(1), title="word " * 10_000)
    assert endless.height < 48 + 10 * 30


def test_pictures_of_other_modes_and_sizes_are_taken():
    mixed = [Image.new("L", (10, 20), 128), Image.new("RGBA", (20, 10), "red")]
    assert image_grid(mixed).size == (40, 20)
    clear = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    assert image_grid([clear]).getpixel((4, 4)) == (255, 255, 255)  # a cut-out lies on paper


# ---------------------------------------------------------------- large sheets


def seeds(count, **shape):
    """A sheet of so many small pictures, each of a colour of its own."""
    samples = [
        Sample(Image.new("RGB", (32, 32), (i % 256, i // 256, 0)), Settings("a fox", seed=i))
        for i in range(count)
    ]
    labels = [f"seed {i}" for i in range(count)]
    return Sheet(samples, **{"rows": 1, "cols": count, "col_labels": labels, **shape}, title="fox")


def shown(sheet):
    """The picture that a notebook shows."""
    bundle = sheet._repr_mimebundle_()
    [data] = [value for kind, value in bundle.items() if kind.startswith("image/")]
    return Image.open(io.BytesIO(data)).convert("RGB")


def test_up_to_16_pictures_of_an_axis_stay_in_one_line_and_as_they_were():
    sheet = seeds(16)
    big = [s.image.resize((256, 256), Image.Resampling.LANCZOS) for s in sheet]
    plain = image_grid(big, 1, 16, col_labels=sheet.col_labels, title="fox", footer="unknown model")
    assert sheet.grid().tobytes() == plain.tobytes()


@pytest.mark.parametrize("shape", [
    {}, {"rows": 3000, "cols": 1, "row_labels": [f"seed {i}" for i in range(3000)],
         "col_labels": ["guidance 3"]},
    {"rows": 60, "cols": 50, "col_labels": [], "row_labels": []},
    {"rows": 1, "cols": 50, "col_labels": [], "page_labels": list("fox") * 20},
])  # fmt: skip
def test_of_a_large_sheet_the_first_pictures_are_shown_and_how_many(shape, monkeypatch):
    sheet = seeds(3000, **shape)
    notes = []
    monkeypatch.setattr(
        sheets, "image_grid", lambda *a, **k: notes.append(k["footer"]) or image_grid(*a, **k)
    )
    view = shown(sheet)
    assert 400 < view.width <= 1600
    assert 400 < view.height < 6000
    [note] = filter(None, notes)
    count = int(re.search(r"showing (\d+) of 3000 pictures", note)[1])
    assert 200 < count <= 256
    tiles = sum(n for n, (r, _, b) in view.getcolors(10**7) if b == 0 and r < 256)
    assert tiles == count * 32 * 32
    assert len(repr(sheet).splitlines()) == 66
    assert repr(sheet).endswith("… and 2936 more")


def test_a_large_sheet_that_is_saved_can_be_read(tmp_path):
    sheet = seeds(3000)
    path = sheet.save(tmp_path / "sheet.png")
    image, records = metadata.read(path)
    assert image.width * image.height < Image.MAX_IMAGE_PIXELS
    assert [settings.seed for settings, _ in records] == list(range(3000))
    assert len(list(tmp_path.iterdir())) == 3001


def test_a_sheet_that_could_not_be_read_is_refused_before_a_file_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100_000)
    with pytest.raises(ValueError, match=r"A sheet of 8 pictures is \d+ x \d+ pixels, more than"):
        seeds(8).save(tmp_path / "sheet.png")
    assert list(tmp_path.iterdir()) == []
