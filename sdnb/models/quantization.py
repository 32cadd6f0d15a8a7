"""Quantisation: weights in 8 or 4 bits, for small GPUs; which kinds run here, and their bytes.

diffusers does it (https://huggingface.co/docs/diffusers/quantization/overview): "8bit" and "4bit"
by bitsandbytes, "int8" by torchao, "fp8" by casting each layer as it is used.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from sdnb.hub import names
from sdnb.hub.headers import Tensor
from sdnb.pipeline_class import DENOISERS

if TYPE_CHECKING:
    import torch
    from diffusers import DiffusionPipeline

# bits of a quantised weight, with what is kept beside it; and the package that does it
KINDS = {
    "fp8": (8.0, ""), "int8": (8.2, "torchao"), "8bit": (8.2, "bitsandbytes"),
    "4bit": (4.5, "bitsandbytes"),
}  # fmt: skip
FLOATS = ("F64", "F32", "F16", "BF16", "")  # "" is a guess
KEPT = ("norm", "pos_embed", "patch_embed")  # what diffusers does not cast layer by layer
# tables, which are no linear layers
_EMBEDDING = re.compile(r"(embed_tokens|shared|_embedding|relative_attention_bias)\.weight$")


def check(kind: str | None, device: str) -> None:
    """Whether weights can be quantised so on a device.

    Raises:
        ValueError: there is no such kind, or not on this device.
        ModuleNotFoundError: a package is not installed.

    Example:
        >>> check("4bit", "cpu")
        Traceback (most recent call last):
            ...
        ValueError: quantize='4bit' is made by bitsandbytes, which needs an NVIDIA GPU, and the \
device is 'cpu': here 'fp8' and 'int8' run.
    """
    if kind is None:
        return
    if kind not in KINDS:
        raise ValueError(f"quantize is {kind!r}: give {', '.join(map(repr, KINDS))}, or None.")
    package = KINDS[kind][1]
    if package == "bitsandbytes" and not device.startswith("cuda"):
        raise ValueError(
            f"quantize={kind!r} is made by bitsandbytes, which needs an NVIDIA GPU, and the device "
            f"is {device!r}: here 'fp8' and 'int8' run."
        )
    if package and not find_spec(package):
        raise ModuleNotFoundError(
            f"quantize={kind!r} needs a package: pip install 'sdnb[quantize]', then restart "
            "Python. 'fp8' needs none."
        )


def usable(device: str) -> list[str]:
    """The kinds that run on a device with the installed packages, the most exact first."""
    return [
        kind
        for kind, (_, package) in KINDS.items()
        if (not package or find_spec(package))
        and (package != "bitsandbytes" or device.startswith("cuda"))
    ]


def parts(index: Mapping[str, Any], kind: str | None) -> dict[str, str]:
    """The parts that are quantised, each with its library: the denoiser, and language models.

    T5 and its like are larger than many denoisers; CLIP is small. By "fp8" the denoiser alone.

    Example:
        >>> parts({"unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "V"]}, "fp8")
        {'unet': 'diffusers'}
    """
    if kind is None:
        return {}
    return {
        name: str(made[0])
        for name, made in index.items()
        if isinstance(made, (list, tuple)) and len(made) == 2 and made[0]
        and (name in DENOISERS
             or (kind != "fp8" and name.startswith("text_encoder") and "CLIP" not in str(made[1])))
    }  # fmt: skip


def nbytes(tensors: Mapping[str, Tensor], dtype: str, kind: str | None = None) -> int:
    """The bytes that a part's weights take in memory.

    What is stored in whole numbers or 8-bit floats was quantised before, and stays so.

    Arguments:
        tensors: by their names.
        dtype: of the weights, such as "float16".
        kind: of the quantisation; None where the part is not quantised.

    Example:
        >>> tensors = {"a.weight": Tensor((10, 10), "F32"), "a.bias": Tensor((10,), "F32")}
        >>> [nbytes(tensors, "float16", kind) for kind in (None, "fp8", "4bit")]
        [220, 110, 76]
    """
    full = 4 if dtype == "float32" else 2
    bits = KINDS[kind][0] if kind else 0
    before = any(tensor.dtype in ("I8", "U8") for tensor in tensors.values())
    total = 0.0
    for name, tensor in tensors.items():
        if tensor.dtype not in FLOATS and (before or tensor.dtype[0] != "F"):
            total += tensor.nbytes
        elif kind and _is_quantised(name, tensor, kind):
            total += tensor.numbers * bits / 8
        else:
            total += tensor.numbers * full
    return int(total)


def _is_quantised(name: str, tensor: Tensor, kind: str) -> bool:
    if kind == "fp8":  # layers as wholes, convolutions too
        return not any(word in name for word in KEPT)
    linear = len(tensor.shape) == 2 and name.endswith(".weight") and not _EMBEDDING.search(name)
    return linear or tensor.dtype == ""


def config(libraries: Mapping[str, str], kind: str | None, dtype: torch.dtype) -> dict[str, Any]:
    """The argument of `from_pretrained` that quantises; none where it is done afterwards.

    Arguments:
        libraries: from `parts`.
        kind: of the quantisation.
        dtype: that is computed in.
    """
    if kind in (None, "fp8") or not libraries:
        return {}
    import diffusers

    mapping = {name: _part_config(library, kind, dtype) for name, library in libraries.items()}
    return {"quantization_config": diffusers.PipelineQuantizationConfig(quant_mapping=mapping)}


def _part_config(library: str, kind: str | None, dtype: torch.dtype) -> Any:
    """How one part is quantised, as its library takes it."""
    import diffusers
    import transformers

    owner = diffusers if library == "diffusers" else transformers
    if kind == "int8":
        from torchao.quantization import Int8WeightOnlyConfig

        return owner.TorchAoConfig(Int8WeightOnlyConfig())
    if kind == "8bit":
        return owner.BitsAndBytesConfig(load_in_8bit=True)
    return owner.BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype
    )


def of_gguf(source: str, dtype: torch.dtype) -> dict[str, Any]:
    """The argument with which diffusers reads a part of a GGUF file; none for another file.

    Arguments:
        source: the file.
        dtype: that is computed in.
    """
    if not is_gguf(source):
        return {}
    import diffusers

    return {"quantization_config": diffusers.GGUFQuantizationConfig(compute_dtype=dtype)}


def check_layout(model: str, names_in_it: Iterable[str]) -> None:
    """Raises ValueError for a GGUF file that is no denoiser alone, which is all diffusers reads."""
    if is_gguf(model) and any(
        name.startswith(("first_stage_model.", "vae.", "cond_stage_model.", "text_encoders."))
        for name in names_in_it
    ):
        raise ValueError(
            f"{model} holds more than a denoiser, and diffusers reads a denoiser alone from GGUF: "
            "take the file of the denoiser, or the model as .safetensors."
        )


def check_gguf(model: str, part: torch.nn.Module) -> None:
    """Raises ValueError for a GGUF file with quantised weights that no linear layer has.

    diffusers 0.42 computes with them as if the bytes were the numbers.
    """
    import torch

    for name, layer in part.named_modules():
        for kind, weight in layer.named_parameters(recurse=False):
            linear = isinstance(layer, torch.nn.Linear) and kind == "weight"
            if hasattr(weight, "quant_type") and not linear:
                raise ValueError(
                    f"{model} has quantised {name}.{kind}, and diffusers computes with quantised "
                    "weights in linear layers alone: take a GGUF file where it is F16 or F32."
                )


def is_read(kind: str | None, single_file: bool) -> bool:
    """Whether weights are quantised one by one as they are read, or else when all are there."""
    return kind != "fp8" and not (kind and single_file)


def is_gguf(source: str) -> bool:
    """Whether a file is GGUF, whose weights are quantised by blocks, and stay so."""
    return source.lower().endswith(names.GGUF)


def of_folders(kind: str) -> bool:
    """Whether a kind is for folders and repositories, and not for single files."""
    return KINDS[kind][1] == "bitsandbytes"


def check_file(source: str, kind: str | None) -> None:
    """Looks whether a model in a single file can be read, and quantised so.

    Raises:
        ValueError: it cannot be quantised so.
        ModuleNotFoundError: a package is not installed.
    """
    if is_gguf(source):
        if kind:
            raise ValueError(
                f"{source} is quantised already, so it cannot be to {kind!r}: leave quantize= out."
            )
        if not find_spec("gguf"):
            raise ModuleNotFoundError(
                f"{source} needs the package gguf: pip install 'sdnb[gguf]', then restart Python."
            )
    if kind and of_folders(kind):
        raise ValueError(
            f"bitsandbytes quantises folders and repositories, and {source} is a single file: load "
            "it, pipe.save_pretrained('folder'), and load that; or give quantize='fp8' or 'int8'."
        )


def cast(
    pipe: DiffusionPipeline, libraries: Iterable[str], kind: str | None, dtype: torch.dtype
) -> None:
    """Quantises parts of a pipeline that is in memory.

    Arguments:
        pipe: changed in place.
        libraries: the names of the parts, from `parts`.
        kind: "fp8" or "int8".
        dtype: that is computed in.
    """
    import torch

    for name in libraries:
        part = getattr(pipe, name)
        if kind == "fp8":
            part.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=dtype)
        else:
            from torchao.quantization import Int8WeightOnlyConfig, quantize_

            quantize_(part, Int8WeightOnlyConfig())


__all__ = [
    "KINDS", "cast", "check", "check_file", "check_gguf", "check_layout", "config", "is_gguf",
    "is_read", "nbytes", "of_folders", "of_gguf", "parts", "usable",
]  # fmt: skip
