"""The names and shapes of a file's tensors: what kind of file it is, and what parts it has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sdnb import compat
from sdnb.hub.headers import Tensor
from sdnb.pipeline_class import DENOISERS

# where the parts' weights stand in a checkpoint, as CompVis, Stability and ComfyUI write them
DENOISER = ("model.diffusion_model.",)
VAE = ("first_stage_model.", "vae.")
CLIP = ("cond_stage_model.", "conditioner.embedders.0.", "text_encoders.clip_l.")
SECOND_CLIP = ("conditioner.embedders.1.", "text_encoders.clip_g.")
T5 = ("text_encoders.t5xxl.",)


# ---------------------------------------------------------------- what kind of file


def check_model(model: str, tensors: Mapping[str, Tensor]) -> None:
    """Raises ValueError for a file that goes into a model and is none, with what it is.

    Example:
        >>> check_model("a.safetensors", {"lora_unet_x.lora_down.weight": Tensor((4, 32), "F16")})
        Traceback (most recent call last):
            ...
        ValueError: a.safetensors is a LoRA, which goes into a model: \
sdnb.load(model, lora=['a.safetensors']).
    """
    if is_lora(tensors):
        raise ValueError(
            f"{model} is a LoRA, which goes into a model: sdnb.load(model, lora=[{model!r}])."
        )
    if is_embedding(tensors):
        raise ValueError(
            f"{model} is an embedding (textual inversion), which goes into a model: "
            f"sdnb.load(model, embeddings=[{model!r}])."
        )
    if is_vae(tensors):
        raise ValueError(f"{model} is a VAE, one part of a model: sdnb.load(model, vae={model!r}).")


def is_lora(names: Iterable[str]) -> bool:
    """Whether these are the names of a LoRA's tensors, in any program's form."""
    marks = ("lora_", ".lora.", ".hada_", ".lokr_")
    return any(mark in name for name in names for mark in marks)


def is_embedding(tensors: Mapping[str, Tensor]) -> bool:
    """Whether these are the few vectors of a textual inversion."""
    if any(name.startswith((*DENOISER, *VAE, *CLIP, *SECOND_CLIP, *T5)) for name in tensors):
        return False  # a part of a checkpoint
    flat = all(len(tensor.shape) <= 2 for tensor in tensors.values())
    return len(tensors) <= 3 and flat and all(t.shape[-1:] != () for t in tensors.values())


def is_vae(names: Iterable[str]) -> bool:
    """Whether these are the names of an autoencoder's tensors, and of nothing else."""
    names = [name.removeprefix("first_stage_model.") for name in names]
    starts = ("encoder.", "decoder.", "quant_conv.", "post_quant_conv.", "loss.", "model_ema.")
    return "decoder.conv_in.weight" in names and all(n.startswith(starts) for n in names)


def kind(tensors: Mapping[str, Tensor]) -> str:
    """The family as diffusers' table names it; empty where it is none that is known.

    Example:
        >>> kind({"model.diffusion_model.input_blocks.0.0.weight": Tensor((320, 4, 3, 3), "F16")})
        'v1'
    """
    if found := _of_diffusers_names(tensors):
        return found
    found = compat.kind_of_single_file({name: t.shape for name, t in tensors.items()})
    # what the table does not know it calls "v1"
    if found == "v1" and "model.diffusion_model.input_blocks.0.0.weight" not in tensors:
        return ""
    return found


def _of_diffusers_names(tensors: Mapping[str, Tensor]) -> str:
    """The family of a denoiser alone, under diffusers' own names; empty where it is none."""
    if "down_blocks.0.resnets.0.norm1.weight" in tensors and "conv_in.weight" in tensors:
        widths = {t.shape[-1] for n, t in tensors.items() if n.endswith("attn2.to_k.weight")}
        family = {768: "v1", 1024: "v2", 2048: "xl_base"}.get(max(widths, default=0), "")
        if tensors["conv_in.weight"].shape[1] == 9:
            painted = {"v1": "inpainting", "v2": "inpainting_v2", "xl_base": "xl_inpaint"}
            return painted.get(family, "")
        return family
    if "single_transformer_blocks.0.attn.to_q.weight" in tensors:
        if "time_text_embed.text_embedder.linear_1.weight" not in tensors:
            return ""
        guided = "time_text_embed.guidance_embedder.linear_1.weight" in tensors
        return "flux-dev" if guided else "flux-schnell"
    if {"pos_embed.proj.weight", "transformer_blocks.0.attn.add_k_proj.weight"} <= tensors.keys():
        if "transformer_blocks.37.attn.to_q.weight" in tensors:
            return "sd35_large"
        return "sd35_medium" if "transformer_blocks.0.attn2.to_q.weight" in tensors else "sd3"
    return ""


# ---------------------------------------------------------------- its parts


def parts(index: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """The parts that have weights, and how their tensors' names begin in a single file.

    Arguments:
        index: the content of a model_index.json.

    Example:
        >>> parts({"unet": ["diffusers", "UNet2DConditionModel"], "_class_name": "X"})
        {'unet': ('model.diffusion_model.',)}
    """
    found: dict[str, tuple[str, ...]] = {}
    for name, made in index.items():
        if not isinstance(made, list) or len(made) != 2 or not made[0] or name.startswith("_"):
            continue
        if name in DENOISERS:
            found[name] = DENOISER
        elif name == "vae":
            found[name] = VAE
        elif name.startswith("text_encoder"):
            clip = CLIP if name == "text_encoder" else SECOND_CLIP
            found[name] = T5 if "T5" in str(made[1]) else clip if "CLIP" in str(made[1]) else ()
        elif name == "image_encoder":
            found[name] = ()
    return found


def by_part(
    index: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> dict[str, dict[str, Tensor]]:
    """A file's tensors by the part that they are of; under "" those of none, such as averages.

    Arguments:
        index: the content of a model_index.json.
        tensors: by their names; those of a denoiser alone may have theirs without a beginning.

    Example:
        >>> index = {"unet": ["diffusers", "UNet2DConditionModel"]}
        >>> list(by_part(index, {"conv_in.bias": Tensor((320,), "F16")}))
        ['unet']
    """
    starts = {start: part for part, each in parts(index).items() for start in each}
    rest = ""
    if not any(name.startswith((*DENOISER, *VAE, *CLIP, *SECOND_CLIP, *T5)) for name in tensors):
        rest = next((part for part in DENOISERS if part in index), "")
    found: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        part = next((part for start, part in starts.items() if name.startswith(start)), rest)
        found.setdefault(part, {})[name] = tensor
    return found


def diffusers_parts(index: Mapping[str, Any]) -> dict[str, str]:
    """The parts that diffusers itself reads from a single file, and their classes."""
    return {name: str(index[name][1]) for name in (*DENOISERS, "vae") if name in parts(index)}


__all__ = [
    "by_part", "check_model", "diffusers_parts", "is_embedding", "is_lora", "is_vae", "kind",
    "parts",
]  # fmt: skip
