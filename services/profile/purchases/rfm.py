"""Recency, frequency, monetary value as scores of 1 to 5 by versioned cut-points (Hughes, 1994)."""

from bisect import bisect_left, bisect_right
from datetime import date, timedelta

import msgspec

from services.profile.policies.domain import FALLBACK_CURRENCY, RfmCutPoints
from services.profile.purchases.domain import Purchases
from shared.contracts.currencies import MINOR_UNITS


class Rfm(msgspec.Struct, frozen=True):
    """Scores of 1 (weak) to 5 (strong), and the version of the cut-points."""

    r: int
    f: int
    m: int
    version: int


def score(purchases: Purchases, cut_points: RfmCutPoints, currency: str, today: date) -> Rfm | None:
    """The scores on a day of the house's zone; None of who has bought nothing that stands.

    A recency of up to ``recency_days[0]`` days is a 5; ``orders[0]`` orders, and ``spend[0]`` in the house
    currency, are a 2.
    """
    if purchases.last_day is None:
        return None
    unit = 10 ** MINOR_UNITS[currency]
    spend = cut_points.spend.get(currency) or cut_points.spend[FALLBACK_CURRENCY]
    return Rfm(
        r=5 - bisect_left(cut_points.recency_days, (today - purchases.last_day).days),
        f=1 + bisect_right(cut_points.orders, purchases.orders),
        m=1 + bisect_right(spend, purchases.spend // unit),
        version=cut_points.version,
    )


def turning_days(purchases: Purchases, cut_points: RfmCutPoints) -> tuple[date, ...]:
    """The days on which recency loses a point, if nothing is bought until then."""
    last = purchases.last_day
    return tuple(last + timedelta(days + 1) for days in cut_points.recency_days) if last else ()
