"""The words of a prompt: where each stands, and the prompt without it."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

MARKS = ".,;:!?\"'()[]{}<>“”‘’«»"  # at a word's ends: no part of its name
ENDS = ",.;:!? "  # the same where a word has compel's groups, whose brackets belong together
# an escaped sign, a quoted text, a bracket
_SIGNS = re.compile(r'\\.|"(?:\\.|[^"\\])*"|[()]', re.DOTALL)


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
        weighted: whether the prompt is compel's: a group in brackets or quotes, with its weight, is
            one word.

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
    groups = _groups(prompt) if weighted else {}
    marks = MARKS + " \\" * weighted
    for whole in _pieces(prompt, groups):
        start, end = _core(prompt, whole, groups, marks)
        if start == end:
            continue
        core = prompt[start:end]
        seen[core.lower()] += 1
        times = seen[core.lower()]
        name = f"{core} ({times})" if times > 1 else core
        found.append(Word(name, ((start, end),), (whole,)))
    if not found:
        raise ValueError(f"There is no word in the prompt {prompt!r}.")
    return found


def _groups(prompt: str) -> dict[int, int]:
    """Where compel's groups begin -> where they end; a bracket without its other is a letter."""
    ends: dict[int, int] = {}
    begun: list[int] = []
    for sign in _SIGNS.finditer(prompt):
        if sign[0] == "(":
            begun.append(sign.start())
        elif sign[0][0] == '"':
            ends[sign.start()] = sign.end()
        elif sign[0] == ")" and begun:
            ends[begun.pop()] = sign.end()
    return ends


def _pieces(prompt: str, groups: dict[int, int]) -> Iterator[tuple[int, int]]:
    """From where to where there is no space, but in groups."""
    at = 0
    while at < len(prompt):
        start = at
        while at < len(prompt) and not prompt[at].isspace():
            at = groups.get(at, at + 1)
        if at > start:
            yield start, at
        at += 1


def _core(
    prompt: str, whole: tuple[int, int], groups: dict[int, int], marks: str
) -> tuple[int, int]:
    """Where a word's name is: without the marks around it, and without brackets of no weight."""
    start, end = whole
    while True:
        grouped = any(start <= each < end for each in groups)
        gone = ENDS if grouped else marks
        start = end - len(prompt[start:end].lstrip(gone))
        end = start + len(prompt[start:end].rstrip(gone))
        if groups.get(start) != end:
            return start, end
        start, end = start + 1, end - 1


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
