"""Facts: what a picture's record holds beside its settings; those from a file are checked.

Anybody can write anything into a PNG. What is shown, counted, or written into code is looked at
first; names that we do not know are kept as they are.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable, Mapping
from typing import Any

from sdnb.schedulers import FLAGS


def check(facts: Mapping[str, Any]) -> None:
    """Raises ValueError for the first fact that is not of its kind; the sentence says which.

    Example:
        >>> check({"model": "a/b", "dtype": "float16", "lora hashes": "a: 1"})
        >>> check({"model": "a/b", "dtype": "float16).cuda("})
        Traceback (most recent call last):
            ...
        ValueError: The fact dtype is 'float16).cuda(', which is not the name of a number type.
    """
    for name, value in facts.items():
        what, fits = KNOWN.get(name, ("", lambda _: True))
        if not fits(value):
            shown = repr(value)
            shown = shown if len(shown) <= 60 else f"{shown[:59]}…"
            raise ValueError(f"The fact {name} is {shown}, which is not {what}.")


def _text(value: object) -> bool:
    return isinstance(value, str)


def _text_or_none(value: object) -> bool:
    return value is None or isinstance(value, str)


def _number(value: Any) -> bool:
    kind = isinstance(value, (int, float)) and not isinstance(value, bool)
    return kind and -1e300 < value < 1e300  # neither NaN nor what no float holds


def _count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _flag(value: object) -> bool:
    return isinstance(value, bool)


def _dtype(value: object) -> bool:
    return isinstance(value, str) and bool(_DTYPE.fullmatch(value))


def _name(value: object) -> bool:
    plain = isinstance(value, str) and value.isidentifier() and value.isascii()
    return plain and not keyword.iskeyword(str(value))


def _flags(value: object) -> bool:
    """A scheduler's: names we know, and values that mean the same when they are written as code."""
    return isinstance(value, Mapping) and all(
        k in FLAGS and (v is None or isinstance(v, (bool, str)) or _number(v))
        for k, v in value.items()
    )


def _versions(value: object) -> bool:
    return isinstance(value, Mapping) and all(map(_text, value.values()))


def _start(value: object) -> bool:
    return isinstance(value, Mapping) and all(map(_text_or_none, value.values()))


def _pieces(value: object) -> bool:
    """Two lists of texts: of the prompt, and of the negative one."""
    return (
        isinstance(value, (list, tuple))
        and len(value) == 2
        and all(isinstance(part, list) and part and all(map(_text, part)) for part in value)
    )


def _sha256(value: object) -> bool:
    return isinstance(value, str) and bool(re.fullmatch("[0-9a-f]{64}", value))


def _names(value: object) -> bool:
    return isinstance(value, list) and all(map(_name, value))


def _parts(value: object) -> bool:
    return isinstance(value, Mapping) and all(map(_name, [*value, *value.values()]))


def _kind(value: object) -> bool:
    return value in ("fp8", "int8", "8bit", "4bit")


def _vae(value: object) -> bool:
    """Its class, and texts."""
    texts = isinstance(value, Mapping) and all(map(_text, value.values()))
    return texts and isinstance(value, Mapping) and _name(value.get("kind"))


def _embeddings(value: object) -> bool:
    """Of each its word, where it is from, and which of its vectors went into which part."""
    return isinstance(value, list) and all(
        isinstance(each, Mapping)
        and _text(each.get("token"))
        and all(_text(v) for k, v in each.items() if k != "parts")
        and isinstance(each.get("parts"), Mapping)
        and all(map(_text, each["parts"]))
        and all(map(_name, each["parts"].values()))
        for each in value
    )


def _loras(value: object) -> bool:
    """Of each LoRA by its name texts: its source, file, revision, hashes."""
    return isinstance(value, Mapping) and all(
        isinstance(each, Mapping) and _text(each.get("source")) and all(map(_text, each.values()))
        for each in value.values()
    )


def _line(value: object) -> bool:
    """One that stays a comment where it is written into code."""
    return isinstance(value, str) and value.isprintable()


def _beside(value: object) -> bool:
    """Arguments of a call: names, and values that mean the same when they are written as code."""
    return isinstance(value, Mapping) and all(
        _name(k) and (v is None or isinstance(v, (bool, str)) or _number(v))
        for k, v in value.items()
    )


def _four(value: object) -> bool:
    """FreeU's four numbers."""
    names = {"s1", "s2", "b1", "b2"}
    return isinstance(value, Mapping) and set(value) == names and all(map(_number, value.values()))


_DTYPE = re.compile(r"(b?float|u?int|complex)\d\w{0,12}", re.ASCII)
_SWITCH = ("true or false", _flag)
_MAYBE = ("a text or nothing", _text_or_none)

# what each is, in words, and the test of it
KNOWN: dict[str, tuple[str, Callable[[object], bool]]] = {
    "model": ("a text", _text),
    "revision": _MAYBE,
    "sha256": ("a SHA-256", _sha256),
    "config": ("a text", _text),
    "config_revision": _MAYBE,
    "parts": ("a list of classes", _parts),
    "other_parts": ("a list of parts with their commits", _versions),
    "without": ("a list of names of parts", _names),
    "eval": ("a list of names of parts", _names),
    "quantize": ("a kind of quantisation", _kind),
    "quantized": ("a list of parts", _parts),
    "weight_bytes": ("a count", _count),
    "vae": ("a VAE's origin", _vae),
    "embeddings": ("a list of embeddings", _embeddings),
    "variant": _MAYBE,
    "dtype": ("the name of a number type", _dtype),
    "device": ("a text", _text),
    "pipeline": ("the name of a class", _name),
    "denoiser_calls": ("a count", _count),
    "seconds": ("a number", _number),
    "step": ("a count", _count),
    "flagged": _SWITCH,
    "broken": _SWITCH,
    "decoder_broken": _SWITCH,
    "decoder_upcast": _SWITCH,
    "channels_last": _SWITCH,
    "backend": ("a text", _text),
    "as_four_channels": _SWITCH,
    "pickled": _SWITCH,
    "adapters": _SWITCH,
    "changed": ("a line of text", _line),
    "guidance_argument": ("the name of an argument", _name),
    "prompt_by_name": _SWITCH,
    "output": ("the name of a result", _name),
    "beside": ("a list of a call's arguments", _beside),
    "freeu": ("the four numbers of FreeU", _four),
    "vae_tiling": _SWITCH,
    "vae_slicing": _SWITCH,
    "scheduler_flags": ("a list of a scheduler's flags", _flags),
    "lora": ("a list of LoRAs, each with its source", _loras),
    "versions": ("a list of versions", _versions),
    "start": ("a list of texts", _start),
    "pieces": ("two lists of texts", _pieces),
    "error": ("a text", _text),
    "stored": ("a text", _text),
}

__all__ = ["KNOWN", "check"]
