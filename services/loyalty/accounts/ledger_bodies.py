"""What the ledger has of an account, as it is shown: books, entries, lots."""

from collections.abc import Mapping
from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from services.loyalty.accounts import examples
from services.loyalty.ledger.domain import Bucket, Entry, Lot


class BalanceBody(BaseModel):
    """What the ledger's entries of what had happened by ``as_of`` and was known by ``known_by`` come to.

    As they were written down: what a return took of points that were pending when it happened, and available when it
    was heard of, is taken off the available ones.
    """

    model_config = ConfigDict(json_schema_extra={"example": examples.BALANCE})

    customer_id: str
    as_of: datetime
    known_by: datetime
    available: int
    pending: int
    held: int
    debt: int
    expired: int


class EntryView(BaseModel):
    """An entry: points from the book ``debit`` to the book ``credit``, when it happened and when we knew.

    ``customer_id``: the id whose chain it is in; ``seq`` counts there.
    """

    customer_id: str
    seq: int
    kind: str
    debit: str
    credit: str
    points: int
    origin: str = Field(description="order, take, or what gave the points beside orders")
    order_id: str | None
    source_id: str
    programme_version: int | None
    occurred_at: datetime
    known_at: datetime
    caused_by: dict[str, str]
    hash: str = Field(description="SHA-256 over the hash before it and this entry, hexadecimal")


class LotView(BaseModel):
    """The points of one order or grant: where they are now, and their dates. ``free`` of them can be, or will be,
    used; ``owed``: by how much what was used is more than what returns left."""

    origin: str
    order_id: str | None
    source_id: str
    points: int
    reversed: int
    free: int
    spent: int
    held: int
    repaid: int
    owed: int
    state: Bucket
    occurred_at: datetime
    available_from: datetime
    expires_at: datetime | None
    programme_version: int | None


def balance_body(customer_id: str, as_of: datetime, known_by: datetime, books: Mapping[str, int]) -> BalanceBody:
    """The books of an account as its balance."""
    return BalanceBody(
        customer_id=customer_id,
        as_of=as_of,
        known_by=known_by,
        available=books.get("available", 0),
        pending=books.get("pending", 0),
        held=books.get("held", 0),
        debt=-books.get("debt", 0),
        expired=books.get("expired", 0),
    )


def entry_view(entry: Entry, customer_id: str) -> EntryView:
    """An entry of this customer's chain as it is shown."""
    return EntryView(
        customer_id=customer_id,
        seq=entry.seq,
        kind=entry.kind,
        debit=entry.debit,
        credit=entry.credit,
        points=entry.points,
        origin=entry.origin,
        order_id=entry.source_id if entry.origin == "order" else None,
        source_id=entry.source_id,
        programme_version=entry.programme_version,
        occurred_at=entry.occurred_at,
        known_at=entry.known_at,
        caused_by={"source": entry.cause_source, "id": entry.cause_id},
        hash=entry.hash.hex(),
    )


def lot_view(lot: Lot, now: datetime) -> LotView:
    """A lot as it is shown."""
    award = lot.award
    return LotView(
        origin=award.origin,
        order_id=award.source_id if award.origin == "order" else None,
        source_id=award.source_id,
        points=award.points,
        reversed=award.reversed,
        free=lot.posted,
        spent=lot.spent,
        held=lot.held,
        repaid=lot.repaid,
        owed=lot.owed,
        state=award.bucket(now),
        occurred_at=award.occurred_at,
        available_from=award.available_from,
        expires_at=award.expires_at,
        programme_version=award.programme_version,
    )
