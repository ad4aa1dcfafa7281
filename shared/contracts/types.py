"""The vocabulary of every published event: ids, money, quantities, instants.

Amounts are strings under a pattern, because msgspec's Decimal takes NaN, Infinity, ``1_000`` and full-width
digits. ``$(?!\\n)`` closes the patterns, because Python's ``$`` alone lets a trailing newline through.
"""

from datetime import datetime
from typing import Annotated, dataclass_transform

import msgspec
from msgspec import Meta

from shared.contracts.currencies import MINOR_UNITS

CUSTOMER_ID = r"^[A-Za-z0-9._:~-]{1,64}$(?!\n)"
PRINTABLE = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]{1,128}$(?!\n)"
AMOUNT = r"^[0-9]{1,15}(\.[0-9]{1,6})?$(?!\n)"
QUANTITY = r"^(?!0+(\.0+)?$)([0-9]{1,6}(\.[0-9]{1,3})?|1000000(\.0{1,3})?)$(?!\n)"

QUANTITY_PLACES = 3
PRICE_PLACES = 6
MAX_MINOR = 10**17
MAX_POINTS = 10**15

CustomerId = Annotated[str, Meta(pattern=CUSTOMER_ID)]
Id = Annotated[str, Meta(pattern=PRINTABLE)]
Text = Annotated[str, Meta(max_length=500)]
Instant = Annotated[datetime, Meta(tz=True)]
Amount = Annotated[str, Meta(pattern=AMOUNT)]
Quantity = Annotated[int, Meta(ge=1, le=1_000_000)] | Annotated[str, Meta(pattern=QUANTITY)]
Points = Annotated[int, Meta(ge=0, le=MAX_POINTS)]
Probability = Annotated[float, Meta(ge=0, le=1)]
Scalar = str | int | float | bool | None
Attributes = Annotated[dict[Annotated[str, Meta(max_length=64)], Scalar], Meta(max_length=50)]


def scaled(amount: str, places: int) -> int:
    """``"12.5"`` with 2 places is 1250. Exact; the caller has checked the pattern and the places."""
    whole, _, fraction = amount.partition(".")
    return int(whole + fraction.ljust(places, "0"))


def decimal_of(minor: int, currency: str) -> str:
    """The decimal string of minor units (not negative), however many: a sum may pass what one event may carry."""
    places = MINOR_UNITS[currency]
    if not places:
        return str(minor)
    whole, fraction = divmod(minor, 10**places)
    return f"{whole}.{fraction:0{places}d}"


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Struct(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What every contract type is: immutable, unknown fields ignored, defaults left out when written.

    Leaving defaults out keeps the content hash of an old event the same after an optional field was added.
    """


class Money(Struct):
    """An amount of a currency (ISO 4217), with at most as many decimals as the currency has.

    Raises ValueError for an unknown currency, too many decimals, or more than 10^17 minor units.
    """

    amount: Amount
    currency: str

    def __post_init__(self) -> None:
        places = MINOR_UNITS.get(self.currency)
        if places is None:
            raise ValueError(f"unknown currency {self.currency[:8]!r}: use an ISO 4217 code such as TWD")
        amount = self.amount
        if "." in amount and len(amount) - amount.index(".") - 1 > places:
            raise ValueError(f"{self.currency} has {places} decimals, {amount!r} has more")
        # The pattern's 15 digits before the point can't pass the limit with fewer decimals.
        if places > 2 and self.minor > MAX_MINOR:
            raise ValueError("the amount is too large")

    @property
    def minor(self) -> int:
        """The amount in minor units: 120.50 CNY is 12050."""
        return scaled(self.amount, MINOR_UNITS[self.currency])

    @classmethod
    def of(cls, minor: int, currency: str) -> "Money":
        """The money of that many minor units (not negative). Raises ValueError above 10^17."""
        return cls(amount=decimal_of(minor, currency), currency=currency)


class Price(Struct):
    """The price of one piece, with up to 6 decimals whatever the currency: a line's price need not divide."""

    amount: Amount
    currency: str

    def __post_init__(self) -> None:
        if self.currency not in MINOR_UNITS:
            raise ValueError(f"unknown currency {self.currency[:8]!r}: use an ISO 4217 code such as TWD")


class Cause(Struct):
    """The event, or the request, that led to an event: its source and id."""

    source: str
    id: str


class Derived(Struct):
    """What every event of our own carries beside its fact.

    ``sequence`` counts per publishing service and customer, from 1, without gaps.
    """

    customer_id: CustomerId
    sequence: Annotated[int, Meta(ge=1)]
    caused_by: Cause
