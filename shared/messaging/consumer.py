"""The consumer loop: fetch, take in, commit the offsets of partitions that are still ours."""

import asyncio
import contextlib
from collections.abc import Iterable

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from shared.messaging import kafka
from shared.messaging.intake import Intake, TooManyFailures
from shared.messaging.records import Record
from shared.settings import KafkaSettings

log = structlog.get_logger()

POLL_MS = 200
PAUSE_SECONDS = 30.0
REVOKE_SECONDS = 20.0


class Consumer:
    """Runs an intake on a consumer group until it is stopped. ``state`` tells readiness."""

    def __init__(self, intake: Intake, settings: KafkaSettings) -> None:
        self.intake = intake
        self.settings = settings
        self.state = "starting"
        self.topics = list(intake.use_cases)
        self._stopping = asyncio.Event()
        self._batch = asyncio.Lock()

    async def run(self) -> None:
        """Until ``stop``; a broker or database that goes away is waited for."""
        while not self._stopping.is_set():
            reader = kafka.consumer(
                self.settings, kafka.group_of(self.intake.service), self.topics, _Rebalance(self, self._batch)
            )
            try:
                await reader.start()
                await self._read(reader)
            except TooManyFailures as error:
                self.state = f"paused: {error}"
                log.error("paused", action="consumer.paused", service=self.intake.service, error=str(error))
                await self._pause(PAUSE_SECONDS)
                self.intake.resume()
            except Exception as error:  # the loop's edge: whatever it was, the records are still there
                self.state = f"recovering from {type(error).__name__}"
                log.exception("restarting", action="consumer.restart", service=self.intake.service)
                await self._pause(1.0)
            finally:
                with contextlib.suppress(asyncio.TimeoutError, KafkaError):
                    await asyncio.wait_for(reader.stop(), 10)
        self.state = "stopped"

    def stop(self) -> None:
        """Ends the loop after the batch in hand."""
        self._stopping.set()

    async def _read(self, reader: AIOKafkaConsumer) -> None:
        while not self._stopping.is_set():
            fetched = await reader.getmany(timeout_ms=POLL_MS, max_records=self.settings.max_records)
            if reader.assignment():
                self.state = "ready"
            if not fetched:
                continue
            async with self._batch:
                await self.intake.take([_record(raw) for raws in fetched.values() for raw in raws])
                await self._commit(reader, {place: raws[-1].offset + 1 for place, raws in fetched.items()})

    async def _commit(self, reader: AIOKafkaConsumer, offsets: dict[TopicPartition, int]) -> None:
        ours = reader.assignment()
        kept = {place: offset for place, offset in offsets.items() if place in ours}
        if not kept:
            return
        try:
            await reader.commit(kept)
        except (CommitFailedError, IllegalStateError):
            # The group moved on: these records come again, and the inbox knows them.
            log.info("commit refused", action="consumer.commit_refused", service=self.intake.service)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)


class _Rebalance(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """Lets the batch in hand end, and its offsets be committed, before partitions go to somebody else."""

    def __init__(self, consumer: Consumer, batch: asyncio.Lock) -> None:
        self._consumer = consumer
        self._batch = batch

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        with contextlib.suppress(asyncio.TimeoutError):
            async with asyncio.timeout(REVOKE_SECONDS):
                async with self._batch:
                    pass

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._consumer.state = "ready"


def _record(raw: object) -> Record:
    return Record(raw.topic, raw.key, raw.value, tuple(raw.headers), raw.partition, raw.offset)  # type: ignore[attr-defined]
