"""Ray itself on this machine: started, kept silent, never left half started by Ctrl-C."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

import psutil


def start(**options: Any) -> None:
    """`ray.init`, and where that times out once more: on a busy machine its 30 seconds are few."""
    import ray

    me = psutil.Process()
    for more in (True, False):
        there = me.children(recursive=True)
        try:
            with uninterrupted():
                ray.init(**options)
            return
        except Exception as error:
            for process in set(me.children(recursive=True)) - set(there):
                with suppress(psutil.Error):
                    if any("/ray/" in word for word in process.cmdline()):  # none of the user's
                        process.kill()
            if not (more and "timed out during startup" in str(error)):
                raise


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C waits for the end of the block: Ray that is half started, or half ended, would stay.

    Python calls handlers in the main thread alone.
    """
    usual = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(usual):
        yield
        return
    came: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda *given: came.append(given))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
        if came:
            usual(*came[-1])


@contextmanager
def silent() -> Iterator[None]:
    """Ray starts, and its C++ part keeps to what is fatal.

    It logs each of Ray Data's own workers as an error, and, where that is switched off, that it is:
    https://github.com/ray-project/ray/issues/53727.
    """
    name = "RAY_BACKEND_LOG_LEVEL"
    if name in os.environ:  # the user wants the log
        yield
        return
    os.environ[name] = "fatal"
    sys.stderr.flush()
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)
        del os.environ[name]


@contextmanager
def quiet() -> Iterator[None]:
    """Ray Data's log goes to its file alone: what fails is raised, or noted in its picture."""
    handlers = logging.getLogger("ray.data").handlers
    screens = [handler for handler in handlers if isinstance(handler, logging.StreamHandler)]
    levels = [screen.level for screen in screens]
    for screen in screens:
        screen.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for screen, level in zip(screens, levels):
            screen.setLevel(level)
