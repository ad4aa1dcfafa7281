"""What the routes of all policies share."""

from datetime import datetime
from typing import Any, TypeVar

import msgspec
from pydantic import BaseModel

from shared.http.problems import invalid

Numbers = TypeVar("Numbers", bound=msgspec.Struct)


def numbers_of(given: BaseModel, kind: type[Numbers]) -> Numbers:
    """The numbers of a request, for the domain. Raises ProblemError 422 where they contradict each other."""
    try:
        return msgspec.convert(given.model_dump(), kind)
    except msgspec.ValidationError as error:
        raise invalid("", str(error)) from error


def version_of(numbers: msgspec.Struct, at: datetime) -> dict[str, Any]:
    """A version as it is shown: its number, since when, the numbers."""
    body = msgspec.to_builtins(numbers)
    return {"version": body.pop("version"), "created_at": at, "numbers": body}
