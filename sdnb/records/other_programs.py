"""ComfyUI's, InvokeAI's, Fooocus's and NovelAI's own forms, read through sd-parsers.

SD.Next and Civitai write AUTOMATIC1111's (https://github.com/d3x-at/sd-parsers).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from sdnb import schedulers
from sdnb.settings import Settings

TEXTS = (
    "prompt", "workflow", "invokeai_metadata", "sd-metadata", "Dream", "Comment", "Description",
    "Source", "Software",
)  # fmt: skip


def program(texts: Mapping[str, str]) -> str | None:
    """The program whose own form this is; None where it is none of those that are read.

    Arguments:
        texts: of a file, by name.

    Example:
        >>> program({"Dream": '"a fox" -s 20 -S 1'}), program({"parameters": "a fox"})
        ('InvokeAI', None)
    """
    text = texts.get("parameters", "").lstrip()
    if text and not text.startswith("{"):
        return None  # AUTOMATIC1111's form, which savers of ComfyUI write beside its own
    if {"invokeai_metadata", "sd-metadata", "Dream"} & set(texts):
        return "InvokeAI"
    if "prompt" in texts and "class_type" in texts["prompt"]:
        return "ComfyUI"
    if text:
        return "Fooocus"
    if {"Description", "Source"} <= set(texts) and '"sampler"' in texts.get("Comment", ""):
        return "NovelAI"
    return None


def read(texts: Mapping[str, str]) -> tuple[Settings, dict[str, Any]]:
    """Settings and facts from another program's own form.

    Of a ComfyUI workflow with several samplers the first that starts from noise is read.

    Arguments:
        texts: of a file, by name; `program` names one.

    Returns:
        As `from_a1111`.

    Raises:
        ValueError: they say no prompt, steps or guidance, or what sdnb cannot use.
        ModuleNotFoundError: sd-parsers is not installed.
    """
    name = program(texts)
    if find_spec("sd_parsers") is None:
        raise ModuleNotFoundError(
            f"{name} made this picture; reading its form needs a package: "
            "pip install 'sdnb[formats]'."
        )
    from sd_parsers import parsers
    from sd_parsers.exceptions import ParserError

    kind = getattr(parsers, f"{name}Parser")
    given = dict(texts)
    try:
        if name == "ComfyUI":
            nodes = _resolved(json.loads(texts["prompt"]))
            given["prompt"] = json.dumps(nodes)
            given["workflow"] = json.dumps({"links": _links(nodes)})
        found = kind().parse(given)
        sampler = next(
            (s for s in found.samplers if float(s.parameters.get("denoise") or 1) == 1),
            found.samplers[0],
        )
        whole = {k.lower(): v for k, v in _flat(found.metadata).items()} | sampler.parameters
        return _record(name or "", sampler, whole, _model(sampler, texts))
    except (ParserError, IndexError, AttributeError, TypeError, ValueError, KeyError) as error:
        why = str(error) or type(error).__name__
        why = "it names no sampler that is known" if isinstance(error, IndexError) else why
        raise ValueError(f"{name}'s settings in it cannot be used: {why}") from error


def _record(
    name: str, sampler: Any, whole: dict[str, Any], model: str | None
) -> tuple[Settings, dict[str, Any]]:
    guidance = whole.get("cfg_scale", whole.get("guidance"))
    if "steps" not in whole or guidance is None:
        raise ValueError(f"it does not say its {'steps' if 'steps' not in whole else 'guidance'}")
    width, height = _size(whole)
    seed = str(whole.get("seed", whole.get("noise_seed", "")))
    schedule = str(whole.get("scheduler") or whole.get("noise_schedule") or "")
    settings = Settings(
        prompt=", ".join(p.value for p in sampler.prompts if p.value),
        negative_prompt=", ".join(p.value for p in sampler.negative_prompts if p.value),
        steps=int(whole["steps"]),
        guidance=float(guidance),
        scheduler=_scheduler(str(sampler.name), schedule),
        seed=int(seed) if seed.isascii() and seed.isdigit() else None,
        width=width,
        height=height,
    )
    facts: dict[str, Any] = {"program": name, "model": model}
    if name == "Fooocus":
        facts |= {k: str(whole[k]) for k in ("styles", "loras") if whole.get(k)}
    return settings, {k: v for k, v in facts.items() if v}


# k-diffusion's names, which ComfyUI, Fooocus, InvokeAI and NovelAI use
_SAMPLERS = {
    "euler": "Euler", "euler_ancestral": "Euler a", "euler_a": "Euler a", "heun": "Heun",
    "lms": "LMS", "dpm_2": "DPM2", "dpm_2_ancestral": "DPM2 a", "kdpm_2": "DPM2",
    "kdpm_2_a": "DPM2 a", "dpmpp_2m": "DPM++ 2M", "dpmpp_2m_sde": "DPM++ 2M SDE",
    "dpmpp_sde": "DPM++ SDE", "dpmpp_2s": "DPM++ 2S", "dpmpp_2s_ancestral": "DPM++ 2S a",
    "dpmpp_3m": "DPM++ 3M", "dpmpp_3m_sde": "DPM++ 3M SDE", "ddim": "DDIM", "ddpm": "DDPM",
    "plms": "PNDM", "pndm": "PNDM", "uni_pc": "UniPC", "unipc": "UniPC", "deis": "DEIS",
    "lcm": "LCM",
}  # fmt: skip
_SCHEDULES = {
    "karras": "Karras", "exponential": "Exponential", "simple": "Simple", "beta": "Beta",
    "sgm_uniform": "SGM Uniform", "ddim_uniform": "DDIM", "kl_optimal": "KL Optimal",
}  # fmt: skip


def _scheduler(sampler: str, schedule: str) -> str | None:
    """Our name for a sampler's and its schedule's."""
    bare = re.sub(r"^k_|_gpu$|_v3$", "", sampler)
    if bare not in _SAMPLERS and bare.endswith("_k"):
        bare, schedule = bare.removesuffix("_k"), "karras"  # InvokeAI's
    named = _SCHEDULES.get(schedule, "")
    if bare == "ddim" and named == "DDIM":
        named = ""
    return schedulers.from_a1111(_SAMPLERS.get(bare, sampler), named) or None


def _resolved(nodes: dict[str, Any]) -> dict[str, Any]:
    """ComfyUI's nodes with the values of those that hold but one in the places that ask for it."""
    single = {}
    for number, node in nodes.items():
        held = [v for v in node["inputs"].values() if isinstance(v, (str, int, float))]
        if len(held) == len(node["inputs"]) == 1 and not node["class_type"].endswith("Loader"):
            single[number] = held[0]
    return {
        number: node | {"inputs": {
            name: single.get(str(value[0]), value) if _is_link(value) else value
            for name, value in node["inputs"].items()
        }}
        for number, node in nodes.items()
    }  # fmt: skip


def _is_link(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[1], int)


def _links(nodes: Mapping[str, Any]) -> list[list[Any]]:
    """ComfyUI's links between nodes, as its workflow has them.

    They are in the prompt too, which the file always has; and a workflow may nest.
    """
    links: list[list[Any]] = []
    for number, node in nodes.items():
        for name, value in node["inputs"].items():
            if _is_link(value):
                links.append([len(links), str(value[0]), value[1], number, 0, name.upper()])
    return links


def _size(whole: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Width and height where they are said; Fooocus writes "(1152, 896)"."""
    if sides := re.fullmatch(r"\((\d+), (\d+)\)", str(whole.get("resolution", ""))):
        return int(sides[1]), int(sides[2])
    width, height = whole.get("width"), whole.get("height")
    both = isinstance(width, int) and isinstance(height, int)
    return (width, height) if both else (None, None)


def _flat(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata with those of ComfyUI's nodes brought up: width and height are of a latent's."""
    flat = dict(metadata)
    for name, nodes in metadata.items():
        if "Latent" in name and isinstance(nodes, list) and nodes and isinstance(nodes[0], dict):
            flat |= {k: nodes[0][k] for k in ("width", "height") if k in nodes[0]}
    return flat


def _model(sampler: Any, texts: Mapping[str, str]) -> str | None:
    """The model's name; sd-parsers misses it behind a LoRA of ComfyUI's, and InvokeAI's newer."""
    if "prompt" in texts:
        inputs = [node.get("inputs", {}) for node in json.loads(texts["prompt"]).values()]
        named = (given.get(key) for given in inputs for key in ("ckpt_name", "unet_name"))
        return next((name for name in named if isinstance(name, str)), None)
    if sampler.model is not None:
        return str(sampler.model.name or sampler.model.hash)
    try:
        return str(json.loads(texts["invokeai_metadata"])["model"]["name"])
    except (KeyError, TypeError, ValueError):
        return None
