"""LoRAs with random weights, for toys and for the embedded model, as files."""

import re

import torch
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file, save_file

LAYERS = ["to_q", "to_k", "to_v", "to_out.0", "conv1"]
OF_TEXT = ["q_proj", "k_proj", "v_proj", "out_proj"]  # as kohya has all four


def written(pipe, file, seed=0, text=False, rank=4, size=1.0, **config):
    """A LoRA for the pipeline in diffusers' form, always the same; the pipeline is spoilt by it.

    Arguments:
        text: whether the text encoders have a part of it.
        size: how much more than peft's usual random weights its effect is.
    """
    torch.manual_seed(seed)
    parts = {"unet": LAYERS, "transformer": LAYERS}
    if text:
        parts |= {"text_encoder": OF_TEXT, "text_encoder_2": OF_TEXT}
    layers = {}
    for name, targets in parts.items():
        module = getattr(pipe, name, None)
        if module is None or "T5" in type(module).__name__:
            continue
        given = LoraConfig(
            r=rank, lora_alpha=rank, init_lora_weights=False, target_modules=targets, **config
        )
        module.add_adapter(given, "made")
        state = get_peft_model_state_dict(module, adapter_name="made")
        layers[f"{name}_lora_layers"] = {
            k: v * size if "lora_B" in k else v for k, v in state.items()
        }
    file.parent.mkdir(parents=True, exist_ok=True)
    type(pipe).save_lora_weights(file.parent, weight_name=file.name, **layers)
    return file


def as_kohya(file, to, alpha=4.0):
    """The same LoRA as kohya's scripts write it, for SD 1 and 2."""
    state = {}
    for name, weight in load_file(file).items():
        layer, kind = re.fullmatch(
            r"(.+)\.(lora_A|lora_B|lora\.down|lora\.up)\.weight", name
        ).groups()
        if layer.startswith("text_encoder."):  # newer transformers leave out a name in between
            inner = layer.removeprefix("text_encoder.").removeprefix("text_model.")
            layer = f"te.text_model.{inner}"
        layer = layer.replace(".", "_")
        side = "down" if kind in ("lora_A", "lora.down") else "up"
        state[f"lora_{layer}.lora_{side}.weight"] = weight.contiguous()
        state[f"lora_{layer}.alpha"] = torch.tensor(alpha)
    save_file(state, to)
    return to
