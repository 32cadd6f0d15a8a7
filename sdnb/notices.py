"""What the user should know: sentences, through the `sdnb` log."""

from __future__ import annotations

import logging
import sys

log = logging.getLogger("sdnb")


def notice(text: str) -> None:
    """Says something that the user should know.

    Where nobody has set up logging it is shown on stderr; in a notebook, which paints stderr red
    like an error, on stdout.
    """
    if not log.handlers and not logging.getLogger().handlers:
        handler = logging.StreamHandler(sys.stdout if "ipykernel" in sys.modules else sys.stderr)
        handler.setFormatter(logging.Formatter("%(message)s"))
        log.addHandler(handler)
    if log.level == logging.NOTSET:
        log.setLevel(logging.INFO)
    log.info(text)
