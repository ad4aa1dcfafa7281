"""A process that judges one part of all persons, and leaves its service the time to answer.

``python -m services.loyalty.simulations.worker``: its task comes as a line on stdin; a line on stdout for every batch
tells how many persons it has judged, the last one what it found.
"""

import asyncio
import gc
import os
import sys
from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec

from services.loyalty.programmes.application import Programmes
from services.loyalty.programmes.domain import Programme, segments_of
from services.loyalty.programmes.stored import read_programme
from services.loyalty.segments.application import memberships
from services.loyalty.simulations import store
from services.loyalty.simulations.domain import Bench, Figures, Trial
from shared.clock import SystemClock
from shared.db import Database, Tx

BATCH = 250
_NICE = 10


class Task(msgspec.Struct, frozen=True):
    """One of ``parts`` parts of everybody, as of a moment that PostgreSQL keeps under a name."""

    dsn: str
    snapshot: str
    known_at: datetime
    trial: Trial
    currency: str
    zone: str
    part: int
    parts: int


class Said(msgspec.Struct, frozen=True):
    """A line: persons judged so far, and in the last one what was found."""

    done: int
    figures: Figures | None = None


async def work(task: Task) -> None:
    """Reads, judges and adds up, a batch of persons at a time."""
    db = Database(task.dsn, pool_size=1, application_name="loyalty-backtest")
    figures, done, after = Figures(), 0, 0
    try:
        async with db.transaction() as tx:
            await store.import_snapshot(tx, task.snapshot)
            _say(Said(0))
            bench = await _bench(tx, task)
            asked = segments_of([*bench.known, bench.tried])
            is_shared = any(version.is_shared for version in bench.known)
            while persons := await store.persons_after(tx, after, task.part, task.parts, BATCH):
                histories, past = await store.histories(tx, persons, task.trial.until, is_shared=is_shared)
                if asked:
                    customers = {orders[0].customer_id for ids in histories.values() for orders in ids}
                    known = await memberships(tx, customers, asked)
                    past = msgspec.structs.replace(past, memberships=known)
                for ids in histories.values():
                    if ids:
                        bench.count(figures, ids, past)
                done, after = done + len(persons), persons[-1]
                _say(Said(done))
    finally:
        await db.close()
    _say(Said(done, figures))


async def _bench(tx: Tx, task: Task) -> Bench:
    zone = ZoneInfo(task.zone)
    known = await Programmes(SystemClock(), task.currency, zone).known(tx)
    by_number = {version.version: version for version in known}
    trial = task.trial
    tried: Programme
    if trial.version is not None:
        tried = by_number[trial.version]
    else:
        assert trial.draft is not None, "one of the two is tried"
        tried = read_programme(known[-1].version + 1, task.known_at, trial.draft.encode(), zone)
    compared = by_number[trial.compare_to] if trial.compare_to is not None else None
    return Bench(trial, tried, compared, known, zone)


def _say(said: Said) -> None:
    # Where nobody listens any more, this ends the process.
    sys.stdout.buffer.write(msgspec.json.encode(said) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    os.nice(_NICE)
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)
    asyncio.run(work(msgspec.json.decode(sys.stdin.buffer.readline(), type=Task)))
