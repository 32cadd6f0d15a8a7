"""The lines of code that load a pipeline as `load` did, with diffusers alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sdnb import compat, emoji
from sdnb.hub.names import FILE_OF_HUB

_FILE = re.compile(r"\.(safetensors|gguf)$", re.IGNORECASE)
EMOJI_FILES = "from importlib.resources import files\n"  # what finds the parts of `emoji`


@dataclass
class Loading:
    """What stands in a cell before a pipeline is used.

    Attributes:
        lines: the code that makes `pipe`.
        classes: of diffusers, that are imported.
        imports: whole lines that import something else.
        after: lines that follow.
        last: lines that follow when LoRAs are in it.
    """

    lines: list[str] = field(default_factory=list)
    classes: set[str] = field(default_factory=set)
    imports: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)
    last: list[str] = field(default_factory=list)


def loading(facts: Mapping[str, Any], made: str) -> Loading:
    """How the pipeline of a sample is loaded.

    Arguments:
        facts: of the sample, checked.
        made: the class that is to be loaded, where it is not the model's own to say.

    Example:
        >>> facts = {"model": "a/b", "dtype": "float16", "revision": "abc"}
        >>> print("\\n".join(loading(facts, "DiffusionPipeline").lines))
        pipe = DiffusionPipeline.from_pretrained(
            "a/b", revision="abc", use_safetensors=True, dtype=torch.float16
        ).to("cpu")
    """
    code = Loading(classes={made})
    keyword = compat.dtype_keyword(facts.get("versions", {}).get("diffusers", "0.40"))
    dtype = f"{keyword}=torch.{facts['dtype']}"
    place = literal(facts.get("device", "cpu"))
    model = str(facts["model"])
    if is_modular(facts):
        _modular(code, facts, dtype, place)
        return code
    quantized = _quantization(code, facts)
    safe = [] if facts.get("pickled") else ["use_safetensors=True"]
    if model == emoji.NAME:
        code.imports.append(EMOJI_FILES)
        revision = [f"{k}={literal(facts[k])}" for k in ("revision", "variant") if facts.get(k)]
        whole = ", ".join(
            ['files("sdnb") / "emoji"', *revision, *_vae(code, facts, dtype), *quantized, dtype]
        )
        code.lines.append(f"pipe = {made}.from_pretrained({whole}).to({place})")
    elif model == facts.get("pipeline") and facts.get("changed"):
        code.lines.append(f"# pipe is your own {model}: sdnb does not know what it was made of")
    elif _FILE.search(model):
        _of_file(code, facts, dtype, safe)
        code.lines[-1] += f".to({place})"
    else:
        revision = [f"{k}={literal(facts[k])}" for k in ("revision", "variant") if facts.get(k)]
        whole = ", ".join(
            [literal(model), *revision, *_vae(code, facts, dtype), *quantized, *safe, dtype]
        )
        code.lines += tell_of_folder(model)
        code.lines += [f"pipe = {made}.from_pretrained(", f"    {whole}", f").to({place})"]
    code.lines += code.after
    for embedding in facts.get("embeddings", []):
        _embedding(code, embedding)
    if facts.get("pickled") and model != emoji.NAME:
        code.lines.insert(
            0, "# pickled weights, if it has any, can run any program when they are opened"
        )
    return code


def is_modular(facts: Mapping[str, Any]) -> bool:
    """Whether a picture's pipeline was a modular one.

    Example:
        >>> is_modular({"pipeline": "FluxModularPipeline"})
        True
    """
    return str(facts.get("pipeline", "")).endswith("ModularPipeline")


def _modular(code: Loading, facts: Mapping[str, Any], dtype: str, place: str) -> None:
    """A modular pipeline: its blocks first, then its parts."""
    model = str(facts["model"])
    code.classes.clear()
    if model == facts.get("pipeline"):
        code.lines.append(f"# pipe is your own {model}: sdnb does not know what it was made of")
        return
    code.classes.add("ModularPipeline")
    code.lines += tell_of_folder(model)
    vae = _vae(code, facts, dtype)
    pinned = f", revision={literal(facts['revision'])}" if facts.get("revision") else ""
    variant = f", variant={literal(facts['variant'])}" if facts.get("variant") else ""
    code.lines.append(f"pipe = ModularPipeline.from_pretrained({literal(model)}{pinned})")
    if vae:
        code.lines.append("pipe.update_components(vae=vae)")
    # the commit of its index is not that of its parts, unless it is said of each
    commits = {"default": facts.get("revision")} | dict(facts.get("other_parts", {}))
    each = ", ".join(f"{literal(name)}: {literal(commit)}" for name, commit in commits.items())
    revision = f", revision={{{each}}}" if len(commits) > 1 else pinned
    code.lines += [f"pipe.load_components({dtype}{variant}{revision})", f"pipe.to({place})"]
    _quantization(code, facts)
    code.lines += code.after


def _of_file(code: Loading, facts: Mapping[str, Any], dtype: str, safe: list[str]) -> None:
    """A model in a single file: whole, or the parts that are in it."""
    model, config = str(facts["model"]), str(facts.get("config", ""))
    made = str(facts.get("pipeline", "DiffusionPipeline"))
    code.classes -= {"DiffusionPipeline"}
    code.classes.add(made)
    file = _file(code, model, facts.get("revision"))
    commit = facts.get("config_revision")
    pinned = [f"revision={literal(commit)}"] if commit else []
    without = [f"{name}=None" for name in facts.get("without", [])]
    without += _vae(code, facts, dtype)
    settings = [f"config={literal(config)}"]
    code.lines.append(f"file = {file}")
    if parts := facts.get("parts"):
        variant = [f"variant={literal(facts['variant'])}"] if facts.get("variant") else []
        for name, kind in parts.items():
            code.classes.add(kind)
            own = [f"file, config={literal(config)}, subfolder={literal(name)}", dtype]
            if model.lower().endswith(".gguf"):
                code.classes.add("GGUFQuantizationConfig")
                computed = f"GGUFQuantizationConfig(compute_dtype=torch.{facts['dtype']})"
                own.append(f"quantization_config={computed}")
            whole = ", ".join(own)
            code.lines += [f"{name} = {kind}.from_single_file(", f"    {whole}", ")"]
        given = [f"{name}={name}" for name in parts]
        whole = ", ".join([literal(config), *pinned, *variant, *given, *without, *safe, dtype])
        code.lines += [f"pipe = {made}.from_pretrained(", f"    {whole}", ")"]
        return
    whole = ", ".join(["file", *settings, *pinned, *without, dtype])
    code.lines += [f"pipe = {made}.from_single_file(", f"    {whole}", ")"]
    for name in facts.get("eval", []):
        code.after.append(f"pipe.{name}.eval()  # diffusers leaves it in training mode")


def _quantization(code: Loading, facts: Mapping[str, Any]) -> list[str]:
    """Writes what quantises after loading; the argument that does it in loading."""
    kind, parts = facts.get("quantize"), facts.get("quantized", {})
    if kind == "fp8":
        dtypes = f"storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.{facts['dtype']}"
        code.last += [f"pipe.{part}.enable_layerwise_casting({dtypes})" for part in parts]
    elif kind and _FILE.search(str(facts["model"])):
        code.imports.append("from torchao.quantization import Int8WeightOnlyConfig, quantize_")
        code.after += [f"quantize_(pipe.{part}, Int8WeightOnlyConfig())" for part in parts]
    if not kind or kind == "fp8" or _FILE.search(str(facts["model"])):
        return []
    code.classes.add("PipelineQuantizationConfig")
    each = [f"{literal(n)}: {_part_config(code, facts, lib)}" for n, lib in parts.items()]
    code.lines.append(f"mapping = {{{', '.join(each)}}}")
    return ["quantization_config=PipelineQuantizationConfig(quant_mapping=mapping)"]


def _part_config(code: Loading, facts: Mapping[str, Any], library: str) -> str:
    """How one part is quantised while it is loaded, as code."""
    kind = facts.get("quantize")
    owner = "diffusers" if library == "diffusers" else "transformers"
    code.imports.append(f"import {owner}")
    if kind == "int8":
        code.imports.append("from torchao.quantization import Int8WeightOnlyConfig")
        return f"{owner}.TorchAoConfig(Int8WeightOnlyConfig())"
    if kind == "8bit":
        return f"{owner}.BitsAndBytesConfig(load_in_8bit=True)"
    return (
        f'{owner}.BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", '
        f"bnb_4bit_compute_dtype=torch.{facts['dtype']})"
    )


def _file(code: Loading, model: str, revision: str | None, name: str = "") -> str:
    """The file itself, or the call that fetches it from the hub."""
    in_hub = FILE_OF_HUB.fullmatch(model) if revision else None
    if name and not _FILE.search(model):
        hub_id = model
    elif in_hub:
        hub_id, name = in_hub.groups()
    else:
        code.lines += tell_of_folder(model)
        return literal(model)
    code.imports.append("from huggingface_hub import hf_hub_download")
    pinned = f", revision={literal(revision)}" if revision else ""
    return f"hf_hub_download({literal(hub_id)}, {literal(name)}{pinned})"


def _vae(code: Loading, facts: Mapping[str, Any], dtype: str) -> list[str]:
    """Writes what loads another VAE than the model's own; the argument that takes it."""
    vae = facts.get("vae")
    if not vae:
        return []
    kind, model = vae["kind"], str(vae["model"])
    code.classes.add(kind)
    if _FILE.search(model):
        file = _file(code, model, vae.get("revision"))
        config = literal(vae.get("config", ""))
        whole = ", ".join([file, f"config={config}", 'subfolder="vae"', dtype])
        code.lines += [f"vae = {kind}.from_single_file(", f"    {whole}", ")"]
    else:
        given = [f"{k}={literal(vae[k])}" for k in ("subfolder", "revision", "variant") if k in vae]
        whole = ", ".join([literal(model), *given, "use_safetensors=True", dtype])
        code.lines += tell_of_folder(model)
        code.lines += [f"vae = {kind}.from_pretrained(", f"    {whole}", ")"]
    return ["vae=vae"]


def _embedding(code: Loading, embedding: Mapping[str, Any]) -> None:
    """Writes what puts an embedding into the pipeline."""
    token = literal(embedding["token"])
    if "model" not in embedding:
        code.lines.append(f"# the vectors of {token} were given as a tensor: load them here")
        return
    file = _file(code, embedding["model"], embedding.get("revision"), embedding.get("file", ""))
    code.imports.append("from safetensors.torch import load_file")
    code.lines.append(f"vectors = load_file({file})")
    for key, part in embedding["parts"].items():
        tokenizer = part.replace("text_encoder", "tokenizer")
        code.lines += [
            "pipe.load_textual_inversion(",
            f"    vectors[{literal(key)}], token={token},",
            f"    tokenizer=pipe.{tokenizer}, text_encoder=pipe.{part},",
            ")",
        ]


def tell_of_folder(source: str) -> list[str]:
    """A comment for a file or folder that the reader has to find; none for a hub id or a path."""
    if re.search(r"[/\\]", source):
        return []
    kind = "file" if _FILE.search(source) else "folder"
    return [f"# a {kind} of that name; the picture's file does not say where it is"]


def literal(value: object) -> str:
    """A Python literal in double quotes where that needs no escapes, else as repr writes it."""
    text = repr(value)
    if isinstance(value, str) and text[0] == "'" and '"' not in text:
        return f'"{text[1:-1]}"'
    return text


__all__ = ["EMOJI_FILES", "Loading", "is_modular", "literal", "loading", "tell_of_folder"]
