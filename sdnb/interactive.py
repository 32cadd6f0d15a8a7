"""Whether a person is there to answer, and what their console can show."""

from __future__ import annotations

import io
import os
import sys

from sdnb import compat


def someone_can_answer() -> bool:
    """Whether a person sits at the notebook or the terminal; not where a program runs it."""
    if os.environ.get("CI", "").lower() not in ("", "0", "false", "no"):
        return False
    if "ipykernel" in sys.modules:
        return compat.allows_input()
    return sys.stdin is not None and sys.stdin.isatty()


def escape_what_the_console_lacks() -> None:
    """Lets a program print every letter: those that the console does not have, as escapes.

    Windows' consoles and pipes have a few hundred letters (code page 1252), the C locale has 128.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
