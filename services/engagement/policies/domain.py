"""The policies: what staff may decide about contacts without a line of code. Each version is immutable."""

from datetime import time
from typing import Annotated, Any, Generic, Literal, TypeVar

import msgspec
from msgspec import Meta

from shared.contracts.contacts import ContactPurpose
from shared.contracts.currencies import MINOR_UNITS
from shared.contracts.customers import ContactChannel, Purpose
from shared.contracts.types import AMOUNT

Days = Annotated[int, Meta(ge=1, le=730)]
Count = Annotated[int, Meta(ge=1, le=1000)]
WallTime = Annotated[str, Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
MARKETING: Purpose = "marketing"


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every policy is: closed, so that a misspelt field is refused and not silently without effect."""


class TenureStep(Policy, frozen=True):
    """From so many days of tenure on, a contact every so many days, at most so many in a calendar month."""

    from_days: Annotated[int, Meta(ge=0, le=36_500)]
    every_days: Days
    per_month: Count | None = None


class Rhythm(Policy, frozen=True):
    """A way of buying, by the mean gap between orders and the mean order, and how often it wants a contact."""

    name: Annotated[str, Meta(min_length=1, max_length=64)]
    price: Literal["cheap", "dear"]
    every_days: Days
    min_gap_days: Annotated[int, Meta(ge=0)] = 0
    max_gap_days: Annotated[int, Meta(ge=0)] | None = None


class Cadence(Policy, frozen=True):
    """How often a customer is contacted; the first of ``precedence`` that has something to say decides.

    ``dear_from``: the mean order, by currency, from which it is dear; without the currency no rhythm is judged.
    A rhythm needs ``min_orders``.
    """

    tenure: Annotated[tuple[TenureStep, ...], Meta(min_length=1, max_length=50)]
    rhythms: Annotated[tuple[Rhythm, ...], Meta(max_length=50)] = ()
    min_orders: Annotated[int, Meta(ge=2, le=1000)] = 3
    dear_from: dict[str, Annotated[str, Meta(pattern=AMOUNT)]] = {}
    precedence: tuple[Literal["wish", "rhythm", "tenure"], ...] = ("wish", "rhythm", "tenure")

    def __post_init__(self) -> None:
        starts = [step.from_days for step in self.tenure]
        if starts[0] != 0 or starts != sorted(set(starts)):
            raise ValueError("tenure steps start at from_days 0 and rise")
        if "tenure" not in self.precedence:
            raise ValueError("precedence names tenure: it is what a customer without wish or rhythm goes by")
        for currency, amount in self.dear_from.items():
            if currency not in MINOR_UNITS or len(amount.partition(".")[2]) > MINOR_UNITS[currency]:
                raise ValueError(f"dear_from: {amount} {currency} is no amount of an ISO 4217 currency")


class Caps(Policy, frozen=True):
    """The most contacts on a date and in any seven dates on end, over all channels, in the customer's zone."""

    per_day: Count
    per_week: Count
    exempt: tuple[ContactPurpose, ...] = ()


class QuietHours(Policy, frozen=True):
    """When nobody is contacted, by the customer's own clock; equal ends mean never quiet."""

    start: WallTime
    end: WallTime

    @property
    def from_(self) -> time:
        return time.fromisoformat(self.start)

    @property
    def until(self) -> time:
        return time.fromisoformat(self.end)


class WinBack(Policy, frozen=True):
    """A customer at risk is contacted after so many hours; not again within ``again_after_days`` of the last."""

    after_hours: Annotated[int, Meta(ge=0, le=24 * 365)]
    again_after_days: Days


class Welcome(Policy, frozen=True):
    """The first contact falls within so many hours of registration or first order, or it is left out."""

    within_hours: Annotated[int, Meta(ge=1, le=24 * 365)]


class Complaints(Policy, frozen=True):
    """The first answer to a complaint is due within so many hours; nothing is marketed to him meanwhile."""

    answer_within_hours: Annotated[int, Meta(ge=1, le=72)]


class Route(Policy, frozen=True):
    """How a purpose reaches people: channels by preference, the consent it needs, and what happens without."""

    channels: Annotated[tuple[ContactChannel, ...], Meta(min_length=1, max_length=6)]
    consent: Purpose
    fallback: Literal["staff", "none"]


class Channels(Policy, frozen=True):
    """The route of every purpose."""

    purposes: dict[ContactPurpose, Route]

    def __post_init__(self) -> None:
        missing = sorted({"cadence", "win-back", "welcome", "after-purchase", "service"} - self.purposes.keys())
        if missing:
            raise ValueError(f"purposes lacks {', '.join(missing)}")


P = TypeVar("P", bound=Policy)


class Version(msgspec.Struct, Generic[P], frozen=True):
    """A policy in one of its versions."""

    number: int
    policy: P


class Policies(msgspec.Struct, frozen=True):
    """The newest version of each policy, as plans and gates take them."""

    cadence: Version[Cadence]
    caps: Version[Caps]
    quiet_hours: Version[QuietHours]
    win_back: Version[WinBack]
    welcome: Version[Welcome]
    channels: Version[Channels]
    complaints: Version[Complaints]


TYPES: dict[str, type[Policy]] = {
    "cadence": Cadence,
    "caps": Caps,
    "quiet-hours": QuietHours,
    "win-back": WinBack,
    "welcome": Welcome,
    "channels": Channels,
    "complaints": Complaints,
}


def read_policy(name: str, body: Any) -> Policy:
    """The policy of that name from JSON values. Raises msgspec.ValidationError with the place and the fault."""
    return msgspec.convert(body, TYPES[name])


def policies_of(versions: dict[str, tuple[int, Any]]) -> Policies:
    """All policies, from name -> (version, JSON values)."""
    named = {name.replace("-", "_"): {"number": n, "policy": body} for name, (n, body) in versions.items()}
    return msgspec.convert(named, Policies)
