"""The front end: whether widgets can be shown, whether it is Colab, which cell runs."""

from __future__ import annotations

import sys
from typing import Any

from sdnb import interactive


def shows_widgets() -> bool:
    """Whether a person sits at a notebook; not in a terminal, nor where a program runs it."""
    return "ipykernel" in sys.modules and interactive.someone_can_answer()


def in_colab() -> bool:
    """Whether this is Google Colab, where widgets change only while a callback runs."""
    return "google.colab" in sys.modules


def cell() -> tuple[str, str]:
    """The running cell, and which run of it this is; two empty texts outside a notebook.

    A cell is known by the id that the front end sends with it, or else by its text.
    """
    if "ipykernel" not in sys.modules:
        return "", ""
    from IPython import get_ipython

    kernel = getattr(get_ipython(), "kernel", None)
    if kernel is None:
        return "", ""
    request: dict[str, Any] = kernel.get_parent("shell")
    name = request.get("metadata", {}).get("cellId") or request.get("content", {}).get("code", "")
    return str(name), str(request.get("header", {}).get("msg_id", ""))
