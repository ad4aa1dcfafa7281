"""The relay: publishes the outbox in id order, deletes a row after the broker's acknowledgement.

One leader a service, by an advisory lock held on the very connection that reads and deletes: when the connection
goes, so does the lead. A "last id" cursor would lose events, since ids commit out of order.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    InvalidTopicError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    ProducerFenced,
    RecordTooLargeError,
)

from shared.clock import Clock
from shared.contracts.topics import dead_letter_topic
from shared.db import Database, Reader, Row, begun, columns, execute, fetch
from shared.loops import pause, until_stopped
from shared.messaging import dead_letters, kafka
from shared.messaging.outbox import record_headers
from shared.messaging.records import Record
from shared.settings import KafkaSettings

log = structlog.get_logger()

BATCH = 1_000
STANDBY_SECONDS = 1.0
SEND_SECONDS = 20.0
STOP_SECONDS = 5.0
COUNT_SECONDS = 5.0
# What aiokafka can't even put on the wire is refused too.
REFUSED = (MessageSizeTooLargeError, RecordTooLargeError, InvalidTopicError, AssertionError, TypeError, ValueError)
REBUILD = (OutOfOrderSequenceNumber, ProducerFenced)

_LEAD = "SELECT pg_try_advisory_lock(hashtextextended('roost.relay', 0)) AS leads"
_NEXT = """
SELECT id, topic, key, value, headers, created_at FROM outbox WHERE published_offset IS NULL ORDER BY id LIMIT :limit
"""
_WAITING = "SELECT count(*) AS n, min(created_at) AS oldest FROM outbox WHERE published_offset IS NULL"
_DELETE = "DELETE FROM outbox WHERE id = ANY(:ids)"
_PUBLISHED = """
UPDATE outbox SET published_partition = part, published_offset = place
FROM unnest(CAST(:ids AS bigint[]), CAST(:partitions AS int[]), CAST(:offsets AS bigint[])) AS p (id, part, place)
WHERE outbox.id = p.id
"""


class Relay:
    """Runs until it is stopped. ``wake`` it after a commit; otherwise it looks every ``poll_seconds``.

    ``published`` counts rows since the start; ``ends`` says how far, by (topic, partition). ``waiting`` rows and the
    time of the ``oldest`` are known to the leader alone, the number of a long queue as of the last ``COUNT_SECONDS``.
    """

    def __init__(
        self, service: str, db: Database, clock: Clock, settings: KafkaSettings, poll_seconds: float = 0.025
    ) -> None:
        self.service = service
        self.db = db
        self.clock = clock
        self.settings = settings
        self.poll_seconds = poll_seconds
        self.published = 0
        self.ends: dict[tuple[str, int], int] = {}
        self.waiting = 0
        self.oldest: datetime | None = None
        self.state = "starting"
        self._counted = -COUNT_SECONDS
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()

    def wake(self) -> None:
        """There is something to publish."""
        self._wake.set()

    def stop(self) -> None:
        """Ends the loop after the batch in hand."""
        self._stopping.set()
        self._wake.set()

    def age(self) -> timedelta:
        """How long the oldest row has been waiting, as far as this process knows."""
        return self.clock.now() - self.oldest if self.oldest else timedelta()

    async def run(self) -> None:
        """Leads when it can; a broker or database that goes away is waited for."""
        while not self._stopping.is_set():
            try:
                await until_stopped(self._stopping, self._play(), lambda: STOP_SECONDS)
            except Exception as error:  # the loop's edge: the rows are still there
                self.state = f"recovering from {type(error).__name__}"
                log.warning("relay.restarted", service=self.service, error=repr(error))
                await pause(self._stopping, STANDBY_SECONDS)
        self.state = "stopped"

    async def _play(self) -> None:
        # Each statement for itself: no transaction stays open while the broker takes its time.
        async with self.db.connection() as connection:
            try:
                while not (await fetch(connection, _LEAD))[0]["leads"]:
                    self.waiting, self.oldest = 0, None
                    self.state = "standby"
                    await pause(self._stopping, STANDBY_SECONDS)
                    if self._stopping.is_set():
                        return
                while not self._stopping.is_set():
                    await self._lead(connection)
            finally:
                # The lock lives as long as the session: the connection must not go back to the pool with it.
                connection.terminate()

    async def _lead(self, connection: Reader) -> None:
        await self._count(connection)
        producer = kafka.producer(self.settings)
        try:
            await producer.start()
            self.state = "ready"
            while not self._stopping.is_set():
                self._wake.clear()
                if await self._publish(connection, producer) < BATCH:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(self.poll_seconds):
                            await self._wake.wait()
        except REBUILD:
            log.warning("relay.producer_rebuilt", service=self.service)
        finally:
            await kafka.close(producer)

    async def _publish(self, connection: Reader, producer: AIOKafkaProducer) -> int:
        rows = await fetch(connection, _NEXT, limit=BATCH)
        await self._note(connection, rows)
        if rows:
            results = await self._send(producer, rows)
            await self._settle(connection, producer, rows, results)
        return len(rows)

    async def _send(self, producer: AIOKafkaProducer, rows: Sequence[Row]) -> list[Any]:
        """What became of the rows, in their order: where it stands, or the error. The list ends where sending did."""
        sent: list[asyncio.Future[Any]] = []
        try:
            # A topic that isn't there, or a full buffer, would be waited for twice as long.
            async with asyncio.timeout(SEND_SECONDS):
                for row in rows:
                    try:
                        sent.append(await _sent(producer, row))
                    except REFUSED as error:
                        sent.append(_failed(error))
        except Exception as error:
            log.warning("relay.send_failed", service=self.service, topic=rows[len(sent)]["topic"], error=repr(error))
            sent.append(_failed(error))
        return await _all(sent)

    async def _settle(
        self,
        connection: Reader,
        producer: AIOKafkaProducer,
        rows: Sequence[Row],
        results: Sequence[Any],
    ) -> None:
        """Takes out what was acknowledged, in one go even when others failed; then raises the first failure."""
        refused = [row for row, result in zip(rows, results, strict=False) if isinstance(result, REFUSED)]
        failures = [error for error in results if isinstance(error, Exception) and not isinstance(error, REFUSED)]
        done = [
            (row["id"], result.partition, result.offset)
            for row, result in zip(rows, results, strict=False)
            if not isinstance(result, BaseException)
        ]
        # Before the rows go: an empty outbox must mean that the ends are known.
        for row, result in zip(rows, results, strict=False):
            if not isinstance(result, BaseException):
                self._reach(row["topic"], result.partition, result.offset)
        await self._take_out(connection, done)
        for row in refused:
            # A batch is refused whole: only what is refused on its own is at fault.
            try:
                place = await (await _sent(producer, row))
            except REFUSED as error:
                await self._bury(connection, row, error)
            else:
                self._reach(row["topic"], place.partition, place.offset)
                await self._take_out(connection, [(row["id"], place.partition, place.offset)])
        if failures:
            raise failures[0]

    def _reach(self, topic: str, partition: int, offset: int) -> None:
        place = (topic, partition)
        self.ends[place] = max(self.ends.get(place, 0), offset + 1)

    async def _take_out(self, connection: Reader, done: Sequence[tuple[int, int, int]]) -> None:
        ids, partitions, offsets = columns(done, 3)
        if not ids:
            return
        if self.settings.keep_published:
            await execute(connection, _PUBLISHED, ids=ids, partitions=partitions, offsets=offsets)
        else:
            await execute(connection, _DELETE, ids=ids)
        self.published += len(ids)

    async def _bury(self, connection: Reader, row: Row, error: Exception) -> None:
        log.error("relay.refused", service=self.service, topic=row["topic"], error=type(error).__name__)
        record = Record(row["topic"], row["key"], row["value"], tuple(record_headers(row["headers"])))
        source, code = f"/roost/{self.service}", dead_letters.BROKER_REFUSED
        letter = dead_letters.DeadLetter(record, "dead", code, str(error) or type(error).__name__, "", source)
        async with begun(connection) as tx:
            # A dead letter's announcement that is refused is kept already, as the letter itself.
            if not row["topic"].endswith(dead_letter_topic("", self.service)):
                await dead_letters.keep(tx, self.service, [letter], self.clock.now(), announce=False)
            await execute(tx, _DELETE, ids=[row["id"]])

    async def _note(self, connection: Reader, rows: Sequence[Row]) -> None:
        if len(rows) == BATCH:
            await self._count(connection)
        else:
            self.waiting = len(rows)
        self.oldest = rows[0]["created_at"] if rows else None

    async def _count(self, connection: Reader) -> None:
        now = asyncio.get_running_loop().time()
        if now < self._counted + COUNT_SECONDS:
            return
        found = (await fetch(connection, _WAITING))[0]
        self.waiting, self.oldest, self._counted = found["n"], found["oldest"], now


async def _sent(producer: AIOKafkaProducer, row: Row) -> "asyncio.Future[Any]":
    sent: asyncio.Future[Any] = await producer.send(
        row["topic"], key=row["key"], value=row["value"], headers=record_headers(row["headers"])
    )
    return sent


async def _all(sent: Sequence["asyncio.Future[Any]"]) -> list[Any]:
    """As ``gather(…, return_exceptions=True)``, at half the price: nearly all are done when their turn comes."""
    results: list[Any] = []
    try:
        for each in sent:
            try:
                results.append(await each)
            except Exception as error:
                results.append(error)
    finally:
        for each in sent[len(results) :]:
            each.cancel()
    return results


def _failed(error: Exception) -> "asyncio.Future[Any]":
    failed: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    failed.set_exception(error)
    return failed
