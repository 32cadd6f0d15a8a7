"""Projections of the prompt embeds, computed once a prompt instead of once a step."""

from __future__ import annotations

from typing import Any

import torch
from diffusers.models.embeddings import TextTimeEmbedding


class Kept(torch.nn.Module):
    """Gives its last output again as long as it is called with the very same tensor.

    Another run's text is another tensor, so changed weights count from the next run on. With
    gradients everything is computed.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        given, output = vars(self).get("_last", (None, None))
        if given is x and output is not None and not torch.is_grad_enabled():
            return output
        output = super().forward(x)
        self._last = (None, None) if torch.is_grad_enabled() else (x, output)
        return output

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key != "_last"}


class KeptLinear(Kept, torch.nn.Linear):
    """A linear layer that keeps its last output."""


class KeptEmbedding(Kept, TextTimeEmbedding):
    """The text in the time embedding, kept."""


def keep(denoiser: torch.nn.Module) -> int:
    """Has a denoiser keep what it makes of a text for as long as the text is the same tensor.

    Pipelines hand the same text to each step. Where texts are short and pictures small, as with the
    embedded model, a tenth of a step goes into projecting it; the pictures stay the same to the
    last bit.

    Arguments:
        denoiser: a UNet whose cross-attention adds keys and values of the text
            (`AttnAddedKVProcessor`); others have nothing that is kept.

    Returns:
        How many of its layers keep their output.

    Example:
        >>> layer = torch.nn.ModuleDict({"add_k_proj": torch.nn.Linear(2, 3)})
        >>> keep(layer)
        1
    """
    kinds: dict[type, type] = {torch.nn.Linear: KeptLinear, TextTimeEmbedding: KeptEmbedding}
    kept = 0
    for name, module in denoiser.named_modules():
        if name.endswith(("add_k_proj", "add_v_proj", "add_embedding")) and type(module) in kinds:
            module.__class__ = kinds[type(module)]
            kept += 1
    return kept
