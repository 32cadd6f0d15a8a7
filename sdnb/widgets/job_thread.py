"""A thread that does the job that was asked for last, and can be stopped.

Stop in the panel is `JobThread.stop`, which sets a flag. It takes effect where the job next calls
its `check`: after a denoiser call (`Progress.on_call`, called by a hook of
`generation.watched_call`), and while it waits for the model's lock (`model_lock.waited`).
"""

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


def _raised(error: BaseException | None) -> None:
    if isinstance(error, Exception):
        raise error


class JobThread:
    """Does one job at a time; a new one stops the running, and takes the place of a waiting one.

    A job is called with a function that it calls often: that one raises `Stopped` when the job is
    to end. A lasting job is ended by `stop` alone, and only another lasting one takes its place.
    When the program ends, so does the running job.

    Arguments:
        inline: without a thread: `submit` does the job itself, and Ctrl-C stops it.
        ended: called after each job, in its thread, with what the job raised; None for nothing.

    Example:
        >>> done = []
        >>> worker = JobThread(inline=True)
        >>> worker.submit(lambda check: done.append("one"))
        >>> done, worker.busy
        (['one'], False)
    """

    def __init__(
        self, inline: bool = False, ended: Callable[[BaseException | None], object] = _raised
    ) -> None:
        self.inline = inline
        self._ended = ended
        self._state = threading.Condition()
        self._waiting: list[tuple[Job, bool]] = []  # with whether they are lasting
        self._running = self._lasting = self._stop = False
        self._closed = False
        self._thread: threading.Thread | None = None

    @property
    def busy(self) -> bool:
        """Whether a job runs or waits."""
        return self._running or bool(self._waiting)

    def submit(self, job: Job, lasting: bool = False) -> None:
        """Has a job done; only a lasting one is kept waiting too. A closed worker does nothing."""
        with self._state:
            if self._closed:
                return
            kept = [each for each in self._waiting if each[1] and not lasting]
            self._waiting = [*kept, (job, lasting)]
            self._stop = self._stop or not self._lasting
            if not self.inline and not (self._thread and self._thread.is_alive()):
                self._thread = threading.Thread(target=self._loop, name="sdnb panel", daemon=True)
                self._thread.start()
                # Python would end it within torch, which then aborts the whole program
                atexit.register(self._leave)
            self._state.notify_all()
        while self.inline and self._waiting and not self._running:
            self._once()

    def stop(self) -> bool:
        """Ends the running job at its next check, and forgets what waits; whether any did."""
        with self._state:
            waited, self._waiting = bool(self._waiting), []
            self._stop = True
        return waited

    def close(self) -> None:
        """Stops for good; the thread ends."""
        with self._state:
            self._closed = self._stop = True
            self._waiting = []
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
                self._state.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
            self._once()

    def _once(self) -> None:
        with self._state:
            if not self._waiting:
                return
            job, self._lasting = self._waiting.pop(0)
            self._running, self._stop = True, False
        error: BaseException | None = None
        try:
            job(self._check)
        except (Stopped, KeyboardInterrupt, Exception) as raised:
            error = raised
        finally:
            try:
                self._ended(error)
            finally:
                with self._state:
                    self._running = self._lasting = False
                    self._state.notify_all()

    def _check(self) -> None:
        with self._state:
            if self._stop:
                raise Stopped(newer=bool(self._waiting))
