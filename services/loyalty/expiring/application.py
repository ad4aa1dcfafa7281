"""Points near their expiry: each person is told once for each day on which some of his expire."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from services.loyalty.expiring import store
from services.loyalty.ledger import application as ledger
from services.loyalty.programmes.application import Programmes
from services.loyalty.programmes.domain import Programme, in_force
from shared.clock import Clock
from shared.contracts.points import PointsExpiring
from shared.contracts.types import MAX_POINTS, Cause
from shared.db import Database, Tx
from shared.jobs import last_run, ran
from shared.messaging import merges, outbox
from shared.messaging.outbox import UNNUMBERED, Outgoing

JOB = "expiring"
_DAY = timedelta(days=1)


def begins(day: date, zone: ZoneInfo) -> datetime:
    """The instant in UTC at which a day of the zone begins."""
    return datetime.combine(day, time(), zone).astimezone(UTC)


@dataclass(frozen=True, slots=True)
class ExpiryWarner:
    """The job that tells of points ``expiry_warning_days`` before the day of the house on which they expire.

    It looks once a day, when the day begins, and when a version comes into force: at every day up to then, so that
    points which came late to a near one are told with the next look.
    """

    db: Database
    clock: Clock
    programmes: Programmes
    zone: ZoneInfo
    wake: Callable[[], None]

    async def run(self) -> int:
        """Today's look, unless it was had. Answers how many notices were given."""
        now = self.clock.now()
        async with self.db.transaction() as tx:
            current = in_force(await self.programmes.known(tx), now)
            last = await last_run(tx, JOB)
        if current is None or not current.expiry_warning or not self._waits(current, last, now):
            return 0
        today = now.astimezone(self.zone).date()
        told = 0
        for ahead in range(current.expiry_warning + 1):
            told += await self._tell(today + ahead * _DAY, now)
        async with self.db.transaction() as tx:
            await store.forget(tx, today)
            await ran(tx, JOB, now)
        return told

    async def next_due(self) -> datetime | None:
        """The beginning of the next day on which something may be to tell: tomorrow's, while points are near."""
        now = self.clock.now()
        async with self.db.transaction() as tx:
            known = await self.programmes.known(tx)
            first = await store.next_expiry(tx, now)
            last = await last_run(tx, JOB)
        dues = [version.active_from for version in known if version.expiry_warning and version.active_from > now]
        current = in_force(known, now)
        if current and current.expiry_warning and first:
            today = now.astimezone(self.zone).date()
            near = begins(first.astimezone(self.zone).date() - current.expiry_warning * _DAY, self.zone)
            look = self._begun(current, now) if self._waits(current, last, now) else begins(today + _DAY, self.zone)
            dues.append(max(near, look))
        return min(dues, default=None)

    def _begun(self, current: Programme, now: datetime) -> datetime:
        return max(begins(now.astimezone(self.zone).date(), self.zone), current.in_force_from)

    def _waits(self, current: Programme, last: datetime | None, now: datetime) -> bool:
        return last is None or last < self._begun(current, now)

    async def _tell(self, day: date, now: datetime) -> int:
        """Everybody of whose points some expire on that day, in transactions of up to 1000 lots."""
        since, until = max(begins(day, self.zone), now + timedelta.resolution), begins(day + _DAY, self.zone)
        told, place = 0, (since, 0)
        while True:
            async with self.db.transaction() as tx:
                await merges.share(tx)
                persons, last = await store.near(tx, day, place, until, ledger.BATCH)
                told += await self._tell_persons(tx, persons, day, (since, until), now) if persons else 0
            if persons:
                self.wake()
            if last is None:
                return told
            place = last

    async def _tell_persons(
        self, tx: Tx, persons: Sequence[int], day: date, between: tuple[datetime, datetime], now: datetime
    ) -> int:
        # Whoever uses points of theirs, or erases them, comes before or after.
        accounts = await ledger.lock_accounts(tx, persons)
        noted = await store.note(tx, persons, day, *between, now)
        caused_by = Cause(source=f"{ledger.JOBS}/{JOB}", id=f"expiring:{day.isoformat()}")
        events = [
            PointsExpiring(
                customer_id=accounts[person].customer_id, sequence=UNNUMBERED, caused_by=caused_by, occurred_at=now,
                # Of several orders it may be more than the event carries, and a day is told once.
                points=min(points, MAX_POINTS), expires_at=expires_at,
            )
            for person, points, expires_at in noted
        ]  # fmt: skip
        await outbox.append(tx, ledger.SERVICE, [Outgoing(event) for event in events], now)
        return len(noted)
