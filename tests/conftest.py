import os

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # the tests need no network


@pytest.fixture(scope="session")
def pipe():
    """The embedded model in float32, loaded once."""
    import sdnb

    return sdnb.load("emoji", dtype="float32", device="cpu")


@pytest.fixture
def heard(caplog):
    """The sentences that the library said during the test."""
    caplog.set_level("INFO", logger="sdnb")
    return lambda: [r.getMessage() for r in caplog.records if r.name == "sdnb"]
