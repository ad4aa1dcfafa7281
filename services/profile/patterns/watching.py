"""Telling the other services when buying changes: rhythms every night, categories every week."""

import hashlib
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from services.profile.counting.application import Counting
from services.profile.patterns import store
from services.profile.patterns.changes import DemandPolicy, DemandShift, Rhythm, RhythmPolicy, shifts
from services.profile.patterns.store import Shop
from services.profile.periods import Period
from services.profile.policies import application as policies
from services.profile.purchases.domain import House
from shared.clock import Clock
from shared.contracts.demand import CategoryDemandChanged, PurchaseRhythmDropped
from shared.contracts.types import Cause
from shared.db import Database
from shared.messaging import merges, outbox
from shared.messaging.envelope import write_event
from shared.messaging.outbox import UNNUMBERED, Outgoing, Waiting
from shared.observability import new_traceparent
from shared.service import Wake

SERVICE = "profile"
_SOURCE = "/roost/profile/patterns"
_BATCH = 1000


@dataclass(frozen=True, slots=True)
class Watching:
    """The work of two jobs. ``last``: when the job ran before; None lets it note what stands, and tell nobody."""

    counting: Counting
    house: House
    db: Database
    clock: Clock
    wake: Wake

    async def rhythms(self, last: datetime | None) -> int:
        """Notes whose rhythm is broken; publishes those whom time has broken since the last run.

        Who was silent for too long by then already was not known to be: orders that came late. Of whom history was
        loaded since has a rhythm that nobody knew, and is noted in silence.
        """
        await self.counting.catch_up()
        async with self.db.transaction() as tx:
            counted_to = await store.counted_to(tx)
        now = self.clock.now()
        today, seen = self.house.day(now), self.house.day(last) if last else None
        after, told = "", 0
        while True:
            async with self.db.transaction() as tx:
                # Nobody is erased between the reading and the noting.
                await merges.share(tx)
                policy = await policies.newest(tx, "rhythm", RhythmPolicy)
                oldest, newest = (
                    today - timedelta(days=days) for days in (policy.silent_days_at_most, policy.silent_days_at_least)
                )
                page = await store.silent(tx, after, policy, oldest, newest, _BATCH)
                found = await store.rhythms(tx, page, policy.gaps_at_least)
                dropped = [one for one in found if one.is_broken(today, policy)]
                await store.note_drops(tx, dropped)
                broken = [one for one in dropped if seen and not one.is_broken(seen, policy)]
                loaded = await store.loaded(tx, [one.customer_id for one in broken])
                news = [one for one in broken if one.customer_id not in loaded]
                await outbox.append(tx, SERVICE, [_told(one, policy, now, today) for one in news], now)
            self.wake()
            told += len(news)
            if len(page) < _BATCH:
                async with self.db.transaction() as tx:
                    await store.watched(tx, counted_to)
                return told
            after = page[-1]

    async def demand(self, last: datetime | None) -> int:
        """Notes which categories' demand differs from the period before, up to the last Monday; publishes what is new.

        Nothing is told while loaded history lies in the period, or while there is none before both of them.
        """
        await self.counting.catch_up()
        now = self.clock.now()
        today = self.house.day(now)
        async with self.db.transaction() as tx:
            policy = await policies.newest(tx, "demand", DemandPolicy)
            monday = today - timedelta(days=today.weekday())
            period = Period(monday - timedelta(days=policy.days), monday)
            demands, shop = await store.demands(tx, period.before.since, period.since, period.until)
            found, stood = shifts(demands, policy), await store.noted(tx)
            await store.note_demand(tx, {one.demand.category: one.direction for one in found})
            news = [one for one in found if stood.get(one.demand.category) != one.direction]
            if last is None or shop.loading or not shop.reaches_back:
                news = []
            records = [_published(one, period, shop, policy, now) for one in news]
            await outbox.append_records(tx, records, now)
        self.wake()
        return len(news)


def _told(rhythm: Rhythm, policy: RhythmPolicy, now: datetime, today: date) -> Outgoing:
    return Outgoing(
        PurchaseRhythmDropped(
            customer_id=rhythm.customer_id,
            sequence=UNNUMBERED,
            caused_by=Cause(source=_SOURCE, id=f"rhythm:{now.isoformat()}"),
            occurred_at=now,
            last_purchase_at=rhythm.last_at,
            silent_days=(today - rhythm.last_day).days,
            usual_gap_days=rhythm.usual_gap_days,
            gaps=rhythm.gaps,
            p_value=max(0.0, rhythm.silence(today)),
            policy_version=policy.version,
        )
    )


def _published(shift: DemandShift, period: Period, shop: Shop, policy: DemandPolicy, now: datetime) -> Waiting:
    demand = shift.demand
    event = CategoryDemandChanged(
        category=demand.category,
        caused_by=Cause(source=_SOURCE, id=f"demand:{period.until}"),
        occurred_at=now,
        direction=shift.direction,
        since=period.since,
        until=period.until,
        before=demand.before,
        now=demand.now,
        shop_before=shop.before,
        shop_now=shop.now,
        p_value=shift.p_value,
        adjusted_p_value=shift.adjusted_p_value,
        policy_version=policy.version,
    )
    # A category may be as long as an id.
    name = hashlib.sha256(demand.category.encode()).hexdigest()[:16]
    value = write_event(event, source=f"/roost/{SERVICE}", id=f"demand:{period.until}:{name}", time=now)
    return Waiting("category-demand-changed", demand.category.encode(), value, {"traceparent": new_traceparent()})
