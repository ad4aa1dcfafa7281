"""The consumer on a real broker: nothing is lost and nothing applied twice, whoever comes, goes or fails."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio

from deploy.local.tansu import LocalTansu
from shared.clock import SystemClock
from shared.db import Database, Tx
from shared.messaging import consumer as consumers
from shared.messaging import kafka, outbox
from shared.messaging.consumer import Consumer
from shared.messaging.events import Event
from shared.messaging.intake import Intake, Outcome, Reading, UseCase
from shared.messaging.outbox import Waiting
from shared.messaging.records import Record
from shared.messaging.relay import Relay
from shared.settings import KafkaSettings
from tests.integration.shared.broker import lag, publish, quick, service_name
from tests.integration.shared.effects import create_effects, effects, query, totals, write_effects
from tests.kit.builders import NOW, record
from tests.kit.databases import TestDatabase
from tests.kit.infra import kind
from tests.kit.waiting import until

SERVICE = "shared"
# A topic that no other test writes to.
TOPIC = "contact-failed"
Condition = Callable[[], Awaitable[bool]]


@pytest_asyncio.fixture
async def db(test_database: TestDatabase, database: Database) -> AsyncIterator[Database]:
    await create_effects(test_database)
    yield database


@pytest_asyncio.fixture(scope="module")
async def broker(kafka_settings: KafkaSettings) -> KafkaSettings:
    await kafka.create_topics(kafka_settings)
    # So few that batches are full, and the next is read ahead.
    return quick(kafka_settings).model_copy(update={"max_records": 20})


def failed_contacts(run: str, count: int) -> list[Record]:
    """Events of a test's own, over many customers."""
    fields = {"provider": "p", "reason": "bounced"}
    return [record(TOPIC, {**contact(n), **fields}, id=f"{run}-{n}") for n in range(count)]


def contact(n: int) -> dict[str, object]:
    """What every event of a contact says."""
    return {
        "customer_id": f"c-{n % 97}", "sequence": 1, "caused_by": {"source": "/x", "id": "y"},
        "occurred_at": "2026-01-01T00:00:00Z", "contact_id": f"c-{n}", "purpose": "cadence",
        "channel": "email", "policy_version": 1,
    }  # fmt: skip


def consumer(db: Database, broker: KafkaSettings, service: str, use_case: UseCase = write_effects) -> Consumer:
    intake = Intake(service, {TOPIC: use_case}, db, SystemClock(), lambda: None)
    return Consumer(intake, broker)


@asynccontextmanager
async def running(*played: Consumer) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(one.run()) for one in played]
    try:
        yield
    finally:
        for one in played:
            one.stop()
        async with asyncio.timeout(20):
            await asyncio.gather(*tasks)


async def applied(db: Database, run: str) -> dict[str, int]:
    """The effects of a test's own events: others write to the topic too."""
    return {id: n for id, n in (await effects(db)).items() if id.startswith(run)}


def all_of(db: Database, run: str, count: int) -> Condition:
    async def condition() -> bool:
        return len(await applied(db, run)) >= count

    return condition


async def test_no_record_is_lost_or_applied_twice_while_consumers_come_and_go(
    db: Database, broker: KafkaSettings
) -> None:
    service, run = service_name(), uuid4().hex
    records = failed_contacts(run, 2_000)
    first, second, third = (consumer(db, broker, service) for _ in range(3))
    async with running(first):
        publishing = asyncio.create_task(trickle(broker, records))
        await until(all_of(db, run, 300))
        async with running(second):
            await until(lambda: state(second, "ready"))
            seen = len(await applied(db, run))
            await until(all_of(db, run, min(2_000, seen + 300)))
        async with running(third):
            await publishing
            await until(all_of(db, run, 2_000))
            await until(lambda: caught_up(broker, service))
    found = await applied(db, run)
    assert len(found) == 2_000
    assert set(found.values()) == {1}
    assert third.state == "stopped"


async def trickle(broker: KafkaSettings, records: Sequence[Record]) -> None:
    """Publishes in pieces, so that rebalances fall into the flow."""
    for start in range(0, len(records), 50):
        await publish(broker, records[start : start + 50])
        await asyncio.sleep(0.02)


async def state(one: Consumer, wanted: str) -> bool:
    return one.state == wanted


async def caught_up(broker: KafkaSettings, service: str) -> bool:
    return await lag(broker, service, [TOPIC]) == 0


async def test_records_of_every_compression_are_read(db: Database, broker: KafkaSettings) -> None:
    runs = {compression: uuid4().hex for compression in (None, "gzip", "snappy", "lz4", "zstd")}
    for compression, run in runs.items():
        await publish(broker, failed_contacts(run, 50), compression=compression)
    async with running(consumer(db, broker, service_name())):
        for run in runs.values():
            await until(all_of(db, run, 50))


async def test_a_batch_is_tried_again_within_the_group_until_the_database_is_back(
    db: Database, broker: KafkaSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "RETRY_SECONDS", 0.05)
    service, run = service_name(), uuid4().hex
    away = [ConnectionRefusedError("no database")] * 9

    async def come_back(tx: Tx, events: Sequence[Event]) -> Outcome:
        if away:
            raise away.pop()
        return await write_effects(tx, events)

    one = consumer(db, broker, service, come_back)
    one.intake.retries = 0
    await publish(broker, failed_contacts(run, 20))
    async with running(one):
        await until(lambda: state(one, "recovering from ConnectionRefusedError"))
        await until(all_of(db, run, 20))
        await until(lambda: caught_up(broker, service))
        assert one.state == "ready"
    assert set((await applied(db, run)).values()) == {1}
    assert (await totals(db))["parked"] == 0


async def test_too_many_failures_pause_the_consumer_and_it_goes_on_by_itself(
    db: Database, broker: KafkaSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "PAUSE_SECONDS", 0.3)
    service, run = service_name(), uuid4().hex
    paused: list[str] = []

    async def mended_after_the_pause(tx: Tx, events: Sequence[Event]) -> Outcome:
        if one.state.startswith("paused"):
            paused.append(one.state)
        if not paused and any(event.id.startswith(run) for event in events):
            raise RuntimeError("our fault")
        return await write_effects(tx, events)

    one = consumer(db, broker, service, mended_after_the_pause)
    await publish(broker, failed_contacts(run, 100))
    async with running(one):
        await until(all_of(db, run, 49))
        await until(lambda: state(one, "ready"))
    assert paused
    assert (await totals(db))["parked"] == 51


async def test_stopping_waits_for_no_broker(db: Database) -> None:
    nobody = KafkaSettings(bootstrap_servers="127.0.0.1:1", session_timeout_ms=3_000)
    one = consumer(db, nobody, service_name())
    started = time.monotonic()
    async with running(one):
        await until(lambda: state(one, "recovering from KafkaConnectionError"))
    assert time.monotonic() - started < 10


async def test_the_batch_in_hand_ends_before_stop_does(db: Database, broker: KafkaSettings) -> None:
    service, run = service_name(), uuid4().hex
    in_hand, go_on = asyncio.Event(), asyncio.Event()

    async def slowly(tx: Tx, events: Sequence[Event]) -> Outcome:
        in_hand.set()
        await go_on.wait()
        return await write_effects(tx, events)

    one = consumer(db, broker, service, slowly)
    await publish(broker, failed_contacts(run, 10))
    before = await lag(broker, service, [TOPIC])
    async with running(one):
        async with asyncio.timeout(20):
            await in_hand.wait()
        one.stop()
        await asyncio.sleep(0)
        go_on.set()
    taken = (await totals(db))["applied"]
    assert taken > 0
    assert await lag(broker, service, [TOPIC]) == before - taken


async def test_the_next_batch_is_read_while_the_database_works_on_this_one(
    db: Database, broker: KafkaSettings
) -> None:
    service, run = service_name(), uuid4().hex
    read_ahead, read = asyncio.Event(), 0

    class Watched(Intake):
        async def read(self, records: Sequence[Record]) -> list[Reading]:
            nonlocal read
            readings = await Intake.read(self, records)
            read += len(readings)
            if read > broker.max_records:
                read_ahead.set()
            return readings

    async def until_read_ahead(tx: Tx, events: Sequence[Event]) -> Outcome:
        await read_ahead.wait()
        return await write_effects(tx, events)

    await publish(broker, failed_contacts(run, 3 * broker.max_records))
    one = Consumer(Watched(service, {TOPIC: until_read_ahead}, db, SystemClock(), lambda: None), broker)
    async with running(one):
        await until(all_of(db, run, 3 * broker.max_records))
    assert set((await applied(db, run)).values()) == {1}


async def test_commits_that_were_put_off_are_made_when_we_stop(db: Database, broker: KafkaSettings) -> None:
    service, run = service_name(), uuid4().hex
    count = 10 * broker.max_records
    fields = {"provider": "p", "reason": "bounced"}
    # Of one customer, so that they come in one partition's order.
    await publish(broker, [record(TOPIC, {**contact(97 * n), **fields}, id=f"{run}-{n}") for n in range(count)])
    behind: list[int] = []

    async def stop_half_way(tx: Tx, events: Sequence[Event]) -> Outcome:
        if any(event.id == f"{run}-{count // 2}" for event in events):
            behind.append(await lag(broker, service, [TOPIC]))
            one.stop()
        return await write_effects(tx, events)

    late = broker.model_copy(update={"commit_ms": 600_000})
    one, other = consumer(db, late, service, stop_half_way), consumer(db, late, service)
    async with running(one):
        await until(lambda: state(one, "stopped"))
    assert len(await applied(db, run)) < count
    assert behind[0] > count - 3 * broker.max_records, "commits were put off"
    async with running(other):
        await until(lambda: caught_up(broker, service))
    assert set((await applied(db, run)).values()) == {1}
    assert other.intake.counts["duplicate"] == 0, "what was applied was committed"


async def test_a_batch_that_outlasts_a_rebalance_is_neither_lost_nor_applied_twice(
    db: Database, broker: KafkaSettings
) -> None:
    """Its partitions go to somebody else meanwhile, who gets the same records."""
    service, run = service_name(), uuid4().hex
    in_hand, go_on = asyncio.Event(), asyncio.Event()

    async def wait_once(tx: Tx, events: Sequence[Event]) -> Outcome:
        outcome = await write_effects(tx, events)
        in_hand.set()
        await go_on.wait()
        return outcome

    slow, other = consumer(db, broker, service, wait_once), consumer(db, broker, service)
    await publish(broker, failed_contacts(run, 150))
    async with running(slow):
        async with asyncio.timeout(20):
            await in_hand.wait()
        async with running(other):
            await until(lambda: state(other, "ready"))
            go_on.set()
            await until(all_of(db, run, 150))
            await until(lambda: caught_up(broker, service))
    assert set((await applied(db, run)).values()) == {1}


async def test_a_batch_that_never_ends_is_given_up_when_we_stop(
    db: Database, broker: KafkaSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "BATCH_SECONDS", 0.2)
    in_hand, run = asyncio.Event(), uuid4().hex

    async def hang(tx: Tx, events: Sequence[Event]) -> Outcome:
        in_hand.set()
        await asyncio.Event().wait()
        return Outcome()

    await publish(broker, failed_contacts(run, 1))
    async with running(consumer(db, broker, service_name(), hang)):
        async with asyncio.timeout(20):
            await in_hand.wait()
    assert await effects(db) == {}


@pytest.mark.skipif(kind() != "embedded", reason="stops a broker of its own")
async def test_a_broker_that_goes_and_comes_back_is_waited_for(db: Database, tmp_path: Path) -> None:
    """Consumer and relay alike; what the broker forgot is published again by whoever keeps it."""
    tansu = await LocalTansu.start(tmp_path)
    port = int(tansu.bootstrap_servers.rpartition(":")[2])
    broker = KafkaSettings(
        bootstrap_servers=tansu.bootstrap_servers, partitions=1, enable_idempotence=False, session_timeout_ms=2_000
    )
    await kafka.create_topics(broker)
    one, relay = consumer(db, broker, service_name()), Relay("engagement", db, SystemClock(), broker)
    relaying = asyncio.create_task(relay.run())
    async with running(one):
        await publish(broker, failed_contacts("before", 20))
        await until(all_of(db, "before", 20))
        await tansu.stop()
        async with db.transaction() as tx:
            records = [Waiting(r.topic, r.key, r.value) for r in failed_contacts("between", 20)]
            await outbox.append_records(tx, records, NOW)
        tansu = await LocalTansu.start(tmp_path, port)
        await kafka.create_topics(broker)
        await until(all_of(db, "between", 20))
        relay.stop()
        await relaying
    await tansu.stop()
    assert set((await effects(db)).values()) == {1}


UNREADABLE = """
import asyncio, sys
from aiokafka import AIOKafkaProducer

class Name(str):
    def encode(self, *_):
        return b"\\xff\\xfe"

async def main():
    producer = AIOKafkaProducer(bootstrap_servers=sys.argv[1])
    await producer.start()
    for n in range(2):
        await producer.send(sys.argv[2], b"{}", key=b"c-1", headers=[(Name("x"), b"")])
    await producer.stop()

asyncio.run(main())
"""


async def test_a_record_that_aiokafka_cannot_decode_is_stepped_over(
    db: Database, broker: KafkaSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its header's name is no UTF-8. Records before, between and after it, of other partitions too, come through."""
    monkeypatch.setattr(consumers, "RETRY_SECONDS", 0.05)
    monkeypatch.setattr(consumers, "CARE_SECONDS", 0.5)
    topic, run = "contact-suppressed", uuid4().hex
    events = [
        record(topic, {**fields, "reason": "r"}, id=f"{run}-{n}")
        for n, fields in enumerate(contact(n) for n in range(90))
    ]
    await publish(broker, events[:30])
    await publish_unreadable(broker, topic)
    await publish(broker, events[30:60])
    one = Consumer(Intake(service_name(), {topic: write_effects}, db, SystemClock(), lambda: None), broker)
    async with running(one):
        await until(all_of(db, run, 60))
        await publish(broker, events[60:])
        await until(all_of(db, run, 90))
        await until(lambda: state(one, "ready"))
    assert set((await applied(db, run)).values()) == {1}
    [letter] = await query(db, "SELECT code, times FROM dead_letters")
    assert letter == {"code": "unreadable-record", "times": 2}


async def publish_unreadable(broker: KafkaSettings, topic: str) -> None:
    """By a process of its own: only aiokafka's Python half lets a header's name be written so."""
    writer = await asyncio.create_subprocess_exec(
        sys.executable, "-c", UNREADABLE, broker.bootstrap_servers, topic,
        env={**os.environ, "AIOKAFKA_NO_EXTENSIONS": "1"},
    )  # fmt: skip
    assert await writer.wait() == 0


async def test_a_consumer_without_partitions_stands_by(db: Database, broker: KafkaSettings) -> None:
    service = service_name()
    three = [consumer(db, broker, service) for _ in range(broker.partitions + 1)]
    async with running(*three):
        await until(lambda: states(three, ["ready"] * broker.partitions + ["standby"]))


async def states(played: Sequence[Consumer], wanted: list[str]) -> bool:
    return sorted(one.state for one in played) == wanted
