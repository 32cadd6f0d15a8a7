"""Files that are written whole or not at all."""

import os

import pytest

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
