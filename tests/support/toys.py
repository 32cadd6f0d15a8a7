"""Small pipelines of other families than Stable Diffusion 1, with random weights."""

import diffusers
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    PreTrainedTokenizerFast,
    T5Config,
    T5EncoderModel,
)

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


def t5(folder):
    """A T5 encoder and a tokenizer of words, as files: only so do both save and load."""
    words = sorted(emoji.words())
    vocabulary = {w: i for i, w in enumerate(["<pad>", "</s>", "<unk>", *words])}
    model = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    model.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=model, pad_token="<pad>", eos_token="</s>", unk_token="<unk>",
        model_max_length=512,
    )  # fmt: skip
    config = T5Config(
        vocab_size=len(vocabulary), d_model=32, d_kv=8, d_ff=37, num_layers=2, num_heads=4
    )
    fast.save_pretrained(folder)
    return fast, T5EncoderModel(config)


def unet(**changes):
    return diffusers.UNet2DConditionModel(
        **{
            "block_out_channels": (32, 64), "layers_per_block": 1, "sample_size": 32,
            "in_channels": 4, "out_channels": 4, "cross_attention_dim": 32,
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"), **changes,
        }
    )  # fmt: skip


def sd2(folder):
    """SD 2.x: the velocity is predicted, and linear projections in the attention."""
    return diffusers.StableDiffusionPipeline(
        vae=diffusers.AutoencoderKL(**VAE), tokenizer=tokenizer(),
        unet=unet(attention_head_dim=(2, 4), use_linear_projection=True),
        text_encoder=CLIPTextModel(CLIPTextConfig(**TEXT)), safety_checker=None,
        feature_extractor=None, requires_safety_checker=False,
        scheduler=diffusers.DDIMScheduler(
            **SD, prediction_type="v_prediction", clip_sample=False, set_alpha_to_one=False
        ),
    )  # fmt: skip


def sdxl(folder):
    return diffusers.StableDiffusionXLPipeline(
        vae=diffusers.AutoencoderKL(**VAE), tokenizer=tokenizer(), tokenizer_2=tokenizer(),
        unet=unet(
            layers_per_block=2, attention_head_dim=(2, 4), use_linear_projection=True,
            addition_embed_type="text_time", addition_time_embed_dim=8,
            transformer_layers_per_block=(1, 2), projection_class_embeddings_input_dim=80,
            cross_attention_dim=64,
        ),
        text_encoder=CLIPTextModel(CLIPTextConfig(**TEXT)),
        text_encoder_2=CLIPTextModelWithProjection(CLIPTextConfig(**TEXT)),
        scheduler=diffusers.EulerDiscreteScheduler(**SD), add_watermarker=False,
    )  # fmt: skip


def sd3(folder):
    words, reader = t5(folder)
    return diffusers.StableDiffusion3Pipeline(
        transformer=diffusers.SD3Transformer2DModel(
            sample_size=32, patch_size=2, in_channels=16, num_layers=1, attention_head_dim=8,
            num_attention_heads=4, joint_attention_dim=32, caption_projection_dim=32,
            pooled_projection_dim=64, out_channels=16,
        ),
        vae=diffusers.AutoencoderKL(**{**VAE, "latent_channels": 16}, shift_factor=0.0),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(), tokenizer=tokenizer(),
        text_encoder=CLIPTextModelWithProjection(CLIPTextConfig(**{**TEXT, "hidden_size": 32})),
        tokenizer_2=tokenizer(), text_encoder_2=CLIPTextModelWithProjection(CLIPTextConfig(**TEXT)),
        text_encoder_3=reader, tokenizer_3=words,
    )  # fmt: skip


def flux(folder):
    words, reader = t5(folder)
    return diffusers.FluxPipeline(
        transformer=diffusers.FluxTransformer2DModel(
            patch_size=1, in_channels=4, num_layers=1, num_single_layers=1, attention_head_dim=16,
            num_attention_heads=2, joint_attention_dim=32, pooled_projection_dim=32,
            axes_dims_rope=[4, 4, 8], guidance_embeds=True,
        ),
        vae=diffusers.AutoencoderKL(
            **{**VAE, "latent_channels": 1}, shift_factor=0.06, scaling_factor=1.5,
            use_quant_conv=False, use_post_quant_conv=False,
        ),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
        text_encoder=CLIPTextModel(CLIPTextConfig(**TEXT)), tokenizer=tokenizer(),
        text_encoder_2=reader, tokenizer_2=words,
    )  # fmt: skip


FAMILIES = {"SD 2": sd2, "SDXL": sdxl, "SD3": sd3, "Flux": flux}


def saved(family, folder):
    """The folder of a new toy pipeline of that family, always the same weights."""
    torch.manual_seed(0)
    FAMILIES[family](folder / "words").save_pretrained(folder / "pipeline")
    return folder / "pipeline"
