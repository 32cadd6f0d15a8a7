"""The moment between a press and reading the controls: until no change comes any more.

A press can overtake the changes before it: the page holds one back while the one before it is on
its way, and a kernel with subshells reads the two in different threads.
"""

from __future__ import annotations

import time

from sdnb.widgets.job_thread import Check, Job

SETTLE = 0.1  # seconds without a change, from a press to reading the controls
TYPING = 0.5  # likewise from a change of a text
CEILING = 1.0  # seconds that either takes at most


class Quiet:
    """Knows when a control of its panel changed last."""

    def __init__(self) -> None:
        self._changed_at = 0.0  # seconds, of `time.monotonic`

    def changed(self) -> None:
        """To be called at each change."""
        self._changed_at = time.monotonic()

    def before(self, job: Job, typing: bool) -> Job:
        """The job, with the wait that begins now before it; a longer one while a text is typed."""
        pressed = time.monotonic()
        quiet = TYPING if typing else SETTLE

        def settled(check: Check) -> None:
            ends = pressed + CEILING
            while time.monotonic() < min(ends, max(pressed, self._changed_at) + quiet):
                check()
                time.sleep(0.01)
            check()
            job(check)

        return settled
