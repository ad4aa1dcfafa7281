"""How far a file can be relied on: what is filled in, what of it is verified, and how long ago it was said."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Literal

import msgspec

from services.profile.customers.contact_points import KINDS
from services.profile.customers.domain import CustomerFile

Day = Callable[[datetime], date]
"""The day of an instant in the house's zone."""
Fault = Literal["missing", "unverified", "outdated"]
_LONG_AGO = datetime(1900, 1, 1, tzinfo=UTC)
UNVERIFIED_DAYS = 30
"""Within so many days of being written an address is to be verified."""


class Expected(msgspec.Struct, frozen=True):
    """What a field is worth to the score, and the days after which it is to be asked for again: it then loses half.

    An address that isn't verified loses half, too.
    """

    field: str
    points: int
    days: int | None = None


_OF_ALL = (
    Expected("name", 20),
    Expected("email", 20, 365),
    Expected("phone", 20, 365),
    Expected("locale", 10),
    Expected("preferred_channel", 10, 730),
)
OF_A_PERSON = (*_OF_ALL, Expected("birthday", 10), Expected("time_zone", 4), Expected("interests", 6, 730))
OF_A_COMPANY = (
    *_OF_ALL, Expected("industry", 8), Expected("company_size", 6, 730), Expected("business_model", 6, 730),
)  # fmt: skip
"""What is expected of a file of each kind: 100 points."""


Term = tuple[Fault, timedelta]
"""What something that was said becomes, and how long after it was."""


def _terms(expected: Expected) -> dict[bool, tuple[Term, ...]]:
    """By whether it is verified."""
    outdated: tuple[Term, ...] = () if expected.days is None else (("outdated", timedelta(expected.days)),)
    return {True: outdated, False: (("unverified", timedelta(UNVERIFIED_DAYS)), *outdated)}


_TERMS = {
    kind: [(one, _terms(one)) for one in expected]
    for kind, expected in (("company", OF_A_COMPANY), ("person", OF_A_PERSON))
}
_ASKED_AGAIN = {
    kind: [
        (one.field, {verified: min((after for _, after in said), default=None) for verified, said in terms.items()})
        for one, terms in expected
        if one.days is not None or one.field in KINDS
    ]
    for kind, expected in _TERMS.items()
}
"""Of what is asked for again: how soon, if it is verified and if it isn't."""


class Reason(msgspec.Struct, frozen=True):
    """The points that a field costs, and why."""

    code: Fault
    field: str
    points: int


class Quality(msgspec.Struct, frozen=True):
    """``score`` from 0 to 100, and why it isn't 100. ``verify_by``: the first day on which something that is filled in
    wants to be asked for again, even if it is past; None where nothing ever does."""

    score: int
    reasons: tuple[Reason, ...]
    verify_by: date | None


def quality(file: CustomerFile, day: Day, now: datetime) -> Quality:
    """The quality of a file at ``now``.

    100 less, of each expected field: all its points where it is missing; half of them where it is an address of which
    the first isn't verified, and half where it was last said too many days ago.
    """
    reasons, lost, first, today = [], 0, None, day(now)
    said_on: dict[datetime, date] = {}
    for expected, terms in _TERMS["company" if file.kind == "company" else "person"]:
        value, verified, said_at = _held(file, expected.field)
        if not value:
            reasons.append(Reason("missing", expected.field, expected.points))
            lost += expected.points
            continue
        for code, after in terms[verified]:
            # Most of a file is said at once.
            due = (said_on.get(said_at) or said_on.setdefault(said_at, day(said_at))) + after
            first = due if first is None or due < first else first
            if code == "unverified" or today >= due:
                reasons.append(Reason(code, expected.field, expected.points // 2))
                lost += expected.points // 2
    return Quality(100 - lost, tuple(reasons), first)


def verify_by(file: CustomerFile, day: Day) -> date | None:
    """The day of ``Quality.verify_by``: it is the file's alone, the same whenever it is asked for."""
    shortest: dict[datetime, timedelta] = {}
    for field, soonest in _ASKED_AGAIN["company" if file.kind == "company" else "person"]:
        value, verified, said_at = _held(file, field)
        if value and (after := soonest[verified]) is not None:
            shortest[said_at] = min(after, shortest.get(said_at, after))
    return min((day(said_at) + after for said_at, after in shortest.items()), default=None)


def _held(file: CustomerFile, field: str) -> tuple[object, bool, datetime]:
    # A system's zero of time may have no day in the house's zone.
    if field not in KINDS:
        return getattr(file, field), True, max(file.said_at.get(field, file.created_at), _LONG_AGO)
    said_at = max(file.said_at.get(f"contact_points.{field}", file.created_at), _LONG_AGO)
    for point in file.contact_points:
        if point.kind == field:
            return point, point.verified, said_at
    return None, True, said_at
