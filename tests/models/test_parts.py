"""A pipeline with other parts than its model's: a VAE, and embeddings (textual inversion)."""

import hashlib
import json

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import sdnb
from sdnb.generation import prompt_encoding, sample_facts, sampling
from sdnb.models import cache, provenance
from sdnb.sweeps.ray_worker import Recipe
from tests.support import checkpoints, programs, toys

HOW = {"seed": 1, "steps": 2, "guidance": 3.0, "width": 64, "height": 64}
PLAIN = {"device": "cpu", "dtype": "float32"}


def pixels(sample):
    return np.asarray(sample.image)


def made(pipe, prompt="a fox"):
    return sdnb.generate(prompt, **HOW, pipe=pipe)


def vectors(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(shape[-1]))


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """The folder of SD 1's toy, or of SDXL's whose encoders have two widths."""
    folders = {}

    def of(make):
        if make not in folders:
            folders[make] = checkpoints.saved(make, tmp_path_factory.mktemp("toy"))[0]
        return folders[make]

    return of


@pytest.fixture
def embedding(tmp_path):
    def write(name="blurry", **tensors):
        file = tmp_path / f"{name}.safetensors"
        save_file(tensors, file)
        return file

    return write


# ---------------------------------------------------------------- embeddings


@pytest.mark.parametrize("rows", [1, 3])
def test_an_embedding_makes_the_pixels_that_diffusers_makes_with_it(toy, embedding, rows):
    file = embedding(emb_params=vectors(rows, 32))
    pipe = sdnb.load(toy(checkpoints.sd1), embeddings=[file], **PLAIN)
    sample = made(pipe, "a blurry fox")
    own = diffusers.DiffusionPipeline.from_pretrained(toy(checkpoints.sd1))
    own.load_textual_inversion(str(file), token="blurry")
    theirs = own(
        "a blurry fox", num_inference_steps=2, guidance_scale=3.0, width=64, height=64,
        generator=torch.Generator("cpu").manual_seed(1),
    ).images[0]  # fmt: skip
    assert np.array_equal(pixels(sample), np.asarray(theirs))
    plain = sdnb.load(toy(checkpoints.sd1), **PLAIN)
    assert not np.array_equal(pixels(sample), pixels(made(plain, "a blurry fox")))
    [fact] = sample.facts["embeddings"]
    assert fact["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert fact["token"] == "blurry"
    assert prompt_encoding.count(pipe, "a blurry fox") == 2 + rows


def test_sdxls_two_encoders_each_get_theirs_and_the_longer_one_counts(toy, embedding):
    file = embedding(clip_l=vectors(2, 32), clip_g=vectors(4, 48))
    pipe = sdnb.load(toy(checkpoints.sdxl), embeddings=[file], **PLAIN)
    for encoder, tokenizer, rows in (
        (pipe.text_encoder, pipe.tokenizer, 2), (pipe.text_encoder_2, pipe.tokenizer_2, 4)
    ):  # fmt: skip
        number = tokenizer.convert_tokens_to_ids("blurry")
        weights = encoder.get_input_embeddings().weight[number : number + rows]
        assert torch.equal(weights, vectors(rows, weights.shape[1]))
    assert prompt_encoding.count(pipe, "a blurry fox") == 6
    long = "fox " * 71 + "blurry"
    assert prompt_encoding.lost(pipe, f"{long} fox") == "fox"
    assert prompt_encoding.lost(pipe, long) == ""
    parts = prompt_encoding.pieces(pipe, "fox " * 72 + "blurry fox")
    assert parts == ["fox " * 71 + "fox", "blurry fox"], "for the second encoder the first is full"


def test_the_code_makes_the_same_pixels_in_a_fresh_process(toy, embedding, tmp_path):
    one = embedding("one", emb_params=vectors(2, 32))
    both = embedding("both", clip_l=vectors(2, 32), clip_g=vectors(3, 48))
    learned = embedding("learned", **{"<cat>": vectors(32)})
    vae = tmp_path / "vae"
    torch.manual_seed(5)
    diffusers.AutoencoderKL(**toys.VAE).save_pretrained(vae)
    pictures = {
        "one.png": made(
            sdnb.load(toy(checkpoints.sd1), embeddings=[one, {"<hat>": learned}], vae=vae, **PLAIN),
            "one fox in a <hat>",
        ),
        "both.png": made(
            sdnb.load(toy(checkpoints.sdxl), embeddings=both, **PLAIN), "a both fox"
        ),
    }  # fmt: skip
    code = "\n".join(f"{s.code()}\nimage.save({n!r})" for n, s in pictures.items())
    programs.run("-c", code, cwd=tmp_path, check=True)
    for name, sample in pictures.items():
        assert np.array_equal(np.asarray(Image.open(tmp_path / name)), pixels(sample)), name


def test_they_are_part_of_the_stores_key_and_go_to_rays_workers(toy, embedding, tmp_path):
    settings = sdnb.Settings("a blurry fox", **HOW)
    store = sdnb.Store(tmp_path / "store")
    keys = set()
    for scale in (1, 2):
        file = embedding(emb_params=vectors(1, 32) * scale)
        sdnb.clear()
        pipe = sdnb.load(toy(checkpoints.sd1), embeddings=file, **PLAIN)
        assert provenance.differences(pipe) == {}
        keys.add(store.key(sampling.resolve(settings, pipe), sample_facts.made_by(settings, pipe)))
        theirs = Recipe.of(pipe, "cpu").pipeline(None)
        assert sample_facts.made_by(settings, theirs) == sample_facts.made_by(settings, pipe)
    pipe = sdnb.load(toy(checkpoints.sd1), **PLAIN)
    keys.add(store.key(sampling.resolve(settings, pipe), sample_facts.made_by(settings, pipe)))
    assert len(keys) == 3


def test_a_picture_of_the_store_and_of_a_file_knows_its_parts(toy, embedding, tmp_path):
    file, store = embedding(emb_params=vectors(1, 32)), sdnb.Store(tmp_path / "store")
    pipe = sdnb.load(toy(checkpoints.sd1), embeddings=file, **PLAIN)
    first, again = (
        sdnb.generate("a blurry fox", **HOW, pipe=pipe, store=store) for _ in range(2)
    )  # fmt: skip
    assert again.facts["embeddings"] == first.facts["embeddings"]
    assert again.code() == first.code()
    first.save(tmp_path / "fox.png")
    read = sdnb.read(tmp_path / "fox.png")
    assert read.facts["embeddings"][0]["model"] == "blurry.safetensors"
    assert str(tmp_path) not in json.dumps(read.facts)


def test_vectors_of_a_tensor_are_taken_under_their_word(toy):
    given = {"<hat>": vectors(2, 32)}
    pipe = sdnb.load(toy(checkpoints.sd1), embeddings=given, **PLAIN)
    assert sdnb.load(toy(checkpoints.sd1), embeddings=given, **PLAIN) is pipe
    other = {"<hat>": vectors(2, 32) + 1}
    assert sdnb.load(toy(checkpoints.sd1), embeddings=other, **PLAIN) is not pipe
    assert prompt_encoding.count(pipe, "a <hat>") == 3
    assert '# the vectors of "<hat>" were given as a tensor' in made(pipe, "a <hat>").code()


@pytest.mark.parametrize(
    ("tensors", "sentence"),
    [
        ({"emb_params": (2, 48)}, r"'blurry' does not fit: its vectors \(emb_params\) have 48"),
        ({"clip_l": (2, 32), "clip_g": (2, 48)}, r"this model's text encoders take 32\. It is for"),
        ({"fox": (1, 32)}, "The tokenizer knows 'fox</w>' already: give the embedding another"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told_and_the_current_pipeline_stays(
    toy, embedding, tensors, sentence
):
    pipe = sdnb.load(toy(checkpoints.sd1), **PLAIN)
    before = made(pipe)
    file = embedding(**{name: vectors(*shape) for name, shape in tensors.items()})
    names = [{"fox</w>": file}] if "fox" in tensors else file
    with pytest.raises(ValueError, match=sentence):
        sdnb.load(toy(checkpoints.sd1), embeddings=names, **PLAIN)
    assert cache.current() is pipe
    assert provenance.differences(pipe) == {}
    assert np.array_equal(pixels(made(pipe)), pixels(before))


def test_a_pickled_embedding_and_one_that_is_not_there_are_told(toy):
    with pytest.raises(ValueError, match=r"'old\.pt' is pickled, and a pickled file can run any"):
        sdnb.load(toy(checkpoints.sd1), embeddings="old.pt")
    with pytest.raises(FileNotFoundError, match=r"There is no file new\.safetensors"):
        sdnb.load(toy(checkpoints.sd1), embeddings="new.safetensors")
    with pytest.raises(TypeError, match=r"is int: give a file, a hub id or a torch\.Tensor"):
        sdnb.load(toy(checkpoints.sd1), embeddings={"word": 3})


# ---------------------------------------------------------------- VAE


@pytest.fixture
def vaes(tmp_path):
    """Another VAE of the same shape, as a folder, as a model's part, and in CompVis' layout."""
    torch.manual_seed(5)
    vae = diffusers.AutoencoderKL(**toys.VAE)
    vae.save_pretrained(tmp_path / "vae")
    file = tmp_path / "vae.safetensors"
    save_file({n: x.contiguous() for n, x in checkpoints._vae(vae.state_dict(), "").items()}, file)
    vae.save_pretrained(tmp_path / "model" / "vae")
    return {"folder": tmp_path / "vae", "file": file, "model": tmp_path / "model"}


@pytest.mark.parametrize("kind", ["folder", "file", "model"])
def test_a_vae_decodes_in_place_of_the_models_own(toy, vaes, kind, tmp_path):
    pipe = sdnb.load(toy(checkpoints.sd1), vae=vaes[kind], **PLAIN)
    sample = made(pipe)
    own = diffusers.DiffusionPipeline.from_pretrained(
        toy(checkpoints.sd1), vae=diffusers.AutoencoderKL.from_pretrained(vaes["folder"])
    )
    theirs = own(
        "a fox", num_inference_steps=2, guidance_scale=3.0, width=64, height=64,
        generator=torch.Generator("cpu").manual_seed(1),
    ).images[0]  # fmt: skip
    assert np.array_equal(pixels(sample), np.asarray(theirs))
    assert sample.facts["vae"]["model"] == str(vaes[kind])
    assert provenance.differences(pipe) == {}
    programs.run("-c", f"{sample.code()}\nimage.save('x.png')", cwd=tmp_path, check=True)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "x.png")), pixels(sample))


def test_a_checkpoint_takes_a_vae_too_and_may_lack_its_own(toy, vaes, tmp_path):
    folder = toy(checkpoints.sd1)
    pipe = diffusers.DiffusionPipeline.from_pretrained(folder)
    file = checkpoints.write(pipe, tmp_path / "whole.safetensors")
    lacking = tmp_path / "lacking.safetensors"
    save_file({n: x for n, x in load_file(file).items() if "first_stage" not in n}, lacking)
    samples = [
        made(sdnb.load(source, vae=vaes["folder"], **PLAIN, **config))
        for source, config in ((folder, {}), (file, {"config": folder}),
                               (lacking, {"config": folder}))
    ]  # fmt: skip
    assert all(np.array_equal(pixels(s), pixels(samples[0])) for s in samples)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"latent_channels": 16}, "its latents have 16 channels, this model's 4"),
        ({"scaling_factor": 0.13025}, "its latents are scaled by 0.13025, this model's by 0.18215"),
        ({"block_out_channels": [32, 32, 64], "down_block_types": ["DownEncoderBlock2D"] * 3,
          "up_block_types": ["UpDecoderBlock2D"] * 3}, "it has 3 levels, this model's 2"),
    ],
)  # fmt: skip
def test_a_vae_of_another_family_is_told(toy, tmp_path, changes, sentence):
    pipe = sdnb.load(toy(checkpoints.sd1), **PLAIN)
    diffusers.AutoencoderKL(**{**toys.VAE, **changes}).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=f"is for another family: {sentence}"):
        sdnb.load(toy(checkpoints.sd1), vae=tmp_path, **PLAIN)
    assert cache.current() is pipe


def test_a_file_that_is_no_vae_is_told(toy, embedding, tmp_path):
    with pytest.raises(ValueError, match="is no VAE: it has no decoder"):
        sdnb.load(toy(checkpoints.sd1), vae=embedding(x=vectors(2, 2)))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="is no VAE, and no model that has one"):
        sdnb.load(toy(checkpoints.sd1), vae=tmp_path / "empty")


def test_the_embedded_models_vae_saved_anew_goes_into_it(pipe, tmp_path):
    """diffusers then writes its levels under another name than they were read from."""
    pipe.vae.save_pretrained(tmp_path / "vae")
    assert "block_out_channels" in json.loads((tmp_path / "vae" / "config.json").read_text())
    other = sdnb.load("emoji", vae=tmp_path / "vae", device="cpu")
    given = {"steps": 2, "seed": 1, "guidance": 3.0}
    one, two = (sdnb.generate("a fox", **given, pipe=each) for each in (pipe, other))
    assert np.array_equal(pixels(one), pixels(two))
