"""Families: configs and tokenizers of common models' parts, for files that hold weights alone.

They are the published ones, and come with sdnb, so that a checkpoint loads without a network and
whoever has taken the repository down.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("configs")


def is_known(kind: str) -> bool:
    """Whether the settings of a family come with sdnb.

    Arguments:
        kind: as diffusers' table of single files names it.

    Example:
        >>> is_known("v1"), is_known("xl_base"), is_known("flux-dev")
        (True, True, False)
    """
    return (FOLDER / f"{kind}.json").is_file()


def index(kind: str) -> dict[str, Any]:
    """The content of the family's model_index.json.

    Example:
        >>> index("v2")["_class_name"]
        'StableDiffusionPipeline'
    """
    return dict(_settings(kind)["model_index.json"])


@contextmanager
def unpacked(kind: str) -> Iterator[Path]:
    """The family's configs and tokenizers, in a folder in diffusers' layout, for the block."""
    merges = (FOLDER / "merges.txt").read_text(encoding="utf-8")
    words = json.dumps(vocabulary(merges), ensure_ascii=False)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        for name, settings in _settings(kind).items():
            to = Path(folder, name)
            to.parent.mkdir(exist_ok=True)
            to.write_text(json.dumps(settings), encoding="utf-8")
            if to.name == "tokenizer_config.json":
                to.with_name("merges.txt").write_text(merges, encoding="utf-8")
                to.with_name("vocab.json").write_text(words, encoding="utf-8")
        yield Path(folder)


def vocabulary(merges: str) -> dict[str, int]:
    """CLIP's tokens and their ids, which follow from the pairs that it joins.

    See https://github.com/openai/CLIP/blob/main/clip/simple_tokenizer.py.

    Arguments:
        merges: the text of merges.txt, a pair a line; the first line is a comment.

    Example:
        >>> words = vocabulary((FOLDER / "merges.txt").read_text(encoding="utf-8"))
        >>> len(words), words["!"], words["fox</w>"], words["<|endoftext|>"]
        (49408, 0, 3240, 49407)
    """
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1)]
    printable += range(ord("®"), ord("ÿ") + 1)
    others = range(256, 512 - len(printable))  # a letter for each byte that prints as none
    letters = [*map(chr, printable), *map(chr, others)]
    joined = ["".join(line.split()) for line in merges.splitlines()[1:] if line.strip()]
    words = [*letters, *(f"{x}</w>" for x in letters), *joined]
    return {word: i for i, word in enumerate([*words, "<|startoftext|>", "<|endoftext|>"])}


def _settings(kind: str) -> dict[str, Any]:
    return dict(json.loads((FOLDER / f"{kind}.json").read_text(encoding="utf-8")))
