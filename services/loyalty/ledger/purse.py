"""A person's points under lock: held, taken, given back. What every command over HTTP that uses points goes through."""

from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from services.loyalty.ledger import lots_store, uses_store
from services.loyalty.ledger.application import SERVICE, Account, Journal, lock_person
from services.loyalty.ledger.domain import Cause, Lot, LotKey, Posting, Subject
from services.loyalty.ledger.persons import settle_persons
from services.loyalty.ledger.spending import Hold, HoldState, Portions, Take, TakeKind, allocate, split
from shared.contracts.points import PointsSpent, Portion
from shared.contracts.types import Cause as CausedBy
from shared.db import Tx
from shared.messaging.outbox import UNNUMBERED, Outgoing

REQUESTS = f"/roost/{SERVICE}/requests"


class Spent(msgspec.Struct, frozen=True):
    """What is told of a take beside its points."""

    reward_id: str | None = None
    order_id: str | None = None


@dataclass(slots=True)
class Purse:
    """All lots of one person, in one transaction. ``close`` writes down what was done, and has to be called.

    ``owner``: the account that answers for all, whose the takes and holds are.
    """

    tx: Tx
    now: datetime
    accounts: dict[int, Account]
    owner: Account
    cause: Cause
    journal: Journal
    holds: dict[str, Hold] = field(default_factory=dict)
    _takes: list[Take] = field(default_factory=list)
    _opened: dict[str, Hold] = field(default_factory=dict)
    _changed: dict[str, Hold] = field(default_factory=dict)
    _lots: dict[LotKey, Lot] = field(default_factory=dict)
    _complete: bool = False

    @property
    def lapsed(self) -> list[Hold]:
        """Holds that have run out and aren't written down as such."""
        return [hold for hold in self.holds.values() if hold.state_at(self.now) == "expired"]

    def hold(self, hold_id: str, points: int, expires_at: datetime) -> Hold:
        """Sets points aside. Raises ShortOfPointsError."""
        portions = allocate(self._free(), points, self.now)
        self._use(portions, held=1)
        hold = Hold(hold_id, self.owner.account_id, points, self.now, expires_at, portions)
        self._opened[hold_id] = hold
        return hold

    def take(self, take_id: str, kind: TakeKind, points: int, spent: Spent) -> Take:
        """Uses points. Raises ShortOfPointsError."""
        portions = allocate(self._free(), points, self.now)
        self._use(portions, spent=1)
        return self._taken(Take(take_id, self.owner.account_id, kind, self.now, portions), spent)

    def commit(self, hold: Hold, take_id: str, points: int, spent: Spent) -> tuple[Hold, Take]:
        """Uses points of an open hold: up to what is left of it."""
        portions, rest = split(hold.portions, points)
        self._use(portions, spent=1, held=-1)
        committed = hold.committed + points
        state: HoldState = "open" if rest else "committed"
        hold = msgspec.structs.replace(hold, portions=rest, committed=committed, state=state)
        take = Take(take_id, self.owner.account_id, "redemption", self.now, portions)
        self._changed[hold.hold_id] = hold
        return hold, self._taken(take, spent)

    def end(self, hold: Hold, state: HoldState) -> Hold:
        """Gives back what is still held: voided or expired."""
        self._use(hold.portions, held=-1)
        hold = msgspec.structs.replace(hold, portions=(), state=state)
        self._changed[hold.hold_id] = hold
        return hold

    async def roll_back(self, take: Take, spent: Spent) -> Take:
        """Puts the points back into the very lots that they came from, with the dates that these have."""
        if take.foreign:
            posting = Posting("backed", "redeemed", "debt", take.foreign, self.now)
            self.journal.post(self.accounts[take.account_id], Subject("take", take.take_id), posting, self.cause)
        self._use(take.portions, spent=-1)
        await uses_store.roll_back(self.tx, take.take_id, self.now)
        self._tell(take, spent, rolled_back=True)
        return msgspec.structs.replace(take, rolled_back_at=self.now, foreign=0)

    async def held(self, hold_id: str) -> Hold | None:
        """A hold as it was written down, and its lots at hand; None where there is none."""
        found = await uses_store.hold_and_lots(self.tx, hold_id)
        if found is None:
            return None
        hold, lots = found
        if not self._complete:
            self._lots |= {lot.award.key: lot for lot in lots if lot.award.key not in self._lots}
        return hold

    async def load(self, portions: Portions) -> None:
        """Reads the lots that are about to be moved and may have nothing free."""
        missing = [key for key, _ in portions if key not in self._lots]
        if missing and not self._complete:
            self._lots |= {lot.award.key: lot for lot in await lots_store.lots_by_key(self.tx, missing)}

    async def close(self) -> None:
        """Writes everything down. Raises HoldExistsError."""
        used = self._takes, list(self._opened.values()), list(self._changed.values())
        if any(account.unsettled for account in self.accounts.values()):
            # They are read again together with all others.
            await uses_store.enter(self.tx, (), (), (), *used)
            used = [], [], []
            await settle_persons(self.tx, self.journal, self.accounts.values(), lambda _: self.cause)
        await self.journal.enter(self.tx, [self.accounts[id] for id in sorted(self.accounts)], *used)

    def _free(self) -> list[Lot]:
        return [lot for lot in self._lots.values() if lot.account_id in self.accounts]

    def _use(self, portions: Portions, *, spent: int = 0, held: int = 0) -> None:
        """So many times the portions more of each lot. What isn't this person's any longer is left to ``close``."""
        for key, points in portions:
            lot = self._lots.get(key)
            account = self.accounts.get(lot.account_id) if lot else None
            if lot is None or account is None:
                self.owner.unsettled = True
                continue
            used = self.journal.use_lot(
                account, lot, self.cause, spent=lot.spent + spent * points, held=lot.held + held * points
            )
            if used.owed or lot.owed:
                account.unsettled = True
            self._lots[key] = used

    def _taken(self, take: Take, spent: Spent) -> Take:
        self._takes.append(take)
        if posting := take.passed_on:
            self.journal.post(self.owner, Subject("take", take.take_id), posting, self.cause)
        self._tell(take, spent, rolled_back=False)
        return take

    def _tell(self, take: Take, spent: Spent, *, rolled_back: bool) -> None:
        event = PointsSpent(
            # Who took them, whoever answers for him since.
            customer_id=self.accounts[take.account_id].customer_id,
            sequence=UNNUMBERED,
            caused_by=CausedBy(source=self.cause.source, id=self.cause.id),
            occurred_at=self.now,
            redemption_id=take.take_id,
            points=take.points,
            reward_id=spent.reward_id,
            order_id=spent.order_id,
            rolled_back=rolled_back,
            kind=take.kind,
            lots=tuple(Portion(origin=key[0], id=key[1], points=points) for key, points in take.portions),
        )
        self.journal.events.append(Outgoing(event, self.cause.traceparent))


async def hold_of(tx: Tx, hold_id: str) -> Hold | None:
    """That hold as it was written down, or None."""
    return await uses_store.hold(tx, hold_id)


async def take_of(tx: Tx, take_id: str) -> Take | None:
    """That take, or None."""
    return await uses_store.take(tx, take_id)


async def open_purse(
    tx: Tx, customer: str, now: datetime, cause: Cause, *, free: bool = True, shared: bool = False,
    erased: bool = False,
) -> Purse | None:  # fmt: skip
    """The purse of the person with this id, locked; None where loyalty has never heard of him.

    Holds that have run out are ended. Without ``free`` only what ``held`` or ``load`` read is at hand. ``shared``: the
    transaction holds the lock on merges. ``erased``: also of somebody whose name was destroyed.
    """
    accounts = await lock_person(tx, customer, shared=shared, erased=erased)
    return await purse_of(tx, accounts, now, cause, free=free) if accounts else None


async def purse_of(
    tx: Tx, accounts: dict[int, Account], now: datetime, cause: Cause, *, free: bool = True
) -> Purse:
    """The purse of a person all of whose accounts are locked."""
    owner = accounts[next(iter(accounts.values())).person]
    purse = Purse(tx, now, accounts, owner, cause, Journal(now))
    if any(account.unsettled for account in accounts.values()):
        await settle_persons(tx, purse.journal, accounts.values(), lambda _: cause)
        lots, lapsed = await lots_store.lots_of(tx, list(accounts)), True
        purse._lots = {**{lot.award.key: lot for lot in lots}, **purse.journal.changed}
        purse._complete = True
    elif not free:
        return purse
    else:
        lots, lapsed = await lots_store.free_lots(tx, list(accounts), now)
        purse._lots = {lot.award.key: lot for lot in lots}
    if lapsed:
        purse.holds = {hold.hold_id: hold for hold in await uses_store.open_holds(tx, list(accounts))}
    for hold in purse.lapsed:
        await purse.load(hold.portions)
        purse.end(hold, "expired")
    return purse
