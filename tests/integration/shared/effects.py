"""A service of no trade: it writes down which events had their effect, in a table that would show a second one."""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime

import asyncpg

from shared.clock import Clock, VirtualClock
from shared.contracts.topics import TOPICS
from shared.db import Database, Tx, columns, execute, fetch
from shared.messaging import flow
from shared.messaging.erased import Erased
from shared.messaging.events import Event
from shared.messaging.intake import Intake, Outcome, UseCase
from tests.kit.builders import NOW
from tests.kit.databases import TestDatabase

_WRITE = "INSERT INTO effects (source, id) SELECT * FROM unnest(CAST(:sources AS text[]), CAST(:ids AS text[]))"


async def create_effects(database: TestDatabase) -> None:
    """Makes the table, without any key."""
    owner = await asyncpg.connect(database.owner_dsn)
    await owner.execute("CREATE TABLE IF NOT EXISTS effects (source text NOT NULL, id text NOT NULL)")
    await owner.close()


async def write_effects(tx: Tx, events: Sequence[Event]) -> Outcome:
    """The use case."""
    sources, ids = columns([(event.source, event.id) for event in events], 2)
    await execute(tx, _WRITE, sources=sources, ids=ids)
    return Outcome()


def intake_of(
    db: Database,
    *,
    use_case: UseCase = write_effects,
    service: str = "profile",
    clock: Clock | None = None,
    after_commit: Callable[[], None] = lambda: None,
    erased: Erased | None = None,
) -> Intake:
    """An intake of every topic, at NOW unless a clock is given."""
    clock = clock or VirtualClock(NOW)
    return Intake(service, dict.fromkeys(TOPICS, use_case), db, clock, after_commit, erased=erased)


async def effects(db: Database) -> Counter[str]:
    """How often each event had its effect."""
    async with db.transaction() as tx:
        return Counter(row["id"] for row in await fetch(tx, "SELECT id FROM effects"))


async def totals(db: Database) -> dict[str, int]:
    """The flow's sums; of refused events only where there are any."""
    async with db.transaction() as tx:
        return {name: n for name, n in (await flow.totals(tx)).items() if n or name != "refused"}


async def flow_rows(db: Database) -> dict[tuple[str, datetime], dict[str, int]]:
    """The flow by source and hour; of refused events only where there are any."""
    async with db.transaction() as tx:
        rows = await flow.read(tx, limit=1_000)
    for row in rows:
        if not row["refused"]:
            del row["refused"]
    return {(row.pop("source"), row.pop("hour")): row for row in rows}  # type: ignore[misc]  # rows are for JSON


async def query(db: Database, sql: str, **params: object) -> list[dict[str, object]]:
    """Rows of a statement on its own."""
    async with db.transaction() as tx:
        return [dict(row) for row in await fetch(tx, sql, **params)]
