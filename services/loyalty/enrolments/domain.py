"""Enrolments: a member number, and the terms that the membership is for."""

import calendar
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec

State = Literal["active", "lapsed", "cancelled"]

# A totally anti-symmetric quasigroup of order 10: no single wrong digit, and no two neighbours swapped, go unnoticed
# (Damm 2004, Total anti-symmetrische Quasigruppen, p. 111).
_QUASIGROUP = (
    "0317598642", "7092154863", "4206871359", "1750983426", "6123045978",
    "3674209581", "5869720134", "8945362017", "9438617205", "2581436790",
)  # fmt: skip


class Term(msgspec.Struct, frozen=True):
    """A time that the membership is for; ``until`` None is without an end. The fee is what was agreed: nobody is
    charged here."""

    since: datetime
    until: datetime | None
    fee_minor: int | None
    currency: str | None
    recorded_at: datetime


class Enrolment(msgspec.Struct, frozen=True):
    """A membership and its terms, the first one from the enrolment on; each later one is a renewal."""

    enrolment_id: str
    customer_id: str
    member_number: str
    plan: str | None
    enrolled_at: datetime
    cancelled_at: datetime | None
    terms: Sequence[Term]

    @property
    def until(self) -> datetime | None:
        """When it ends if it isn't renewed; None is never."""
        return self.terms[-1].until

    def state(self, at: datetime) -> State:
        """What it is at an instant: it lapses by itself at its end."""
        if self.cancelled_at is not None and self.cancelled_at <= at:
            return "cancelled"
        return "active" if self.until is None or at < self.until else "lapsed"

    @property
    def known_at(self) -> datetime:
        """When it became what it is."""
        return self.cancelled_at or self.terms[-1].recorded_at

    def as_it_was(self, terms: int, *, cancelled: bool) -> "Enrolment":
        """With its first terms alone, before it was cancelled or after."""
        cancelled_at = self.cancelled_at if cancelled else None
        return msgspec.structs.replace(self, cancelled_at=cancelled_at, terms=self.terms[:terms])


class EnrolmentRefused(Exception):
    """It can't be done with this membership; ``code`` says why."""

    def __init__(self, code: str, detail: str, enrolment_id: str) -> None:
        super().__init__(detail)
        self.code = code
        self.enrolment_id = enrolment_id


def holding(enrolments: Sequence[Enrolment], at: datetime) -> Enrolment | None:
    """The one that counts of a person's: what is active before what has ended, the newest of each."""
    return max(enrolments, key=lambda one: (one.state(at) == "active", one.enrolled_at, one.enrolment_id), default=None)


def months_after(at: datetime, months: int, zone: ZoneInfo) -> datetime:
    """The same wall-clock time of the house that many months later, on the month's last day at the latest."""
    local = at.astimezone(zone)
    years, month = divmod(local.month - 1 + months, 12)
    year, month = local.year + years, month + 1
    day = min(local.day, calendar.monthrange(year, month)[1])
    return local.replace(year=year, month=month, day=day).astimezone(UTC)


def member_number(number: int) -> str:
    """A number with its check digit."""
    return f"{number}{_check(str(number))}"


def is_member_number(text: str) -> bool:
    """Whether the digits are as they were given out: with one wrong, or two neighbours swapped, they aren't."""
    return text.isascii() and text.isdecimal() and len(text) >= 2 and _check(text) == 0


def _check(digits: str) -> int:
    interim = 0
    for digit in digits:
        interim = int(_QUASIGROUP[interim][int(digit)])
    return interim
