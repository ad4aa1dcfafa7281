"""The job that works through what was received, and takes back what is to be taken back."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import asyncpg
import msgspec
import structlog

from services.profile.attributes import application as attributes
from services.profile.customers.application import SERVICE, Customers
from services.profile.identities.application import Identities
from services.profile.imports import reading, row_store, store, touched_store
from services.profile.imports.applying import Applied, Applying
from services.profile.imports.columns import setters
from services.profile.imports.domain import (
    ABANDONED,
    CHUNK_ROWS,
    ERASED,
    KEPT,
    SHOWN_DIFFERENCES,
    Fault,
    Import,
    Record,
    Refused,
)
from services.profile.imports.parting import MergesStand
from services.profile.imports.reverting import Reverting
from services.profile.imports.rows import Prepared, prepare
from services.profile.imports.sealing import DIFFERENCE, of_chunk, of_fault, sealer_of
from services.profile.imports.touched_store import Touched
from services.profile.vault.domain import Sealer
from shared.db import Database, Tx, is_transient
from shared.messaging import merges
from shared.service import Wake

log = structlog.get_logger()
_WORK_SECONDS = 10.0
_AGAIN = 5
_TOGETHER = 2
_SLICE = 100
_ATTRIBUTE = "attributes."


class Row(msgspec.Struct, frozen=True):
    """A row of a chunk: what its file said, and what it says, or what is wrong with it."""

    number: int
    record: Record
    said: Prepared | Refused


@dataclass(slots=True)
class Chunk:
    """Rows that are applied together."""

    number: int
    rows: Sequence[Row]

    @property
    def sound(self) -> list[Prepared]:
        """Those that can be applied."""
        return [row.said for row in self.rows if isinstance(row.said, Prepared)]

    def meets(self, other: "Chunk") -> bool:
        """Whether both name a customer, by id or identifier: then one must wait for the other."""
        return not self._names().isdisjoint(other._names())

    def _names(self) -> set[object]:
        names: set[object] = {one.row.customer_id for one in self.sound if one.row.customer_id}
        return names | {(held.kind, held.value) for one in self.sound for held in one.row.identifiers}


class _Turn(NamedTuple):
    chunk: Chunk
    task: asyncio.Task[bool]


class _TurnOver(Exception):
    """Somebody has taken the import back, or was here before: nothing of the chunk is kept."""


@dataclass(frozen=True, slots=True)
class Working:
    """The use cases of the job."""

    customers: Customers
    identities: Identities
    db: Database
    wake: Wake

    async def run(self) -> int:
        """Works for some seconds, a transaction a chunk; answers how many rows it came through.

        One that fails keeps no other waiting; what it failed by is raised in the end.
        """
        done, until = 0, time.monotonic() + _WORK_SECONDS
        failed: dict[str, Exception] = {}
        while time.monotonic() < until:
            async with self.db.transaction() as tx:
                import_id = await store.next_at_work(tx, list(failed))
                if import_id:
                    await store.started(tx, import_id, self.customers.clock.now())
                job = await store.find(tx, import_id) if import_id else None
            if job is None:
                break
            try:
                done += await (self._take_back(job) if job.state == "reverting" else self._work(job, until))
            except Exception as error:
                log.error("import.failed", service=SERVICE, import_id=job.import_id, error=type(error).__name__)
                failed[job.import_id] = error
        for fault in failed.values():
            raise fault
        return done

    async def next_due(self) -> datetime | None:
        """Now, if something is to be worked through."""
        async with self.db.transaction() as tx:
            waiting = await store.next_at_work(tx)
        return self.customers.clock.now() if waiting else None

    async def forget(self, tx: Tx, now: datetime) -> int:
        """Drops uploads that never ended, and the words of files whose import ended long ago."""
        return await store.forget(tx, now - ABANDONED, now - KEPT)

    async def _work(self, job: Import, until: float) -> int:
        """Two chunks at a time, one behind the other: while the database writes the one, the next is decided."""
        done = 0
        turns: deque[_Turn] = deque()

        async def oldest_ended() -> bool:
            nonlocal done
            stands = await turns[0].task
            done += len(turns.popleft().chunk.rows) if stands else 0
            self.wake()
            return stands

        try:
            async for chunk in self._chunks(job):
                while turns and (len(turns) == _TOGETHER or job.dry_run or chunk.meets(turns[-1].chunk)):
                    if not await oldest_ended():
                        return done
                if time.monotonic() > until:
                    break
                held = asyncio.Event()
                before = turns[-1].task if turns else None
                turns.append(_Turn(chunk, asyncio.create_task(self._again(job, chunk, before, held))))
                # Locks are taken in the order of the chunks: the one before never waits for this one.
                await held.wait()
            while turns:
                if not await oldest_ended():
                    return done
        finally:
            for turn in turns:
                turn.task.cancel()
            await asyncio.gather(*(turn.task for turn in turns), return_exceptions=True)
        async with self.db.transaction() as tx:
            now = await store.find(tx, job.import_id, lock=True)
            if now is not None and now.state in ("waiting", "running") and now.done == now.rows:
                await store.ended(tx, job.import_id, self.customers.clock.now())
                log.info("import.done", service=SERVICE, import_id=job.import_id, rows=now.rows, failed=now.failed)
        return done

    async def _chunks(self, job: Import) -> AsyncIterator[Chunk]:
        async with self.db.transaction() as tx:
            sealer = await sealer_of(tx, self.customers.vault, job)
            names = [name.removeprefix(_ATTRIBUTE) for name in job.columns if name.startswith(_ATTRIBUTE)]
            columns = setters(job.columns, await attributes.types(tx, names))
        number = job.next_chunk
        while True:
            async with self.db.transaction() as tx:
                found = await store.chunk(tx, job.import_id, number)
            if found is None:
                return
            assert sealer is not None, "the key goes long after the chunks"
            first, body = found
            rows: list[Row] = []
            for place, record in enumerate(reading.unpacked(sealer.open(of_chunk(number), bytes(body)))):
                if place % _SLICE == 0:
                    await asyncio.sleep(0)
                rows.append(_row(first + place, record, columns))
            yield Chunk(number, rows)
            number += 1

    async def _again(self, job: Import, chunk: Chunk, before: asyncio.Task[bool] | None, held: asyncio.Event) -> bool:
        try:
            for attempt in range(1, _AGAIN + 1):
                try:
                    return await self._apply(job, chunk, before, held)
                except _TurnOver:
                    return False
                except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                    lost = before is not None and before.done() and not _stands(before)
                    overtaken = isinstance(error, asyncpg.UniqueViolationError) or is_transient(error)
                    if lost or not overtaken or attempt == _AGAIN:
                        raise
                    log.info("import.again", service=SERVICE, import_id=job.import_id, attempt=attempt)
            raise AssertionError("the last attempt returns or raises")
        finally:
            held.set()

    async def _apply(self, job: Import, chunk: Chunk, before: asyncio.Task[bool] | None, held: asyncio.Event) -> bool:
        """A chunk, its effects, and the position behind it. Raises _TurnOver where it isn't its turn."""
        async with self.db.transaction() as tx:
            await store.be_patient(tx)
            made: set[str] = set()
            if job.dry_run:
                made = await touched_store.made_before(
                    tx, job.import_id, [one.row.customer_id or "" for one in chunk.sound]
                )
            applied = await Applying(self.customers).apply(tx, job, chunk.sound, made=made, held=held.set)
            if before is not None:
                await asyncio.wait({before})
                if not before.result():
                    raise _TurnOver
            now = await store.find(tx, job.import_id, lock=True)
            if now is None or now.state not in ("waiting", "running") or now.next_chunk != chunk.number:
                raise _TurnOver
            await self._note(tx, now, chunk.rows, applied)
            await store.progress(tx, job.import_id, chunk.number, applied.tally)
        return True

    async def _note(self, tx: Tx, job: Import, rows: Sequence[Row], applied: Applied) -> None:
        refused = {number: (who, faults) for number, who, faults in applied.refused}
        for row in rows:
            if isinstance(row.said, Refused):
                applied.tally.failed += 1
                refused[row.number] = (row.said.customer_id, row.said.faults)
        sealer = await sealer_of(tx, self.customers.vault, job) if refused or job.dry_run else None
        if refused and sealer:
            await row_store.add_faults(
                tx,
                job.import_id,
                [
                    (row.number, *refused[row.number], self._kept(sealer, job, row, refused[row.number][1]))
                    for row in rows
                    if row.number in refused
                ],
            )
        touched = list(applied.touched.values())
        if job.dry_run:
            touched = [Touched(one.customer_id, True) for one in touched if one.created]
            if sealer and (room := SHOWN_DIFFERENCES - await row_store.shown(tx, job.import_id)) > 0:
                shown = [
                    (one.row, one.customer_id, sealer.seal(DIFFERENCE, msgspec.json.encode(one).decode()))
                    for one in applied.differences[:room]
                ]
                await row_store.add_differences(tx, job.import_id, shown)
        await touched_store.touched(tx, job.import_id, job.next_chunk, touched)

    @staticmethod
    def _kept(sealer: Sealer, job: Import, row: Row, faults: Sequence[Fault]) -> bytes | None:
        """The record, to be mended; of who was erased nothing is kept."""
        if any(fault.code == ERASED for fault in faults):
            return None
        return sealer.seal(of_fault(row.number), reading.shown(row.record, job.columns))

    async def _take_back(self, job: Import) -> int:
        try:
            await self._chunk_back(job, merges_held=False)
        except MergesStand:
            await self._chunk_back(job, merges_held=True)
        self.wake()
        return CHUNK_ROWS

    async def _chunk_back(self, job: Import, *, merges_held: bool) -> None:
        async with self.db.transaction() as tx:
            if self.customers.erased is not None:
                await self.customers.erased.alone(tx)
            if merges_held:
                await merges.hold(tx)
            now = await store.find(tx, job.import_id, lock=True)
            if now is None or now.state != "reverting":
                return
            if now.next_chunk:
                await Reverting(self.customers, self.identities).chunk(tx, now, merges_held=merges_held)
            else:
                await store.revert_ended(tx, job.import_id, self.customers.clock.now())


def _row(number: int, record: Record, columns: Sequence[Any]) -> Row:
    try:
        return Row(number, record, prepare(number, record, columns))
    except Refused as error:
        return Row(number, record, error)


def _stands(turn: asyncio.Task[bool]) -> bool:
    return not turn.cancelled() and turn.exception() is None and turn.result()
