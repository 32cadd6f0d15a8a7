"""Every text-to-image class of diffusers that can be built at toy size, with random weights.

The configurations follow diffusers' own tests (Apache 2.0):
https://github.com/huggingface/diffusers/tree/main/tests/pipelines
"""

import diffusers
import torch
import transformers

from tests.support.toy_text import WORDS, byte_tokenizer, clip, llm, qwen_vl, t5, tokenizer
from tests.support.toys import SD

TOYS = {}  # class name -> what gives its parts


def toy(*names):
    def keep(parts):
        TOYS.update(dict.fromkeys((f"{name}Pipeline" for name in names), parts))
        return parts

    return keep


def made(name):
    """A new toy pipeline of that class, always the same weights."""
    torch.manual_seed(0)
    with torch.random.fork_rng():
        kind = getattr(diffusers, name)
        pipe = kind(**TOYS[name]())
    for part in pipe.components.values():
        if isinstance(part, torch.nn.Module):
            _filled(part.eval())
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _filled(module):
    """No layer that is zero, as new ones may be: what goes in would not come out."""
    made = torch.Generator().manual_seed(0)
    for parameter in module.parameters():
        values = parameter.data
        if not torch.isfinite(values).all() or (values.numel() > 1 and not values.any()):
            values.copy_(torch.randn(values.shape, generator=made) * 0.1)


# ---------------------------------------------------------------- parts


def flow(**changes):
    return diffusers.FlowMatchEulerDiscreteScheduler(**changes)


def vae(blocks=2, channels=4, **changes):
    """An AutoencoderKL that scales by 2 ** (blocks - 1)."""
    return diffusers.AutoencoderKL(
        **{
            "block_out_channels": [8] * blocks, "norm_num_groups": 4, "latent_channels": channels,
            "down_block_types": ["DownEncoderBlock2D"] * blocks, "sample_size": 32,
            "up_block_types": ["UpDecoderBlock2D"] * blocks, **changes,
        }
    )  # fmt: skip


def shifted(channels, blocks=1, **changes):
    """As Flux's: with a shift, and without the two convolutions around the latents."""
    return vae(
        blocks, channels, shift_factor=0.0609, scaling_factor=1.5035, use_quant_conv=False,
        use_post_quant_conv=False, **changes,
    )  # fmt: skip


def flux2_vae():
    return diffusers.AutoencoderKLFlux2(
        sample_size=32, block_out_channels=(4,), down_block_types=("DownEncoderBlock2D",),
        up_block_types=("UpDecoderBlock2D",), layers_per_block=1, latent_channels=1,
        norm_num_groups=1, use_quant_conv=False, use_post_quant_conv=False,
    )  # fmt: skip


def qwen_vae(channels=4):
    return diffusers.AutoencoderKLQwenImage(
        base_dim=12, z_dim=channels, dim_mult=[1, 2, 4], num_res_blocks=1,
        temperal_downsample=[False, True], latents_mean=[0.0] * channels,
        latents_std=[1.0] * channels,
    )  # fmt: skip


def deep_compression():
    blocks = 6
    return diffusers.AutoencoderDC(
        in_channels=3, latent_channels=4, attention_head_dim=2,
        encoder_block_types=("ResBlock",) * blocks, decoder_block_types=("ResBlock",) * blocks,
        encoder_block_out_channels=(8,) * blocks, decoder_block_out_channels=(8,) * blocks,
        encoder_qkv_multiscales=((),) * blocks, decoder_qkv_multiscales=((),) * blocks,
        encoder_layers_per_block=(1,) * blocks, decoder_layers_per_block=[1] * blocks,
        downsample_block_type="conv", upsample_block_type="interpolate",
        decoder_norm_types="rms_norm", decoder_act_fns="silu", scaling_factor=0.41407,
    )  # fmt: skip


def processor():
    """In the place of one that reads pictures too, and needs torchvision: texts are all it gets."""
    return byte_tokenizer()


def unet(**changes):
    return diffusers.UNet2DConditionModel(
        **{
            "block_out_channels": (8, 16), "layers_per_block": 1, "sample_size": 16,
            "cross_attention_dim": 32, "norm_num_groups": 4, "attention_head_dim": 4,
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"), **changes,
        }
    )  # fmt: skip


# ---------------------------------------------------------------- UNets


def _sd(**changes):
    return {
        "vae": vae(), "unet": unet(**changes), "text_encoder": clip(), "tokenizer": tokenizer(),
        "scheduler": diffusers.DDIMScheduler(**SD, clip_sample=False, set_alpha_to_one=False),
        "safety_checker": None, "feature_extractor": None, "requires_safety_checker": False,
    }  # fmt: skip


@toy("StableDiffusion", "StableDiffusionPAG")
def stable_diffusion():
    return _sd()


@toy("StableDiffusionInstructPix2Pix")
def instruct_pix2pix():
    return {**_sd(in_channels=8), "image_encoder": None}  # noise, and the picture's latents


@toy("LatentConsistencyModel")
def latent_consistency():
    return {
        **_sd(time_cond_proj_dim=32),
        "scheduler": diffusers.LCMScheduler(**SD, clip_sample=False, set_alpha_to_one=False),
    }


@toy("StableDiffusionXL", "StableDiffusionXLPAG")
def stable_diffusion_xl():
    return _sdxl()


@toy("StableDiffusionXLInstructPix2Pix")
def instruct_pix2pix_xl():
    return _sdxl(in_channels=8)


def _sdxl(**changes):
    return {
        "vae": vae(), "tokenizer": tokenizer(), "tokenizer_2": tokenizer(),
        "unet": unet(
            addition_embed_type="text_time", addition_time_embed_dim=8, use_linear_projection=True,
            projection_class_embeddings_input_dim=80, cross_attention_dim=64,
            transformer_layers_per_block=(1, 2), **changes,
        ),
        "text_encoder": clip(), "text_encoder_2": clip(projected=True),
        "scheduler": diffusers.EulerDiscreteScheduler(**SD), "add_watermarker": False,
    }  # fmt: skip


@toy("IF")
def deep_floyd():
    return {
        "text_encoder": t5(), "tokenizer": byte_tokenizer(), "watermarker": None,
        "unet": diffusers.UNet2DConditionModel(
            sample_size=32, layers_per_block=1, block_out_channels=[8, 16], norm_num_groups=4,
            down_block_types=["ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"],
            mid_block_type="UNetMidBlock2DSimpleCrossAttn", in_channels=3, out_channels=6,
            up_block_types=["SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"],
            cross_attention_dim=32, encoder_hid_dim=32, attention_head_dim=4, act_fn="gelu",
            addition_embed_type="text", addition_embed_type_num_heads=2,
            cross_attention_norm="group_norm", resnet_time_scale_shift="scale_shift",
        ),
        "scheduler": diffusers.DDPMScheduler(
            beta_schedule="squaredcos_cap_v2", thresholding=True, sample_max_value=1.0,
            dynamic_thresholding_ratio=0.95, variance_type="learned_range",
        ),
        "safety_checker": None, "feature_extractor": None, "requires_safety_checker": False,
    }  # fmt: skip


@toy("Kandinsky3")
def kandinsky3():
    return {
        "unet": diffusers.Kandinsky3UNet(
            in_channels=4, time_embedding_dim=4, groups=2, attention_head_dim=4,
            layers_per_block=3, block_out_channels=(32, 64), cross_attention_dim=4,
            encoder_hid_dim=32,
        ),
        "scheduler": diffusers.DDPMScheduler(
            beta_start=0.00085, beta_end=0.012, steps_offset=1, beta_schedule="squaredcos_cap_v2"
        ),
        "movq": diffusers.VQModel(
            block_out_channels=[32, 64], layers_per_block=1, norm_num_groups=8, vq_embed_dim=4,
            down_block_types=["DownEncoderBlock2D", "AttnDownEncoderBlock2D"], norm_type="spatial",
            up_block_types=["AttnUpDecoderBlock2D", "UpDecoderBlock2D"], latent_channels=4,
            num_vq_embeddings=12,
        ),
        "text_encoder": t5(), "tokenizer": byte_tokenizer(),
    }  # fmt: skip


# ---------------------------------------------------------------- transformers


@toy("StableDiffusion3", "StableDiffusion3PAG")
def stable_diffusion_3():
    return {
        "transformer": diffusers.SD3Transformer2DModel(
            sample_size=32, patch_size=2, in_channels=16, num_layers=2, attention_head_dim=8,
            num_attention_heads=4, joint_attention_dim=32, caption_projection_dim=32,
            pooled_projection_dim=64, out_channels=16,
        ),
        "vae": vae(2, 16, shift_factor=0.0), "scheduler": flow(),
        "text_encoder": clip(projected=True), "tokenizer": tokenizer(),
        "text_encoder_2": clip(projected=True), "tokenizer_2": tokenizer(),
        "text_encoder_3": t5(), "tokenizer_3": byte_tokenizer(),
    }  # fmt: skip


@toy("Flux", "FluxKontext")
def flux():
    return _flux()


@toy("FluxFill")
def flux_fill():
    # noise, the masked picture's latents, and of the mask 8 x 8 pixels a latent
    return _flux(blocks=4, in_channels=4 + 4 + 4 * 64, out_channels=4)


def _flux(blocks=1, **changes):
    return {
        "transformer": diffusers.FluxTransformer2DModel(
            **{
                "patch_size": 1, "in_channels": 4, "num_layers": 1, "num_single_layers": 1,
                "attention_head_dim": 16, "num_attention_heads": 2, "joint_attention_dim": 32,
                "pooled_projection_dim": 32, "axes_dims_rope": [4, 4, 8], "guidance_embeds": True,
                **changes,
            }
        ),
        "vae": shifted(1, blocks), "scheduler": flow(), "text_encoder": clip(),
        "tokenizer": tokenizer(),
        "text_encoder_2": t5(), "tokenizer_2": byte_tokenizer(),
    }  # fmt: skip


@toy("Chroma")
def chroma():
    return {
        "transformer": diffusers.ChromaTransformer2DModel(
            patch_size=1, in_channels=4, num_layers=1, num_single_layers=1, attention_head_dim=16,
            num_attention_heads=2, joint_attention_dim=32, axes_dims_rope=[4, 4, 8],
            approximator_hidden_dim=32, approximator_layers=1, approximator_num_channels=16,
        ),
        "vae": shifted(1), "scheduler": flow(), "text_encoder": t5(), "tokenizer": byte_tokenizer(),
    }  # fmt: skip


@toy("OvisImage")
def ovis():
    return {
        "transformer": diffusers.OvisImageTransformer2DModel(
            patch_size=1, in_channels=4, out_channels=4, num_layers=1, num_single_layers=1,
            attention_head_dim=16, num_attention_heads=2, joint_attention_dim=32,
            axes_dims_rope=(4, 4, 8),
        ),
        "vae": shifted(1), "scheduler": flow(), "tokenizer": byte_tokenizer(),
        "text_encoder": llm("Qwen3", width=32),
    }  # fmt: skip


@toy("LongCatImage")
def longcat():
    reader = qwen_vl()  # it rewrites the prompt first; every token ends that
    reader.generation_config.eos_token_id = list(range(WORDS))
    return {
        "transformer": diffusers.LongCatImageTransformer2DModel(
            patch_size=1, in_channels=64, num_layers=1, num_single_layers=1, attention_head_dim=16,
            num_attention_heads=2, joint_attention_dim=16, pooled_projection_dim=16,
            axes_dims_rope=[4, 4, 8],
        ),
        "vae": shifted(16), "scheduler": flow(), "tokenizer": byte_tokenizer(),
        "text_encoder": reader, "text_processor": processor(),
    }  # fmt: skip


@toy("BriaFibo", "BriaFiboEdit")
def bria_fibo():
    empty = 128001  # one more than the token that it reads in place of an empty prompt
    return {
        "transformer": diffusers.BriaFiboTransformer2DModel(
            patch_size=1, in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=8,
            num_attention_heads=2, joint_attention_dim=64, text_encoder_dim=32,
            pooled_projection_dim=None, axes_dims_rope=[0, 4, 4],
        ),
        "vae": diffusers.AutoencoderKLWan(
            base_dim=8, decoder_base_dim=8, num_res_blocks=1, in_channels=12, out_channels=12,
            patch_size=2, scale_factor_spatial=16, scale_factor_temporal=4,
            temperal_downsample=[False, True, True], z_dim=16, is_residual=True,
        ),
        "scheduler": flow(), "tokenizer": byte_tokenizer(),
        "text_encoder": llm("SmolLM3", "ForCausalLM", width=32, vocab_size=empty),
    }  # fmt: skip


@toy("Bria")
def bria():
    return {
        "transformer": diffusers.BriaTransformer2DModel(
            patch_size=1, in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=8,
            num_attention_heads=2, joint_attention_dim=32, pooled_projection_dim=None,
            axes_dims_rope=[0, 4, 4],
        ),
        "vae": vae(1, 4, shift_factor=0, scaling_factor=0.13025), "scheduler": flow(),
        "text_encoder": t5(), "tokenizer": byte_tokenizer(model_max_length=128),
        "image_encoder": None, "feature_extractor": None,
    }  # fmt: skip


@toy("PixArtAlpha", "PixArtSigma", "PixArtSigmaPAG")
def pixart():
    return {
        "transformer": diffusers.PixArtTransformer2DModel(
            sample_size=32, num_layers=2, patch_size=2, attention_head_dim=8, caption_channels=32,
            num_attention_heads=3, in_channels=4, cross_attention_dim=24, out_channels=8,
            attention_bias=True, activation_fn="gelu-approximate", num_embeds_ada_norm=1000,
            norm_type="ada_norm_single", norm_elementwise_affine=False, norm_eps=1e-6,
            use_additional_conditions=False,
        ),
        "vae": vae(4), "scheduler": diffusers.DDIMScheduler(), "text_encoder": t5(),
        "tokenizer": byte_tokenizer(),
    }  # fmt: skip


def _gemma2():
    return llm("Gemma2", width=8, num_hidden_layers=1, attn_implementation="eager")


def _sana(**changes):
    return {
        "transformer": diffusers.SanaTransformer2DModel(
            patch_size=1, in_channels=4, out_channels=4, num_layers=1, num_attention_heads=2,
            attention_head_dim=4, num_cross_attention_heads=2, cross_attention_head_dim=4,
            cross_attention_dim=8, caption_channels=8, **{"sample_size": 16, **changes},
        ),
        "vae": deep_compression(), "scheduler": flow(shift=7.0), "text_encoder": _gemma2(),
        "tokenizer": byte_tokenizer(),
    }  # fmt: skip


@toy("Sana", "SanaPAG")
def sana():
    return _sana()


@toy("SanaSprint")
def sana_sprint():
    return {
        **_sana(
            qk_norm="rms_norm_across_heads",
            guidance_embeds=True,
            guidance_embeds_scale=0.1,
            sample_size=32,
        ),
        "scheduler": diffusers.SCMScheduler(),
    }


@toy("HunyuanDiT", "HunyuanDiTPAG")
def hunyuan_dit():
    text = transformers.BertConfig(
        vocab_size=320, hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=37,
    )  # fmt: skip
    return {
        "transformer": diffusers.HunyuanDiT2DModel(
            sample_size=16, num_layers=2, patch_size=2, attention_head_dim=8,
            num_attention_heads=3, in_channels=4, cross_attention_dim=32,
            cross_attention_dim_t5=32, pooled_projection_dim=16, hidden_size=24,
            activation_fn="gelu-approximate",
        ),
        "vae": vae(4), "scheduler": diffusers.DDPMScheduler(),
        "text_encoder": transformers.BertModel(text).eval(),
        "tokenizer": byte_tokenizer(model_max_length=77),
        "text_encoder_2": t5(), "tokenizer_2": byte_tokenizer(model_max_length=256),
        "safety_checker": None, "feature_extractor": None, "requires_safety_checker": False,
    }  # fmt: skip


@toy("Lumina")
def lumina():
    return {
        "transformer": diffusers.LuminaNextDiT2DModel(
            sample_size=4, patch_size=2, in_channels=4, hidden_size=24, num_layers=2,
            num_attention_heads=3, num_kv_heads=1, multiple_of=16, cross_attention_dim=16,
        ),
        "vae": vae(4), "scheduler": flow(), "text_encoder": llm("Gemma"),
        # with no token at all, an empty negative prompt would be NaN: nothing to attend to
        "tokenizer": byte_tokenizer(start="<bos>"),
    }  # fmt: skip


@toy("Lumina2")
def lumina2():
    return {
        "transformer": diffusers.Lumina2Transformer2DModel(
            sample_size=4, patch_size=2, in_channels=4, hidden_size=8, num_layers=2,
            num_attention_heads=1, num_kv_heads=1, multiple_of=16, ffn_dim_multiplier=None,
            norm_eps=1e-5, scaling_factor=1.0, axes_dim_rope=[4, 2, 2], cap_feat_dim=8,
        ),
        "vae": shifted(4, 4), "scheduler": flow(), "tokenizer": byte_tokenizer(),
        "text_encoder": _gemma2(),
    }  # fmt: skip


@toy("AuraFlow")
def aura_flow():
    return {
        "transformer": diffusers.AuraFlowTransformer2DModel(
            sample_size=32, patch_size=2, in_channels=4, num_mmdit_layers=1,
            num_single_dit_layers=1, attention_head_dim=8, num_attention_heads=4,
            caption_projection_dim=32, joint_attention_dim=32, out_channels=4,
            pos_embed_max_size=256,
        ),
        "vae": vae(2), "scheduler": flow(), "tokenizer": byte_tokenizer(),
        "text_encoder": t5(kind="UMT5"),
    }  # fmt: skip


@toy("CogView3Plus")
def cogview3():
    return {
        "transformer": diffusers.CogView3PlusTransformer2DModel(
            patch_size=2, in_channels=4, num_layers=1, attention_head_dim=4,
            num_attention_heads=2, out_channels=4, text_embed_dim=32, time_embed_dim=8,
            condition_dim=2, pos_embed_max_size=32, sample_size=8,
        ),
        "vae": vae(2), "scheduler": diffusers.CogVideoXDDIMScheduler(), "text_encoder": t5(),
        "tokenizer": byte_tokenizer(),
    }  # fmt: skip


@toy("CogView4")
def cogview4():
    return {
        "transformer": diffusers.CogView4Transformer2DModel(
            patch_size=2, in_channels=4, num_layers=2, attention_head_dim=4,
            num_attention_heads=4, out_channels=4, text_embed_dim=32, time_embed_dim=8,
            condition_dim=4,
        ),
        "vae": vae(2), "tokenizer": byte_tokenizer(start="<s>", padding_side="left"),
        "scheduler": flow(
            base_shift=0.25, max_shift=0.75, base_image_seq_len=256, use_dynamic_shifting=True,
            time_shift_type="linear",
        ),
        "text_encoder": llm("Glm", "Model", width=32),
    }  # fmt: skip


@toy("QwenImage")
def qwen_image():
    return {
        "transformer": diffusers.QwenImageTransformer2DModel(
            patch_size=2, in_channels=16, out_channels=4, num_layers=1, attention_head_dim=16,
            num_attention_heads=2, joint_attention_dim=16, guidance_embeds=False,
            axes_dims_rope=(8, 4, 4),
        ),
        "vae": qwen_vae(), "scheduler": flow(), "text_encoder": qwen_vl(),
        "tokenizer": byte_tokenizer(),
    }  # fmt: skip


@toy("NucleusMoEImage")
def nucleus():
    return {
        "transformer": diffusers.NucleusMoEImageTransformer2DModel(
            patch_size=2, in_channels=16, out_channels=4, num_layers=2, attention_head_dim=16,
            num_attention_heads=4, joint_attention_dim=16, axes_dims_rope=(8, 4, 4),
            moe_enabled=False, capacity_factors=[8.0, 8.0],
        ),
        "vae": qwen_vae(), "scheduler": flow(), "text_encoder": qwen_vl("Qwen3VL", layers=8),
        "processor": processor(),
    }  # fmt: skip


@toy("HunyuanImage")
def hunyuan_image():
    return {
        "transformer": diffusers.HunyuanImageTransformer2DModel(
            in_channels=4, out_channels=4, num_attention_heads=4, attention_head_dim=8,
            num_layers=1, num_single_layers=1, num_refiner_layers=1, patch_size=(1, 1),
            guidance_embeds=False, text_embed_dim=32, text_embed_2_dim=32, rope_axes_dim=(4, 4),
        ),
        "vae": diffusers.AutoencoderKLHunyuanImage(
            in_channels=3, out_channels=3, latent_channels=4, block_out_channels=(32,) * 4,
            layers_per_block=1, scaling_factor=0.476986, spatial_compression_ratio=8,
            sample_size=128,
        ),
        "scheduler": flow(shift=7.0), "tokenizer": byte_tokenizer(),
        "guider": diffusers.AdaptiveProjectedMixGuidance(adaptive_projected_guidance_start_step=2),
        "ocr_guider": diffusers.AdaptiveProjectedMixGuidance(
            adaptive_projected_guidance_start_step=3
        ),
        "text_encoder": qwen_vl(width=32), "text_encoder_2": t5(),
        "tokenizer_2": byte_tokenizer(),
    }  # fmt: skip


@toy("HiDreamImage")
def hidream():
    return {
        "transformer": diffusers.HiDreamImageTransformer2DModel(
            patch_size=2, in_channels=4, out_channels=4, num_layers=1, num_single_layers=1,
            attention_head_dim=8, num_attention_heads=4, caption_channels=[32, 16],
            text_emb_dim=64, num_routed_experts=4, num_activated_experts=2,
            axes_dims_rope=(4, 2, 2), max_resolution=(64, 64), llama_layers=(0, 1),
        ),
        "vae": vae(4, scaling_factor=0.3611, shift_factor=0.1159), "scheduler": flow(),
        "text_encoder": clip(projected=True, max_position_embeddings=128),
        "tokenizer": tokenizer(), "tokenizer_2": tokenizer(),
        "text_encoder_2": clip(projected=True, max_position_embeddings=128),
        "text_encoder_3": t5(), "tokenizer_3": byte_tokenizer(),
        "text_encoder_4": llm("Llama", "ForCausalLM"), "tokenizer_4": byte_tokenizer(),
    }  # fmt: skip


@toy("ZImage")
def z_image(**changes):
    return {
        "transformer": diffusers.ZImageTransformer2DModel(
            all_patch_size=(2,), all_f_patch_size=(1,), in_channels=16, dim=32, n_layers=2,
            n_refiner_layers=1, n_heads=2, n_kv_heads=2, qk_norm=True, cap_feat_dim=16,
            rope_theta=256.0, t_scale=1000.0, axes_dims=[8, 4, 4], axes_lens=[1024, 64, 64],
            **changes,
        ),
        "vae": vae(2, 16, scaling_factor=0.3611, shift_factor=0.1159), "scheduler": flow(),
        "text_encoder": llm("Qwen3"), "tokenizer": byte_tokenizer(),
    }  # fmt: skip


@toy("ZImageOmni")
def z_image_omni():
    parts = z_image(siglip_feat_dim=16)
    looks = transformers.Siglip2VisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        num_patches=64, patch_size=4,
    )  # fmt: skip
    return {
        **parts, "siglip": transformers.Siglip2VisionModel(looks).eval(),
        "siglip_processor": transformers.Siglip2ImageProcessor(patch_size=4, max_num_patches=64),
    }  # fmt: skip


@toy("Krea2")
def krea2():
    return {
        "transformer": diffusers.Krea2Transformer2DModel(
            in_channels=16, num_layers=1, attention_head_dim=8, num_attention_heads=4,
            num_key_value_heads=2, intermediate_size=32, timestep_embed_dim=8, text_hidden_dim=16,
            num_text_layers=12, text_num_attention_heads=2, text_num_key_value_heads=1,
            text_intermediate_size=16, num_layerwise_text_blocks=1, num_refiner_text_blocks=1,
            axes_dims_rope=(4, 2, 2), rope_theta=1000.0,
        ),
        "vae": qwen_vae(), "scheduler": flow(use_dynamic_shifting=True, max_image_seq_len=6400),
        "text_encoder": qwen_vl("Qwen3VL", "Model", layers=36), "tokenizer": byte_tokenizer(),
    }  # fmt: skip


@toy("Flux2")
def flux2():
    return {
        "transformer": diffusers.Flux2Transformer2DModel(
            patch_size=1, in_channels=4, num_layers=1, num_single_layers=1, attention_head_dim=16,
            num_attention_heads=2, joint_attention_dim=48, timestep_guidance_channels=256,
            axes_dims_rope=[4, 4, 4, 4],
        ),
        "vae": flux2_vae(), "scheduler": flow(), "tokenizer": byte_tokenizer(),
        "text_encoder": llm("Mistral", "ForCausalLM", num_hidden_layers=31),
    }  # fmt: skip


@toy("Flux2Klein")
def flux2_klein():
    return {
        "transformer": diffusers.Flux2Transformer2DModel(
            patch_size=1, in_channels=4, num_layers=1, num_single_layers=1, attention_head_dim=16,
            num_attention_heads=2, joint_attention_dim=48, timestep_guidance_channels=256,
            axes_dims_rope=[4, 4, 4, 4], guidance_embeds=False,
        ),
        "vae": flux2_vae(), "scheduler": flow(), "tokenizer": byte_tokenizer(),
        "text_encoder": llm("Qwen3", "ForCausalLM", num_hidden_layers=28),
    }  # fmt: skip


@toy("ErnieImage")
def ernie():
    return {
        "transformer": diffusers.ErnieImageTransformer2DModel(
            hidden_size=16, num_attention_heads=1, num_layers=1, ffn_hidden_size=32,
            in_channels=4, out_channels=4, text_in_dim=16, rope_axes_dim=(4, 4, 8),
        ),
        "vae": flux2_vae(), "scheduler": flow(), "tokenizer": byte_tokenizer(),
        "text_encoder": llm("Mistral"),
    }  # fmt: skip


@toy("PRX")
def prx():
    return {
        "transformer": diffusers.PRXTransformer2DModel(
            patch_size=1, in_channels=4, context_in_dim=16, hidden_size=8, mlp_ratio=2.0,
            num_heads=2, depth=1, axes_dim=[2, 2],
        ),
        "vae": vae(4, shift_factor=0.0, scaling_factor=1.0), "scheduler": flow(),
        "text_encoder": llm("Qwen3"), "tokenizer": byte_tokenizer(), "default_sample_size": 256,
    }  # fmt: skip


@toy("PRXPixel")
def prx_pixel():
    return {
        "transformer": diffusers.PRXTransformer2DModel(
            patch_size=32, in_channels=3, context_in_dim=16, hidden_size=8, mlp_ratio=2.0,
            num_heads=2, depth=1, axes_dim=[2, 2], bottleneck_size=8, resolution_embeds=True,
        ),
        "scheduler": flow(), "text_encoder": llm("Qwen3"), "tokenizer": byte_tokenizer(),
        "prompt_max_tokens": 64, "default_sample_size": 1024,
    }  # fmt: skip


@toy("Kandinsky5T2I")
def kandinsky5():
    return {
        "transformer": diffusers.Kandinsky5Transformer3DModel(
            in_visual_dim=16, in_text_dim=32, in_text_dim2=16, time_dim=16, out_visual_dim=16,
            patch_size=(1, 2, 2), model_dim=16, ff_dim=32, num_text_blocks=1,
            num_visual_blocks=2, axes_dims=(1, 1, 2), visual_cond=False,
            attention_type="regular",
        ),
        "vae": vae(4, 16, scaling_factor=0.3611, shift_factor=0.1159), "scheduler": flow(shift=7.0),
        "text_encoder": qwen_vl(width=32), "tokenizer": processor(),
        "text_encoder_2": clip(16, num_attention_heads=2), "tokenizer_2": tokenizer(),
    }  # fmt: skip


@toy("Ideogram4")
def ideogram4():
    def denoiser():
        return diffusers.Ideogram4Transformer2DModel(
            in_channels=4, num_layers=1, attention_head_dim=16, num_attention_heads=1,
            intermediate_size=32, adaln_dim=8, llm_features_dim=16 * 13, mrope_section=(4, 2, 2),
        )  # fmt: skip

    return {
        "transformer": denoiser(), "unconditional_transformer": denoiser(), "scheduler": flow(),
        "vae": flux2_vae(), "text_encoder": qwen_vl("Qwen3VL", "Model", layers=36),
        "tokenizer": byte_tokenizer(),
    }  # fmt: skip


@toy("DreamLite", "DreamLiteMobile")
def dream_lite():
    blocks = "DreamLiteCrossAttnNoSelfAttnDownBlock2D", "DreamLiteCrossAttnDownBlock2D"
    return {
        "unet": diffusers.DreamLiteUNetModel(
            sample_size=8, in_channels=4, out_channels=4, down_block_types=blocks,
            up_block_types=("DreamLiteCrossAttnUpBlock2D", "DreamLiteUpBlock2D"),
            block_out_channels=(32, 64), cross_attention_dim=16, attention_head_dim=8,
            layers_per_block=1, norm_num_groups=8, transformer_layers_per_block=1,
        ),
        "vae": diffusers.AutoencoderTiny(
            encoder_block_out_channels=(8, 8), decoder_block_out_channels=(8, 8),
            num_encoder_blocks=(1, 1), num_decoder_blocks=(1, 1), latent_channels=4,
        ),
        "scheduler": flow(), "text_encoder": qwen_vl("Qwen3VL"), "tokenizer": byte_tokenizer(),
        "processor": processor(),
    }  # fmt: skip


@toy("Flux2KleinKV")
def flux2_klein_kv():
    return flux2_klein()


__all__ = ["TOYS", "made"]
