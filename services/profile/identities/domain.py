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

    @property
    def survivor_first(self) -> tuple[str, ...]:
        """His ids, the one that answers for them before the others."""
        return (self.customer_id, *(one for one in self.ids if one != self.customer_id))


class Rule(msgspec.Struct, frozen=True):
    """Why two were joined by the policy ``merging``: the kinds of key that both have verified (see ``strong_keys``)."""

    policy_version: int
    verified: tuple[str, ...]


class MergeView(msgspec.Struct, frozen=True):
    """A merge as it stands, when it was made and undone, and which services took its newest version in.

    ``rule``: by which it was made; None of one that somebody made.
    """

    merge_id: str
    version: int
    from_id: str
    into_id: str
    active: bool
    merged_at: datetime
    undone_at: datetime | None
    acknowledged_by: tuple[str, ...]
    rule: Rule | None = None


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


class KindsDiffer(Exception):
    """A person and a company are never one."""


class KnownAsTwo(Exception):
    """Somebody looked at the two and found them to be two."""


class NotByRule(Exception):
    """No rule joins them. ``why``: ``rejected``, ``restricted``, ``birthdays-differ``, ``kinds-differ``, ``gone``,
    ``erased``."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Side(msgspec.Struct, frozen=True):
    """One of two files that a rule may join, with what tells which of them stays."""

    customer_id: str
    created_at: datetime
    orders: int


def stays_first(one: Side, other: Side) -> tuple[Side, Side]:
    """Who stays, then who is joined to him: the older file; of two of one age that with more orders, then by id."""
    first, second = sorted((one, other), key=lambda side: (side.created_at, -side.orders, side.customer_id))
    return first, second


class AlreadyUndone(Exception):
    """The merge doesn't stand any more."""
