"""Attributes of the user's own, declared with a type, and what is a value of it."""

import re
from collections.abc import Mapping
from datetime import date
from typing import Any, Literal, assert_never

import msgspec

AttributeType = Literal["string", "integer", "decimal", "boolean", "date"]
Scalar = str | int | float | bool | None
_DECIMAL = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,6})?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class Declaration(msgspec.Struct, frozen=True):
    """What the values of an attribute are; ``version`` counts its changes."""

    name: str
    version: int
    type: AttributeType
    description: str | None = None


class InvalidAttribute(ValueError):
    """The value of the attribute ``name`` is none of its declared type."""

    code = "invalid-attribute"

    def __init__(self, name: str, declared: AttributeType) -> None:
        super().__init__(f"declared as {_MEANING[declared]}")
        self.name = name


def checked(values: Mapping[str, Any], declared: Mapping[str, AttributeType]) -> dict[str, Scalar]:
    """The values as they are kept: None and those of undeclared attributes as given. Raises InvalidAttribute."""
    return {
        name: value if value is None or name not in declared else _of_type(name, value, declared[name])
        for name, value in values.items()
    }


_MEANING: dict[AttributeType, str] = {
    "string": "text",
    "integer": "a whole number",
    "decimal": "a number with up to 15 digits before the point and 6 after, best sent as text",
    "boolean": "true or false",
    "date": "a date, YYYY-MM-DD",
}


def _of_type(name: str, value: Scalar, declared: AttributeType) -> Scalar:
    match declared:
        case "string":
            fits = isinstance(value, str)
        case "integer":
            fits = isinstance(value, int) and not isinstance(value, bool)
        case "decimal":
            value = str(value)
            fits = _DECIMAL.fullmatch(value) is not None
        case "boolean":
            fits = isinstance(value, bool)
        case "date":
            fits = isinstance(value, str) and _is_date(value)
        case _:
            assert_never(declared)
    if not fits:
        raise InvalidAttribute(name, declared)
    return value


def _is_date(value: str) -> bool:
    try:
        return _DATE.fullmatch(value) is not None and bool(date.fromisoformat(value))
    except ValueError:
        return False
