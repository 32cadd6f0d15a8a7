"""Other pipelines than Stable Diffusion 1: toy ones with random weights."""

import diffusers
import numpy as np
import pytest
import torch
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

import sdnb
from sdnb import emoji

TEXT = {
    "vocab_size": 1163, "hidden_size": 32, "intermediate_size": 37, "projection_dim": 32,
    "num_hidden_layers": 2, "num_attention_heads": 4, "bos_token_id": 1161, "eos_token_id": 1162,
    "pad_token_id": 1162,
}  # fmt: skip
VAE = {
    "block_out_channels": [32, 64], "in_channels": 3, "out_channels": 3, "latent_channels": 4,
    "down_block_types": ["DownEncoderBlock2D"] * 2, "up_block_types": ["UpDecoderBlock2D"] * 2,
    "sample_size": 64,
}  # fmt: skip
SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def tokenizer():
    return CLIPTokenizer.from_pretrained(emoji.FOLDER / "tokenizer")


def toy_sdxl():
    unet = diffusers.UNet2DConditionModel(
        block_out_channels=(32, 64), layers_per_block=2, sample_size=32, in_channels=4,
        out_channels=4, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), attention_head_dim=(2, 4),
        use_linear_projection=True, addition_embed_type="text_time", addition_time_embed_dim=8,
        transformer_layers_per_block=(1, 2), projection_class_embeddings_input_dim=80,
        cross_attention_dim=64,
    )  # fmt: skip
    return diffusers.StableDiffusionXLPipeline(
        vae=diffusers.AutoencoderKL(**VAE), unet=unet, tokenizer=tokenizer(),
        tokenizer_2=tokenizer(), text_encoder=CLIPTextModel(CLIPTextConfig(**TEXT)),
        text_encoder_2=CLIPTextModelWithProjection(CLIPTextConfig(**TEXT)),
        scheduler=diffusers.EulerDiscreteScheduler(**SD), add_watermarker=False,
    )  # fmt: skip


def toy_sd3():
    transformer = diffusers.SD3Transformer2DModel(
        sample_size=32, patch_size=2, in_channels=4, num_layers=1, attention_head_dim=8,
        num_attention_heads=4, joint_attention_dim=64, caption_projection_dim=32,
        pooled_projection_dim=64, out_channels=4,
    )  # fmt: skip
    return diffusers.StableDiffusion3Pipeline(
        transformer=transformer, vae=diffusers.AutoencoderKL(**VAE, shift_factor=0.0),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(), tokenizer=tokenizer(),
        text_encoder=CLIPTextModelWithProjection(CLIPTextConfig(**TEXT)),
        tokenizer_2=tokenizer(), text_encoder_2=CLIPTextModelWithProjection(CLIPTextConfig(**TEXT)),
        text_encoder_3=None, tokenizer_3=None,
    )  # fmt: skip


@pytest.fixture(scope="module", params=[toy_sdxl, toy_sd3], ids=["SDXL", "SD3"])
def toy(request, tmp_path_factory):
    """A toy pipeline: SDXL from a folder, SD3 as a person made it (without T5, as is usual)."""
    torch.manual_seed(0)
    pipe = request.param()
    if request.param is toy_sd3:  # diffusers does not load again what was saved without T5
        return pipe
    folder = tmp_path_factory.mktemp(request.param.__name__)
    pipe.save_pretrained(folder)
    return sdnb.load(folder, device="cpu")


def test_a_picture_is_pixel_for_pixel_the_pipelines_own(toy):
    ours = sdnb.generate("a fox", seed=1, steps=2, guidance=3, negative_prompt="blur", pipe=toy)
    theirs = toy(
        "a fox", negative_prompt="blur", num_inference_steps=2, guidance_scale=3.0,
        generator=torch.Generator("cpu").manual_seed(1),
    ).images[0]  # fmt: skip
    assert np.array_equal(np.asarray(ours.image), np.asarray(theirs))
    assert ours.facts["denoiser_calls"] == 2
    assert ours.image.size == (ours.settings.width, ours.settings.height)


def test_a_size_that_does_not_fit_is_refused_before_the_run(toy):
    multiple = sdnb.generate("a fox", steps=1, width=64, height=48, pipe=toy)
    assert multiple.image.size == (64, 48)
    with pytest.raises(ValueError, match="is not a multiple of"):
        sdnb.generate("a fox", steps=1, width=68, pipe=toy)


def test_noise_schedulers_fit_noise_models_only(toy):
    if type(toy).__name__ == "StableDiffusionXLPipeline":
        sheet = sdnb.compare("a fox", scheduler=["DDIM", "Heun"], steps=2, pipe=toy)
        assert [s.facts["denoiser_calls"] for s in sheet] == [2, 3]
    else:
        with pytest.raises(ValueError, match="this one is a flow model"):
            sdnb.compare("a fox", scheduler=["DDIM"], steps=2, pipe=toy)
        own = sdnb.generate("a fox", steps=2, pipe=toy).settings.scheduler
        assert own == "FlowMatchEulerDiscreteScheduler"
        assert sdnb.generate("a fox", steps=1, scheduler=own, pipe=toy).facts["denoiser_calls"] == 1
