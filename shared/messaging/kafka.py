"""The one place that knows aiokafka: consumers, producers, topics and lag, set as CORRECTNESS decided."""

import asyncio
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

import stamina
import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import GroupCoordinatorNotAvailableError, TopicAlreadyExistsError, for_code

from shared.contracts.topics import SERVICES, TOPICS, Topic, dead_letter_topic
from shared.messaging.envelope import MAX_BYTES
from shared.settings import KafkaSettings

log = structlog.get_logger()

MAX_REQUEST = 4 * MAX_BYTES
END_SECONDS = 30.0
CREATED_SECONDS = 30.0
DAY_MS = 86_400_000


def consumer(
    settings: KafkaSettings, group: str, topics: Iterable[str], listener: ConsumerRebalanceListener
) -> AIOKafkaConsumer:
    """A consumer of a group, not started. Offsets are committed by hand, after the database."""
    made = AIOKafkaConsumer(
        **_connection(settings),
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        partition_assignment_strategy=[RangePartitionAssignor],
        fetch_max_wait_ms=settings.fetch_max_wait_ms,
        # A topic that is made, or gets partitions, while we run is seen within so long.
        metadata_max_age_ms=60_000,
        # An answer of the broker is held four times over while it is taken apart: some batches at a time are enough.
        max_partition_fetch_bytes=256 * 1024,
        fetch_max_bytes=1024 * 1024,
        max_poll_interval_ms=600_000,
        session_timeout_ms=settings.session_timeout_ms,
        heartbeat_interval_ms=settings.session_timeout_ms // 6,
    )
    made.subscribe(list(topics), listener=listener)
    return made


def producer(settings: KafkaSettings) -> AIOKafkaProducer:
    """A producer that waits for all replicas; idempotent where the broker can."""
    return AIOKafkaProducer(
        **_connection(settings),
        acks="all",
        enable_idempotence=settings.enable_idempotence,
        max_request_size=MAX_REQUEST,
        max_batch_size=256 * 1024,
        linger_ms=0,
        compression_type=settings.compression,
    )


_closing: set[asyncio.Task[None]] = set()


async def close(client: AIOKafkaConsumer | AIOKafkaProducer, seconds: float = 5) -> None:
    """Stops a client; after so long, with a broker that doesn't answer, it goes on stopping in the background.

    It isn't cancelled: half-stopped, a consumer would go on beating for a member that reads nothing.
    """
    stopping = asyncio.create_task(client.stop())
    _closing.add(stopping)
    stopping.add_done_callback(_closed)
    await asyncio.wait((stopping,), timeout=seconds)


def _closed(task: asyncio.Task[None]) -> None:
    _closing.discard(task)
    if not task.cancelled() and (error := task.exception()):
        log.warning("kafka.closed", error=repr(error))


async def create_topics(settings: KafkaSettings) -> list[str]:
    """Creates every declared topic, and a dead-letter topic for each reader, that is missing; answers their names."""
    admin = AIOKafkaAdminClient(**_connection(settings))
    try:
        await admin.start()
        existing = set(await admin.list_topics())
        missing = [topic for topic in _new_topics(settings) if topic.name not in existing]
        if missing:
            response = await admin.create_topics(missing)
            for name, code, *_ in response.topic_errors:
                error = for_code(code)
                if code and error is not TopicAlreadyExistsError:
                    raise error(f"topic {name} could not be created")
            await _until_known(admin, [topic.name for topic in missing])
        return [topic.name for topic in missing]
    finally:
        await admin.close()


async def committed_and_end(
    settings: KafkaSettings, groups: Mapping[str, Iterable[str]]
) -> dict[str, dict[tuple[str, int], tuple[int, int]]]:
    """For each group: (topic, partition) -> (committed offset, end offset). Nothing committed counts as 0."""
    reader = AIOKafkaConsumer(
        **_connection(settings), enable_auto_commit=False, isolation_level="read_committed", fetch_max_wait_ms=10
    )
    admin = AIOKafkaAdminClient(**_connection(settings))
    try:
        await reader.start()
        await admin.start()
        reached = await ends(reader, await places_of(admin, {topic for topics in groups.values() for topic in topics}))
        found = {}
        for group, topics in groups.items():
            wanted = set(topics)
            asked = [place for place in reached if place.topic in wanted]
            committed = await _committed(admin, group, asked)
            found[group] = {(place.topic, place.partition): (committed[place], reached[place]) for place in asked}
        return found
    finally:
        await admin.close()
        await reader.stop()


async def places_of(admin: AIOKafkaAdminClient, topics: Container[str]) -> list[TopicPartition]:
    """The partitions of those topics that are there."""
    return sorted(
        TopicPartition(described["topic"], partition["partition"])
        for described in await admin.describe_topics()
        if described["topic"] in topics
        for partition in described["partitions"]
    )


async def ends(reader: AIOKafkaConsumer, places: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
    """Where each partition ends, as a fetch tells it: Tansu's offset listing stops within the last batch.

    Assigns the partitions to the reader, which belongs to no group.
    """
    if not places:
        return {}
    reader.assign(places)
    for place, offset in (await reader.end_offsets(places)).items():
        reader.seek(place, offset)
    async with asyncio.timeout(END_SECONDS):
        while any(reader.last_stable_offset(place) is None for place in places):
            await reader.getmany(timeout_ms=10)
    return {place: reader.last_stable_offset(place) for place in places}


async def _committed(
    admin: AIOKafkaAdminClient, group: str, places: Sequence[TopicPartition]
) -> dict[TopicPartition, int]:
    if not places:
        return {}
    # A broker that has never seen a group finds its coordinator only after a while.
    async for attempt in stamina.retry_context(on=GroupCoordinatorNotAvailableError, timeout=30, wait_max=0.5):
        with attempt:
            # Tansu answers only for partitions that are named.
            offsets = await admin.list_consumer_group_offsets(group, partitions=places)
    return {place: max(0, offsets[place].offset) if place in offsets else 0 for place in places}


async def _until_known(admin: AIOKafkaAdminClient, topics: Sequence[str]) -> None:
    """Kafka makes a topic before its metadata tell of it."""
    async with asyncio.timeout(CREATED_SECONDS):
        while {place.topic for place in await places_of(admin, topics)} < set(topics):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def group_of(service: str) -> str:
    """The consumer group of a service."""
    return f"roost.{service}"


def _connection(settings: KafkaSettings) -> dict[str, Any]:
    options: dict[str, Any] = {
        "bootstrap_servers": settings.bootstrap_servers,
        "security_protocol": settings.security_protocol,
        # A broker that is away is asked for, and logged, so often.
        "retry_backoff_ms": 500,
    }
    if settings.sasl_mechanism:
        options |= {
            "sasl_mechanism": settings.sasl_mechanism,
            "sasl_plain_username": settings.sasl_username,
            "sasl_plain_password": settings.sasl_password.get_secret_value() if settings.sasl_password else None,
        }
    return options


def _new_topics(settings: KafkaSettings) -> list[NewTopic]:
    return [
        NewTopic(name, partitions, settings.replication_factor, topic_configs=_configs(topic))
        for topic in TOPICS.values()
        # Dead letters are few, and no group reads them.
        for name, partitions in (
            (topic.name, settings.partitions),
            *((dead_letter_topic(topic.name, service), 1) for service in SERVICES),
        )
    ]


def _configs(topic: Topic) -> dict[str, str]:
    if topic.compacted:
        return {"cleanup.policy": "compact"}
    return {"retention.ms": str(topic.retention_days * DAY_MS)}
