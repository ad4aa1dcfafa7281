"""When a customer's silence breaks his own rhythm, and when the shop's demand for a category has changed."""

import math
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Literal

import msgspec

from services.profile.patterns import significance
from services.profile.policies.domain import Contradiction

Direction = Literal["up", "down"]
NEWEST_GAPS = 24
"""Of a customer's gaps, how many tell his rhythm."""


class RhythmPolicy(msgspec.Struct, frozen=True):
    """``gaps_at_least`` between purchase days make a rhythm; below ``level`` a silence of at least
    ``silent_days_at_least`` breaks it. Who is silent for more than ``silent_days_at_most`` has long been lost."""

    gaps_at_least: int
    level: str
    silent_days_at_least: int
    silent_days_at_most: int
    version: int = 0

    def __post_init__(self) -> None:
        if self.silent_days_at_least >= self.silent_days_at_most:
            told = "a silence breaks a rhythm before it is too long: silent_days_at_least is below silent_days_at_most"
            raise Contradiction("silent_days_at_least", told)


class DemandPolicy(msgspec.Struct, frozen=True):
    """Periods of ``days``. Categories with fewer than ``orders_at_least`` in both together aren't tested; a change is
    one below ``level``, all categories taken together, and by ``change_at_least`` of what was before."""

    days: int
    level: str
    orders_at_least: int
    change_at_least: str
    version: int = 0

    def __post_init__(self) -> None:
        # The most uneven that so few can be split: all of them in one period.
        if significance.two_counts(0, self.orders_at_least) >= float(self.level):
            told = f"{self.orders_at_least} orders in both periods together can't differ at the level {self.level}"
            raise Contradiction("orders_at_least", told)


class Rhythm(msgspec.Struct, frozen=True):
    """A customer's newest gaps between purchase days: how many, mean and standard deviation of their logarithms."""

    customer_id: str
    last_day: date
    last_at: datetime
    gaps: int
    mean_log: float
    sd_log: float

    @property
    def usual_gap_days(self) -> float:
        """The middle of his gaps."""
        return round(math.exp(self.mean_log), 1)

    def silence(self, today: date) -> float:
        """How probable so long a gap is by his own rhythm."""
        days = (today - self.last_day).days
        return significance.longer_gap(days, self.gaps, self.mean_log, self.sd_log) if days > 0 else 1.0

    def is_broken(self, today: date, policy: RhythmPolicy) -> bool:
        """Whether he is silent for longer than his rhythm explains. Once he is, only a purchase changes it."""
        long_enough = (today - self.last_day).days >= policy.silent_days_at_least
        return long_enough and self.silence(today) < float(policy.level)


class Demand(msgspec.Struct, frozen=True):
    """The orders that have a category, in the period before and in this one."""

    category: str
    before: int
    now: int


class DemandShift(msgspec.Struct, frozen=True):
    """A demand that changed by more than chance."""

    demand: Demand
    direction: Direction
    p_value: float
    adjusted_p_value: float


def shifts(demands: Sequence[Demand], policy: DemandPolicy) -> list[DemandShift]:
    """Those categories whose orders became more or fewer, by the conditional binomial test of two counts over equally
    long periods (Przyborowski and Wilenski, 1940), false discoveries held to the level (Benjamini and Hochberg, 1995).
    """
    tested = [one for one in demands if one.before + one.now >= policy.orders_at_least]
    p_values = [significance.two_counts(one.before, one.now) for one in tested]
    return [
        DemandShift(one, "up" if one.now > one.before else "down", p_value, adjusted)
        for one, p_value, adjusted in zip(tested, p_values, significance.adjusted(p_values), strict=True)
        if adjusted < float(policy.level) and abs(one.now - one.before) >= Decimal(policy.change_at_least) * one.before
    ]
