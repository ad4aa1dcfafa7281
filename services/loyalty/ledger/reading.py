"""What a customer's accounts show at an instant. Computed from their lots: nothing waits for the sweeper."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import msgspec

from services.loyalty.ledger import entries_store, lots_store, store, uses_store
from services.loyalty.ledger.domain import Entry, Lot
from services.loyalty.ledger.moves import use
from services.loyalty.ledger.spending import Hold, Take, Uses, uses
from shared.contracts.erasures import is_pseudonym
from shared.db import Tx
from shared.messaging import merges

Accounts = Sequence[int]
"""The accounts of one person, by their ids."""


class Balance(msgspec.Struct, frozen=True):
    """Points. ``next_at`` is when the next of them expire, ``expiring`` how many then."""

    available: int
    pending: int
    held: int
    debt: int
    lifetime_earned: int
    next_at: datetime | None
    expiring: int


class Holder(msgspec.Struct, frozen=True):
    """A person: every id of his, sorted, the one that answers for all, and the customers of his accounts by their ids.

    No accounts: loyalty has never heard of him.
    """

    ids: Sequence[str]
    survivor: str
    customers: Mapping[int, str]

    @property
    def accounts(self) -> Accounts:
        """The ids of his accounts."""
        return list(self.customers)


class Funds(msgspec.Struct, frozen=True):
    """The account that answers for a person, all of his, and the points that he can use: None where only ``balance_at``
    tells."""

    owner: int
    accounts: Accounts
    available: int | None


async def holder_of(tx: Tx, customer: str) -> Holder:
    """Whose id this is."""
    if is_pseudonym(customer):
        return Holder([customer], customer, {})
    groups = await merges.groups_of(tx, [customer])
    ids = groups.members(customer)
    rows = await store.find(tx, ids)
    return Holder(ids, groups.survivor(customer), {row["account_id"]: row["customer_id"] for row in rows})


async def funds(tx: Tx, customers: Iterable[str], at: datetime) -> dict[str, Funds]:
    """Of each customer what his person has at an instant; none of whom loyalty has never heard of.

    As they are: a merge may change them meanwhile, so it is for who keeps nothing by it.
    """
    named = sorted({customer for customer in customers if not is_pseudonym(customer)})
    found = await lots_store.funds(tx, named, at) if named else {}
    return {customer: Funds(*row) for customer, row in found.items()}


async def balance_at(tx: Tx, accounts: Accounts, at: datetime) -> Balance:
    """The balance at an instant, as what is known now has it."""
    row = await lots_store.balance(tx, accounts, at)
    if row["unsettled"]:
        return _worked_out(*await uses_of(tx, accounts), at)
    return Balance(
        available=int(row["available"]),
        pending=int(row["pending"]),
        held=int(row["held"]),
        debt=0,
        lifetime_earned=int(row["lifetime_earned"]),
        next_at=row["next_at"],
        expiring=int(row["expiring"]),
    )


def _worked_out(lots: Sequence[Lot], takes: Sequence[Take], holds: Sequence[Hold], at: datetime) -> Balance:
    """What the ledger will say once it is written down as of that instant."""
    used = uses(lots, takes, [hold for hold in holds if hold.state_at(at) == "open"], at)
    places = dict.fromkeys(("pending", "available", "expired"), 0)
    debt = sum(used.foreign.values()) - sum(used.repaid.values())
    leaving: dict[datetime, int] = {}
    for lot in lots:
        award, key = lot.award, lot.award.key
        free = award.points - used.spent.get(key, 0) - used.held.get(key, 0)
        debt += max(0, -free)
        free = max(0, free - used.repaid.get(key, 0))
        places[award.bucket(at)] += free
        if free and award.expires_at is not None and award.expires_at > at:
            leaving[award.expires_at] = leaving.get(award.expires_at, 0) + free
    next_at = min(leaving, default=None)
    return Balance(
        available=places["available"],
        pending=places["pending"],
        held=sum(used.held.values()),
        debt=debt,
        lifetime_earned=sum(lot.award.points for lot in lots if lot.award.origin not in ("adjustment", "transfer")),
        next_at=next_at,
        expiring=leaving[next_at] if next_at else 0,
    )


async def entries_of(
    tx: Tx,
    accounts: Accounts,
    *,
    before: tuple[datetime, int, int],
    as_of: datetime,
    known_by: datetime,
    limit: int,
) -> list[Entry]:
    """Entries before (known_at, account_id, seq), newest first, of what had happened and was known by then."""
    return await entries_store.entry_page(tx, accounts, before, as_of, known_by, limit)


async def books_at(tx: Tx, accounts: Accounts, as_of: datetime, known_by: datetime) -> dict[str, int]:
    """What the entries of what had happened and was known by then leave in each book: credits less debits."""
    return await entries_store.books(tx, accounts, as_of, known_by)


async def lots_page(tx: Tx, accounts: Accounts, before: tuple[datetime, str], limit: int, at: datetime) -> list[Lot]:
    """Lots older than (occurred_at, source_id), newest first: as they are at an instant, as the balance then is."""
    page = await lots_store.lot_page(tx, accounts, before, limit)
    holds = await uses_store.open_holds(tx, accounts)
    lapsed = any(hold.state_at(at) == "expired" for hold in holds)
    if not lapsed and not (await lots_store.balance(tx, accounts, at))["unsettled"]:
        return page
    lots, takes, _ = await uses_of(tx, accounts)
    found = uses(lots, takes, [hold for hold in holds if hold.state_at(at) == "open"], at)
    return [_as_used(lot, found, at) for lot in page]


def _as_used(lot: Lot, found: Uses, at: datetime) -> Lot:
    key = lot.award.key
    used = {name: of.get(key, 0) for name, of in (("spent", found.spent), ("held", found.held))}
    return use(lot, at, at, **used, repaid=found.repaid.get(key, 0))[0]


async def every_lot(tx: Tx) -> list[tuple[str, str, Lot]]:
    """Every lot with who answers for its customer, and the customer, sorted."""
    return await lots_store.every_lot(tx)


async def every_take(tx: Tx) -> list[tuple[str, Take]]:
    """Every take that wasn't rolled back, with who answers for who took, sorted."""
    return await uses_store.every_take(tx)


async def uses_of(tx: Tx, accounts: Accounts) -> tuple[list[Lot], list[Take], list[Hold]]:
    """Every lot of these accounts, what they took and wasn't rolled back, and the holds that nobody has ended."""
    lots = await lots_store.lots_of(tx, accounts)
    return lots, await uses_store.takes_of(tx, accounts), await uses_store.open_holds(tx, accounts)


async def at_one_moment(tx: Tx) -> None:
    """First of all in a transaction that only reads, several times: all it reads is of one moment."""
    await entries_store.snapshot(tx)


async def due_holds(tx: Tx, now: datetime, limit: int) -> list[str]:
    """The ids of holds that have run out and aren't written down as such."""
    return await uses_store.due_holds(tx, now, limit)


async def next_hold_due(tx: Tx) -> datetime | None:
    """When the next hold runs out."""
    return await uses_store.next_hold_due(tx)
