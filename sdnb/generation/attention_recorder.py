"""Attention of a picture to words, seen while a pipeline runs.

Every attention of diffusers' UNets, and of its transformers' native backend, ends in
`torch.nn.functional.scaled_dot_product_attention`. A `TorchFunctionMode`, which holds for its own
thread alone, looks at queries and keys on their way there and hands them on as they are: no
processor is replaced, and no pixel changes. Of the weights only the sums over a word's tokens are
kept, computed for some of the picture's places at a time.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sdnb.generation import attention_layout
from sdnb.models.denoiser import denoiser_of
from sdnb.prompt_words import Word
from sdnb.settings import Settings

if TYPE_CHECKING:
    import numpy
    import torch
    from diffusers import DiffusionPipeline

MOST = 16_000_000  # weights at once: 64 MB in float32


class Recorder:
    """What attention one run pays to words.

    Arguments:
        pipe: the pipeline.
        settings: resolved.
        words: of the prompt.

    Attributes:
        maps: one a denoiser call: (words, rows, columns), float32; each number is the share of a
            place's attention that goes to the word, mean over heads and layers.

    Raises:
        ValueError: where the denoiser has the words is not known, or it does not read one.
    """

    def __init__(self, pipe: DiffusionPipeline, settings: Settings, words: Sequence[Word]) -> None:
        self.layout = attention_layout.layout_of(pipe, settings)
        self.columns = attention_layout.columns(pipe, self.layout, settings.prompt, words)
        self.size = settings.width or 1, settings.height or 1
        self.maps: list[numpy.ndarray[Any, Any]] = []
        self._call: _Call | None = None
        self._reads_text = False

    @contextmanager
    def watching(self, pipe: DiffusionPipeline) -> Iterator[None]:
        """Records this thread's denoiser calls while the block runs; what was recorded is gone.

        Arguments:
            pipe: the pipeline that runs in the block: that of `Recorder`, or a copy of it.

        Raises:
            ValueError: in the block, where a call's texts do not hold the words, or its attention
                is not computed by torch's own function.
        """
        from torch.nn.functional import scaled_dot_product_attention
        from torch.overrides import TorchFunctionMode

        look = self._look

        class Watching(TorchFunctionMode):
            def __torch_function__(
                self, function: Any, types: Any, args: Any = (), kwargs: Any = None
            ) -> Any:
                if function is scaled_dot_product_attention:
                    look(*args, **(kwargs or {}))
                return function(*args, **(kwargs or {}))

        self.maps.clear()
        self._call, self._reads_text = None, not self.layout.by_layer
        denoiser = denoiser_of(pipe)
        hooks = [
            denoiser.register_forward_pre_hook(self._begin, with_kwargs=True),
            denoiser.register_forward_hook(self._end),
        ]
        if self.layout.by_layer:  # a level may have as many places as a prompt has tokens
            layers = (m for m in denoiser.modules() if getattr(m, "is_cross_attention", False))
            hooks += [layer.register_forward_pre_hook(self._enter) for layer in layers]
        try:
            with Watching():
                yield
        finally:
            for hook in hooks:
                hook.remove()

    def _enter(self, *_: Any) -> None:
        self._reads_text = True

    def _begin(self, denoiser: Any, args: Any, kwargs: Any) -> None:
        given = inspect.signature(denoiser.forward).bind(*args, **kwargs).arguments
        hidden, text = next(iter(given.values())), given["encoder_hidden_states"]
        if hidden.ndim == 4:
            patch = denoiser.config.get("patch_size") or 1
            base = hidden.shape[2] // patch, hidden.shape[3] // patch
        else:  # Flux's latents are packed: (B, places, channels)
            base = _rows_and_columns(hidden.shape[1], *self.size)
        rows, tokens = text.shape[:2]
        if tokens < len(self.columns) or rows > 2:
            raise ValueError(
                f"The denoiser gets {rows} texts of {tokens} tokens, and the prompt's words reach "
                f"to token {len(self.columns)}: which of them are the words is not known."
            )
        # with guidance the prompt's half is the second
        self._call = _Call(base, rows - 1, tokens, self.columns.to(text.device))

    def _end(self, *_: Any) -> None:
        call, self._call = self._call, None
        if call is None or not call.layers:
            raise ValueError(
                "The denoiser's attention was not seen: it is computed in another way than "
                "torch's own. pipe.transformer.set_attention_backend('native') brings that back."
            )
        self.maps.append((call.sum / call.layers).cpu().numpy())

    def _look(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor,
        attn_mask: torch.Tensor | None = None, dropout_p: float = 0.0, is_causal: bool = False,
        scale: float | None = None, enable_gqa: bool = False,
    ) -> None:  # fmt: skip
        """Adds a layer's attention from the picture to the words, where it is one.

        Arguments:
            query, key, value: (B, heads, tokens, channels).
            attn_mask, dropout_p, is_causal, scale, enable_gqa: the others of
                `scaled_dot_product_attention`; only the mask and the scale are used.
        """
        if (call := self._call) is None or not self._reads_text:  # a text encoder's, a decoder's
            return
        self._reads_text = not self.layout.by_layer
        asking, keys, first = query.shape[2], key.shape[2], self.layout.text_first
        if self.layout.by_layer:  # among the keys, the picture may stand behind the text
            if keys not in (call.tokens, call.tokens + asking):
                return
        elif asking == keys == call.tokens + math.prod(call.base):  # joint attention
            query = query[:, :, call.tokens :] if first else query[:, :, : -call.tokens]
        else:
            return  # the picture's attention to itself, as in SD3.5
        row = slice(call.row, call.row + 1)
        text = slice(0, len(call.columns)) if first else slice(keys - call.tokens, keys)
        mask = attn_mask if attn_mask is None or attn_mask.shape[0] == 1 else attn_mask[row]
        call.add(_to_words(query[row], key[row], mask, scale, text, call.columns))


class _Call:
    """One denoiser call: its places, the row and the tokens of the prompt, the sum over layers."""

    def __init__(self, base: tuple[int, int], row: int, tokens: int, columns: torch.Tensor) -> None:
        self.base, self.row, self.tokens, self.columns = base, row, tokens, columns
        self.layers = 0
        self.sum = columns.new_zeros(columns.shape[1], *base)

    def add(self, weights: torch.Tensor) -> None:
        """Adds a layer's (words, places), enlarged to the first level's places."""
        from torch.nn.functional import interpolate

        rows, cols = self.base
        while rows * cols > weights.shape[1]:  # each level halves them, rounding up
            rows, cols = -(-rows // 2), -(-cols // 2)
        layer = weights.reshape(1, -1, rows, cols)
        self.sum += interpolate(layer, self.base, mode="bilinear", align_corners=False)[0]
        self.layers += 1


def _to_words(
    query: torch.Tensor, key: torch.Tensor, mask: torch.Tensor | None, scale: float | None,
    text: slice, columns: torch.Tensor,
) -> torch.Tensor:  # fmt: skip
    """The softmax over all keys, of which only the words' sums are kept, mean over heads.

    Arguments:
        query, key: (1, heads, places or keys, channels); keys may have fewer heads.
        mask: of `scaled_dot_product_attention`, for one row.
        scale: None for one over the root of the channels.
        text: where the text stands among the keys.
        columns: (tokens of the text, words), 1 where a token belongs to a word.

    Returns:
        (words, places), float32.
    """
    import torch

    heads, places, keys = query.shape[1], query.shape[2], key.shape[2]
    key = key.repeat_interleave(heads // key.shape[1], 1).float().transpose(2, 3)
    scale = query.shape[3] ** -0.5 if scale is None else scale
    if mask is not None:
        if mask.dtype == torch.bool:
            mask = torch.zeros(mask.shape, device=mask.device).masked_fill(~mask, -math.inf)
        mask = mask.float().expand(1, heads, places, keys)
    step, parts = max(1, MOST // (heads * keys)), []
    with torch.no_grad():
        for start in range(0, places, step):
            some = slice(start, start + step)
            logits = query[:, :, some].float() @ key * scale  # (1, heads, some, keys)
            if mask is not None:
                logits += mask[:, :, some]
            whole = logits.logsumexp(3, keepdim=True)
            tokens = (logits[..., text][..., : len(columns)] - whole).exp()
            parts.append((tokens @ columns).mean(1)[0])  # (some, words)
    return torch.cat(parts).T


def _rows_and_columns(places: int, width: int, height: int) -> tuple[int, int]:
    """How so many places lie in a picture of that size.

    Example:
        >>> _rows_and_columns(24, 96, 64)
        (4, 6)
    """
    rows = max(1, round(math.sqrt(places * height / width)))
    if rows * width != (places // rows) * height or places % rows:
        raise ValueError(
            f"{places} places do not fit into a picture of {width} x {height} pixels: how they lie "
            "is not known."
        )
    return rows, places // rows


__all__ = ["Recorder"]
