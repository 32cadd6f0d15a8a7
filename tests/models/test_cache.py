"""Loading, the cache, login."""

import re
import shutil
import subprocess
import sys
import threading
import time

import diffusers
import numpy as np
import pytest
import torch
from huggingface_hub.errors import HFValidationError

import sdnb
from sdnb import pipeline_class
from sdnb.models import backend, cache, device, provenance
from tests.support import programs, toys


@pytest.fixture(autouse=True)
def _cache_as_before():
    kept, last = dict(cache._loaded), list(cache._current)
    yield
    cache._loaded.clear()
    cache._loaded.update(kept)
    cache._current[:] = last


def test_load_gives_a_plain_pipeline_and_the_same_one_again():
    pipe = sdnb.load("emoji", dtype="float32", device="cpu")
    assert type(pipe) is diffusers.StableDiffusionPipeline
    assert sdnb.load("emoji", dtype=torch.float32, device=torch.device("cpu")) is pipe
    assert sdnb.load("emoji", dtype="bfloat16", device="cpu") is not pipe
    assert {o.dtype for o in cache.loaded()} >= {"float32", "bfloat16"}


def test_threads_that_load_at_once_get_the_same_object(tmp_path):
    copy, got = shutil.copytree(sdnb.emoji.FOLDER, tmp_path / "copy"), []
    both = [threading.Thread(target=lambda: got.append(sdnb.load(copy, device="cpu")))
            for _ in range(2)]  # fmt: skip
    for each in both:
        each.start()
    for each in both:
        each.join()
    assert got[0] is got[1]


def test_threads_that_ask_at_once_get_the_same_probe_of_bfloat16():
    device._measured_gain.cache_clear()
    both, got = threading.Barrier(2), []

    def ask():
        both.wait()
        got.append(device.bfloat16_gain())

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert got[0] == got[1]


def test_a_folder_loads_like_the_embedded_model_and_is_another_entry(pipe, tmp_path):
    copy = shutil.copytree(sdnb.emoji.FOLDER, tmp_path / "copy")
    other = sdnb.load(copy, device="cpu", dtype="float32")
    assert other is not pipe
    assert sdnb.load(str(copy), device="cpu", dtype="float32") is other
    one, two = (sdnb.generate("a fox", steps=2, seed=1, pipe=p) for p in (pipe, other))
    assert np.array_equal(np.asarray(one.image), np.asarray(two.image))
    assert two.facts["model"] == str(copy)


def test_loading_is_silent_where_the_model_is_named(tmp_path):
    out = programs.run(
        "-c", "import sdnb; sdnb.load('emoji', device='cpu')", cwd=tmp_path, check=True
    )
    assert (out.stdout, out.stderr) == ("", "")


def test_a_classic_pipeline_imports_nothing_of_modular_diffusers(tmp_path):
    """Version 0.39, which Colab has, warns as it is imported."""
    code = "import sdnb, sys; sdnb.generate('a fox', pipe=sdnb.load('emoji'), steps=1); "
    code += "print([name for name in sys.modules if name.startswith('diffusers.modular')])"
    assert programs.run("-c", code, cwd=tmp_path, check=True).stdout == "[]\n"


def test_a_pipeline_of_ones_own_is_taken_as_it_is():
    own = diffusers.StableDiffusionPipeline.from_pretrained(sdnb.emoji.FOLDER)
    sample = sdnb.generate("a fox", steps=1, pipe=own)
    assert (sample.facts["model"], sample.facts["dtype"]) == ("emoji", "float32")


def test_clear_forgets_and_gives_the_memory_back():
    import gc
    import weakref

    before = sdnb.load("emoji", dtype="float16", device="cpu")
    weights = weakref.ref(before.unet)
    del before
    sdnb.clear()
    assert cache.loaded() == []
    gc.collect()
    assert weights() is None


def test_generate_takes_the_pipeline_that_load_last_returned():
    other = sdnb.load("emoji", dtype="bfloat16", device="cpu")
    assert cache.current() is other
    small = {"width": 32, "height": 32}  # bfloat16 is slow without units for it
    assert sdnb.generate("a fox", steps=1, **small).facts["dtype"] == "bfloat16"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"model": "no such model"}, "'no such model' is no model: give 'emoji', a folder"),
        ({"model": "./missing/folder"}, "is no model"),
        ({"model": " "}, "No model is named: give 'emoji'"),
        ({"model": "emoji", "dtype": "float8"}, "dtype is 'float8': give 'float32'"),
        ({"model": "emoji", "device": "abacus"}, "There is no device 'abacus'"),
        ({"model": "emoji", "device": "xpu"}, "There is no xpu device on this machine"),
    ],
)
def test_what_cannot_be_loaded_gets_a_sentence(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        sdnb.load(**arguments)


@pytest.mark.parametrize("name", ["a--b/c", "-a/b", "a/b.git", "a/" + "b" * 100])
def test_what_the_hub_takes_for_no_id_is_told_so_with_its_reason(name):
    with pytest.raises(ValueError, match="is no model: give 'emoji', a folder") as caught:
        sdnb.load(name)
    assert isinstance(caught.value.__cause__, HFValidationError)


TAKEN = """StableDiffusion StableDiffusionImg2Img StableDiffusionInpaint
StableDiffusionImageVariation StableDiffusionXL StableDiffusionXLImg2Img StableDiffusionXLInpaint
StableDiffusion3 StableDiffusion3Img2Img StableDiffusion3Inpaint Flux FluxImg2Img FluxInpaint
FluxFill PixArtAlpha PixArtSigma Sana SanaSprint HunyuanDiT LatentConsistencyModel
AuraFlow Chroma CogView3Plus CogView4 HiDreamImage Lumina Lumina2 QwenImage AltDiffusion
StableDiffusionPAG StableDiffusionXLPAG Flux2 Flux2Klein QwenImage21 GlmImage BriaFibo2 DreamLite
ZImageOmni Kandinsky5T2I PRXPixel QwenImageEdit StableDiffusionInstructPix2Pix"""

REFUSED = """AudioLDM AudioLDM2 MusicLDM StableAudio DanceDiffusion StableVideoDiffusion
AnimateDiff TextToVideoSD Wan LTX Mochi HunyuanVideo CogVideoX Allegro Latte I2VGenXL
KandinskyPrior KandinskyV22Prior StableCascadePrior WuerstchenPrior StableDiffusionUpscale
StableDiffusionLatentUpscale LDMSuperResolution StableDiffusionDepth2Img MarigoldDepth
MarigoldNormals FluxPriorRedux ShapE ShapEImg2Img StableDiffusionControlNet
StableDiffusionAttendAndExcite DDPM DiT UnCLIP Diffusion KandinskyV22Combined Amused VQDiffusion
Cosmos2TextToImage"""

OTHER = "Audio|Video|Music|Prior|Upscale|SuperRes|Depth|Redux|ShapE|ControlNet|Adapter|3D|V2A"


def test_of_diffusers_pipelines_those_that_make_pictures_as_generate_does_are_taken():
    made = {
        name: each
        for name in dir(diffusers)
        if name.endswith("Pipeline") and isinstance(each := getattr(diffusers, name), type)
        and issubclass(each, diffusers.DiffusionPipeline)
    }  # fmt: skip
    taken = {
        name.removesuffix("Pipeline") for name in made if pipeline_class.refusal(made[name]) is None
    }
    # Colab's diffusers 0.39 lacks some
    known = {name for name in TAKEN.split() if hasattr(diffusers, f"{name}Pipeline")}
    assert len(known) > 35
    assert known <= taken
    assert not set(REFUSED.split()) & taken
    assert all(f"{name}Pipeline" in made for name in REFUSED.split())
    assert not [name for name in taken if re.search(OTHER, name)]


def test_a_folder_without_a_pipeline_is_told_so(tmp_path):
    with pytest.raises(ValueError, match=r"holds no pipeline: there is no model_index\.json"):
        sdnb.load(tmp_path)


def test_a_hub_model_that_cannot_be_reached_is_an_oserror_with_its_cause():
    with pytest.raises(OSError, match="nobody/nothing-here is not in the cache") as caught:
        sdnb.load("nobody/nothing-here")
    assert caught.value.__cause__ is not None


def test_the_default_model_is_embedded_without_a_gpu_and_the_environments_where_set(
    monkeypatch, heard
):
    monkeypatch.setattr(device, "best", lambda: "cpu")
    monkeypatch.delenv("SDNB_MODEL", raising=False)
    sdnb.clear()
    assert provenance.origin_of(sdnb.load()).model == "emoji"
    assert any("No GPU here" in s for s in heard())
    monkeypatch.setattr(device, "best", lambda: "cuda")
    assert cache.default_model() == "CompVis/stable-diffusion-v1-4"
    monkeypatch.setenv("SDNB_MODEL", "a/b")
    assert cache.default_model() == "a/b"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"model": 3}, r"3 is neither a file, nor a folder, nor a hub id: give a name"),
        ({"model": ["emoji"]}, r"\['emoji'\] is neither a file"),
        ({"vae": 3}, "3 is neither a file"),
        ({"embeddings": 3}, "3 is neither a file"),
        ({"embeddings": [3]}, "3 is neither a file"),
        ({"lora": 3}, "3 is no LoRA: give a file, a hub id"),
    ],
)
def test_what_is_no_name_is_refused_in_a_sentence(given, sentence):
    with pytest.raises(TypeError, match=sentence):
        sdnb.load(**{"model": "emoji", "device": "cpu"} | given)


def test_the_environment_names_the_dtype_that_auto_stands_for(monkeypatch):
    monkeypatch.setenv("SDNB_DTYPE", "bfloat16")
    assert sdnb.load("emoji", device="cpu").dtype == torch.bfloat16
    assert sdnb.load("emoji", device="cpu", dtype="float32").dtype == torch.float32
    monkeypatch.setenv("SDNB_DTYPE", "float16")
    assert device.dtype_of_transformer(device.dtype_name("auto", "cuda"), "cuda") == "float16"
    monkeypatch.setenv("SDNB_DTYPE", "half")
    with pytest.raises(ValueError, match="dtype is 'half': give 'float32', "):
        sdnb.load("emoji", device="cpu")


def test_a_notice_is_shown_also_where_logging_is_already_set_up():
    code = "import logging; logging.basicConfig(); from sdnb.log import notice; notice('hear me')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "hear me" in done.stderr
    done = subprocess.run(
        [sys.executable, "-c", code.replace("logging.basicConfig()", "1")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stderr == "hear me\n"


def test_the_facts_follow_a_pipeline_that_was_moved():
    moved = sdnb.load("emoji", dtype="float16", device="cpu").to(torch.float32)
    assert provenance.origin_of(moved).dtype == "float32"


# ---------------------------------------------------------------- dtype and memory


@pytest.mark.parametrize(("gain", "dtype"), [(2.5, "bfloat16"), (1.0, "float32"), (0.1, "float32")])
def test_a_cpu_gets_the_dtype_that_a_probe_finds_faster(gain, dtype, monkeypatch, tmp_path):
    monkeypatch.setattr(device, "bfloat16_gain", lambda: gain)
    copy = shutil.copytree(sdnb.emoji.FOLDER, tmp_path / "copy")
    pipe = sdnb.load(copy, device="cpu")
    assert provenance.origin_of(pipe).dtype == dtype
    assert provenance.is_channels_last(pipe) == (dtype == "bfloat16")
    assert provenance.origin_of(sdnb.load("emoji", device="cpu")).dtype == "float32"


@pytest.mark.parametrize(
    ("large", "gain", "is_said"), [(1e3, 1.3, True), (1e3, 1.1, False), (1e9, 1.3, False)]
)
def test_where_openvino_would_be_faster_load_says_so(
    large, gain, is_said, monkeypatch, tmp_path, heard
):
    monkeypatch.setattr(backend, "LARGE", large)
    monkeypatch.setattr(device, "openvino_gain", lambda dtype: gain)
    sdnb.load(toys.saved("SD 2", tmp_path), device="cpu", dtype="float32")
    said = " ".join(text for text in heard() if "OpenVINO" in text)
    assert bool(said) == is_said
    if is_said:
        assert "1.3 times as fast" in said
        assert "backend='openvino'" in said


@pytest.mark.parametrize(
    ("gpu", "dtype"), [("NVIDIA GeForce GTX 1660 Ti", "float32"), ("Tesla T4", "float16")]
)
def test_a_gpu_that_breaks_half_precision_gets_float32(gpu, dtype, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: gpu)
    assert device.dtype_name("auto", "cuda") == dtype


@pytest.fixture(scope="module")
def heavy(tmp_path_factory):
    """Two folders with a model of 200 MB each."""
    pipe = diffusers.StableDiffusionPipeline.from_pretrained(sdnb.emoji.FOLDER)
    pipe.unet = diffusers.UNet2DConditionModel(
        sample_size=8, in_channels=16, out_channels=16, block_out_channels=(320, 640),
        layers_per_block=1, cross_attention_dim=192, down_block_types=("DownBlock2D",) * 2,
        up_block_types=("UpBlock2D",) * 2,
    )  # fmt: skip
    one = tmp_path_factory.mktemp("one")
    pipe.save_pretrained(one)
    return one, shutil.copytree(one, tmp_path_factory.mktemp("two") / "copy")


RESIDENT = """
import gc, psutil, sdnb
from sdnb.models import cache, device, provenance
one, two, weights = {one!r}, {two!r}, {weights!r}
def resident():
    gc.collect()
    device.trim()
    return psutil.Process().memory_info().rss / 1e6
emoji = sdnb.load("emoji", device="cpu")
sdnb.generate("a fox", steps=1)
before = resident()
sdnb.load(one, device="cpu", dtype="bfloat16")
sdnb.load("emoji", device="cpu")
first = resident() - before
# enough is free once the first has gone
device.free_memory = lambda _: int((2.9 - len(cache.loaded())) * weights * 1e6)
sdnb.load(two, device="cpu", dtype="bfloat16")
assert cache.loaded()[0] == provenance.origin_of(emoji), cache.loaded()
print(first, resident() - before, len(cache.loaded()))
"""


@pytest.mark.slow
def test_what_was_used_least_goes_where_memory_is_short_and_is_really_given_back(heavy):
    one, two = map(str, heavy)
    weights = sum(f.stat().st_size for f in heavy[0].rglob("*.safetensors")) / 2e6  # in bfloat16
    code = RESIDENT.format(one=one, two=two, weights=weights)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    first, second, number = map(float, done.stdout.split())
    assert number == 2
    assert first > 0.8 * weights
    assert second < first + 0.3 * weights
    assert f"{one} was evicted from memory to make room." in done.stderr


def test_nothing_goes_where_that_would_not_help(heavy, monkeypatch, heard):
    sdnb.clear()
    small = sdnb.load("emoji", dtype="float16", device="cpu")
    monkeypatch.setattr(device, "free_memory", lambda _: 10**6)
    with pytest.raises(MemoryError):
        sdnb.load(heavy[0], device="cpu", dtype="float32")
    assert sdnb.load("emoji", dtype="float16", device="cpu") is small
    assert not heard()


def test_what_a_variable_holds_is_not_said_to_be_given_back(heavy, monkeypatch, heard):
    sdnb.clear()
    mine = sdnb.load(heavy[0], device="cpu", dtype="bfloat16")
    monkeypatch.setattr(device, "free_memory", lambda _: 10**6)
    with pytest.raises(MemoryError):
        sdnb.load("emoji", device="cpu", dtype="float32")
    assert heard() == [
        f"{heavy[0]} cannot be evicted from memory, as something still uses it: a "
        "variable, a panel, or pictures that are being made. If it is a variable of yours: "
        "del it, then sdnb.clear()."
    ]
    assert sdnb.load(heavy[0], device="cpu", dtype="bfloat16") is mine
    assert cache.current() is mine


@pytest.fixture
def gpu(monkeypatch):
    """A GPU's stand-in: what `to` and offloading were asked for; room for one emoji model."""
    asked, free = [], {"cpu": 10**10, "cuda": 10**10}
    monkeypatch.setattr(device, "check", lambda name: name)
    monkeypatch.setattr(device, "free_memory", lambda name: free[name])
    pipeline = diffusers.DiffusionPipeline
    monkeypatch.setattr(pipeline, "to", lambda self, where: asked.append(("to", where)))
    monkeypatch.setattr(
        pipeline, "enable_model_cpu_offload", lambda self, device: asked.append(("offload", device))
    )
    return asked, free


@pytest.mark.parametrize(
    ("family", "asked", "there", "dtype"),
    [
        ("SD3", "auto", True, "bfloat16"),
        ("SD3", "auto", False, "float16"),  # a T4 imitates bfloat16
        ("SD3", "float16", True, "float16"),
        ("SD 2", "auto", True, "float16"),
    ],
)
def test_on_a_gpu_that_has_bfloat16_a_transformer_gets_it_unless_asked_otherwise(
    gpu, family, asked, there, dtype, monkeypatch, tmp_path
):
    monkeypatch.setattr(device, "has_bfloat16", lambda _: there)
    monkeypatch.setattr(device, "breaks_float16", lambda _: False)
    pipe = sdnb.load(toys.saved(family, tmp_path), device="cuda", dtype=asked)
    assert str(pipe.dtype) == f"torch.{dtype}"


def test_a_gpu_too_small_for_the_whole_is_given_each_part_while_it_runs(gpu, heavy, heard):
    asked, free = gpu
    sdnb.clear()
    loads = {"device": "cuda", "dtype": "float16"}
    sdnb.load("emoji", **loads)
    assert asked == [("to", "cuda")]
    free["cuda"] = 160 * 10**6  # the UNet needs 157 MB
    sdnb.load(heavy[0], **loads)
    assert asked[1:] == [("offload", "cuda")]
    said = r" needs 1\d\d MB, and 160 MB are free on the GPU: its parts are kept in main memory"
    assert re.search(said, heard()[-1])
    free["cuda"] = 50 * 10**6
    with pytest.raises(MemoryError, match=r"its largest part 1\d\d MB; on the GPU 50 MB are free"):
        sdnb.load(heavy[1], **loads)
    free |= {"cuda": 10**10, "cpu": 50 * 10**6}
    with pytest.raises(MemoryError, match="through the main memory, where 50 MB are free: close"):
        sdnb.load(heavy[1], **loads)
    assert len(asked) == 2


def test_for_a_gpu_nothing_leaves_the_main_memory(gpu, heavy, heard):
    _, free = gpu
    sdnb.clear()
    kept = sdnb.load(heavy[0], device="cpu", dtype="float32")
    free["cuda"] = 160 * 10**6
    sdnb.load(heavy[1], device="cuda", dtype="float16")
    assert cache.loaded()[0] == provenance.origin_of(kept)
    assert not any("evicted" in s for s in heard())


def test_a_gpu_that_is_full_after_all_is_a_sentence_with_torchs_error_behind_it(gpu, monkeypatch):
    def full(self, where):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(diffusers.DiffusionPipeline, "to", full)
    sdnb.clear()
    with pytest.raises(MemoryError, match=r"of the [\d,]+ MB that were free") as it:
        sdnb.load("emoji", device="cuda", dtype="float16")
    assert isinstance(it.value.__cause__, torch.OutOfMemoryError)


def test_a_model_that_can_not_fit_is_refused_with_both_numbers(heavy, monkeypatch):
    sdnb.clear()
    monkeypatch.setattr(device, "free_memory", lambda _: 10**6)
    with pytest.raises(MemoryError, match=r"needs \d+ MB of memory in float32, 1 MB are free"):
        sdnb.load(heavy[0], device="cpu", dtype="float32")


def test_nobody_finds_the_cache_half_way(monkeypatch):
    """While a model is loaded in one thread, another waits: it does not load the default one."""
    sdnb.load("emoji", dtype="float32", device="cpu")
    monkeypatch.setenv("SDNB_MODEL", "no such model")  # the default one
    began, found = threading.Event(), []

    def ask():
        began.set()
        found.extend([cache.current(), len(cache.loaded())])

    with cache._cache_lock:  # as `load` has it
        last, kept = list(cache._current), dict(cache._loaded)
        cache._current.clear()
        cache._loaded.clear()
        thread = threading.Thread(target=ask)
        thread.start()
        began.wait()
        time.sleep(0.1)
        cache._current[:] = last
        cache._loaded.update(kept)
    thread.join()
    assert found == [kept[last[0]], len(kept)]


def test_a_gpu_that_is_not_there_is_told_so(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert device.check("cuda") == "cuda"
    assert device.check("cuda:0") == "cuda:0"
    with pytest.raises(ValueError, match=r"no cuda:5: the last GPU of this machine is cuda:0\."):
        device.check("cuda:5")
