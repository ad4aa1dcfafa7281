"""The columns of a CSV file, and the document that a record of it says."""

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

from services.profile.attributes.domain import AttributeType
from services.profile.identifiers.domain import IdentifierKind
from services.profile.imports.domain import Fault, FaultyFile, Refused
from shared.contracts.customers import ContactChannel, Purpose, TeamRole

TEXT = (
    "customer_id", "as_of", "kind", "name", "email", "phone", "locale", "time_zone", "owner", "tenure_start",
    "preferred_channel", "preferred_hours", "price_sensitivity", "industry", "occupation", "business_model",
)  # fmt: skip
NUMBERS = ("preferred_every_days", "company_size")
LISTS = ("emails", "phones", "messaging", "tags", "interests", "special_needs")
"""Their values are parted by semicolons."""
KINDS: tuple[str, ...] = get_args(IdentifierKind)
_CHANNELS, _PURPOSES, _ROLES = get_args(ContactChannel), get_args(Purpose), get_args(TeamRole)
PLAIN = (
    *TEXT, *NUMBERS, *LISTS, "postal", "birthday", "wallet_estimate", "consents.source", "consents.wording_version",
)  # fmt: skip
MADE = (
    *(f"team.{role}" for role in _ROLES),
    *(f"identifiers.{kind}" for kind in KINDS),
    *(f"consents.{channel}.{purpose}" for channel in _CHANNELS for purpose in _PURPOSES),
)
_ATTRIBUTE = re.compile(r"attributes\.\S.{0,63}")
_BIRTHDAY = re.compile(r"(lunar:)?(?:[0-9]{4}-)?(L)?([0-9]{1,2})-([0-9]{1,2})")
_MONEY = re.compile(r"([0-9.]{1,22}) ?([A-Z]{3})")
_YES = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
Document = dict[str, Any]
Setter = Callable[[Document, str], None]


def check_header(names: Sequence[str]) -> tuple[str, ...]:
    """The columns that a header names, blanks around them taken off.

    Raises FaultyFile: `unknown-column` with the nearest known one, `duplicate-column`, `key-missing`.
    """
    header = tuple(name.strip() for name in names)
    for place, name in enumerate(header):
        pointer = f"/columns/{place}"
        if name not in PLAIN and name not in MADE and not _ATTRIBUTE.fullmatch(name):
            near = difflib.get_close_matches(name.lower(), (*PLAIN, *MADE), 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise FaultyFile("unknown-column", f"There is no column {name[:100]!r}{hint}", pointer)
        if name in header[:place]:
            raise FaultyFile("duplicate-column", f"The column {name[:100]!r} stands twice.", pointer)
    if not any(name == "customer_id" or name.startswith("identifiers.") for name in header):
        detail = "A row is found by customer_id, or by one of identifiers.member-number, .card, .external."
        raise FaultyFile("key-missing", detail, "/columns")
    if any(name.count(".") == 2 and name.startswith("consents.") for name in header):
        for needed in ("consents.source", "consents.wording_version"):
            if needed not in header:
                raise FaultyFile("consent-unproven", f"Consents need the column {needed}.", "/columns")
    return header


def setters(columns: Sequence[str], declared: Mapping[str, AttributeType]) -> list[Setter]:
    """For each column what puts its cell into a document; ``declared``: types of attributes by name."""
    return [_setter(name, declared) for name in columns]


def document(record: Sequence[str], columns: Sequence[Setter]) -> Document:
    """What a record says: an empty cell says nothing. Raises Refused."""
    said: Document = {}
    for put, cell in zip(columns, record, strict=False):
        if cell and (cell := cell.strip()):
            put(said, cell)
    common = {name[1:]: said.pop(name) for name in ("_source", "_wording_version") if name in said}
    for consent in said.get("consents", ()):
        consent.update(common)
    return said


def _setter(name: str, declared: Mapping[str, AttributeType]) -> Setter:
    field, _, part = name.partition(".")
    match field:
        case "consents" if part in ("source", "wording_version"):
            return lambda said, cell: said.__setitem__(f"_{part}", cell)
        case "consents":
            channel, _, purpose = part.partition(".")
            return lambda said, cell: said.setdefault("consents", []).append(
                {"channel": channel, "purpose": purpose, "granted": _truth(name, cell)}
            )
        case "identifiers":
            return lambda said, cell: said.setdefault("identifiers", []).append({"kind": part, "value": cell})
        case "attributes":
            typed = declared.get(part, "string")
            return lambda said, cell: said.setdefault("attributes", {}).__setitem__(part, _typed(name, typed, cell))
        case "team":
            return lambda said, cell: said.setdefault("team", {}).__setitem__(part, cell)
        case "birthday":
            return lambda said, cell: said.__setitem__(field, _birthday(cell))
        case "wallet_estimate":
            return lambda said, cell: said.__setitem__(field, _money(name, cell))
        case "postal":
            return lambda said, cell: said.__setitem__(field, [cell])
        case _ if name in LISTS:
            return lambda said, cell: said.__setitem__(name, [one for part in cell.split(";") if (one := part.strip())])
        case _ if name in NUMBERS:
            return lambda said, cell: said.__setitem__(name, _whole(name, cell))
        case _:
            return lambda said, cell: said.__setitem__(name, cell)


def _typed(name: str, declared: AttributeType, cell: str) -> str | int | bool:
    match declared:
        case "integer":
            return _whole(name, cell)
        case "boolean":
            return _truth(name, cell)
        case _:
            return cell


def _whole(name: str, cell: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,18}", cell):
        raise Refused(Fault("invalid-request", _pointer(name), "a whole number"))
    return int(cell)


def _truth(name: str, cell: str) -> bool:
    if (said := _YES.get(cell.lower())) is None:
        raise Refused(Fault("invalid-request", _pointer(name), "yes or no, true or false, 1 or 0"))
    return said


def _birthday(cell: str) -> Document:
    found = _BIRTHDAY.fullmatch(cell)
    if found is None:
        detail = "MM-DD or YYYY-MM-DD; of the lunar calendar lunar:MM-DD, in a leap month lunar:LMM-DD"
        raise Refused(Fault("invalid-request", "/birthday", detail))
    lunar, leap, month, day = found.groups()
    calendar = "lunar" if lunar else "solar"
    return {"month": int(month), "day": int(day), "calendar": calendar, "leap_month": leap is not None}


def _money(name: str, cell: str) -> Document:
    if (found := _MONEY.fullmatch(cell)) is None:
        raise Refused(Fault("invalid-request", _pointer(name), "an amount and its currency: 12000.00 TWD"))
    return {"amount": found[1], "currency": found[2]}


def _pointer(name: str) -> str:
    return "/" + name.replace("~", "~0").replace("/", "~1").replace(".", "/")
