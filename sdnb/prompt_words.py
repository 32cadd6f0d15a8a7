"""The words of a prompt: where each stands, and the prompt without it."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

MARKS = ".,;:!?\"'()[]{}<>“”‘’«»"  # at a word's ends: no part of its name
_WORD = re.compile(r"\S+")
_WEIGHTED = re.compile(r"\([^()]*\)[-+\d.]*|\S+")  # compel's brackets are left out as a whole


@dataclass(frozen=True)
class Word:
    """A word or phrase of a prompt.

    Attributes:
        name: as it is shown: without the marks around it; the second "red" is "red (2)".
        spans: where it stands: first letter and the one after its last; a phrase may stand twice.
        whole: the same with the marks that go when it is left out.
    """

    name: str
    spans: tuple[tuple[int, int], ...]
    whole: tuple[tuple[int, int], ...]


def words_of(
    prompt: str, chosen: Iterable[str] | None = None, weighted: bool = False
) -> list[Word]:
    """The words of a prompt, or those that are chosen, in this order.

    Arguments:
        prompt: the prompt.
        chosen: words or phrases of it, found in any case; one that stands there several times is
            taken everywhere. None takes each word, and one that stands twice as two words.
        weighted: whether brackets hold compel's weights, and so are one word.

    Raises:
        ValueError: a word is not in the prompt, or is given twice, or there is none.
        TypeError: `chosen` is a single text.

    Example:
        >>> [word.name for word in words_of("a red fox, and a red cat")]
        ['a', 'red', 'fox', 'and', 'a (2)', 'red (2)', 'cat']
        >>> [word.spans for word in words_of("a red fox, and a red cat", ["red", "a red cat"])]
        [((2, 5), (17, 20)), ((15, 24),)]
    """
    if chosen is not None:
        return _chosen(prompt, chosen)
    found, seen = [], Counter[str]()
    for match in (_WEIGHTED if weighted else _WORD).finditer(prompt):
        text = match[0]
        core = text.strip(MARKS)
        if not core:
            continue
        start = match.start() + text.index(core)
        seen[core.lower()] += 1
        times = seen[core.lower()]
        name = f"{core} ({times})" if times > 1 else core
        found.append(Word(name, ((start, start + len(core)),), (match.span(),)))
    if not found:
        raise ValueError(f"There is no word in the prompt {prompt!r}.")
    return found


def _chosen(prompt: str, chosen: Iterable[str]) -> list[Word]:
    if isinstance(chosen, str):
        raise TypeError(f"words is {chosen!r}: give a list, such as [{chosen!r}].")
    found: list[Word] = []
    for each in chosen:
        if not isinstance(each, str):
            raise TypeError(f"words holds {each!r}: give texts.")
        text = each.strip()
        spans = tuple(_places(prompt, text)) if text else ()
        if not spans:
            raise ValueError(f"{each!r} is not in the prompt {prompt!r}: give words of it.")
        if any(text.lower() == word.name.lower() for word in found):
            raise ValueError(f"words holds {text!r} twice: give it once.")
        found.append(Word(text, spans, spans))
    if not found:
        raise ValueError("words is an empty list: give at least one, or None for all of them.")
    return found


def _places(prompt: str, text: str) -> list[tuple[int, int]]:
    """Where a text stands as whole words; within a line without spaces, as Chinese is, anywhere."""
    before = "" if _is_wide(text[0]) or not text[0].isalnum() else r"(?<!\w)"
    after = "" if _is_wide(text[-1]) or not text[-1].isalnum() else r"(?!\w)"
    pattern = r"\s+".join(map(re.escape, text.split()))
    found = re.finditer(f"{before}{pattern}{after}", prompt, re.IGNORECASE)
    return [match.span() for match in found]


def _is_wide(letter: str) -> bool:
    return unicodedata.east_asian_width(letter) in "WF"


def without(prompt: str, word: Word) -> str:
    """The prompt without a word, and without the comma that nothing follows any more.

    Example:
        >>> fox, oil = words_of("a fox, oil painting, at night", ["fox", "oil painting"])
        >>> without("a fox, oil painting, at night", fox)
        'a, oil painting, at night'
        >>> without("a fox, oil painting, at night", oil)
        'a fox, at night'
    """
    for start, end in reversed(word.whole):
        spaced = prompt[:start][-1:].isspace() or prompt[end:][:1].isspace()
        left, right = prompt[:start].rstrip(), prompt[end:].lstrip()
        if not left or left[-1] in ",;:":
            right = right.lstrip(",;: ")
        if not right:
            left = left.rstrip(",;: ")
        joint = " " if spaced and left and right and right[0] not in ",.;:!?)" else ""
        prompt = left + joint + right
    return prompt


__all__ = ["Word", "without", "words_of"]
