"""Worker: one thread that does what was asked for last, and can be stopped."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable

LEAVE = 10  # seconds that a program waits for its last denoiser step when it ends

Check = Callable[[], None]
Job = Callable[[Check], None]


class Stopped(BaseException):
    """Ends a job from within, as Ctrl-C would; no `except Exception` on the way takes it.

    Attributes:
        newer: whether another job waits in its place.
    """

    def __init__(self, newer: bool = False) -> None:
        super().__init__()
        self.newer = newer


class Worker:
    """Does one job at a time; a new one stops the running one, and takes the place of a waiting.

    A job is called with a function that it calls often: that one raises `Stopped` when the job is
    to end. When the program ends, so does the running job.

    Arguments:
        inline: without a thread: `submit` does the job itself, and Ctrl-C stops it.

    Example:
        >>> done = []
        >>> worker = Worker(inline=True)
        >>> worker.submit(lambda check: done.append("one"))
        >>> done, worker.busy
        (['one'], False)
    """

    def __init__(self, inline: bool = False) -> None:
        self.inline = inline
        self._state = threading.Condition()
        self._next: Job | None = None
        self._running = False
        self._stop = False
        self._closed = False
        self._thread: threading.Thread | None = None

    @property
    def busy(self) -> bool:
        """Whether a job runs or waits."""
        return self._running or self._next is not None

    def submit(self, job: Job) -> None:
        """Has a job done; nothing else is kept waiting. A closed worker does nothing."""
        with self._state:
            if self._closed:
                return
            self._next, self._stop = job, True
            if self._thread is None and not self.inline:
                self._thread = threading.Thread(target=self._loop, name="sdnb panel", daemon=True)
                self._thread.start()
                # Python would end it within torch, which then aborts the whole program
                atexit.register(self._leave)
            self._state.notify_all()
        if self.inline and not self._running:
            self._once()

    def stop(self) -> None:
        """Ends the running job at its next check, and forgets the waiting one."""
        with self._state:
            self._next, self._stop = None, True

    def close(self) -> None:
        """Stops for good; the thread ends."""
        with self._state:
            self._closed = True
            self._next, self._stop = None, True
            self._state.notify_all()
        atexit.unregister(self._leave)

    def _leave(self) -> None:
        self.close()
        if self._thread is not None:
            self._thread.join(LEAVE)

    def wait(self, seconds: float) -> bool:
        """Waits until nothing runs and nothing waits; whether that came in time."""
        with self._state:
            return self._state.wait_for(lambda: not self.busy, seconds)

    def _loop(self) -> None:
        while True:
            with self._state:
                self._state.wait_for(lambda: self._next is not None or self._closed)
                if self._closed:
                    return
            self._once()

    def _once(self) -> None:
        with self._state:
            job, self._next = self._next, None
            if job is None:
                return
            self._running, self._stop = True, False
        try:
            job(self._check)
        except Stopped:
            pass  # it has ended, as it was to
        finally:
            with self._state:
                self._running = False
                self._state.notify_all()

    def _check(self) -> None:
        with self._state:
            if self._stop:
                raise Stopped(newer=self._next is not None)
