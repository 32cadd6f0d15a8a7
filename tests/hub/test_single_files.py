"""Models in a single file on the hub, from a server on loopback."""
# ruff: noqa: F811

import hashlib
import re

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

import sdnb
from sdnb.hub import gguf as gguf_headers
from sdnb.models import device
from tests.hub.test_repository import _cache_as_before, server, small  # noqa: F401
from tests.support import checkpoints, toys
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


@pytest.fixture(scope="module")
def flux(tmp_path_factory):
    """Flux' toy as a folder, and its transformer's weights."""
    folder = toys.saved("Flux", tmp_path_factory.mktemp("flux"))
    return folder, load_file(folder / "transformer" / "diffusion_pytorch_model.safetensors")


@pytest.mark.parametrize("beside", ["a repository of its own", "its model's"])
def test_a_gguf_file_of_the_hub_is_the_one_on_the_disk(
    beside, hub, flux, tmp_path
):  # fmt: skip
    """As city96 keeps them, with `config=`; and beside the settings of the model."""
    pytest.importorskip("gguf", reason="pip install 'sdnb[gguf]'")
    toy, weights = flux
    folder = toy if beside == "its model's" else tmp_path / "dream-gguf"
    folder.mkdir(exist_ok=True)
    file = checkpoints.write_gguf(weights, folder / "dream-Q8_0.gguf")
    hub.repositories["someone/flux"] = Repository(toy)
    hub.repositories["someone/dream-gguf"] = Repository(folder)
    config = {} if beside == "its model's" else {"config": "someone/flux"}
    how = {"seed": 1, "steps": 2, "width": 64, "height": 64}
    name = "someone/dream-gguf/dream-Q8_0.gguf"
    pipe = sdnb.load(name, **PLAIN | {"config": None} | config)
    sample = sdnb.generate("a fox", **how, pipe=pipe)
    on_disk = sdnb.load(file, config=toy, device="cpu", dtype="float32")
    assert np.array_equal(sample.image, sdnb.generate("a fox", **how, pipe=on_disk).image)
    assert (sample.facts["model"], sample.facts["revision"]) == (name, COMMIT)
    assert sample.facts["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    part = f'"someone/dream-gguf", "dream-Q8_0.gguf", revision="{COMMIT}"'
    assert f"file = hf_hub_download({part})" in sample.code()
    assert "GGUFQuantizationConfig(compute_dtype=torch.float32)" in sample.code()
    assert not [
        at for at, _ in hub.spans if at.endswith("transformer/diffusion_pytorch_model.safetensors")
    ]
    hub.stop()
    sdnb.clear()
    again = sdnb.load(name, **PLAIN | {"config": None} | config)
    assert np.array_equal(sample.image, sdnb.generate("a fox", **how, pipe=again).image)


def test_memory_is_asked_for_before_a_gguf_file_is_downloaded(hub, flux, monkeypatch):
    """From its header, which here is longer than the first request."""
    pytest.importorskip("gguf", reason="pip install 'sdnb[gguf]'")
    toy, weights = flux
    checkpoints.write_gguf(weights, toy / "dream-Q8_0.gguf")
    hub.repositories["someone/flux"] = Repository(toy)
    monkeypatch.setattr(device, "free_memory", lambda _: 1000)
    monkeypatch.setattr(gguf_headers, "FIRST", 200)
    with pytest.raises(MemoryError, match=r"someone/flux/dream-Q8_0\.gguf needs "):
        sdnb.load("someone/flux/dream-Q8_0.gguf", **PLAIN | {"config": None})
    spans = [span for file, span in hub.spans if file.endswith(".gguf")]
    assert spans[0] == "bytes=0-199"
    assert len(spans) > 1
    assert None not in spans, "its header alone"
