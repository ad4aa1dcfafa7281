"""Coupons: who gets them, who sees their codes, and that each is used once."""

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from services.loyalty.coupons import application as coupons
from services.loyalty.coupons.codes import ALPHABET, new_code, read_code, shown
from services.loyalty.coupons.domain import CouponRefused, Terms
from services.loyalty.exports.http import ExportView
from shared.contracts.types import Cause, Money
from shared.db import fetch
from tests.integration.loyalty.shop import Shop
from tests.integration.loyalty.test_merges import NEW, OLD, bought, merged
from tests.integration.loyalty.test_segments import placed
from tests.kit.builders import NOW, at, money, record

SERVICE = "loyalty"
STAFF = "loyalty:read loyalty:write"
ZONE = ZoneInfo("Asia/Taipei")
TEN_PERCENT = {"percent": "10", "valid_days": 30}
CAUSE = Cause(source="/test", id="1")


async def issued(http: httpx.AsyncClient, *customers: str, key: str = "k", **terms: Any) -> dict[str, Any]:
    body = {"customers": list(customers), "coupon": {**TEN_PERCENT, **terms}, "reason": "a present"}
    answer = await http.post("/coupons/batches", json=body, headers={"Idempotency-Key": key})
    assert answer.status_code == 201, answer.text
    batch: dict[str, Any] = answer.json()
    return batch


async def coupons_of(http: httpx.AsyncClient, customer: str) -> list[dict[str, Any]]:
    answer = await http.get(f"/accounts/{customer}/coupons")
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def one(http: httpx.AsyncClient, customer: str = "c-1", **terms: Any) -> dict[str, Any]:
    batch = await issued(http, customer, **terms)
    return next(coupon for coupon in await coupons_of(http, customer) if coupon["batch_id"] == batch["id"])


async def done(
    http: httpx.AsyncClient, coupon: dict[str, Any], what: str, key: str | None = None, **body: Any
) -> httpx.Response:
    headers = {"Idempotency-Key": key or new_code()}
    return await http.post(f"/coupons/{coupon['code']}/{what}", json=body, headers=headers)


def refusal(answer: httpx.Response) -> tuple[int, str | None]:
    return answer.status_code, answer.json()["code"] if answer.is_error else None


async def test_of_many_who_use_a_coupon_at_once_one_does(shop: Shop) -> None:
    async with shop.client(STAFF) as http:
        coupon = await one(http)
        answers = await asyncio.gather(*(done(http, coupon, "redeem", order_id=f"o-{n}") for n in range(30)))
        assert Counter(map(refusal, answers)) == {(200, None): 1, (409, "coupon-redeemed"): 29}
        won = next(answer.json() for answer in answers if answer.status_code == 200)
        assert (await http.get(f"/coupons/{coupon['code']}")).json() == won
    told = await shop.published("coupon-redeemed")
    assert [(event["order_id"], event["coupon_id"]) for event in told] == [(won["order_id"], coupon["id"])]


async def test_who_asks_again_with_his_key_used_it_once(shop: Shop) -> None:
    async with shop.client(STAFF) as http:
        coupon = await one(http)
        first = await done(http, coupon, "redeem", "same", order_id="o-1")
        again = await done(http, coupon, "redeem", "same", order_id="o-1")
        assert (again.status_code, again.json()) == (200, first.json())
        assert again.headers["Idempotency-Replayed"] == "true"
        assert refusal(await done(http, coupon, "redeem", "same", order_id="o-2")) == (422, "idempotency-key-reused")
        assert (await http.post(f"/coupons/{coupon['code']}/redeem")).status_code == 400
        bare = await http.post(f"/coupons/{coupon['code']}/redeem", headers={"Idempotency-Key": "bare"})
        assert refusal(bare) == (409, "coupon-redeemed")
    assert len(await shop.published("coupon-redeemed")) == 1


async def test_a_code_that_was_mistyped_is_told_from_one_that_is_not_there(shop: Shop) -> None:
    async with shop.client(STAFF) as http:
        coupon = await one(http)
        code = read_code(coupon["code"])
        assert (await http.get(f"/coupons/{code.lower()}")).json()["id"] == coupon["id"]
        wrong = ("3" if code[0] == "2" else "2") + code[1:]
        mistyped = await http.get(f"/coupons/{wrong}")
        assert refusal(mistyped) == (422, "coupon-mistyped")
        assert mistyped.json()["errors"][0]["pointer"] == "/path/code"
        assert refusal(await http.get(f"/coupons/{shown(new_code())}")) == (404, "coupon-unknown")
        assert refusal(await done(http, {"code": new_code()}, "redeem")) == (404, "coupon-unknown")
        assert refusal(await done(http, {"code": wrong}, "void")) == (422, "coupon-mistyped")


async def test_a_coupon_is_worth_what_it_was_issued_for(shop: Shop) -> None:
    terms: dict[str, Any] = {
        "percent": None, "discount": money("100.00"), "min_spend": money("500.00"), "bearer": True,
    }  # fmt: skip
    async with shop.client(STAFF) as http:
        batch = await issued(http, "c-1", "c-2", **terms)
        coupon = (await coupons_of(http, "c-1"))[0]
        assert (await http.get(f"/coupons/batches/{batch['id']}")).json() == batch
    assert (batch["coupons"], batch["reason"]) == (2, "a present")
    assert batch["coupon"] == {**terms, "valid_days": 30}
    assert {name: coupon[name] for name in terms} == terms
    assert (coupon["state"], coupon["batch_id"]) == ("issued", batch["id"])
    assert (coupon["issued_at"], coupon["expires_at"]) == ("2026-11-20T04:00:00Z", "2026-12-20T16:00:00Z")


async def test_topics_tell_of_a_coupon_by_its_id_and_never_its_code(shop: Shop) -> None:
    async with shop.client(STAFF) as http:
        coupon = await one(http, min_spend=money("500.00"))
        await done(http, coupon, "redeem", order_id="o-1")
    issue, use = await shop.published("coupon-issued", "coupon-redeemed")
    assert issue == {
        **issue, "customer_id": "c-1", "sequence": 1, "coupon_id": coupon["id"], "percent": "10",
        "occurred_at": "2026-11-20T04:00:00Z", "expires_at": "2026-12-20T16:00:00Z", "topic": "coupon-issued",
        "min_spend": money("500.00"),
    }  # fmt: skip
    assert (use["sequence"], use["percent"], use["order_id"]) == (2, "10", "o-1")
    async with shop.db.transaction() as tx:
        values = [row["value"].decode() for row in await fetch(tx, "SELECT value FROM outbox")]
    assert values
    assert not any(code in value for value in values for code in (coupon["code"], read_code(coupon["code"])))


async def test_logs_tell_nothing_of_a_code(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    async with shop.client(STAFF) as http:
        coupon = await one(http)
        await done(http, coupon, "redeem")
        await done(http, coupon, "redeem")
    said = "".join(capsys.readouterr())
    assert "/coupons/{code}/redeem" in said
    assert coupon["code"] not in said


async def test_a_customer_reads_his_own_coupons_under_all_his_ids_and_nobody_else_s(shop: Shop) -> None:
    await shop.take(bought(OLD, "o-1", "1000", 40), bought(NEW, "o-2", "500", 3))
    async with shop.client(STAFF) as http:
        await issued(http, OLD, NEW, "c-other")
        await shop.take(merged())
        both = await coupons_of(http, OLD)
        assert both == await coupons_of(http, NEW)
        assert {coupon["customer_id"] for coupon in both} == {OLD, NEW}
        other = (await coupons_of(http, "c-other"))[0]
        assert (await http.get("/accounts/nobody/coupons")).status_code == 404
    async with shop.client("loyalty:read", customer_id=OLD) as himself:
        assert await coupons_of(himself, NEW) == both
        assert {(await himself.get(f"/coupons/{coupon['code']}")).status_code for coupon in both} == {200}
        unseen = await himself.get(f"/coupons/{other['code']}")
        unknown = await himself.get(f"/coupons/{new_code()}")
        assert refusal(unseen) == refusal(unknown) == (404, "coupon-unknown")
        assert unseen.json()["detail"] == unknown.json()["detail"]
        assert (await himself.get("/accounts/c-other/coupons")).status_code == 404
        assert refusal(await done(himself, both[0], "redeem"))[0] == 403


async def test_staff_who_may_only_read_see_no_codes(shop: Shop) -> None:
    async with shop.client(STAFF) as http:
        batch = await issued(http, "c-1", "c-2", "c-3")
        path = f"/coupons/batches/{batch['id']}/coupons"
        first = (await http.get(path, params={"limit": 2})).json()
        rest = (await http.get(path, params={"limit": 2, "cursor": first["next_cursor"]})).json()
        assert len({coupon["code"] for coupon in first["items"] + rest["items"]}) == 3
        assert rest["next_cursor"] is None
        assert (await http.get("/coupons/batches/none/coupons")).status_code == 404
    async with shop.client("loyalty:read") as reader:
        assert [coupon["code"] for coupon in await coupons_of(reader, "c-1")] == [None]
        assert (await reader.get(path)).status_code == 403
        assert (await reader.get(f"/coupons/batches/{batch['id']}")).status_code == 200


async def test_another_customer_uses_a_bearer_s_coupon_and_no_other(shop: Shop) -> None:
    await shop.take(bought(OLD, "o-1", "1000", 40), bought(NEW, "o-2", "500", 3), merged())
    async with shop.client(STAFF) as http:
        own = await one(http, OLD, key="1")
        anybody_s = await one(http, "c-1", key="2", bearer=True)
        assert refusal(await done(http, own, "redeem", customer_id="c-9")) == (409, "not-your-coupon")
        # Another id of his.
        assert (await done(http, own, "redeem", customer_id=NEW)).status_code == 200
        assert (await done(http, anybody_s, "redeem", customer_id="c-9")).status_code == 200
    assert [event["customer_id"] for event in await shop.published("coupon-redeemed")] == [OLD, "c-1"]


async def test_an_order_that_comes_to_too_little_does_not_use_it(shop: Shop) -> None:
    async with shop.client(STAFF) as http:
        coupon = await one(http, min_spend=money("500.00"))
        little: dict[str, Any] = {"order_id": "o-1", "total": money("499.99")}
        assert refusal(await done(http, coupon, "redeem", **little)) == (409, "min-spend-not-reached")
        foreign: dict[str, Any] = {"order_id": "o-1", "total": money("9999", "JPY")}
        assert refusal(await done(http, coupon, "redeem", **foreign)) == (409, "min-spend-not-reached")
        assert (await done(http, coupon, "redeem", order_id="o-1", total=money("500.00"))).status_code == 200


async def test_a_reservation_keeps_others_off_until_it_ends(shop: Shop) -> None:
    async with shop.client(STAFF) as http:
        coupon = await one(http)
        reserved = (await done(http, coupon, "reserve", order_id="o-1", minutes=10)).json()
        assert (reserved["state"], reserved["order_id"]) == ("reserved", "o-1")
        assert refusal(await done(http, coupon, "redeem", order_id="o-2")) == (409, "coupon-reserved")
        assert refusal(await done(http, coupon, "release", order_id="o-2")) == (409, "coupon-reserved")
        assert (await done(http, coupon, "release", order_id="o-1")).json()["state"] == "issued"
        await done(http, coupon, "reserve", order_id="o-1", minutes=10)
        shop.clock.set(NOW + timedelta(minutes=10))
        assert (await http.get(f"/coupons/{coupon['code']}")).json()["state"] == "issued"
        assert (await done(http, coupon, "redeem", order_id="o-2")).status_code == 200


async def test_a_coupon_of_an_order_that_is_cancelled_is_there_again(shop: Shop) -> None:
    async with shop.client(STAFF) as http:
        coupon = await one(http)
        await done(http, coupon, "redeem", order_id="o-1")
        assert (await done(http, coupon, "release", order_id="o-1")).json() == coupon
        assert (await done(http, coupon, "redeem", order_id="o-2")).json()["order_id"] == "o-2"


async def test_a_coupon_expires_at_its_instant_and_the_sweep_only_writes_it_down(shop: Shop) -> None:
    async with shop.client(STAFF) as http:
        coupon, void = [await one(http, key=key) for key in ("1", "2")]
        assert (await done(http, void, "void")).json()["state"] == "voided"
        expires = NOW.replace(day=20, month=12, hour=16)
        assert await shop.job("coupons").next_due() == expires
        shop.clock.set(expires)
        before = (await http.get(f"/coupons/{coupon['code']}")).json()
        assert refusal(await done(http, coupon, "redeem")) == (409, "coupon-expired")
        assert await shop.job("coupons").run() == 1
        assert (await http.get(f"/coupons/{coupon['code']}")).json() == before
        assert await shop.job("coupons").next_due() is None
    assert (before["state"], before["state_at"]) == ("expired", "2026-12-20T16:00:00Z")
    async with shop.db.transaction() as tx:
        states = {row["state"] for row in await fetch(tx, "SELECT state FROM coupons")}
    assert states == {"expired", "voided"}


async def test_a_reservation_that_the_sweep_ends_leaves_the_coupon_to_expire(shop: Shop) -> None:
    async with shop.client(STAFF) as http:
        coupon = await one(http)
        await done(http, coupon, "reserve", order_id="o-1", minutes=10)
        await shop.live_until(NOW + timedelta(days=60))
        assert (await http.get(f"/coupons/{coupon['code']}")).json()["state"] == "expired"


async def test_thousands_are_issued_at_once_each_with_a_code_of_its_own_and_once(shop: Shop) -> None:
    customers = [f"c-{n}" for n in range(2_500)]
    async with shop.client(STAFF) as http:
        first = await issued(http, *customers)
        assert await issued(http, *customers) == first
    assert first["coupons"] == 2_500
    async with shop.db.transaction() as tx:
        rows = await fetch(tx, "SELECT customer_id, code FROM coupons")
    assert sorted(row["customer_id"] for row in rows) == sorted(customers)
    assert len({row["code"] for row in rows}) == 2_500
    assert {character for row in rows for character in row["code"]} == set(ALPHABET)
    assert len(await shop.published("coupon-issued")) == 2_500


async def test_batches_for_the_same_customers_do_not_lock_one_another_out(shop: Shop) -> None:
    # Collations sort these otherwise than their characters: whoever went by those would lock them crosswise.
    customers = [f"{letter}{n}" for n in range(550) for letter in "aBcD"]
    async with shop.client(STAFF) as http:
        batches = await asyncio.gather(*(issued(http, *customers[n:], key=f"k{n}") for n in range(4)))
    assert [batch["coupons"] for batch in batches] == [2200, 2199, 2198, 2197]


async def test_a_batch_for_a_segment_gives_each_person_in_it_one(shop: Shop) -> None:
    body = {"segment": "regulars", "coupon": TEN_PERCENT, "reason": "-"}
    async with shop.client(STAFF) as http:
        empty = await http.post("/coupons/batches", json=body, headers={"Idempotency-Key": "k"})
        assert refusal(empty) == (409, "segment-empty")
        await shop.take(merged(), *(placed(who, "regulars", "in") for who in (OLD, NEW, "c-1", "c-2")))
        await shop.take(placed("c-2", "regulars", "out", 2), placed("c-3", "lifecycle", "in"))
        answer = await http.post("/coupons/batches", json=body, headers={"Idempotency-Key": "k"})
        assert (answer.status_code, answer.json()["coupons"]) == (201, 2)
        both = {**body, "customers": ["c-1"]}
        assert (await http.post("/coupons/batches", json=both, headers={"Idempotency-Key": "b"})).status_code == 422
    assert {event["customer_id"] for event in await shop.published("coupon-issued")} == {NEW, "c-1"}


async def test_a_batch_names_nobody_twice_and_at_least_one(shop: Shop) -> None:
    async with shop.client(STAFF) as http:
        for customers, pointer in ((["c-1", "c-2", "c-1"], "/customers/2"), ([], "/customers")):
            body = {"customers": customers, "coupon": TEN_PERCENT, "reason": "-"}
            answer = await http.post("/coupons/batches", json=body, headers={"Idempotency-Key": "k"})
            assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)
        assert (await http.post("/coupons/batches", json=body)).status_code == 400
        assert (await http.get("/coupons/batches/none")).status_code == 404


async def test_a_redemption_gives_one_coupon_which_its_rollback_takes_back(shop: Shop) -> None:
    terms = Terms(discount=Money(amount="50.00", currency="TWD"), percent=None, valid_days=10)
    async with shop.db.transaction() as tx:
        for name in ("rd-1", "rd-2"):
            await coupons.issue(tx, "c-1", terms, NOW, ZONE, CAUSE, redemption_id=name)
        found = await coupons.of_redemptions(tx, ["rd-1", "rd-2", "rd-3"], NOW)
    assert found.keys() == {"rd-1", "rd-2"}
    assert [event["redemption_id"] for event in await shop.published("coupon-issued")] == ["rd-1", "rd-2"]
    async with shop.client(STAFF) as http:
        used = {"code": found["rd-2"].code}
        assert (await done(http, used, "redeem")).status_code == 200
    async with shop.db.transaction() as tx:
        back = await coupons.take_back(tx, "rd-1", NOW)
        assert back is not None
        assert back.state == "voided"
        assert await coupons.take_back(tx, "rd-3", NOW) is None
        with pytest.raises(CouponRefused) as refused:
            await coupons.take_back(tx, "rd-2", NOW)
    assert refused.value.code == "coupon-redeemed"


async def erased(shop: Shop, customer: str, *others: str) -> None:
    cause = {"source": "/roost/profile/requests", "id": "r"}
    said = {"customer_id": customer, "sequence": 9, "caused_by": cause, "occurred_at": at(0)}
    ids = [customer, *others]
    await shop.take(record("customer-erased", {**said, "erasure_id": f"e-{customer}", "customer_ids": ids}))


async def test_an_erased_person_s_coupons_have_no_name_no_code_and_no_worth(shop: Shop) -> None:
    async with shop.client(STAFF) as http:
        open_one, used, other_s = [await one(http, who, key=who) for who in ("c-1", "c-2", "c-3")]
        lent = await one(http, "c-3", key="lent", bearer=True)
        await done(http, used, "redeem", order_id="o-1")
        await done(http, lent, "redeem", customer_id="c-1")
        await erased(shop, "c-1", "c-2")
        for code in (open_one["code"], used["code"]):
            assert refusal(await http.get(f"/coupons/{code}")) == (404, "coupon-unknown")
        assert (await http.get(f"/coupons/{other_s['code']}")).json() == other_s
        again = {"customers": ["c-3", "c-1"], "coupon": TEN_PERCENT, "reason": "-"}
        answer = await http.post("/coupons/batches", json=again, headers={"Idempotency-Key": "again"})
        assert refusal(answer) == (409, "customer-erased")
        assert [error["pointer"] for error in answer.json()["errors"]] == ["/customers/1"]
        assert refusal(await done(http, other_s, "redeem", customer_id="c-1")) == (409, "customer-erased")
    async with shop.db.transaction() as tx:
        rows = await fetch(tx, "SELECT c.*, b.reason FROM coupons AS c JOIN coupon_batches AS b USING (batch_id)")
    assert not any(value in ("c-1", "c-2", open_one["code"]) for row in rows for value in row.values())
    states = {row["coupon_id"]: (row["state"], row["code"] is None, row["reason"]) for row in rows}
    assert states == {
        open_one["id"]: ("voided", True, ""), used["id"]: ("redeemed", True, ""),
        other_s["id"]: ("issued", False, "a present"), lent["id"]: ("redeemed", False, "a present"),
    }  # fmt: skip
    await shop.live_until(NOW + timedelta(days=60))


async def test_the_export_has_his_coupons_without_codes_and_without_whose_he_used(shop: Shop) -> None:
    await shop.take(bought("c-1", "o-1", "1000", 40))
    async with shop.client(STAFF) as http:
        own = await one(http, "c-1", key="1")
        lent = await one(http, "c-lender", key="2", bearer=True)
        await done(http, lent, "redeem", customer_id="c-1", order_id="o-1")
        answer = await http.get("/accounts/c-1/export")
    told = {row["coupon_id"]: row for row in ExportView.model_validate(answer.json()).coupons}
    assert told.keys() == {own["id"], lent["id"]}
    assert (told[own["id"]]["customer_id"], told[own["id"]]["reason"]) == ("c-1", "a present")
    assert (told[lent["id"]]["customer_id"], told[lent["id"]]["redeemed_by"]) == (None, "c-1")
    assert "c-lender" not in answer.text
    assert read_code(own["code"]) not in answer.text
