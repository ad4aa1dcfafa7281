"""Jobs: one process at a time does each, one that fails stops no other, and no number of them starves the pool."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from shared.clock import VirtualClock
from shared.db import Database, fetch
from shared.jobs import Job, JobRunner, last_run
from shared.messaging.housekeeping import housekeeping
from shared.messaging.records import Record
from tests.integration.shared.effects import create_effects, intake_of, query
from tests.kit.builders import NOW, purchase, record
from tests.kit.databases import TestDatabase
from tests.kit.waiting import until

SERVICE = "shared"


async def never() -> datetime | None:
    return None


def job(name: str, run: Callable[[], Awaitable[int]], every: float = 0.01) -> Job:
    return Job(name, timedelta(seconds=every), run, never)


@asynccontextmanager
async def running(*runners: JobRunner) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(runner.run()) for runner in runners]
    try:
        yield
    finally:
        for runner in runners:
            runner.stop()
        async with asyncio.timeout(10):
            await asyncio.gather(*tasks)


async def test_who_waits_for_a_job_runs_it_after_whoever_is_at_it(database: Database) -> None:
    done: list[str] = []
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def run() -> int:
        if not begun.is_set():
            begun.set()
            await go_on.wait()
            done.append("at it")
        else:
            done.append("after")
        return 1

    runner = JobRunner("profile", [], database)
    first = asyncio.create_task(runner.run_once(job("score", run)))
    await begun.wait()
    assert await runner.run_once(job("score", run)) == 0
    waiting = asyncio.create_task(runner.run_once(job("score", run), wait=True))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    assert done == []
    go_on.set()
    assert list(await asyncio.gather(first, waiting)) == [1, 1]
    assert done == ["at it", "after"]


async def test_a_job_runs_in_one_process_at_a_time(database: Database) -> None:
    at_it: list[int] = []
    runs = 0

    async def run() -> int:
        nonlocal runs
        at_it.append(1)
        assert len(at_it) == 1
        async with database.transaction() as tx:
            await fetch(tx, "SELECT pg_sleep(0.01)")
        at_it.pop()
        runs += 1
        return 1

    async def often() -> bool:
        return runs >= 20

    runners = [JobRunner("profile", [job("score", run)], database) for _ in range(3)]
    async with running(*runners):
        await until(often)
    assert all(runner.failing == {} for runner in runners)


async def test_a_job_that_fails_stops_no_other_and_is_tried_again(database: Database) -> None:
    runs = {"bad": 0, "good": 0}

    async def bad() -> int:
        runs["bad"] += 1
        if runs["bad"] < 5:
            raise RuntimeError
        return 0

    async def good() -> int:
        runs["good"] += 1
        return 0

    async def both() -> bool:
        return min(runs.values()) >= 4

    runner = JobRunner("profile", [job("bad", bad), job("good", good)], database)
    async with running(runner):
        await until(both)
        assert set(runner.failing) <= {"bad"}
        await until(lambda: nothing_fails(runner))
    assert runs["bad"] >= 5


async def nothing_fails(runner: JobRunner) -> bool:
    return not runner.failing


async def test_many_jobs_on_the_smallest_pool_all_get_done(test_database: TestDatabase) -> None:
    db = Database(test_database.dsn, pool_size=2)
    done: set[str] = set()

    def opening(name: str) -> Job:
        async def run() -> int:
            async with db.transaction() as tx:
                await fetch(tx, "SELECT pg_sleep(0.01)")
            done.add(name)
            return 1

        return job(name, run)

    async def all_done() -> bool:
        return len(done) == 12

    runner = JobRunner("profile", [opening(f"job-{n}") for n in range(12)], db)
    # One connection is the relay's.
    async with db.connection(), running(runner):
        await until(all_done, 15)
    await db.close()


async def test_stopping_waits_for_the_work_in_hand_and_not_for_the_rhythm(database: Database) -> None:
    done = asyncio.Event()

    async def run() -> int:
        done.set()
        return 0

    async with running(JobRunner("profile", [job("rare", run, every=3_600)], database)):
        await done.wait()


async def test_housekeeping_forgets_once_a_day_what_is_old(test_database: TestDatabase, database: Database) -> None:
    await create_effects(test_database)
    clock = VirtualClock(NOW)
    intake = intake_of(database, clock=clock)
    keeping = housekeeping(database, clock, 37)
    runner = JobRunner("profile", [keeping], database)
    topic = "purchase-recorded"
    await intake.take([record(topic, purchase(days_ago=-2), id="ahead"), Record(topic, b"", b"!")])
    await intake.take([record(topic, purchase(), id=f"e-{n}") for n in range(500)])
    assert await runner.run_once(keeping) == 0
    clock.set(NOW + timedelta(days=2))
    [ahead] = await query(database, "SELECT id FROM dead_letters WHERE code = 'in-the-future'")
    async with database.transaction() as tx:
        assert isinstance(ahead["id"], int)
        assert await intake.replay(tx, ahead["id"])
    await intake.take([record(topic, purchase(), id="later")])
    clock.set(NOW + timedelta(days=37, minutes=1))
    assert await runner.run_once(keeping) == 500
    assert await runner.run_once(keeping) == 0
    assert await query(database, "SELECT id FROM inbox ORDER BY id") == [{"id": "ahead"}, {"id": "later"}]
    clock.set(NOW + timedelta(days=39, minutes=1))
    assert await runner.run_once(keeping) == 3
    # The letter that still waits stays, for ever.
    assert [row["value"] for row in await query(database, "SELECT value FROM dead_letters")] == [b"!"]
    async with database.transaction() as tx:
        assert await last_run(tx, keeping.name) == clock.now()
    assert await keeping.next_due() is None
