"""Loading from the hub: huggingface_hub's own client against a server on loopback."""

import errno
import json
import os
import re
import shutil
import subprocess
import sys
import types
from pathlib import Path

import diffusers
import huggingface_hub
import nbformat
import pytest
import torch
from huggingface_hub import constants
from huggingface_hub.utils import _auth
from safetensors import safe_open
from safetensors.torch import save_file

import sdnb
from sdnb import emoji, login, pipeline_class
from sdnb.hub import errors as hub_errors
from sdnb.hub import headers, pipeline_files, repository
from sdnb.models import cache, provenance
from tests.support import toys
from tests.support.hub_server import COMMIT, Hub, Repository

MODEL = "someone/small"
TOKEN = "hf_" + "planted" * 5
UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """A pipeline of 3 MB, whose parts are whole, and twice: in float32 and as the variant fp16."""
    folder = tmp_path_factory.mktemp("small")
    torch.manual_seed(0)
    pipe = diffusers.StableDiffusionPipeline.from_pretrained(
        emoji.FOLDER,
        unet=diffusers.UNet2DConditionModel(
            sample_size=8, in_channels=16, out_channels=16, layers_per_block=1,
            block_out_channels=(32, 32), cross_attention_dim=192, norm_num_groups=8,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        ),
    )  # fmt: skip
    pipe.save_pretrained(folder)
    pipe.to(torch.float16).save_pretrained(folder, variant="fp16")
    (folder / "whole.ckpt").write_bytes(b"x" * 1000)  # what nobody needs
    return folder


@pytest.fixture
def server(small, tmp_path, monkeypatch):
    """The hub, as the client finds it by its settings; an empty cache, no token, and no waiting."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "SDNB_MODEL", "CI", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with Hub() as running:
        running.repositories[MODEL] = Repository(small)
        running.users[TOKEN] = "ada"
        settings = {
            "ENDPOINT": running.url,
            "HUGGINGFACE_CO_URL_TEMPLATE": running.url + "/{repo_id}/resolve/{revision}/{filename}",
            "HF_HUB_OFFLINE": False,
            "HF_HUB_CACHE": str(tmp_path / "cache"),
            "HF_TOKEN_PATH": str(tmp_path / "token"),
            "HF_STORED_TOKENS_PATH": str(tmp_path / "tokens"),
            "HF_HUB_DOWNLOAD_TIMEOUT": 1,
            "HF_HUB_DISABLE_XET": True,
            "DOWNLOAD_CHUNK_SIZE": 50_000,
        }
        monkeypatch.setattr(repository, "LARGE", 100_000)
        for name, value in settings.items():
            monkeypatch.setattr(constants, name, value)
        yield running
        huggingface_hub.close_session()


@pytest.fixture(autouse=True)
def _cache_as_before():
    kept, last = dict(cache._loaded), list(cache._current)
    yield
    cache._loaded.clear()
    cache._loaded.update(kept)
    cache._current[:] = last


def fetch(model=MODEL, revision=None, variant="auto", half=False, use_safetensors=True):
    """What `load` does before it needs torch."""
    return repository.download(
        repository.listing(model, revision, variant, half, use_safetensors), revision
    )  # fmt: skip


def numbers(found):
    """How many numbers each part's weights hold, by the headers of their files."""
    return {
        part: sum(tensor.numbers for tensor in tensors.values())
        for part, tensors in headers.of_listing(found).items()
    }


# ---------------------------------------------------------------- what goes well


def test_a_model_of_the_hub_loads_once_and_its_pictures_name_the_commit(server, heard):
    pipe = sdnb.load(MODEL, device="cpu", dtype="float32")
    asked = server.asked.total()
    assert sdnb.load(MODEL, device="cpu", dtype="float32") is pipe
    assert server.asked.total() == asked
    sample = sdnb.generate("a fox", steps=1, seed=1, pipe=pipe)
    assert (sample.facts["model"], sample.facts["revision"]) == (MODEL, COMMIT)
    assert f'"{MODEL}", revision="{COMMIT}"' in sample.code()
    said = (
        r"Downloading someone/small: \d+ MB to .*, where [\d,]+ MB are free\. It takes \d+ MB of "
    )
    assert any(re.match(said + r"memory, [\d,]+ MB are free\.$", s) for s in heard())
    assert ("GET", f"{MODEL}/resolve/{COMMIT}/whole.ckpt") not in server.asked


def test_a_different_revision_is_another_entry(server):
    plain = {"device": "cpu", "dtype": "float32"}
    one, other = sdnb.load(MODEL, **plain), sdnb.load(MODEL, revision=COMMIT, **plain)
    assert one is not other
    assert sdnb.load(MODEL, revision=COMMIT, **plain) is other
    assert sdnb.load(MODEL, **plain) is one


def test_only_the_variant_that_is_wanted_is_downloaded(server):
    assert sdnb.load(MODEL, device="cpu", dtype="bfloat16").dtype == torch.bfloat16
    got = {Path(path).name for method, path in server.asked if method == "GET"}
    assert "diffusion_pytorch_model.fp16.safetensors" in got
    assert "diffusion_pytorch_model.safetensors" not in got
    fetch(half=False)
    assert ("GET", f"{MODEL}/resolve/{COMMIT}/{UNET}") in server.asked


def test_what_is_in_the_cache_needs_no_hub(server, heard):
    folder = fetch()
    server.repositories.clear()
    server.faults[""] = 503
    assert fetch() == folder
    server.stop()
    assert fetch() == folder
    assert sum("is taken from the cache" in s for s in heard()) == 2


@pytest.mark.parametrize("cached", [False, True])
def test_what_a_model_needs_is_told_by_the_dtype_in_its_files(cached, server, small, tmp_path):
    folder = shutil.copytree(small, tmp_path / "half")
    for file in folder.rglob("*.fp16.safetensors"):  # half precision without saying so
        file.replace(file.with_name(file.name.replace(".fp16", "")))
    server.repositories[MODEL] = Repository(folder)
    if cached:
        fetch()
    counted = numbers(repository.listing(MODEL, None, "auto", True, True))
    pipe = diffusers.StableDiffusionPipeline.from_pretrained(folder)
    for part in ("unet", "vae", "text_encoder"):
        assert counted[part] == sum(x.numel() for x in getattr(pipe, part).state_dict().values())
    asked = [span for name, span in server.spans if name.endswith(".safetensors")]
    assert set(asked) == ({None} if cached else {"bytes=0-100000"})


def test_an_id_that_has_moved_is_followed(server, small, heard):
    new = repository.MOVED["runwayml/stable-diffusion-v1-5"]
    server.repositories[new] = Repository(small)
    pipe = sdnb.load("runwayml/stable-diffusion-v1-5", device="cpu")
    assert provenance.origin_of(pipe).model == new
    assert (
        f"runwayml/stable-diffusion-v1-5 is no longer on the hub; the same weights are at {new}."
        in heard()
    )


def test_an_id_that_has_moved_is_found_under_its_old_name_where_there_is_no_network(
    server, small, heard
):
    old = "runwayml/stable-diffusion-v1-5"
    server.repositories[old] = Repository(small)
    fetch(old)
    server.stop()
    pipe = sdnb.load(old, device="cpu", dtype="float32")
    assert provenance.origin_of(pipe).model == old
    assert heard()[-1] == f"The hub cannot be reached, so {old} is taken from the cache."


def sent(server):
    return [span for file, span in server.spans if file.endswith(UNET)]


def test_a_line_that_breaks_is_taken_up_again_where_it_broke(server, small):
    server.faults[UNET] = "die"
    folder = fetch()
    assert (folder / UNET).read_bytes() == (small / UNET).read_bytes()
    first, second = sent(server)
    half = (small / UNET).stat().st_size // 2
    assert first is None
    assert half - 50_000 < int(re.fullmatch(r"bytes=(\d+)-", second)[1]) <= half


def test_a_download_that_broke_off_goes_on_there_with_the_next_load(server, small, tmp_path):
    server.faults[UNET] = "short"
    with pytest.raises(ConnectionError, match="broke off: load it again"):
        fetch()
    (part,) = (tmp_path / "cache").rglob("*.incomplete")
    had = part.stat().st_size
    assert had > (small / UNET).stat().st_size / 2
    server.faults.clear()
    server.spans.clear()
    folder = fetch()
    assert sent(server) == [f"bytes={had}-"]
    assert (folder / UNET).read_bytes() == (small / UNET).read_bytes()
    assert (folder / UNET).resolve().parent == part.parent  # the hub's own layout
    assert not part.exists()
    server.spans.clear()
    assert fetch() == folder
    assert server.spans == []


@pytest.mark.tries(2)
def test_a_rest_of_another_content_is_noticed_and_comes_anew(server, small, tmp_path, tried):
    server.faults[UNET] = "short"
    with pytest.raises(ConnectionError):
        fetch()
    (part,) = (tmp_path / "cache").rglob("*.incomplete")
    part.write_bytes(b"x" * 1000)
    server.faults.clear()
    with pytest.raises(OSError, match=f"{UNET} of {MODEL} arrived damaged and was removed"):
        fetch()
    assert (fetch() / UNET).read_bytes() == (small / UNET).read_bytes()
    tried()
    part.write_bytes(b"x" * 10**8)  # more than the file has
    (part.parent / part.stem).unlink()
    assert (fetch() / UNET).read_bytes() == (small / UNET).read_bytes()
    tried()


def test_a_slow_line_is_no_fault(server, small):
    server.faults[UNET] = "trickle"
    assert (fetch() / UNET).read_bytes() == (small / UNET).read_bytes()


def test_a_busy_hub_is_asked_again(server):
    server.faults[UNET] = (429, {"Retry-After": "1"}, 1)
    assert (fetch() / UNET).is_file()


def test_two_processes_that_load_at_once_both_get_it_whole(server, small, tmp_path):
    code = (
        "from sdnb.hub import repository as hub; import sys;"
        f"print(hub.download(hub.listing({MODEL!r}, None, 'auto', False, True), None))"
    )
    server.faults[UNET] = "trickle"
    environment = {**os.environ, "HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "home"),
                   "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}  # fmt: skip
    both = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True,
                         env=environment)
        for _ in range(2)
    ]  # fmt: skip
    folders = {p.communicate(timeout=100)[0].strip() for p in both}
    assert len(folders) == 1
    assert (Path(folders.pop()) / UNET).read_bytes() == (small / UNET).read_bytes()


def test_shards_and_their_index_are_needed_and_other_formats_are_not():
    index = {"unet": ["diffusers", "UNet2DConditionModel"], "tokenizer": ["a", "CLIPTokenizer"],
             "safety_checker": [None, None], "_class_name": "X"}  # fmt: skip
    there = [
        "model_index.json", "README.md", "v1-4.ckpt", "tokenizer/vocab.json",
        "unet/config.json", "unet/diffusion_pytorch_model-00001-of-00002.safetensors",
        "unet/diffusion_pytorch_model-00002-of-00002.safetensors",
        "unet/diffusion_pytorch_model.safetensors.index.json", "unet/diffusion_pytorch_model.bin",
        "unet/diffusion_pytorch_model.fp16-00001-of-00001.safetensors",
        "unet/diffusion_pytorch_model.safetensors.index.fp16.json", "unet/flax.msgpack",
        "unet_onnx/model.onnx", "safety_checker/model.safetensors",
    ]  # fmt: skip
    needed, variant = pipeline_files.choose("a/b", there, index, "auto", half=False)
    assert variant is None
    assert sorted(needed) == sorted([*there[:1], *there[3:8]])
    needed, variant = pipeline_files.choose("a/b", there, index, "auto", half=True)
    assert variant == "fp16"
    assert sorted(needed) == sorted([there[0], *there[3:5], *there[9:11]])


SDXL = """
.gitattributes 01.png LICENSE.md README.md comparison.png model_index.json pipeline.png
scheduler/scheduler_config.json sd_xl_base_1.0.safetensors sd_xl_base_1.0_0.9vae.safetensors
sd_xl_offset_example-lora_1.0.safetensors
text_encoder/config.json text_encoder/flax_model.msgpack text_encoder/model.fp16.safetensors
text_encoder/model.onnx text_encoder/model.safetensors text_encoder/openvino_model.bin
text_encoder/openvino_model.xml
text_encoder_2/config.json text_encoder_2/flax_model.msgpack text_encoder_2/model.fp16.safetensors
text_encoder_2/model.onnx text_encoder_2/model.onnx_data text_encoder_2/model.safetensors
text_encoder_2/openvino_model.bin text_encoder_2/openvino_model.xml
tokenizer/merges.txt tokenizer/special_tokens_map.json tokenizer/tokenizer_config.json
tokenizer/vocab.json
tokenizer_2/merges.txt tokenizer_2/special_tokens_map.json tokenizer_2/tokenizer_config.json
tokenizer_2/vocab.json
unet/config.json unet/diffusion_flax_model.msgpack unet/diffusion_pytorch_model.fp16.safetensors
unet/diffusion_pytorch_model.safetensors unet/model.onnx unet/model.onnx_data
unet/openvino_model.bin unet/openvino_model.xml
vae/config.json vae/diffusion_flax_model.msgpack vae/diffusion_pytorch_model.fp16.safetensors
vae/diffusion_pytorch_model.safetensors
vae_1_0/config.json vae_1_0/diffusion_pytorch_model.fp16.safetensors
vae_1_0/diffusion_pytorch_model.safetensors
vae_decoder/config.json vae_decoder/model.onnx vae_decoder/openvino_model.bin
vae_decoder/openvino_model.xml
vae_encoder/config.json vae_encoder/model.onnx vae_encoder/openvino_model.bin
vae_encoder/openvino_model.xml
"""  # stabilityai/stable-diffusion-xl-base-1.0

SDXL_INDEX = {
    "_class_name": "StableDiffusionXLPipeline", "_diffusers_version": "0.19.0.dev0",
    "force_zeros_for_empty_prompt": True, "add_watermarker": None,
    "scheduler": ["diffusers", "EulerDiscreteScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "tokenizer_2": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"],
}  # fmt: skip


@pytest.mark.parametrize("half", [False, True])
def test_of_sdxl_only_the_parts_weights_in_one_precision_and_their_texts_are_needed(half):
    there = SDXL.split()
    needed, variant = pipeline_files.choose("a/b", there, SDXL_INDEX, "auto", half)
    assert variant == ("fp16" if half else None)
    parts = ("scheduler/", "text_encoder", "tokenizer", "unet/", "vae/")
    texts = [n for n in there if n.startswith(parts) and n.endswith((".json", ".txt"))]
    end = ".fp16.safetensors" if half else "model.safetensors"
    weights = [n for n in there if n.startswith(parts) and n.endswith(end)]
    assert len(weights) == 4
    assert sorted(needed) == sorted(["model_index.json", *texts, *weights])
    found = repository.Listing("a/b", SDXL_INDEX, dict.fromkeys(needed, 4000), variant)
    parts = ("text_encoder", "text_encoder_2", "unet", "vae")  # OpenVINO's are not counted
    assert numbers(found) == dict.fromkeys(parts, 2000 if half else 1000)


@pytest.mark.parametrize("family", ["SDXL", "SD3", "Flux"])
def test_other_families_come_from_the_hub_too_without_what_lies_beside_them(
    family, server, tmp_path
):
    folder = toys.saved(family, tmp_path)
    waste = ["text_encoder/openvino_model.bin", "vae/model.onnx", "vae_1_0/config.json",
             "vae/diffusion_flax_model.msgpack", "whole.safetensors"]  # fmt: skip
    for name in waste:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"x" * 1000)
    server.repositories["someone/toy"] = Repository(folder)
    pipe = sdnb.load("someone/toy", device="cpu", dtype="float32")
    again = diffusers.DiffusionPipeline.from_pretrained(folder)
    for name, part in again.components.items():
        if isinstance(part, torch.nn.Module):
            ours = getattr(pipe, name).state_dict()
            assert all(torch.equal(ours[k], x) for k, x in part.state_dict().items()), name
    got = {path.partition(COMMIT + "/")[2] for method, path in server.asked if method == "GET"}
    assert "vae/config.json" in got
    assert not got & set(waste)


def test_a_part_is_whole_with_its_settings_and_all_shards_of_its_weights():
    index = {"unet": ["diffusers", "UNet2DConditionModel"], "tokenizer": ["a", "CLIPTokenizer"],
             "scheduler": ["diffusers", "DDIMScheduler"]}  # fmt: skip
    name = "unet/diffusion_pytorch_model"
    whole = [
        "model_index.json", "scheduler/scheduler_config.json", "tokenizer/vocab.json",
        "unet/config.json", f"{name}-00001-of-00002.safetensors",
        f"{name}-00002-of-00002.safetensors", f"{name}.safetensors.index.json",
    ]  # fmt: skip
    assert sorted(pipeline_files.choose("a/b", whole, index, "auto", half=False)[0]) == whole
    for lost in whole[1:]:
        with pytest.raises(
            pipeline_files.MissingError, match=f"for its part {lost.partition('/')[0]}, so it"
        ):
            pipeline_files.choose("a/b", [n for n in whole if n != lost], index, "auto", half=False)


# ---------------------------------------------------------------- what fails, in words

FAILURES = {
    "no such model": ({}, {}, "nobody/nothing", FileNotFoundError,
        "There is no model nobody/nothing on the hub, or it is private: check its name at "
        "https://huggingface.co/nobody/nothing; if it is private, log in first with "
        "sdnb.notebook_login(force=True)."),
    "no such model for this account": ({"token": TOKEN}, {}, "nobody/nothing", FileNotFoundError,
        "There is no model nobody/nothing that your account can see: check its name at "
        "https://huggingface.co/nobody/nothing."),
    "gated, no token": ({"gated": True}, {}, MODEL, PermissionError,
        "someone/small is gated: accept its terms at https://huggingface.co/someone/small, then "
        "log in with sdnb.notebook_login(force=True)."),
    "gated, terms not accepted": ({"gated": True, "token": TOKEN}, {}, MODEL, PermissionError,
        "someone/small is gated, and your account has no access yet: accept its terms at "
        "https://huggingface.co/someone/small."),
    "gated, token without the right": ({"gated": True, "token": TOKEN + "fine"}, {}, MODEL,
        PermissionError, "Your token may not read gated models such as someone/small: allow it to "
        "at https://huggingface.co/settings/tokens (read access to public gated repositories)."),
    "bad token": ({"token": "hf_old"}, {}, MODEL, PermissionError,
        "The hub does not accept your token: it is mistyped or has expired. To go on, "
        "log in again with sdnb.notebook_login(force=True)."),
    "forbidden": ({}, {MODEL: 403}, MODEL, PermissionError,
        "The hub refuses someone/small to your token: see what the token may do at "
        "https://huggingface.co/settings/tokens."),
    "no such revision": ({"revision": "v9"}, {}, MODEL, FileNotFoundError,
        "someone/small has no revision 'v9': its branches are at "
        "https://huggingface.co/someone/small/tree/main."),
    "too many requests": ({}, {MODEL: (429, {"Retry-After": "60"}, 99)}, MODEL, ConnectionError,
        "The hub has had too many requests from here (it asks to wait 60 seconds). Wait, then load "
        "again; with a login it allows more."),
    "fault of the hub": ({}, {MODEL: 503}, MODEL, ConnectionError,
        "The hub has a fault of its own (status 503): load someone/small again in a few minutes. "
        "What has been downloaded is kept."),
    "fault in the middle": ({}, {UNET: 500}, MODEL, ConnectionError,
        "The hub has a fault of its own (status 500): load someone/small again in a few minutes. "
        "What has been downloaded is kept."),
    "the line is cut again and again": ({}, {UNET: "short"}, MODEL, ConnectionError,
        "The download of someone/small broke off: load it again. What has been downloaded is "
        "kept."),
    "the hub falls silent": ({}, {UNET: "hang"}, MODEL, ConnectionError,
        "The download of someone/small broke off: load it again. What has been downloaded is "
        "kept."),
    "damaged in the download": ({}, {UNET: "corrupt"}, MODEL, OSError,
        "unet/diffusion_pytorch_model.safetensors of someone/small arrived damaged and was "
        "removed: load it again."),
}  # fmt: skip


@pytest.mark.parametrize("case", FAILURES)
def test_every_failure_is_one_sentence_with_the_librarys_error_behind_it(case, server, tmp_path):
    given, faults, model, kind, sentence = FAILURES[case]
    server.repositories[MODEL].gated = given.get("gated", False)
    server.faults = faults
    if token := given.get("token"):
        (tmp_path / "token").write_text(token)
        if token.startswith(TOKEN):
            server.users[token] = "ada"
    with pytest.raises(kind) as caught:
        fetch(model, given.get("revision"))
    assert str(caught.value) == sentence
    if case != "damaged in the download":
        assert caught.value.__cause__ is not None
    server.faults, server.repositories[MODEL].gated = {}, False
    if "token" not in given:  # and nothing that is left is in the way
        assert (fetch() / UNET).is_file()


@pytest.mark.parametrize("offline", ["", "0", "false"])
def test_no_network_and_nothing_cached(offline, server, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", offline)
    server.stop()
    with pytest.raises(ConnectionError, match="cannot be reached, and someone/small is not in"):
        fetch()


def test_offline_and_nothing_cached(server, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ConnectionError, match="HF_HUB_OFFLINE forbids to download it: unset it "
                       "and restart the kernel"):  # fmt: skip
        fetch()


@pytest.mark.parametrize(
    "lost", [UNET, "vae", "scheduler", "tokenizer", "unet/config.json", "text_encoder/config.json"]
)
def test_half_a_download_is_not_taken_for_a_model(lost, server):
    at = fetch() / lost
    shutil.rmtree(at) if at.is_dir() else at.unlink()
    server.stop()
    with pytest.raises(ConnectionError, match="Only a part of someone/small was downloaded"):
        fetch()


def test_shards_that_the_index_names_are_all_needed(server, small, tmp_path):
    folder = shutil.copytree(small, tmp_path / "sharded")
    shutil.rmtree(folder / "unet")
    unet = diffusers.UNet2DConditionModel.from_pretrained(small / "unet")
    unet.save_pretrained(folder / "unet", max_shard_size="200KB")
    shards = sorted((folder / "unet").glob("*-of-*.safetensors"))
    assert len(shards) > 1
    server.repositories[MODEL] = Repository(folder)
    at = fetch()
    assert len(list((at / "unet").iterdir())) == len(shards) + 2
    index = at / "unet/diffusion_pytorch_model.safetensors.index.json"
    named = json.loads(index.read_text())
    named["weight_map"]["one.more"] = "diffusion_pytorch_model-extra.safetensors"
    index.write_text(json.dumps(named))
    server.stop()
    with pytest.raises(ConnectionError, match="Only a part of someone/small was downloaded"):
        fetch()


@pytest.mark.parametrize("part", ["vae", "tokenizer", "scheduler"])
def test_a_repository_that_lacks_a_part_is_refused_before_anything_is_downloaded(
    part, server, small, tmp_path
):
    folder = shutil.copytree(small, tmp_path / "lacking")
    for file in (folder / part).glob("*.safetensors" if part == "vae" else "*"):
        file.unlink()
    server.repositories[MODEL] = Repository(folder)
    what = "weights" if part == "vae" else "files"
    with pytest.raises(ValueError, match=f"{MODEL} has no {what} for its part {part}, so it can"):
        sdnb.load(MODEL, device="cpu")
    assert not [path for _, path in server.asked if path.endswith(".safetensors")]


@pytest.mark.tries(2)
def test_a_full_disk_is_said_before_the_download_and_during_it(
    server, tmp_path, monkeypatch, tried
):
    monkeypatch.setattr(repository, "_free_disk", lambda folder: 10)
    with pytest.raises(
        OSError, match=r"The disk is too full: \d+ MB are to go to .*HF_HOME .*restart the ker"
    ):
        fetch()
    tried()
    code = f"""
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
from sdnb.hub import headers, repository as hub
try:
    hub.download(hub.listing({MODEL!r}, None, 'auto', False, True), None)
except OSError as error:
    print(error)
"""
    environment = {**os.environ, "HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "home"),
                   "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          env=environment, timeout=100)  # fmt: skip
    assert done.stdout.startswith("The disk is too full: "), done.stderr
    tried()


def test_a_disk_that_is_full_at_the_first_small_file_is_said_too(server, tmp_path):
    code = f"""
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
from sdnb.hub import headers, repository as hub
try:
    hub.listing({MODEL!r}, None, 'auto', False, True)
except OSError as error:
    print(error, error.__cause__.errno)
"""
    environment = {**os.environ, "HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "home"),
                   "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          env=environment, timeout=100)  # fmt: skip
    assert done.stdout.startswith(f"The disk is too full for {MODEL}, which is"), done.stderr
    assert done.stdout.endswith(f" {errno.EFBIG}\n")


def test_a_cache_folder_that_cannot_be_one_gets_a_fix(server, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "file/cache"))
    with pytest.raises(PermissionError, match=r"file/cache \(Not a directory\): set HF_HOME to a"):
        fetch()


@pytest.mark.parametrize(
    ("number", "sentence"),
    [(n, "The disk is too full for a/b") for n in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)]
    + [(n, "a/b cannot be kept in .* set HF_HOME to a folder of yours, and restart Python")
       for n in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR)],
)  # fmt: skip
def test_what_the_disk_says_is_told_wherever_it_comes_up(number, sentence, monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    for downloading in (False, True):
        error = hub_errors.explained(OSError(number, "x"), "a/b", downloading=downloading)
        assert re.match(sentence, str(error))
    assert str(hub_errors.explained(OSError(), "a/b")) == "a/b could not be loaded: OSError"


@pytest.mark.parametrize(
    "name", ["model_index.json", "unet/config.json", "tokenizer/tokenizer.json"]
)
def test_settings_that_were_damaged_in_the_cache_are_removed_and_come_anew(name, server):
    file = fetch() / name
    file.resolve().write_bytes(file.read_bytes()[:20])
    with pytest.raises(OSError, match=f"{name} of {MODEL} was damaged and is now removed") as it:
        sdnb.load(MODEL, device="cpu", dtype="float32")
    assert it.value.__cause__ is not None
    assert sdnb.load(MODEL, device="cpu", dtype="float32")


def test_settings_that_are_damaged_in_a_folder_of_yours_stay_there(small, tmp_path):
    folder = shutil.copytree(small, tmp_path / "mine")
    (folder / "model_index.json").write_text('["a list"]')
    with pytest.raises(OSError, match=r"mine/model_index\.json is damaged: put a whole copy in"):
        sdnb.load(folder, device="cpu")
    assert (folder / "model_index.json").exists()


@pytest.mark.parametrize("name", [UNET, "tokenizer/tokenizer.json"])
def test_a_folder_that_git_cloned_without_lfs_is_told_so(small, tmp_path, name):
    folder = shutil.copytree(small, tmp_path / "mine")
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 34\n"
    (folder / name).write_text(pointer)
    with pytest.raises(
        OSError, match=rf"{name} is not the file itself .* `git lfs pull` in .*mine"
    ):
        sdnb.load(folder, device="cpu", dtype="float32")
    assert (folder / name).read_text() == pointer


def test_settings_that_begin_with_a_byte_order_mark_are_read(small, tmp_path):
    """As Notepad writes them, and json refuses them."""
    folder = shutil.copytree(small, tmp_path / "mine")
    for name in ("model_index.json", "unet/config.json"):
        (folder / name).write_bytes(b"\xef\xbb\xbf" + (folder / name).read_bytes())
    pipe = sdnb.load(folder, device="cpu", dtype="float32")
    assert sdnb.generate("a fox", steps=1, pipe=pipe, store=False).facts["model"] == str(folder)
    assert (folder / "model_index.json").read_bytes().startswith(b"\xef\xbb\xbf")


def test_a_file_that_was_damaged_in_the_cache_is_removed_and_comes_anew(server, small):
    file = (fetch() / UNET).resolve()
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(OSError, match=f"{UNET} of {MODEL} was damaged and is now removed"):
        sdnb.load(MODEL, device="cpu", dtype="float32")
    assert sdnb.load(MODEL, device="cpu", dtype="float32")


def test_pickled_weights_are_refused_unless_asked_for(server, small, tmp_path):
    folder = shutil.copytree(small, tmp_path / "pickled")
    with safe_open(folder / UNET, "pt") as weights:
        torch.save({k: weights.get_tensor(k) for k in weights.keys()},  # noqa: SIM118
                   folder / "unet/diffusion_pytorch_model.bin")  # fmt: skip
    for file in (folder / "unet").glob("*.safetensors"):
        file.unlink()
    server.repositories["someone/pickled"] = Repository(folder)
    with pytest.raises(ValueError, match=r"only pickled weights \(unet/\*\.bin\), which can run"):
        sdnb.load("someone/pickled", device="cpu")
    pipe = sdnb.load("someone/pickled", device="cpu", dtype="float32", use_safetensors=False)
    assert pipe.unet.dtype == torch.float32


@pytest.mark.parametrize(
    ("index", "sentence"),
    [
        (None, "is no diffusers pipeline: .* The hub calls it 'text-generation'. Text-to-image"),
        ({"_class_name": "StableVideoDiffusionPipeline"}, "makes videos"),
        ({"_class_name": "FuturePipeline"}, "which diffusers .* does not have: a newer one may"),
        ({"_class_name": "UNet2DConditionModel"}, "UNet2DConditionModel, which is no pipeline of"),
        ({"_class_name": "OnnxStableDiffusionPipeline"}, "needs onnx: pip install onnx, then"),
        ({"a": 1}, "is no diffusers pipeline: its model_index.json names no class"),
        ({"_class_name": ["mine", "MyPipeline"]}, "needs program code of its own .* does not run"),
        ({"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "UNet2DConditionModel"]},
         "has no weights for its part unet"),
    ],
)  # fmt: skip
def test_what_makes_no_pictures_from_text_is_told_so(index, sentence, server, tmp_path):
    folder = tmp_path / "other"
    folder.mkdir()
    if index is None:
        save_file({"a": torch.zeros(1)}, folder / "model.safetensors")
    else:
        (folder / "model_index.json").write_text(json.dumps(index))
    server.repositories["someone/other"] = Repository(folder, tag="text-generation")
    with pytest.raises(
        ValueError, match=f"someone/other {sentence}" if index is None else sentence
    ):
        sdnb.load("someone/other", device="cpu")


def test_a_processor_that_reads_videos_is_refused_where_torchvision_is_not_there(
    monkeypatch, tmp_path
):
    there = pipeline_class.find_spec
    monkeypatch.setattr(
        pipeline_class, "find_spec", lambda name: name != "torchvision" and there(name)
    )
    made, part = "QwenImageEditPipeline", ["transformers", "Qwen2VLProcessor"]
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": made, "processor": part}))
    (tmp_path / "processor").mkdir()
    (tmp_path / "processor" / "preprocessor_config.json").write_text("{}")
    with pytest.raises(ValueError, match="QwenImageEditPipeline, which needs torchvision: pip ins"):
        sdnb.load(tmp_path, device="cpu")


def test_a_variant_that_is_not_there_is_named_with_those_that_are(server):
    with pytest.raises(ValueError, match="no variant 'fp8': leave it out, or use 'fp16'"):
        fetch(variant="fp8")


# ---------------------------------------------------------------- login


def test_login_says_whose_the_token_is(server, monkeypatch, heard):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    sdnb.notebook_login()
    assert heard() == ["Already logged in to the Hugging Face hub as ada."]


@pytest.mark.parametrize("status", [403, 503, None])
def test_a_hub_that_does_not_say_whose_the_token_is_has_not_refused_it(
    status, server, monkeypatch, heard
):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    if status:
        server.faults["whoami-v2"] = status
    else:
        server.stop()
    sdnb.notebook_login()
    says = f"it answers with status {status}" if status else "the hub cannot be reached"
    assert heard()[0].startswith("Already logged in to the Hugging Face hub (")
    assert says in heard()[0]


@pytest.fixture
def opened(monkeypatch):
    """How often the hub's own login was opened, and with what; a person sits there."""
    opened = []
    monkeypatch.setattr(huggingface_hub, "notebook_login", lambda **given: opened.append(given))
    monkeypatch.setattr(login.interactive, "someone_can_answer", lambda: True)
    return opened


@pytest.fixture
def colab(monkeypatch):
    """Colab, as huggingface_hub sees it: its secrets, name -> value."""
    secrets = {}

    class SecretNotFoundError(Exception):
        pass

    def get(name):
        if name not in secrets:
            raise SecretNotFoundError(name)
        return secrets[name]

    class NotebookAccessError(Exception):
        pass

    google, inner = types.ModuleType("google"), types.ModuleType("google.colab")
    userdata, errors = types.ModuleType("google.colab.userdata"), types.ModuleType("errors")
    vars(userdata).update(
        get=get, SecretNotFoundError=SecretNotFoundError, NotebookAccessError=NotebookAccessError
    )
    errors.Error = Exception
    google.colab, inner.userdata, inner.errors = inner, userdata, errors
    monkeypatch.setitem(sys.modules, "google", google)
    monkeypatch.setitem(sys.modules, "google.colab", inner)
    monkeypatch.setitem(sys.modules, "google.colab.userdata", userdata)
    monkeypatch.setitem(sys.modules, "google.colab.errors", errors)
    monkeypatch.setattr(_auth, "is_google_colab", lambda: True)
    monkeypatch.setattr(_auth, "_IS_GOOGLE_COLAB_CHECKED", False)
    monkeypatch.setattr(_auth, "_GOOGLE_COLAB_SECRET", None)
    return secrets


@pytest.mark.parametrize("default", ["emoji", MODEL])
def test_what_load_says_of_an_expired_token_opens_the_login(
    default, server, tmp_path, monkeypatch, opened, heard
):
    monkeypatch.setenv("SDNB_MODEL", default)
    (tmp_path / "token").write_text("hf_expired")
    with pytest.raises(PermissionError) as caught:
        fetch()
    call = re.search(r"sdnb\.(notebook_login\(.*\))\.$", str(caught.value))[1]
    eval(call, vars(sdnb))
    sdnb.notebook_login()
    assert opened == [{"skip_if_logged_in": False}] * 2
    assert (
        heard()[-1] == "The hub does not accept the token from the token file, so its login opens."
    )


@pytest.mark.parametrize("sentence", ["gated", "private"])
def test_what_load_says_without_a_token_opens_the_login_where_there_is_no_gpu_too(
    sentence, server, monkeypatch, opened
):
    monkeypatch.setenv("SDNB_MODEL", "emoji")
    server.repositories[MODEL].gated = True
    with pytest.raises(OSError, match=sentence) as caught:
        fetch(MODEL if sentence == "gated" else "someone/hidden")
    eval(re.search(r"sdnb\.notebook_login\(.*\)", str(caught.value))[0])
    assert opened == [{"skip_if_logged_in": False}]


@pytest.mark.parametrize("name", ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"])
def test_a_bad_token_in_the_environment_is_named_and_no_login_that_would_not_help_opens(
    name, server, monkeypatch, opened, heard
):
    monkeypatch.setenv(name, "hf_mistyped")
    with pytest.raises(PermissionError, match=f"into the environment variable {name}, or remove"):
        fetch()
    sdnb.notebook_login()
    assert f"environment variable {name}, or remove it, and restart the kernel" in heard()[0]
    assert not opened
    sdnb.notebook_login(force=True)
    assert f"{name} goes before the login" in heard()[1]
    assert opened


def test_a_bad_token_where_nobody_can_answer_opens_nothing(server, tmp_path, heard):
    (tmp_path / "token").write_text("hf_expired")
    sdnb.notebook_login()
    assert heard()[0].startswith("The hub does not accept the token that is here: log in again")


def test_a_colab_secret_is_a_login_and_shows_nowhere(server, colab, tmp_path, heard, capfd, caplog):
    caplog.set_level("DEBUG")
    colab["HF_TOKEN"] = TOKEN
    server.repositories[MODEL].gated = True
    server.repositories[MODEL].readers = {TOKEN}
    sdnb.notebook_login()
    assert heard()[0] == "Already logged in to the Hugging Face hub as ada."
    assert (fetch() / UNET).is_file()
    assert TOKEN not in caplog.text + "".join(capfd.readouterr())
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and TOKEN.encode() in p.read_bytes()]


def test_a_bad_colab_secret_is_named_and_the_login_goes_before_it(
    server, colab, tmp_path, opened, heard
):
    colab["HF_TOKEN"] = "hf_mistyped"
    with pytest.raises(
        PermissionError, match="into the Colab secret HF_TOKEN and restart the sess"
    ):
        fetch()
    sdnb.notebook_login()
    assert "does not accept the token from the Colab secret HF_TOKEN" in heard()[-1]
    assert opened
    (tmp_path / "token").write_text(TOKEN)  # what the login leaves
    assert (fetch() / UNET).is_file()


def test_colab_without_a_secret_is_not_logged_in(server, colab, monkeypatch, opened):
    monkeypatch.setenv("SDNB_MODEL", MODEL)
    sdnb.notebook_login()
    assert opened == [{}]


def test_login_does_not_wait_where_nobody_can_answer(server, monkeypatch, heard):
    monkeypatch.setenv("SDNB_MODEL", MODEL)
    sdnb.notebook_login()
    assert "nobody here to ask" in heard()[0]
    monkeypatch.setenv("SDNB_MODEL", "emoji")
    sdnb.notebook_login()
    assert "No login needed" in heard()[1]


def test_login_opens_the_hubs_own_where_somebody_can_answer(server, monkeypatch, opened):
    monkeypatch.setenv("SDNB_MODEL", MODEL)
    sdnb.notebook_login()
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    sdnb.notebook_login()
    sdnb.notebook_login(force=True)
    assert opened == [{}, {"skip_if_logged_in": False}]


def test_a_token_shows_in_nothing_that_is_written(server, monkeypatch, tmp_path, capfd, caplog):
    caplog.set_level("DEBUG")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    sdnb.notebook_login()
    pipe = sdnb.load(MODEL, device="cpu", dtype="float32")
    sample = sdnb.generate("a fox", steps=1, seed=1, pipe=pipe)
    sample.save(tmp_path / "fox.png")
    server.repositories[MODEL].gated = True
    with pytest.raises(PermissionError) as caught:
        sdnb.load(MODEL, device="cpu", dtype="float16")
    causes = [repr(error) for error in hub_errors._causes(caught.value)]
    told = [*capfd.readouterr(), caplog.text, *causes, repr(pipe), repr(cache.loaded()),
            repr(sample), str(sample.facts), sample.code()]  # fmt: skip
    written = [p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()]
    assert not [t for t in told if TOKEN in t]
    assert not [w for w in written if TOKEN.encode() in w]
    assert (tmp_path / "fox.png").read_bytes() in written


CELLS = [
    "import sdnb",
    "sdnb.notebook_login()",
    "pipe = sdnb.load({model!r}, device='cpu', dtype='float32')",
    "sample = sdnb.generate('a fox', steps=1, seed=1, pipe=pipe)\nsample.save('fox.png')\nsample",
    "sdnb.load('someone/hidden', device='cpu')",
]


@pytest.mark.slow
def test_a_token_shows_in_no_executed_and_saved_notebook(server, tmp_path):
    server.repositories[MODEL].gated = True
    server.repositories[MODEL].readers = {TOKEN}
    book = nbformat.v4.new_notebook()
    book.cells = [nbformat.v4.new_code_cell(c.replace("{model!r}", repr(MODEL))) for c in CELLS]
    environment = {
        **os.environ, "HF_TOKEN": TOKEN, "HF_ENDPOINT": server.url, "HF_HUB_OFFLINE": "0",
        "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1", "SDNB_MODEL": MODEL,
        "PYTHONPATH": str(Path(sdnb.__file__).parents[1]), "JUPYTER_RUNTIME_DIR": str(tmp_path),
    }  # fmt: skip
    nbformat.write(book, tmp_path / "run.ipynb")
    execute = "from nbclient.cli import main; main()"  # in a process whose clock runs
    options = ["run.ipynb", "--inplace", "--allow-errors", "--timeout=300", "--startup_timeout=300"]
    subprocess.run(
        [sys.executable, "-c", execute, *options], cwd=tmp_path, env=environment, check=True
    )
    book = nbformat.read(tmp_path / "run.ipynb", 4)
    saved = (tmp_path / "run.ipynb").read_text()
    assert "Already logged in to the Hugging Face hub as ada" in saved
    assert "There is no model someone/hidden that your account can see" in saved
    errors = [o.ename for c in book.cells for o in c.outputs if o.output_type == "error"]
    assert errors == ["FileNotFoundError"]
    written = {p.name: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert {"run.ipynb", "fox.png"} <= set(written)
    assert not [name for name, body in written.items() if TOKEN.encode() in body]
