"""Tokenizer probe: identifies a tokenizer written in Rust by how it encodes a text."""

from __future__ import annotations

from typing import Any

PROBE = "A  photo of 2 foxes,\tnäive cafe\u0301 ﬁn: it's (blurry)1.3 <sks> 狐\n"


def is_rust(value: Any) -> bool:
    """Whether this is a tokenizer of the package tokenizers, or a part of one."""
    kind = type(value)
    if kind.__module__ == "builtins" and kind.__name__ == "Tokenizer":
        return True
    return kind.__module__.startswith("tokenizers") and hasattr(value, "get_vocab_size")


def reads(tokenizer: Any) -> tuple[Any, ...]:
    """How it encodes a text; its limits do not count, as each call sets them."""
    model = tokenizer.model
    added = tokenizer.get_added_tokens_decoder()
    text, split = PROBE, tokenizer.pre_tokenizer
    if tokenizer.normalizer is not None:
        text = tokenizer.normalizer.normalize_str(text)
    words = [word for word, _ in split.pre_tokenize_str(text)] if split else [text]
    return (
        type(model).__name__,
        tokenizer.get_vocab_size(),
        tuple(words),
        tuple(token.id for word in words for token in model.tokenize(word)),
        tuple((number, repr(token)) for number, token in added.items()),
        repr(getattr(model, "dropout", None)),
        str(tokenizer.post_processor)[:2000],
    )
