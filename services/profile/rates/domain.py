"""What a currency is worth in the house's on some days, as somebody stated it."""

from collections.abc import Mapping
from datetime import date, datetime

import msgspec

from shared.contracts.currencies import MINOR_UNITS
from shared.contracts.types import MAX_MINOR, scaled

LONGEST = 366
"""Days for which one rate may hold."""


class Rate(msgspec.Struct, frozen=True):
    """``rate``: units of the house's currency for one of ``currency``, a decimal, on the days of the house from
    ``valid_from`` to ``valid_to``, both included."""

    currency: str
    valid_from: date
    valid_to: date
    version: int
    rate: str
    source: str
    stated_at: datetime


Rates = Mapping[str, Rate]
"""The rates that orders have, by the order's id; those in the house's currency, or without one, aren't in it."""
NO_RATES: Rates = {}


def converted(minor: int, rate: Rate, into: str) -> int | None:
    """Minor units of the rate's currency (not negative) in those of ``into``, exact, rounded half to even.

    None above what an event may carry: no sum of money is that large.
    """
    places = len(rate.rate.partition(".")[2])
    numerator = minor * scaled(rate.rate, places) * 10 ** MINOR_UNITS[into]
    whole, rest = divmod(numerator, denominator := 10 ** (places + MINOR_UNITS[rate.currency]))
    if 2 * rest > denominator or (2 * rest == denominator and whole % 2):
        whole += 1
    return whole if whole <= MAX_MINOR else None
