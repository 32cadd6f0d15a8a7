"""Files that are written whole or not at all."""

import os
import unicodedata

import pytest

from sdnb import files
from sdnb.files import replacing


def write(path, text="new"):
    with replacing(path, ".html") as part:
        part.write_text(text)


def test_what_is_written_takes_the_place_of_the_old_file(tmp_path):
    write(tmp_path / "a.html", "old")
    write(tmp_path / "a.html", "new")
    assert (tmp_path / "a.html").read_text() == "new"
    assert os.listdir(tmp_path) == ["a.html"]


def test_a_failure_half_way_leaves_the_old_file_and_nothing_else(tmp_path):
    write(tmp_path / "a.html", "old")

    def interrupted():
        with replacing(tmp_path / "a.html", ".html") as part:
            part.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert (tmp_path / "a.html").read_text() == "old"
    assert os.listdir(tmp_path) == ["a.html"]


def test_the_file_may_be_read_by_whom_the_umask_allows(tmp_path):
    before = os.umask(0o022)
    try:
        write(tmp_path / "a.html")
    finally:
        os.umask(before)
    assert (tmp_path / "a.html").stat().st_mode & 0o777 == 0o644


def test_where_nothing_can_be_written_is_told_before_the_work(tmp_path):
    (tmp_path / "folder.html").mkdir()
    for path, error, sentence in [
        (tmp_path / "a.txt", ValueError, r"a\.txt does not end in \.html"),
        (tmp_path / "folder.html", ValueError, "is a folder"),
        (tmp_path / "none" / "a.html", FileNotFoundError, "there is no folder"),
    ]:
        with pytest.raises(error, match=sentence), replacing(path, ".html"):
            pytest.fail("the block was run")
    assert os.listdir(tmp_path) == ["folder.html"]


@pytest.mark.parametrize(
    "prompt",
    [
        "एक सुंदर लोमड़ी", "ภูเขา", "செலவு", "狐狸", "лиса", "ثعلب",
        unicodedata.normalize("NFD", "café crème"),
    ],
)  # fmt: skip
def test_a_name_made_from_a_prompt_keeps_the_letters_of_every_script(prompt):
    assert files.free_name(prompt).stem == prompt.replace(" ", "-")


def test_a_long_name_ends_between_letters_and_fits_every_file_system():
    for letter in ("a", "é", "लि", "เก้า", "𠀀", unicodedata.normalize("NFD", "é")):
        stem = files.free_name(letter * 200).stem
        assert 0 < len(f"{stem}_99-100.png".encode()) < 255
        whole = len(stem) // len(letter) * len(letter)
        assert stem == (letter * 200)[:whole] or unicodedata.category(letter[-1])[0] != "M"


@pytest.mark.parametrize("prompt", ["con", "AUX", "nul!", "com1", "LPT9", "prn"])
def test_no_file_is_named_as_windows_names_its_devices(prompt):
    stem = files.free_name(prompt).stem
    assert stem == f"{prompt.lower().strip('!')}-picture"
