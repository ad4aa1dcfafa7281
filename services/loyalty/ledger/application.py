"""Accounts under lock, and the journal in which a transaction gathers what it will write down of them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from services.loyalty.ledger import store
from services.loyalty.ledger.domain import Cause, Entry, Head, Lot, Posting, chain, settle, sweep
from shared.clock import Clock
from shared.contracts.points import PointsEarned, PointsExpired, PointsReversed
from shared.contracts.types import Cause as CausedBy
from shared.db import Database, Row, Tx
from shared.messaging import merges, outbox
from shared.messaging.merges import Groups
from shared.messaging.outbox import UNNUMBERED, Outgoing

SERVICE = "loyalty"
JOBS = f"/roost/{SERVICE}/jobs"
BATCH = 1000


@dataclass(slots=True)
class Account:
    """A locked account. ``last_at``, ``orders`` and ``caps`` (JSON) are earning's memory, kept for it.

    ``survivor_account_id``: the account that answers for this one while a merge has joined it to another.
    """

    account_id: int
    customer_id: str
    survivor_account_id: int | None
    last_at: datetime | None
    orders: int
    caps: bytes
    head: Head


@dataclass(slots=True)
class Journal:
    """What a transaction writes: entries, lots, events. One a transaction, written once."""

    now: datetime
    entries: list[Entry] = field(default_factory=list)
    added: list[Lot] = field(default_factory=list)
    changed: dict[str, Lot] = field(default_factory=dict)
    events: list[Outgoing] = field(default_factory=list)

    def open_lot(self, account: Account, lot: Lot, cause: Cause) -> None:
        """A lot for an order that has none."""
        settled, postings = settle(lot, lot.award.points, self.now, lot.award.occurred_at)
        self.added.append(settled)
        self._post(account, settled, postings, cause)

    def close_lot(self, account: Account, lot: Lot, cause: Cause) -> None:
        """Takes back what is posted of a lot: its order has left this account. Another account opens it anew."""
        settled, postings = settle(lot, 0, self.now, cause.occurred_at)
        self._post(account, settled, postings, cause)

    def change_lot(self, account: Account, lot: Lot, cause: Cause) -> None:
        """The difference between what a lot's award is now and what is posted of it."""
        at = cause.occurred_at if lot.posted else lot.award.occurred_at
        settled, postings = settle(lot, lot.award.points, self.now, at)
        self.changed[lot.award.order_id] = settled
        self._post(account, settled, postings, cause)

    def sweep_lot(self, account: Account, lot: Lot) -> int:
        """Writes down what has fallen due of a lot; answers the points that expired."""
        swept, postings = sweep(lot, self.now)
        self.changed[lot.award.order_id] = swept
        for posting in postings:
            cause = Cause(f"{JOBS}/sweep", f"{posting.kind}:{posting.occurred_at.isoformat()}", posting.occurred_at)
            self._post(account, swept, [posting], cause)
        return sum(posting.points for posting in postings if posting.kind == "expired")

    async def write(self, tx: Tx, accounts: Iterable[Account]) -> None:
        """Writes everything but the events, which go out after those of others in the transaction."""
        rows = [(a.account_id, a.last_at, a.orders, a.caps, a.head.entries, a.head.hash) for a in accounts]
        await store.save(tx, rows)
        await store.add_lots(tx, self.added)
        await store.change_lots(tx, list(self.changed.values()))
        await store.add_entries(tx, self.entries)

    def _post(self, account: Account, lot: Lot, postings: list[Posting], cause: Cause) -> None:
        if not postings:
            return
        self.entries += chain(account.head, account.account_id, lot, postings, cause, self.now)
        for posting in postings:
            if event := _announced(account, lot, posting, cause):
                self.events.append(Outgoing(event, cause.traceparent))


async def open_accounts(tx: Tx, customers: Sequence[str], now: datetime) -> dict[str, Account]:
    """Accounts of sorted customers, locked; opened where loyalty hears of somebody for the first time."""
    return {row["customer_id"]: _account(row) for row in await store.open_and_lock(tx, customers, now)}


async def open_groups(tx: Tx, customers: Sequence[str], groups: Groups, now: datetime) -> dict[str, Account]:
    """The same together with those that answer for them, whose accounts each of theirs points to from now on."""
    survivors = {groups.survivor(customer) for customer in customers}
    accounts = await open_accounts(tx, sorted(survivors.union(customers)), now)
    moved: list[tuple[int, int | None]] = []
    for customer, account in accounts.items():
        survivor = accounts[groups.survivor(customer)].account_id
        target = None if survivor == account.account_id else survivor
        if account.survivor_account_id != target:
            account.survivor_account_id = target
            moved.append((account.account_id, target))
    if moved:
        await store.point(tx, moved)
    return accounts


async def lock_accounts(tx: Tx, ids: Sequence[int]) -> dict[int, Account]:
    """Accounts that exist, locked."""
    return {row["account_id"]: _account(row) for row in await store.lock(tx, ids)}


async def spends_of(
    tx: Tx, ids: Mapping[int, int], currency: str, since: datetime
) -> Mapping[int, list[tuple[datetime, int]]]:
    """What stands of each account's orders placed after ``since``, in minor units of the currency.

    ``ids``: of each account the sum below which its spends don't matter; it is left out then.
    """
    return await store.spends(tx, ids, currency, since) if ids else {}


async def spends_of_groups(
    tx: Tx, ids: Sequence[int], currency: str, since: datetime
) -> Mapping[int, list[tuple[datetime, int]]]:
    """The same for each account together with those that it answers for."""
    return await store.spends_of_groups(tx, ids, currency, since) if ids else {}


async def customers_with_accounts(tx: Tx, customers: Sequence[str]) -> list[str]:
    """Those of them that loyalty has heard of."""
    return [row["customer_id"] for row in await store.find(tx, customers)]


async def accounts_after(tx: Tx, after: int, limit: int) -> list[int]:
    """Accounts by id, to go through all of them."""
    return await store.accounts_after(tx, after, limit)


async def lots_of(tx: Tx, ids: Sequence[int]) -> list[Lot]:
    """Every lot of these accounts."""
    return await store.lots_of(tx, ids) if ids else []


@dataclass(frozen=True, slots=True)
class Sweeper:
    """Writes down releases and expiries that are true already. Balances never wait for it."""

    db: Database
    clock: Clock
    wake: Callable[[], None]

    async def run(self) -> int:
        """Everything due by now, in transactions of up to 1000 lots. Answers the number of lots moved."""
        moved = 0
        while found := await self._batch():
            moved += found
            self.wake()
        return moved

    async def next_due(self) -> datetime | None:
        """The instant at which the next lot falls due."""
        async with self.db.transaction() as tx:
            return await store.next_due(tx)

    async def _batch(self) -> int:
        now = self.clock.now()
        async with self.db.transaction() as tx:
            await merges.share(tx)
            accounts = await lock_accounts(tx, await store.due_accounts(tx, now, BATCH))
            lots = await store.due_lots(tx, list(accounts), now)
            journal = Journal(now)
            expired: dict[tuple[datetime, str], int] = {}
            for lot in lots:
                account = accounts[lot.account_id]
                if points := journal.sweep_lot(account, lot):
                    key = (lot.award.expires_at or now, account.customer_id)
                    expired[key] = expired.get(key, 0) + points
            await journal.write(tx, accounts.values())
            events = [_expired(customer, points, at) for (at, customer), points in sorted(expired.items())]
            await outbox.append(tx, SERVICE, events, now)
        return len(lots)


def _account(row: Row) -> Account:
    return Account(
        row["account_id"], row["customer_id"], row["survivor_account_id"], row["last_at"], row["orders"], row["caps"],
        Head(row["entries"], row["head"]),
    )  # fmt: skip


def _announced(account: Account, lot: Lot, posting: Posting, cause: Cause) -> PointsEarned | PointsReversed | None:
    # The events add up to what a customer has: expired points left that sum already, until they are restored.
    award = lot.award
    if award.programme_version is None:
        return None
    caused_by = CausedBy(source=cause.source, id=cause.id)
    if posting.kind in ("earned", "restored") and posting.credit != "expired":
        return PointsEarned(
            customer_id=account.customer_id,
            sequence=UNNUMBERED,
            caused_by=caused_by,
            occurred_at=posting.occurred_at,
            order_id=award.order_id,
            points=posting.points,
            available_from=award.available_from,
            expires_at=award.expires_at,
            programme_version=award.programme_version,
        )
    if posting.kind == "reversed" and posting.debit != "expired":
        return PointsReversed(
            customer_id=account.customer_id,
            sequence=UNNUMBERED,
            caused_by=caused_by,
            occurred_at=posting.occurred_at,
            order_id=award.order_id,
            points=posting.points,
            programme_version=award.programme_version,
        )
    return None


def _expired(customer: str, points: int, at: datetime) -> Outgoing:
    caused_by = CausedBy(source=f"{JOBS}/sweep", id=f"expired:{at.isoformat()}")
    return Outgoing(
        PointsExpired(customer_id=customer, sequence=UNNUMBERED, caused_by=caused_by, occurred_at=at, points=points)
    )
