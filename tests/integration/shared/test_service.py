"""A service as it is wired: a record goes in, an event of its own comes out on the same trace, and it is counted."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence

import httpx
import pytest_asyncio
from pydantic import SecretStr

from shared.clock import SystemClock
from shared.contracts.risk import RiskLowered
from shared.contracts.topics import dead_letter_topic
from shared.db import Database, Tx
from shared.http.auth import issue_token
from shared.http.settings import HttpSettings
from shared.jobs import Job
from shared.messaging import kafka, outbox
from shared.messaging.events import Event
from shared.messaging.intake import Outcome
from shared.messaging.outbox import UNNUMBERED, Outgoing
from shared.messaging.records import Record
from shared.observability import new_traceparent, parse_traceparent
from shared.service import Service, Surroundings, Wake, assemble
from shared.settings import HouseSettings, KafkaSettings
from tests.integration.shared.broker import create_topic, ends, publish, quick, service_name
from tests.kit.builders import record
from tests.kit.waiting import until

SERVICE = "shared"
TOPIC = "activity-recorded"
OUT = "risk-lowered"
SECRET = "s" * 32


@pytest_asyncio.fixture(scope="module")
async def broker(kafka_settings: KafkaSettings) -> KafkaSettings:
    await kafka.create_topics(kafka_settings)
    return quick(kafka_settings)


def built(db: Database, broker: KafkaSettings) -> Service:
    name = service_name()
    clock = SystemClock()

    async def answer(tx: Tx, events: Sequence[Event]) -> Outcome:
        now = clock.now()
        decided = [Outgoing(lowered(event), event.traceparent) for event in events]
        await outbox.append(tx, name, decided, now)
        return Outcome()

    def lowered(event: Event) -> RiskLowered:
        return RiskLowered(
            customer_id=event.key, sequence=UNNUMBERED, caused_by=event.cause, occurred_at=event.time,
            from_band="at-risk", to_band="low", cause="purchase", probability=0.1, model_version="m-1",
        )  # fmt: skip

    surroundings = Surroundings(HouseSettings(), broker, HttpSettings(jwt_secret=SecretStr(SECRET)), clock)
    jobs: list[Job] = []
    return assemble(
        name, db=db, surroundings=surroundings, use_cases={TOPIC: answer}, jobs=jobs, routers=[], wake=Wake()
    )


@pytest_asyncio.fixture
async def service(database: Database, broker: KafkaSettings) -> AsyncIterator[Service]:
    made = built(database, broker)
    await create_topic(broker, dead_letter_topic(TOPIC, made.name))
    await made.start()
    yield made
    started = time.monotonic()
    await made.stop()
    assert time.monotonic() - started < 10
    assert await made.readiness() | {"database": ""} == {
        "database": "", "consumer": "ended", "relay": "ended", "jobs": "ended",
    }  # fmt: skip


def visit(customer: str, traceparent: str) -> Record:
    data = {
        "customer_id": customer, "activity_id": f"visit-{customer}", "kind": "visit",
        "occurred_at": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    return record(TOPIC, data)._replace(headers=(("traceparent", traceparent.encode()),))


async def test_an_event_goes_through_on_one_trace_and_is_counted(service: Service, broker: KafkaSettings) -> None:
    customer, trace = service_name(), new_traceparent()
    async with ends(broker, OUT) as tail:
        await publish(broker, [visit(customer, trace), Record(TOPIC, customer.encode(), b"!")])

        async def answered() -> list[bytes]:
            return [
                dict(found.headers)["traceparent"] for found in await tail.read() if found.key == customer.encode()
            ]

        [went_on] = await until(answered)
    cause, effect = parse_traceparent(trace), parse_traceparent(went_on.decode())
    assert cause
    assert effect
    assert cause.trace_id == effect.trace_id
    await until(lambda: published(service, 2))
    transport = httpx.ASGITransport(service.app)
    token = issue_token(SECRET, "admin")
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as http:
        await until(lambda: ready(http))
        metrics = dict(line.rsplit(" ", 1) for line in (await http.get("/metrics")).text.splitlines() if line[0] != "#")
        [letter] = [row for row in (await http.get("/dead-letters")).json()["items"] if row["key"] == customer]
        flow = (await http.get("/flow")).json()["items"]
    name = service.name
    assert float(metrics[f'roost_events_total{{outcome="applied",service="{name}"}}']) >= 1
    assert float(metrics[f'roost_events_total{{outcome="dead",service="{name}"}}']) >= 1
    assert float(metrics[f'roost_outbox_published_total{{service="{name}"}}']) >= 1
    assert float(metrics[f'roost_consumer_batch_seconds_count{{service="{name}"}}']) >= 1
    assert f'roost_outbox_waiting{{service="{name}"}}' in metrics
    assert f'roost_outbox_age_seconds{{service="{name}"}}' in metrics
    assert letter["code"] == "invalid-json"
    assert all(row["received"] == row["applied"] + row["duplicate"] + row["parked"] + row["dead"] for row in flow)


async def published(service: Service, rows: int) -> bool:
    return service.relay.published >= rows


async def ready(http: httpx.AsyncClient) -> bool:
    return (await http.get("/health/ready")).status_code == 200


async def test_a_service_without_broker_is_not_ready_and_stops_in_time(database: Database) -> None:
    service = built(database, KafkaSettings(bootstrap_servers="127.0.0.1:1"))
    await service.start()

    async def recovering() -> bool:
        states = await service.readiness()
        return all(states[part].startswith("recovering") for part in ("consumer", "relay"))

    await until(recovering)
    async with asyncio.timeout(10):
        await service.stop()
