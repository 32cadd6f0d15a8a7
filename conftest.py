"""What all tests share, the notebooks' too, and `python -m sdnb.nbtest --update`."""

import os

import pytest

collect_ignore = ["tests/support/interrupts.py"]  # a program, which a test starts

# the notebooks are stored and checked without progress bars, which a stored page cannot move
os.environ["TQDM_DISABLE"] = "1"
os.environ["SDNB_TIMES"] = "off"
# torch would start as many threads in each process as there are cores
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
# The notebooks' stored outputs are of a CPU; whoever names a model wants it on their GPU.
if "SDNB_MODEL" not in os.environ:
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["SDNB_STORE"] = "off"  # a picture from an earlier run would prove nothing
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test needs the network


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
