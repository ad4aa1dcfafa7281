"""Classes of value: customers by contribution and stability, prospects by expected contribution and intent.

EI contributes much and steadily, EII much and unsteadily, EIII little and steadily, EIV little and unsteadily. PI to
PIV are prospects alike: by what they may contribute, and by how much they mean it.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Literal

import msgspec

from services.profile.policies.domain import FALLBACK_CURRENCY, ValuePolicy
from services.profile.purchases.domain import Purchases
from shared.contracts.currencies import MINOR_UNITS

ValueClass = Literal["EI", "EII", "EIII", "EIV", "PI", "PII", "PIII", "PIV"]
_CUSTOMERS: Mapping[tuple[bool, bool], ValueClass] = {
    (True, True): "EI", (True, False): "EII", (False, True): "EIII", (False, False): "EIV",
}  # fmt: skip
_PROSPECTS: Mapping[tuple[bool, bool], ValueClass] = {
    (True, True): "PI", (True, False): "PII", (False, True): "PIII", (False, False): "PIV",
}  # fmt: skip
_MONTH, _QUARTER = 30, 90
_AMOUNT = re.compile(r"[0-9]{1,15}(\.[0-9]{1,20})?")


class Sign(msgspec.Struct, frozen=True):
    """An activity of a prospect: its day, kind, and value in minor units of the house currency (0 without)."""

    day: date
    kind: str
    minor: int = 0


def value_class(
    purchases: Purchases,
    signs: Sequence[Sign],
    expected_monthly: str | None,
    policy: ValuePolicy,
    currency: str,
    today: date,
) -> ValueClass:
    """The class on a day of the house's zone.

    Contribution is high where ``volumes_reached`` of three volumes reach their number: spend by the month and by the
    quarter, over the days from the first purchase to the last (a month or a quarter at least), and by the order.
    Stable: ``stable_purchase_days`` purchase days or more, ``stable_gap_days`` apart on the mean or less.
    A prospect's expected contribution is high where the file's attribute ``expected_monthly_spend``, or the value of
    one of his activities of late, reaches ``expected``; his intent where the weights of these add up to
    ``intent_reached``.
    """
    first, last = purchases.first_day, purchases.last_day
    unit = 10 ** MINOR_UNITS[currency]
    if first is None or last is None:
        recent = [sign for sign in signs if _counts(sign, policy, today)]
        expected = max([_minor(expected_monthly, unit), *(sign.minor for sign in recent)])
        intent = sum(policy.intent.get(sign.kind, 0) for sign in recent)
        return _PROSPECTS[
            expected >= _amount(policy.expected, currency) * unit,
            intent >= policy.intent_reached,
        ]
    span = (last - first).days
    reached = [
        purchases.spend * _MONTH >= _amount(policy.monthly, currency) * unit * max(span, _MONTH),
        purchases.spend * _QUARTER >= _amount(policy.quarterly, currency) * unit * max(span, _QUARTER),
        purchases.spend >= _amount(policy.order, currency) * unit * purchases.orders,
    ]
    stable = (
        purchases.days >= policy.stable_purchase_days and span <= policy.stable_gap_days * (purchases.days - 1)
    )
    return _CUSTOMERS[sum(reached) >= policy.volumes_reached, stable]


def turning_days(signs: Sequence[Sign], policy: ValuePolicy) -> list[date]:
    """The days on which an activity of a prospect is too long ago to count, or, dated ahead, begins to."""
    return [day for sign in signs for day in (sign.day, sign.day + timedelta(policy.intent_days))]


def _counts(sign: Sign, policy: ValuePolicy, today: date) -> bool:
    return 0 <= (today - sign.day).days < policy.intent_days


def _amount(by_currency: Mapping[str, int], currency: str) -> int:
    return by_currency.get(currency, by_currency[FALLBACK_CURRENCY])


def _minor(amount: str | None, unit: int) -> int:
    # An attribute is free text: what is no amount of money counts as nothing said.
    return int(Decimal(amount) * unit) if amount and _AMOUNT.fullmatch(amount) else 0
