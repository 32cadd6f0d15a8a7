import pytest
from PIL import Image, ImageChops

from sdnb import image_grid

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
