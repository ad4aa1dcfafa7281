"""What every service forgets, once a day: inbox rows that natural keys have taken over from, letters replayed."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from shared.clock import Clock
from shared.db import Database, Tx
from shared.jobs import Job, last_run, ran
from shared.messaging import dead_letters, inbox

NAME = "housekeeping"
EVERY = timedelta(days=1)
LOOK = timedelta(hours=1)


def housekeeping(db: Database, clock: Clock, inbox_days: int) -> Job:
    """The job that deletes inbox rows, and replayed dead letters, older than ``inbox_days``."""

    async def run() -> int:
        now = clock.now()
        async with db.transaction() as tx:
            last = await last_run(tx, NAME)
        if last is not None and now < last + EVERY:
            return 0
        deleted = await _all(db, lambda tx: inbox.expire(tx, now, inbox_days))
        deleted += await _all(db, lambda tx: dead_letters.expire(tx, now, inbox_days))
        async with db.transaction() as tx:
            await ran(tx, NAME, now)
        return deleted

    async def next_due() -> datetime | None:
        # Nothing that anybody could see depends on it: virtual time need not stop for it.
        return None

    return Job(NAME, LOOK, run, next_due)


async def _all(db: Database, expire: Callable[[Tx], Awaitable[int]]) -> int:
    total = 0
    while True:
        async with db.transaction() as tx:
            deleted = await expire(tx)
        total += deleted
        if not deleted:
            return total
