"""One purchase travels through all four services."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from deploy.system import System
from shared.db import fetch
from shared.messaging.records import Record
from tests.kit.builders import cloud_event, line, money, purchase, record, returned
from tests.kit.system import answer, client, publish
from tests.kit.waiting import until

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def ago(**parts: float) -> str:
    """An instant before now: the system runs on the machine's clock."""
    return (datetime.now(UTC) - timedelta(**parts)).isoformat()


def bought(customer: str, order: str, *, total: str = "100", days_ago: float = 1, **fields: Any) -> dict[str, Any]:
    return purchase(customer, order, total=total, **{"occurred_at": ago(days=days_ago), **fields})


async def test_a_purchase_on_the_topic_shows_in_every_service(system: System, http: httpx.AsyncClient) -> None:
    await publish(system, [record("purchase-recorded", bought("e2e:flow", "e2e:flow-1", total="1250.00"))])
    await system.until_quiet(seconds=60)
    file = await answer(http, "/profile/customers/e2e:flow")
    assert file["value"]["order_count"] == 1
    assert file["value"]["lifetime_spend"] == money("1250.00")
    account = await answer(http, "/loyalty/accounts/e2e:flow")
    assert account["pending"] == 125
    risk = await answer(http, "/churn/customers/e2e:flow")
    assert risk["band"] == "low"
    assert 0 <= risk["probability"] <= 1
    timeline = await answer(http, "/profile/customers/e2e:flow/timeline")
    assert {"purchase-recorded", "points-earned"} <= {item["kind"] for item in timeline["items"]}


async def test_engagement_plans_a_contact_for_a_new_customer(system: System, http: httpx.AsyncClient) -> None:
    await publish(system, [record("purchase-recorded", bought("e2e:plan", "e2e:plan-1"))])

    async def planned() -> Any:
        return (await answer(http, "/engagement/customers/e2e:plan/next-contacts"))["items"]

    contacts = await until(planned, 60, what="a planned contact")
    assert all(datetime.fromisoformat(contact["due_at"]) > datetime.now(UTC) for contact in contacts)


async def test_a_purchase_over_http_keeps_its_trace_through_outbox_topic_and_consumer(
    system: System, http: httpx.AsyncClient
) -> None:
    event = cloud_event("purchase-recorded", bought("e2e:trace", "e2e:trace-1", total="500.00"))
    headers = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    response = await http.post("/profile/events", json=event, headers=headers)
    assert response.status_code == 202, response.text
    await system.until_quiet(seconds=60)
    found = await traces_on(system, "points-earned", "e2e:trace")
    assert found
    assert all(trace.split("-")[1] == TRACE for trace in found)


async def test_a_batch_over_http_is_answered_item_by_item(system: System, http: httpx.AsyncClient) -> None:
    good = cloud_event("purchase-recorded", bought("e2e:batch", "e2e:batch-1"))
    bad = cloud_event("purchase-recorded", bought("e2e:batch", "e2e:batch-2", total="-5"))
    response = await http.post("/profile/events", json=[good, good, bad])
    assert response.status_code == 202, response.text
    answered = response.json()
    assert (answered["accepted"], answered["duplicates"]) == (1, 1)
    assert [(item["index"], item["pointer"]) for item in answered["rejected"]] == [(2, "/data/total/amount")]


async def test_any_order_and_duplication_gives_the_same_results_in_every_service(
    system: System, http: httpx.AsyncClient
) -> None:
    shuffler = random.Random(20261122)
    await publish(system, history("e2e:twin-a", "a"))
    facts = history("e2e:twin-b", "b")
    facts += shuffler.sample(facts, len(facts) // 2)
    shuffler.shuffle(facts)
    await publish(system, facts)
    await system.until_quiet(seconds=60)
    assert await result(http, "e2e:twin-a") == await result(http, "e2e:twin-b")


def history(customer: str, twin: str) -> list[Record]:
    """Ten orders in three categories, one of them in two versions, one cancelled, three returns."""
    made = []
    for n in range(10):
        lines = [line("1", amount="300", quantity=3, category="tea"), line("2", amount="50.5", category="cake")]
        instant = f"2026-0{1 + n // 2}-1{n}T10:00:00Z"
        data = bought(customer, f"{twin}-{n}", total="950.50", lines=lines, occurred_at=instant)
        made.append(record("purchase-recorded", data, id=f"{twin}-{n}"))
    newer = bought(customer, f"{twin}-3", total="40.00", order_version=2, occurred_at="2026-02-13T10:00:00Z")
    made.append(record("purchase-recorded", newer, id=f"{twin}-3-v2"))
    for n in (1, 4, 5):
        back = returned(
            f"{twin}-{n}", customer_id=customer, return_id=f"{twin}-r{n}", occurred_at=f"2026-06-0{n}T10:00:00Z"
        )
        made.append(record("purchase-returned", back, id=f"{twin}-r{n}"))
    gone = {"customer_id": customer, "order_id": f"{twin}-7", "occurred_at": "2026-06-08T10:00:00Z"}
    made.append(record("purchase-cancelled", gone, id=f"{twin}-c7"))
    return made


async def result(http: httpx.AsyncClient, customer: str) -> Any:
    """What the services say of a customer, without ids and instants of arrival."""
    file = await answer(http, f"/profile/customers/{customer}")
    account = await answer(http, f"/loyalty/accounts/{customer}")
    risk = await answer(http, f"/churn/customers/{customer}")
    return (
        file["value"],
        file["lifecycle"],
        {name: account[name] for name in ("available", "pending", "held", "debt", "lifetime_earned")},
        account["tier"] and account["tier"]["name"],
        (risk["probability"], risk["expected_purchases"], risk["value_at_risk"]),
    )


async def traces_on(system: System, topic: str, customer: str) -> list[str]:
    """The traceparents of a customer's records on a topic."""
    from aiokafka import AIOKafkaConsumer

    reader = AIOKafkaConsumer(
        topic, bootstrap_servers=system.kafka.bootstrap_servers, auto_offset_reset="earliest", group_id=None
    )
    await reader.start()
    try:
        ends = await reader.end_offsets(reader.assignment())
        found = []
        for place, end in ends.items():
            reader.seek(place, 0)
            while await reader.position(place) < end:
                for records in (await reader.getmany(place, timeout_ms=500)).values():
                    found += [dict(r.headers)["traceparent"].decode() for r in records if r.key == customer.encode()]
        return found
    finally:
        await reader.stop()


async def test_a_customer_sees_his_own_account_and_nobody_elses(system: System) -> None:
    await publish(
        system,
        [record("purchase-recorded", bought(f"e2e:own-{n}", f"e2e:own-{n}")) for n in (1, 2)],
    )
    await system.until_quiet(seconds=60)
    paths = ("/loyalty/accounts/{}", "/profile/customers/{}", "/churn/customers/{}")
    async with client(system, "loyalty:read profile:read churn:read", "e2e:own-1") as customer:
        for path in paths:
            assert (await customer.get(path.format("e2e:own-1"))).status_code == 200
            assert (await customer.get(path.format("e2e:own-2"))).status_code == 404
    async with client(system, "engagement:read") as wrong:
        for path in paths:
            assert (await wrong.get(path.format("e2e:own-1"))).status_code == 403
    async with httpx.AsyncClient(base_url=system.url) as nobody:
        for path in paths:
            assert (await nobody.get(path.format("e2e:own-1"))).status_code == 401


async def test_a_job_that_is_run_by_hand_waits_for_whoever_is_at_it(system: System) -> None:
    async with system.databases["engagement"].transaction() as at_it:
        await fetch(at_it, "SELECT pg_advisory_xact_lock(hashtextextended('roost.job.engagement.plan', 0))")
        by_hand = asyncio.create_task(system.run_job("engagement", "plan"))
        await asyncio.sleep(0.3)
        assert not by_hand.done()
    await by_hand
