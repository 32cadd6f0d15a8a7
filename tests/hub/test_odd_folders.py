"""Models as they lie on disks: in folders that other programs were in, and in the hub's cache."""

import shutil

import pytest
from huggingface_hub import constants

import sdnb
from sdnb import emoji


def files(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def what_a_mac_leaves(folder):
    for path in files(folder):
        path.with_name(f"._{path.name}").write_bytes(b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X")


def half_precision_alone(folder):
    for path in folder.rglob("*.safetensors"):
        path.rename(path.with_suffix(".fp16.safetensors"))


def what_the_hub_s_client_leaves(folder):
    for path in files(folder):
        kept = folder / ".cache/huggingface/download" / f"{path.relative_to(folder)}.metadata"
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text("commit\netag\n1\n")


def links(folder):
    (blobs := folder.parent / "blobs").mkdir()
    for i, path in enumerate(files(folder)):
        shutil.move(path, blobs / str(i))
        path.symlink_to(blobs / str(i))


@pytest.mark.parametrize(
    "change",
    [what_a_mac_leaves, half_precision_alone, what_the_hub_s_client_leaves, links],
    ids=lambda change: change.__name__,
)
def test_a_folder_loads_whatever_lies_in_it_and_whatever_its_name(change, tmp_path):
    folder = shutil.copytree(emoji.FOLDER, tmp_path / "Modèle à moi 模型")
    change(folder)
    pipe = sdnb.load(folder, device="cpu")
    assert sdnb.generate("a fox", steps=1, seed=1, pipe=pipe, store=False).image.size == (128, 128)
    sdnb.clear()


@pytest.fixture
def cached(tmp_path, monkeypatch):
    """Puts a model into the hub's cache, as another program did; there is no network."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

    def put(name, ref, commit):
        root = tmp_path / f"models--me--{name}"
        shutil.copytree(emoji.FOLDER, root / "snapshots" / commit)
        (root / "refs" / ref).parent.mkdir(parents=True, exist_ok=True)
        (root / "refs" / ref).write_text(commit)
        return root / "snapshots" / commit

    return put


@pytest.mark.parametrize(
    ("ref", "revision"),
    [("main", None), ("main", "a" * 40), ("fp16", "fp16"), ("refs/pr/3", "refs/pr/3")],
)
def test_what_another_program_put_into_the_cache_loads_offline(cached, ref, revision):
    cached("model", ref, "a" * 40)
    pipe = sdnb.load("me/model", device="cpu", revision=revision)
    made = sdnb.generate("a fox", steps=1, seed=1, pipe=pipe, store=False)
    assert (made.facts["model"], made.facts["revision"]) == ("me/model", "a" * 40)
    sdnb.clear()


def test_another_branch_or_a_part_in_the_cache_is_told_so(cached):
    cached("model", "fp16", "a" * 40)
    with pytest.raises(OSError, match="me/model"):
        sdnb.load("me/model", device="cpu")
    (cached("part", "main", "b" * 40) / "unet" / "config.json").unlink()
    with pytest.raises(OSError, match="Only a part of me/part was downloaded"):
        sdnb.load("me/part", device="cpu")
