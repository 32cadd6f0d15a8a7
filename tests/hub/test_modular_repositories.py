"""Modular pipelines whose parts lie in several repositories, from a server on loopback."""
# ruff: noqa: F811

import json

import numpy as np
import pytest

import sdnb
from sdnb.generation import sample_facts
from tests.hub.test_repository import _cache_as_before, server, small  # noqa: F401
from tests.support import modular_families
from tests.support.hub_server import COMMIT, Repository

SETTINGS = {"steps": 1, "seed": 1, "width": 32, "height": 32, "store": False}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A repository without a VAE, and another that has it."""
    own, other = (tmp_path_factory.mktemp(name) for name in ("own", "other"))
    toy = modular_families.made("FluxModularPipeline")
    toy.save_pretrained(str(own), overwrite_modular_index=True)
    (own / "vae").rename(other / "vae")
    index = json.loads((own / "modular_model_index.json").read_text())
    for name, part in index.items():
        if isinstance(part, list) and part[2].get("pretrained_model_name_or_path"):
            place = "someone/other" if name == "vae" else "someone/own"
            part[2]["pretrained_model_name_or_path"] = place
    (own / "modular_model_index.json").write_text(json.dumps(index))
    return own, other


@pytest.fixture
def hub(server, folders):
    own, other = folders
    server.repositories |= {"someone/own": Repository(own), "someone/other": Repository(other)}
    return server


def test_the_commits_of_all_repositories_are_in_the_record_the_key_and_the_code(hub):
    pipe = sdnb.load("someone/own", device="cpu", dtype="float32")
    sample = sdnb.generate("a fox", pipe=pipe, **SETTINGS)
    assert sample.facts["revision"] == COMMIT
    assert sample.facts["other_parts"] == {"vae": COMMIT}
    assert sample_facts.made_by(sample.settings, pipe)["other_parts"] == {"vae": COMMIT}
    code = sample.code()
    assert f'ModularPipeline.from_pretrained("someone/own", revision="{COMMIT}")' in code
    assert f'revision={{"default": "{COMMIT}", "vae": "{COMMIT}"}})' in code
    scope = {}
    exec(code, scope)
    assert np.array_equal(np.asarray(sample.image), np.asarray(scope["image"]))


def test_without_a_network_what_is_cached_of_all_is_taken(hub, heard):
    first = sdnb.generate(
        "a fox", pipe=sdnb.load("someone/own", device="cpu", dtype="float32"), **SETTINGS
    )
    hub.stop()
    sdnb.clear()
    again = sdnb.generate(
        "a fox", pipe=sdnb.load("someone/own", device="cpu", dtype="float32"), **SETTINGS
    )
    assert np.array_equal(np.asarray(first.image), np.asarray(again.image))
    assert "The hub cannot be reached, so someone/other is taken from the cache." in heard()


def test_a_repository_that_is_gone_is_named(hub):
    del hub.repositories["someone/other"]
    with pytest.raises(OSError, match="someone/other"):
        sdnb.load("someone/own", device="cpu", dtype="float32")
