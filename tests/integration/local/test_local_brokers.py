import sys
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

from deploy.local.broker import Broker, answers
from deploy.local.kafka import LocalKafka
from deploy.local.kafka_jars import KafkaUnavailable, resolve
from deploy.local.lock import DirectoryInUse
from deploy.local.ports import PortTaken
from deploy.local.tansu import LocalTansu
from tests.integration.local.children import alive, eventually, holder

pytestmark = pytest.mark.asyncio

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")


@pytest.fixture(params=["tansu", "kafka"])
async def broker_type(request: pytest.FixtureRequest) -> type[LocalTansu] | type[LocalKafka]:
    if request.param == "tansu":
        return LocalTansu
    try:
        await resolve(120)
    except KafkaUnavailable as reason:
        pytest.skip(f"Apache Kafka cannot run here: {reason}")
    return LocalKafka


async def test_a_broker_is_what_it_says_of_itself(
    broker_type: type[LocalTansu] | type[LocalKafka], tmp_path: Path
) -> None:
    broker = await broker_type.start(tmp_path)
    try:
        await _make_topic(broker)
        assert await _takes_idempotent_producers(broker) == broker.idempotent_producer
        with pytest.raises((PortTaken, DirectoryInUse)):
            await broker_type.start(tmp_path, _port(broker))
        await broker.stop()
        assert not await answers(_port(broker))

        broker = await broker_type.start(tmp_path)
        assert ("orders" in await _topics(broker)) == broker.durable
    finally:
        await broker.stop()
        await broker.stop()


@linux
async def test_a_broker_dies_with_its_parent(broker_type: type[LocalTansu] | type[LocalKafka], tmp_path: Path) -> None:
    imports = f"from {broker_type.__module__} import {broker_type.__name__}"
    async with holder(tmp_path, broker_type.__name__, "thing._broker.pid", imports) as (_, pid):
        assert alive(pid)
    await eventually(lambda: not alive(pid))


async def test_without_java_or_maven_kafka_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("ROOST_CACHE", str(tmp_path / "cache"))
    with pytest.raises(KafkaUnavailable, match="Java is not installed"):
        await resolve()
    _script(tmp_path / "java", "echo 'openjdk version \"11.0.2\"' >&2")
    with pytest.raises(KafkaUnavailable, match="needs Java 17"):
        await resolve()
    _script(tmp_path / "java", "echo 'openjdk version \"21.0.1\"' >&2")
    with pytest.raises(KafkaUnavailable, match=r"Maven \(mvn\) is not installed"):
        await resolve()


async def test_a_maven_that_fails_or_hangs_makes_kafka_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("ROOST_CACHE", str(tmp_path / "cache"))
    _script(tmp_path / "java", "echo 'openjdk version \"17.0.1\"' >&2")
    _script(tmp_path / "mvn", "echo 'Could not resolve dependencies'; exit 1")
    with pytest.raises(KafkaUnavailable, match="Could not resolve dependencies"):
        await resolve()
    _script(tmp_path / "mvn", "read forever < /dev/zero")
    with pytest.raises(KafkaUnavailable, match=r"within 0\.2 s"):
        await resolve(0.2)
    assert list((tmp_path / "cache").glob("*/*")) == []


def _script(path: Path, line: str) -> None:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)


def _port(broker: Broker) -> int:
    return int(broker.bootstrap_servers.rpartition(":")[2])


async def _make_topic(broker: Broker) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
    await admin.start()
    try:
        await admin.create_topics([NewTopic("orders", 1, 1)])
    finally:
        await admin.close()


async def _topics(broker: Broker) -> list[str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
    await admin.start()
    try:
        return list(await admin.list_topics())
    finally:
        await admin.close()


async def _takes_idempotent_producers(broker: Broker) -> bool:
    producer = AIOKafkaProducer(
        bootstrap_servers=broker.bootstrap_servers, enable_idempotence=True, request_timeout_ms=3000
    )
    try:
        await producer.start()
        await producer.send_and_wait("orders", b"{}")
    except (KafkaError, TimeoutError):
        return False
    finally:
        await producer.stop()
    return True
