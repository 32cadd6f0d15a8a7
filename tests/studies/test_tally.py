"""Which of two is better: how often the answer is wrong, and how soon it comes."""

import functools
import math
import random

import numpy as np
import pytest
from scipy import integrate, stats

from sdnb.studies.duel import LOOK, decided_after
from sdnb.studies.tally import ERROR, Tally


def rounds(chance, rate, pairs=200):
    """Pairs of scores, as a duel's rounds bring them: the first is better so often."""
    scores = [(1, 0) if chance.random() < rate else (0, 1) for _ in range(pairs)]
    return [scores[i : i + LOOK] for i in range(0, pairs, LOOK)]


def duels(rate, number=1000):
    """What so many duels found: their tallies."""
    chance = random.Random(510)
    found = []
    for _ in range(number):
        *_, last = decided_after(rounds(chance, rate))
        found.append(last)
    return found


def test_of_1000_duels_of_equals_at_most_5_in_100_find_a_difference():
    found = duels(0.5)
    wrong = sum(tally.decided for tally in found)
    assert wrong <= 50
    assert all(tally.pairs == 200 for tally in found if not tally.decided)


def test_looking_again_and_again_with_the_ordinary_test_would_not_hold_that():
    @functools.cache
    def decided(wins, pairs):
        return Tally(wins, pairs - wins, fixed=True).decided

    chance, wrong = random.Random(510), 0
    for _ in range(1000):
        wins = [a for each in rounds(chance, 0.5) for a, _ in each]
        wrong += any(decided(sum(wins[:n]), n) for n in range(LOOK, 201, LOOK))
    assert wrong > 150


def test_a_worse_one_is_found_and_sooner_the_worse_it_is():
    pairs = {}
    for rate in (0.75, 0.9):
        found = duels(rate, 300)
        assert sum(tally.decided and tally.rate > 0.5 for tally in found) >= 294
        pairs[rate] = float(np.mean([tally.pairs for tally in found]))
    assert 8 <= pairs[0.9] < 20 < pairs[0.75] < 50


def test_the_interval_holds_at_every_moment_at_once():
    @functools.cache
    def holds(wins, pairs):
        low, high = Tally(wins, pairs - wins).interval
        return low <= rate <= high

    chance, missed, rate = random.Random(1), 0, 0.7
    for _ in range(300):
        wins = np.cumsum([chance.random() < rate for _ in range(100)])
        missed += not all(holds(int(wins[n - 1]), n) for n in range(10, 101, 10))
    assert missed <= 0.05 * 300


@pytest.mark.parametrize(("wins", "losses"), [(31, 9), (8, 0), (0, 9), (20, 20), (7, 3)])
def test_p_is_the_ratio_of_likelihoods_with_the_rate_averaged_out(wins, losses):
    """As SciPy integrates it; and 1/2 lies outside of the interval just where it is decided."""
    n = wins + losses
    averaged, _ = integrate.quad(lambda rate: stats.binom.pmf(wins, n, rate), 0, 1)
    tally = Tally(wins, losses)
    assert tally.p == pytest.approx(min(1, stats.binom.pmf(wins, n, 0.5) / averaged), rel=1e-6)
    low, high = tally.interval
    assert (not low <= 0.5 <= high) == tally.decided == (tally.p <= ERROR)
    assert low <= tally.rate <= high


def test_with_a_fixed_number_of_pairs_it_is_the_exact_sign_test():
    assert Tally(31, 9, 4, fixed=True).p == stats.binomtest(31, 40).pvalue
    assert Tally(31, 9, fixed=True).interval == pytest.approx(
        tuple(stats.binomtest(31, 40).proportion_ci(method="wilson"))
    )


def test_ties_do_not_count():
    assert Tally.of([(1, 1)] * 9).p == 1
    assert math.isnan(Tally(ties=9).rate)
    assert Tally(9, 1, 50).p == Tally(9, 1).p


def test_thousands_of_pairs_do_not_overflow():
    assert Tally(4000, 3000).p < 1e-20
    assert 0.54 < Tally(4000, 3000).interval[0] < 0.5715


def test_how_many_pairs_are_needed_at_least():
    assert Tally().least == 8
    assert Tally(fixed=True).least == 6
