"""What profile publishes of the customer file: nothing in it identifies a person."""

from datetime import date
from typing import Annotated, Literal

from msgspec import Meta, field

from shared.contracts.types import Derived, Id, Instant, Struct

CustomerKind = Literal["person", "company"]
ContactChannel = Literal["email", "sms", "phone", "messaging", "post", "staff"]
TeamRole = Literal["account-manager", "analyst", "after-sales"]
Purpose = Literal["service", "marketing", "survey", "loyalty"]


class Birthday(Struct):
    """Month and day only; a lunar date may lie in a leap month."""

    month: Annotated[int, Meta(ge=1, le=12)]
    day: Annotated[int, Meta(ge=1, le=31)]
    calendar: Literal["solar", "lunar"] = "solar"
    leap_month: bool = False


class CustomerFields(Derived):
    """The fields of a file that other services plan and segment by.

    ``restricted``: what is known of this customer is stored, and not used; nobody writes to him.
    ``verify_by``: the day of the house on which something that is filled in wants to be asked for again; may be past.
    """

    occurred_at: Instant
    kind: CustomerKind = "person"
    birthday: Birthday | None = None
    locale: str | None = None
    time_zone: str | None = None
    tags: tuple[Id, ...] = ()
    tenure_start: Instant | None = None
    owner: Id | None = None
    preferred_channel: ContactChannel | None = None
    preferred_hours: str | None = None
    preferred_every_days: int | None = None
    interests: tuple[Id, ...] = ()
    price_sensitivity: Literal["low", "medium", "high"] | None = None
    team: dict[TeamRole, Id] = field(default_factory=dict)
    restricted: bool = False
    verify_by: date | None = None


class CustomerRegistered(CustomerFields):
    """A file was made: by the API, or by a customer's first event."""


class CustomerChanged(CustomerFields):
    """The whole set of non-identifying fields after a change."""


class ConsentChanged(Derived):
    """Consent for a purpose over a channel was granted or withdrawn at ``occurred_at``."""

    occurred_at: Instant
    channel: ContactChannel
    purpose: Purpose
    granted: bool
