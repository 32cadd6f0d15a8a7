"""The embedded model: a small latent diffusion model that was trained for this package.

The folder is in diffusers' own layout; `StableDiffusionPipeline.from_pretrained(FOLDER)` loads
it without this package. What it knows, how it was trained and how well it draws is in README.md
beside this file.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

NAME = "emoji"
FOLDER = Path(__file__).parent


@cache
def words() -> frozenset[str]:
    """Every word that the model was trained on, in lower case."""
    return frozenset((FOLDER / "words.txt").read_text("utf-8").split())


def unknown_words(prompt: str) -> list[str]:
    """The words of a prompt that the model was not trained on, in order, each once.

    Example:
        >>> unknown_words("A fox in a tuxedo, on a blue background")
        ['tuxedo']
    """
    found = re.findall(r"[^\W_]+(?:['’-][^\W_]+)*", prompt.lower())
    return list(dict.fromkeys(word for word in found if word not in words()))
