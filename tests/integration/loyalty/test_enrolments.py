"""Memberships: who is one, until when, and under which number."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from services.loyalty.enrolments.domain import is_member_number
from services.loyalty.exports.http import ExportView
from shared.db import execute, fetch
from tests.integration.loyalty.shop import Shop
from tests.integration.loyalty.test_merges import NEW, OLD, bought, merged
from tests.kit.builders import NOW, at, money, record

SERVICE = "loyalty"
STAFF = "loyalty:read loyalty:write"
CARD = {"name": "card", "months": 12, "fee": money("399.00")}


async def posted(http: httpx.AsyncClient, path: str, key: str | None = None, **body: Any) -> httpx.Response:
    return await http.post(path, json=body, headers={"Idempotency-Key": key or uuid4().hex})


async def enrolled(http: httpx.AsyncClient, customer: str = "c-1", **body: Any) -> dict[str, Any]:
    answer = await posted(http, "/enrolments", customer_id=customer, **body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def membership(http: httpx.AsyncClient, customer: str = "c-1") -> dict[str, Any]:
    answer = await http.get(f"/accounts/{customer}/enrolment")
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def erased(shop: Shop, *customers: str) -> None:
    cause = {"source": "/roost/profile/erasures", "id": "e-1"}
    said = {"customer_id": customers[0], "sequence": 9, "occurred_at": at(0), "caused_by": cause}
    await shop.take(record("customer-erased", {**said, "erasure_id": "e-1", "customer_ids": list(customers)}))


async def test_a_customer_that_nobody_knew_becomes_a_member_for_free_and_without_an_end(shop: Shop) -> None:
    async with shop.client(STAFF) as http:
        made = await enrolled(http)
        assert is_member_number(made["member_number"])
        assert made == {
            "id": made["id"], "customer_id": "c-1", "member_number": made["member_number"], "state": "active",
            "plan": None, "from": "2026-11-20T04:00:00Z", "until": None, "renewals": 0, "cancelled_at": None,
            "terms": [{"from": "2026-11-20T04:00:00Z", "until": None, "fee": None}],
        }  # fmt: skip
        assert await membership(http) == made
        assert (await http.get("/accounts/c-1")).json()["available"] == 0


async def test_a_paid_membership_lapses_at_its_end_and_is_renewed_from_there_or_from_now_on(shop: Shop) -> None:
    async with shop.client(STAFF) as http:
        made = await enrolled(http, plan=CARD)
        assert (made["until"], made["terms"][0]["fee"]) == ("2027-11-20T04:00:00Z", money("399.00"))
        early = (await posted(http, f"/enrolments/{made['id']}/renewals", months=1)).json()
        assert (early["until"], early["renewals"]) == ("2027-12-20T04:00:00Z", 1)
        assert early["terms"][1] == {"from": "2027-11-20T04:00:00Z", "until": "2027-12-20T04:00:00Z", "fee": None}
        shop.clock.set(NOW + timedelta(days=395) - timedelta(seconds=1))
        assert (await membership(http))["state"] == "active"
        shop.clock.set(NOW + timedelta(days=395))
        assert (await membership(http))["state"] == "lapsed"
        shop.clock.set(NOW + timedelta(days=400))
        late = (await posted(http, f"/enrolments/{made['id']}/renewals", months=12, fee=money("299"))).json()
        assert (late["state"], late["until"], late["renewals"]) == ("active", "2028-12-25T04:00:00Z", 2)
        assert late["member_number"] == made["member_number"]


async def test_who_is_a_member_is_made_one_again_only_after_he_cancelled(shop: Shop) -> None:
    async with shop.client(STAFF) as http:
        first = await enrolled(http, plan=CARD)
        again = await posted(http, "/enrolments", customer_id="c-1")
        assert (again.status_code, again.json()["code"]) == (409, "already-enrolled")
        assert again.json()["enrolment_id"] == first["id"]
        ended = await posted(http, f"/enrolments/{first['id']}/cancel")
        assert (ended.status_code, ended.json()["state"]) == (200, "cancelled")
        for refused in ("cancel", "renewals"):
            body: dict[str, Any] = {"months": 1} if refused == "renewals" else {}
            answer = await posted(http, f"/enrolments/{first['id']}/{refused}", **body)
            assert (answer.status_code, answer.json()["code"]) == (409, "enrolment-cancelled")
        second = await enrolled(http)
        assert second["member_number"] != first["member_number"]
        assert (await membership(http))["id"] == second["id"]
        endless = await posted(http, f"/enrolments/{second['id']}/renewals", months=1)
        assert endless.json()["code"] == "enrolment-without-end"


async def test_a_request_that_is_sent_again_gets_its_answer_as_it_was_and_has_one_effect(shop: Shop) -> None:
    async with shop.client(STAFF) as http:
        first = await posted(http, "/enrolments", "k-1", customer_id="c-1", plan=CARD)
        id = first.json()["id"]
        renewed = await posted(http, f"/enrolments/{id}/renewals", "k-2", months=6)
        cancelled = await posted(http, f"/enrolments/{id}/cancel", "k-3")
        again = [
            await posted(http, "/enrolments", "k-1", customer_id="c-1", plan=CARD),
            await posted(http, f"/enrolments/{id}/renewals", "k-2", months=6),
            await posted(http, f"/enrolments/{id}/cancel", "k-3"),
        ]
        for before, after in zip((first, renewed, cancelled), again, strict=True):
            assert (after.status_code, after.json()) == (before.status_code, before.json())
            assert after.headers["Idempotency-Replayed"] == "true"
        other = await posted(http, "/enrolments", "k-1", customer_id="c-2")
        assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")
        assert (await http.post("/enrolments", json={"customer_id": "c-1"})).status_code == 400


async def test_of_many_who_enrol_one_person_at_once_one_does(shop: Shop) -> None:
    await shop.take(bought(OLD, "o-1", "10"), bought(NEW, "o-2", "10"), merged())
    async with shop.client(STAFF) as http:
        tried = [posted(http, "/enrolments", customer_id=id) for id in [OLD, NEW] * 6]
        codes = sorted(answer.status_code for answer in await asyncio.gather(*tried))
        assert codes == [201] + [409] * 11
        assert (await membership(http, OLD)) == (await membership(http, NEW))


async def test_a_merged_person_has_the_active_one_of_his_memberships_and_the_undo_gives_each_his_own(
    shop: Shop,
) -> None:
    async with shop.client(STAFF) as http:
        lasting = await enrolled(http, OLD)
        shop.clock.set(NOW + timedelta(days=1))
        ended = await enrolled(http, NEW)
        await posted(http, f"/enrolments/{ended['id']}/cancel")
        await shop.take(merged())
        assert (await membership(http, NEW))["id"] == lasting["id"]


async def test_a_till_finds_a_member_by_his_number_and_is_told_of_a_mistyped_one(shop: Shop) -> None:
    async with shop.client(STAFF) as http:
        made = await enrolled(http)
        number = made["member_number"]
        found = await http.post("/enrolments/lookups", json={"member_number": f"{number[:4]} {number[4:]}"})
        assert found.json() == made
        wrong = number[:-1] + str((int(number[-1]) + 1) % 10)
        refused = await http.post("/enrolments/lookups", json={"member_number": wrong})
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/member_number")
        await posted(http, f"/enrolments/{made['id']}/cancel")
        assert (await http.post("/enrolments/lookups", json={"member_number": number})).json()["state"] == "cancelled"


async def test_staff_enrol_and_a_customer_reads_his_own(shop: Shop) -> None:
    async with shop.client(STAFF) as http:
        made = await enrolled(http)
        assert (await http.get("/accounts/c-2/enrolment")).status_code == 404
        refused = await posted(http, "/enrolments", customer_id="c-9", plan={**CARD, "fee": money("1.005")})
        assert refused.status_code == 422
        assert (await posted(http, "/enrolments/en_none/cancel")).status_code == 404
    async with shop.client(STAFF, customer_id="c-1") as himself:
        assert (await membership(himself))["id"] == made["id"]
        assert (await posted(himself, "/enrolments", customer_id="c-1")).status_code == 403
        assert (await posted(himself, f"/enrolments/{made['id']}/cancel")).status_code == 403
    async with shop.client(STAFF, customer_id="c-2") as other:
        assert (await other.get("/accounts/c-1/enrolment")).status_code == 404


async def test_the_erased_have_no_number_and_can_t_be_enrolled_and_their_fees_stay_nameless(shop: Shop) -> None:
    async with shop.client(STAFF) as http:
        made = await enrolled(http, plan=CARD)
        exported = ExportView.model_validate((await http.get("/accounts/c-1/export")).json())
        assert [one["member_number"] for one in exported.enrolments] == [made["member_number"]]
        assert [one["fee_minor"] for one in exported.enrolment_terms] == [39_900]
        await erased(shop, "c-1")
        number = {"member_number": made["member_number"]}
        assert (await http.post("/enrolments/lookups", json=number)).status_code == 404
        assert (await http.get("/accounts/c-1/enrolment")).status_code == 410
        refused = await posted(http, "/enrolments", customer_id="c-1")
        assert (refused.status_code, refused.json()["code"]) == (409, "customer-erased")
    async with shop.db.transaction() as tx:
        assert not await fetch(tx, "SELECT enrolment_id FROM enrolments")
        assert [row["fee_minor"] for row in await fetch(tx, "SELECT fee_minor FROM enrolment_terms")] == [39_900]


@pytest.mark.parametrize(
    "sql", ["UPDATE enrolment_terms SET fee_minor = 1", "DELETE FROM enrolment_terms", "TRUNCATE enrolment_terms"]
)
async def test_no_term_is_changed_or_taken_away(shop: Shop, sql: str) -> None:
    async with shop.client(STAFF) as http:
        await enrolled(http, plan=CARD)
    with pytest.raises(Exception, match=r"append-only|permission denied"):
        async with shop.db.transaction() as tx:
            await execute(tx, sql)
