"""The real denoiser's calls, watched from outside: a hook would make it another pipeline."""

from contextlib import contextmanager
from unittest.mock import patch

from sdnb.models.denoiser import denoiser_of
from sdnb.sweeps import batched_calls


@contextmanager
def watched(pipe, before=lambda: None, after=lambda answers: None):
    """`before` is called before each denoiser call, `after` with its answers, one for each run."""
    plain = batched_calls.make

    def make(calls, *kept):
        if calls[0].module is not denoiser_of(pipe):
            return plain(calls, *kept)
        before()
        answers = plain(calls, *kept)
        after(answers)
        return answers

    with patch.object(batched_calls, "make", make):
        yield
