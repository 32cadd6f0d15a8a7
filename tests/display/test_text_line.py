"""Labels in the world's letters: each drawn by a font that has it, or said to be missing."""

import random

import numpy as np
import pytest
from PIL import Image, ImageChops, ImageDraw, ImageFont

from sdnb import image_grid, log
from sdnb.display import font_files, text_line
from sdnb.display.text_line import Typeface
from tests.display.test_font_files import FOX, SNOW, fonts, write

__all__ = ["fonts"]
raqm = pytest.mark.needs("raqm")


@pytest.fixture(autouse=True)
def unsaid(monkeypatch):
    monkeypatch.setattr(log, "_said", set())


def drawn(text, size=13):
    """The text's ink, cropped; None where there is none."""
    paper = Image.new("L", (60 + 20 * len(text), 60), 255)
    Typeface(size, [text]).draw(ImageDraw.Draw(paper), 20, 10, text, "black")
    box = ImageChops.invert(paper).getbbox()
    return paper.crop(box) if box else None


def same(one, other):
    return one is other or (one.size == other.size and one.tobytes() == other.tobytes())


def bundled(size=12):
    return ImageFont.truetype(font_files.BUNDLED, size)


@pytest.mark.parametrize("text", ["guidance 7.5, seed 510", "a fox · 12 steps …", "50 calls"])
def test_what_pillows_own_font_has_looks_as_pillow_draws_it(text, heard):
    font = ImageFont.load_default(13)
    paper = Image.new("L", (300, 60), 255)
    ImageDraw.Draw(paper).text((20, 10), text, font=font, fill="black")
    right = paper.crop(ImageChops.invert(paper).getbbox())
    assert same(drawn(text), right)
    assert Typeface(13, [text]).getlength(text) == font.getlength(text)
    assert Typeface(13, [text]).height(text) == sum(font.getmetrics())
    assert heard() == []


def test_every_letter_of_the_bundled_font_is_drawn_and_none_is_the_box(fonts, heard):
    """Its box is what it draws for U+FFFF, which is no character."""
    box = bytes(bundled().getmask("\uffff"))
    letters = [
        chr(code)
        for first, last in font_files.ranges_in(font_files.BUNDLED)
        for code in range(max(first, 0x21), last + 1)
        if not chr(code).isspace()
    ]
    for letter in random.Random(0).sample(letters, 400) + list("éüñł×€żшαעثქ"):
        for run in Typeface(13, [letter])._runs(letter):
            assert bytes(run.font.getmask(run.text)) != box, letter
    assert not [said for said in heard() if "no Raqm" not in said]  # Arabic without FriBiDi


def test_a_word_with_one_foreign_letter_is_in_one_font_and_so_is_the_latin_around_it():
    for line in ("Füchse im Schnee", "żółć", "x\u0301 y"):
        assert {run.font.getname()[0] for run in Typeface(13, [line])._runs(line)} == {
            "DejaVu Sans"
        }
    names = [run.font.getname()[0] for run in Typeface(13, ["fox, лиса 12"])._runs("fox, лиса 12")]
    assert names == ["Aileron", "DejaVu Sans"]


@raqm
@pytest.mark.parametrize("text", ["ثعلب في الثلج", "שועל בשלג", "ثعلب 35 (مم)"])
def test_what_reads_from_right_to_left_is_ordered_and_joined_as_raqm_does_it(text):
    font = bundled()
    paper = Image.new("L", (400, 60), 255)
    ImageDraw.Draw(paper).text(
        (20, 30), text, font=font, fill="black", anchor="ls", direction="rtl"
    )
    right = paper.crop(ImageChops.invert(paper).getbbox())
    assert same(drawn(text), right)


@raqm
def test_arabic_letters_are_joined():
    joined, apart = drawn("ببب"), drawn("ب\u200cب\u200cب")  # which a non-joiner parts
    assert joined.width < 0.8 * apart.width
    assert (np.asarray(joined) < 230).any(axis=0).all()  # one stroke from end to end


@raqm
@pytest.mark.parametrize(
    ("line", "order"),
    [
        ("fox ثعلب end", ["fox ", "ثعلب", " ", "end"]),
        ("שועל (fox) בשלג 12", [") בשלג 12", "fox", "שועל ("]),
        ("a שועל 12 b", ["a ", "שועל 12", " ", "b"]),
        ("12 שועל", ["12 שועל"]),
    ],
)
def test_lines_of_two_directions_are_ordered_as_unicode_says(line, order):
    """Worked out by hand from https://www.unicode.org/reports/tr9/."""
    assert [run.text for run in Typeface(13, [line])._runs(line)] == order


def test_other_scripts_come_from_the_systems_fonts(fonts, heard):
    write(fonts / "han.ttf", FOX + SNOW)
    line = f"a {FOX}{SNOW} b"
    assert [run.text for run in Typeface(13, [line])._runs(line)] == ["a ", f"{FOX}{SNOW}", " b"]
    # as that font draws it, for which a letter is a w
    assert same(drawn(FOX), drawn_by(ImageFont.truetype(fonts / "han.ttf", 13), FOX))
    assert heard() == []


def drawn_by(font, text):
    paper = Image.new("L", (100, 60), 255)
    ImageDraw.Draw(paper).text((20, 30), text, font=font, fill="black", anchor="ls")
    return paper.crop(ImageChops.invert(paper).getbbox())


def test_what_no_font_has_is_said_once_a_script_with_the_letters_and_what_to_install(fonts, heard):
    tile = Image.new("RGB", (128, 32))
    for _ in range(2):
        image_grid([tile] * 2, labels=[f"{FOX}{SNOW}", "여우 🦊"], title=f"{FOX} foxes लो")
    said = "\n".join(heard())
    assert said.count(f"{FOX}") == 1
    for words in ("(CJK)", "여우 (Hangul)", "fonts-noto-cjk", "🦊 (emoji)", "ल (Devanagari)",
                  "apt-get install fonts-noto-core"):  # fmt: skip
        assert said.count(words) == 1, words
    assert len(heard()) == 3  # one sentence for each thing to install


def test_two_different_labels_never_look_the_same(fonts):
    write(fonts / "han.ttf", "狐")
    tile = Image.new("RGB", (128, 32))
    words = ["狐", "лиса", "αλεπού", "żółć", "zolc", "שועל", "ثعلب", "×", "x", "½"]
    words += [
        "狸",
        "狸狐",
        "狐狸",
        "여우",
        "우여",
        "🦊",
        "🐻",
        "लो",
        "ली",
        "a ली",
    ]  # in no font here
    looks = {image_grid([tile], labels=[word]).tobytes() for word in words}
    assert len(looks) == len(words)


def test_a_letter_that_no_font_has_is_a_box_with_its_code_point_among_the_others(fonts):
    runs = Typeface(13, ["a 狐 b"])._runs("a 狐 b")
    assert [run.text for run in runs] == ["a ", "狐", " b"]
    box = drawn("狐")
    digits = ImageFont.load_default(8)
    upper, lower = (drawn_by(digits, text) for text in ("72", "D0"))
    inside = np.asarray(box)[1:-1, 1:-1]
    for text in (upper, lower):
        shape = np.asarray(text)
        windows = np.lib.stride_tricks.sliding_window_view(inside, shape.shape)
        assert np.abs(windows.astype(int) - shape).mean((2, 3)).min() < 40
    assert (np.asarray(box)[[0, -1]] < 128).all()


def test_lines_break_between_letters_and_never_before_a_mark(fonts):
    word = "x\u0301" * 60
    assert all(len(piece) == 2 for piece in text_line.clusters(word))
    tile = Image.new("RGB", (64, 8), "white")
    for text in (word, "ж" * 60, "ü" * 60, "ثعلب" * 20):
        plain, long = (image_grid([tile] * 2, labels=[label, " "]) for label in (" ", text))
        assert long.width == plain.width
        assert long.height > plain.height
        right = long.crop((64 + 6 + 3, 8, long.width, long.height))
        assert right.getcolors() == [(right.width * right.height, (255, 255, 255))]


def test_highest_letters_are_not_cut(fonts):
    """Ink reaches neither edge of the space that a label has."""
    tile = Image.new("RGB", (128, 8), "white")
    grid = np.asarray(image_grid([tile], labels=["Ǻ̂ Ếǭ̧ ỵ Ụ̣ Й́"]).convert("L"))
    assert (grid[14:-1] < 200).any()
    assert (grid[-3:] == 255).all()
    assert (grid[:14] == 255).all()


def test_controls_and_selectors_leave_no_trace():
    assert same(drawn("a\x1b\u202eb\ufe0f"), drawn("ab"))
    assert drawn("\x1b") is None


def test_without_raqm_it_is_said_once_and_hebrew_still_reads_from_right_to_left(monkeypatch, heard):
    monkeypatch.setattr(text_line, "_has_raqm", lambda: False)
    text_line._font.cache_clear()
    try:
        for _ in range(2):
            [run] = Typeface(13, ["שועל"])._runs("שועל")
            assert run.text == "שועל"[::-1]
            assert run.options == {}
            drawn("שועל ثعلب")
    finally:
        text_line._font.cache_clear()
    assert len(heard()) == 1
    assert "Pillow finds no Raqm here, so Hebrew is drawn letter by letter" in heard()[0]
