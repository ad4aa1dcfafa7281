"""Accounts under lock, and the journal in which a transaction gathers what it will write down of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from services.loyalty.ledger import entries_store, lots_store, store, uses_store
from services.loyalty.ledger.domain import Cause, Entry, Head, Lot, LotKey, Posting, Subject, chain
from services.loyalty.ledger.moves import settle, sweep, use
from services.loyalty.ledger.spending import Hold, Take
from shared.contracts.erasures import is_pseudonym
from shared.contracts.points import PointsEarned, PointsExpired, PointsReversed
from shared.contracts.types import MAX_POINTS
from shared.contracts.types import Cause as CausedBy
from shared.db import Part, Row, Tx
from shared.messaging import merges
from shared.messaging.merges import Groups
from shared.messaging.outbox import UNNUMBERED, Outgoing

SERVICE = "loyalty"
JOBS = f"/roost/{SERVICE}/jobs"
BATCH = 1000


@dataclass(slots=True)
class Account:
    """A locked account. ``last_at``, ``orders`` and ``caps`` (JSON) are earning's memory, kept for it.

    ``survivor_account_id``: the account that answers for this one while a merge has joined it to another.
    ``unsettled``: its person owes points, or took some of lots that aren't his: what moves, moves all his lots.
    """

    account_id: int
    customer_id: str
    survivor_account_id: int | None
    last_at: datetime | None
    orders: int
    caps: bytes
    head: Head
    unsettled: bool = False

    @property
    def person(self) -> int:
        """The account that answers for it: that person's."""
        return self.survivor_account_id or self.account_id


@dataclass(slots=True)
class Journal:
    """What a transaction writes: entries, lots, events. One a transaction, written once."""

    now: datetime
    entries: list[Entry] = field(default_factory=list)
    added: dict[LotKey, Lot] = field(default_factory=dict)
    changed: dict[LotKey, Lot] = field(default_factory=dict)
    events: list[Outgoing] = field(default_factory=list)
    expired: dict[tuple[datetime, str, Cause], int] = field(default_factory=dict)

    def open_lot(self, account: Account, lot: Lot, cause: Cause) -> None:
        """A lot for an order or grant that has none."""
        settled, postings = settle(lot, lot.award.points, self.now, lot.award.occurred_at)
        self.added[lot.award.key] = settled
        self._post(account, settled, postings, cause)

    def close_lot(self, account: Account, lot: Lot, cause: Cause) -> None:
        """Takes back what is posted of a lot: its order has left this account. Another account opens it anew."""
        if lot.spent or lot.held or lot.repaid:
            account.unsettled = True
            lot, postings = use(lot, self.now, cause.occurred_at, spent=0, held=0, repaid=0)
            self._post(account, lot, postings, cause)
        settled, postings = settle(lot, 0, self.now, cause.occurred_at)
        self._post(account, settled, postings, cause)

    def change_lot(self, account: Account, lot: Lot, cause: Cause) -> None:
        """The difference between what a lot's award is now and what is posted of it."""
        at = cause.occurred_at if lot.booked or lot.spent else lot.award.occurred_at
        settled, postings = settle(lot, lot.award.points, self.now, at)
        if settled.owed:
            account.unsettled = True
        self._keep(settled)
        self._post(account, settled, postings, cause)

    def use_lot(
        self, account: Account, lot: Lot, cause: Cause, *, spent: int | None = None, held: int | None = None,
        repaid: int | None = None,
    ) -> Lot:  # fmt: skip
        """The lot with that much of it spent, held and paid back; None is as much as it was."""
        used, postings = use(lot, self.now, cause.occurred_at, spent=spent, held=held, repaid=repaid)
        if used != lot:
            self._keep(used)
            self._post(account, used, postings, cause)
        return used

    def sweep_lot(self, account: Account, lot: Lot) -> None:
        """Writes down what has fallen due of a lot."""
        swept, postings = sweep(lot, self.now)
        self._keep(swept)
        for posting in postings:
            cause = Cause(f"{JOBS}/sweep", f"{posting.kind}:{posting.occurred_at.isoformat()}", posting.occurred_at)
            self._post(account, swept, [posting], cause)

    def post(self, account: Account, subject: Subject, posting: Posting, cause: Cause) -> None:
        """An entry that moves no lot's points."""
        self.entries += chain(account.head, account.account_id, subject, [posting], cause, self.now)

    async def write(self, tx: Tx, accounts: Iterable[Account]) -> None:
        """Writes everything but the events, which go out after those of others in the transaction."""
        rows = [
            (a.account_id, a.last_at, a.orders, a.caps, a.head.entries, a.head.hash, a.unsettled) for a in accounts
        ]
        await store.save(tx, rows)
        await lots_store.add_lots(tx, list(self.added.values()))
        await lots_store.change_lots(tx, list(self.changed.values()))
        await entries_store.add_entries(tx, self.entries)
        self.tell_expired()

    def tell_expired(self) -> None:
        """Makes events of what has expired; once, with what is written down."""
        for whose, points in sorted(self.expired.items(), key=_by_instant):
            # Of several orders it may be more than one event carries.
            self.events += [_expired(*whose, min(MAX_POINTS, points - told)) for told in range(0, points, MAX_POINTS)]

    def _keep(self, lot: Lot) -> None:
        """A lot that this transaction has opened is written once."""
        (self.added if lot.award.key in self.added else self.changed)[lot.award.key] = lot

    def _post(self, account: Account, lot: Lot, postings: list[Posting], cause: Cause) -> None:
        if not postings:
            return
        self.entries += chain(account.head, account.account_id, Subject.of(lot.award), postings, cause, self.now)
        for posting in postings:
            if posting.kind == "expired":
                whose = posting.occurred_at, account.customer_id, cause
                self.expired[whose] = self.expired.get(whose, 0) + posting.points
            elif event := _announced(account, lot, posting, cause):
                self.events.append(Outgoing(event, cause.traceparent))


async def enter(
    tx: Tx, journals: Sequence[Journal], accounts: Iterable[Account], takes: Sequence[Take], opened: Sequence[Hold],
    ended: Sequence[Hold], beside: Iterable[Part],
) -> list[Outgoing]:  # fmt: skip
    """Writes the journals of commands, who open no lot and change no award, all at once, with what else there is
    ``beside``; what is to be told of it."""
    rows = [(a.account_id, a.head.entries, a.head.hash, a.unsettled) for a in accounts]
    lots = [lot for journal in journals for lot in journal.changed.values()]
    entries = [entry for journal in journals for entry in journal.entries]
    await uses_store.enter(tx, rows, lots, entries, takes, opened, ended, beside)
    for journal in journals:
        journal.tell_expired()
    return [event for journal in journals for event in journal.events]


async def open_accounts(tx: Tx, customers: Sequence[str], now: datetime) -> dict[str, Account]:
    """Accounts of sorted customers, locked; opened where loyalty hears of somebody for the first time."""
    return {row["customer_id"]: _account(row) for row in await store.open_and_lock(tx, customers, now)}


async def open_groups(tx: Tx, customers: Sequence[str], groups: Groups, now: datetime) -> dict[str, Account]:
    """The same together with those that answer for them, whose accounts each of theirs points to from now on, and with
    whatever accounts there are of the same persons."""
    survivors = {groups.survivor(customer) for customer in customers}
    members = {id for customer in customers for id in groups.members(customer)}
    rows = await store.open_and_lock(tx, sorted(survivors.union(customers)), now, sorted(members))
    accounts = {row["customer_id"]: _account(row) for row in rows}
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


async def lock_persons(
    tx: Tx, customers: Iterable[str], *, wait: bool = True, shared: bool = False, erased: bool = False
) -> dict[str, dict[int, Account]]:
    """All accounts of these persons, locked in one statement; by the ids asked for, of which two of one person have the
    same. None of whom loyalty has never heard of; without ``wait`` none of whom somebody else has locked an account.

    No merge changes their groups until the transaction ends. ``shared``: the transaction has seen to that already.
    ``erased``: also of somebody whose name was destroyed.
    """
    named = sorted({customer for customer in customers if erased or not is_pseudonym(customer)})
    if not named:
        return {}
    if not shared:
        await merges.share(tx)
    rows = await store.lock_persons(tx, named, wait=wait)
    accounts = {row["account_id"]: _account(row) for row in rows}
    found: dict[str, dict[int, Account]] = {}
    members: dict[str, int] = {}
    for row in rows:
        found.setdefault(row["asked"], {})[row["account_id"]] = accounts[row["account_id"]]
        members[row["asked"]] = row["members"]
    return {asked: own for asked, own in found.items() if wait or len(own) == members[asked]}


async def lock_person(tx: Tx, customer: str) -> dict[int, Account]:
    """The same for one person; nothing where loyalty has never heard of him."""
    return (await lock_persons(tx, [customer])).get(customer, {})


async def customers_with_accounts(tx: Tx, customers: Sequence[str]) -> list[str]:
    """Those of them that loyalty has heard of."""
    return [row["customer_id"] for row in await store.find(tx, customers)]


async def accounts_after(tx: Tx, after: int, limit: int) -> list[int]:
    """Accounts by id, to go through all of them."""
    return await store.accounts_after(tx, after, limit)


async def lots_of(tx: Tx, ids: Sequence[int]) -> list[Lot]:
    """The lots of these accounts' orders."""
    return [lot for lot in await lots_store.lots_of(tx, ids) if lot.award.origin == "order"] if ids else []


def _account(row: Row) -> Account:
    return Account(
        row["account_id"], row["customer_id"], row["survivor_account_id"], row["last_at"], row["orders"], row["caps"],
        Head(row["entries"], row["head"]), row["unsettled"],
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
            order_id=award.source_id,
            origin=award.origin,
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
            order_id=award.source_id,
            origin=award.origin,
            points=posting.points,
            programme_version=award.programme_version,
        )
    return None


def _by_instant(expired: tuple[tuple[datetime, str, Cause], int]) -> tuple[datetime, str, str]:
    (at, customer, cause), _ = expired
    return at, customer, cause.id


def _expired(at: datetime, customer: str, cause: Cause, points: int) -> Outgoing:
    caused_by = CausedBy(source=cause.source, id=cause.id)
    event = PointsExpired(
        customer_id=customer, sequence=UNNUMBERED, caused_by=caused_by, occurred_at=at, points=points
    )
    return Outgoing(event, cause.traceparent)
