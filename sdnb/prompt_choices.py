r"""Choices in a prompt: "a {red|blue} fox" is two prompts.

The form is that of the web UI's dynamic prompts; `\{`, `\|` and `\}` are the signs themselves, and
braces without a | between them are plain text.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

_GROUP = re.compile(r"(?<!\\)\{((?:\\.|[^{}\\])*)(?<!\\)\}", re.DOTALL)
_BAR = re.compile(r"(?<!\\)\|")
_ESCAPED = re.compile(r"\\([{|}])")


def groups(prompt: str) -> list[list[str]]:
    r"""The choices of each group in braces, in order; none where there is no group.

    An empty choice leaves the place empty.

    Raises:
        ValueError: a group is within another, or a choice stands twice in one.

    Example:
        >>> groups("a {red|blue} {fox|cat}"), groups(r"a \{red|blue\} fox"), groups("a {fox}")
        ([['red', 'blue'], ['fox', 'cat']], [], [])
    """
    _check(prompt)
    found = [[choice.strip() for choice in _BAR.split(match[1])] for match in _matches(prompt)]
    for choices in found:
        for choice in choices:
            if choices.count(choice) > 1:
                raise ValueError(
                    f"The prompt has the choice {choice!r} twice in {{{'|'.join(choices)}}}: give "
                    "each once."
                )
    return found


def chosen(prompt: str, choices: Sequence[str]) -> str:
    r"""The prompt with one choice for each of its groups, and without the escapes.

    Example:
        >>> chosen(r"a {red|blue} fox \{here\}", ["blue"])
        'a blue fox {here}'
        >>> chosen("a {|small} fox", [""]), chosen("a {red|blue}{|ish} fox", ["red", ""])
        ('a fox', 'a red fox')
    """
    parts: list[str] = []
    end = 0
    for match, choice in zip(_matches(prompt), choices):
        parts.append(prompt[end : match.start()])
        end, text = match.end(), "".join(parts)
        if not choice and (not text or text[-1].isspace()) and prompt[end : end + 1] == " ":
            end += 1  # not two spaces where nothing stands between them
        parts.append(choice)
    return _ESCAPED.sub(r"\1", "".join([*parts, prompt[end:]]))


def every(prompt: str) -> list[str]:
    """All prompts of the choices; the first group runs fastest.

    Example:
        >>> every("a {red|blue} {fox|cat}")
        ['a red fox', 'a blue fox', 'a red cat', 'a blue cat']
    """
    return [chosen(prompt, each[::-1]) for each in itertools.product(*groups(prompt)[::-1])]


def _matches(prompt: str) -> list[re.Match[str]]:
    return [match for match in _GROUP.finditer(prompt) if _BAR.search(match[1])]


def _check(prompt: str) -> None:
    """Raises ValueError where braces with a | between them hold others, or stand in others."""
    depth, nested, bar = 0, False, False
    for sign in re.findall(r"\\.|[{}|]", prompt, re.DOTALL):
        depth += (sign == "{") - (sign == "}" and depth > 0)
        nested = depth > 1 or (nested and depth > 0)
        bar = depth > 0 and (bar or sign == "|")
        if nested and bar:
            raise ValueError(
                f"The prompt {prompt!r} has braces within braces: choices such as {{red|blue}} "
                r"cannot be nested. Write \{ and \} for the signs themselves."
            )


__all__ = ["chosen", "every", "groups"]
