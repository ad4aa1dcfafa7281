"""What holds of an erasure in each of the four services, over a database of its own."""

import asyncio
import itertools
from contextlib import suppress
from typing import Any

import asyncpg
import httpx
import pytest

import services.churn.erasures.application as churn
import services.engagement.erasures.application as engagement
import services.profile.erasures.store as profile
from shared.contracts.topics import SERVICES
from shared.db import fetch
from shared.messaging import inbox
from shared.messaging.envelope import read_event
from shared.messaging.erasures import _INBOX as INBOX
from shared.messaging.records import Record
from shared.service import Service
from tests.contract.apis import bearer, build
from tests.kit.builders import NOW, at, purchase, record, returned
from tests.kit.databases import Databases
from tests.kit.scanning import places_of
from tests.kit.waiting import until

TILL, WEB, OTHER = "pos:4711-x", "web:4711-y", "pos:other"
GIFT = "for Planted Forgetme"
EVERYWHERE = {"facts", "sequences", "merges", "survivors"}
NAMED = {
    "profile": {
        "customers", "consents", "standing_orders", "erasures", *profile.OF_THE_FILE,
        *profile.OF_THE_STORY, *profile.PAIRS, *profile.QUEUES,
    },
    "loyalty": {
        "accounts", "coupons", "coupon_claims", "referral_codes", "customer_segments", "segment_history",
        "celebrations",
    },
    "churn": set(churn.TABLES),
    "engagement": set(engagement.TABLES),
}  # fmt: skip
_numbers = itertools.count(1)
_WITH_CUSTOMERS = """
SELECT DISTINCT table_name AS name
FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name)
WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND column_name = ANY(ARRAY[
    'customer_id', 'customer_ids', 'survivor_id', 'from_id', 'into_id', 'first_id', 'second_id'])
"""


@pytest.mark.parametrize("name", SERVICES)
async def test_a_service_destroys_what_it_has_and_takes_nothing_in_again(databases: Databases, name: str) -> None:
    async with databases.fresh(name) as made:
        service = build(name, made.dsn)
        try:
            await _test_service(service, name)
        finally:
            await service.stop()


async def _test_service(service: Service, name: str) -> None:
    async with service.db.transaction() as tx:
        tables = {row["name"] for row in await fetch(tx, _WITH_CUSTOMERS)}
    assert tables - EVERYWHERE == NAMED[name], "a table that names customers, and that no erasure knows"
    await plant(service)
    words = [TILL, WEB, GIFT]
    assert {word for _, word in await places_of(service.db, words)} == set(words)
    others = await of_another(service)

    erased = said("customer-erased", TILL, erasure_id="e_1", customer_ids=[TILL, WEB])
    with suppress(ZeroDivisionError):
        async with service.db.transaction() as tx:
            await service.intake.use_cases["customer-erased"](tx, [read_event(erased.value or b"", NOW)])
            raise ZeroDivisionError("the process is gone before its commit")
    assert {word for _, word in await places_of(service.db, words)} == set(words), "nothing is destroyed by halves"
    # In one batch with what comes too late, and delivered twice.
    await take(service, erased, record("purchase-recorded", purchase(WEB, "web:9")), erased)
    await take(service, erased)
    await take(service, record("purchase-recorded", purchase(TILL, "pos:9")))
    await take(service, joined(OTHER, WEB, "m-9"), joined(TILL, OTHER, "m-8"))
    for job in service.runner.jobs:
        await service.runner.run_once(job)

    allowed = {"profile": {("erasures", TILL), ("erasures", WEB)}, "churn": {("outbox", TILL), ("outbox", WEB)}}
    assert set(await places_of(service.db, words)) == allowed.get(name, set())
    assert await of_another(service) == others
    async with service.db.transaction() as tx:
        outbox = await fetch(tx, "SELECT topic, key, value FROM outbox WHERE topic !~ 'dead-letter$' ORDER BY id")
        [answer] = [row["value"] for row in outbox if row["topic"] == "erasure-completed"]
        tombstones = [bytes(row["key"]).decode() for row in outbox if row["value"] is None]
        letters = await fetch(tx, "SELECT code, key FROM dead_letters ORDER BY id")
        [applied] = await fetch(tx, "SELECT count(*) AS n, bool_and(digest IS NOT NULL) AS keyed FROM erased_ids")
    assert tombstones == ([TILL, WEB] if name == "churn" else [])
    assert b"e_1" in answer
    assert not any(id.encode() in bytes(answer) for id in (TILL, WEB))
    assert applied["n"] == 2
    assert {(row["code"], row["key"]) for row in letters} == {("customer-erased", None)}
    assert not service.intake.counts["parked"]
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(service.app), base_url="http://api", headers=bearer()
    ) as http:
        flow = (await http.get("/flow")).json()["items"]
        if name == "loyalty":
            assert (await http.get("/ledger/verification")).json()["ok"], "the ledger sums to zero as before"
            assert (await http.get(f"/accounts/{TILL}")).status_code == 410
        if name == "churn":
            assert (await http.get(f"/customers/{WEB}")).status_code == 410
        if name == "engagement":
            refused = await http.post("/feedback", json=WRITTEN)
            assert (refused.status_code, refused.json()["code"]) == (409, "customer-erased")
    settled = ("applied", "duplicate", "parked", "dead", "refused")
    assert all(row["received"] == sum(row[name] for name in settled) for row in flow)
    assert sum(row["refused"] for row in flow) >= 3


async def test_a_batch_at_work_is_waited_for_and_leaves_nothing_behind_the_erasure(databases: Databases) -> None:
    async with databases.fresh("profile") as made:
        service = build("profile", made.dsn)
        try:
            # Nothing of it but the look-up holds a lock that an erasure takes.
            visit = {"customer_id": TILL, "activity_id": "a", "kind": "visit", "occurred_at": at(1)}
            late = record("activity-recorded", visit)
            event = read_event(late.value or b"", NOW)
            erased = said("customer-erased", TILL, erasure_id="e_1", customer_ids=[TILL])
            async with service.db.transaction() as tx:
                assert service.intake.erased is not None
                assert (await service.intake.erased.sift(tx, [(late, event)], []))[0] == [(late, event)]
                await inbox.admit(tx, [event], NOW)
                erasing = asyncio.create_task(take(service, erased))

                async def waits() -> Any:
                    async with service.db.transaction() as other:
                        return await fetch(other, "SELECT 1 FROM pg_locks WHERE NOT granted") or erasing.done()

                await until(waits, what="the erasure at the lock")
                await service.intake.use_cases["activity-recorded"](tx, [event])
            await erasing
            found = {place for place in await places_of(service.db, [TILL]) if place[0] != "erasures"}
            assert found == set()
        finally:
            await service.stop()


async def test_who_is_still_joined_to_him_by_a_merge_long_undone_stands_alone_again(databases: Databases) -> None:
    async with databases.fresh("loyalty") as made:
        service = build("loyalty", made.dsn)
        try:
            await take(service, record("purchase-recorded", purchase(OTHER, "o-1", total="100.00")))
            await take(service, record("purchase-recorded", purchase(TILL, "o-2", total="700.00")))
            await take(service, joined(OTHER, TILL, "m-1"))
            # Profile has parted them, and the news of it comes after the erasure.
            await take(service, said("customer-erased", TILL, erasure_id="e_1", customer_ids=[TILL]))
            undone = {"merge_id": "m-1", "version": 2, "from_id": OTHER, "into_id": TILL}
            await take(service, said("customer-unmerged", TILL, **undone))

            async with service.db.transaction() as tx:
                [own] = await fetch(
                    tx, "SELECT survivor_account_id FROM accounts WHERE customer_id = :id", id=OTHER
                )
                assert not await fetch(tx, "SELECT 1 FROM survivors")
            assert own["survivor_account_id"] is None
            async with httpx.AsyncClient(
                transport=httpx.ASGITransport(service.app), base_url="http://api", headers=bearer()
            ) as http:
                account = (await http.get(f"/accounts/{OTHER}")).json()
            assert account["pending"] + account["available"] == 10
        finally:
            await service.stop()


WRITTEN: dict[str, Any] = {"customer_id": WEB, "channel": "web", "kind": "complaint", "text": f"A cup {GIFT} broke."}


async def plant(service: Service) -> None:
    """A person of two ids with all that a service takes in of him, and somebody else."""
    complaint = {"feedback_id": "f-1", "channel": "web", "kind": "complaint", "occurred_at": at(2), "topic": GIFT}
    consent = {"channel": "email", "purpose": "marketing", "granted": True}
    risk = {
        "probability": 0.71, "band": "at-risk", "horizon_days": 90, "model_version": "m1", "reasons": [],
        "value_at_risk": {"amount": "1200", "currency": "TWD"},
    }  # fmt: skip
    await take(
        service,
        *[record("purchase-recorded", purchase(TILL, f"pos:{n}", days_ago=20 * n, attributes={"g": GIFT}))
          for n in (2, 3, 4)],
        record("purchase-recorded", purchase(WEB, "web:1", days_ago=5, total="300.00")),
        record("purchase-returned", returned("web:1", customer_id=WEB, days_ago=1)),
        record("purchase-recorded", purchase(OTHER, "pos:77", days_ago=3, total="250.00")),
        record("feedback-received", {"customer_id": WEB, **complaint}),
        record("activity-recorded", {"customer_id": TILL, "activity_id": "a", "kind": "visit", "occurred_at": at(1)}),
        said("customer-registered", TILL),
        said("consent-changed", TILL, **consent),
        said("customer-at-risk", TILL, **risk),
        said("points-earned", TILL, order_id="pos:2", points=9, available_from=at(0), programme_version=1),
        joined(WEB, TILL, "m-1"),
        record("purchase-recorded", {**purchase(TILL, "bad"), "total": GIFT}),
    )  # fmt: skip
    for job in service.runner.jobs:
        await service.runner.run_once(job)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(service.app), base_url="http://api", headers=bearer()
    ) as http:
        if service.name == "engagement":
            assert (await http.post("/feedback", json=WRITTEN, headers={"Idempotency-Key": "k"})).status_code == 201
        if service.name == "churn":
            assert (await http.post("/scorings")).is_success


async def of_another(service: Service) -> Any:
    """What a service says of the other customer."""
    path = f"/accounts/{OTHER}" if service.name == "loyalty" else f"/customers/{OTHER}"
    if service.name == "engagement":
        path += "/next-contacts"
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(service.app), base_url="http://api", headers=bearer()
    ) as http:
        answer = await http.get(path)
    assert answer.status_code == 200, answer.text
    # What somebody is worth, where nothing was fitted yet, goes by what all customers pay on the mean.
    return answer.json()["probability"] if service.name == "churn" else answer.json()


def said(topic: str, customer: str, **data: Any) -> Record:
    """An event of our own."""
    cause = {"source": "/roost/profile", "id": "1"}
    ours = {"customer_id": customer, "sequence": 1, "caused_by": cause, "occurred_at": at(0), **data}
    publisher = {"points-earned": "loyalty", "customer-at-risk": "churn"}.get(topic, "profile")
    return record(topic, ours, id=f"{customer}:{next(_numbers)}", source=f"/roost/{publisher}")


def joined(from_id: str, into_id: str, merge_id: str) -> Record:
    return said("customer-merged", into_id, merge_id=merge_id, version=1, from_id=from_id, into_id=into_id)


async def take(service: Service, *records: Record) -> None:
    await service.intake.take([one for one in records if one.topic in service.intake.use_cases])


async def test_what_the_inbox_has_of_him_is_found_by_its_key_however_much_it_has(databases: Databases) -> None:
    async with databases.fresh("churn") as made:
        owner = await asyncpg.connect(made.owner_dsn)
        await owner.execute("""
            INSERT INTO inbox (source, id, digest, received_at)
            SELECT '/roost/profile', 'c' || n || ':1', '', now() FROM generate_series(1, 50000) AS n;
            ANALYZE inbox
        """)
        statement = INBOX.replace(":sources", "$1").replace(":ids", "$2")
        asked = (["/roost/profile", "/roost/loyalty"], ["c7", "c8"])
        plan = [row[0] for row in await owner.fetch(f"EXPLAIN {statement}", *asked)]
        assert not any("Seq Scan" in step for step in plan), plan
        assert await owner.execute(statement, *asked) == "DELETE 2"
        await owner.close()


@pytest.mark.parametrize("name", SERVICES)
async def test_what_every_service_destroys_is_found_by_an_index(databases: Databases, name: str) -> None:
    own = {"churn": churn.TABLES, "engagement": engagement.TABLES, "loyalty": ("accounts",)}.get(name, ())
    of_customers = [f"{table} WHERE customer_id = ANY($1)" for table in own]
    async with databases.fresh(name) as made:
        owner = await asyncpg.connect(made.owner_dsn)
        await owner.execute("SET enable_seqscan = off")
        for query in (*of_customers, "idempotency_keys WHERE resource_id = ANY($1)"):
            plan = [row[0] for row in await owner.fetch(f"EXPLAIN SELECT * FROM {query}", [TILL])]
            assert not any("Seq Scan" in step for step in plan), query
        await owner.close()
