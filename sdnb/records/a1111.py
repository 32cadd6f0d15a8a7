"""AUTOMATIC1111's `parameters` text, both ways: Forge, SD.Next, Civitai and others write it too.

The prompt, `Negative prompt: …`, and a line of pairs that begins with `Steps:`
(https://github.com/AUTOMATIC1111/stable-diffusion-webui, modules/infotext_utils.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from sdnb import schedulers
from sdnb.lora_weights import OtherProgramsLoras, Weight, check_name
from sdnb.records.fact_schema import KNOWN
from sdnb.settings import Settings, figure
from sdnb.toward import in_words


def to_a1111(settings: Settings, facts: Mapping[str, Any]) -> str:
    """AUTOMATIC1111's `parameters` text.

    A line of the prompt that begins with "Negative prompt:" is joined to the one before: the form
    has no other way to say that it is not the negative prompt.

    Example:
        >>> print(to_a1111(Settings("a fox", "blur", 24, 7.5, "DDIM", seed=510), {}))
        a fox
        Negative prompt: blur
        Steps: 24, Sampler: DDIM, CFG scale: 7.5, Seed: 510, Version: sdnb
    """
    pairs: dict[str, Any] = {"Steps": settings.steps}
    if settings.scheduler:
        pairs |= schedulers.to_a1111(settings.scheduler)
    guidance = None if settings.guidance is None else figure(settings.guidance)
    pairs["CFG scale"] = guidance
    if guidance and str(facts.get("pipeline")).startswith(
        "Flux"
    ):  # its guidance is distilled into the model
        pairs |= {"CFG scale": 1, "Distilled CFG Scale": guidance}
    pairs["Seed"] = settings.seed
    if settings.width and settings.height:
        pairs["Size"] = f"{settings.width}x{settings.height}"
    pairs |= {"Model": facts.get("model"), "Denoising strength": settings.strength}
    if settings.toward:
        pairs["Toward"] = in_words(settings.toward)
    known = facts.get("lora") or {}
    hashes = {name: lora["hash"] for name, lora in sorted(known.items()) if "hash" in lora}
    if hashes:
        pairs["Lora hashes"] = ", ".join(f"{name}: {digits}" for name, digits in hashes.items())
    pairs["Version"] = OURS
    last = ", ".join(f"{k}: {_quoted(str(v))}" for k, v in pairs.items() if v is not None)
    prompt, negative = (
        re.sub(r"\n\s*(?=Negative prompt:)", " ", text)
        for text in (settings.prompt, settings.negative_prompt)
    )
    prompt += "".join(f" {_tag(name, weight)}" for name, weight in (settings.lora or {}).items())
    lines = [prompt, f"Negative prompt: {negative}" if negative else "", last]
    return "\n".join(line for line in lines if line)


def from_a1111(text: str) -> tuple[Settings, dict[str, Any]]:
    """Settings and further facts from AUTOMATIC1111's `parameters` text.

    Keys may be in other letters ("CFG Scale"). A strength is read where a picture went in, so not
    where it is of a second pass ("Hires"), or a default that some programs write always; it is
    then among the facts. So is an undistilled guidance beside a distilled one.

    Raises:
        ValueError: it holds no prompt or no settings.

    Example:
        >>> text = "a fox\\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x512"
        >>> from_a1111(text)[0].scheduler
        'Euler a'
    """
    lines = text.strip().split("\n")
    at, pairs = _pairs(lines)
    texts = re.split(
        r"^[ \t]*Negative prompt:", "\n".join(lines[:at]), maxsplit=1, flags=re.MULTILINE
    )
    prompt, negative = (*texts, "")[:2]
    prompt, lora = _tags(prompt)
    width, _, height = pairs.pop("size", "").partition("x")
    sampler, schedule = pairs.pop("sampler", ""), pairs.pop("schedule type", "")
    strength = pairs.pop("denoising strength", None) if _went_in(pairs) else None
    guidance = pairs.pop("cfg scale", None)
    if (distilled := pairs.pop("distilled cfg scale", None)) is not None:
        pairs |= {} if guidance in (None, "1", "1.0") else {"cfg scale": guidance}
        guidance = distilled
    if pairs.get("version") == OURS:
        del pairs["version"]
    seed = pairs.pop("seed", "-1")  # -1 where the program does not say which it drew
    try:
        settings = Settings(
            prompt=prompt.strip(),
            negative_prompt=negative.strip(),
            steps=_whole(pairs.pop("steps")) if "steps" in pairs else None,
            guidance=None if guidance is None else _real(guidance),
            scheduler=schedulers.from_a1111(sampler, schedule) if sampler else None,
            seed=None if seed == "-1" else _whole(seed),
            width=_whole(width) if width else None,
            height=_whole(height) if height else None,
            strength=_real(strength) if strength else None,
            lora=OtherProgramsLoras(lora) if lora else None,
        )
    except ValueError as error:
        raise ValueError(f"The AUTOMATIC1111 settings cannot be used: {error}") from error
    # sdnb's own facts are not taken from another program's text, but for the model
    return settings, {k: v for k, v in pairs.items() if k == "model" or k not in KNOWN}


def not_applied(settings: Settings, facts: Mapping[str, Any]) -> list[str]:
    """What a picture from another program was made with and sdnb does not apply, each in words.

    Arguments:
        settings, facts: from `from_a1111`, or from another program's own form.

    Example:
        >>> not_applied(Settings("a (fox:1.4) <lora:style:0.8>"), {"clip skip": "2"})
        ['weights such as (fox:1.4)', '<lora:style:0.8>', 'clip skip 2']
    """
    text = f"{settings.prompt}\n{settings.negative_prompt}"
    found = [say.format(match[0]) for say, form in _SYNTAX if (match := form.search(text))]
    found += dict.fromkeys(_NETWORK.findall(text))
    for name in NOT_APPLIED:
        value = str(facts.get(name, ""))
        if value and value not in ("None", "[]", "False") and (name, value) != ("clip skip", "1"):
            found.append(f"{name} {value}" if len(value) < 60 else name)
    return found


OURS = "sdnb"  # as its version: the text is written by this program
WANTED = {
    "steps", "sampler", "schedule type", "cfg scale", "distilled cfg scale", "seed", "size",
    "denoising strength",
}  # fmt: skip
_ALIASES = {"scheduler": "schedule type", "distilled cfg": "distilled cfg scale"}
# facts of other programs that change a picture
NOT_APPLIED = (
    "clip skip", "hires upscale", "variation seed", "refiner", "vae", "styles", "loras",
    "cfg scale", "face restoration", "tiling", "adetailer model", "controlnet 0",
    "toward",
)  # fmt: skip

_SYNTAX = (
    ("weights such as {}", re.compile(r"(?<!\\)\([^()\n]*:\s*-?\d*\.?\d+\s*\)")),
    ("emphasis such as {}", re.compile(r"(?<!\\)\(\([^()\n]+\)\)|(?<!\\)\[\[[^\[\]\n]+\]\]")),
    ("prompt editing such as {}", re.compile(r"\[[^\[\]\n]*(?::\s*\d*\.?\d+|\|[^\[\]\n]*)\]")),
    ("{}", re.compile(r"\bBREAK\b")),
    ("{}", re.compile(r"\bAND\b")),
)
_NETWORK = re.compile(r"<(?:lora|lyco|hypernet):[^<>\n]+>")
_LORA = re.compile(r"[ \t]*<lora:([^<>:\n]+)((?::[^<>:\n]*)*)>")


def _tag(name: str, weight: Weight) -> str:
    """A LoRA in a prompt: its weight, or that of the text encoder and that of the denoiser.

    https://github.com/AUTOMATIC1111/stable-diffusion-webui, extensions-builtin/Lora.
    """
    if isinstance(weight, Mapping):
        both = figure(weight["text_encoder"]), figure(weight["denoiser"])
        return f"<lora:{name}:{':'.join(both)}>"
    return f"<lora:{name}>" if weight is None else f"<lora:{name}:{figure(weight)}>"


def _tags(prompt: str) -> tuple[str, dict[str, Weight]]:
    """A prompt without its LoRAs, and these; one that is written otherwise stays where it is."""
    found: dict[str, Weight] = {}

    def take(match: re.Match[str]) -> str:
        name, numbers = match[1].strip(), match[2].split(":")[1:]
        try:
            check_name(name)
            text, *rest = [_real(number.strip()) for number in numbers] or [1.0]
        except ValueError:
            return match[0]
        if len(rest) > 1:  # the third is the rank that is used of it
            return match[0]
        found[name] = {"text_encoder": text, "denoiser": rest[0]} if rest else text
        return ""

    return _LORA.sub(take, prompt), found


# A key stands at the start or after a comma, so that no text is gone through twice.
_PAIR = re.compile(r'(?:^|,)\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?=,|$)')


def _pairs(lines: list[str]) -> tuple[int, dict[str, str]]:
    """The number of the line of settings, and its pairs.

    It is the last one, as AUTOMATIC1111 has it, unless a program wrote more below: then the last
    that begins with "Steps:". What stands below is kept under its own names.

    Raises:
        ValueError: there is none, or it says one thing twice.
    """
    at = len(lines) - 1
    while at >= 0:
        found = [(_key(key), _unquoted(raw)) for key, raw in _PAIR.findall(lines[at])]
        begins = lines[at].lstrip().startswith("Steps:")
        if len(found) >= 3 and (begins or (at == len(lines) - 1 and WANTED & set(dict(found)))):
            break
        at -= 1
    else:
        raise ValueError("The text holds no AUTOMATIC1111 settings: no line names three.")
    pairs: dict[str, str] = {}
    for key, value in found:
        if key in WANTED and pairs.get(key, value) != value:
            raise ValueError(f"The AUTOMATIC1111 settings say {key} twice: {pairs[key]}, {value}.")
        pairs[key] = value
    for line in lines[at + 1 :]:
        name, colon, value = line.partition(":")
        if colon and _key(name) not in WANTED:
            pairs.setdefault(_key(name), value.strip())
    return at, pairs


def _key(text: str) -> str:
    key = text.strip().lower()
    return _ALIASES.get(key, key)


def _went_in(pairs: Mapping[str, str]) -> bool:
    """Whether the picture was made from another one."""
    if any(key.startswith(("hires", "second pass")) for key in pairs):
        return False
    if pairs.get("version") == OURS:
        return True
    named = ("mask", "inpaint", "init ", "resize mode", "conditional mask", "img2img")
    done = pairs.get("operations", "").lower()
    return "img2img" in done or "inpaint" in done or any(k.startswith(named) for k in pairs)


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit()):  # int() takes more: 1_000, ٣
        raise ValueError(f"{text!r} is no whole number")
    return int(text)


def _real(text: str) -> float:
    if not text.isascii() or "_" in text:
        raise ValueError(f"{text!r} is no number")
    return float(text)


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False) if re.search(r'[,:\n"]', value) else value


def _unquoted(value: str) -> str:
    if value.startswith('"'):
        try:
            return str(json.loads(value))
        except json.JSONDecodeError:
            return value
    return value.strip()
