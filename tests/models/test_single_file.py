"""Models in a single file: toys written as other programs keep them, beside their folders."""

import hashlib
import shutil

import diffusers
import numpy as np
import pytest
import torch
from accelerate import init_empty_weights
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

import sdnb
from sdnb.generation import sample_facts
from sdnb.hub import headers, names
from sdnb.models import cache, families, provenance, single_file, tensor_names
from sdnb.sweeps.ray_worker import Recipe
from tests.support import checkpoints, programs, toys

WHOLE = {
    "SD 1": checkpoints.sd1, "SD 2": toys.sd2, "SDXL": checkpoints.sdxl, "SD3": checkpoints.sd3,
}  # fmt: skip
HOW = {"seed": 1, "steps": 2, "guidance": 3.0, "width": 32, "height": 32}
SETTINGS = sdnb.Settings("a fox", **HOW)


def pixels(sample):
    return np.asarray(sample.image)


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """A toy's folder, and the same in one file; each family once."""
    made = {}

    def of(family):
        if family not in made:
            folder = tmp_path_factory.mktemp("toy")
            kept, pipe = checkpoints.saved(WHOLE[family], folder)
            made[family] = kept, checkpoints.write(pipe, folder / "dream.safetensors")
        return made[family]

    return of


@pytest.mark.parametrize("family", WHOLE)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_checkpoint_makes_the_same_pixels_as_its_folder(toy, family, dtype):
    folder, file = toy(family)
    ours = sdnb.load(file, config=folder, device="cpu", dtype=dtype)
    theirs = sdnb.load(folder, device="cpu", dtype=dtype)
    assert type(ours) is type(theirs)
    one, two = (sdnb.generate("a fox", **HOW, pipe=pipe) for pipe in (ours, theirs))
    # in float32 weights stay where they lie in the file, and a sum's last digit hangs on whether
    # that is a multiple of 64 bytes; the toy SD3's layers are 37 wide
    worst = 1 if (family, dtype) == ("SD3", "float32") else 0
    assert np.abs(pixels(one).astype(int) - pixels(two)).max() <= worst
    assert one.facts["model"] == str(file)
    assert one.facts["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert one.facts.get("channels_last") == two.facts.get("channels_last")
    assert one.facts["dtype"] == dtype


@pytest.mark.parametrize("family", WHOLE)
def test_its_code_makes_the_same_pixels_in_a_fresh_process(toy, family, tmp_path):
    folder, file = toy(family)
    pipe = sdnb.load(file, config=folder, device="cpu", dtype="float32")
    Image.radial_gradient("L").resize((64, 64)).convert("RGB").save(tmp_path / "start.png")
    made = {
        "text.png": sdnb.generate("a fox", **HOW, pipe=pipe),
        "image.png": sdnb.generate(
            "a fox", image=tmp_path / "start.png", strength=0.5, **HOW, pipe=pipe
        ),
    }
    code = "\n".join(f"{s.code()}\nimage.save({str(tmp_path / n)!r})" for n, s in made.items())
    assert "from_single_file(" in code
    programs.run("-c", code, cwd=tmp_path, check=True)
    for name, sample in made.items():
        assert np.array_equal(np.asarray(Image.open(tmp_path / name)), pixels(sample)), name


@pytest.mark.parametrize(("family", "part"), [("SD 2", "unet"), ("Flux", "transformer")])
def test_a_denoiser_alone_under_diffusers_names_takes_the_rest_from_its_settings(
    family, part, tmp_path
):
    folder = toys.saved(family, tmp_path)
    file = tmp_path / "denoiser.safetensors"
    weights = load_file(folder / part / "diffusion_pytorch_model.safetensors")
    save_file({name: x + 0.01 for name, x in weights.items()}, file)
    pipe = sdnb.load(file, config=folder, device="cpu", dtype="float32")
    changed = sdnb.generate("a fox", **HOW, pipe=pipe)
    own = diffusers.DiffusionPipeline.from_pretrained(folder)
    for weight in getattr(own, part).parameters():
        weight.data += 0.01
    theirs = own(
        "a fox", num_inference_steps=2, guidance_scale=3.0, width=32, height=32,
        generator=torch.Generator("cpu").manual_seed(1),
    ).images[0]  # fmt: skip
    assert np.array_equal(pixels(changed), np.asarray(theirs))
    code = f"{changed.code()}\nimage.save('again.png')"
    programs.run("-c", code, cwd=tmp_path, check=True)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "again.png")), pixels(changed))


@pytest.mark.slow  # diffusers' loader knows Flux' own width only: 1 GB of weights
def test_flux_under_black_forest_labs_names_makes_the_same_pixels_as_its_folder(tmp_path):
    torch.manual_seed(0)
    pipe = toys.flux(tmp_path / "words")
    with torch.device("meta"):
        transformer = diffusers.FluxTransformer2DModel.from_config(
            pipe.transformer.config, attention_head_dim=128, num_attention_heads=24,
            axes_dims_rope=(16, 56, 56),
        )  # fmt: skip
    transformer = transformer.bfloat16().to_empty(device="cpu")
    for parameter in transformer.parameters():
        torch.nn.init.normal_(parameter, 0, 0.02)
    pipe.transformer = transformer
    pipe.to(torch.bfloat16).save_pretrained(tmp_path / "folder")
    file = tmp_path / "flux1-dev.safetensors"
    tensors = checkpoints.flux(transformer)
    assert sum(x.numel() for x in tensors.values()) == transformer.num_parameters()
    save_file({name: x.contiguous() for name, x in tensors.items()}, file)
    del pipe, transformer, tensors
    how = {"seed": 1, "steps": 1, "guidance": 3.0, "width": 32, "height": 32}
    made = []
    for source, config in [(file, tmp_path / "folder"), (tmp_path / "folder", None)]:
        sdnb.clear()
        pipe = sdnb.load(source, config=config, device="cpu", dtype="bfloat16")
        assert type(pipe) is diffusers.FluxPipeline
        made.append(pixels(sdnb.generate("a fox", **how, pipe=pipe, store=False)))
        del pipe
    sdnb.clear()
    assert made[0].std() > 0
    assert np.array_equal(*made)


# ---------------------------------------------------------------- the store, the cache, Ray


def test_another_content_under_the_same_name_is_another_picture_for_the_store(toy, tmp_path):
    folder, file = toy("SD 1")
    mine = shutil.copy(file, tmp_path / "mine.safetensors")
    store = sdnb.Store(tmp_path / "store")

    def made():
        sdnb.clear()
        pipe = sdnb.load(mine, config=folder, device="cpu", dtype="float32")
        return sdnb.generate("a fox", **HOW, pipe=pipe, store=store)

    first = made()
    assert len(store) == 1
    assert np.array_equal(pixels(made()), pixels(first))
    assert len(store) == 1, "the store had it"
    save_file({name: x * 1.01 for name, x in load_file(mine).items()}, mine)
    assert not np.array_equal(pixels(made()), pixels(first))
    assert len(store) == 2


def test_the_same_file_gives_the_same_object_and_its_settings_are_part_of_the_key(toy, tmp_path):
    folder, file = toy("SD 1")
    pipe = sdnb.load(file, config=folder, device="cpu", dtype="float32")
    assert sdnb.load(str(file), config=str(folder), device="cpu", dtype="float32") is pipe
    assert cache.current() is pipe
    other = shutil.copytree(folder, tmp_path / "other")
    assert sdnb.load(file, config=other, device="cpu", dtype="float32") is not pipe


def test_settings_that_lie_beside_the_file_are_taken_and_files_are_compared(toy, tmp_path):
    folder, file = toy("SD 1")
    beside = shutil.copytree(folder, tmp_path / "beside")
    for name in ("one", "two"):
        weights = load_file(file)
        save_file({n: x * (1 if name == "one" else 1.01) for n, x in weights.items()},
                  beside / f"{name}.safetensors")  # fmt: skip
    models = [beside / "one.safetensors", beside / "two.safetensors"]
    sheet = sdnb.compare("a fox", model=models, **HOW)
    assert sheet.col_labels == ["model one.safetensors", "model two.safetensors"]
    assert sheet[0].facts["config"] == str(beside)
    assert not np.array_equal(pixels(sheet[0]), pixels(sheet[1]))
    assert type(cache.get(cache.locate(models[0]))) is diffusers.StableDiffusionPipeline


def test_a_worker_on_ray_loads_the_same(toy):
    folder, file = toy("SD 1")
    pipe = sdnb.load(file, config=folder, device="cpu", dtype="float32")
    theirs = Recipe.of(pipe, "cpu").pipeline(None)
    assert provenance.origin_of(theirs) == provenance.origin_of(pipe)
    assert sample_facts.made_by(SETTINGS, theirs) == sample_facts.made_by(SETTINGS, pipe)


def test_the_picture_in_its_file_says_the_hash_and_no_folder(toy, tmp_path):
    folder, file = toy("SD 1")
    pipe = sdnb.load(file, config=folder, device="cpu", dtype="float32")
    sample = sdnb.generate("a fox", **HOW, pipe=pipe)
    sample.save(tmp_path / "fox.png")
    again = sdnb.read(tmp_path / "fox.png")
    assert again.facts["model"] == "dream.safetensors"
    assert again.facts["sha256"] == sample.facts["sha256"]
    assert again.facts["config"] == folder.name
    assert str(file.parent).encode() not in (tmp_path / "fox.png").read_bytes()
    assert "# a file of that name" in again.code()


# ---------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize(
    ("tensors", "sentence"),
    [
        ({"lora_unet_x.lora_down.weight": (4, 32)}, "is a LoRA, which goes into a model"),
        ({"base_model.x.lora_A.weight": (4, 32)}, "is a LoRA, which goes into a model"),
        ({"emb_params": (2, 768)}, "is an embedding"),
        ({"clip_l": (2, 768), "clip_g": (2, 1280)}, "is an embedding"),
        ({"encoder.conv_in.weight": (8, 3, 3, 3), "decoder.conv_in.weight": (8, 4, 3, 3),
          "decoder.norm_out.bias": (8,), "quant_conv.bias": (8,)}, "is a VAE, one part"),
        ({f"layers.{i}.weight": (2, 2) for i in range(5)}, "is no model that diffusers' table"),
        ({"model.diffusion_model.x": (2,)}, "is no model that diffusers' table"),
    ],
)  # fmt: skip
def test_a_file_that_is_something_else_is_called_by_its_name(tensors, sentence, tmp_path):
    file = tmp_path / "x.safetensors"
    save_file({name: torch.zeros(shape) for name, shape in tensors.items()}, file)
    with pytest.raises(ValueError, match=sentence):
        sdnb.load(file)


def test_a_damaged_file_and_gits_pointer_are_told(toy, tmp_path):
    folder, file = toy("SD 1")
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(OSError, match=r"cut\.safetensors is damaged: put a whole copy"):
        sdnb.load(cut, config=folder)
    cut.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 1\n")
    with pytest.raises(OSError, match=r"git's pointer to it \(LFS\): run .* in "):
        sdnb.load(cut, config=folder)


def test_settings_that_do_not_fit_are_told_with_what_to_give(toy, tmp_path):
    _, file = toy("SD 1")
    with pytest.raises(OSError, match=r"could not be loaded with the settings of .*config="):
        sdnb.load(file, device="cpu", dtype="float32")  # of the true Stable Diffusion 1
    with pytest.raises(ValueError, match="config is for a model in a single file"):
        sdnb.load("emoji", config=tmp_path)


def test_memory_is_asked_for_before_a_file_is_read(toy, monkeypatch):
    folder, file = toy("SD 1")
    sdnb.clear()
    monkeypatch.setattr(cache.device, "free_memory", lambda _: 1000)
    monkeypatch.setattr(diffusers.StableDiffusionPipeline, "from_single_file", pytest.fail)
    with pytest.raises(MemoryError, match=r"dream\.safetensors needs \d+ MB of memory in float32"):
        sdnb.load(file, config=folder, device="cpu", dtype="float32")


def test_parts_that_are_nowhere_are_told(toy, tmp_path):
    folder, file = toy("SD 1")
    alone = tmp_path / "alone.safetensors"
    save_file({n: x for n, x in load_file(file).items() if n.startswith("model.")}, alone)
    bare = shutil.copytree(folder, tmp_path / "bare", ignore=shutil.ignore_patterns("*.safetens*"))
    with pytest.raises(ValueError, match="has no text_encoder, vae, and the settings' source nei"):
        sdnb.load(alone, config=bare)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("dream.ckpt", r"'dream\.ckpt' is pickled, and a pickled file can run any program"),
        (r"E:\aimodels\v1-5.ckpt", "is pickled, and"),
    ],
)
def test_a_pickled_checkpoint_is_not_opened(name, sentence):
    with pytest.raises(ValueError, match=sentence):
        sdnb.load(name)


def test_a_file_that_is_not_there_is_told():
    with pytest.raises(FileNotFoundError, match=r"There is no file models/dream\.safetensors: giv"):
        sdnb.load("models/dream.safetensors")


# ---------------------------------------------------------------- families


NUMBERS = {  # as published: UNet, VAE, CLIP
    "v1": (859_520_964, 83_653_863, 123_060_480),
    "v2": (865_910_724, 83_653_863, 340_387_840),
    "xl_base": (2_567_463_684, 83_653_863, 123_060_480),
}


@pytest.mark.parametrize("kind", NUMBERS)
def test_the_settings_that_come_along_are_the_published_models(kind):
    classes = (diffusers.UNet2DConditionModel, diffusers.AutoencoderKL)
    with families.unpacked(kind) as folder, init_empty_weights():
        parts = [
            made.from_config(made.load_config(folder, subfolder=name))
            for made, name in zip(classes, ("unet", "vae"))
        ]
        parts.append(
            CLIPTextModel(CLIPTextConfig.from_pretrained(folder, subfolder="text_encoder"))
        )
    numbers = tuple(sum(p.numel() for p in part.parameters()) for part in parts)
    assert numbers == NUMBERS[kind]


def test_the_words_that_come_along_are_clips():
    """Truth from outside: the numbers that CLIP's own paper and pages give for this text."""
    with families.unpacked("v1") as folder:
        tokenizer = CLIPTokenizer.from_pretrained(folder, subfolder="tokenizer")
    ids = tokenizer("a photo of a cat").input_ids
    assert ids == [49406, 320, 1125, 539, 320, 2368, 49407]
    assert tokenizer.model_max_length == 77


FILES = {
    "v1": {"model.diffusion_model.input_blocks.0.0.weight": (320, 4, 3, 3)},
    "inpainting": {"model.diffusion_model.input_blocks.0.0.weight": (320, 9, 3, 3)},
    "v2": {"model.diffusion_model.input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight":
           (320, 1024)},
    "xl_base": {"conditioner.embedders.1.model.transformer.resblocks.9.mlp.c_proj.bias": (1280,)},
    "flux-dev": {"double_blocks.0.img_attn.norm.key_norm.scale": (128,),
                 "guidance_in.in_layer.bias": (3072,), "img_in.weight": (3072, 64)},
    "": {"layers.0.weight": (2, 2)},
}  # fmt: skip


@pytest.mark.parametrize("kind", FILES)
def test_the_family_follows_from_names_and_shapes(kind):
    tensors = {n: headers.Tensor(shape, "F16") for n, shape in FILES[kind].items()}
    assert tensor_names.kind(tensors) == kind


def test_a_file_of_the_hub_is_named_by_its_repository_or_page():
    name = "someone/dream/sub/dream.safetensors"
    page = "https://huggingface.co/someone/dream/blob/main/sub/dream.safetensors"
    assert names.file(name) == names.file(page) == name


def test_a_common_family_needs_neither_settings_nor_network(tmp_path, monkeypatch):
    starts = ("model.diffusion_model.input_blocks.0.0", "first_stage_model.x", "cond_stage_model.x")
    file = tmp_path / "dream.safetensors"
    save_file({f"{start}.weight": torch.zeros(320, 4, 3, 3) for start in starts}, file)
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", pytest.fail)
    request = cache._request(file, None, "auto", "float32", "cpu", True, "torch", None)[0]
    found = single_file.SingleFile.find(request)
    assert (found.kind, found.rest) == ("v1", None)
    assert found.made is diffusers.StableDiffusionPipeline
    assert found.config == "stable-diffusion-v1-5/stable-diffusion-v1-5"
    numbers = {part: sum(t.numbers for t in its.values()) for part, its in found.weights().items()}
    assert numbers == dict.fromkeys(("unet", "vae", "text_encoder"), 320 * 4 * 9)
