"""The double-entry ledger: what a lot of points is, where its points are, entries, and the chain over them."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Literal, get_args

import msgspec

Bucket = Literal["pending", "available", "expired"]
Book = Literal[
    "pending", "available", "held", "debt", "expired",
    "issued", "redeemed", "reversed", "adjusted", "compensation", "transferred",
]  # fmt: skip
Kind = Literal[
    "earned", "reversed", "released", "deferred", "expired", "restored",
    "held", "voided", "redeemed", "rolled-back", "repaid", "owed-again", "owed", "backed", "adjusted", "transferred",
]  # fmt: skip
Grant = Literal["adjustment", "compensation", "occasion", "gift", "referral", "transfer"]
"""What gives points beside orders."""
Origin = Literal["order", Grant]

BOOKS: tuple[Book, ...] = get_args(Book)
OF_CUSTOMERS: tuple[Book, ...] = ("pending", "available", "held", "expired")
"""Those that are never below zero; a customer's debt is one that never is above it, over all accounts of a person."""
GENESIS = b""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_SOURCES: dict[Origin, Book] = {"adjustment": "adjusted", "compensation": "compensation", "transfer": "transferred"}

LotKey = tuple[Origin, str]
"""What a lot is of: its origin, and the id there."""


class Award(msgspec.Struct, frozen=True):
    """What the facts award for one order or grant, and so its lot. Also with 0 points: tiers count its money.

    ``source_id``: the order's id, or the grant's. ``net_minor``: paid less given back, in minor units of ``currency``.
    ``points`` are net of ``reversed``. ``judged_with``: the newest version known when the order was judged first; later
    ones can't re-judge it.
    """

    source_id: str
    occurred_at: datetime
    currency: str
    net_minor: int
    points: int
    reversed: int
    programme_version: int | None
    judged_with: int
    available_from: datetime
    expires_at: datetime | None
    origin: Origin = "order"

    @property
    def key(self) -> LotKey:
        """What its lot is known by."""
        return self.origin, self.source_id

    @property
    def source(self) -> Book:
        """The book that its points come out of."""
        return _SOURCES.get(self.origin, "issued")

    def bucket(self, at: datetime) -> Bucket:
        """Where the points are at an instant, whatever was written down."""
        if self.expires_at is not None and at >= self.expires_at:
            return "expired"
        return "available" if at >= self.available_from else "pending"


class Lot(msgspec.Struct, frozen=True):
    """An award of an account and where the ledger has its points.

    ``posted`` are free, in ``posted_in``; ``spent`` were taken, ``held`` may be, ``repaid`` went into the debts of the
    same person. ``owed``: by how much these three come to more than the award, since it fell after they were used.
    """

    account_id: int
    award: Award
    posted: int = 0
    posted_in: Bucket = "pending"
    spent: int = 0
    held: int = 0
    repaid: int = 0
    owed: int = 0

    @property
    def booked(self) -> int:
        """The points that are posted of the award in all."""
        return self.posted + self.spent + self.held + self.repaid - self.owed

    @property
    def due_at(self) -> datetime | None:
        """When the sweeper has to write the next thing down."""
        if not self.posted or self.posted_in == "expired":
            return None
        available, expires = self.award.available_from, self.award.expires_at
        if self.posted_in == "pending":
            return available if expires is None else min(available, expires)
        return expires


class Posting(msgspec.Struct, frozen=True):
    """An entry to be: points from ``debit`` to ``credit`` at the business time ``occurred_at``."""

    kind: Kind
    debit: Book
    credit: Book
    points: int
    occurred_at: datetime


class Head(msgspec.Struct):
    """The end of an account's chain."""

    entries: int = 0
    hash: bytes = GENESIS


class Entry(msgspec.Struct, frozen=True):
    """A row of the ledger, and what its hash covers. ``origin`` and ``source_id``: the lot, or the take that is owed
    for; ``cause``: source and id of what led to it."""

    account_id: int
    seq: int
    kind: Kind
    debit: Book
    credit: Book
    points: int
    origin: str
    source_id: str
    programme_version: int | None
    occurred_at: datetime
    known_at: datetime
    cause_source: str
    cause_id: str
    hash: bytes = GENESIS

    def chained(self, before: bytes) -> bytes:
        """SHA-256 over the hash before and the entry in canonical JSON, instants in microseconds since 1970."""
        about = self.source_id if self.origin == "order" else (self.origin, self.source_id)
        content = (
            self.account_id, self.seq, self.kind, self.debit, self.credit, self.points, about,
            self.programme_version, (self.occurred_at - _EPOCH) // _MICROSECOND,
            (self.known_at - _EPOCH) // _MICROSECOND, self.cause_source, self.cause_id,
        )  # fmt: skip
        return sha256(before + msgspec.json.encode(content)).digest()


class Cause(msgspec.Struct, frozen=True):
    """What makes the ledger move: an event (its source, id and business time) or a job."""

    source: str
    id: str
    occurred_at: datetime
    traceparent: str | None = None


class Subject(msgspec.Struct, frozen=True):
    """What entries are about: a lot, or a take that nothing backs."""

    origin: str
    source_id: str
    programme_version: int | None = None

    @classmethod
    def of(cls, award: Award) -> "Subject":
        """An award's lot."""
        return cls(award.origin, award.source_id, award.programme_version)


def chain(
    head: Head, account_id: int, subject: Subject, postings: Sequence[Posting], cause: Cause, now: datetime
) -> Iterator[Entry]:
    """Appends the postings to an account's chain, moving its head."""
    for posting in postings:
        entry = Entry(
            account_id=account_id,
            seq=head.entries + 1,
            kind=posting.kind,
            debit=posting.debit,
            credit=posting.credit,
            points=posting.points,
            origin=subject.origin,
            source_id=subject.source_id,
            programme_version=subject.programme_version,
            occurred_at=posting.occurred_at,
            known_at=now,
            cause_source=cause.source,
            cause_id=cause.id,
        )
        head.hash = entry.chained(head.hash)
        head.entries = entry.seq
        yield msgspec.structs.replace(entry, hash=head.hash)
