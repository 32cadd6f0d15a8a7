"""Which letters a font holds, against fontTools; and which font of the system holds a letter."""

import io
import unicodedata
from pathlib import Path

import pytest
from PIL import ImageFont

from sdnb.display import font_files

ttlib = pytest.importorskip("fontTools.ttLib")

FOX, SNOW = "狐", "雪"  # letters that the bundled font lacks


@pytest.fixture
def fonts(tmp_path, monkeypatch):
    """An empty folder as the only one where the system has fonts."""
    monkeypatch.setattr(font_files, "_known_folders", lambda: [str(tmp_path)])
    monkeypatch.setattr(font_files, "_listed_folders", lambda: [])
    monkeypatch.setattr(font_files, "_complete", {})
    font_files.ranges_in.cache_clear()
    return tmp_path


def write(path, letters):
    """A font that draws those letters, each as the bundled font's w."""
    font = ttlib.TTFont(font_files.BUNDLED)
    for table in font["cmap"].tables:
        if table.isUnicode():
            table.cmap = {ord(letter): table.cmap[ord("w")] for letter in letters}
    font.save(path)
    return str(path)


def codes(ranges):
    return {code for first, last in ranges for code in range(first, last + 1)}


@pytest.mark.parametrize("which", ["Pillow's own", "bundled", "bundled, in a collection"])
def test_the_letters_of_a_font_are_those_that_fonttools_finds(which):
    if which == "Pillow's own":
        content = ImageFont.load_default(13).font_bytes
    else:
        content = Path(font_files.BUNDLED).read_bytes()
    there = {code for code in ttlib.TTFont(io.BytesIO(content)).getBestCmap() if code}
    if "collection" in which:
        pair, buffer = ttlib.TTCollection(), io.BytesIO()
        pair.fonts = [ttlib.TTFont(io.BytesIO(content)) for _ in range(2)]
        pair.save(buffer)
        content = buffer.getvalue()
    assert codes(font_files.ranges_of(content)) - {0} == there


@pytest.mark.parametrize("content", [b"", b"ttcf", b"\0\1\0\0\0\x10", b"no font at all" * 9])
def test_what_is_no_font_holds_nothing(content, tmp_path):
    assert font_files.ranges_of(content) == ()
    (tmp_path / "a.ttf").write_bytes(content)
    assert font_files.ranges_in(str(tmp_path / "a.ttf")) == ()
    assert font_files.ranges_in(str(tmp_path / "none.ttf")) == ()


def test_the_bundled_font_holds_the_letters_and_signs_that_it_promises():
    """All of Unicode's letters of these blocks but the youngest, such as U+0526 to U+052F."""
    promised = {
        "Latin": range(0xA0, 0x250), "Vietnamese": range(0x1EA0, 0x1EFA),
        "Greek": [*range(0x386, 0x3CF)], "Greek with accents": range(0x1F00, 0x1FFF),
        "Cyrillic": range(0x400, 0x526), "Hebrew": range(0x5D0, 0x5EB),
        "Arabic": [*range(0x621, 0x63B), *range(0x640, 0x64B)],
        "Persian and Urdu": map(ord, "پچژکگیٹڈڑںھ۰۹"),
        "Armenian": range(0x561, 0x588), "Georgian": range(0x10D0, 0x10F1),
        "signs": map(ord, "×÷±≈≠≤≥∞√∑∫∂→←↑↓⇒½¼¾°µ€£¥₹₽₺₴№™©®†‡•…–—“”„«»‰′″☀☂★♥✓"),
    }  # fmt: skip
    ranges = font_files.ranges_in(font_files.BUNDLED)
    for name, block in promised.items():
        known = [chr(code) for code in block if unicodedata.category(chr(code)) != "Cn"]
        lacking = [c for c in known if c != "\xad" and not font_files.holds(ranges, c)]
        assert lacking == [], name


def test_a_font_that_is_installed_later_is_found_without_a_new_start(fonts):
    assert font_files.covering(FOX) == {}
    path = write(fonts / "later.ttf", FOX)
    assert font_files.covering(FOX) == {FOX: path}


def test_as_few_fonts_as_are_needed_and_plain_ones_first(fonts):
    bold, both, fox = (
        write(fonts / name, letters)
        for name, letters in (("A-Bold.ttf", FOX + SNOW), ("B.ttf", FOX + SNOW), ("C.ttf", FOX))
    )
    assert font_files.covering(FOX + SNOW) == {FOX: both, SNOW: both}
    assert font_files.system_fonts()[-1] == bold
    assert fox in font_files.system_fonts()
    write(fonts / "LastResort.ttf", FOX)  # whose glyphs are boxes
    assert not [path for path in font_files.system_fonts() if "LastResort" in path]


def test_a_font_of_coloured_pictures_alone_is_not_chosen(fonts):
    path = write(fonts / "emoji.ttf", FOX)
    font = ttlib.TTFont(path)
    font["sbix"] = ttlib.newTable("sbix")
    font["sbix"].strikes = {}
    font.save(path)
    assert font_files.ranges_in(path) == ()
