"""The days of the year that customers keep, as profile tells them, and the job that gives on them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import msgspec

from services.loyalty.ledger.application import BATCH, JOBS
from services.loyalty.ledger.domain import Cause
from services.loyalty.occasions import store
from services.loyalty.occasions.application import Occasions
from services.loyalty.occasions.domain import YEARLY, Occasion, Yearly, last_until
from services.loyalty.occasions.store import Dates
from services.loyalty.programmes.domain import Programme
from services.loyalty.programmes.rules import On
from shared.contracts.customers import CustomerFields, CustomerRegistered
from shared.db import Database, Tx
from shared.messaging import merges
from shared.messaging.events import Event
from shared.messaging.intake import Outcome

TOPICS = ("customer-registered", "customer-changed")
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Celebrations:
    """Birthdays and anniversaries begin at midnight where the customer lives, or the house where he doesn't say."""

    db: Database
    occasions: Occasions
    wake: Callable[[], None]

    async def apply_customers(self, tx: Tx, events: Sequence[Event]) -> Outcome:
        """Of each customer the file with the highest number stands, in whatever order they arrive."""
        customers = sorted({event.data.customer_id for event in events})
        known = await store.dates_of(tx, customers)
        changed: dict[str, Dates] = {}
        for event in sorted(events, key=lambda one: one.data.sequence):
            data: CustomerFields = event.data
            before = changed.get(data.customer_id) or known.get(data.customer_id)
            if before is None or before.sequence < data.sequence:
                changed[data.customer_id] = self._dates(data, before)
        if changed:
            await store.save(tx, list(changed.values()))
        return Outcome()

    async def run(self) -> int:
        """Gives on every day that has begun: on the last one alone, where several have passed. Answers how many days
        that were."""
        done = 0
        for on in YEARLY:
            while found := await self._batch(on):
                done += found
                self.wake()
        return done

    async def next_due(self) -> datetime | None:
        """When the next day begins on which a rule gives something."""
        async with self.db.transaction() as tx:
            versions = await self.occasions.programmes.known(tx)
            dues = [await store.next_due(tx, on) for on in YEARLY if _gives(versions, on)]
        return min((due for due in dues if due is not None), default=None)

    async def _batch(self, on: On) -> int:
        now = self.occasions.clock.now()
        async with self.db.transaction() as tx:
            versions = await self.occasions.programmes.known(tx)
            if not _gives(versions, on):
                return 0
            # An erasure takes the days away: it comes before or after.
            await merges.share(tx)
            due = await store.due(tx, on, now, BATCH)
            passed = [(one, *self._passed(on, one, versions, now)) for one in due]
            await self.occasions.give(tx, [occasion for _, occasion, _ in passed if occasion is not None])
            if passed:
                rows = [(one.customer_id, _at(on, one), following) for one, _, following in passed]
                await store.advance(tx, on, [(id, at, following) for id, at, following in rows if at is not None])
        return len(due)

    def _passed(
        self, on: On, dates: Dates, versions: Sequence[Programme], now: datetime
    ) -> tuple[Occasion | None, datetime | None]:
        zone, at = self._zone(dates.zone), _at(on, dates)
        yearly = self._yearly(on, dates)
        if yearly is None or at is None:
            return None, None
        last, following = last_until(yearly, at.astimezone(zone).date(), zone, now)
        if last is None or (on == "anniversary" and dates.since and last.at(zone) <= dates.since):
            return None, following
        begins = last.at(zone)
        # What is posted later doesn't judge days that have passed.
        posted = [version for version in versions if version.posted_at < begins + _DAY]
        told = f"{dates.customer_id} {yearly.is_lunar} {last.year}"
        cause = Cause(f"{JOBS}/{on}", last.day.isoformat(), begins)
        occasion = self.occasions.occasion(
            on, told, dates.customer_id, begins, cause, posted, celebrated=last
        )
        return occasion, following

    def _dates(self, data: CustomerFields, before: Dates | None) -> Dates:
        since = data.tenure_start or (before.since if before else None)
        if since is None and isinstance(data, CustomerRegistered):
            since = data.occurred_at
        birthday = Yearly.of(data.birthday).name if data.birthday else None
        dates = Dates(data.customer_id, data.sequence, birthday, data.time_zone, since, data.restricted)
        birthday_at = self._next("birthday", dates, before)
        anniversary_at = self._next("anniversary", dates, before)
        return msgspec.structs.replace(dates, birthday_at=birthday_at, anniversary_at=anniversary_at)

    def _next(self, on: On, dates: Dates, before: Dates | None) -> datetime | None:
        """A day that stays as it was keeps what it has missed; today's may still be given on."""
        yearly = self._yearly(on, dates)
        if yearly is None:
            return None
        zone = self._zone(dates.zone)
        if before and before.zone == dates.zone and yearly == self._yearly(on, before):
            return _at(on, before)
        today = self.occasions.clock.now().astimezone(zone).date()
        if on == "anniversary" and dates.since:
            today = max(today, dates.since.astimezone(zone).date() + _DAY)
        found = yearly.from_day(today)
        return found.at(zone) if found else None

    def _yearly(self, on: On, dates: Dates) -> Yearly | None:
        if dates.restricted:
            return None
        if on == "birthday":
            return Yearly.read(dates.birthday) if dates.birthday else None
        if dates.since is None:
            return None
        day = dates.since.astimezone(self._zone(dates.zone)).date()
        return Yearly(day.month, day.day)

    def _zone(self, name: str | None) -> ZoneInfo:
        return _zone(name) or self.occasions.zone


async def forget(tx: Tx, ids: Sequence[str], names: Sequence[str]) -> int:
    """For an erasure: nobody's days stay; of how many customers there were some."""
    return await store.forget(tx, ids, names)


@lru_cache(maxsize=512)
def _zone(name: str | None) -> ZoneInfo | None:
    try:
        return ZoneInfo(name) if name else None
    except (KeyError, ValueError, OSError):
        return None


def _at(on: On, dates: Dates) -> datetime | None:
    return dates.birthday_at if on == "birthday" else dates.anniversary_at


def _gives(versions: Sequence[Programme], on: On) -> bool:
    return any(rule.on == on for version in versions for rule in version.occasions)
