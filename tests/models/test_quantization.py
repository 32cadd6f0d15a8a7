"""Quantised weights: what they take, what they change, and what of it can be had where."""

import json
import shutil
from dataclasses import replace

import diffusers
import numpy as np
import pytest
import torch
import transformers
from PIL import Image

import sdnb
from sdnb import compat
from sdnb.generation import sample_facts
from sdnb.hub.headers import Tensor
from sdnb.models import build, cache, device, memory, provenance, quantization
from sdnb.models.pretrained import Pretrained
from sdnb.sweeps.ray_worker import Recipe
from tests.support import checkpoints, programs, toys

HOW = {"seed": 1, "steps": 2, "guidance": 3.0, "width": 32, "height": 32}
SETTINGS = sdnb.Settings("a fox", **HOW)
KINDS = ["fp8", pytest.param("int8", id="int8")]
LOADED = {"device": "cpu", "dtype": "bfloat16"}


def pixels(sample):
    return np.asarray(sample.image)


def distance(one, two):
    return np.abs(pixels(one).astype(int) - pixels(two)).mean()


@pytest.fixture(autouse=True)
def _needs(request):
    kind = getattr(request.node, "callspec", None)
    if kind is not None and "int8" in kind.params.values():
        pytest.importorskip("torchao", reason="pip install 'sdnb[quantize]'")


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    kept, pipe = checkpoints.saved(checkpoints.sd1, folder)
    return kept, checkpoints.write(pipe, folder / "dream.safetensors")


@pytest.fixture
def on_the_cpu(monkeypatch):
    """bitsandbytes without an NVIDIA GPU: it computes there, but diffusers and sdnb refuse it."""
    bitsandbytes = pytest.importorskip("bitsandbytes", reason="pip install 'sdnb[quantize]'")
    from diffusers.quantizers.bitsandbytes import bnb_quantizer as ours
    from transformers.quantizers import quantizer_bnb_4bit, quantizer_bnb_8bit

    theirs = quantizer_bnb_4bit.Bnb4BitHfQuantizer, quantizer_bnb_8bit.Bnb8BitHfQuantizer
    for kind in (*theirs, ours.BnB4BitDiffusersQuantizer, ours.BnB8BitDiffusersQuantizer):
        monkeypatch.setattr(kind, "validate_environment", lambda *_, **__: None)
        monkeypatch.setattr(kind, "update_device_map", lambda *_: {"": "cpu"})
    never = property(lambda _: False, lambda *_: None)  # its packing is for wider layers
    monkeypatch.setattr(bitsandbytes.nn.Linear4bit, "support_avx512bf16_for_cpu", never, False)
    monkeypatch.setattr(quantization, "check", lambda *_: None)


def theirs(folder, kind, dtype=torch.bfloat16):
    """The same by hand."""
    given = {}
    if kind == "int8":
        from torchao.quantization import Int8WeightOnlyConfig

        mapping = {"unet": diffusers.TorchAoConfig(Int8WeightOnlyConfig())}
        given["quantization_config"] = diffusers.PipelineQuantizationConfig(quant_mapping=mapping)
    pipe = diffusers.DiffusionPipeline.from_pretrained(
        folder, **{compat.dtype_keyword(diffusers.__version__): dtype}, **given
    )
    if kind == "fp8":
        pipe.unet.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=dtype)
    pipe.unet.to(memory_format=torch.channels_last)
    return pipe(
        "a fox", num_inference_steps=2, guidance_scale=3.0, width=32, height=32,
        generator=torch.Generator("cpu").manual_seed(1),
    ).images[0]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_is_diffusers_own_and_its_code_makes_it_in_a_fresh_process(toy, kind, tmp_path):
    folder, file = toy
    pipe = sdnb.load(folder, quantize=kind, **LOADED)
    sample = sdnb.generate("a fox", **HOW, pipe=pipe)
    assert np.array_equal(pixels(sample), np.asarray(theirs(folder, kind)))
    single = sdnb.load(file, config=folder, quantize=kind, **LOADED)
    alone = sdnb.generate("a fox", **HOW, pipe=single)
    assert np.array_equal(pixels(sample), pixels(alone))
    assert (sample.facts["quantize"], sample.facts["dtype"]) == (kind, "bfloat16")
    made = {"folder.png": sample, "file.png": alone}
    code = "\n".join(f"{s.code()}\nimage.save({n!r})" for n, s in made.items())
    programs.run("-c", code, cwd=tmp_path, check=True)
    for name, each in made.items():
        assert np.array_equal(np.asarray(Image.open(tmp_path / name)), pixels(each)), name


@pytest.mark.parametrize("kind", KINDS)
def test_the_memory_is_counted_by_the_bytes_that_there_are(toy, kind):
    """Truth from outside: the bytes of the storages themselves."""
    pipe = sdnb.load(toy[0], quantize=kind, **LOADED)
    stored = 0
    for part in (pipe.unet, pipe.vae, pipe.text_encoder):
        for weight in part.parameters():
            inner = weight.__tensor_flatten__()[0] if kind == "int8" and hasattr(
                weight, "__tensor_flatten__") else []  # fmt: skip
            tensors = [getattr(weight, name) for name in inner] or [weight]
            stored += sum(t.untyped_storage().nbytes() for t in tensors)
    full = memory.held(sdnb.load(toy[0], **LOADED))
    assert memory.held(pipe) == stored == sdnb.generate(
        "a fox", **HOW, pipe=pipe
    ).facts["weight_bytes"]  # fmt: skip
    assert stored < (0.75 if kind == "fp8" else 0.9) * full
    request = provenance.request_of(pipe)
    with cache._cache_lock:
        need = build._need(request, Pretrained.find(request), None)
    assert abs(need.size.whole - stored) < 0.03 * stored, "as it was estimated"


@pytest.mark.parametrize("kind", KINDS)
def test_quantised_weights_are_part_of_the_key_as_loaded_and_go_to_workers(toy, kind):
    pipe = sdnb.load(toy[0], quantize=kind, **LOADED)
    plain = sdnb.load(toy[0], **LOADED)
    sdnb.generate("a fox", **HOW, pipe=pipe)
    assert provenance.differences(pipe) == {}, "a run moves them, and changes nothing"
    by, without = (sample_facts.made_by(SETTINGS, each) for each in (pipe, plain))
    assert by != without
    assert sample_facts.made_by(SETTINGS, Recipe.of(pipe, "cpu").pipeline(None)) == by
    weight = next(p for n, p in pipe.unet.named_parameters() if n.endswith("attn1.to_q.weight"))
    inner = weight.qdata if kind == "int8" else weight.data.view(torch.uint8)
    inner[0, 0] += 1
    assert provenance.differences(pipe), "a changed weight is noticed"
    inner[0, 0] -= 1
    sdnb.clear()


def test_half_precision_and_quantised_weights_are_compared_with_full_precision(toy):
    sheet = sdnb.compare("a fox", model=toy[0], quantize=[None, "fp8"], dtype="float32", **HOW)
    assert sheet.col_labels == ["not quantised", "fp8"]
    assert [s.facts.get("quantize") for s in sheet] == [None, "fp8"]
    apart = distance(*sheet)
    assert apart > 0
    assert sheet.below == ["full precision", f"{apart:.2g} of 255 from full precision"]
    both = sdnb.compare(
        "a fox", model=toy[0], dtype=["float32", "bfloat16"], quantize=[None, "fp8"], **HOW
    )
    assert (both.col_labels, both.row_labels) == (
        ["float32", "bfloat16"], ["not quantised", "fp8"]
    )  # fmt: skip
    assert [s.facts["dtype"] for s in both] == ["float32", "bfloat16"] * 2
    assert both.below[0] == "full precision"
    assert all(text.endswith("of 255 from full precision") for text in both.below[1:])


def test_the_current_pipeline_is_what_is_quantised_where_no_model_is_named(toy):
    pipe = sdnb.load(toy[0], device="cpu", dtype="float32")
    sheet = sdnb.compare("a fox", quantize=[None, "fp8"], **HOW)
    assert {s.facts["model"] for s in sheet} == {str(toy[0])}
    assert cache.current() is pipe
    own = diffusers.DiffusionPipeline.from_pretrained(toy[0])
    with pytest.raises(ValueError, match=r"sdnb\.load did not make this pipeline"):
        sdnb.compare("a fox", quantize=[None, "fp8"], pipe=own, **HOW)


@pytest.mark.parametrize(
    ("kind", "error", "sentence"),
    [
        ("4bit", ValueError, "made by bitsandbytes, which needs an NVIDIA GPU, and the device is"),
        ("int3", ValueError, "quantize is 'int3': give 'fp8', 'int8', '8bit', '4bit', or None"),
    ],
)
def test_what_cannot_be_had_is_told_before_anything_is_loaded(toy, kind, error, sentence):
    with pytest.raises(error, match=sentence):
        sdnb.load(toy[0], quantize=kind, device="cpu")


def test_bitsandbytes_and_a_single_file_is_told(toy, monkeypatch):
    folder, file = toy
    monkeypatch.setattr(quantization, "check", lambda kind, where: None)
    with pytest.raises(ValueError, match="bitsandbytes quantises folders and repositories, and"):
        sdnb.load(file, config=folder, quantize="4bit", device="cpu")


def test_a_package_that_is_missing_is_named(toy, monkeypatch):
    monkeypatch.setattr(quantization, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'sdnb\[quantize\]'.*'fp8' needs"):
        sdnb.load(toy[0], quantize="int8", device="cpu")


# as published: numbers of each part's weights
MODELS = {
    "SD 1": {"unet": 859_520_964, "text_encoder": 123_060_480, "vae": 83_653_863},
    "SDXL": {"unet": 2_567_463_684, "text_encoder_2": 694_659_841, "text_encoder": 123_060_480,
             "vae": 83_653_863},
    "SD3": {"transformer": 2_028_328_000, "text_encoder_3": 4_762_310_656,
            "text_encoder_2": 694_659_841, "text_encoder": 123_650_304, "vae": 83_819_683},
    "Flux": {"transformer": 11_901_408_320, "text_encoder_2": 4_762_310_656,
             "text_encoder": 123_060_480, "vae": 83_819_683},
}  # fmt: skip
T5S = {("SD3", "text_encoder_3"), ("Flux", "text_encoder_2")}
T4, COLAB = 15e9, 12e9  # free bytes of the GPU, and of the main memory of 12.7 GB


class Published(Pretrained):
    """A model of which only the counts are here."""

    def __init__(self, name):
        self.name = name

    model = property(lambda self: self.name)
    index = property(lambda self: {
        n: ["diffusers", "X"] if n in ("unet", "transformer", "vae")
        else ["transformers", "T5EncoderModel" if (self.name, n) in T5S else "CLIPTextModel"]
        for n in MODELS[self.name]
    })  # fmt: skip

    def weights(self):
        return {n: {"w": Tensor((count,), "")} for n, count in MODELS[self.name].items()}


@pytest.mark.parametrize(
    ("name", "where", "asked", "said"),
    [
        ("SD 1", "cuda", {}, "It takes 2,346 MB of memory, 15,000 MB are free."),
        ("SDXL", "cuda", {}, "It takes 7,631 MB of memory, 15,000 MB are free."),
        ("SDXL", "cuda", {"quantize": "4bit"}, "It takes 3,5"),
        ("SD3", "cuda", {}, "which passes through the main memory, where 12,000 MB are free: close "
         "other notebooks, or take a smaller model. With quantize='int8' it takes 9,6"),
        ("Flux", "cuda", {}, "its largest part 26,183 MB; on the GPU 15,000 MB are free: take a "
         "smaller model, or sdnb.load(..., device='cpu'). With quantize='4bit' it takes 10,7"),
        ("Flux", "cuda", {"quantize": "int8"}, "With quantize='4bit' it takes 10,7"),
        ("SDXL", "cpu", {}, "12,000 MB are free: close other notebooks, or take a smaller model. "
         "With dtype='bfloat16' it takes 7,6"),
        ("SD3", "cpu", {}, "With quantize='int8' it takes 11,"),
        ("SD3", "cpu", {"dtype": "bfloat16"}, "With quantize='int8' it takes 9,6"),
        ("Flux", "cpu", {}, "12,000 MB are free: close other notebooks, or take a smaller model."),
    ],
)  # fmt: skip
def test_what_a_t4_and_a_free_colab_hold_is_said_with_a_setting_that_fits(
    name, where, asked, said, monkeypatch
):
    free = {"cuda": T4, "cpu": COLAB}
    monkeypatch.setattr(device, "free_memory", lambda where: free[where])
    monkeypatch.setattr(quantization, "find_spec", lambda package: True)

    def answer(**how):
        dtype = how.get("dtype", "float16" if where == "cuda" else "float32")
        request = build.Request(name, None, None, dtype, where, True, "torch")
        request = replace(request, quantize=how.get("quantize"))
        try:
            return memory.make(build._need(request, Published(name), None), where, {}, bool)
        except MemoryError as error:
            return str(error)

    text = str(answer(**asked))
    assert said in text
    if "With " in text:  # who does as is said gets it
        settings = text.rpartition("With ")[2].partition(" it takes")[0]
        room = answer(**asked | eval(f"dict({settings})"))
        assert room.whole
        assert f"takes {room.need / 1e6:,.0f} MB" in text
    elif text.startswith(name):
        assert text.endswith("take a smaller model."), "nothing is advised that would not do"


def test_layers_that_are_cast_when_all_is_read_are_no_advice_where_reading_is_too_much(monkeypatch):
    """A main memory that holds the quantised weights, and not the whole ones before."""
    free = {"cuda": T4, "cpu": 6e9}
    monkeypatch.setattr(device, "free_memory", lambda where: free[where])
    monkeypatch.setattr(quantization, "find_spec", lambda package: package is None)
    request = build.Request("SDXL", None, None, "float16", "cuda", True, "torch")
    need = build._need(request, Published("SDXL"), None)
    assert list(need.less) == ["quantize='fp8'"]
    assert need.less["quantize='fp8'"].whole < free["cpu"] < need.size.reading
    with pytest.raises(MemoryError, match=r"take a smaller model\.$"):
        memory.make(need, "cuda", {}, bool)


def test_a_model_that_was_quantised_before_is_counted_as_it_is_stored(toy, tmp_path):
    tensors = {
        "a.weight": Tensor((100, 50), "U8", 5000), "a.scale": Tensor((100,), "F32", 400),
        "b.weight": Tensor((10, 10), "F16", 200),
    }  # fmt: skip
    assert quantization.nbytes(tensors, "float16") == 5000 + 200 + 200
    stored = {"a.weight": Tensor((100, 50), "F8_E4M3", 5000)}
    assert quantization.nbytes(stored, "float16") == 10_000, "diffusers reads these in the dtype"


def test_a_repository_of_quantised_weights_loads_as_it_is(toy, tmp_path):
    pytest.importorskip("torchao", reason="pip install 'sdnb[quantize]'")
    from torchao.quantization import Int8WeightOnlyConfig

    folder = shutil.copytree(toy[0], tmp_path / "quantised")
    config = diffusers.TorchAoConfig(Int8WeightOnlyConfig())
    unet = diffusers.UNet2DConditionModel.from_pretrained(
        toy[0], subfolder="unet", dtype=torch.bfloat16, quantization_config=config
    )
    shutil.rmtree(folder / "unet")
    unet.save_pretrained(folder / "unet")
    assert "quantization_config" in json.loads((folder / "unet" / "config.json").read_text())
    pipe = sdnb.load(folder, **LOADED)
    sample = sdnb.generate("a fox", **HOW, pipe=pipe)
    assert np.array_equal(pixels(sample), np.asarray(theirs(toy[0], "int8")))


@pytest.mark.parametrize(("kind", "bits"), [("8bit", 8), ("4bit", 4)])
def test_bitsandbytes_makes_what_it_makes_by_hand_and_a_picture_changes_nothing(
    kind, bits, tmp_path, on_the_cpu
):
    folder = toys.saved("SD3", tmp_path)
    pipe = sdnb.load(folder, device="cpu", dtype="float32", quantize=kind)
    sample = sdnb.generate("a fox", pipe=pipe, **HOW)
    made = {f"load_in_{bits}bit": True}
    if bits == 4:
        made |= {"bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": torch.float32}
    mapping = {"transformer": diffusers.BitsAndBytesConfig(**made),
               "text_encoder_3": transformers.BitsAndBytesConfig(**made)}  # fmt: skip
    by_hand = diffusers.DiffusionPipeline.from_pretrained(
        folder, dtype=torch.float32,
        quantization_config=diffusers.PipelineQuantizationConfig(quant_mapping=mapping),
    )  # fmt: skip
    images = by_hand(
        "a fox", num_inference_steps=2, guidance_scale=3.0, width=32, height=32,
        generator=torch.Generator("cpu").manual_seed(1),
    ).images  # fmt: skip
    assert np.array_equal(pixels(sample), np.asarray(images[0]))
    full = sdnb.load(folder, device="cpu", dtype="float32")
    assert 0 < distance(sample, sdnb.generate("a fox", pipe=full, **HOW)) < 4
    assert sample.facts["quantize"] == kind
    # what the fixture has changed for the CPU is seen, and nothing else
    changed = provenance.differences(pipe)
    assert not [name for name in changed if name.startswith(("transformer.", "text_encoder"))]
