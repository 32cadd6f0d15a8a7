"""A run in a greenlet of its own: it asks for a call and waits, or it has ended."""

from __future__ import annotations

import contextvars
import time
import traceback
from collections.abc import Callable
from typing import Any

from greenlet import getcurrent, greenlet

from sdnb.sweeps.batched_calls import Call


class Run:
    """Calls a function that can stop in the middle.

    It is made first and started then, so that its owner knows it before there is anything to stop.

    Arguments:
        index: which of the runs it is.
        body: the function.
        arguments: what it is called with.

    Attributes:
        part, call: while it waits: what it wants to be called, and with which inputs.
        result: once it has `ended`: what it returned, or the exception that it raised.
        apart: why its calls are not to be merged; empty where they are.
        seconds: spent in it, and as its share of merged calls.

    Example:
        >>> run = Run(0, lambda x: 1 + ask("denoiser", x), "inputs")
        >>> run.start()
        >>> run.part, run.call, run.ended
        ('denoiser', 'inputs', False)
        >>> run.go_on(41)
        >>> run.ended, run.result
        (True, 42)
    """

    part: str
    call: Call
    result: Any

    def __init__(self, index: int, body: Callable[..., Any], *arguments: Any) -> None:
        import torch

        def whole() -> Any:
            try:
                return body(*arguments)
            except Exception as error:
                traceback.clear_frames(error.__traceback__)  # a sheet may keep the error for long
                return error

        self.index = index
        self.apart = ""
        self.seconds = 0.0
        self._greenlet = greenlet(whole)
        # by its context a kernel knows the cell that prints, or moves a progress bar
        self._greenlet.gr_context = contextvars.copy_context()
        self._gradients = torch.is_grad_enabled()

    @property
    def ended(self) -> bool:
        """Whether there is a result."""
        return self._greenlet.dead

    def start(self) -> None:
        """Lets it run until it asks for its first call, or ends."""
        self._switch(self._greenlet.switch)

    def go_on(self, answer: Any) -> None:
        """Lets it run with the answer to its call, until it asks for the next, or ends."""
        self._switch(self._greenlet.switch, answer)

    def fail(self, error: Exception) -> None:
        """Likewise, with an error in the place of the answer."""
        self._switch(self._greenlet.throw, error)

    def stop(self) -> None:
        """Ends it by GreenletExit, so that it cleans up after itself."""
        self._switch(self._greenlet.throw)

    def _switch(self, into: Callable[..., Any], *arguments: Any) -> None:
        import torch

        # a pipeline turns gradients off for the whole thread, which all runs share
        outside, started = torch.is_grad_enabled(), time.perf_counter()
        try:
            torch.set_grad_enabled(self._gradients)
            said = into(*arguments)
        finally:
            self._gradients = torch.is_grad_enabled()
            torch.set_grad_enabled(outside)
            self.seconds += time.perf_counter() - started
        if self.ended:
            self.result = said
        else:
            self.part, self.call = said


def ask(part: str, call: Call) -> Any:
    """Stops the run that calls this until its call is answered; returns the answer."""
    return getcurrent().parent.switch((part, call))


__all__ = ["Run", "ask"]
