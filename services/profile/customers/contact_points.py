"""Where a customer can be reached: phones in E.164, e-mails checked without asking the network."""

import re
from collections.abc import Iterable
from typing import Literal, get_args

import msgspec
import phonenumbers
from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email

ContactKind = Literal["email", "phone", "messaging", "post"]
KINDS: tuple[ContactKind, ...] = get_args(ContactKind)
MAX_POINTS = 20


class ContactPoint(msgspec.Struct, frozen=True):
    """An address of one kind; the first of a kind is the one that is used."""

    kind: ContactKind
    value: str
    verified: bool = False


class InvalidContactPoint(ValueError):
    """What was given is no address of its kind. ``index``: its place among the points."""

    code = "invalid-contact-point"
    value = ""
    index = 0


def normalised(kind: ContactKind, value: str, region: str) -> str:
    """An address as it is stored and looked up. ``region``: country of a number without a country code.

    E-mails in lower case, because no provider that matters tells local parts apart by case. Raises
    InvalidContactPoint.
    """
    match kind:
        case "email":
            clean = _email(value)
        case "phone":
            clean = _phone(value, region)
        case "messaging" | "post":
            clean = " ".join(value.split())
    if not clean:
        raise InvalidContactPoint("an address must not be empty")
    return clean


def all_normalised(points: Iterable[ContactPoint], region: str) -> tuple[ContactPoint, ...]:
    """The points in their order, each once. Raises InvalidContactPoint."""
    found: dict[tuple[str, str], ContactPoint] = {}
    for index, point in enumerate(points):
        try:
            value = normalised(point.kind, point.value, region)
        except InvalidContactPoint as error:
            error.value, error.index = point.value, index
            raise
        found.setdefault((point.kind, value), msgspec.structs.replace(point, value=value))
    return tuple(found.values())


def with_primary(points: tuple[ContactPoint, ...], kind: ContactKind, value: str | None) -> tuple[ContactPoint, ...]:
    """The points with another first one of a kind; without the first one where ``value`` is None."""
    first = next((place for place, point in enumerate(points) if point.kind == kind), None)
    new = () if value is None else (ContactPoint(kind, value),)
    if first is None:
        return (*points, *new)
    return (*points[:first], *new, *points[first + 1 :])


def primary(points: Iterable[ContactPoint], kind: ContactKind) -> str | None:
    """The address of a kind that is used."""
    return next((point.value for point in points if point.kind == kind), None)


# What most addresses look like, of which the libraries would change nothing but the case: they take 15 µs each, which
# counts in an import. A test holds both against the libraries.
_PLAIN_EMAIL = re.compile(r"[a-z0-9]++(?:[._+-][a-z0-9]++)*+@(?:[a-z0-9]++(?:-[a-z0-9]++)*+\.)++[a-z]{2,24}")
_SPECIAL = tuple(f".{name}" for name in SPECIAL_USE_DOMAIN_NAMES)
_CHINESE = r"1(?:[3-689][0-9]|7[0-8])[0-9]{8}"
_PLAIN_PHONE = re.compile(rf"\+(?:8869[0-9]{{8}}|86{_CHINESE}|1[2-9][0-9]{{9}})")
_PLAIN_IN = {"TW": (re.compile("0(9[0-9]{8})"), "+886"), "CN": (re.compile(f"({_CHINESE})"), "+86")}
_GROUPED = str.maketrans("", "", " -")


def _email(value: str) -> str:
    plain = value.strip().lower()
    if value.isascii() and _PLAIN_EMAIL.fullmatch(plain):
        local, _, domain = plain.partition("@")
        if len(local) <= 64 and len(domain) <= 63 and not f".{domain}".endswith(_SPECIAL):
            return plain
    try:
        return validate_email(value.strip(), check_deliverability=False).normalized.lower()
    except EmailNotValidError as error:
        raise InvalidContactPoint(f"not an e-mail address: {error}") from None


def _phone(value: str, region: str) -> str:
    plain = value.translate(_GROUPED)
    if _PLAIN_PHONE.fullmatch(plain):
        return plain
    if (local := _PLAIN_IN.get(region)) and (found := local[0].fullmatch(plain)):
        return local[1] + found[1]
    try:
        number = phonenumbers.parse(value, region)
    except phonenumbers.NumberParseException as error:
        raise InvalidContactPoint(f"not a phone number: {error}") from None
    if not phonenumbers.is_possible_number(number):
        raise InvalidContactPoint("not a phone number: too short or too long for its country")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
