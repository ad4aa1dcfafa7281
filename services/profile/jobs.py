"""Which work is done on a rhythm."""

from datetime import datetime, time, timedelta

from services.profile.events.application import Events
from shared.clock import Clock
from shared.db import Database
from shared.jobs import Job, last_run, next_daily, ran
from shared.settings import HouseSettings

_NIGHTLY = time(3, 30)
_EXPIRE = "expire-keys"


def jobs(events: Events, db: Database, clock: Clock, house: HouseSettings, inbox_days: int) -> list[Job]:
    """The table: every night the keys of events sent over HTTP, too old to be sent again, are forgotten."""

    async def due() -> datetime | None:
        async with db.transaction() as tx:
            last = await last_run(tx, _EXPIRE)
        return next_daily(last, _NIGHTLY, house.zone) if last else clock.now()

    async def expire() -> int:
        now = clock.now()
        if (at := await due()) is None or at > now:
            return 0
        async with db.transaction() as tx:
            forgotten = await events.expire(tx, inbox_days)
            await ran(tx, _EXPIRE, now)
        return forgotten

    return [Job(_EXPIRE, timedelta(minutes=10), expire, due)]
