"""A row, checked as a request is, and what of a file it speaks of."""

import re
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import msgspec
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from services.profile.customers.contact_points import (
    MAX_POINTS,
    ContactKind,
    ContactPoint,
    InvalidContactPoint,
    normalised,
)
from services.profile.customers.domain import EDITABLE, MAPS, CustomerFile
from services.profile.customers.shapes import FileFields, Text, inner
from services.profile.fields import CUSTOMER_ID, CustomerId, Id, Instant
from services.profile.identifiers.domain import IdentifierKind, InvalidIdentifier, as_kept
from services.profile.imports.columns import Setter, document
from services.profile.imports.domain import Fault, Record, Refused, Unreadable
from shared.contracts.customers import ContactChannel, Purpose
from shared.http.bodies import pointer, strict_json
from shared.http.problems import ProblemError

Addresses = Annotated[list[Text], Field(max_length=MAX_POINTS)]
_LISTS: dict[str, ContactKind] = {"emails": "email", "phones": "phone", "postal": "post", "messaging": "messaging"}
_SINGLE: tuple[ContactKind, ...] = ("email", "phone")
_OF_ADDRESSES = frozenset({*_LISTS, *_SINGLE, "contact_points"})
_STRUCTURED = frozenset({"birthday", "wallet_estimate", "anniversaries"})
_PLAIN = frozenset(EDITABLE) - _STRUCTURED - {*MAPS, "contact_points"}


class RowConsent(BaseModel):
    """What the customer said, where, and in answer to which wording."""

    model_config = ConfigDict(extra="forbid")

    channel: ContactChannel
    purpose: Purpose
    granted: bool
    source: Id
    wording_version: Id


class RowIdentifier(BaseModel):
    """What another system knows the customer by."""

    model_config = ConfigDict(extra="forbid")

    kind: IdentifierKind
    value: Id

    @model_validator(mode="after")
    def _as_kept(self) -> "RowIdentifier":
        try:
            self.value = as_kept(self.kind, self.value)
        except InvalidIdentifier as error:
            raise ValueError(str(error)) from None
        return self


class ImportRow(FileFields):
    """The fields of ``POST /customers``, addresses as lists of a kind, consents, and identifiers.

    A row is found by ``customer_id``, else by one of its identifiers.
    """

    customer_id: CustomerId | None = None
    as_of: Instant | None = None
    emails: Addresses = Field(default_factory=list)
    phones: Addresses = Field(default_factory=list)
    postal: Addresses = Field(default_factory=list)
    messaging: Addresses = Field(default_factory=list)
    consents: list[RowConsent] = Field(default_factory=list, max_length=24)
    identifiers: list[RowIdentifier] = Field(default_factory=list, max_length=20)


class Prepared(msgspec.Struct, frozen=True):
    """A row that can be applied; ``cleared``: fields that it takes away."""

    number: int
    row: ImportRow
    cleared: tuple[str, ...] = ()


def prepare(number: int, record: Record, columns: Sequence[Setter]) -> Prepared:
    """The row that a record says. Raises Refused."""
    match record:
        case Unreadable():
            raise Refused(Fault(record.code, "", record.detail))
        case str():
            said = _object(record)
        case _:
            said = document(record, columns)
    cleared = tuple(name for name, value in said.items() if value is None and name in FileFields.model_fields)
    for name in cleared:
        del said[name]
    try:
        row = ImportRow.model_validate(said)
    except ValidationError as error:
        faults = (Fault("invalid-request", pointer(one["loc"]), one["msg"]) for one in error.errors())
        raise Refused(*faults, customer_id=_named(said)) from None
    if row.customer_id is None and not row.identifiers:
        raise Refused(Fault("key-missing", "/customer_id", "a customer_id or an identifier is needed"))
    return Prepared(number, row, cleared)


def fields_said(prepared: Prepared, file: CustomerFile, region: str) -> dict[str, Any]:
    """What a row writes into a file, for the domain: maps key by key, addresses by kind and normalised.

    An address that the file has already keeps what is known of it. Raises Refused.
    """
    row, named = prepared.row, prepared.row.model_fields_set
    fields: dict[str, Any] = {}
    for name in named:
        if name in _PLAIN:
            value = getattr(row, name)
            fields[name] = tuple(value) if type(value) is list else value
        elif name in _STRUCTURED:
            fields[name] = inner(getattr(row, name))
        elif name in MAPS:
            fields.update((f"{name}.{key}", value) for key, value in getattr(row, name).items())
    for name in MAPS:
        if name in prepared.cleared:
            fields |= {f"{name}.{key}": None for key in getattr(file, name)}
    for name in prepared.cleared:
        if name not in (*MAPS, *_SINGLE, "contact_points"):
            fields[name] = _nothing(name)
    return fields | _addresses(prepared, file, region)


def _addresses(prepared: Prepared, file: CustomerFile, region: str) -> dict[str, tuple[ContactPoint, ...]]:
    row, named = prepared.row, prepared.row.model_fields_set
    said: dict[str, tuple[ContactPoint, ...]] = {}
    if _OF_ADDRESSES.isdisjoint(named) and _OF_ADDRESSES.isdisjoint(prepared.cleared):
        return said
    known = {(point.kind, point.value): point for point in file.contact_points}

    def clean(kind: ContactKind, given: str, at: str, verified: bool = False) -> ContactPoint:
        try:
            value = normalised(kind, given, region)
        except InvalidContactPoint as error:
            raise Refused(Fault(error.code, at, str(error))) from None
        return (None if verified else known.get((kind, value))) or ContactPoint(kind, value, verified)

    if "contact_points" in named or "contact_points" in prepared.cleared:
        given = [
            clean(point.kind, point.value, f"/contact_points/{place}/value", point.verified)
            for place, point in enumerate(row.contact_points)
        ]
        for kind in ("email", "phone", "messaging", "post"):
            said[f"contact_points.{kind}"] = _once(point for point in given if point.kind == kind)
    for name, kind in _LISTS.items():
        if name in named:
            listed = (clean(kind, value, f"/{name}/{place}") for place, value in enumerate(getattr(row, name)))
            said[f"contact_points.{kind}"] = _once(listed)
    for kind in _SINGLE:
        if kind in named or kind in prepared.cleared:
            part, value = f"contact_points.{kind}", getattr(row, kind)
            standing = said[part] if part in said else [point for point in file.contact_points if point.kind == kind]
            first = () if value is None else (clean(kind, value, f"/{kind}"),)
            said[part] = _once((*first, *standing[1:]))
    return said


def _once(points: Iterable[ContactPoint]) -> tuple[ContactPoint, ...]:
    found: dict[str, ContactPoint] = {}
    for point in points:
        found.setdefault(point.value, point)
    return tuple(found.values())


def _nothing(name: str) -> Any:
    value = getattr(_BLANK, name)
    return tuple(value) if isinstance(value, list) else value


def _named(said: dict[str, Any]) -> str | None:
    """What stands in the clear beside the fault: an id alone, not what a file has in an id's place."""
    who = said.get("customer_id")
    return who if isinstance(who, str) and re.fullmatch(CUSTOMER_ID, who) else None


def _object(line: str) -> dict[str, Any]:
    try:
        said = strict_json(line.encode())
    except ProblemError as error:
        at = error.errors[0].pointer if error.errors else ""
        raise Refused(Fault(error.code, at, error.detail)) from None
    if not isinstance(said, dict):
        raise Refused(Fault("malformed-json", "", "a JSON object is needed"))
    return said


_BLANK = FileFields()
