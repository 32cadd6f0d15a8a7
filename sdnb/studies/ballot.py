"""Ballot: votes on pairs by somebody who does not know which is which, kept with the pictures."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from sdnb.log import notice
from sdnb.records.sample import Sample
from sdnb.studies.duel import Duel
from sdnb.studies.pairs import Pair
from sdnb.studies.tally import Tally

FILE = "votes.jsonl"  # in the store's folder, one vote a line
LEFT, RIGHT, SAME = "left", "right", "same"
_SCORES = {"a": (1.0, 0.0), "b": (0.0, 1.0), SAME: (0.5, 0.5)}


class Ballot:
    """Pairs that are voted on, one after another; which of two is on the left is drawn by lot.

    A vote is added to a file at once, by the hashes of both pictures, so that it counts again
    wherever the same two are compared: after a restart, or with the sides changed.

    Arguments:
        pairs: the pairs.
        sides: the names of the two.
        folder: of the file; None keeps no votes.

    Example:
        >>> from PIL import Image
        >>> from sdnb.settings import Settings
        >>> shades = [Sample(Image.new("L", (8, 8), n), Settings("a fox", seed=n)) for n in (0, 9)]
        >>> ballot = Ballot([Pair("seed 1", *shades)], ("DDIM", "PNDM"))
        >>> ballot.vote("same")
        >>> ballot.current is None, ballot.result.tally.ties
        (True, 1)
    """

    def __init__(
        self, pairs: Sequence[Pair], sides: tuple[str, str], folder: Path | None = None
    ) -> None:
        self.pairs, self.sides = list(pairs), sides
        self._file = folder / FILE if folder else None
        self._keys = [(_hash(pair.a), _hash(pair.b)) for pair in self.pairs]
        self._turned = [bool(secrets.randbelow(2)) for _ in self.pairs]  # b is on the left
        self._votes: dict[int, str] = {}  # pair -> "a", "b" or "same", in the order of the votes
        known = _read(self._file)
        places = {frozenset(key): i for i, key in enumerate(self._keys)}
        for pictures, better in known.items():
            if better and (i := places.get(pictures)) is not None:
                sides_of = dict(zip(self._keys[i], "ab"))
                self._votes[i] = sides_of.get(better, SAME)

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def voted(self) -> int:
        """How many pairs have a vote."""
        return len(self._votes)

    @property
    def current(self) -> int | None:
        """The index of the pair that comes next; None where all have a vote."""
        return next((i for i in range(len(self.pairs)) if i not in self._votes), None)

    def shown(self, i: int) -> tuple[Sample, Sample]:
        """The pictures of a pair, the left one first."""
        pair = self.pairs[i]
        return (pair.b, pair.a) if self._turned[i] else (pair.a, pair.b)

    def vote(self, better: str) -> None:
        """Says of the current pair which is better: "left", "right", or that they are the "same".

        Raises:
            ValueError: it is none of these, or all pairs have a vote.
        """
        if better not in (LEFT, RIGHT, SAME):
            raise ValueError(f"The vote is {better!r}: give 'left', 'right' or 'same'.")
        if (i := self.current) is None:
            raise ValueError(f"All {len(self)} pairs have a vote: undo one, or look at the result.")
        if better == SAME:
            self._votes[i] = SAME
        else:
            self._votes[i] = "b" if (better == LEFT) == self._turned[i] else "a"
        self._write(i)

    def undo(self) -> bool:
        """Takes the last vote back; whether there was one."""
        if not self._votes:
            return False
        i, _ = self._votes.popitem()
        self._write(i)
        return True

    @property
    def result(self) -> Duel:
        """What the votes say so far."""
        pairs = [replace(self.pairs[i], scores=_SCORES[vote]) for i, vote in self._votes.items()]
        left = len(self) - len(pairs)
        stopped = "That is the vote" if left else ""
        tally = Tally.of(pair.scores for pair in pairs)
        return Duel(*self.sides, pairs, tally, len(self), (), stopped, unit="")

    def _write(self, i: int) -> None:
        if self._file is None:
            return
        one, other = self._keys[i]
        better = {"a": one, "b": other, SAME: SAME}.get(self._votes.get(i, ""))
        pair = self.pairs[i]
        line = {
            "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "pictures": [one, other], "better": better, "left": self._keys[i][self._turned[i]],
            "settings": [pair.a.settings.to_dict(), pair.b.settings.to_dict()],
            "models": [pair.a.facts.get("model"), pair.b.facts.get("model")],
        }  # fmt: skip
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with open(self._file, "ab+") as file:
                end = file.seek(0, os.SEEK_END)
                file.seek(max(0, end - 1))
                torn = file.read(1) not in (b"", b"\n")  # by a process that was killed
                # one write, as other processes write too
                file.write(b"\n" * torn + json.dumps(line).encode() + b"\n")
        except OSError as error:
            notice(f"Votes count but are not kept in {self._file}: {error.strerror or error}.")
            self._file = None  # once is enough


def _read(file: Path | None) -> Mapping[frozenset[str], str | None]:
    """The last vote on each two pictures; None where it was taken back."""
    found: dict[frozenset[str], str | None] = {}
    if file is None or not file.is_file():
        return found
    for line in file.read_text("utf-8", errors="replace").splitlines():
        with suppress(ValueError, KeyError, TypeError):  # half a line: a process that was killed
            vote: dict[str, Any] = json.loads(line)
            one, other = vote["pictures"]
            found.pop(frozenset((one, other)), None)  # the order is that of the last votes
            found[frozenset((one, other))] = vote["better"]
    return found


def _hash(sample: Sample) -> str:
    image = sample.image
    return hashlib.sha256(f"{image.mode} {image.size}".encode() + image.tobytes()).hexdigest()
