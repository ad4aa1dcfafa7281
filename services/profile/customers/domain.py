"""The customer file: what is known of a person or company, and what of it may leave this service."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

import msgspec

from services.profile.customers.contact_points import ContactPoint
from shared.contracts.customers import Birthday, ContactChannel, CustomerKind, TeamRole
from shared.contracts.types import Money

PriceSensitivity = Literal["low", "medium", "high"]
Scalar = str | int | float | bool | None


Role = TeamRole | Literal["owner"]


class Anniversary(msgspec.Struct, frozen=True):
    """A day of every year that a customer keeps, by his own name for it; a lunar one may lie in a leap month."""

    name: str
    month: int
    day: int
    calendar: Literal["solar", "lunar"] = "solar"
    leap_month: bool = False


class CustomerFile(msgspec.Struct, frozen=True, kw_only=True):
    """The editable file. ``version`` counts its changes; ``bare``: made by an event, by nobody edited yet.

    ``said_at``: since when each part is true, as whoever wrote it says. ``restricted``: it is stored, and nothing else
    is done with it.
    """

    customer_id: str
    created_at: datetime
    updated_at: datetime
    version: int = 1
    bare: bool = False
    said_at: Mapping[str, datetime] = {}
    restricted: bool = False
    kind: CustomerKind = "person"
    name: str | None = None
    contact_points: tuple[ContactPoint, ...] = ()
    locale: str | None = None
    time_zone: str | None = None
    birthday: Birthday | None = None
    tags: tuple[str, ...] = ()
    owner: str | None = None
    team: Mapping[TeamRole, str] = {}
    tenure_start: datetime | None = None
    preferred_channel: ContactChannel | None = None
    preferred_hours: str | None = None
    preferred_every_days: int | None = None
    interests: tuple[str, ...] = ()
    price_sensitivity: PriceSensitivity | None = None
    industry: str | None = None
    occupation: str | None = None
    company_size: int | None = None
    business_model: str | None = None
    wallet_estimate: Money | None = None
    special_needs: tuple[str, ...] = ()
    anniversaries: tuple[Anniversary, ...] = ()
    attributes: Mapping[str, Scalar] = {}


class Saying(msgspec.Struct, frozen=True):
    """Who says what is written, and since when it is true; without a time: now."""

    source: str
    as_of: datetime | None = None


class Said(msgspec.Struct, frozen=True):
    """A value that was ever written of a file: ``stands`` where none in it that is true since later, or written later,
    replaced it."""

    id: int
    customer_id: str
    field: str
    value: Any
    source: str
    true_at: datetime
    recorded_at: datetime
    stands: bool


OF_THE_ROW = ("customer_id", "created_at", "updated_at", "version", "bare", "said_at")
MAPS = ("attributes", "team")
"""The fields whose keys are written one by one."""
EDITABLE = tuple(name for name in CustomerFile.__struct_fields__ if name not in (*OF_THE_ROW, "restricted"))
PUBLISHABLE = (
    "kind", "birthday", "locale", "time_zone", "tags", "tenure_start", "owner", "preferred_channel",
    "preferred_hours", "preferred_every_days", "interests", "price_sensitivity", "team", "restricted",
)  # fmt: skip
"""The fields that identify nobody: all that an event may carry of a file."""


def bare_file(customer_id: str, now: datetime) -> CustomerFile:
    """The file of somebody of whom only an event is known."""
    return CustomerFile(customer_id=customer_id, created_at=now, updated_at=now, bare=True)


def new_file(customer_id: str, fields: Mapping[str, Any], now: datetime) -> CustomerFile:
    """The first version of a file that somebody makes."""
    return CustomerFile(customer_id=customer_id, created_at=now, updated_at=now, **fields)


def handed_over(file: CustomerFile, role: Role, to: str, now: datetime) -> CustomerFile:
    """The next version, in which somebody else has the role from ``now`` on, or from when it was said to be held."""
    part = part_of(role)
    fields: dict[str, Any] = {"owner": to} if role == "owner" else {"team": {**file.team, role: to}}
    said_at = {**file.said_at, part: max(now, file.said_at.get(part, now))}
    return msgspec.structs.replace(changed(file, fields, now), said_at=said_at)


def part_of(role: Role) -> str:
    """The part of a file that says who has a role."""
    return role if role == "owner" else f"team.{role}"


def winning(file: CustomerFile, parts: Mapping[str, Any], true_at: datetime) -> dict[str, Any]:
    """The parts of which nothing is known that is true since later. Of two with one time the last written wins."""
    return {name: value for name, value in parts.items() if true_at >= file.said_at.get(name, true_at)}


def changed(file: CustomerFile, fields: Mapping[str, Any], now: datetime) -> CustomerFile:
    """The next version with these editable fields; the file itself where they change nothing."""
    edited = msgspec.structs.replace(file, bare=False, **fields)
    if edited == file:
        return file
    return msgspec.structs.replace(edited, version=file.version + 1, updated_at=now)
