"""What a transaction decides to publish is published: again if need be, in order, and never lost."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio

from shared.clock import SystemClock
from shared.contracts.risk import RiskLowered
from shared.contracts.topics import dead_letter_topic
from shared.contracts.types import Cause
from shared.db import Database, Reader, fetch
from shared.messaging import kafka, outbox
from shared.messaging import relay as relays
from shared.messaging.dead_letters import BROKER_REFUSED, DeadLetter, keep
from shared.messaging.envelope import read_record
from shared.messaging.outbox import UNNUMBERED, Outgoing, Waiting
from shared.messaging.records import Record
from shared.messaging.relay import Relay
from shared.observability import current_traceparent, new_traceparent, parse_traceparent
from shared.settings import KafkaSettings
from tests.integration.shared.broker import Tail, create_topic, ends
from tests.integration.shared.effects import intake_of, query
from tests.kit.builders import NOW
from tests.kit.databases import TestDatabase
from tests.kit.waiting import until

SERVICE = "shared"
TOPIC = "risk-lowered"


@pytest_asyncio.fixture(scope="module")
async def broker(kafka_settings: KafkaSettings) -> KafkaSettings:
    await kafka.create_topics(kafka_settings)
    return kafka_settings


@pytest.fixture
def db(database: Database) -> Database:
    return database


@pytest_asyncio.fixture
async def tail(broker: KafkaSettings) -> AsyncIterator[Tail]:
    async with ends(broker, TOPIC) as tail:
        yield tail


def lowered(customer: str) -> RiskLowered:
    return RiskLowered(
        customer_id=customer, sequence=UNNUMBERED, caused_by=Cause(source="/x", id="1"), occurred_at=NOW,
        from_band="at-risk", to_band="low", cause="purchase", probability=0.1, model_version="m-1",
    )  # fmt: skip


async def decide(db: Database, *customers: str, trace: str | None = None) -> None:
    """One transaction that publishes an event of each customer, in that order."""
    async with db.transaction() as tx:
        await outbox.append(tx, "churn", [Outgoing(lowered(customer), trace) for customer in customers], NOW)


async def put(db: Database, *records: Waiting) -> None:
    async with db.transaction() as tx:
        await outbox.append_records(tx, records, NOW)


def relay_of(db: Database, broker: KafkaSettings, **options: float) -> Relay:
    return Relay("churn", db, SystemClock(), broker, **options)


@asynccontextmanager
async def running(*played: Relay) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(one.run()) for one in played]
    try:
        yield
    finally:
        for one in played:
            one.stop()
        async with asyncio.timeout(20):
            await asyncio.gather(*tasks)


async def empty(db: Database) -> bool:
    rows = await query(db, "SELECT count(*) AS n FROM outbox WHERE published_offset IS NULL")
    return rows == [{"n": 0}]


async def read_all(tail: Tail, count: int) -> list[Record]:
    async def enough() -> bool:
        return len(await tail.read()) >= count

    await until(enough)
    return [Record(raw.topic, raw.key, raw.value, tuple(raw.headers)) for raw in tail.seen]


def numbers(records: Sequence[Record]) -> dict[str, list[int]]:
    """The sequences of each customer, in the order of the topic."""
    found: dict[str, list[int]] = {}
    for record in records:
        data = read_record(record.topic, record.key, record.value, record.headers, NOW).data
        found.setdefault(data.customer_id, []).append(data.sequence)
    return found


async def test_sequences_have_no_gaps_and_keep_their_order_under_concurrent_transactions(
    db: Database, broker: KafkaSettings, tail: Tail
) -> None:
    async with running(relay_of(db, broker)):
        async with asyncio.TaskGroup() as group:
            for n in range(40):
                group.create_task(decide(db, f"c-{n % 3}", "c-9", f"c-{n % 3}"))
        records = await read_all(tail, 120)
        await until(lambda: empty(db))
    found = numbers(records)
    assert found.pop("c-9") == list(range(1, 41))
    assert {customer: sorted(seen) == seen for customer, seen in found.items()} == dict.fromkeys(found, True)
    assert sorted(map(len, found.values())) == [26, 26, 28]
    assert all(seen == list(range(1, len(seen) + 1)) for seen in found.values())


async def test_a_transaction_that_rolls_back_publishes_nothing_and_leaves_no_gap(
    db: Database, broker: KafkaSettings, tail: Tail
) -> None:
    await decide(db, "c-1")
    with contextlib.suppress(RuntimeError):
        async with db.transaction() as tx:
            await outbox.append(tx, "churn", [Outgoing(lowered("c-1"))], NOW)
            raise RuntimeError
    await decide(db, "c-1")
    async with running(relay_of(db, broker)):
        assert numbers(await read_all(tail, 2)) == {"c-1": [1, 2]}


async def test_the_trace_goes_on_in_the_records_header(db: Database, broker: KafkaSettings, tail: Tail) -> None:
    caused, requested = new_traceparent(), new_traceparent()
    await decide(db, "c-1", trace=caused)
    token = current_traceparent.set(requested)
    await decide(db, "c-2")
    current_traceparent.reset(token)
    await decide(db, "c-3")
    async with running(relay_of(db, broker)):
        records = await read_all(tail, 3)
    traces = {record.key: parse_traceparent(dict(record.headers)["traceparent"].decode()) for record in records}
    known = {name: parse_traceparent(trace) for name, trace in ((b"c-1", caused), (b"c-2", requested))}
    for key, trace in known.items():
        went_on = traces[key]
        assert trace
        assert went_on
        assert went_on.trace_id == trace.trace_id
        assert went_on.span_id != trace.span_id
    assert traces[b"c-3"] is not None
    assert dict(records[0].headers)["content-type"] == b"application/cloudevents+json"


async def test_a_relay_that_loses_its_connection_publishes_again_and_loses_nothing(
    db: Database, broker: KafkaSettings, tail: Tail, test_database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection dies between the broker's acknowledgement and the delete, with a batch in hand."""
    monkeypatch.setattr(relays, "STANDBY_SECONDS", 0.05)
    killed: list[int] = []
    take_out = Relay._take_out

    async def die_first(self: Relay, connection: Reader, done: Sequence[tuple[int, int, int]]) -> None:
        if done and not killed:
            killed.append((await fetch(connection, "SELECT pg_backend_pid() AS pid"))[0]["pid"])
            await terminate(test_database, killed[0])
        await take_out(self, connection, done)

    monkeypatch.setattr(Relay, "_take_out", die_first)
    await decide(db, *(f"c-{n}" for n in range(50)))
    async with running(relay_of(db, broker)):
        await until(lambda: empty(db))
        records = await read_all(tail, 100)
    times = Counter(record.key for record in records)
    assert killed
    assert times == Counter({f"c-{n}".encode(): 2 for n in range(50)})


async def test_killing_whoever_leads_at_random_loses_nothing(
    db: Database, broker: KafkaSettings, tail: Tail, test_database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relays, "STANDBY_SECONDS", 0.02)
    monkeypatch.setattr(relays, "BATCH", 20)
    async with running(relay_of(db, broker), relay_of(db, broker)):
        for n in range(8):
            await decide(db, *(f"c-{n}-{m}" for m in range(50)))
            for row in await query(db, "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted"):
                await terminate(test_database, row["pid"])  # type: ignore[arg-type]
        await until(lambda: empty(db))
        wanted = {f"c-{n}-{m}".encode() for n in range(8) for m in range(50)}

        async def all_there() -> bool:
            return wanted <= {record.key for record in await tail.read()}

        await until(all_there)


async def terminate(test_database: TestDatabase, pid: int) -> None:
    other = await asyncpg.connect(test_database.dsn)
    await other.fetchval("SELECT pg_terminate_backend($1, 5000)", pid)
    await other.close()


async def test_one_relay_leads_and_a_standby_takes_over(
    db: Database, broker: KafkaSettings, tail: Tail, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relays, "STANDBY_SECONDS", 0.05)
    first, second = relay_of(db, broker), relay_of(db, broker)
    async with running(second):
        async with running(first):
            await until(lambda: states(first, second, "ready", "standby"))
            leader, standby = (first, second) if first.state == "ready" else (second, first)
            await decide(db, "c-1")
            await until(lambda: empty(db))
            assert (leader.published, standby.published) == (1, 0)
        await decide(db, "c-2")
        await until(lambda: empty(db))
        assert second.state == "ready"
    assert numbers(await read_all(tail, 2)) == {"c-1": [1], "c-2": [1]}


async def states(first: Relay, second: Relay, *wanted: str) -> bool:
    return sorted((first.state, second.state)) == list(wanted)


async def test_what_the_broker_refuses_becomes_a_dead_letter_and_the_rest_goes_out(
    db: Database, broker: KafkaSettings, tail: Tail
) -> None:
    too_large = Waiting(TOPIC, b"c-2", b"x" * (kafka.MAX_REQUEST + 1), {"traceparent": "t"})
    await decide(db, "c-1")
    await put(db, too_large)
    await decide(db, "c-3")
    async with running(relay_of(db, broker)):
        await until(lambda: empty(db))
        assert set(numbers(await read_all(tail, 2))) == {"c-1", "c-3"}
    [letter] = await query(db, "SELECT id, topic, key, value, code, source FROM dead_letters")
    id = letter.pop("id")
    assert letter == {
        "topic": TOPIC, "key": b"c-2", "value": too_large.value, "code": BROKER_REFUSED, "source": "/roost/churn",
    }  # fmt: skip
    async with db.transaction() as tx:
        assert await intake_of(db).replay(tx, id)  # type: ignore[arg-type]
    [again] = await query(db, "SELECT topic, key, value, headers FROM outbox")
    assert (again["topic"], again["key"], again["value"]) == (TOPIC, b"c-2", too_large.value)
    assert ("traceparent", b"t") in outbox.record_headers(again["headers"])  # type: ignore[arg-type]
    assert await query(db, "SELECT * FROM flow") == []


async def test_innocent_rows_of_a_refused_batch_are_not_refused(db: Database, broker: KafkaSettings) -> None:
    """A topic that takes 1,000 bytes refuses a batch of more than that whole, whatever its records weigh."""
    topic = f"narrow-{uuid4().hex}"
    await create_topic(broker, topic, max_message_bytes="1000")
    small = [Waiting(topic, f"k-{n}".encode(), bytes(400)) for n in range(5)]
    await put(db, *small, Waiting(topic, b"large", bytes(1_500)))
    async with ends(broker, topic) as tail, running(relay_of(db, broker)):
        await until(lambda: empty(db))
        keys = {record.key for record in await read_all(tail, 5)}
    refused = {row["key"] for row in await query(db, "SELECT key FROM dead_letters")}
    assert {row.key for row in small} <= keys
    assert refused <= {b"large"}
    assert keys | refused == {*(row.key for row in small), b"large"}


async def test_a_topic_that_is_not_there_holds_up_nothing_that_was_decided_before(
    db: Database, broker: KafkaSettings, tail: Tail, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that is none, because some brokers make a topic of any other at once."""
    monkeypatch.setattr(relays, "SEND_SECONDS", 0.5)
    monkeypatch.setattr(relays, "STANDBY_SECONDS", 0.05)
    await decide(db, "c-1")
    await put(db, Waiting("no topic", b"c-2", b"{}"))
    one = relay_of(db, broker)
    async with running(one):
        await read_all(tail, 1)
        await until(lambda: recovering(one))
        assert await query(db, "SELECT topic FROM outbox") == [{"topic": "no topic"}]
    assert len(tail.seen) == 1


async def recovering(one: Relay) -> bool:
    return one.state.startswith("recovering")


async def test_dead_letters_are_announced_whatever_they_hold(db: Database, broker: KafkaSettings) -> None:
    topic = dead_letter_topic(TOPIC, "churn")
    headers = (("ce_id", b"\xff"), ("content-type", b"application/json"))
    letters = [
        DeadLetter(Record(TOPIC, None, None), "dead", "null-value", "no value"),
        DeadLetter(Record(TOPIC, b"\xff", b"\xfe\x00", headers), "dead", "invalid-json", "what?", "/data"),
        DeadLetter(Record(TOPIC, b"k", b"x" * 300 * 1024), "dead", "too-large", "…"),
    ]
    async with ends(broker, topic) as tail:
        async with db.transaction() as tx:
            await keep(tx, "churn", letters, NOW)
        async with running(relay_of(db, broker)):
            records = await read_all(tail, 3)
    found = {record.key: record for record in records}
    assert found[None].value == b""
    assert found[b"\xff"].value == b"\xfe\x00"
    assert len(found[b"k"].value or b"") == 300 * 1024
    told = dict(found[b"\xff"].headers)
    assert (told["roost_code"], told["roost_pointer"], told["roost_detail"]) == (b"invalid-json", b"/data", b"what?")
    assert told["content-type"] == b"application/json"


async def test_kept_rows_go_once_every_group_has_committed_them_or_are_published_again(
    db: Database, broker: KafkaSettings, tail: Tail
) -> None:
    kept = broker.model_copy(update={"keep_published": True})
    await decide(db, *(f"c-{n}" for n in range(20)))
    async with running(relay_of(db, kept)):
        await until(lambda: empty(db))
    rows = await query(db, "SELECT published_partition AS part, published_offset AS place FROM outbox")
    assert len(rows) == 20
    part = rows[0]["part"]
    inside = sorted(row["place"] for row in rows if row["part"] == part)  # type: ignore[type-var]
    async with db.transaction() as tx:
        assert await outbox.forget(tx, {(TOPIC, part): inside[1], ("other", part): 10**9}) == 1  # type: ignore[dict-item]
    async with db.transaction() as tx:
        assert await outbox.publish_again(tx) == 19
    async with running(relay_of(db, kept)):
        await until(lambda: empty(db))
    assert len(await read_all(tail, 39)) == 39


async def test_a_wake_is_never_lost(db: Database, broker: KafkaSettings) -> None:
    """With an hour between looks, only the wake-up brings a row out."""
    one = relay_of(db, broker, poll_seconds=3_600)
    async with running(one):
        for n in range(30):
            await decide(db, f"c-{n}")
            one.wake()
            await until(lambda: empty(db))
    assert one.published == 30


async def test_stopping_waits_for_no_broker(db: Database) -> None:
    one = relay_of(db, KafkaSettings(bootstrap_servers="127.0.0.1:1"))
    await decide(db, "c-1", "c-2")
    started = time.monotonic()
    async with running(one):
        await until(lambda: recovering(one))
        assert one.waiting == 2
        assert one.age().total_seconds() != 0
    assert time.monotonic() - started < 10
    assert not await empty(db)
