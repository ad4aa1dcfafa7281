"""Tiers kept up to date: up when a purchase crosses, down at the instant that falls due, once a crossing."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from services.loyalty.ledger import application as ledger
from services.loyalty.ledger.application import Account
from services.loyalty.ledger.domain import Cause
from services.loyalty.programmes.application import Programmes
from services.loyalty.programmes.domain import Programme, in_force
from services.loyalty.tiers import store
from services.loyalty.tiers.domain import Ladder, Spend, reach
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
    """Brings the announced tiers to what is held now; answers the crossings."""
    ladders = [(member, Ladder(programme, member.spends)) for member in members]
    known = await store.read(tx, [member.account_id for member in members])
    changed, events = [], []
    for member, ladder in ladders:
        row = known.get(member.account_id)
        if row is None and not ladder.reaches_any:
            continue
        before = (row["tier"], row["due_at"]) if row else (None, None)
        steps, due_at = _catch_up(ladder, before, member.causes, now, member.since)
        events += [_event(member, programme, *step) for step in steps]
        tier = steps[-1][1] if steps else before[0]
        if (tier, due_at) != before:
            changed.append((member.account_id, tier, due_at))
    await store.save(tx, changed)
    return events


async def at_the_top(tx: Tx, accounts: Sequence[int], programme: Programme, now: datetime) -> set[int]:
    """Those of them that hold the highest tier until later than ``now``.

    What they buy can only put off the day on which it is due to fall. They are looked at again on that day, and need
    not be before.
    """
    rows = await store.read(tx, accounts)
    top = programme.tiers[-1].name
    return {id_ for id_, row in rows.items() if row["tier"] == top and row["due_at"] and row["due_at"] > now}


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
    rows = await store.read(tx, list(judged))
    earliest = min([row["due_at"] for row in rows.values() if row["due_at"]] + [now])
    spends = await ledger.spends_of_groups(tx, list(judged), programme.currency, earliest - reach(programme))
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
    ladder: Ladder,
    before: tuple[str | None, datetime | None],
    causes: Sequence[Cause],
    now: datetime,
    since: datetime | None,
) -> tuple[list[Crossing], datetime | None]:
    tier, due_at = before
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
    step = ladder.next_step(now)
    return crossings, step.at if step else None


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


@dataclass(frozen=True, slots=True)
class TierKeeper:
    """The job that lets tiers fall when they are due, and judges everybody anew when a version comes into force."""

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
