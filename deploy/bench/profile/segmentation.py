"""Purchases taken in with segments and without, in turns: every mark, and every placing that follows, is paid for."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import asyncpg

from deploy.bench.purchases import Purchase
from deploy.bench.stage import Fresh, Stage
from shared.db import fetch
from shared.jobs import Job
from shared.loops import pause
from shared.messaging.records import Record
from shared.service import Service

BATCH = 500
_TRIGGERS = """
SELECT c.relname AS name, t.tgname AS trigger FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid
JOIN pg_proc p ON p.oid = tgfoid WHERE p.proname IN ('mark_changed', 'mark_standing', 'mark_joined')
"""
_PLACED = "SELECT count(DISTINCT customer_id) AS placed FROM placements"


@dataclass(frozen=True, slots=True)
class Segmented:
    """Purchases a second, with everybody placed in the end and without any of it."""

    on_per_second: float
    off_per_second: float

    @property
    def ratio(self) -> float:
        """What of the speed is left."""
        return self.on_per_second / self.off_per_second


async def measure(
    stage: Stage, purchases: Sequence[Purchase], turns: int, show: Callable[[int, int], None]
) -> Segmented:
    """The consumer's way without a broker, batch after batch, beside it the placing job on its rhythm; the clock stops
    when nobody waits to be placed. Without: the marks' triggers are off, and there is no job. Each has a database of
    its own; its first batch connects and compiles, and isn't counted.

    Raises AssertionError if somebody isn't placed.
    """
    seconds = {"on": 0.0, "off": 0.0}
    total = turns * len(seconds) * (len(purchases) - BATCH)
    done = 0

    def step(events: int) -> None:
        nonlocal done
        done += events
        show(done, total)

    for _ in range(turns):
        for which in seconds:
            async with stage.database("profile") as database:
                if which == "off":
                    await _without_marks(database)
                seconds[which] += await _run(stage, database, purchases, which == "on", step)
    events = turns * (len(purchases) - BATCH)
    return Segmented(events / seconds["on"], events / seconds["off"])


async def _run(
    stage: Stage, database: Fresh, purchases: Sequence[Purchase], placing: bool, step: Callable[[int], None]
) -> float:
    service = stage.build("profile", database.dsn)
    [place] = [job for job in service.runner.jobs if job.name == "place"]
    records = [Record("purchase-recorded", each.key, each.value) for each in purchases]
    stopping = asyncio.Event()
    try:
        await service.start(())
        await service.intake.take(records[:BATCH])
        began = time.perf_counter()
        task = asyncio.create_task(_on_its_rhythm(service, place, stopping)) if placing else None
        for start in range(BATCH, len(records), BATCH):
            await service.intake.take(records[start : start + BATCH])
            step(min(BATCH, len(records) - start))
        stopping.set()
        if task:
            await task
            await place_all(service)
            async with service.db.transaction() as tx:
                placed = (await fetch(tx, _PLACED))[0]["placed"]
            assert placed == len({each.customer_id for each in purchases}), f"{placed} were placed"
        return time.perf_counter() - began
    finally:
        stopping.set()
        await service.stop()


async def place_all(service: Service) -> None:
    """Has everybody placed who is marked: in a rush of marks one look is not enough."""
    [place] = [job for job in service.runner.jobs if job.name == "place"]
    while await _waits(service):
        await service.runner.run_once(place)


async def _on_its_rhythm(service: Service, place: Job, stopping: asyncio.Event) -> None:
    while not stopping.is_set():
        await pause(stopping, place.every.total_seconds())
        if not stopping.is_set():
            await service.runner.run_once(place)


async def _waits(service: Service) -> bool:
    async with service.db.transaction() as tx:
        rows = await fetch(
            tx, "SELECT EXISTS (SELECT FROM placement_marks) OR EXISTS (SELECT FROM placement_queue) AS waits"
        )
    return bool(rows[0]["waits"])


async def _without_marks(database: Fresh) -> None:
    connection = await asyncpg.connect(database.admin_dsn)
    try:
        for row in await connection.fetch(_TRIGGERS):
            await connection.execute(f'ALTER TABLE "{row["name"]}" DISABLE TRIGGER "{row["trigger"]}"')
    finally:
        await connection.close()
