"""Memory for a model: what is evicted for it, and what is not."""

import pytest

from sdnb.models import device, memory

GB = 10**9


@pytest.fixture
def room(monkeypatch):
    """A GPU of 16 GB beside 8 GB of main memory, and two loaded pipelines that may go."""
    free, there = {"cuda": 4 * GB, "cpu": 8 * GB}, {"one": 5 * GB, "two": 7 * GB}
    monkeypatch.setattr(device, "free_memory", lambda where: free[where])
    monkeypatch.setattr(memory, "held", lambda pipe, where: there[pipe] * (where == "cuda"))
    loaded = {name: name for name in there}

    def forget(name):
        free["cuda"] += there[loaded.pop(name)]
        return True

    return loaded, forget


def need(of, reading, **more):
    parts = {"transformer": of * GB * 3 // 4, "vae": of * GB // 4}
    return memory.Need("a/b", memory.Size(parts, reading * GB), "float16", **more)


def test_what_fits_after_one_has_gone_lets_one_go(room):
    loaded, _ = room
    assert memory.make(need(8, 3), "cuda", *room).whole
    assert list(loaded) == ["two"]


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (need(8, 9), "which passes through the main memory, where 8,000 MB are free"),
        (need(40, 3), "its largest part 33,000 MB; on the GPU 4,000 MB are free"),
        (need(18, 9), "which passes through the main memory"),
        (need(18, 3, turns=False), "sdnb does not offload modular pipelines"),
    ],
)
def test_a_model_that_is_refused_evicts_nothing(room, wanted, said):
    loaded, _ = room
    with pytest.raises(MemoryError, match=said):
        memory.make(wanted, "cuda", *room)
    assert list(loaded) == ["one", "two"]


def test_what_would_fit_instead_is_said_with_what_would_be_free(room):
    less = {"quantize='fp8'": memory.Size({"transformer": 10 * GB}, 3 * GB)}
    with pytest.raises(MemoryError, match="With quantize='fp8' it takes 11,000 MB"):
        memory.make(need(40, 3, less=less), "cuda", *room)
