"""The consumer loop: fetch, take in, commit the offsets of partitions that are still ours."""

import asyncio
import contextlib
import time
from collections.abc import Iterable, Mapping, Sequence

import structlog
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from shared.loops import pause, until_stopped
from shared.messaging import kafka
from shared.messaging.intake import Intake, Reading, TooManyFailures
from shared.messaging.records import Record
from shared.settings import KafkaSettings

log = structlog.get_logger()

POLL_MS = 200
PAUSE_SECONDS = 30.0
RETRY_SECONDS = 1.0
COMMIT_SECONDS = 10.0
BATCH_SECONDS = 20.0
CARE_SECONDS = 10.0

Fetched = Mapping[TopicPartition, Sequence[ConsumerRecord]]


class Consumer:
    """Runs an intake on a consumer group until it is stopped. ``state`` tells readiness.

    ``ready`` has partitions, ``standby`` has none because others have them all. ``committed``: the offsets that this
    process committed, by (topic, partition).
    """

    def __init__(self, intake: Intake, settings: KafkaSettings) -> None:
        self.intake = intake
        self.settings = settings
        self.state = "starting"
        self.topics = list(intake.use_cases)
        self.committed: dict[tuple[str, int], int] = {}
        self.careful = False
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Until ``stop``; a broker or database that goes away is waited for."""
        while not self._stopping.is_set():
            try:
                membership = _Membership(self, self._stopping)
                try:
                    await until_stopped(self._stopping, membership.read(), membership.grace)
                finally:
                    await kafka.close(membership.reader)
            except Exception as error:  # the loop's edge: whatever it was, the records are still there
                self.careful = not isinstance(error, KafkaError | OSError)
                self.recover(error, "consumer.restarted")
                await pause(self._stopping, RETRY_SECONDS)
        self.state = "stopped"

    def stop(self) -> None:
        """Ends the loop after the batch in hand."""
        self._stopping.set()

    def recover(self, error: Exception, action: str) -> None:
        """Says that something has to come back before records flow again."""
        self.state = f"recovering from {type(error).__name__}"
        expected = isinstance(error, KafkaError | OSError)
        log.error(action, service=self.intake.service, error=repr(error), exc_info=None if expected else error)


class _Membership(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """One stay in the consumer group: from joining until the broker fails us or we stop."""

    def __init__(self, consumer: Consumer, stopping: asyncio.Event) -> None:
        self.consumer = consumer
        self.intake = consumer.intake
        self.settings = consumer.settings
        self.reader = kafka.consumer(self.settings, kafka.group_of(self.intake.service), consumer.topics, self)
        self._stopping = stopping
        self._batch = asyncio.Lock()
        self._rebalances = 0
        self._careful_until = 0.0
        self._uncommitted: dict[TopicPartition, int] = {}
        self._committed_at = 0.0

    async def read(self) -> None:
        """Until the broker fails us, or we are to stop."""
        await self.reader.start()
        if self.consumer.careful:
            await self._read_with_care()
        batch: asyncio.Task[None] | None = None
        try:
            while not self._stopping.is_set():
                fetched = await self.reader.getmany(timeout_ms=POLL_MS, max_records=self.settings.max_records)
                rebalances = self._rebalances
                readings = await self._read(fetched)
                if batch is not None:
                    await batch
                    batch = None
                if len(readings) == self.settings.max_records:
                    # More is waiting: it is fetched and read while the database works on this.
                    batch = asyncio.create_task(self._take(fetched, readings, rebalances), name="consumer.batch")
                elif fetched:
                    await self._take(fetched, readings, rebalances)
                elif self._uncommitted:
                    await self._commit()
        finally:
            if batch is not None:
                await batch
        if self._uncommitted:
            await self._commit()

    def grace(self) -> float:
        """Seconds that the batch in hand may take when we are to stop; waiting for records just ends."""
        return BATCH_SECONDS if self._batch.locked() else 0

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Lets the batch in hand end, and be committed, before partitions go to somebody else.

        Not for so long that the group takes us for dead.
        """
        self._rebalances += 1
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.settings.session_timeout_ms / 1000 * 2 / 3):
                async with self._batch:
                    if self._uncommitted:
                        await self._commit()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Every partition is read again from where it was committed."""
        self._uncommitted.clear()
        if not self._stopping.is_set():
            self.consumer.state = "ready" if assigned else "standby"

    async def _read_with_care(self) -> None:
        """Steps over records that aiokafka can't decode: each would stop its partition for ever.

        Partition by partition, because a fetch that fails drops what it had of the others; until none was found for
        a while.
        """
        self._careful_until = time.monotonic() + CARE_SECONDS
        while not self._stopping.is_set() and time.monotonic() < self._careful_until:
            if not any([await self._read_place(place) for place in sorted(self.reader.assignment())]):
                await pause(self._stopping, POLL_MS / 1000)
        self.consumer.careful = False

    async def _read_place(self, place: TopicPartition) -> bool:
        try:
            fetched = await self.reader.getmany(place, max_records=self.settings.max_records)
        except KafkaError:
            raise
        except Exception:  # what a decoder raises over bytes from anywhere may be anything
            await self._step_over(place)
            return True
        if fetched:
            rebalances = self._rebalances
            await self._take(fetched, await self._read(fetched), rebalances)
        return bool(fetched)

    async def _step_over(self, place: TopicPartition) -> None:
        """Record by record up to the one that can't be decoded, and past it."""
        while not self._stopping.is_set():
            try:
                fetched = await self.reader.getmany(place, timeout_ms=POLL_MS, max_records=1)
            except KafkaError:
                raise
            except Exception as error:
                offset = await self.reader.position(place)
                await self.intake.give_up(Record(place.topic, None, None, (), place.partition, offset), error)
                self.reader.seek(place, offset + 1)
                self._uncommitted[place] = offset + 1
                self._careful_until = time.monotonic() + CARE_SECONDS
                await self._commit()
                return
            if not fetched:
                return
            rebalances = self._rebalances
            await self._take(fetched, await self._read(fetched), rebalances)

    async def _read(self, fetched: Fetched) -> list[Reading]:
        return await self.intake.read([_record(raw) for raws in fetched.values() for raw in raws])

    async def _take(self, fetched: Fetched, readings: Sequence[Reading], rebalances: int) -> None:
        """The same batch until it goes through, staying in the group.

        A rebalance since it was fetched (there had been ``rebalances``) brings it again, to whoever.
        """
        ends = {place: raws[-1].offset + 1 for place, raws in fetched.items()}
        while not self._stopping.is_set() and rebalances == self._rebalances:
            async with self._batch:
                error = await self._attempt(readings)
                if error is None:
                    self._uncommitted |= ends
                    if not self._may_wait(readings):
                        await self._commit()
                    return
            paused = isinstance(error, TooManyFailures)
            await pause(self._stopping, PAUSE_SECONDS if paused else RETRY_SECONDS)
            if paused:
                self.intake.resume()

    async def _attempt(self, readings: Sequence[Reading]) -> Exception | None:
        try:
            await self.intake.apply(readings)
        except TooManyFailures as error:
            self.consumer.state = f"paused: {error}"
            log.error("consumer.paused", service=self.intake.service, error=str(error))
            return error
        except Exception as error:  # the loop's edge: the database is away, and the batch stays in hand
            self.consumer.recover(error, "consumer.retried")
            return error
        self.consumer.state = "ready"
        return None

    def _may_wait(self, readings: Sequence[Reading]) -> bool:
        """Whether the commit can be that of a later batch: more is waiting, and the last commit wasn't long ago."""
        recent = time.monotonic() - self._committed_at < self.settings.commit_ms / 1000
        return recent and len(readings) == self.settings.max_records

    async def _commit(self) -> None:
        self._committed_at = time.monotonic()
        ours = self.reader.assignment()
        offsets = {place: offset for place, offset in self._uncommitted.items() if place in ours}
        try:
            # aiokafka would wait for a broker that is away without end, and keep us from stopping.
            async with asyncio.timeout(COMMIT_SECONDS):
                if offsets:
                    await self.reader.commit(offsets)
                    self.consumer.committed |= {(place.topic, place.partition): at for place, at in offsets.items()}
        except TimeoutError:
            log.warning("consumer.commit_delayed", service=self.intake.service)
            return
        except (CommitFailedError, IllegalStateError):
            # The group moved on: these records come again, and the inbox knows them.
            log.info("consumer.commit_refused", service=self.intake.service)
        self._uncommitted.clear()


def _record(raw: ConsumerRecord) -> Record:
    headers = tuple((name, content) for name, content in raw.headers if content is not None)
    return Record(raw.topic, raw.key, raw.value, headers, raw.partition, raw.offset)
