"""Which work is done on a rhythm."""

from collections.abc import Awaitable, Callable
from datetime import datetime, time, timedelta

from services.profile.counting.application import Counting
from services.profile.duplicates.matching import Matching
from services.profile.erasures.application import Alarm
from services.profile.events.application import Events
from services.profile.imports.working import Working
from services.profile.metrics.reporting import Reporting
from services.profile.patterns.watching import Watching
from services.profile.purchases.converting import Converting
from services.profile.segments.application import Placing
from services.profile.vault.application import Vault
from shared.clock import Clock
from shared.db import Database
from shared.jobs import Job, last_run, next_daily, ran
from shared.settings import HouseSettings

_NIGHTLY = time(3, 30)
_EXPIRE = "expire-keys"
_RECOMPUTE = "recompute-placements"


def jobs(
    events: Events,
    counting: Counting,
    placing: Placing,
    imports: Working,
    converting: Converting,
    reporting: Reporting,
    watching: Watching,
    matching: Matching,
    vault: Vault,
    alarm: Alarm,
    db: Database,
    clock: Clock,
    house: HouseSettings,
    inbox_days: int,
) -> list[Job]:
    """The table: customers are placed and orders counted as they come in; every night everybody is placed again, and
    the keys of events sent over HTTP, too old to be sent again, are forgotten; what another master key wrapped is
    wrapped again."""

    async def nightly(job: str, now: datetime) -> datetime:
        async with db.transaction() as tx:
            last = await last_run(tx, job)
        return next_daily(last, _NIGHTLY, house.zone) if last else now

    async def recompute_due() -> datetime | None:
        return await nightly(_RECOMPUTE, clock.now())

    async def recompute() -> int:
        now = clock.now()
        if await nightly(_RECOMPUTE, now) > now:
            return 0
        corrected = await placing.recompute()
        async with db.transaction() as tx:
            await ran(tx, _RECOMPUTE, now)
        return corrected

    def since_last(
        name: str, following: Callable[[datetime], datetime], work: Callable[[datetime | None], Awaitable[int]]
    ) -> Job:
        """A job whose work asks when it was done before: None for the first time, which is at once."""

        async def due() -> datetime | None:
            async with db.transaction() as tx:
                last = await last_run(tx, name)
            return following(last) if last else clock.now()

        async def run() -> int:
            now = clock.now()
            async with db.transaction() as tx:
                last = await last_run(tx, name)
            if last and following(last) > now:
                return 0
            done = await work(last)
            async with db.transaction() as tx:
                await ran(tx, name, now)
            return done

        return Job(name, timedelta(minutes=10), run, due)

    def next_morning(last: datetime) -> datetime:
        return next_daily(last, _NIGHTLY, house.zone)

    def next_monday(last: datetime) -> datetime:
        morning = next_morning(last)
        while morning.astimezone(house.zone).weekday():
            morning = next_morning(morning)
        return morning

    async def expire_due() -> datetime | None:
        return await nightly(_EXPIRE, clock.now())

    async def expire() -> int:
        now = clock.now()
        if await nightly(_EXPIRE, now) > now:
            return 0
        async with db.transaction() as tx:
            forgotten = await events.expire(tx, inbox_days)
            forgotten += await imports.forget(tx, now)
            await ran(tx, _EXPIRE, now)
        return forgotten

    async def rewrap_due() -> datetime | None:
        return await vault.rewrap_due(clock)

    again = [Job("rewrap-keys", timedelta(minutes=1), vault.rewrap, rewrap_due)] if vault.changes_masters else []
    return [
        Job("count-orders", timedelta(seconds=2), counting.run, counting.next_due),
        Job("convert-orders", timedelta(seconds=2), converting.run, converting.next_due),
        Job("import", timedelta(seconds=1), imports.run, imports.next_due),
        Job("match", timedelta(seconds=2), matching.run, matching.next_due),
        Job("place", timedelta(seconds=1), placing.run, placing.next_due),
        Job("erasure-deadlines", timedelta(seconds=30), alarm.run, alarm.next_due),
        Job(_RECOMPUTE, timedelta(minutes=10), recompute, recompute_due),
        since_last("report-months", next_morning, reporting.run),
        since_last("watch-rhythms", next_morning, watching.rhythms),
        since_last("watch-demand", next_monday, watching.demand),
        Job(_EXPIRE, timedelta(minutes=10), expire, expire_due),
        *again,
    ]
