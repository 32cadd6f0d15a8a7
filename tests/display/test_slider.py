"""The slider, as a real browser shows it."""

import io
import re

import nbconvert
import pytest
from nbformat import v4
from PIL import Image

from sdnb.display.slider import Slider, page, previews, view

pytest_plugins = ["tests.support.browser"]

COLORS = {"red": (255, 0, 0), "lime": (0, 255, 0), "blue": (0, 0, 255), "orange": (255, 165, 0),
          "purple": (128, 0, 128), "black": (0, 0, 0)}  # fmt: skip
NAMES = list(COLORS)


def tiles(count, size=(128, 128)):
    return [Image.new("RGB", size, name) for name in NAMES[:count]]


def picture_of(shown):
    """What a page or an element of it looks like."""
    return Image.open(io.BytesIO(shown.screenshot())).convert("RGB")


def color_at(stage, x=0.5, y=0.5):
    """The name of the colour that is seen at this part of the stage's width and height."""
    shown = picture_of(stage)
    pixel = shown.getpixel((int(x * (shown.width - 1)), int(y * (shown.height - 1))))
    near = [name for name in NAMES if max(abs(a - b) for a, b in zip(COLORS[name], pixel)) < 12]
    return near[0] if near else pixel


# ---------------------------------------------------------------- scrubbing


def test_arrow_keys_scrub_through_the_pictures(opened):
    shown = opened(page(tiles(4), ["12 steps", "24 steps", "38 steps", "50 steps"]))
    stage = shown.locator(".sdnb-stage")
    assert color_at(stage) == "red"
    shown.keyboard.press("Tab")
    seen = []
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "End", "ArrowRight", "Home"):
        shown.keyboard.press(key)
        seen.append(color_at(stage))
    assert seen == ["lime", "blue", "lime", "orange", "orange", "red"]


def test_the_thumb_is_dragged_with_the_mouse(opened):
    shown = opened(page(tiles(4), ["12", "24", "38", "50"]))
    box = shown.get_by_role("slider").bounding_box()
    middle = box["y"] + box["height"] / 2
    shown.mouse.move(box["x"] + 8, middle)
    shown.mouse.down()
    shown.mouse.move(box["x"] + box["width"] * 0.66, middle)
    assert color_at(shown.locator(".sdnb-stage")) == "blue"
    shown.mouse.move(box["x"] + box["width"], middle)
    shown.mouse.up()
    assert color_at(shown.locator(".sdnb-stage")) == "orange"


def test_the_label_is_read_and_read_aloud(opened):
    shown = opened(page(tiles(3), ["12 steps", "24 steps", "38 steps"], title="a fox"))
    slider = shown.get_by_role("slider", name="Picture")
    assert slider.get_attribute("aria-valuetext") == "12 steps"
    slider.press("ArrowRight")
    assert slider.get_attribute("aria-valuetext") == "24 steps"
    assert shown.locator(".sdnb-controls").inner_text().split("\n") == ["24 steps", "2 of 3"]
    assert shown.get_by_role("img").count() == 1
    assert shown.get_by_role("img", name="24 steps").is_visible()
    assert shown.title() == "a fox"


def test_two_axes_have_two_sliders_and_arrow_keys_move_as_in_a_table(opened):
    shown = opened(page(tiles(6), ["12", "24", "50"], row_labels=["PNDM", "DDIM"]))
    stage = shown.locator(".sdnb-stage")
    row, column = (shown.get_by_role("slider", name=name) for name in ("Row", "Column"))
    seen = []
    row.focus()
    for key in ("ArrowRight", "ArrowDown", "ArrowRight", "ArrowUp", "ArrowUp", "ArrowLeft"):
        shown.keyboard.press(key)
        seen.append(color_at(stage))
    assert seen == ["lime", "purple", "black", "blue", "blue", "lime"]
    column.press("End")
    assert color_at(stage) == "blue"
    texts = [slider.get_attribute("aria-valuetext") for slider in (row, column)]
    assert texts == ["PNDM", "50"]


def test_a_single_column_has_one_slider_over_its_rows(opened):
    shown = opened(page(tiles(3), ["12"], row_labels=["PNDM", "DDIM", "LMS"]))
    shown.get_by_role("slider").press("ArrowRight")
    assert color_at(shown.locator(".sdnb-stage")) == "lime"


def test_sliders_on_one_page_move_on_their_own(opened):
    both = view(tiles(3), ["a", "b", "c"]) + view(tiles(4), ["a", "b", "c", "d"])
    shown = opened(f"<!DOCTYPE html>{both}{view(tiles(2), ['a', 'b'])}")
    assert shown.get_by_role("slider").count() == 3
    first, second, third = shown.locator(".sdnb-stage").all()
    shown.get_by_role("slider").nth(1).press("End")
    assert (color_at(first), color_at(second)) == ("red", "orange")
    assert (color_at(third, 0.1), color_at(third, 0.9)) == ("red", "lime")


# ---------------------------------------------------------------- two pictures


def test_two_pictures_lie_over_each_other_with_an_edge_to_drag(opened):
    shown = opened(page(tiles(2), ["guidance 1", "guidance 7.5"]))
    stage = shown.locator(".sdnb-stage")

    def seen():
        return [color_at(stage, x) for x in (0.1, 0.4, 0.6, 0.9)]

    assert seen() == ["red", "red", "lime", "lime"]
    box = stage.bounding_box()
    middle = box["y"] + box["height"] / 3
    shown.mouse.move(box["x"] + box["width"] / 2, middle)
    shown.mouse.down()
    shown.mouse.move(box["x"] + box["width"] * 0.25, middle)
    assert seen() == ["red", "lime", "lime", "lime"]
    shown.mouse.move(box["x"] + box["width"] * 0.75, middle)
    shown.mouse.up()
    assert seen() == ["red", "red", "red", "lime"]


def test_the_edge_is_moved_with_keys_and_read_aloud(opened):
    shown = opened(page(tiles(2), ["guidance 1", "guidance 7.5"]))
    edge = shown.get_by_role("slider", name="Edge between guidance 1 and guidance 7.5")
    assert edge.get_attribute("aria-valuetext") == "50% guidance 1"
    edge.press("End")
    assert color_at(shown.locator(".sdnb-stage"), 0.9) == "red"
    edge.press("Home")
    edge.press("ArrowRight")
    assert edge.get_attribute("aria-valuetext") == "1% guidance 1"
    assert color_at(shown.locator(".sdnb-stage"), 0.1) == "lime"


# ---------------------------------------------------------------- where it is shown


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_the_page_in_both_themes(opened, scheme):
    shown = opened(page(tiles(3), ["a", "b", "c"], title="a fox"), color_scheme=scheme)
    grey = picture_of(shown).convert("L")
    paper = grey.getpixel((2, 2))
    darkest, brightest = picture_of(shown.get_by_text("a fox")).convert("L").getextrema()
    assert paper > 240 if scheme == "light" else paper < 40
    assert brightest - darkest > 180


@pytest.mark.parametrize("count", [2, 3])
def test_it_fits_on_a_screen_of_400_pixels(opened, count):
    text = page(tiles(count, (512, 512)), ["long label " * 9] * count, title="word" * 90)
    shown = opened(text, viewport={"width": 400, "height": 800})
    assert shown.evaluate("document.documentElement.scrollWidth") <= 400
    box = shown.locator(".sdnb-stage").bounding_box()
    assert 340 < box["width"] <= 400
    assert box["width"] == pytest.approx(box["height"], abs=1)


def test_without_scripts_all_pictures_stand_there_with_their_labels(opened):
    shown = opened(page(tiles(3), ["12", "24", "38"]), java_script_enabled=False)
    figures = shown.locator("figure").all()
    assert [figure.inner_text() for figure in figures] == ["12", "24", "38"]
    seen = [color_at(figure.locator("img")) for figure in figures]
    assert seen == ["red", "lime", "blue"]
    assert shown.locator("input").count() == 0


def test_it_works_in_a_notebook_that_nbconvert_exports(opened):
    shown = Slider(tiles(3), ["a", "b", "c"])._repr_mimebundle_()
    output = v4.new_output("display_data", data=shown)
    notebook = v4.new_notebook(cells=[v4.new_code_cell(outputs=[output]) for _ in range(2)])
    text, _ = nbconvert.HTMLExporter().from_notebook_node(notebook)
    shown = opened(text)
    shown.get_by_role("slider").nth(1).press("ArrowRight")
    first, second = shown.locator(".sdnb-stage").all()
    assert (color_at(first), color_at(second)) == ("red", "lime")


@pytest.mark.parametrize("count", [2, 3])
def test_a_page_saved_from_the_browser_works_again(opened, count):
    shown = opened(page(tiles(count), list("abc")[:count]))
    shown.get_by_role("slider").press("End")
    again = opened(shown.content())
    again.get_by_role("slider").press("End")
    assert color_at(again.locator(".sdnb-stage"), 0.1) == ("red" if count == 2 else "blue")
    again.get_by_role("slider").press("Home")
    assert color_at(again.locator(".sdnb-stage"), 0.9) == ("lime" if count == 2 else "red")


def test_jupyterlab_leaves_it_its_arrow_keys(opened):
    shown = opened(view(tiles(2), ["a", "b"]) + view(tiles(4), ["a", "b"], row_labels=["c", "d"]))
    assert shown.locator("input").count() == 3
    # JupyterLab 4.6 looks for it on the element itself, not around it
    assert shown.locator("input[data-lm-suppress-shortcuts]").count() == 3


NASTY = """<script>window.ran = 1</script>"><img src=x onerror="window.ran = 2">' $x$ & </style>"""


@pytest.mark.parametrize("count", [2, 3])
def test_a_script_in_a_text_does_not_run_and_is_shown_as_it_is(opened, count):
    shown = opened(page(tiles(count), [NASTY] * count, title=NASTY))
    assert shown.evaluate("window.ran") is None
    assert shown.locator("p").inner_text() == NASTY
    assert shown.locator(".sdnb-controls span").first.inner_text() == NASTY
    assert shown.title() == NASTY
    assert shown.locator("img").count() == count


def test_a_script_in_a_row_label_does_not_run(opened):
    shown = opened(page(tiles(4), ["a", NASTY], row_labels=[NASTY, "b"]))
    assert shown.evaluate("window.ran") is None
    assert shown.get_by_role("slider").first.get_attribute("aria-valuetext") == NASTY


# ---------------------------------------------------------------- pictures


def test_pictures_keep_their_shape_and_colours_whatever_their_size_and_mode(opened):
    mixed = [
        Image.new("RGB", (300, 100), "red"),
        Image.new("L", (100, 100), 0),
        Image.new("RGBA", (300, 100), "blue"),
    ]
    shown = opened(page(mixed, ["a", "b", "c"]))
    stage = shown.locator(".sdnb-stage")
    box = stage.bounding_box()
    assert box["width"] / box["height"] == pytest.approx(3, abs=0.02)
    shown.get_by_role("slider").press("ArrowRight")
    assert [color_at(stage, x) for x in (0.1, 0.5)] == [(255, 255, 255), "black"]
    shown.get_by_role("slider").press("ArrowRight")
    assert color_at(stage, 0.1) == "blue"


@pytest.mark.parametrize("size", [(512, 1024), (1024, 512), (2048, 2048)])
def test_large_pictures_fit_into_512_pixels(opened, size):
    shown = opened(page([Image.new("RGB", size)] * 3, ["a", "b", "c"]))
    box = shown.locator(".sdnb-stage").bounding_box()
    assert max(box["width"], box["height"]) == pytest.approx(512, abs=1)


def noise(seed, side=512):
    return Image.effect_noise((side, side), 90).rotate(seed).convert("RGB")


def test_pages_stay_small():
    assert len(page([noise(i) for i in range(4)], list("abcd"))) < 1_100_000
    assert len(page(tiles(4), list("abcd"))) < 15_000
    mandelbrot = Image.effect_mandelbrot((1024, 1024), (-2, -1.5, 1, 1.5), 90).convert("RGB")
    assert len(page([mandelbrot] * 200, ["a"] * 200)) < 2_000_000


def test_large_pictures_are_reduced_and_many_of_them_more():
    def sizes(count, size):
        return {Image.open(io.BytesIO(p)).size for p in previews([Image.new("RGB", size)] * count)}

    assert sizes(1, (2048, 1024)) == {(512, 256)}
    assert sizes(16, (1024, 1024)) == {(512, 512)}
    assert sizes(64, (1024, 1024)) == {(256, 256)}
    assert sizes(64, (128, 128)) == {(128, 128)}


def test_the_given_pictures_stay_as_they_are():
    picture = Image.new("RGB", (1024, 1024))
    page([picture], ["a"])
    assert picture.size == (1024, 1024)


def test_the_same_pictures_give_the_same_text_which_needs_nothing_from_outside():
    text = page(tiles(3), ["a", "b", "c"], title="t")
    assert text == page(tiles(3), ["a", "b", "c"], title="t")
    assert not re.search(r"""\bid=|https?:|src="(?!data:)|href=|@import|url\(""", text)


# ---------------------------------------------------------------- the class


def test_a_notebook_gets_the_view_and_a_text():
    bundle = Slider(tiles(3), ["12", "24", "38"], title="a fox")._repr_mimebundle_()
    assert bundle["text/plain"] == "Slider(3 pictures: 12, 24, 38)"
    assert bundle["text/html"] == view(tiles(3), ["12", "24", "38"], title="a fox")
    assert "<html" not in bundle["text/html"]


def test_save_writes_the_page(tmp_path):
    path = Slider(tiles(2), ["狐", "🦊"]).save(tmp_path / "a.html")
    assert path.read_text("utf-8") == page(tiles(2), ["狐", "🦊"])
    with pytest.raises(ValueError, match=r"does not end in \.html"):
        Slider(tiles(2), ["a", "b"]).save(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("count", "labels", "rows", "sentence"),
    [
        (0, [], (), "There are no images"),
        (3, ["a"], (), "1 labels for 3 images: give one label per image."),
        (3, ["a", "b"], ["c", "d"], "2 labels x 2 row labels for 3 images"),
    ],
)
def test_labels_that_do_not_fit_say_both_numbers(count, labels, rows, sentence):
    for made in (Slider, view, page):
        with pytest.raises(ValueError, match=sentence):
            made(tiles(count), labels, row_labels=rows)
