"""Toy pipelines as single files, in other programs' layouts: CompVis', Stability's, ComfyUI's.

The names are those of the original code (https://github.com/CompVis/stable-diffusion,
https://github.com/Stability-AI/generative-models, https://github.com/Stability-AI/sd3.5,
https://github.com/black-forest-labs/flux), the other way round than diffusers' loader has them.
"""

import re

import diffusers
import torch
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from tests.support import toys

WIDE = {**toys.TEXT, "hidden_size": 48}  # the two encoders are told by their widths


def sd1(folder):
    """SD 1.x: convolutions as projections in the attention."""
    return diffusers.StableDiffusionPipeline(
        vae=diffusers.AutoencoderKL(**toys.VAE), tokenizer=toys.tokenizer(),
        unet=toys.unet(attention_head_dim=4), safety_checker=None, feature_extractor=None,
        text_encoder=CLIPTextModel(CLIPTextConfig(**toys.TEXT)), requires_safety_checker=False,
        scheduler=diffusers.PNDMScheduler(**toys.SD, skip_prk_steps=True, steps_offset=1),
    )  # fmt: skip


def sdxl(folder):
    pipe = toys.sdxl(folder)
    pipe.text_encoder_2 = CLIPTextModelWithProjection(CLIPTextConfig(**WIDE))
    pipe.unet = toys.unet(
        layers_per_block=2, attention_head_dim=(2, 4), use_linear_projection=True,
        addition_embed_type="text_time", addition_time_embed_dim=8, cross_attention_dim=80,
        transformer_layers_per_block=(1, 2), projection_class_embeddings_input_dim=80,
    )  # fmt: skip
    return pipe


def sd3(folder):
    pipe = toys.sd3(folder)
    pipe.text_encoder_2 = CLIPTextModelWithProjection(CLIPTextConfig(**WIDE))
    # CLIP's own projection is left out in SD3's files: it is 1
    pipe.text_encoder.text_projection.weight.data = torch.eye(32)
    return pipe


def saved(make, folder):
    """The folder of a new toy pipeline, and the pipeline."""
    torch.manual_seed(0)
    pipe = make(folder / "words")
    pipe.save_pretrained(folder / "pipeline")
    return folder / "pipeline", pipe


def write(pipe, path):
    """The pipeline in one file, as the programs of its family keep it."""
    tensors = {
        **_denoiser(pipe), **_vae(pipe.vae.state_dict(), "vae." if _is_sd3(pipe) else
        "first_stage_model."), **_encoders(pipe),
    }  # fmt: skip
    save_file({name: x.contiguous().clone() for name, x in tensors.items()}, path)
    return path


def write_gguf(tensors, file, kind="Q8_0", quantised=lambda name, x: True):
    """A GGUF file as ComfyUI's converter makes it: matrices quantised, all else in float32."""
    import gguf

    writer = gguf.GGUFWriter(file, "toy")
    writer.add_name("a toy")
    writer.add_array("words", ["a", "b"])
    way = gguf.GGMLQuantizationType[kind]
    block = gguf.GGML_QUANT_SIZES[way][0]
    for name, x in tensors.items():
        x = x.detach().float().contiguous().numpy()
        if x.ndim == 2 and x.shape[1] % block == 0 and quantised(name, x):
            writer.add_tensor(name, gguf.quants.quantize(x, way), raw_dtype=way)
        else:
            writer.add_tensor(name, x)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def _is_sd3(pipe):
    return "transformer" in pipe.components


def _denoiser(pipe):
    if _is_sd3(pipe):
        named = _sd3(pipe.transformer)
    else:
        layers = pipe.unet.config.layers_per_block
        named = {_unet(name, layers): x for name, x in pipe.unet.state_dict().items()}
    return {f"model.diffusion_model.{name}": x for name, x in named.items()}


def _encoders(pipe):
    if _is_sd3(pipe):
        return {
            **_clip(pipe.text_encoder, "text_encoders.clip_l.transformer."),
            **_clip(pipe.text_encoder_2, "text_encoders.clip_g.transformer."),
            **_starting("text_encoders.t5xxl.transformer.", pipe.text_encoder_3.state_dict()),
        }
    if "text_encoder_2" in pipe.components:
        return {
            **_clip(pipe.text_encoder, "conditioner.embedders.0.transformer."),
            **_open_clip(pipe.text_encoder_2, "conditioner.embedders.1.model."),
        }
    if pipe.unet.config.use_linear_projection:  # SD 2
        return _open_clip(pipe.text_encoder, "cond_stage_model.model.")
    return _clip(pipe.text_encoder, "cond_stage_model.transformer.")


def _starting(start, named):
    return {f"{start}{name}": x for name, x in named.items()}


RESNET = {"norm1": "in_layers.0", "conv1": "in_layers.2", "norm2": "out_layers.0",
          "conv2": "out_layers.3", "time_emb_proj": "emb_layers.1",
          "conv_shortcut": "skip_connection"}  # fmt: skip
ENDS = {"time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
        "conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2",
        "add_embedding.linear_1": "label_emb.0.0",
        "add_embedding.linear_2": "label_emb.0.2"}  # fmt: skip


def _unet(name, layers):
    for ours, theirs in ENDS.items():
        if name.startswith(f"{ours}."):
            return name.replace(ours, theirs, 1)
    each = layers + 1
    if found := re.match(r"down_blocks\.(\d)\.(resnets|attentions)\.(\d)\.(.*)", name):
        place = int(found[1]) * each + int(found[3]) + 1
        return f"input_blocks.{place}.{_inner(found[2], found[4])}"
    if found := re.match(r"down_blocks\.(\d)\.downsamplers\.0\.conv\.(.*)", name):
        return f"input_blocks.{(int(found[1]) + 1) * each}.0.op.{found[2]}"
    if found := re.match(r"mid_block\.(resnets|attentions)\.(\d)\.(.*)", name):
        place = 1 if found[1] == "attentions" else 2 * int(found[2])
        return f"middle_block.{place}.{_inner(found[1], found[3])[2:]}"
    if found := re.match(r"up_blocks\.(\d)\.(resnets|attentions)\.(\d)\.(.*)", name):
        place = int(found[1]) * each + int(found[3])
        return f"output_blocks.{place}.{_inner(found[2], found[4])}"
    found = re.match(r"up_blocks\.(\d)\.upsamplers\.0\.conv\.(.*)", name)
    # the toys' first block is the one with attention
    return f"output_blocks.{int(found[1]) * each + layers}.{2 - int(found[1])}.conv.{found[2]}"


def _inner(kind, rest):
    if kind == "attentions":
        return f"1.{rest}"
    first, _, end = rest.partition(".")
    return f"0.{RESNET[first]}.{end}"


ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def _vae(weights, start):
    last = max(int(n.split(".")[2]) for n in weights if n.startswith("decoder.up_blocks."))
    named = {}
    for name, x in weights.items():
        new = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
        new = new.replace("conv_shortcut", "nin_shortcut").replace("conv_norm_out", "norm_out")
        new = re.sub(r"down_blocks\.(\d)\.resnets", r"down.\1.block", new)
        new = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", new)
        new = re.sub(r"up_blocks\.(\d)\.resnets", lambda m: f"up.{last - int(m[1])}.block", new)
        new = re.sub(
            r"up_blocks\.(\d)\.upsamplers\.0", lambda m: f"up.{last - int(m[1])}.upsample", new
        )
        if "mid_block.attentions.0" in new:
            new = new.replace("mid_block.attentions.0", "mid.attn_1")
            for ours, theirs in ATTENTION.items():
                new = new.replace(f".{ours}.", f".{theirs}.")
            if x.ndim == 2:
                x = x[:, :, None, None]
        named[f"{start}{new}"] = x
    return named


def _clip(encoder, start):
    # since transformers 5.6 without the wrapper, which the files have
    weights = encoder.state_dict()
    keep = ("text_model.", "text_projection.")
    return {f"{start}{n if n.startswith(keep) else f'text_model.{n}'}": x
            for n, x in weights.items() if not n.startswith("text_projection.")
            or "clip_g" in start}  # fmt: skip


OPEN = {"embeddings.position_embedding.weight": "positional_embedding",
        "embeddings.token_embedding": "token_embedding", "final_layer_norm": "ln_final",
        "encoder.layers": "transformer.resblocks", "layer_norm1": "ln_1", "layer_norm2": "ln_2",
        "fc1": "c_fc", "fc2": "c_proj", "self_attn": "attn"}  # fmt: skip


def _open_clip(encoder, start):
    weights = {n.removeprefix("text_model."): x for n, x in encoder.state_dict().items()}
    named = {}
    width = encoder.config.hidden_size
    named["text_projection"] = weights.pop("text_projection.weight", torch.zeros(32, width)).T
    for name, x in weights.items():
        if ".q_proj." in name:
            x = torch.cat([weights[name.replace("q_proj", p)] for p in ("q_proj", "k_proj",
                                                                        "v_proj")])  # fmt: skip
            name = name.replace(".q_proj.", ".in_proj_")
        elif ".k_proj." in name or ".v_proj." in name:
            continue
        for ours, theirs in OPEN.items():
            name = name.replace(ours, theirs)
        named[name] = x
    return _starting(start, named)


SD3 = {
    "time_text_embed.timestep_embedder.linear_1": "t_embedder.mlp.0",
    "time_text_embed.timestep_embedder.linear_2": "t_embedder.mlp.2",
    "time_text_embed.text_embedder.linear_1": "y_embedder.mlp.0",
    "time_text_embed.text_embedder.linear_2": "y_embedder.mlp.2",
    "pos_embed.proj": "x_embedder.proj", "proj_out": "final_layer.linear",
}  # fmt: skip
SD3_BLOCK = {
    "attn.to_out.0": "x_block.attn.proj", "attn.to_add_out": "context_block.attn.proj",
    "norm1.linear": "x_block.adaLN_modulation.1",
    "norm1_context.linear": "context_block.adaLN_modulation.1",
    "ff.net.0.proj": "x_block.mlp.fc1", "ff.net.2": "x_block.mlp.fc2",
    "ff_context.net.0.proj": "context_block.mlp.fc1", "ff_context.net.2": "context_block.mlp.fc2",
}  # fmt: skip


def _sd3(transformer):
    weights, named = transformer.state_dict(), {}
    last = transformer.config.num_layers - 1
    for name, x in weights.items():
        stem, _, end = name.rpartition(".")
        if name == "pos_embed.pos_embed":
            named["pos_embed"] = x
        elif name.startswith("norm_out.linear"):
            named[f"final_layer.adaLN_modulation.1.{end}"] = torch.cat(x.chunk(2)[::-1])
        elif found := re.match(r"transformer_blocks\.(\d+)\.(.*)", stem):
            number, part = found.groups()
            start = f"joint_blocks.{number}."
            if part in ("attn.to_q", "attn.add_q_proj"):
                three = [part.replace("q", each, 1) for each in "qkv"]
                x = torch.cat([weights[f"transformer_blocks.{number}.{p}.{end}"] for p in three])
                block = "x_block" if part == "attn.to_q" else "context_block"
                named[f"{start}{block}.attn.qkv.{end}"] = x
            elif part in SD3_BLOCK:
                if part == "norm1_context.linear" and int(number) == last:
                    x = torch.cat(x.chunk(2)[::-1])
                named[f"{start}{SD3_BLOCK[part]}.{end}"] = x
        else:
            named[f"{SD3.get(stem, stem)}.{end}"] = x
    return named


FLUX = {
    "time_text_embed.timestep_embedder.linear_1": "time_in.in_layer",
    "time_text_embed.timestep_embedder.linear_2": "time_in.out_layer",
    "time_text_embed.text_embedder.linear_1": "vector_in.in_layer",
    "time_text_embed.text_embedder.linear_2": "vector_in.out_layer",
    "time_text_embed.guidance_embedder.linear_1": "guidance_in.in_layer",
    "time_text_embed.guidance_embedder.linear_2": "guidance_in.out_layer",
    "context_embedder": "txt_in", "x_embedder": "img_in", "proj_out": "final_layer.linear",
}  # fmt: skip
FLUX_BLOCK = {
    "norm1.linear": "img_mod.lin", "norm1_context.linear": "txt_mod.lin",
    "attn.norm_q": "img_attn.norm.query_norm", "attn.norm_k": "img_attn.norm.key_norm",
    "attn.norm_added_q": "txt_attn.norm.query_norm", "attn.norm_added_k": "txt_attn.norm.key_norm",
    "ff.net.0.proj": "img_mlp.0", "ff.net.2": "img_mlp.2", "ff_context.net.0.proj": "txt_mlp.0",
    "ff_context.net.2": "txt_mlp.2", "attn.to_out.0": "img_attn.proj",
    "attn.to_add_out": "txt_attn.proj",
}  # fmt: skip
FLUX_SINGLE = {
    "norm.linear": "modulation.lin", "attn.norm_q": "norm.query_norm",
    "attn.norm_k": "norm.key_norm", "proj_out": "linear2",
}  # fmt: skip
# what lies in one matrix there: the first name, the others, the matrix
FLUX_JOINED = {
    "attn.to_q": (("attn.to_k", "attn.to_v"), "img_attn.qkv"),
    "attn.add_q_proj": (("attn.add_k_proj", "attn.add_v_proj"), "txt_attn.qkv"),
}  # fmt: skip
FLUX_SINGLE_JOINED = {"attn.to_q": (("attn.to_k", "attn.to_v", "proj_mlp"), "linear1")}


def flux(transformer):
    """Flux' transformer under Black Forest Labs' names, as its files have it."""
    weights, named = transformer.state_dict(), {}
    for name, x in weights.items():
        stem, _, end = name.rpartition(".")
        if name.startswith("norm_out.linear"):
            named[f"final_layer.adaLN_modulation.1.{end}"] = torch.cat(x.chunk(2)[::-1])
        elif found := re.match(r"((?:single_)?)transformer_blocks\.(\d+)\.(.*)", stem):
            single, number, part = found.groups()
            start = f"single_blocks.{number}" if single else f"double_blocks.{number}"
            renamed = FLUX_SINGLE if single else FLUX_BLOCK
            joined = FLUX_SINGLE_JOINED if single else FLUX_JOINED
            if part in joined:
                others, new = joined[part]
                ours = stem.removesuffix(part)
                x = torch.cat([x, *(weights[f"{ours}{other}.{end}"] for other in others)])
                named[f"{start}.{new}.{end}"] = x
            elif part in renamed:
                end = "scale" if "norm_" in part.rpartition(".")[2] else end
                named[f"{start}.{renamed[part]}.{end}"] = x
        else:
            named[f"{FLUX[stem]}.{end}"] = x
    return named
