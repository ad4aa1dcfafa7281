"""Topics and groups of a test's own on the broker that all tests share."""

import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from shared.messaging import kafka
from shared.messaging.records import Record
from shared.settings import KafkaSettings
from tests.kit.infra import kind
from tests.kit.waiting import until

_numbers = itertools.count(1)


def service_name() -> str:
    """A service that nobody else plays: its group reads every topic from the start."""
    return f"test-{uuid4().hex[:8]}-{next(_numbers)}"


def quick(settings: KafkaSettings) -> KafkaSettings:
    """With sessions so short that groups form quickly in Tansu; Kafka forms them at once, and refuses such sessions."""
    return settings.model_copy(update={"session_timeout_ms": 2_000}) if kind() == "embedded" else settings


async def create_topic(settings: KafkaSettings, name: str, **configs: str) -> None:
    """Makes a topic of one partition; ``max_message_bytes`` is the setting max.message.bytes."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    await admin.start()
    options = {option.replace("_", "."): value for option, value in configs.items()}
    await admin.create_topics([NewTopic(name, 1, 1, topic_configs=options)])

    async def known() -> bool:
        return bool(await kafka.places_of(admin, {name}))

    await until(known)
    await admin.close()


async def publish(settings: KafkaSettings, records: Sequence[Record], *, compression: str | None = None) -> None:
    """Puts records on their topics, as other systems would."""
    producer = AIOKafkaProducer(bootstrap_servers=settings.bootstrap_servers, acks="all", compression_type=compression)
    await producer.start()
    try:
        for record in records:
            await producer.send(record.topic, key=record.key, value=record.value, headers=list(record.headers))
        await producer.flush()
    finally:
        await producer.stop()


@asynccontextmanager
async def ends(settings: KafkaSettings, topic: str) -> AsyncIterator["Tail"]:
    """What is published to a topic from here on."""
    reader = AIOKafkaConsumer(bootstrap_servers=settings.bootstrap_servers, fetch_max_wait_ms=50)
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    try:
        await reader.start()
        await admin.start()
        for place, end in (await kafka.ends(reader, await kafka.places_of(admin, {topic}))).items():
            reader.seek(place, end)
        yield Tail(reader)
    finally:
        await admin.close()
        await reader.stop()


class Tail:
    """The records of a topic since a moment, in the order of each partition."""

    def __init__(self, reader: AIOKafkaConsumer) -> None:
        self._reader = reader
        self.seen: list[ConsumerRecord] = []

    async def read(self) -> list[ConsumerRecord]:
        """All so far."""
        fetched = await self._reader.getmany(timeout_ms=100)
        self.seen += [record for records in fetched.values() for record in records]
        return self.seen


async def lag(settings: KafkaSettings, service: str, topics: Sequence[str]) -> int:
    """How many records the service's group has not committed."""
    group = kafka.group_of(service)
    found = await kafka.committed_and_end(settings, {group: topics})
    return sum(end - committed for committed, end in found[group].values())
