"""The relay: publishes the outbox in id order, deletes a row after the broker's acknowledgement.

One leader a service, by an advisory lock held on the very connection that reads and deletes: when the connection
goes, so does the lead. A "last id" cursor would lose events, since ids commit out of order.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    ProducerFenced,
    RecordTooLargeError,
)
from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.clock import Clock
from shared.db import Database, Tx, columns, execute, fetch
from shared.messaging import dead_letters, kafka
from shared.messaging.outbox import record_headers
from shared.messaging.records import Record
from shared.settings import KafkaSettings

log = structlog.get_logger()

BATCH = 1_000
STANDBY_SECONDS = 1.0
REFUSED = (MessageSizeTooLargeError, RecordTooLargeError, InvalidTopicError)
REBUILD = (OutOfOrderSequenceNumber, ProducerFenced)

_LEAD = "SELECT pg_try_advisory_lock(hashtextextended('roost.relay', 0)) AS leads"
_NEXT = """
SELECT id, topic, key, value, headers FROM outbox WHERE published_offset IS NULL ORDER BY id LIMIT :limit
"""
_DELETE = "DELETE FROM outbox WHERE id = ANY(:ids)"
_PUBLISHED = """
UPDATE outbox SET published_partition = part, published_offset = place
FROM unnest(CAST(:ids AS bigint[]), CAST(:partitions AS int[]), CAST(:offsets AS bigint[])) AS p (id, part, place)
WHERE outbox.id = p.id
"""


class Relay:
    """Runs until it is stopped. ``wake`` it after a commit; otherwise it looks every ``poll_seconds``."""

    def __init__(
        self, service: str, db: Database, clock: Clock, settings: KafkaSettings, poll_seconds: float = 0.025
    ) -> None:
        self.service = service
        self.db = db
        self.clock = clock
        self.settings = settings
        self.poll_seconds = poll_seconds
        self.published = 0
        self.state = "starting"
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()

    def wake(self) -> None:
        """There is something to publish."""
        self._wake.set()

    def stop(self) -> None:
        """Ends the loop after the batch in hand."""
        self._stopping.set()
        self._wake.set()

    async def run(self) -> None:
        """Leads when it can; a broker or database that goes away is waited for."""
        while not self._stopping.is_set():
            try:
                async with self.db.engine.connect() as connection:
                    await self._lead(connection)
            except Exception as error:  # the loop's edge: the rows are still there
                self.state = f"recovering from {type(error).__name__}"
                log.warning("restarting", action="relay.restart", service=self.service, error=repr(error))
                await self._pause(STANDBY_SECONDS)
        self.state = "stopped"

    async def _lead(self, connection: AsyncConnection) -> None:
        while not self._stopping.is_set():
            async with connection.begin():
                leads = (await fetch(connection, _LEAD))[0]["leads"]
            if leads:
                break
            self.state = "standby"
            await self._pause(STANDBY_SECONDS)
        try:
            while not self._stopping.is_set():
                await self._with_producer(connection)
        finally:
            # The lock lives as long as the session: the connection must not go back to the pool with it.
            await connection.invalidate()

    async def _with_producer(self, connection: AsyncConnection) -> None:
        producer = kafka.producer(self.settings)
        try:
            await producer.start()
            self.state = "ready"
            while not self._stopping.is_set():
                self._wake.clear()
                if await self._publish(connection, producer) < BATCH:
                    with contextlib.suppress(asyncio.TimeoutError):
                        await asyncio.wait_for(self._wake.wait(), self.poll_seconds)
        except REBUILD:
            log.warning("producer rebuilt", action="relay.rebuild", service=self.service)
        finally:
            with contextlib.suppress(asyncio.TimeoutError, KafkaError):
                await asyncio.wait_for(producer.stop(), 10)

    async def _publish(self, connection: AsyncConnection, producer: AIOKafkaProducer) -> int:
        async with connection.begin():
            rows = await fetch(connection, _NEXT, limit=BATCH)
            if not rows:
                return 0
            sent = [await self._send(producer, row) for row in rows]
            results = await asyncio.gather(*sent, return_exceptions=True)
            await self._settle(connection, rows, results)
        return len(rows)

    async def _send(self, producer: AIOKafkaProducer, row: RowMapping) -> "asyncio.Future[Any]":
        try:
            sent: asyncio.Future[Any] = await producer.send(
                row["topic"], key=row["key"], value=row["value"], headers=record_headers(row["headers"])
            )
        except REFUSED as error:
            sent = asyncio.get_running_loop().create_future()
            sent.set_exception(error)
        return sent

    async def _settle(self, tx: Tx, rows: Sequence[RowMapping], results: Sequence[Any]) -> None:
        """Takes out what was acknowledged, in one go even when others failed; then raises the first failure."""
        done: list[tuple[int, int, int]] = []
        refused: list[tuple[RowMapping, BaseException]] = []
        failure: BaseException | None = None
        for row, result in zip(rows, results, strict=True):
            if isinstance(result, REFUSED):
                refused.append((row, result))
            elif isinstance(result, BaseException):
                failure = failure or result
            else:
                done.append((row["id"], result.partition, result.offset))
        if refused:
            await self._bury(tx, refused, self.clock.now())
        if done:
            await self._take_out(tx, done)
            self.published += len(done)
        if failure is not None:
            await tx.commit()
            raise failure

    async def _take_out(self, tx: Tx, done: Sequence[tuple[int, int, int]]) -> None:
        ids, partitions, offsets = columns(done, 3)
        if self.settings.keep_published:
            await execute(tx, _PUBLISHED, ids=ids, partitions=partitions, offsets=offsets)
        else:
            await execute(tx, _DELETE, ids=ids)

    async def _bury(self, tx: Tx, refused: Sequence[tuple[RowMapping, BaseException]], now: datetime) -> None:
        for row, error in refused:
            record = Record(row["topic"], row["key"], row["value"])
            letter = dead_letters.DeadLetter(record, "dead", "broker-refused", str(error), "", f"/roost/{self.service}")
            await dead_letters.keep(tx, self.service, [letter], now, announce=False)
            log.error("refused by the broker", action="relay.refused", service=self.service, topic=row["topic"])
        await execute(tx, _DELETE, ids=[row["id"] for row, _ in refused])

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
