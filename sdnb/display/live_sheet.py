"""A sheet that fills in while it is made, in a notebook that a person looks at."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from sdnb import interactive

EVERY = 0.5  # seconds between two updates, at least
SHARE = 10  # of the time at most one in so many goes into them: large sheets take seconds to draw


class Live:
    """Shows a sheet again and again while a block runs, and takes it away at the end.

    Nothing is shown outside a notebook, for a single picture, or where a program runs the
    notebook: there only the result stays.

    Arguments:
        cells: how many pictures there will be.
        sheet: gives the sheet as far as it is made.
    """

    def __init__(self, cells: int, sheet: Callable[[], Any]) -> None:
        self.wanted = cells > 1 and "ipykernel" in sys.modules and interactive.someone_can_answer()
        self.sheet = sheet
        self.shown: Any = None
        self.next = 0.0  # seconds on the monotonic clock

    def __enter__(self) -> Live:
        return self

    def update(self) -> None:
        """Shows the sheet as it is now, unless that was just done."""
        started = time.monotonic()
        if not self.wanted or started < self.next:
            return
        from IPython.display import display

        if self.shown is None:
            self.shown = display(self.sheet(), display_id=True)
        else:
            self.shown.update(self.sheet())
        self.next = started + max(EVERY, SHARE * (time.monotonic() - started))

    def __exit__(self, *_: object) -> None:
        if self.shown is not None:
            self.shown.update({"text/plain": ""}, raw=True)
