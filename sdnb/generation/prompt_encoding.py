"""Prompts as the text encoder reads them: their tokens, what is cut, long ones in pieces."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sdnb import compat
from sdnb.models.capabilities import Capabilities
from sdnb.settings import Settings

if TYPE_CHECKING:
    import torch
    from diffusers import DiffusionPipeline


def limit(pipe: DiffusionPipeline) -> tuple[Any, int] | tuple[None, None]:
    """The tokenizer that reads farthest and how many tokens of a prompt it reads.

    Start and end tokens are not counted: 75 of Stable Diffusion's 77 are the prompt's. SD3 and
    Flux read a prompt twice, with CLIP (75) and T5 (256 and more): what T5 reads is not lost.

    Example:
        >>> import sdnb
        >>> limit(sdnb.load("emoji"))[1]
        75
    """
    readers = _readers(pipe)
    return readers[0] if readers else (None, None)


def _readers(pipe: DiffusionPipeline) -> list[tuple[Any, int]]:
    """The tokenizers that read farthest, each with how many tokens it reads; SDXL has two."""
    readers = _tokenizers(pipe)
    farthest = max((length for _, length in readers), default=0)
    return [reader for reader in readers if reader[1] == farthest]


def _tokenizers(pipe: DiffusionPipeline) -> list[tuple[Any, int]]:
    """All tokenizers that have a limit, each with how many tokens it reads."""
    most = Capabilities.of(pipe).text_tokens
    readers = []
    for name in ("tokenizer", "tokenizer_2", "tokenizer_3"):
        tokenizer = getattr(pipe, name, None)
        if tokenizer is None:
            continue
        length = tokenizer.model_max_length
        if most is not None and "CLIP" not in type(tokenizer).__name__:
            length = most
        if length < 10**6:  # transformers writes 10**30 where there is none
            readers.append((tokenizer, length - tokenizer.num_special_tokens_to_add()))
    return readers


def count(pipe: DiffusionPipeline, text: str) -> int:
    """How many tokens a prompt has, without start and end; 0 for a pipeline without a tokenizer.

    Example:
        >>> import sdnb
        >>> count(sdnb.load("emoji"), "an owl on a blue background")
        6
    """
    # an embedding may have more vectors for one of SDXL's two encoders than for the other
    counts = [len(_ids(t, expanded(pipe, text, t))) for t, _ in _readers(pipe)]
    return max(counts, default=0)


def expanded(pipe: DiffusionPipeline, text: str, tokenizer: Any) -> str:
    """The prompt as the pipeline reads it: a textual inversion of n vectors counts as n tokens.

    https://huggingface.co/docs/diffusers/using-diffusers/textual_inversion_inference
    """
    convert = getattr(pipe, "maybe_convert_prompt", None)
    return str(convert(text, tokenizer)) if convert else text


def lost(pipe: DiffusionPipeline, text: str) -> str:
    """The end of a prompt that the text encoder would not see; empty where it sees all.

    Example:
        >>> import sdnb
        >>> lost(sdnb.load("emoji"), "a fox " * 37 + "a cat and a dog")
        'cat and a dog'
    """
    ends = [_lost(pipe, text, tokenizer, most) for tokenizer, most in _readers(pipe)]
    return max(ends, key=len, default="")


def _lost(pipe: DiffusionPipeline, text: str, tokenizer: Any, most: int) -> str:
    whole = expanded(pipe, text, tokenizer)
    if len(ids := _ids(tokenizer, whole)) <= most:
        return ""
    if not tokenizer.is_fast:
        return tokenizer.decode(ids[most:]).strip()
    # sliced, not decoded: decoding changes case, and copied tokenizers decode differently
    end = whole[_places(tokenizer, whole)[most][0] :].strip()
    if whole != text:  # as far as it is written: one that is cut within is lost as a whole
        for token in sorted(tokenizer.added_tokens_encoder, key=len, reverse=True):
            end = end.replace(expanded(pipe, token, tokenizer), token)
            end = re.sub(rf"^(?:{re.escape(token)}_\d+ ?)+", f"{token} ", end)
    return end.strip()


def check(pipe: DiffusionPipeline, name: str, text: str, long_prompt: str) -> None:
    """Raises ValueError for a prompt longer than the model reads, unless `long_prompt` allows it.

    Arguments:
        pipe: the pipeline.
        name: "prompt" or "negative_prompt".
        text: the prompt.
        long_prompt: "error", "cut" or "chunk", as in Settings.
    """
    if long_prompt == "cut" or not (end := lost(pipe, text)):
        return
    if long_prompt == "chunk":
        if not Capabilities.of(pipe).pieces:
            raise ValueError(
                f"A {type(pipe).__name__} cannot read a prompt in pieces: shorten it, or give "
                "long_prompt='cut'."
            )
        return
    raise ValueError(
        f"The {name.replace('_', ' ')} has {count(pipe, text)} tokens, the model reads "
        f"{limit(pipe)[1]}: {end!r} would be cut off. Shorten it, or give long_prompt='cut'"
        + (", or 'chunk' to read it in pieces." if Capabilities.of(pipe).pieces else ".")
    )


def pieces_of(pipe: DiffusionPipeline, settings: Settings) -> tuple[list[str], list[str]] | None:
    """Prompt and negative prompt in equally many pieces; None where both are short enough."""
    if not (lost(pipe, settings.prompt) or lost(pipe, settings.negative_prompt)):
        return None
    both = [pieces(pipe, text) for text in (settings.prompt, settings.negative_prompt)]
    longest = max(map(len, both))
    a, b = (parts + [""] * (longest - len(parts)) for parts in both)
    return a, b


def weighted(pipe: DiffusionPipeline, prompt: str, negative_prompt: str) -> dict[str, torch.Tensor]:
    """The embeddings of prompts that hold compel's weights: arguments of the pipeline.

    Prompts of any length are read; https://github.com/damian0815/compel describes the syntax.

    Arguments:
        pipe: an SD 1, SD 2 or SDXL pipeline.
        prompt, negative_prompt: such as "a fox++ on a (blue)1.3 background".

    Returns:
        prompt_embeds and negative_prompt_embeds, (1, 77 * pieces, width); for SDXL the pooled
        ones too.

    Example:
        >>> import sdnb
        >>> weighted(sdnb.load("emoji"), "a fox++", "")["prompt_embeds"].shape
        torch.Size([1, 77, 192])
    """
    import compel
    import torch

    kind = compel.CompelForSDXL if Capabilities.of(pipe).pooled else compel.CompelForSD
    with torch.no_grad():
        made = kind(pipe, device=compat.execution_device(pipe))(
            prompt, negative_prompt=negative_prompt
        )
    both = {
        "prompt_embeds": made.embeds,
        "negative_prompt_embeds": made.negative_embeds,
        "pooled_prompt_embeds": made.pooled_embeds,
        "negative_pooled_prompt_embeds": made.negative_pooled_embeds,
    }
    return {name: embeds for name, embeds in both.items() if embeds is not None}


def embeddings(
    pipe: DiffusionPipeline, both: tuple[list[str], list[str]]
) -> dict[str, torch.Tensor]:
    """A long prompt's embeddings, made in pieces and joined: arguments of the pipeline.

    Arguments:
        pipe: an SD 1, SD 2 or SDXL pipeline.
        both: from `pieces_of`.

    Returns:
        prompt_embeds and negative_prompt_embeds, (1, 77 * pieces, width); for SDXL the pooled
        ones of the first piece too.

    Example:
        >>> import sdnb
        >>> pipe = sdnb.load("emoji")
        >>> embeddings(pipe, (["a fox", "a cat"], ["", ""]))["prompt_embeds"].shape
        torch.Size([1, 154, 192])
    """
    import torch

    arguments: dict[str, torch.Tensor] = {}
    for prefix, parts in zip(("", "negative_"), both):
        with torch.no_grad():
            encoded = [_encoded(pipe, part) for part in parts]
            if prefix and not any(parts) and pipe.config.get("force_zeros_for_empty_prompt"):
                encoded = [(e * 0, None if p is None else p * 0) for e, p in encoded]
        arguments[f"{prefix}prompt_embeds"] = torch.cat([e for e, _ in encoded], 1)
        if encoded[0][1] is not None:
            arguments[f"{prefix}pooled_prompt_embeds"] = encoded[0][1]
    return arguments


def pieces(pipe: DiffusionPipeline, text: str) -> list[str]:
    """A prompt parted between words into pieces that every text encoder reads whole.

    A word that is longer than that by itself (a list without spaces, Chinese, Japanese) is parted
    between its tokens.

    Example:
        >>> import sdnb
        >>> [len(p.split()) for p in pieces(sdnb.load("emoji"), "a fox " * 50)]
        [75, 25]
        >>> [len(p) for p in pieces(sdnb.load("emoji"), "fox," * 50)]
        [151, 49]
    """
    readers = _tokenizers(pipe)

    def over(text: str) -> tuple[Any, int] | None:
        """The first tokenizer for which it is too long; an embedding's length may differ."""
        for tokenizer, most in readers:
            if len(_ids(tokenizer, expanded(pipe, text, tokenizer))) > most:
                return tokenizer, most
        return None

    parts = [""]
    for word in text.split():
        longer = f"{parts[-1]} {word}".strip()
        if not over(longer):
            parts[-1] = longer
        elif not (reader := over(word)):
            parts.append(word)
        elif (alone := expanded(pipe, word, reader[0])) != word:
            raise ValueError(
                f"{word!r} is an embedding of {len(_ids(reader[0], alone))} tokens, and the model "
                f"reads {reader[1]} at once: take one of fewer vectors."
            )
        else:
            parts += _split(readers, word)
    return [part for part in parts if part] or [""]


def _split(readers: list[tuple[Any, int]], word: str) -> list[str]:
    """A word in pieces that each tokenizer reads whole, none of its letters lost."""

    def over(text: str) -> bool:
        return any(len(_ids(tokenizer, text)) > most for tokenizer, most in readers)

    parts = []
    while over(word):
        end = min(_end(tokenizer, word, most) for tokenizer, most in readers)
        # a letter may be several tokens, and a part's end may be other tokens than its middle
        while end > 1 and over(word[:end]):
            end -= 1
        end = max(end, 1)
        parts.append(word[:end])
        word = word[end:]
    return [*parts, word]


def _end(tokenizer: Any, word: str, most: int) -> int:
    """How many letters so many tokens are, about."""
    if len(ids := _ids(tokenizer, word)) <= most:
        return len(word)
    return (
        int(_places(tokenizer, word)[most][0])
        if tokenizer.is_fast
        else len(word) * most // len(ids)
    )


def _places(tokenizer: Any, text: str) -> list[tuple[int, int]]:
    """Where each token stands in the text: its first letter and the one after its last."""
    read = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    return list(read.offset_mapping)


def _encoded(pipe: DiffusionPipeline, part: str) -> tuple[torch.Tensor, torch.Tensor | None]:
    """As the pipeline itself encodes one prompt: embeddings, and SDXL's pooled ones."""
    made = pipe.encode_prompt(
        prompt=part,
        device=compat.execution_device(pipe),
        num_images_per_prompt=1,
        do_classifier_free_guidance=False,
    )
    return made[0], made[2] if len(made) == 4 else None


def _ids(tokenizer: Any, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False, truncation=False, verbose=False).input_ids
