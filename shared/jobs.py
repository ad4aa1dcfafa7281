"""Periodic work: looked at on a rhythm, done by one process at a time, and able to say when it is next due."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import structlog

from shared.db import Database, Tx, execute, fetch
from shared.loops import pause

log = structlog.get_logger()

_LEAD = "SELECT pg_try_advisory_xact_lock(hashtextextended('roost.job.' || :name, 0)) AS leads"
_LEAD_NEXT = "SELECT pg_advisory_xact_lock(hashtextextended('roost.job.' || :name, 0))"


@dataclass(frozen=True, slots=True)
class Job:
    """A row of a service's jobs table.

    ``run`` does what is due at the clock's now, in transactions of its own, and answers how much it did.
    ``next_due`` answers the earliest instant at which there will be something to do, or None; it drives the virtual
    clock, which stands still in between. ``every`` is how often the job is looked at in real time.
    """

    name: str
    every: timedelta
    run: Callable[[], Awaitable[int]]
    next_due: Callable[[], Awaitable[datetime | None]]


class JobRunner:
    """Runs a service's jobs until it is stopped: each on its rhythm, led by whoever has the job's lock.

    A job at work holds one connection for its lock and takes others for what it does: so many at a time that the
    pool never runs dry on locks alone.
    """

    def __init__(self, service: str, jobs: Sequence[Job], db: Database) -> None:
        self.service = service
        self.jobs = jobs
        self.db = db
        self.failing: dict[str, str] = {}
        self._stopping = asyncio.Event()
        self._room = asyncio.Semaphore(max(1, (db.connections - 2) // 2))

    async def run(self) -> None:
        """Until ``stop``."""
        await asyncio.gather(*(self._repeat(job) for job in self.jobs))

    def stop(self) -> None:
        """Ends after the work in hand."""
        self._stopping.set()

    async def run_once(self, job: Job, *, wait: bool = False) -> int:
        """Does what is due of a job, unless somebody is at it; ``wait``: after him, so that all of it is done then."""
        name = f"{self.service}.{job.name}"
        async with self._room, self.db.transaction() as leading:
            if wait:
                await fetch(leading, _LEAD_NEXT, name=name)
            elif not (await fetch(leading, _LEAD, name=name))[0]["leads"]:
                return 0
            return await job.run()

    async def _repeat(self, job: Job) -> None:
        while not self._stopping.is_set():
            try:
                await self.run_once(job)
                self.failing.pop(job.name, None)
            except Exception as error:  # the loop's edge: a job's fault must not stop the others
                self.failing[job.name] = type(error).__name__
                log.exception("job failed", action="job.failed", service=self.service, job=job.name)
            await pause(self._stopping, job.every.total_seconds())


def next_daily(now: datetime, at: time, zone: ZoneInfo) -> datetime:
    """The next instant after ``now``, in UTC, at which the wall clock of ``zone`` shows ``at``.

    Where the clocks go forward over ``at``, as much later as they skip; where they go back, the first of the two.
    """
    today = now.astimezone(zone).date()
    # Compared in UTC: within one zone Python compares wall clocks, which show an hour twice in autumn.
    due = datetime.combine(today, at, zone).astimezone(UTC)
    return due if due > now else datetime.combine(today + timedelta(days=1), at, zone).astimezone(UTC)


_LAST_RUN = "SELECT ran_at FROM job_runs WHERE job = :job"
_RAN = """
INSERT INTO job_runs (job, ran_at) VALUES (:job, :at) ON CONFLICT (job) DO UPDATE SET ran_at = excluded.ran_at
"""

JOBS_V1 = "CREATE TABLE job_runs (job text PRIMARY KEY, ran_at timestamptz NOT NULL);"


async def last_run(tx: Tx, job: str) -> datetime | None:
    """When a nightly job ran last, as it noted itself with ``ran``."""
    rows = await fetch(tx, _LAST_RUN, job=job)
    return rows[0]["ran_at"] if rows else None


async def ran(tx: Tx, job: str, at: datetime) -> None:
    """Notes a nightly job's run."""
    await execute(tx, _RAN, job=job, at=at)
