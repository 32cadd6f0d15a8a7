"""Where a denoiser has the words of a prompt among the keys of its attention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sdnb import compat
from sdnb.generation.prompt_encoding import expanded
from sdnb.models.capabilities import Capabilities
from sdnb.models.denoiser import backend_of, denoiser_of
from sdnb.prompt_words import Word
from sdnb.settings import Settings

if TYPE_CHECKING:
    import torch
    from diffusers import DiffusionPipeline


@dataclass(frozen=True)
class Layout:
    """Where denoisers of a class have the text.

    Attributes:
        readers: endings of "tokenizer" and "text_encoder", whose tokens stand one after another
            in `encoder_hidden_states`; of each group the first that there is.
        processors: those of diffusers' attention processors that were looked at.
        text_first: whether the text stands before the picture where they are joined.
        by_layer: whether the layers that read text say so, by `is_cross_attention`.
    """

    readers: tuple[tuple[str, ...], ...]
    processors: tuple[str, ...]
    text_first: bool
    by_layer: bool = False


# https://github.com/huggingface/diffusers/blob/main/src/diffusers/models/attention_processor.py,
# https://github.com/huggingface/diffusers/blob/main/src/diffusers/models/transformers
LAYOUTS = {
    "UNet2DConditionModel": Layout(
        (("", "_2"),),
        ("AttnProcessor2_0", "FusedAttnProcessor2_0", "AttnAddedKVProcessor2_0"),
        text_first=True, by_layer=True,
    ),
    "SD3Transformer2DModel": Layout(
        (("", "_2"), ("_3",)), ("JointAttnProcessor2_0", "FusedJointAttnProcessor2_0"),
        text_first=False,
    ),
    "FluxTransformer2DModel": Layout((("_2",),), ("FluxAttnProcessor",), text_first=True),
}  # fmt: skip


def layout_of(pipe: DiffusionPipeline, settings: Settings) -> Layout:
    """Where the pipeline's denoiser has the words.

    Raises:
        ValueError: that is not known, or its attention cannot be seen; the sentence says why.
    """
    denoiser = denoiser_of(pipe)
    plain = compat.uncompiled(denoiser)
    layout = LAYOUTS.get(type(plain).__name__)
    if layout is None or (layout.by_layer and not _reads_clip(pipe)) or Capabilities.of(pipe).edits:
        raise ValueError(
            f"Where a {type(pipe).__name__} has a prompt's words in its attention is not known: "
            "attention maps are for SD 1, SD 2, SDXL, SD3 and Flux. sdnb.words, which leaves out "
            "one word at a time, works with every model."
        )
    how = "compiled" if plain is not denoiser else backend_of(pipe)[0]
    if how:
        how = how if how == "compiled" else f"run by {how}"
        raise ValueError(
            f"The denoiser is {how}, so its attention cannot be seen: load the model without that."
        )
    others = {type(each).__name__ for each in plain.attn_processors.values()} - {*layout.processors}
    if others:
        raise ValueError(
            f"The denoiser's attention is computed by {' and '.join(sorted(others))}, which does "
            "not show its weights: load the model without it (xFormers, sliced attention and "
            "IP-Adapters bring their own)."
        )
    if settings.prompt_syntax or settings.long_prompt == "chunk":
        name = "prompt_syntax" if settings.prompt_syntax else "long_prompt='chunk'"
        raise ValueError(
            f"Attention maps are for plain prompts that the model reads at once: leave out {name}."
        )
    return layout


def _reads_clip(pipe: DiffusionPipeline) -> bool:
    """Whether a UNet gets CLIP's tokens and nothing else: Kandinsky's and IP-Adapters' get more."""
    tokenizer = getattr(pipe, "tokenizer", None) or getattr(pipe, "tokenizer_2", None)
    clip = "CLIP" in type(tokenizer).__name__
    return clip and denoiser_of(pipe).config.get("encoder_hid_dim_type") is None


def columns(
    pipe: DiffusionPipeline, layout: Layout, prompt: str, words: Sequence[Word]
) -> torch.Tensor:
    """Which tokens belong to which word.

    Returns:
        (tokens, words) of 0 and 1; padding after the last word's token may be missing.

    Raises:
        ValueError: a word has no token, or a tokenizer does not say where its tokens stand.
    """
    import torch

    offset, found = 0, set[tuple[int, int]]()
    for endings in layout.readers:
        tokenizer = next(
            (t for end in endings if (t := getattr(pipe, f"tokenizer{end}", None)) is not None
             and getattr(pipe, f"text_encoder{end}", None) is not None), None,
        )  # fmt: skip
        if tokenizer is None:  # SD3 without T5: zeros stand in its place
            continue
        most = tokenizer.model_max_length
        if "CLIP" not in type(tokenizer).__name__:
            most = min(most, Capabilities.of(pipe).text_tokens or most)
        found |= {(offset + n, w) for n, w in _tokens(pipe, tokenizer, most, prompt, words)}
        offset += most
    for w, word in enumerate(words):
        if not any(w == each for _, each in found):
            raise ValueError(
                f"The model does not read {word.name!r}, for the prompt is cut before it: shorten "
                "the prompt, or name other words."
            )
    belongs = torch.zeros(1 + max(n for n, _ in found), len(words))
    for place in found:
        belongs[place] = 1
    return belongs


def _tokens(
    pipe: DiffusionPipeline, tokenizer: Any, most: int, prompt: str, words: Sequence[Word]
) -> set[tuple[int, int]]:
    """Pairs: the place of a token, and the index of the word that it is a part of."""
    if not tokenizer.is_fast:
        raise ValueError(
            f"A {type(tokenizer).__name__} does not say where its tokens stand in the prompt: "
            "attention maps need a fast tokenizer."
        )
    read = tokenizer(
        expanded(pipe, prompt, tokenizer), return_offsets_mapping=True, truncation=True,
        max_length=most, verbose=False,
    )  # fmt: skip
    found = set()
    for w, word in enumerate(words):
        for span in word.spans:
            # a textual inversion is read as several words, so what follows it has moved
            first, end = (len(expanded(pipe, prompt[:place], tokenizer)) for place in span)
            found |= {(n, w) for n, (a, b) in enumerate(read.offset_mapping)
                      if max(a, first) < min(b, end)}  # fmt: skip
    return found


__all__ = ["LAYOUTS", "Layout", "columns", "layout_of"]
