"""A person is forgotten in profile: nothing that says who he was stays, the shop's figures do, and he never comes
back."""

from contextlib import suppress
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr

from services.profile.erasures.receipts import InvalidReceipt, public_key, verify
from services.profile.erasures.store import OF_THE_FILE, OF_THE_STORY, PAIRS
from shared.clock import SystemClock
from shared.contracts.topics import SERVICES
from shared.db import execute, fetch
from shared.http.settings import HttpSettings
from shared.messaging.envelope import read_event
from shared.messaging.records import Record
from shared.service import Surroundings
from shared.settings import HouseSettings, KafkaSettings
from tests.integration.profile.house import SECRET, Profile, token
from tests.integration.profile.test_permutations import derived, expected
from tests.kit.builders import at, cloud_event, purchase, record, returned
from tests.kit.scanning import places_of

SERVICE = "profile"
TILL, WEB = "pos:4711-x", "web:4711-y"
PLANTED = ["Planted Forgetme", "886912345678", "forgetme@example.com", "likes jasmine", "M-90210", "Box 17"]


async def test_nothing_that_says_who_stays_and_the_figures_of_the_past_do(profile: Profile) -> None:
    await planted(profile)
    before = await figures(profile)
    assert {word for _, word in await places_of(profile.service.db, [TILL, WEB])} == {TILL, WEB}

    await erase(profile, WEB)
    await applied(profile)
    await answered(profile, *SERVICES)

    assert await places_of(profile.service.db, [*PLANTED, TILL, WEB]) == [("outbox", TILL), ("outbox", WEB)]
    waiting = {row["topic"] for row in await profile.published() if TILL.encode() in row["value"]}
    assert waiting == {"customer-erased"}, "it alone must still name him, to the other services"
    assert await figures(profile) == before
    for job in profile.service.runner.jobs:
        await profile.service.runner.run_once(job)
    assert await figures(profile) == before


async def test_nobody_meets_him_again_whatever_still_arrives(profile: Profile) -> None:
    await planted(profile)
    await erase(profile, TILL)
    late = record("purchase-recorded", purchase(TILL, "pos:late"), id="sale-99")
    merged = {"merge_id": "m", "version": 1, "from_id": "pos:other", "into_id": WEB, "occurred_at": at(0)}
    said = {**merged, "customer_id": WEB, "sequence": 1, "caused_by": {"source": "/staff", "id": "1"}}
    # In one batch with the erasure itself, too: it holds for all of it.
    await profile.take(await announced(profile), late)
    await profile.take(record("purchase-recorded", purchase(WEB, "web:late")), record("customer-merged", said))
    await profile.take(Record("purchase-recorded", TILL.encode(), b'{"data": {"customer_id": "pos:4711-x"'))
    await profile.take(Record("purchase-recorded", b"another", b'{"data": {"customer_id": "%b"}}' % TILL.encode()))

    await answered(profile, *SERVICES)

    found = await places_of(profile.service.db, [TILL, WEB])
    assert {table for table, _ in found} == {"outbox"}
    assert {row["topic"] for row in await profile.published() if TILL.encode() in row["value"]} == {"customer-erased"}
    letters = (await profile.client.get("/dead-letters")).json()["items"]
    assert [letter["code"] for letter in letters] == ["customer-erased"] * 5
    assert {letter["key"] for letter in letters} == {None}
    assert letters[-2]["value"] == '{"id":"sale-99","partition":-1,"offset":-1}'
    flow = (await profile.client.get("/flow")).json()["items"]
    settled = ("applied", "duplicate", "parked", "dead", "refused")
    assert all(row["received"] == sum(row[name] for name in settled) for row in flow)
    assert sum(row["refused"] for row in flow) >= 3


async def test_his_id_is_gone_to_staff_unknown_to_customers_and_refused_to_whoever_uses_it(profile: Profile) -> None:
    await planted(profile)
    started = await erase(profile, TILL)
    await applied(profile)
    client = profile.client

    for path in (f"/customers/{TILL}", f"/customers/{WEB}/timeline", f"/customers/{WEB}/notes"):
        answer = await client.get(path)
        assert (answer.status_code, answer.json()["code"]) == (410, "customer-erased"), path
    answer = await client.get(f"/customers/{TILL}", headers=token("profile:read", TILL))
    assert answer.status_code == 404
    assert (await client.get("/customers/pos:nobody")).status_code == 404

    refused = [
        await client.post("/customers", json={"customer_id": TILL, "name": "Again"}),
        await client.post("/merges", json={"from_id": "pos:other", "into_id": WEB}),
        await client.post("/customers", json={"customer_id": "erased~0", "name": "Nobody"}),
    ]
    assert [(one.status_code, one.json()["code"]) for one in refused] == [(409, "customer-erased")] * 3
    sent = [cloud_event("purchase-recorded", purchase(who, f"{who}-9")) for who in (WEB, "pos:other")]
    batch = (await client.post("/events", json=sent)).json()
    rejected = [(one["index"], one["code"]) for one in batch["rejected"]]
    assert (batch["accepted"], rejected) == (1, [(0, "customer-erased")])
    assert (await client.post("/events", json=sent[0])).status_code == 422

    again = await erase(profile, WEB)
    assert again["id"] == started["id"]
    assert (await client.post("/customers/pos:nobody/erasure", json={})).status_code == 404


async def test_who_was_joined_once_and_parted_again_is_another_person_and_stays(profile: Profile) -> None:
    await planted(profile)
    merge = (await profile.client.get(f"/customers/{WEB}")).json()["merged_into"]
    assert merge == TILL
    async with profile.service.db.transaction() as tx:
        merge_id = (await fetch(tx, "SELECT merge_id FROM merges"))[0]["merge_id"]
    assert (await profile.client.post(f"/merges/{merge_id}/undo")).status_code == 200
    kept = await profile.view(WEB)

    await erase(profile, TILL)
    await applied(profile)

    view = await profile.view(WEB)
    assert view["value"] == kept["value"]
    assert {word for _, word in await places_of(profile.service.db, [TILL])} == {TILL}, "in the outbox alone"


async def test_the_last_answer_brings_a_receipt_that_anybody_can_check(profile: Profile) -> None:
    await planted(profile)
    started = await erase(profile, TILL, reason="wrote a letter", requested_by="ticket:1")
    assert (started["state"], started["customer_ids"], started["receipt"]) == ("running", [TILL, WEB], None)
    await applied(profile)
    for service in ("loyalty", "churn", "loyalty"):
        await answered(profile, service)
    running = await read(profile, started["id"])
    assert (running["missing"], running["reason"]) == (["profile", "engagement"], "wrote a letter")

    await answered(profile, "profile", "engagement")

    done = await read(profile, started["id"])
    assert (done["state"], done["missing"], done["customer_ids"], done["reason"]) == ("completed", [], [], None)
    secret = profile_secret()
    said = verify(done["receipt"], public_key(secret))
    assert [one["service"] for one in said["services"]] == sorted(SERVICES)
    assert said["services"][3]["counts"]["customers"] == 2
    assert (said["sub"], len(said["subjects"])) == (started["id"], 2)
    assert TILL not in str(said)
    body = done["receipt"].split(".")
    with pytest.raises(InvalidReceipt):
        verify(".".join([body[0], body[1][:-4] + "AAAA", body[2]]), public_key(secret))
    with pytest.raises(InvalidReceipt):
        verify(done["receipt"], public_key(bytes(32)))


async def test_an_erasure_that_somebody_does_not_answer_is_told_of_at_its_deadline(profile: Profile) -> None:
    await planted(profile)
    client = profile.client
    assert (await client.put("/policies/erasure", json={"deadline_days": 10})).status_code == 428
    version = (await client.get("/policies/erasure")).headers["ETag"]
    sooner = await client.put("/policies/erasure", json={"deadline_days": 10}, headers={"If-Match": version})
    assert sooner.json() == {"version": 2, "deadline_days": 10}
    started = await erase(profile, TILL)
    job = next(job for job in profile.service.runner.jobs if job.name == "erasure-deadlines")
    assert await job.next_due() == profile.clock.now() + timedelta(days=10)
    assert await job.run() == 0
    profile.clock.set(profile.clock.now() + timedelta(days=10))

    assert await job.run() == 1

    assert (await job.next_due(), await job.run()) == (None, 0), "the log tells once"
    overdue = (await profile.client.get("/erasures?overdue=true")).json()["items"]
    assert [(one["id"], one["overdue"]) for one in overdue] == [(started["id"], True)]
    assert (await profile.client.get("/erasures?overdue=false")).json()["items"] == []
    assert "roost_erasures_overdue 1.0" in (await profile.client.get("/metrics")).text
    await answered(profile, *SERVICES)
    assert (await profile.client.get("/erasures?overdue=true")).json()["items"] == []


class Crash(Exception):
    """The process is gone before its commit."""


async def test_after_a_crash_at_any_step_it_goes_on_where_it_stopped(profile: Profile) -> None:
    await planted(profile)
    started = await erase(profile, TILL)
    use_cases = profile.service.intake.use_cases

    async def crashing(topic: str, one: Record) -> None:
        with suppress(Crash):
            async with profile.service.db.transaction() as tx:
                await use_cases[topic](tx, [read_event(one.value or b"", profile.clock.now())])
                raise Crash

    erased = await announced(profile)
    await crashing("customer-erased", erased)
    assert (await profile.view(TILL))["name"] == PLANTED[0], "nothing was destroyed by halves"
    await profile.take(erased)
    await profile.take(erased)
    assert len(await profile.published("erasure-completed")) == 1, "once, however often it is delivered"
    for service in SERVICES:
        answer = await answer_of(profile, service)
        await crashing("erasure-completed", answer)
        await profile.take(answer)
        await profile.take(answer)
    assert (await read(profile, started["id"]))["state"] == "completed"


async def test_the_ledger_of_consents_opens_to_an_open_erasure_alone(profile: Profile) -> None:
    await planted(profile)
    with pytest.raises(asyncpg.PostgresError, match="permission denied"):
        async with profile.service.db.transaction() as tx:
            await execute(tx, "DELETE FROM consents")
    with pytest.raises(asyncpg.PostgresError, match="append-only"):
        async with profile.service.db.transaction() as tx:
            await fetch(tx, "SELECT erase_consents('made-up', now())")

    await erase(profile, TILL)
    await applied(profile)

    async with profile.service.db.transaction() as tx:
        left = await fetch(tx, "SELECT customer_id FROM consents")
        audit = await fetch(tx, "SELECT entries FROM erased_consents")
    assert ([row["customer_id"] for row in left], [row["entries"] for row in audit]) == (["pos:other"], [1])


async def planted(profile: Profile) -> None:
    """A person of two ids with all that profile keeps, and somebody else beside him."""
    client = profile.client
    name, phone, email, note, member, post = PLANTED
    made = [
        await client.post(
            "/customers",
            json={
                "customer_id": TILL, "name": name, "phone": f"+{phone}", "email": email, "tags": ["tea"],
                "special_needs": [post],
            },
        ),
        await client.post("/customers", json={"customer_id": WEB, "name": name, "email": email}),
        await client.post("/customers", json={"customer_id": "pos:other", "name": "Somebody Else", "email": email}),
        await client.post(f"/customers/{TILL}/notes", json={"text": f"{name} {note}"}),
        await client.post(f"/customers/{TILL}/identifiers", json={"kind": "member-number", "value": member}),
        *[
            await client.put(
                f"/customers/{who}/consents/email/marketing",
                json={"granted": True, "source": "till", "wording_version": "1"},
            )
            for who in (TILL, "pos:other")
        ],
    ]  # fmt: skip
    assert all(answer.is_success for answer in made), [answer.text for answer in made if not answer.is_success]
    gift: dict[str, Any] = {"attributes": {"card": f"for {name}"}, "total": "900.00", "referral_code": f"by {name}"}
    complaint = {
        "customer_id": WEB, "feedback_id": "f-1", "channel": "web", "kind": "complaint", "occurred_at": at(2),
        "rating": 2, "sku": "sku-1", "topic": name,
    }  # fmt: skip
    await profile.take(
        record("purchase-recorded", purchase(TILL, "pos:1", days_ago=40, **gift)),
        record("purchase-recorded", purchase(WEB, "web:1", days_ago=5, total="300.00")),
        record("purchase-returned", returned("web:1", customer_id=WEB, days_ago=1)),
        record("purchase-recorded", purchase("pos:other", "pos:2", days_ago=3)),
        record("feedback-received", complaint),
        record("complaint-opened", derived(WEB, 1, 2, complaint_id="cp-1", feedback_id="f-1")),
        record("churn-scored", derived(TILL, 1, 1, probability=0.5, band="low", **expected("900.00"))),
        record("promise-made", derived(TILL, 1, 1, promise_id="p-1", due_at=at(0), kind=name)),
        Record("purchase-recorded", TILL.encode(), b'{"data": {"customer_id": "%b", "x": 1}}' % TILL.encode()),
    )
    merged = await client.post("/merges", json={"from_id": WEB, "into_id": TILL}, headers={"Idempotency-Key": "m"})
    assert merged.status_code == 201, merged.text
    for job in profile.service.runner.jobs:
        await profile.service.runner.run_once(job)


async def figures(profile: Profile) -> list[Any]:
    """The shop's figures, over all that was sold."""
    names = ("retention", "repurchase", "referral", "churn", "satisfaction", "sales", "products")
    answers = [await profile.client.get(f"/kpis/{name}?from=2026-09-01&to=2026-11-21") for name in names]
    assert all(one.status_code == 200 for one in answers)
    return [{name: value for name, value in one.json().items() if name != "as_of"} for one in answers]


async def erase(profile: Profile, customer: str, **asked: str) -> dict[str, Any]:
    answer = await profile.client.post(f"/customers/{customer}/erasure", json=asked)
    assert answer.status_code == 202, answer.text
    found: dict[str, Any] = answer.json()
    return found


def profile_secret() -> bytes:
    http = HttpSettings(jwt_secret=SecretStr(SECRET))
    return Surroundings(HouseSettings(), KafkaSettings(), http, SystemClock()).secret_for("receipts")


async def announced(profile: Profile) -> Record:
    [row] = await profile.published("customer-erased")
    return Record(row["topic"], row["key"], row["value"])


async def applied(profile: Profile) -> None:
    await profile.take(await announced(profile))


async def answered(profile: Profile, *services: str) -> None:
    await profile.take(*[await answer_of(profile, service) for service in services])


async def answer_of(profile: Profile, service: str) -> Record:
    """Profile's own answer, or that of a service which isn't here."""
    for row in await profile.published("erasure-completed"):
        if row["event"]["data"]["service"] == service:
            return Record(row["topic"], row["key"], row["value"])
    [erased] = await profile.published("customer-erased")
    id = erased["event"]["data"]["erasure_id"]
    cause = {"source": "/roost/profile/erasures", "id": id}
    said = {"customer_id": id, "sequence": 1, "caused_by": cause, "occurred_at": at(0)}
    return record("erasure-completed", {**said, "erasure_id": id, "service": service, "counts": {"facts": 1}})


async def read(profile: Profile, erasure_id: str) -> dict[str, Any]:
    found: dict[str, Any] = (await profile.client.get(f"/erasures/{erasure_id}")).json()
    return found


async def test_answers_that_are_read_again_before_their_erasure_count(profile: Profile) -> None:
    cause = {"source": "/roost/profile/erasures", "id": "e_1"}
    said = {"customer_id": "e_1", "sequence": 1, "caused_by": cause, "occurred_at": at(0), "erasure_id": "e_1"}
    for service in ("loyalty", "churn", "engagement"):
        await profile.take(record("erasure-completed", {**said, "service": service, "counts": {}}))
    await profile.take(record("customer-erased", {**said, "customer_id": TILL, "customer_ids": [TILL]}))
    await answered(profile, "profile")
    done = await read(profile, "e_1")
    assert (done["state"], done["missing"]) == ("completed", [])


async def test_what_is_destroyed_is_found_by_an_index(profile: Profile) -> None:
    of_customers = [f"{table} WHERE customer_id = ANY(:ids)" for table in (*OF_THE_FILE, "customers", *OF_THE_STORY)]
    of_pairs = [f"{table} WHERE first_id = ANY(:ids) OR second_id = ANY(:ids)" for table in PAIRS]
    async with profile.service.db.transaction() as tx:
        await execute(tx, "SET LOCAL enable_seqscan = off")
        for found in (*of_customers, *of_pairs, "idempotency_keys WHERE resource_id = ANY(:ids)"):
            plan = [row["QUERY PLAN"] for row in await fetch(tx, f"EXPLAIN SELECT * FROM {found}", ids=[TILL])]
            assert not any("Seq Scan" in step for step in plan), found
