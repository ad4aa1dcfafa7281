"""A record as it comes from the broker."""

from typing import NamedTuple


class Record(NamedTuple):
    """Key, value and headers as bytes; the place is -1 where the record didn't come from a partition."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    partition: int = -1
    offset: int = -1
