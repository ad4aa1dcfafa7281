"""Whether two periods differ by more than chance: tests that need no tables and few cases."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

LEAST_EXPECTED = 5
"""Cases expected in a cell of a chi-squared test at the least (Cochran, 1954)."""
MOST_EXACT = 2000
"""Cases of a conditional binomial test that are still added up."""
LEAST_BASKETS = 8
"""Baskets of each period for the normal approximation of the rank test (Mann and Whitney, 1947)."""
LEAST_DIFFERENCES = 8
"""Pairs that differ at the least: with fewer, hardly any outcome is improbable."""
MOST_SUMMED = 25
"""Pairs of which every choice of signs is still counted."""


def frequency(before: int, now: int) -> float | None:
    """The p-value of two counts over equally long times having one rate: the conditional binomial test of Przyborowski
    and Wilenski (1940), two-sided. None without a case."""
    both = before + now
    if not both:
        return None
    tail, ways = 0, 1
    for k in range(min(before, now) + 1):
        tail += ways
        ways = ways * (both - k) // (k + 1)
    return min(1.0, 2 * tail / (1 << both))


def basket(before: Sequence[int], now: Sequence[int]) -> float | None:
    """The p-value of two sets of amounts being drawn alike: the rank-sum test of Mann and Whitney (1947), two-sided,
    normal with corrections for ties and continuity. None with fewer than 8 in one of them, or with all alike."""
    everything = sorted([*((amount, 0) for amount in before), *((amount, 1) for amount in now)])
    ranks, ties, place = 0.0, 0, 0
    for _, same in groupby(everything, key=lambda one: one[0]):
        group = [of for _, of in same]
        ranks += sum(of == 0 for of in group) * (place + (len(group) + 1) / 2)
        ties += len(group) ** 3 - len(group)
        place += len(group)
    n, m = len(before), len(now)
    if min(n, m) < LEAST_BASKETS:
        return None
    spread = n * m / 12 * (n + m + 1 - ties / ((n + m) * (n + m - 1)))
    if spread <= 0:
        return None
    distance = abs(ranks - n * (n + 1) / 2 - n * m / 2)
    return min(1.0, math.erfc(max(0.0, distance - 0.5) / math.sqrt(2 * spread)))


def signed_rank(differences: Iterable[float]) -> float | None:
    """The p-value of paired differences being as likely up as down: the signed-rank test of Wilcoxon (1945),
    two-sided, zeros dropped, equal sizes at the mean of their ranks.

    Exact up to 25 differences; beyond them normal, with the variance of these very ranks and a correction for
    continuity. None with fewer than 8.
    """
    sizes = sorted((abs(one), one > 0) for one in differences if one)
    if len(sizes) < LEAST_DIFFERENCES:
        return None
    # Twice the ranks: the mean of two places may be a half.
    ranks: list[int] = []
    rising = 0
    for _, same in groupby(sizes, key=lambda one: one[0]):
        group = [up for _, up in same]
        rank = 2 * len(ranks) + len(group) + 1
        ranks += [rank] * len(group)
        rising += rank * sum(group)
    distance = abs(2 * rising - sum(ranks))
    if len(ranks) <= MOST_SUMMED:
        ways = _ways(ranks)
        return sum(ways[k] for k in ways if abs(2 * k - sum(ranks)) >= distance) / (1 << len(ranks))
    return math.erfc(max(0, distance - 2) / math.sqrt(2 * sum(rank * rank for rank in ranks)))


def _ways(ranks: Sequence[int]) -> Counter[int]:
    ways = Counter({0: 1})
    for rank in ranks:
        ways += Counter({k + rank: n for k, n in ways.items()})
    return ways


def shares(before: Mapping[str, int], now: Mapping[str, int]) -> float | None:
    """The p-value of two sets of counts having the same shares: the chi-squared test of homogeneity of Pearson (1900).

    Names of which fewer than 5 cases are expected in a period are counted together, and left out where even together
    they are too few (Cochran, 1954). None where fewer than two names remain.
    """
    table = {name: (before.get(name, 0), now.get(name, 0)) for name in sorted(before.keys() | now.keys())}
    rare = [name for name, cases in table.items() if _is_rare(cases, table.values())]
    rest = (sum(table[name][0] for name in rare), sum(table[name][1] for name in rare))
    kept = [cases for name, cases in table.items() if name not in rare]
    if rare and not _is_rare(rest, [*kept, rest]):
        kept.append(rest)
    if len(kept) < 2 or any(_is_rare(cases, kept) for cases in kept):
        return None
    totals = [sum(cases[period] for cases in kept) for period in (0, 1)]
    statistic = 0.0
    for cases in kept:
        for case, total in zip(cases, totals, strict=True):
            expected = total * sum(cases) / sum(totals)
            statistic += (case - expected) ** 2 / expected
    return chi_squared_tail(statistic, len(kept) - 1)


def _is_rare(cases: tuple[int, int], all_cases: Iterable[tuple[int, int]]) -> bool:
    before = now = 0
    for one in all_cases:
        before, now = before + one[0], now + one[1]
    return sum(cases) * min(before, now) < LEAST_EXPECTED * (before + now)


def chi_squared_tail(x: float, freedom: int) -> float:
    """P(X >= x) of chi-squared with whole degrees of freedom (Abramowitz and Stegun, 1964, 26.4.4 and 26.4.5)."""
    half = x / 2
    if half <= 0:
        return 1.0
    tail = 0.0 if freedom % 2 == 0 else math.erfc(math.sqrt(half))
    first = 0.0 if freedom % 2 == 0 else 0.5
    return min(
        1.0,
        tail
        + sum(
            math.exp(power * math.log(half) - half - math.lgamma(power + 1))
            for power in (first + k for k in range(freedom // 2))
        ),
    )


def two_counts(before: int, now: int) -> float:
    """``frequency`` for counts of any size: exact up to 2,000 cases, beyond them by the normal approximation with
    correction for continuity (Edwards, 1948). 1.0 without a case."""
    if before + now <= MOST_EXACT:
        return frequency(before, now) or 1.0
    distance = max(0, abs(now - before) - 1)
    return math.erfc(distance / math.sqrt(2 * (before + now)))


def longer_gap(gap: float, gaps: int, mean_log: float, sd_log: float) -> float:
    """The probability of a gap longer than ``gap`` days after so many with this mean and standard deviation of their
    logarithms, if all are drawn from one log-normal: Student's t for a further observation (Fisher, 1925).

    That gaps are told in whole days adds the variance of a rounding, 1/12 of a day's square (Sheppard, 1898).
    """
    rounding = 1 / (12 * math.exp(2 * mean_log))
    spread = math.sqrt((sd_log**2 + rounding) * (1 + 1 / gaps))
    return t_tail((math.log(gap) - mean_log) / spread, gaps - 1)


def t_tail(t: float, freedom: int) -> float:
    """P(T >= t) of Student's t with whole degrees of freedom (Abramowitz and Stegun, 1964, 26.7.3 and 26.7.4)."""
    angle = math.atan(t / math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2
    term, terms = (cosine, 0.0) if odd else (1.0, 0.0)
    for k in range(freedom // 2):
        terms += term
        term *= cosine**2 * (2 * k + 1 + odd) / (2 * k + 2 + odd)
    within = 2 / math.pi * (angle + sine * terms) if odd else sine * terms
    return (1 - within) / 2


def adjusted(p_values: Sequence[float]) -> list[float]:
    """Each p-value as the least share of false discoveries at which it is one (Benjamini and Hochberg, 1995), in the
    order given."""
    ranked = sorted(range(len(p_values)), key=lambda i: p_values[i], reverse=True)
    found, least = [1.0] * len(p_values), 1.0
    for place, i in enumerate(ranked):
        least = min(least, p_values[i] * len(p_values) / (len(p_values) - place))
        found[i] = least
    return found
