"""What the routes of all policies share."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeVar

import msgspec
from pydantic import BaseModel, create_model

from services.profile.policies.domain import Contradiction
from shared.http.problems import invalid

Numbers = TypeVar("Numbers", bound=msgspec.Struct)


def numbers_of(given: BaseModel, kind: type[Numbers]) -> Numbers:
    """The numbers of a request, for the domain. Raises ProblemError 422 where they contradict each other."""
    try:
        return msgspec.convert(given.model_dump(), kind)
    except msgspec.ValidationError as error:
        found = error.__cause__
        raise invalid(f"/{found.field}" if isinstance(found, Contradiction) else "", str(error)) from error


def view_of(name: str, numbers: type[BaseModel]) -> type[BaseModel]:
    """The model of the answer: the versions of a policy, each with its numbers."""
    called = name.capitalize()
    version: Any = create_model(
        f"{called}Version",
        __doc__="A version, since when.",
        version=(int, ...),
        created_at=(datetime, ...),
        numbers=(numbers, ...),
    )
    return create_model(
        f"{called}PolicyView",
        __doc__="The versions, the newest first: that one is in force.",
        versions=(list[version], ...),
    )


def encoded(versions: Sequence[tuple[msgspec.Struct, datetime]]) -> bytes:
    """The versions as they are sent. Numbers that stood before a bound was drawn are shown, too."""
    return msgspec.json.encode({"versions": [_version(numbers, at) for numbers, at in versions]})


def _version(numbers: msgspec.Struct, at: datetime) -> dict[str, Any]:
    body = msgspec.to_builtins(numbers)
    return {"version": body.pop("version"), "created_at": at, "numbers": body}
