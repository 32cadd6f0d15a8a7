"""Whether a person is there to answer: at a notebook or a terminal, not where a program runs it."""

from __future__ import annotations

import os
import sys


def someone_can_answer() -> bool:
    """Whether a person sits at the notebook or the terminal; not where a program runs it."""
    if "CI" in os.environ:
        return False
    if "ipykernel" in sys.modules:
        from IPython import get_ipython

        # what a front end says with every cell: nbclient, nbval and papermill say no
        return bool(getattr(getattr(get_ipython(), "kernel", None), "_allow_stdin", False))
    return sys.stdin is not None and sys.stdin.isatty()
