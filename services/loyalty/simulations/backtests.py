"""Backtests: asked for, worked through by a job in processes of their own, and told of."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from uuid import uuid4

import msgspec
import structlog

from services.loyalty.programmes.application import Programmes
from services.loyalty.simulations import store
from services.loyalty.simulations.domain import Figures, Trial, not_applied
from services.loyalty.simulations.store import Backtest
from services.loyalty.simulations.worker import Said, Task
from shared.clock import Clock
from shared.db import Database, Tx
from shared.settings import HouseSettings

log = structlog.get_logger()

INTERRUPTED = "interrupted"
"""Of a backtest whose process ended before it did."""
FAILED = "failed"
_WORKER = "services.loyalty.simulations.worker"
_ROOT = Path(__file__).resolve().parents[3]
_LONGEST_LINE = 2**24
_TOLD_SECONDS = 1.0
_PROCESSES = min(2, os.cpu_count() or 1)


class WorkerFailed(RuntimeError):
    """A process ended without an answer; its traceback is on stderr."""


@dataclass(frozen=True, slots=True)
class Backtests:
    """Asking for one, and looking at it."""

    clock: Clock
    programmes: Programmes

    async def ask(self, tx: Tx, trial: Trial, by: str) -> Backtest:
        """One that waits for its turn. Raises LookupError for a version that there isn't, with its field's name."""
        posted = {version.version for version in await self.programmes.known(tx)}
        for name, version in (("version", trial.version), ("compare_to", trial.compare_to)):
            if version is not None and version not in posted:
                raise LookupError(name)
        if trial.draft is not None:
            body = msgspec.json.decode(trial.draft)
        else:
            assert trial.version is not None, "one of the two is tried"
            body = (await self.programmes.one(tx, trial.version)).body
        trial = msgspec.structs.replace(trial, not_applied=not_applied(body))
        id = f"sim_{uuid4().hex}"
        await store.add(tx, id, trial, by, self.clock.now())
        found = await store.find(tx, id)
        assert found is not None, "it was just added"
        return found

    async def find(self, tx: Tx, id: str) -> Backtest | None:
        """As it stands."""
        return await store.find(tx, id)


@dataclass(frozen=True, slots=True)
class Backtesting:
    """The job. Everybody's facts are read as of one moment, in ``processes`` that share them out among themselves."""

    db: Database
    dsn: str = field(repr=False)
    clock: Clock
    house: HouseSettings
    processes: int = _PROCESSES

    async def run(self) -> int:
        """All that wait, one after the other; answers how many. Only one process leads a job: what is said to run by
        now, ran in one that has ended."""
        done = 0
        async with self.db.transaction() as tx:
            await store.fail_running(tx, INTERRUPTED, self.clock.now())
        while backtest := await self._next():
            try:
                figures = await self._judge(backtest)
            except Exception as error:
                # Whatever it failed by: those behind it shall have their turn.
                log.exception("backtest failed", action="backtest.failed", simulation_id=backtest.simulation_id)
                async with self.db.transaction() as tx:
                    await store.fail(tx, backtest.simulation_id, _code(error), self.clock.now())
            else:
                async with self.db.transaction() as tx:
                    await store.end(tx, backtest.simulation_id, figures, self.clock.now())
            done += 1
        return done

    async def next_due(self) -> datetime | None:
        """Now, if one waits."""
        async with self.db.transaction() as tx:
            return self.clock.now() if await store.is_any_open(tx) else None

    async def _next(self) -> Backtest | None:
        async with self.db.transaction() as tx:
            return await store.start(tx, self.clock.now())

    async def _judge(self, backtest: Backtest) -> Figures:
        async with AsyncExitStack() as stack:
            async with self.db.transaction() as tx:
                snapshot, persons = await store.export_snapshot(tx)
                known_at = self.clock.now()
                workers = [
                    await stack.enter_async_context(_worker(self._task(backtest, snapshot, known_at, part)))
                    for part in range(self.processes)
                ]
                # The moment is kept until each has made it its own.
                for worker in workers:
                    await _heard(worker)
            async with self.db.transaction() as tx:
                await store.begun(tx, backtest.simulation_id, known_at, persons)
            return await self._follow(backtest, workers)

    def _task(self, backtest: Backtest, snapshot: str, known_at: datetime, part: int) -> Task:
        house = self.house
        return Task(
            self.dsn, snapshot, known_at, backtest.trial, house.currency, house.time_zone, part, self.processes
        )  # fmt: skip

    async def _follow(self, backtest: Backtest, workers: Sequence[asyncio.subprocess.Process]) -> Figures:
        found = Figures()
        done = [0] * len(workers)
        told_at = time.monotonic()
        lock = asyncio.Lock()

        async def one(part: int, worker: asyncio.subprocess.Process) -> None:
            nonlocal told_at
            while (said := await _heard(worker)).figures is None:
                done[part] = said.done
                if not lock.locked() and time.monotonic() - told_at >= _TOLD_SECONDS:
                    async with lock, self.db.transaction() as tx:
                        await store.progress(tx, backtest.simulation_id, sum(done))
                    told_at = time.monotonic()
            found.add(said.figures)

        async with asyncio.TaskGroup() as group:
            for part, worker in enumerate(workers):
                group.create_task(one(part, worker))
        return found


@asynccontextmanager
async def _worker(task: Task) -> AsyncIterator[asyncio.subprocess.Process]:
    path = os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", _WORKER,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=_LONGEST_LINE,
        env={**os.environ, "PYTHONPATH": path}, start_new_session=True,
    )  # fmt: skip
    try:
        assert process.stdin is not None, "it has a pipe"
        process.stdin.write(msgspec.json.encode(task) + b"\n")
        await process.stdin.drain()
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _heard(worker: asyncio.subprocess.Process) -> Said:
    assert worker.stdout is not None, "it has a pipe"
    line = await worker.stdout.readline()
    if not line:
        raise WorkerFailed(f"the process ended with {await worker.wait()}")
    return msgspec.json.decode(line, type=Said)


def _code(error: Exception) -> str:
    return FAILED if isinstance(error, WorkerFailed | ExceptionGroup) else type(error).__name__
