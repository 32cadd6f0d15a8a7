"""The embedded model: a small latent diffusion model that was trained for this package.

The folder is in diffusers' own layout; `StableDiffusionPipeline.from_pretrained(FOLDER)` loads
it without this package. What it knows, how it was trained and how well it draws is in README.md
beside this file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

NAME = "emoji"
FOLDER = Path(__file__).parent


@cache
def words() -> frozenset[str]:
    """Every word that the model was trained on, in lower case."""
    return frozenset((FOLDER / "words.txt").read_text("utf-8").split())


def unknown_words(prompt: str, learned: Iterable[str] = ()) -> list[str]:
    """The words of a prompt that the model was not trained on, in order, each once.

    Arguments:
        prompt: the prompt.
        learned: what was put into its tokenizer: the tokens of embeddings.

    Example:
        >>> unknown_words("A fox in a tuxedo, on a blue background")
        ['tuxedo']
        >>> unknown_words("A foxcat in a tuxedo", ["<foxcat>"])
        ['tuxedo']
    """
    known = words() | {word for token in learned for word in _words_of(token)}
    return list(dict.fromkeys(word for word in _words_of(prompt) if word not in known))


def _words_of(text: str) -> list[str]:
    return re.findall(r"[^\W_]+(?:['’-][^\W_]+)*", text.lower())
