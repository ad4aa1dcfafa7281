"""The customer file and the 360° view as JSON."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

import msgspec
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from services.profile.customers.contact_points import (
    MAX_POINTS,
    ContactKind,
    ContactPoint,
    primary,
    with_primary,
)
from services.profile.customers.domain import (
    EDITABLE,
    MAPS,
    Anniversary,
    CustomerFile,
    PriceSensitivity,
    Said,
    Saying,
)
from services.profile.fields import CustomerId, Id, Instant
from shared.contracts.customers import Birthday, ContactChannel, CustomerKind, TeamRole
from shared.contracts.types import AMOUNT, Money

Text = Annotated[str, Field(min_length=1, max_length=500)]
Attribute = Annotated[str, Field(max_length=500)] | bool | int | float | None
_LOCALE = r"^[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?$"
HOURS = r"^([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]$"
_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


class BirthdayShape(BaseModel):
    """Month and day, solar or lunar; a lunar one may lie in a leap month."""

    model_config = ConfigDict(extra="forbid")

    month: int = Field(ge=1, le=12)
    day: int = Field(ge=1, le=31)
    calendar: Literal["solar", "lunar"] = "solar"
    leap_month: bool = False

    @model_validator(mode="after")
    def _in_its_calendar(self) -> Self:
        if self.day > (_DAYS[self.month - 1] if self.calendar == "solar" else 30):
            raise ValueError("this month has no such day")
        if self.leap_month and self.calendar == "solar":
            raise ValueError("only the lunar calendar has leap months")
        return self


class AnniversaryShape(BirthdayShape):
    """A day of every year that the customer keeps."""

    name: Annotated[str, Field(min_length=1, max_length=100)]


class ContactPointShape(BaseModel):
    """An address. Phones are kept in E.164, e-mails in lower case."""

    model_config = ConfigDict(extra="forbid")

    kind: ContactKind
    value: Annotated[str, Field(min_length=1, max_length=500)]
    verified: bool = False


class MoneyShape(BaseModel):
    """More than nothing, in a currency of ISO 4217, with at most as many decimals as it has."""

    model_config = ConfigDict(extra="forbid")

    amount: Annotated[str, Field(pattern=AMOUNT.removesuffix(r"(?!\n)"))]
    currency: Annotated[str, Field(min_length=3, max_length=3)]

    @model_validator(mode="after")
    def _of_its_currency(self) -> Self:
        if not Money(amount=self.amount, currency=self.currency).minor:
            raise ValueError("an estimate is more than nothing")
        return self


class FileFields(BaseModel):
    """What may be set of a customer file. ``email`` and ``phone`` are the first contact point of their kind."""

    model_config = ConfigDict(extra="forbid")

    kind: CustomerKind = "person"
    name: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    email: Text | None = None
    phone: Text | None = None
    contact_points: list[ContactPointShape] = Field(default_factory=list, max_length=MAX_POINTS)
    locale: Annotated[str, Field(pattern=_LOCALE)] | None = None
    time_zone: Annotated[str, Field(max_length=64)] | None = Field(default=None, description="IANA name")
    birthday: BirthdayShape | None = None
    tags: list[Id] = Field(default_factory=list, max_length=100)
    owner: Id | None = None
    team: dict[TeamRole, Id] = Field(default_factory=dict, description="Who of the staff has which role for him")
    tenure_start: Instant | None = None
    preferred_channel: ContactChannel | None = None
    preferred_hours: Annotated[str, Field(pattern=HOURS)] | None = None
    preferred_every_days: int | None = Field(default=None, ge=1, le=3650)
    interests: list[Id] = Field(default_factory=list, max_length=100)
    price_sensitivity: PriceSensitivity | None = None
    industry: Id | None = None
    occupation: Id | None = None
    company_size: int | None = Field(default=None, ge=1, le=10_000_000, description="Employees")
    business_model: Id | None = None
    wallet_estimate: MoneyShape | None = Field(
        default=None, description="What he spends in a year in the house's field altogether, wherever he buys"
    )
    special_needs: list[Text] = Field(default_factory=list, max_length=20)
    anniversaries: list[AnniversaryShape] = Field(default_factory=list, max_length=20)
    attributes: dict[Annotated[str, Field(max_length=64)], Attribute] = Field(default_factory=dict, max_length=50)

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, name: str | None) -> str | None:
        if name is not None:
            try:
                ZoneInfo(name)
            except (KeyError, ValueError, OSError):
                raise ValueError("no time zone of the IANA database") from None
        return name

    @field_validator("tags", "interests", "special_needs")
    @classmethod
    def _each_once(cls, names: list[str]) -> list[str]:
        return list(dict.fromkeys(names))


class Envelope(BaseModel):
    """Beside the fields of a write: since when they are true (at most 24 hours ahead; by default now), and whose word
    that is (by default the token's subject). What is known to be true since later stays."""

    as_of: Instant | None = None
    source: Id | None = None

    def saying(self, subject: str) -> Saying:
        """For the domain."""
        return Saying(self.source or subject, self.as_of)


class NewCustomer(FileFields, Envelope):
    """``customer_id``: the publisher's own id, prefixed by system; generated where it is absent."""

    customer_id: CustomerId | None = None


def fields_of(given: FileFields, patch: dict[str, Any] | None = None) -> dict[str, Any]:
    """What is written, for the domain: the fields that were named, in ``patch`` where ``given`` is a file with a patch
    in it; of a map those keys."""
    named = given.model_fields_set if patch is None else patch.keys()
    fields = {name: inner(getattr(given, name)) for name in EDITABLE if name in named}
    points = inner(given.contact_points)
    for kind in ("email", "phone"):
        if kind in named:
            points = with_primary(points, kind, getattr(given, kind))
            fields[f"contact_points.{kind}"] = tuple(point for point in points if point.kind == kind)
    if "contact_points" in named:
        fields = {name: value for name, value in fields.items() if not name.startswith("contact_points.")}
        fields["contact_points"] = points
    for name in MAPS:
        if patch is not None and isinstance(patch.get(name), dict):
            standing = fields.pop(name)
            fields |= {f"{name}.{key}": standing.get(key) for key in patch[name]}
    return fields


def document_of(file: CustomerFile) -> dict[str, Any]:
    """The editable file as a JSON document, for a merge patch."""
    document: dict[str, Any] = msgspec.to_builtins({name: getattr(file, name) for name in EDITABLE})
    if file.birthday:
        document["birthday"] = _birthday(file.birthday).model_dump()
    document["anniversaries"] = [_anniversary(day).model_dump() for day in file.anniversaries]
    return document


def merged(target: Any, patch: Any) -> Any:
    """The target after a JSON merge patch (RFC 7396, 2)."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


class FileView(BaseModel):
    """The file's own fields."""

    customer_id: str
    merged_into: str | None = None
    kind: CustomerKind
    name: str | None
    email: str | None
    phone: str | None
    contact_points: list[ContactPointShape]
    locale: str | None
    time_zone: str | None
    birthday: BirthdayShape | None
    tags: list[str]
    owner: str | None
    team: dict[TeamRole, str]
    tenure_start: datetime | None
    preferred_channel: ContactChannel | None
    preferred_hours: str | None
    preferred_every_days: int | None
    interests: list[str]
    price_sensitivity: PriceSensitivity | None
    industry: str | None
    occupation: str | None
    company_size: int | None
    business_model: str | None
    wallet_estimate: MoneyShape | None
    special_needs: list[str]
    anniversaries: list[AnniversaryShape]
    attributes: dict[str, Attribute]
    created_at: datetime
    updated_at: datetime


def file_view(file: CustomerFile) -> dict[str, Any]:
    """The fields of ``FileView``."""
    return {
        **{name: getattr(file, name) for name in EDITABLE},
        "customer_id": file.customer_id,
        "email": primary(file.contact_points, "email"),
        "phone": primary(file.contact_points, "phone"),
        "contact_points": [
            ContactPointShape(kind=point.kind, value=point.value, verified=point.verified)
            for point in file.contact_points
        ],
        "birthday": _birthday(file.birthday) if file.birthday else None,
        "wallet_estimate": MoneyShape(**msgspec.structs.asdict(file.wallet_estimate)) if file.wallet_estimate else None,
        "anniversaries": [_anniversary(day) for day in file.anniversaries],
        "created_at": file.created_at,
        "updated_at": file.updated_at,
    }


def file_json(file: CustomerFile) -> dict[str, Any]:
    """The same for msgspec, which writes it at a tenth of the price."""
    return {
        **{name: getattr(file, name) for name in EDITABLE},
        "customer_id": file.customer_id,
        "email": primary(file.contact_points, "email"),
        "phone": primary(file.contact_points, "phone"),
        "birthday": _birthday(file.birthday).model_dump() if file.birthday else None,
        "created_at": file.created_at,
        "updated_at": file.updated_at,
    }


class SaidView(BaseModel):
    """A value that was written of a ``field``, or of a part of one: ``attributes.shoe``, ``contact_points.email``.

    ``true_at`` is since when it is true, as ``source`` says, ``recorded_at`` when that was written. ``customer_id``:
    in whose file, where somebody has several ids. ``stands``: it is what that file shows.
    """

    customer_id: str
    field: str
    value: Any
    source: str
    true_at: datetime
    recorded_at: datetime
    stands: bool


def said_view(said: Said) -> SaidView:
    """An entry of a file's history."""
    return SaidView(
        customer_id=said.customer_id,
        field=said.field,
        value=said.value,
        source=said.source,
        true_at=said.true_at,
        recorded_at=said.recorded_at,
        stands=said.stands,
    )


def inner(value: Any) -> Any:
    """A value as the domain has it."""
    match value:
        case AnniversaryShape():
            return msgspec.convert(value.model_dump(), Anniversary)
        case BirthdayShape():
            return msgspec.convert(value.model_dump(), Birthday)
        case MoneyShape():
            return Money(amount=value.amount, currency=value.currency)
        case ContactPointShape():
            return ContactPoint(value.kind, value.value, value.verified)
        case list():
            return tuple(inner(one) for one in value)
        case _:
            return value


def _birthday(birthday: Birthday) -> BirthdayShape:
    return BirthdayShape(
        month=birthday.month, day=birthday.day, calendar=birthday.calendar, leap_month=birthday.leap_month
    )


def _anniversary(day: Anniversary) -> AnniversaryShape:
    return AnniversaryShape.model_validate(msgspec.to_builtins(day))
