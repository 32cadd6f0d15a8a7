"""Files of pictures: whose an error is."""

import numpy as np
import pytest
from PIL import Image

from sdnb import image_file, image_input


@pytest.mark.parametrize("error", [KeyError("mine"), FileNotFoundError("mine"), ValueError("mine")])
def test_an_error_of_the_callers_own_stays_what_it_is(error, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    with pytest.raises(type(error)) as raised, image_file.opening(tmp_path / "a.png", "a.png"):
        raise error
    assert raised.value is error


def test_a_file_of_numbers_that_are_no_levels_is_said_to_be_that_once(tmp_path):
    Image.fromarray(np.full((8, 8), 1.5, "float32")).save(tmp_path / "deep.tiff")
    with pytest.raises(ValueError, match="numbers up to 1") as raised:
        image_input.picture(tmp_path / "deep.tiff")
    assert "not a picture" not in str(raised.value)


def test_memory_that_runs_out_at_a_conversion_is_a_sentence(tmp_path, monkeypatch):
    Image.new("P", (8, 8)).save(tmp_path / "large.png")

    def out_of_memory(*_):
        raise MemoryError

    monkeypatch.setattr(Image.Image, "convert", out_of_memory)
    with pytest.raises(ValueError, match=r"large\.png is not a picture .* too large"):
        image_input.picture(tmp_path / "large.png")
