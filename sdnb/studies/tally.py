"""Tally: in how many pairs one of two was better, and whether that may be luck."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from scipy import optimize, stats

from sdnb import counting

ERROR = 0.05  # how often a difference may be claimed where there is none


@dataclass(frozen=True)
class Tally:
    """Pairs in which the first was better, in which the second, and in which neither.

    Ties say nothing of which is better, so the sign test leaves them out
    (https://doi.org/10.1080/01621459.1946.10501898).

    Whoever looks at pairs as they come and stops when p is under 0.05 is wrong far more often than
    5 times in 100. So p and interval hold here at every moment at once, whenever and for whatever
    reason one stops: they come from a prior-posterior-ratio martingale, with a uniform prior
    (https://arxiv.org/abs/2006.04347; the idea is Robbins', https://doi.org/10.1214/aoms/1177696786).
    That costs some width. Where the number of pairs was `fixed` beforehand, and all of them count,
    it is the ordinary exact sign test and Wilson's interval.

    Attributes:
        wins, losses, ties: numbers of pairs.
        fixed: whether the number of pairs was set beforehand.

    Example:
        >>> seen = Tally(31, 9, fixed=True)
        >>> f"{seen.rate:.0%} ({seen.interval[0]:.0%} to {seen.interval[1]:.0%}), p = {seen.p:.2g}"
        '78% (62% to 88%), p = 0.00068'
        >>> seen = Tally(31, 9)
        >>> f"{seen.rate:.0%} ({seen.interval[0]:.0%} to {seen.interval[1]:.0%}), p = {seen.p:.2g}"
        '78% (54% to 93%), p = 0.01'
    """

    wins: int = 0
    losses: int = 0
    ties: int = 0
    fixed: bool = False

    @classmethod
    def of(cls, scores: Iterable[tuple[float, float]], fixed: bool = False) -> Tally:
        """Counts pairs of scores, of which the higher is the better.

        Arguments:
            scores: (of the first, of the second), one for each pair; equal ones are a tie.
            fixed: whether the number of pairs was set before, and did not depend on the scores.

        Example:
            >>> Tally.of([(1, 0), (2, 1), (0, 0)])
            Tally(wins=2, losses=0, ties=1, fixed=False)
        """
        signs = [(a > b) - (a < b) for a, b in scores]
        return cls(signs.count(1), signs.count(-1), signs.count(0), fixed)

    @property
    def pairs(self) -> int:
        """Pairs that count: without ties."""
        return self.wins + self.losses

    @property
    def rate(self) -> float:
        """The share of pairs, without ties, in which the first was better; NaN without any."""
        return self.wins / self.pairs if self.pairs else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % confidence interval of the rate: (low, high), 0 to 1."""
        if not self.pairs:
            return 0.0, 1.0
        if self.fixed:
            return counting.interval(self.wins, self.pairs)

        def above(rate: float) -> float:
            return float((self.pairs + 1) * stats.binom.pmf(self.wins, self.pairs, rate)) - ERROR

        middle = self.rate  # here it is highest, and over 0: it is 1 on the average
        low = optimize.brentq(above, 0.0, middle) if self.wins else 0.0
        high = optimize.brentq(above, middle, 1.0) if self.losses else 1.0
        return float(low), float(high)

    @property
    def p(self) -> float:
        """The p-value: how often two equals would differ at least so much, at most; 0 to 1."""
        if not self.pairs:
            return 1.0
        if self.fixed:
            return float(stats.binomtest(self.wins, self.pairs).pvalue)
        # whole numbers, so that thousands of pairs do not overflow
        return min(1.0, (self.pairs + 1) * math.comb(self.pairs, self.wins) / 2**self.pairs)

    @property
    def decided(self) -> bool:
        """Whether p is at most 0.05."""
        return self.p <= ERROR

    @property
    def least(self) -> int:
        """How many pairs are needed to decide where all of them agree."""
        wins = 1
        while not Tally(wins, fixed=self.fixed).decided:
            wins += 1
        return wins


def in_words(p: float) -> str:
    """How a p reads in a sentence.

    Example:
        >>> in_words(0.00068), in_words(0.63), in_words(1e-9)
        ('p = 0.0007', 'p = 0.6', 'p < 0.0001')
    """
    return "p < 0.0001" if p < 0.0001 else f"p = {float(f'{p:.1g}'):g}"
