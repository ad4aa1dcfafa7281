"""The one place that knows aiokafka: consumers, producers, topics and lag, set as CORRECTNESS decided."""

from collections.abc import Iterable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import TopicAlreadyExistsError, for_code

from shared.contracts.topics import SERVICES, TOPICS, Topic, dead_letter_topic
from shared.messaging.envelope import MAX_BYTES
from shared.settings import KafkaSettings

MAX_REQUEST = 4 * MAX_BYTES
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


async def create_topics(settings: KafkaSettings) -> list[str]:
    """Creates every declared topic, and a dead-letter topic for each reader, that is missing; answers their names."""
    admin = AIOKafkaAdminClient(**_connection(settings))
    await admin.start()
    try:
        existing = set(await admin.list_topics())
        missing = [topic for topic in _new_topics(settings) if topic.name not in existing]
        if missing:
            response = await admin.create_topics(missing)
            for name, code, *_ in response.topic_errors:
                error = for_code(code)
                if code and error is not TopicAlreadyExistsError:
                    raise error(f"topic {name} could not be created")
        return [topic.name for topic in missing]
    finally:
        await admin.close()


async def committed_and_end(
    settings: KafkaSettings, groups: Mapping[str, Iterable[str]]
) -> dict[str, dict[tuple[str, int], tuple[int, int]]]:
    """For each group: (topic, partition) -> (committed offset, end offset). Nothing committed counts as 0."""
    reader = AIOKafkaConsumer(**_connection(settings), enable_auto_commit=False)
    admin = AIOKafkaAdminClient(**_connection(settings))
    await reader.start()
    await admin.start()
    try:
        names = sorted({topic for topics in groups.values() for topic in topics})
        await reader.topics()
        places = [TopicPartition(t, p) for t in names for p in sorted(reader.partitions_for_topic(t) or ())]
        ends = await reader.end_offsets(places) if places else {}
        found = {}
        for group, topics in groups.items():
            wanted = set(topics)
            asked = [place for place in ends if place.topic in wanted]
            # Tansu answers only for partitions that are named.
            offsets = await admin.list_consumer_group_offsets(group, partitions=asked) if asked else {}
            found[group] = {
                (place.topic, place.partition): (max(0, offsets[place].offset) if place in offsets else 0, ends[place])
                for place in asked
            }
        return found
    finally:
        await admin.close()
        await reader.stop()


def group_of(service: str) -> str:
    """The consumer group of a service."""
    return f"roost.{service}"


def _connection(settings: KafkaSettings) -> dict[str, Any]:
    options: dict[str, Any] = {
        "bootstrap_servers": settings.bootstrap_servers,
        "security_protocol": settings.security_protocol,
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
        NewTopic(name, settings.partitions, settings.replication_factor, topic_configs=_configs(topic))
        for topic in TOPICS.values()
        for name in (topic.name, *(dead_letter_topic(topic.name, service) for service in SERVICES))
    ]


def _configs(topic: Topic) -> dict[str, str]:
    if topic.compacted:
        return {"cleanup.policy": "compact"}
    return {"retention.ms": str(topic.retention_days * DAY_MS)}
