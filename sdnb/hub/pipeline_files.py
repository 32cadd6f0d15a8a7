"""The files that a pipeline needs, of all in its repository: weights, configs, tokenizers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

# what names the parts of a pipeline: the first that a repository has counts
INDEXES = ("model_index.json", "modular_model_index.json")

_WEIGHTS = re.compile(
    r"(?P<stem>(diffusion_pytorch_|pytorch_|)model)(\.(?P<variant>\w+?))??"
    r"(-(?P<shard>\d{5})-of-(?P<shards>\d{5}))?\.(?P<kind>safetensors|bin)"
    r"(?P<index>\.index(\.(?P<index_variant>\w+))?\.json)?"
)
# A part's settings and its tokenizer's words. Repositories hold much else beside the weights:
# SDXL's has 10 GB for OpenVINO.
_TEXTS = (".json", ".txt", ".model", ".jinja")
_WEIGHTLESS = re.compile(
    r"scheduler|tokenizer|processor|feature_?extractor|Backend|guider", re.IGNORECASE
)


class MissingError(ValueError):
    """What a pipeline needs is not among the files."""


def choose(
    model: str, there: Iterable[str], index: Mapping[str, Any], variant: str | None, half: bool,
    use_safetensors: bool = True,
) -> tuple[list[str], str | None]:  # fmt: skip
    """The files that a pipeline needs, and the variant of its weights.

    Raises:
        MissingError: a part has no files, no weights, or none of that variant.
        ValueError: a part has only pickled weights.

    Example:
        >>> files = ["model_index.json", "unet/config.json", "unet/openvino_model.bin",
        ...          "unet/diffusion_pytorch_model.safetensors",
        ...          "unet/diffusion_pytorch_model.fp16.safetensors"]
        >>> index = {"unet": ["diffusers", "UNet2DConditionModel"]}
        >>> choose("a/b", files, index, variant="auto", half=True)[1]
        'fp16'
    """
    there = sorted(there)
    parts = {name: made[1] for name, made in index.items() if _is_part(name, made, there)}
    weights: dict[str, dict[tuple[str, str], list[str]]] = {}  # part -> (variant, kind) -> files
    texts: dict[str, list[str]] = {}
    for path in there:
        part, _, name = path.partition("/")
        if part not in parts or "/" in name:
            continue
        if match := _WEIGHTS.fullmatch(name):
            which = match["variant"] or match["index_variant"] or ""
            weights.setdefault(part, {}).setdefault((which, match["kind"]), []).append(path)
        elif name.endswith(_TEXTS):
            texts.setdefault(part, []).append(path)

    wanted = ("fp16" if half else None) if variant == "auto" else variant
    variants = {which for kinds in weights.values() for which, _ in kinds}
    if variant not in ("auto", None) and variant not in variants:
        others = " or ".join(map(repr, sorted(variants - {""})))
        instead = f", or use {others}" if others else ""
        raise MissingError(f"{model} has no variant {variant!r}: leave it out{instead}.")
    if variant == "auto" and "" not in variants:  # only one precision was saved
        wanted = wanted if wanted in variants else min(variants, default=None)
    used = wanted if wanted in variants else None
    needed = [name for name in INDEXES if name in there][:1]
    for part, kinds in weights.items():
        for which in (used or "", "", "fp16" if variant == "auto" else ""):
            files = kinds.get((which, "safetensors"), [])
            if _is_whole(files):
                break
        else:
            pickled = kinds.get((used or "", "bin"), kinds.get(("", "bin"), []))
            if use_safetensors and _is_whole(pickled):
                raise ValueError(_pickled(model, part))
            if not _is_whole(pickled):
                raise MissingError(lacks(model, part, "whole weights"))
            files = pickled
        needed += files
    for part, made in parts.items():
        if not _WEIGHTLESS.search(f"{part} {made}"):
            if part not in weights:
                raise MissingError(lacks(model, part, "weights"))
            if f"{part}/config.json" not in texts.get(part, []):
                raise MissingError(lacks(model, part, "config.json"))
        elif part not in texts:
            raise MissingError(lacks(model, part, "files"))
    return needed + [path for part in texts.values() for path in part], used


def _is_part(name: str, made: object, there: Iterable[str]) -> bool:
    """Whether an entry of the index names a part: its library and its class.

    A modular index has in a third place where a part is, which may be in another repository.
    """
    if not isinstance(made, list) or name.startswith("_"):
        return False
    if not all(isinstance(x, str) for x in made[:2]):
        return False
    here = any(file.startswith(f"{name}/") for file in there)
    return len(made) == 2 or (len(made) == 3 and here)


def _is_whole(files: list[str]) -> bool:
    """Whether these are one file of weights, or all shards of one with their index."""
    found = [match for f in files if (match := _WEIGHTS.fullmatch(f.partition("/")[2]))]
    weights = [match for match in found if not match["index"]]
    shards = {match["shard"]: int(match["shards"]) for match in weights if match["shard"]}
    if len(weights) > len(shards):
        return True
    return 0 < len(shards) == max(shards.values()) and len(found) > len(weights)


def lacks(model: str, part: str, what: str) -> str:
    """The sentence for a model whose part, such as "unet", has no file of a kind."""
    return f"{model} has no {what} for its part {part}, so it cannot be loaded."


def _pickled(model: str, part: str) -> str:
    return (
        f"{model} has only pickled weights ({part}/*.bin), which can run any program when they are "
        "opened. If you trust their maker: sdnb.load(..., use_safetensors=False)."
    )
