"""Tiers kept up to date: up when a purchase crosses, down at the instant that falls due, once a crossing.

A fall is warned of some days before, once for the day on which it would come.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from services.loyalty.ledger import application as ledger
from services.loyalty.ledger.application import Account
from services.loyalty.ledger.domain import Cause
from services.loyalty.programmes.application import Programmes
from services.loyalty.programmes.domain import EPOCH, Programme, in_force
from services.loyalty.tiers import store
from services.loyalty.tiers.domain import Ladder, Spend, Step, measures_points, reach
from shared.clock import Clock
from shared.contracts.points import TierChanged
from shared.contracts.types import Cause as CausedBy
from shared.db import Database, Tx
from shared.messaging import merges, outbox
from shared.messaging.outbox import UNNUMBERED, Outgoing


@dataclass(slots=True)
class Member:
    """A locked account to be judged: its spends within reach, and the facts that made it worth a look.

    ``since``: when whatever isn't a purchase or a due date came about, such as a version or a merge.
    """

    account_id: int
    customer_id: str
    spends: Sequence[Spend]
    causes: Sequence[Cause] = ()
    since: datetime | None = None


async def reassess(tx: Tx, members: Sequence[Member], programme: Programme, now: datetime) -> list[Outgoing]:
    """Brings the announced tiers to what is held now; answers the crossings, and warnings of falls to come."""
    ladders = [(member, Ladder(programme, member.spends)) for member in members]
    known = await store.read(tx, [member.account_id for member in members])
    changed: list[tuple[int, store.Told]] = []
    events = []
    for member, ladder in ladders:
        before = known.get(member.account_id)
        if before is None and not ladder.reaches_any:
            continue
        before = before or (None, None, ())
        steps = _catch_up(ladder, before, member.causes, now, member.since)
        events += [_event(member, programme, *step) for step in steps]
        tier = steps[-1][1] if steps else before[0]
        fall, due_at, warned = _ahead(ladder, programme, before[2], now)
        if fall is not None:
            events.append(_warning(member, tier, fall, now))
        if (tier, due_at, warned) != before:
            changed.append((member.account_id, (tier, due_at, warned)))
    await store.save(tx, changed)
    return events


async def at_the_top(tx: Tx, accounts: Sequence[int], programme: Programme, now: datetime) -> set[int]:
    """Those of them that hold the highest tier until later than ``now``.

    What they buy can only put off the day on which it is due to fall. They are looked at again on that day, and need
    not be before.
    """
    told = await store.read(tx, accounts)
    top = programme.tiers[-1].name
    return {id_ for id_, (tier, due_at, _) in told.items() if tier == top and due_at and due_at > now}


async def spends_of(
    tx: Tx, least: Mapping[int, int], versions: Sequence[Programme], since: datetime
) -> dict[int, list[Spend]]:
    """What became of each account's orders placed after ``since``, as the tiers of these versions of one currency ask.

    ``least``: of each account the sum, in minor units, below which its spends don't matter; it is left out then.
    """
    if not least or not versions:
        return {}
    return await store.spends(tx, least, versions[0].currency, since, any(map(measures_points, versions)))


async def ladder_of(tx: Tx, accounts: Sequence[int], programme: Programme) -> Ladder:
    """Where a person stands with all his accounts together. One statement, and none where there are no tiers."""
    if not programme.tiers:
        return Ladder(programme, ())
    found = await spends_of(tx, dict.fromkeys(accounts, 0), [programme], EPOCH)
    return Ladder(programme, [spend for own in found.values() for spend in own])


async def reassess_groups(
    tx: Tx,
    accounts: Iterable[Account],
    programme: Programme,
    now: datetime,
    causes: Mapping[int, Sequence[Cause]],
    since: Mapping[int, datetime],
) -> list[Outgoing]:
    """The same for locked accounts, each by its own spends and those of the accounts that it answers for.

    Accounts that another answers for hold no tier of their own: they are left out. ``causes`` and ``since`` as of
    ``Member``, by account.
    """
    judged = {account.account_id: account for account in accounts if account.survivor_account_id is None}
    if not judged:
        return []
    told = await store.read(tx, list(judged))
    earliest = min([due_at for _, due_at, _ in told.values() if due_at] + [now])
    spends = await store.spends_of_groups(
        tx, list(judged), programme.currency, earliest - reach(programme), measures_points(programme)
    )
    members = [
        Member(id_, account.customer_id, spends.get(id_, ()), causes.get(id_, ()), since.get(id_))
        for id_, account in judged.items()
    ]
    return await reassess(tx, members, programme, now)


async def rest(tx: Tx, accounts: Iterable[Account]) -> None:
    """Accounts that another answers for from now on: nothing of theirs falls due."""
    joined = [account.account_id for account in accounts if account.survivor_account_id is not None]
    if joined:
        await store.rest(tx, joined)


Crossing = tuple[str | None, str | None, datetime, Cause]
"""From, to, when, and why."""


def _catch_up(
    ladder: Ladder, before: store.Told, causes: Sequence[Cause], now: datetime, since: datetime | None
) -> list[Crossing]:
    tier, due_at, _ = before
    crossings: list[Crossing] = []
    while due_at is not None and due_at <= now:
        held = ladder.at(due_at)
        if held != tier:
            crossings.append((tier, held, due_at, _cause(causes, due_at)))
            tier = held
        step = ladder.next_step(due_at)
        due_at = step.at if step else None
    held = ladder.at(now)
    if held != tier:
        rose = ladder.rank(held) > ladder.rank(tier)
        at = since or (ladder.since(now) if rose and causes else _latest(causes, now))
        crossings.append((tier, held, at, _cause(causes, at)))
    return crossings


def _ahead(
    ladder: Ladder, programme: Programme, warned: tuple[date, ...], now: datetime
) -> tuple[Step | None, datetime | None, tuple[date, ...]]:
    """The fall to be warned of now, when to look again, and the days to come of whose falls was warned."""
    step = ladder.next_step(now)
    if step is None or not programme.warning:
        return None, step.at if step else None, ()
    today = now.astimezone(programme.zone).date()
    warned = tuple(day for day in warned if day >= today)
    fall = ladder.next_fall(now)
    day = fall.at.astimezone(programme.zone).date() if fall else today
    if fall is None or day in warned:
        return None, step.at, warned
    if fall.at - programme.warning > now:
        return None, min(step.at, fall.at - programme.warning), warned
    return fall, step.at, tuple(sorted((*warned, day)))


def _latest(causes: Sequence[Cause], now: datetime) -> datetime:
    return min(now, max((cause.occurred_at for cause in causes), default=now))


def _cause(causes: Sequence[Cause], at: datetime) -> Cause:
    exact = [cause for cause in causes if cause.occurred_at == at]
    return (exact or list(causes) or [Cause(f"{ledger.JOBS}/tiers", f"due:{at.isoformat()}", at)])[-1]


def _event(
    member: Member, programme: Programme, before: str | None, after: str | None, at: datetime, cause: Cause
) -> Outgoing:
    ladder = Ladder(programme, ())
    data = TierChanged(
        customer_id=member.customer_id,
        sequence=UNNUMBERED,
        caused_by=CausedBy(source=cause.source, id=cause.id),
        occurred_at=at,
        direction="up" if ladder.rank(after) > ladder.rank(before) else "down",
        from_tier=before,
        to_tier=after,
    )
    return Outgoing(data, cause.traceparent)


def _warning(member: Member, held: str | None, fall: Step, now: datetime) -> Outgoing:
    # Not what was bought or given back: the fall is what it is about.
    caused_by = CausedBy(source=f"{ledger.JOBS}/tiers", id=f"warning:{fall.at.isoformat()}")
    data = TierChanged(
        customer_id=member.customer_id,
        sequence=UNNUMBERED,
        caused_by=caused_by,
        occurred_at=now,
        direction="warning",
        from_tier=held,
        to_tier=fall.to,
        at=fall.at,
    )
    return Outgoing(data)


@dataclass(frozen=True, slots=True)
class TierKeeper:
    """The job that lets tiers fall when they are due, and warns of it before; and that judges everybody anew when a
    version comes into force."""

    db: Database
    clock: Clock
    programmes: Programmes
    wake: Callable[[], None]

    async def run(self) -> int:
        """Everything due by now, in transactions of up to 1000 accounts. Answers how many were looked at."""
        seen = 0
        for batch in (self._pass_batch, self._due_batch):
            while found := await batch():
                seen += found
                self.wake()
        return seen

    async def next_due(self) -> datetime | None:
        """The next fall, or the next version coming into force that has not been applied to everybody."""
        now = self.clock.now()
        async with self.db.transaction() as tx:
            known = await self.programmes.known(tx)
            due = [await store.next_due(tx)]
            current = in_force(known, now)
            if current and await self._waits(tx, known, current):
                due.append(current.in_force_from)
            coming = [version for version in known if version.active_from > now]
            due += [version.active_from for version in coming if in_force(known, version.active_from) is version]
        return min((at for at in due if at is not None), default=None)

    async def _waits(self, tx: Tx, known: Sequence[Programme], current: Programme) -> bool:
        if not any(version.tiers for version in known):
            return False
        return not (await store.progress(tx, current.version))[1]

    async def _pass_batch(self) -> int:
        now = self.clock.now()
        async with self.db.transaction() as tx:
            await merges.share(tx)
            known = await self.programmes.known(tx)
            current = in_force(known, now)
            if current is None or not await self._waits(tx, known, current):
                return 0
            last, _ = await store.progress(tx, current.version)
            ids = await ledger.accounts_after(tx, last, ledger.BATCH)
            await store.note_progress(tx, current.version, max(ids, default=last), len(ids) < ledger.BATCH)
            await self._judge(tx, ids, current, now, current.in_force_from)
        return len(ids)

    async def _due_batch(self) -> int:
        now = self.clock.now()
        async with self.db.transaction() as tx:
            await merges.share(tx)
            current = in_force(await self.programmes.known(tx), now)
            ids = await store.due(tx, now, ledger.BATCH)
            if current is None or not ids:
                return 0
            await self._judge(tx, ids, current, now, None)
        return len(ids)

    async def _judge(
        self, tx: Tx, ids: Sequence[int], programme: Programme, now: datetime, since: datetime | None
    ) -> None:
        if not ids:
            return
        accounts = await ledger.lock_accounts(tx, ids)
        began = dict.fromkeys(accounts, since) if since else {}
        events = await reassess_groups(tx, accounts.values(), programme, now, {}, began)
        await outbox.append(tx, ledger.SERVICE, events, now)
