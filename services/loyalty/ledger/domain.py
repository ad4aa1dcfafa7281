"""The double-entry ledger: what an order's award is, which entries bring its lot there, and the chain over them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Literal

import msgspec

Bucket = Literal["pending", "available", "expired"]
Book = Literal["pending", "available", "expired", "issued", "reversed"]
Kind = Literal["earned", "reversed", "released", "deferred", "expired", "restored"]

BOOKS: tuple[Book, ...] = ("pending", "available", "expired", "issued", "reversed")
GENESIS = b""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MOVES: dict[tuple[Bucket, Bucket], Kind] = {
    ("pending", "available"): "released",
    ("available", "pending"): "deferred",
    ("pending", "expired"): "expired",
    ("available", "expired"): "expired",
    ("expired", "available"): "restored",
    ("expired", "pending"): "restored",
}


class Award(msgspec.Struct, frozen=True):
    """What the facts award for one order, and so its lot. Also with 0 points: tiers count its money.

    ``net_minor``: paid less given back, in minor units of ``currency``. ``points`` are net of ``reversed``.
    ``judged_with``: the newest version known when the order was judged first; later ones can't re-judge it.
    """

    order_id: str
    occurred_at: datetime
    currency: str
    net_minor: int
    points: int
    reversed: int
    programme_version: int | None
    judged_with: int
    available_from: datetime
    expires_at: datetime | None

    def bucket(self, at: datetime) -> Bucket:
        """Where the points are at an instant, whatever was written down."""
        if self.expires_at is not None and at >= self.expires_at:
            return "expired"
        return "available" if at >= self.available_from else "pending"


class Lot(msgspec.Struct, frozen=True):
    """An award of an account and what the ledger says of it: ``posted`` points in ``posted_in``."""

    account_id: int
    award: Award
    posted: int = 0
    posted_in: Bucket = "pending"

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
    """A row of the ledger, and what its hash covers. ``cause``: source and id of what led to it."""

    account_id: int
    seq: int
    kind: Kind
    debit: Book
    credit: Book
    points: int
    order_id: str
    programme_version: int | None
    occurred_at: datetime
    known_at: datetime
    cause_source: str
    cause_id: str
    hash: bytes = GENESIS

    def chained(self, before: bytes) -> bytes:
        """SHA-256 over the hash before and the entry in canonical JSON, instants in microseconds since 1970."""
        content = (
            self.account_id, self.seq, self.kind, self.debit, self.credit, self.points, self.order_id,
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


def settle(lot: Lot, points: int, now: datetime, at: datetime) -> tuple[Lot, list[Posting]]:
    """The lot and the postings that make the ledger hold ``points`` where they belong ``now``.

    ``at`` is when that which changes the amount happened. Expiry is left to ``sweep``, which announces it.
    """
    award, posted, place = lot.award, lot.posted, lot.posted_in
    postings = []
    if points < posted:
        postings.append(Posting("reversed", place, "reversed", posted - points, at))
        posted = points
    target = award.bucket(now)
    if target == "expired" and place != "expired":
        target = "available"
    if not posted:
        direct = award.available_from <= award.occurred_at
        place = "available" if direct and target == "available" else "pending"
    elif place != target:
        kind = _MOVES[place, target]
        moved_at = award.available_from if kind == "released" else at
        postings.append(Posting(kind, place, target, posted, moved_at))
        place = target
    if points > posted:
        postings.append(Posting("earned", "issued", place, points - posted, at))
    if place != target and points:
        postings.append(Posting("released", place, target, points, award.available_from))
        place = target
    return msgspec.structs.replace(lot, posted=points, posted_in=place), postings


def sweep(lot: Lot, now: datetime) -> tuple[Lot, list[Posting]]:
    """The lot and the postings that write down what has fallen due: a release, an expiry, or both."""
    award, place = lot.award, lot.posted_in
    postings = []
    expires = award.expires_at
    usable = award.available_from <= now and (expires is None or award.available_from < expires)
    if lot.posted and place == "pending" and usable:
        postings.append(Posting("released", place, "available", lot.posted, award.available_from))
        place = "available"
    if lot.posted and place != "expired" and expires is not None and expires <= now:
        postings.append(Posting("expired", place, "expired", lot.posted, expires))
        place = "expired"
    return msgspec.structs.replace(lot, posted_in=place), postings


def chain(
    head: Head, account_id: int, lot: Lot, postings: list[Posting], cause: Cause, now: datetime
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
            order_id=lot.award.order_id,
            programme_version=lot.award.programme_version,
            occurred_at=posting.occurred_at,
            known_at=now,
            cause_source=cause.source,
            cause_id=cause.id,
        )
        head.hash = entry.chained(head.hash)
        head.entries = entry.seq
        yield msgspec.structs.replace(entry, hash=head.hash)
