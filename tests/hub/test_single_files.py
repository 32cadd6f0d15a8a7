"""Models in a single file on the hub, from a server on loopback."""
# ruff: noqa: F811

import re

import pytest
from safetensors.torch import load_file, save_file

import sdnb
from sdnb.models import device
from tests.hub.test_repository import _cache_as_before, server, small  # noqa: F401
from tests.support import checkpoints
from tests.support.hub_server import COMMIT, Repository

FILE = "someone/dream/old/dream.safetensors"
PLAIN = {"config": "someone/toy", "device": "cpu", "dtype": "float32"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    toy, pipe = checkpoints.saved(checkpoints.sd1, folder)
    (folder / "dream" / "old").mkdir(parents=True)
    file = checkpoints.write(pipe, folder / "dream" / "old" / "dream.safetensors")
    names = load_file(file)
    part = {n: x for n, x in names.items() if n.startswith("model.")}
    save_file(part, folder / "dream" / "unet.safetensors")
    return toy, folder / "dream"


@pytest.fixture
def hub(server, folders):
    toy, dream = folders
    server.repositories |= {"someone/toy": Repository(toy), "someone/dream": Repository(dream)}
    return server


def sent(hub):
    return {file.partition("/pipeline/")[2] or file.rpartition("/")[2] for file, _ in hub.spans}


def test_a_file_of_the_hub_loads_with_its_settings_and_nothing_else(hub, heard):
    pipe = sdnb.load(FILE, **PLAIN)
    sample = sdnb.generate("a fox", steps=1, seed=1, width=64, height=64, pipe=pipe)
    facts = sample.facts
    assert (facts["model"], facts["revision"], facts["config"]) == (FILE, COMMIT, "someone/toy")
    assert re.fullmatch("[0-9a-f]{64}", facts["sha256"])
    file = f'"someone/dream", "old/dream.safetensors", revision="{COMMIT}"'
    assert f"file = hf_hub_download({file})" in sample.code()
    assert f'config="someone/toy", revision="{COMMIT}"' in sample.code()
    assert [name for name in sent(hub) if name.endswith("safetensors")] == ["dream.safetensors"]
    assert any(s.startswith(f"Downloading {FILE}: ") for s in heard())


def test_what_the_file_lacks_comes_from_its_settings_repository(hub):
    sdnb.load("someone/dream/unet.safetensors", **PLAIN)
    weights = {name for name in sent(hub) if name.endswith("safetensors")}
    assert weights == {
        "unet.safetensors", "text_encoder/model.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
    }  # fmt: skip


def test_without_a_network_what_is_cached_is_taken(hub, heard):
    first = sdnb.load(FILE, **PLAIN)
    made = sdnb.generate("a fox", steps=1, seed=1, width=64, height=64, pipe=first)
    hub.stop()
    sdnb.clear()
    again = sdnb.load(FILE, **PLAIN)
    sample = sdnb.generate("a fox", steps=1, seed=1, width=64, height=64, pipe=again)
    assert sample.facts["sha256"] == made.facts["sha256"]
    assert sample.facts["revision"] == COMMIT
    assert f"The hub cannot be reached, so {FILE} is taken from the cache." in heard()


def test_settings_that_cannot_be_had_are_named(hub, folders):
    file = folders[1] / "old" / "dream.safetensors"
    hub.stop()
    with pytest.raises(
        ConnectionError, match=r"needs the settings of someone/toy \(its \.json and"
    ):
        sdnb.load(file, **PLAIN)


def test_memory_is_asked_for_before_the_download(hub, monkeypatch):
    sdnb.clear()
    monkeypatch.setattr(device, "free_memory", lambda _: 1000)
    with pytest.raises(MemoryError, match=re.escape(f"{FILE} needs ")):
        sdnb.load(FILE, **PLAIN)
    spans = [span for file, span in hub.spans if file.endswith("dream.safetensors")]
    assert spans
    assert None not in spans, "its header alone"


def test_a_file_that_is_not_there_is_told_with_those_that_are(hub):
    with pytest.raises(FileNotFoundError, match=r"no x\.safetensors in someone/dream; it has unet"):
        sdnb.load("someone/dream/x.safetensors", **PLAIN)
