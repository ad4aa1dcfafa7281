"""Which ids are one person, and what may be joined and parted."""

from datetime import datetime

import msgspec


class Person(msgspec.Struct, frozen=True):
    """Who is meant by an id: ``customer_id`` answers for all his ``ids``, of which ``asked`` is one.

    ``joined_at``: when the last of his ids was joined to him; None of who has one id.
    """

    asked: str
    customer_id: str
    ids: tuple[str, ...]
    joined_at: datetime | None = None

    @property
    def merged_into(self) -> str | None:
        """Who answers for the id that was asked for, where it isn't itself."""
        return self.customer_id if self.asked != self.customer_id else None


class MergeView(msgspec.Struct, frozen=True):
    """A merge as it stands, when it was made and undone, and which services took its newest version in."""

    merge_id: str
    version: int
    from_id: str
    into_id: str
    active: bool
    merged_at: datetime
    undone_at: datetime | None
    acknowledged_by: tuple[str, ...]


class SamePerson(Exception):
    """An id can't be joined to itself."""


class UnknownCustomer(Exception):
    """There is no file of this id. ``place``: ``from_id`` or ``into_id``."""

    def __init__(self, place: str) -> None:
        super().__init__(place)
        self.place = place


class AlreadyMerged(Exception):
    """An id (``place``) is joined to ``survivor`` already."""

    def __init__(self, place: str, survivor: str) -> None:
        super().__init__(place)
        self.place, self.survivor = place, survivor


class AlreadyUndone(Exception):
    """The merge doesn't stand any more."""
