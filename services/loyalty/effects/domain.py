"""Who is held out of what, for ever; and what treating the others has brought. Pure."""

from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from math import sqrt
from statistics import NormalDist
from typing import Literal, NamedTuple

import msgspec

Kind = Literal["rule", "reward"]
Side = Literal["treated", "held-out", "mixed"]
LEAST = 30
"""So many persons have to be on either side, for an interval to hold of sums that are far from normal."""
CONFIDENCE = 0.95
_Z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
PARTS = 10_000


@lru_cache(maxsize=65_536)
def is_held_out(target: str, customer: str, percent: int) -> bool:
    """Whether a customer is among the ``percent`` hundredths of all that a rule or reward is kept from.

    By SHA-256 of its id and the customer's: the same for ever, for each rule and reward another group, and who is held
    out at a lower percentage is so at a higher one. ``effects.store`` computes the same.
    """
    digest = sha256(f"{target} {customer}".encode()).digest()
    return int.from_bytes(digest[:4]) % PARTS < percent * (PARTS // 100)


class Group(msgspec.Struct, frozen=True):
    """One side: so many persons, and over them the sums of what each spent, in minor units, of its square, and of the
    points that his orders gave."""

    persons: int = 0
    spend: int = 0
    squares: int = 0
    points: int = 0

    @property
    def mean(self) -> float:
        """What one spent."""
        return self.spend / self.persons if self.persons else 0.0

    @property
    def variance(self) -> float:
        """Of what one spent, by n - 1; taken of whole numbers, so that nothing cancels out."""
        n = self.persons
        return (n * self.squares - self.spend * self.spend) / (n * (n - 1)) if n > 1 else 0.0


class Taken(NamedTuple):
    """How often a version of a reward was taken: by everybody, and by the treated."""

    uses: int
    of_treated: int


class Increment(msgspec.Struct, frozen=True):
    """What one treated person spent more than one who was held out, in minor units, with its confidence interval."""

    mean: float
    low: float
    high: float
    degrees: float


class Lacking(msgspec.Struct, frozen=True):
    """Why there is no figure: how many persons each side has, and needs."""

    treated: int
    held_out: int
    least: int = LEAST


def increment(treated: Group, held_out: Group) -> Increment | Lacking:
    """The difference of the means with Welch's interval (Welch 1947): variances may differ, and group sizes do.

    Quantiles of Student's t by the expansion in 1/degrees of Fisher and Cornish (Abramowitz and Stegun 1964, 26.7.5),
    at the 29 degrees and more that ``LEAST`` leaves right to the fourth decimal.
    """
    if min(treated.persons, held_out.persons) < LEAST:
        return Lacking(treated.persons, held_out.persons)
    mean = treated.mean - held_out.mean
    a, b = treated.variance / treated.persons, held_out.variance / held_out.persons
    if a + b == 0:
        return Increment(mean, mean, mean, float(treated.persons + held_out.persons - 2))
    degrees = (a + b) ** 2 / (a * a / (treated.persons - 1) + b * b / (held_out.persons - 1))
    margin = student(degrees) * sqrt(a + b)
    return Increment(mean, mean - margin, mean + margin, degrees)


def student(degrees: float) -> float:
    """The quantile of Student's t that leaves (1 - CONFIDENCE) / 2 above it."""
    z, n = _Z, degrees
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92_160,
    )
    return z + sum(term / n**power for power, term in enumerate(terms, start=1))


def cost_of(taken: Mapping[int, Taken], costs: Mapping[int, int]) -> int | None:
    """What the uses of the treated cost, each by the version that was taken; None where one of these says nothing of
    its cost, or where nothing was taken and none of all ``costs`` is known."""
    used = {version: one.of_treated for version, one in taken.items() if one.of_treated}
    if not costs or not used.keys() <= costs.keys():
        return None
    return sum(uses * costs[version] for version, uses in used.items())


def points_given(groups: Mapping[Side, Group]) -> float:
    """The points that the treated were given beside what as many of those held out were: what the treatment gave, and
    what the orders gave that it led to."""
    treated, held_out = groups["treated"], groups["held-out"]
    return treated.points - held_out.points * treated.persons / held_out.persons
