"""Lists in pages: `?limit=&cursor=`, the cursor being the sort key of the last item, opaque and unsigned.

A cursor only says where to go on: the query that uses it filters by what the caller may see, every time.
"""

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from fastapi import Depends, Query
from pydantic import BaseModel

from shared.http.problems import invalid

DEFAULT_LIMIT = 50
MAX_LIMIT = 200
_MAX_CURSOR = 1024
_BIGINT = 2**63

Item = TypeVar("Item")
Row = TypeVar("Row")
Key = TypeVar("Key", bound=tuple[Any, ...])


class Page(BaseModel, Generic[Item]):
    """One page of a list; `next_cursor` is null on the last."""

    items: list[Item]
    next_cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Paging:
    """Which page is asked for."""

    limit: int
    cursor: str | None

    def after(self, key: type[Key]) -> Key | None:
        """The sort key to go on after, e.g. `paging.after(tuple[datetime, str])`; None for the first page.

        Raises ProblemError 422 `invalid-cursor`.
        """
        return None if self.cursor is None else decode_cursor(self.cursor, key)

    def next_cursor(self, rows: Sequence[Row], key: Callable[[Row], tuple[Any, ...]]) -> str | None:
        """The cursor after this page, given `limit` + 1 rows where there are so many; show `rows[:limit]`."""
        return encode_cursor(key(rows[self.limit - 1])) if len(rows) > self.limit else None


async def _paging(
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = DEFAULT_LIMIT,
    cursor: Annotated[str | None, Query(max_length=_MAX_CURSOR)] = None,
) -> Paging:
    return Paging(limit, cursor)


PageRequest = Annotated[Paging, Depends(_paging)]
"""The dependency: `async def list_things(paging: PageRequest) -> Page[Thing]`."""


def encode_cursor(key: tuple[Any, ...]) -> str:
    """A sort key as URL-safe text. Strings, integers, aware datetimes, dates, decimals and UUIDs go in."""
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(key)).decode().rstrip("=")


def decode_cursor(cursor: str, key: type[Key]) -> Key:
    """The sort key in a cursor. Raises ProblemError 422 `invalid-cursor` for whatever isn't exactly that."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        values: Key | None = msgspec.msgpack.decode(raw, type=key)
    except (binascii.Error, msgspec.DecodeError, ValueError, OverflowError, RecursionError):
        values = None
    if values is None or not all(map(_is_storable, values)):
        raise invalid("/query/cursor", "This cursor isn't one of ours; start at the first page.", code="invalid-cursor")
    return values


def _is_storable(value: object) -> bool:
    if isinstance(value, str):
        return "\0" not in value
    if isinstance(value, int):
        return -_BIGINT <= value < _BIGINT
    if isinstance(value, datetime):
        # The years that our data can lie in, and that stay in range whatever the offset.
        return value.tzinfo is not None and 1900 <= value.year <= 2200
    return True
