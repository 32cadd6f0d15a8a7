"""The embedded model: its files, and that it needs nothing from sdnb."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import sdnb
from sdnb import emoji
from tests.support import programs

FOLDER = Path(emoji.__file__).parent


def test_plain_diffusers_loads_and_draws_it_without_sdnb(tmp_path):
    program = f"""
import sys
from diffusers import StableDiffusionPipeline
pipe = StableDiffusionPipeline.from_pretrained({str(FOLDER)!r})
image = pipe("a red circle on a white background", num_inference_steps=10).images[0]
image.save({str(tmp_path / "a.png")!r})
print(image.size, "sdnb" in sys.modules)
"""
    done = programs.run("-c", program, cwd=tmp_path, check=True)
    assert done.stdout.strip() == "(128, 128) False"
    assert "were not used" not in done.stderr
    assert "newly initialized" not in done.stderr
    with Image.open(tmp_path / "a.png") as image:
        assert np.asarray(image).std() > 20


def test_all_files_together_are_at_most_45_mb():
    files = [f for f in FOLDER.rglob("*") if f.is_file() and "__pycache__" not in f.parts]
    assert sum(f.stat().st_size for f in files) <= 45_000_000


def test_the_weights_are_safetensors_in_float16():
    from safetensors import safe_open

    weights = list(FOLDER.rglob("*.safetensors"))
    assert {w.parent.name for w in weights} == {"unet", "vae", "text_encoder", "lora"}
    assert not [*FOLDER.rglob("*.bin"), *FOLDER.rglob("*.pt"), *FOLDER.rglob("*.ckpt")]
    for path in weights:
        with safe_open(path, "pt") as tensors:
            kinds = {str(tensors.get_slice(k).get_dtype()) for k in tensors.keys()}  # noqa: SIM118
        assert kinds <= {"F16", "I64"}, path


def test_the_parts_are_diffusers_own_with_stable_diffusions_noise(pipe):
    assert {type(p).__name__ for p in (pipe.unet, pipe.vae, pipe.text_encoder, pipe.scheduler)} == {
        "UNet2DConditionModel", "AutoencoderTiny", "CLIPTextModel", "DDIMScheduler",
    }  # fmt: skip
    assert (pipe.scheduler.config.beta_start, pipe.scheduler.config.beta_end) == (0.00085, 0.012)
    assert pipe.tokenizer.model_max_length == 77


def test_every_known_word_is_one_token_and_every_other_text_has_tokens(pipe):
    unknown = pipe.tokenizer.unk_token_id
    for word in emoji.words():
        assert len(pipe.tokenizer.tokenize(word)) == 1 or not word.isalpha(), word
    for text in ("zyzzyva", "Füchse", "狐", "🦊", "x" * 500):
        ids = pipe.tokenizer(text, add_special_tokens=False).input_ids
        assert ids
        assert unknown not in ids


def test_unknown_words_are_told_in_order_and_once():
    prompt = "A Fox’s kazoo, a kazoo; 日本 and TWO owls!"
    assert emoji.unknown_words(prompt) == ["fox’s", "kazoo", "日本"]


def test_a_word_that_an_embedding_brought_is_known(heard):
    vectors = torch.full((1, 192), 0.1)
    loaded = sdnb.load("emoji", embeddings={"<foxcat>": vectors}, device="cpu")
    sample = sdnb.generate("a <foxcat> and a sackbut", steps=1, seed=1, pipe=loaded)
    assert "The embedded model does not know: sackbut. It draws what it knows." in heard()
    assert "float32 on cpu, embedding <foxcat>; 1 denoiser call" in repr(sample)


def test_the_card_is_there_and_the_readme_counts_the_words_right():
    assert "Noto Color Emoji" in (FOLDER / "README.md").read_text("utf-8")
    assert (FOLDER / "LICENSE-NOTO.txt").exists()
    readme = FOLDER.parent.parent / "README.md"
    if readme.exists():  # not beside an installed package
        assert f"[{len(emoji.words())} words]" in readme.read_text("utf-8")


@pytest.mark.parametrize("word", ["fox", "astronaut", "riding", "horse", "blue", "left", "two"])
def test_the_word_list_holds_the_words_of_the_readme(word):
    assert word in emoji.words()
