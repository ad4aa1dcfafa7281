"""Persons' points under lock: held, taken, given back. What every command over HTTP that uses points goes through."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from services.loyalty.ledger import lots_store, uses_store
from services.loyalty.ledger.application import JOBS, SERVICE, Account, Journal, enter, lock_persons
from services.loyalty.ledger.domain import Cause, Lot, LotKey, Posting, Subject
from services.loyalty.ledger.persons import settle_persons
from services.loyalty.ledger.spending import Hold, HoldState, Portions, Take, TakeKind, allocate, split
from shared.contracts.points import PointsSpent, Portion
from shared.contracts.types import Cause as CausedBy
from shared.db import Part, Tx
from shared.messaging.outbox import UNNUMBERED, Outgoing

REQUESTS = f"/roost/{SERVICE}/requests"


class Spent(msgspec.Struct, frozen=True):
    """What is told of a take beside its points."""

    reward_id: str | None = None
    order_id: str | None = None


class Wanted(msgspec.Struct, frozen=True):
    """What a command needs at hand of a person: his ``free`` lots, and a hold with its lots."""

    customer: str
    cause: Cause
    free: bool = True
    hold_id: str | None = None


@dataclass(slots=True)
class Purse:
    """One person's lots that are at hand, in one transaction. ``close`` writes down what was done.

    ``owner``: the account that answers for all, whose the takes and holds are. ``cause``: the command that is served
    just now. ``lapsed``: the holds that had run out and were ended when it was opened.
    """

    tx: Tx
    now: datetime
    accounts: dict[int, Account]
    owner: Account
    cause: Cause
    journal: Journal
    lapsed: list[Hold] = field(default_factory=list)
    _holds: dict[str, Hold] = field(default_factory=dict)
    _takes: list[Take] = field(default_factory=list)
    _opened: dict[str, Hold] = field(default_factory=dict)
    _changed: dict[str, Hold] = field(default_factory=dict)
    _lots: dict[LotKey, Lot] = field(default_factory=dict)
    _complete: bool = False

    @property
    def is_unsettled(self) -> bool:
        """Whether he owes points, or what was taken isn't all his: only all his lots and takes tell what he has."""
        return any(account.unsettled for account in self.accounts.values())

    def held(self, hold_id: str) -> Hold | None:
        """A hold as it is now, of those that the purse was opened with or that were made since."""
        return self._holds.get(hold_id)

    def hold(self, hold_id: str, points: int, expires_at: datetime) -> Hold:
        """Sets points aside. Raises ShortOfPointsError."""
        portions = allocate(self._free(), points, self.now)
        self._use(portions, held=1)
        hold = Hold(hold_id, self.owner.account_id, points, self.now, expires_at, portions)
        self._holds[hold_id] = self._opened[hold_id] = hold
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
        self._keep(hold)
        return hold, self._taken(take, spent)

    def end(self, hold: Hold, state: HoldState, cause: Cause | None = None) -> Hold:
        """Gives back what is still held: voided or expired. ``cause``: what else than the command led to it."""
        self._use(hold.portions, cause, held=-1)
        hold = msgspec.structs.replace(hold, portions=(), state=state)
        self._keep(hold)
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

    async def load(self, portions: Portions) -> None:
        """Reads the lots that are about to be moved and may have nothing free."""
        missing = [key for key, _ in portions if key not in self._lots]
        if missing and not self._complete:
            self._lots |= {lot.award.key: lot for lot in await lots_store.lots_by_key(self.tx, missing)}

    async def close(self) -> list[Outgoing]:
        """Writes everything down; what is to be told of it."""
        return await close_purses(self.tx, [self])

    def _keep(self, hold: Hold) -> None:
        """A hold that this transaction has made is written once."""
        self._holds[hold.hold_id] = hold
        (self._opened if hold.hold_id in self._opened else self._changed)[hold.hold_id] = hold

    def _free(self) -> list[Lot]:
        return [lot for lot in self._lots.values() if lot.account_id in self.accounts]

    def _use(self, portions: Portions, cause: Cause | None = None, *, spent: int = 0, held: int = 0) -> None:
        """So many times the portions more of each lot. What isn't this person's any longer is left to ``close``."""
        cause = cause or self.cause
        for key, points in portions:
            lot = self._lots.get(key)
            account = self.accounts.get(lot.account_id) if lot else None
            if lot is None or account is None:
                self.owner.unsettled = True
                continue
            used = self.journal.use_lot(
                account, lot, cause, spent=lot.spent + spent * points, held=lot.held + held * points
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


async def open_purse(tx: Tx, wanted: Wanted, now: datetime, *, erased: bool = False) -> Purse | None:
    """The purse of one person, locked; None where loyalty has never heard of him. See ``open_purses``."""
    return (await open_purses(tx, [wanted], now, erased=erased)).get(wanted.customer)


async def open_purses(
    tx: Tx, wanted: Sequence[Wanted], now: datetime, *, wait: bool = True, settle: bool = True, shared: bool = False,
    erased: bool = False,
) -> dict[str, Purse]:  # fmt: skip
    """The purses of these persons by the ids that were asked for, of which two of one person have the same. None of
    whom loyalty has never heard of, nor, without ``wait``, of whom somebody else has locked an account.

    Holds that have run out are ended, where free lots are asked for. Who is unsettled is settled; without ``settle``
    his purse is empty. ``shared``: the transaction holds the lock on merges. ``erased``: also of somebody whose name
    was destroyed.
    """
    customers = [one.customer for one in wanted]
    found = await lock_persons(tx, customers, wait=wait, shared=shared, erased=erased)
    persons: dict[int, Purse] = {}
    purses: dict[str, Purse] = {}
    for one in wanted:
        accounts = found.get(one.customer)
        if accounts:
            purse = _purse(tx, accounts, now, one.cause)
            purses[one.customer] = persons.setdefault(purse.owner.account_id, purse)
    there = [(one, purses[one.customer]) for one in wanted if one.customer in purses]
    there = [(one, purse) for one, purse in there if settle or not purse.is_unsettled]
    await _fill(tx, {purse.owner.account_id: purse for one, purse in there if one.free or purse.is_unsettled}, now)
    await _take_holds(tx, {one.hold_id: purse for one, purse in there if one.hold_id is not None})
    return purses


async def purse_of(tx: Tx, accounts: dict[int, Account], now: datetime, cause: Cause) -> Purse:
    """The purse of a person all of whose accounts are locked."""
    purse = _purse(tx, accounts, now, cause)
    await _fill(tx, {purse.owner.account_id: purse}, now)
    return purse


async def close_purses(tx: Tx, purses: Collection[Purse], beside: Iterable[Part] = ()) -> list[Outgoing]:
    """Writes down what was done with these purses, and what else there is ``beside``; what is to be told of it."""
    takes = [take for purse in purses for take in purse._takes]
    opened = [hold for purse in purses for hold in purse._opened.values()]
    changed = [hold for purse in purses for hold in purse._changed.values()]
    if unsettled := [purse for purse in purses if purse.is_unsettled]:
        # They are read again together with all others.
        await uses_store.enter(tx, (), (), (), takes, opened, changed)
        takes, opened, changed = [], [], []
        for purse in unsettled:
            purse._changed.clear()
            await _settle(purse)
    accounts = [purse.accounts[id] for purse in purses for id in sorted(purse.accounts)]
    return await enter(tx, [purse.journal for purse in purses], accounts, takes, opened, changed, beside)


def _purse(tx: Tx, accounts: dict[int, Account], now: datetime, cause: Cause) -> Purse:
    person = next(iter(accounts.values())).person
    return Purse(tx, now, accounts, accounts[person], cause, Journal(now))


async def _settle(purse: Purse) -> None:
    """What has run out pays what is owed, too: it is written down first."""
    await _end_lapsed(purse.tx, dict.fromkeys(purse.accounts, purse))
    await uses_store.enter(purse.tx, (), (), (), (), (), list(purse._changed.values()))
    purse._changed.clear()
    await settle_persons(purse.tx, purse.journal, purse.accounts.values(), lambda _: purse.cause)


async def _fill(tx: Tx, purses: Mapping[int, Purse], now: datetime) -> None:
    """Reads the free lots of these persons, and ends what has run out of their holds. Who is unsettled is settled, and
    has all his lots at hand."""
    of_accounts = {id: purse for purse in purses.values() for id in purse.accounts}
    for purse in purses.values():
        if purse.is_unsettled:
            await _settle(purse)
            lots = {lot.award.key: lot for lot in await lots_store.lots_of(tx, list(purse.accounts))}
            purse._lots = lots | purse.journal.changed
            purse._complete = True
    if free := {id: purse for id, purse in of_accounts.items() if not purse._complete}:
        found, may_have_lapsed = await lots_store.free_lots(tx, list(free), now)
        for lot in found:
            free[lot.account_id]._lots[lot.award.key] = lot
        if may_have_lapsed:
            await _end_lapsed(tx, free)


async def _end_lapsed(tx: Tx, purses: Mapping[int, Purse]) -> None:
    """Ends what has run out of the holds of these accounts."""
    holds = await uses_store.open_holds(tx, list(purses))
    for hold in sorted(holds, key=lambda hold: (hold.expires_at, hold.hold_id)):
        purse = purses[hold.account_id]
        if hold.state_at(purse.now) == "expired":
            await purse.load(hold.portions)
            purse.lapsed.append(purse.end(hold, "expired", Cause(f"{JOBS}/holds", hold.hold_id, purse.now)))


async def _take_holds(tx: Tx, purses: Mapping[str, Purse]) -> None:
    """Reads these holds into their purses, with the lots that they hold points of."""
    found = await uses_store.holds_and_lots(tx, list(purses)) if purses else {}
    for hold_id, (hold, lots) in found.items():
        purse = purses[hold_id]
        # What was read before may have been changed since.
        purse._holds.setdefault(hold_id, hold)
        if not purse._complete:
            purse._lots = {lot.award.key: lot for lot in lots} | purse._lots
