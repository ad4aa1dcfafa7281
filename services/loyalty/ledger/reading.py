"""What an account shows at an instant. Computed from its lots: nothing waits for the sweeper."""

from datetime import datetime

import msgspec

from services.loyalty.ledger import store
from services.loyalty.ledger.domain import Entry, Lot
from shared.db import Tx


class Balance(msgspec.Struct, frozen=True):
    """Points. ``next_at`` is when the next of them expire, ``expiring`` how many then."""

    available: int
    pending: int
    lifetime_earned: int
    next_at: datetime | None
    expiring: int


async def account_of(tx: Tx, customer: str) -> int | None:
    """The id of a customer's account; None for who loyalty has never heard of."""
    row = await store.find(tx, customer)
    return None if row is None else int(row["account_id"])


async def balance_at(tx: Tx, account: int, at: datetime) -> Balance:
    """The balance at an instant, as what is known now has it."""
    row = await store.balance(tx, account, at)
    next_at: datetime | None = row["next_at"]
    return Balance(
        available=int(row["available"]),
        pending=int(row["pending"]),
        lifetime_earned=int(row["lifetime_earned"]),
        next_at=next_at,
        expiring=await store.expiring(tx, account, next_at) if next_at else 0,
    )


async def entries_of(
    tx: Tx, account: int, *, before: int, as_of: datetime, known_by: datetime, limit: int
) -> list[Entry]:
    """Entries with a number below ``before``, newest first, of what had happened and was known by then."""
    return await store.entry_page(tx, account, before, as_of, known_by, limit)


async def lots_page(tx: Tx, account: int, before: tuple[datetime, str], limit: int) -> list[Lot]:
    """Lots older than (occurred_at, order_id), newest first."""
    return await store.lot_page(tx, account, before, limit)


async def everything(tx: Tx) -> list[tuple[str, Lot | None]]:
    """Every lot with its customer, sorted; None for a customer without lots."""
    return await store.everything(tx)
