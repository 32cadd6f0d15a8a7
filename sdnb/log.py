"""Notices to the user, through the `sdnb` logger; and the libraries' own logs kept quiet."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

log = logging.getLogger("sdnb")
_verbosity_lock = threading.RLock()  # what one thread has quieted, another is not to take for usual
_said: set[Hashable] = set()  # what `is_first` was asked
_said_of: WeakKeyDictionary[Any, set[Hashable]] = WeakKeyDictionary()  # of an object


def notice(text: str) -> None:
    """Logs a sentence that the user should know.

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


def notice_once(text: str, about: Any = None) -> None:
    """Logs a sentence the first time only: in this process, or of that object."""
    if is_first(text, about):
        notice(text)


def is_first(key: Hashable, about: Any = None) -> bool:
    """Whether this is asked for the first time, so that what follows from it is logged once.

    Arguments:
        key: what is to be logged, or what it is about.
        about: an object of which each has its own first time; None: once in this process.

    Example:
        >>> is_first("an example"), is_first("an example")
        (True, False)
    """
    said = _said if about is None else _said_of.setdefault(about, set())
    before = len(said)
    said.add(key)
    return len(said) > before


@contextmanager
def quiet(warnings: bool) -> Iterator[None]:
    """Silences what the libraries log about loading, and their bars: it concerns nobody.

    Loading from disk takes seconds and needs no bars. With `warnings` no warnings are shown
    either: of the embedded model it is known that its VAE is a small one and that torchvision is
    not needed.
    """
    import diffusers
    import transformers

    with _verbosity_lock:
        logs = [diffusers.utils.logging, transformers.utils.logging]
        levels = [each.get_verbosity() for each in logs]
        shown = [each for each in logs if each.is_progress_bar_enabled()]
        for each in shown:
            each.disable_progress_bar()
        for each in logs if warnings else []:
            each.set_verbosity_error()
        try:
            yield
        finally:
            for each, level in zip(logs, levels):
                each.set_verbosity(level)
            for each in shown:
                each.enable_progress_bar()


@contextmanager
def notices_to(say: Callable[[str], object]) -> Iterator[None]:
    """Notices of this thread go to `say` while the block runs, and nowhere else."""
    mine = threading.get_ident()

    def told(record: logging.LogRecord) -> bool:
        if record.thread == mine:
            say(record.getMessage())
        return record.thread != mine

    log.addFilter(told)
    try:
        yield
    finally:
        log.removeFilter(told)
