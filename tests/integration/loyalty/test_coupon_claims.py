"""Coupons that purchases name: used by them, and free again with their returns and cancellations."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from services.loyalty.coupons.codes import new_code, read_code
from services.loyalty.exports.http import ExportView
from shared.db import fetch
from shared.messaging.records import Record
from tests.integration.loyalty.shop import Shop
from tests.integration.loyalty.test_coupons import STAFF, coupons_of, done, erased, one, refusal
from tests.integration.loyalty.test_merges import NEW, OLD, bought, merged, parted
from tests.kit.builders import NOW, about_order, at, line, record, returned

SERVICE = "loyalty"
LATER = NOW + timedelta(days=25)


def naming(
    order: str, *codes: str, customer: str = "c-1", days: float = 0, version: int = 1, **attributes: Any
) -> Record:
    """Two pieces, ``days`` after the coupons were issued."""
    data = {
        "customer_id": customer, "order_id": order, "order_version": version, "occurred_at": at(-days),
        "channel": "store", "total": {"amount": "200", "currency": "TWD"},
        "lines": [line(amount="100", quantity=2)], "coupon_codes": list(codes),
    }  # fmt: skip
    return record("purchase-recorded", data, **attributes)


def emptied(order: str, code: str) -> Record:
    return bought("c-1", order, "0", days_ago=-1, order_version=2, lines=[], coupon_codes=[code])


def back(order: str, pieces: int, customer: str = "c-1") -> Record:
    return record(
        "purchase-returned",
        returned(order, customer_id=customer, lines=[{"line_id": "1", "quantity": pieces}], days_ago=-20),
    )


def cancelled(order: str, customer: str = "c-1") -> Record:
    return record("purchase-cancelled", about_order(order, customer_id=customer, days_ago=-20))


async def take(shop: Shop, *records: Record) -> None:
    """A batch, when all that they tell of has happened."""
    shop.clock.set(max(LATER, shop.clock.now()))
    await shop.take(*records)


async def state(http: httpx.AsyncClient, coupon: dict[str, Any]) -> tuple[str, str | None]:
    found = (await http.get(f"/coupons/{coupon['code']}")).json()
    return found["state"], found["order_id"]


async def told(shop: Shop) -> list[tuple[str, str | None]]:
    return [(event["coupon_id"], event.get("order_id")) for event in await shop.published("coupon-redeemed")]


async def conflicts(shop: Shop) -> dict[str, str | None]:
    async with shop.db.transaction() as tx:
        rows = await fetch(tx, "SELECT order_id, conflict FROM coupon_claims WHERE stands ORDER BY order_id")
    return {row["order_id"]: row["conflict"] for row in rows}


async def test_a_purchase_uses_the_coupons_that_it_names_and_other_codes_are_somebody_else_s(shop: Shop) -> None:
    async with shop.client(STAFF) as http:
        first, second = [await one(http, key=key) for key in "12"]
        written = read_code(second["code"]).lower()
        await take(shop, naming("o-1", first["code"], written, "SUMMER-10", new_code(), days=3))
        assert [await state(http, coupon) for coupon in (first, second)] == [("redeemed", "o-1")] * 2
        used = (await http.get(f"/coupons/{first['code']}")).json()
        assert used["state_at"] == "2026-11-23T04:00:00Z", "as it was placed"
    assert sorted(await told(shop)) == sorted([(first["id"], "o-1"), (second["id"], "o-1")])
    async with shop.db.transaction() as tx:
        values = [row["value"].decode() for row in await fetch(tx, "SELECT value FROM outbox")]
    written_ = [code for coupon in (first, second) for code in (coupon["code"], read_code(coupon["code"]))]
    assert not any(code in value for code in written_ for value in values)


async def test_what_a_till_used_for_the_order_is_told_once_whoever_comes_first(shop: Shop) -> None:
    async with shop.client(STAFF) as http:
        before, after = [await one(http, key=key) for key in "12"]
        used = (await done(http, before, "redeem", order_id="o-1", customer_id="c-1")).json()
        await take(shop, naming("o-1", before["code"], after["code"], days=1))
        assert (await http.get(f"/coupons/{before['code']}")).json() == used
        late = await done(http, after, "redeem", order_id="o-1", customer_id="c-1")
        assert (late.status_code, late.json()["order_id"]) == (200, "o-1")
        assert refusal(await done(http, after, "redeem", order_id="o-2")) == (409, "coupon-redeemed")
        assert refusal(await done(http, before, "redeem", order_id="o-1")) == (409, "coupon-redeemed")
    assert await told(shop) == [(before["id"], "o-1"), (after["id"], "o-1")]
    assert await conflicts(shop) == {"o-1": None}


@pytest.mark.parametrize("by_till", [False, True])
@pytest.mark.parametrize("gone", ["cancelled", "returned", "returned in parts", "corrected", "emptied"])
async def test_an_order_that_is_gone_leaves_its_coupon_to_be_used_again(shop: Shop, gone: str, by_till: bool) -> None:
    async with shop.client(STAFF) as http:
        coupon = await one(http)
        facts = {
            "cancelled": [cancelled("o-1")],
            "returned": [back("o-1", 2)],
            "returned in parts": [back("o-1", 1), back("o-1", 1)],
            "corrected": [naming("o-1", version=2)],
            "emptied": [emptied("o-1", coupon["code"])],
        }[gone]
        if by_till:
            await done(http, coupon, "redeem", order_id="o-1")
        await take(shop, naming("o-1", coupon["code"], days=1))
        assert await state(http, coupon) == ("redeemed", "o-1")
        for fact in facts:
            await take(shop, fact)
        assert (await http.get(f"/coupons/{coupon['code']}")).json() == coupon
        await take(shop, naming("o-2", coupon["code"], days=3))
        assert await state(http, coupon) == ("redeemed", "o-2")
    assert await told(shop) == [(coupon["id"], "o-1"), (coupon["id"], "o-2")]


async def test_a_cancelled_order_leaves_what_a_till_used_or_keeps_for_it_without_a_purchase(shop: Shop) -> None:
    async with shop.client(STAFF) as http:
        used, kept, other = [await one(http, key=key) for key in "123"]
        await done(http, used, "redeem", order_id="o-1")
        await done(http, kept, "reserve", order_id="o-1", minutes=10)
        await done(http, other, "redeem")
        await take(shop, cancelled("o-1"))
        assert [(await state(http, one_))[0] for one_ in (used, kept, other)] == ["issued", "issued", "redeemed"]
        await done(http, used, "redeem", order_id="o-2")
        await take(shop, naming("o-2"), back("o-2", 1), naming("o-3", version=2))
        assert await state(http, used) == ("redeemed", "o-2"), "it never named it, and something of it stands"


async def test_a_partial_return_keeps_the_coupon_used(shop: Shop) -> None:
    async with shop.client(STAFF) as http:
        coupon = await one(http)
        await take(shop, naming("o-1", coupon["code"], days=1), back("o-1", 1))
        assert await state(http, coupon) == ("redeemed", "o-1")


async def test_of_two_orders_the_earlier_has_it_and_the_other_is_noted_and_has_it_after(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    async with shop.client(STAFF) as http:
        coupon = await one(http)
        await take(shop, naming("o-2", coupon["code"], days=2))
        await take(shop, naming("o-1", coupon["code"], days=1))
        assert await state(http, coupon) == ("redeemed", "o-1")
        assert await conflicts(shop) == {"o-1": None, "o-2": "coupon-redeemed"}
        said = "".join(capsys.readouterr())
        assert "coupon-conflict" in said
        assert coupon["id"] in said
        assert not any(code in said for code in (coupon["code"], read_code(coupon["code"])))
        assert (await shop.balance("c-1")).lifetime_earned > 0, "the purchases count all the same"
        await take(shop, cancelled("o-1"))
        assert await state(http, coupon) == ("redeemed", "o-2")
        assert await conflicts(shop) == {"o-2": None}
    assert await told(shop) == [(coupon["id"], "o-2"), (coupon["id"], "o-1")], "each of them once"


async def test_what_a_till_gave_back_its_purchase_does_not_take_again_whichever_comes_first(shop: Shop) -> None:
    async with shop.client(STAFF) as http:
        first, second, contested = [await one(http, key=key) for key in "123"]
        await take(shop, naming("o-1", first["code"], days=1), naming("o-9", contested["code"], days=2))
        await take(shop, naming("o-3", contested["code"], days=1))
        assert (await done(http, first, "release", order_id="o-1")).json()["state"] == "issued"
        await done(http, second, "redeem", order_id="o-2")
        await done(http, second, "release", order_id="o-2")
        shop.clock.set(LATER + timedelta(days=1))
        await done(http, second, "reserve", order_id="o-2", minutes=10)
        await done(http, second, "release", order_id="o-2")
        await take(shop, naming("o-2", second["code"], days=1), back("o-1", 1), naming("o-4", first["code"], days=1))
        assert [await state(http, one_) for one_ in (first, second)] == [("redeemed", "o-4"), ("issued", None)]
        freed = await done(http, contested, "release", order_id="o-3")
        assert (freed.json()["state"], freed.json()["order_id"]) == ("redeemed", "o-9"), "it was paid with it, too"


async def test_what_a_till_gave_back_and_used_again_stays_used_by_an_order_that_never_named_it(shop: Shop) -> None:
    async with shop.client(STAFF) as http:
        coupon = await one(http)
        for what in ("redeem", "release", "redeem"):
            await done(http, coupon, what, order_id="o-1")
        await take(shop, naming("o-1", days=1), back("o-1", 1))
        assert await state(http, coupon) == ("redeemed", "o-1")
        await take(shop, back("o-1", 1))
        assert await state(http, coupon) == ("issued", None)


@pytest.mark.parametrize("heard_first", [False, True])
async def test_what_a_till_gave_back_and_keeps_again_for_the_order_its_purchase_uses_whichever_comes_first(
    shop: Shop, heard_first: bool
) -> None:
    shop.clock.set(LATER)
    async with shop.client(STAFF) as http:
        coupon = await one(http)
        paid = naming("o-1", coupon["code"], days=25)
        shop.clock.set(LATER + timedelta(minutes=1))
        if heard_first:
            await take(shop, paid)
        else:
            await done(http, coupon, "reserve", order_id="o-1")
        assert (await done(http, coupon, "release", order_id="o-1")).json()["state"] == "issued"
        kept = (await done(http, coupon, "reserve", order_id="o-1")).json()
        assert (kept["state"], kept["order_id"]) == ("redeemed" if heard_first else "reserved", "o-1")
        if not heard_first:
            await take(shop, paid)
        shop.clock.set(LATER + timedelta(hours=1))
        assert await state(http, coupon) == ("redeemed", "o-1")
        assert refusal(await done(http, coupon, "redeem", order_id="o-2")) == (409, "coupon-redeemed")
    assert (await told(shop), await conflicts(shop)) == ([(coupon["id"], "o-1")], {"o-1": None})


async def test_what_a_till_gave_back_and_used_again_its_purchase_has_when_a_later_version_names_it_again(
    shop: Shop,
) -> None:
    async with shop.client(STAFF) as http:
        coupon = await one(http)
        for what in ("redeem", "release", "redeem"):
            await done(http, coupon, what, order_id="o-1")
        await take(shop, naming("o-1", coupon["code"]))
        await take(shop, naming("o-1", version=2))
        await take(shop, naming("o-1", coupon["code"], version=3))
        assert await state(http, coupon) == ("redeemed", "o-1")


async def test_what_a_till_used_and_told_of_no_version_of_its_purchase_tells_again(shop: Shop) -> None:
    async with shop.client(STAFF) as http:
        coupon = await one(http)
        await done(http, coupon, "redeem", order_id="o-1")
        for version, codes in enumerate(([coupon["code"]], [], [coupon["code"]]), start=1):
            await take(shop, naming("o-1", *codes, days=1, version=version))
            assert (await state(http, coupon))[0] == ("redeemed" if codes else "issued")
        assert await told(shop) == [(coupon["id"], "o-1")]


async def test_what_a_till_gives_back_of_a_purchase_is_free_since_then(shop: Shop) -> None:
    async with shop.client(STAFF) as http:
        coupon = await one(http)
        await take(shop, naming("o-1", coupon["code"], days=1))
        freed = (await done(http, coupon, "release", order_id="o-1")).json()
    assert (freed["state"], datetime.fromisoformat(freed["state_at"])) == ("issued", LATER)


async def test_a_coupon_kept_for_an_order_for_minutes_is_used_by_it_days_later_before_its_end(shop: Shop) -> None:
    async with shop.client(STAFF) as http:
        coupon = await one(http)
        await done(http, coupon, "reserve", order_id="o-1", minutes=10)
        await take(shop, naming("o-1", coupon["code"], days=2))
        assert await state(http, coupon) == ("redeemed", "o-1")


async def test_what_goes_to_another_order_is_caused_by_what_was_said_of_the_one_that_had_it(shop: Shop) -> None:
    async with shop.client(STAFF) as http:
        coupon = await one(http)
        await take(shop, naming("o-1", coupon["code"], days=1), naming("o-2", coupon["code"], days=2))
        data = about_order("o-1", customer_id="c-1", days_ago=-20)
        stranger_s = about_order("o-98", customer_id="c-9", days_ago=-20)
        await take(
            shop,
            record("purchase-cancelled", data, id="e-1"),
            record("purchase-cancelled", stranger_s, id="e-9"),
        )
        assert await state(http, coupon) == ("redeemed", "o-2")
    last = (await shop.published("coupon-redeemed"))[-1]
    assert (last["order_id"], last["caused_by"]["id"]) == ("o-2", "e-1")


async def test_what_a_merge_lets_an_order_have_is_caused_by_it_and_no_stranger_s(shop: Shop) -> None:
    async with shop.client(STAFF) as http:
        coupon = await one(http, OLD)
        await take(shop, naming("o-1", coupon["code"], customer=NEW, days=1))
        await take(shop, merged(id="e-1"), merged("x-1", "x-2", id="e-9"))
        assert await state(http, coupon) == ("redeemed", "o-1")
    (used,) = await shop.published("coupon-redeemed")
    assert used["caused_by"]["id"] == "e-1"


async def test_a_code_that_went_round_is_one_line_of_the_log(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[dict[str, Any]] = []
    monkeypatch.setattr("services.loyalty.coupons.claiming.log.warning", lambda event, **fields: said.append(fields))
    async with shop.client(STAFF) as http:
        coupon = await one(http)
    await take(shop, *(naming(f"o-{n}", coupon["code"], days=1 + n) for n in range(9)))
    assert said == [{"coupon_id": coupon["id"], "orders": 8, "order_id": "o-1", "conflict": "coupon-redeemed"}]
    assert len(await conflicts(shop)) == 9


async def test_what_a_till_gives_back_that_it_used_for_no_order_the_purchase_that_named_it_has(shop: Shop) -> None:
    async with shop.client(STAFF) as http:
        coupon = await one(http)
        await done(http, coupon, "redeem")
        await take(shop, naming("o-1", coupon["code"], days=1))
        assert (await state(http, coupon), await conflicts(shop)) == (("redeemed", None), {"o-1": "coupon-redeemed"})
        assert (await done(http, coupon, "release")).json()["order_id"] == "o-1"
        assert await conflicts(shop) == {"o-1": None}
    assert await told(shop) == [(coupon["id"], None), (coupon["id"], "o-1")]


async def test_staff_read_which_orders_named_what_was_not_theirs(shop: Shop) -> None:
    async with shop.client(STAFF) as http:
        own, voided = [await one(http, key=key) for key in "12"]
        other_s = await one(http, "c-2", key="3")
        await done(http, voided, "void")
        await take(shop, naming("o-1", own["code"], days=1), naming("o-2", own["code"], other_s["code"], days=2))
        await take(shop, naming("o-3", voided["code"], days=3))
        found: list[dict[str, Any]] = []
        cursor: dict[str, str] = {}
        while cursor or not found:
            answer = (await http.get("/coupons/conflicts", params={"limit": "1", **cursor})).json()
            found += answer["items"]
            cursor = {"cursor": answer["next_cursor"]} if answer["next_cursor"] else {}
    assert found[0] == {
        "coupon_id": voided["id"], "order_id": "o-3", "customer_id": "c-1", "occurred_at": "2026-11-23T04:00:00Z",
        "conflict": "coupon-voided",
    }  # fmt: skip
    why = {(one_["order_id"], one_["coupon_id"]): one_["conflict"] for one_ in found[1:]}
    assert why == {("o-2", own["id"]): "coupon-redeemed", ("o-2", other_s["id"]): "not-your-coupon"}
    async with shop.client("loyalty:read", customer_id="c-1") as himself:
        assert (await himself.get("/coupons/conflicts")).status_code == 403


async def test_a_purchase_after_the_coupon_s_end_uses_what_a_till_had_reserved_for_it_also_when_it_is_heard_of_late(
    shop: Shop,
) -> None:
    async with shop.client(STAFF) as http:
        coupon, other = [await one(http, key=key, valid_days=0) for key in "12"]
        end = datetime.fromisoformat(coupon["expires_at"])
        shop.clock.set(end - timedelta(minutes=5))
        await done(http, coupon, "reserve", order_id="o-1", minutes=10)
        await done(http, other, "reserve", order_id="o-9", minutes=10)
        await shop.live_until(end + timedelta(days=1))
        assert await state(http, coupon) == ("expired", None)
        days = (end - NOW) / timedelta(days=1) + 0.001
        await shop.take(naming("o-1", coupon["code"], other["code"], days=days))
        assert [await state(http, one_) for one_ in (coupon, other)] == [("redeemed", "o-1"), ("expired", None)]
    async with shop.db.transaction() as tx:
        rows = await fetch(tx, "SELECT coupon_id, conflict FROM coupon_claims WHERE order_id = 'o-1'")
    assert {row["coupon_id"]: row["conflict"] for row in rows} == {coupon["id"]: None, other["id"]: "coupon-expired"}


async def test_loaded_history_uses_coupons_and_publishes_nothing(shop: Shop) -> None:
    async with shop.client(STAFF) as http:
        coupon = await one(http)
        await take(shop, naming("o-1", coupon["code"], days=1, backfill=True))
        assert await state(http, coupon) == ("redeemed", "o-1")
    assert await told(shop) == []


async def test_a_coupon_is_its_customer_s_under_all_his_ids_for_as_long_as_they_are_one(shop: Shop) -> None:
    async with shop.client(STAFF) as http:
        coupon = await one(http, OLD)
        await take(shop, naming("o-1", coupon["code"], customer=NEW, days=1))
        assert (await state(http, coupon), await conflicts(shop)) == (("issued", None), {"o-1": "not-your-coupon"})
        await take(shop, merged())
        assert (await state(http, coupon), await conflicts(shop)) == (("redeemed", "o-1"), {"o-1": None})
        await take(shop, parted())
        assert (await state(http, coupon), await conflicts(shop)) == (("issued", None), {"o-1": "not-your-coupon"})
    assert [event["customer_id"] for event in await shop.published("coupon-redeemed")] == [OLD]


async def test_an_erasure_leaves_used_coupons_used_and_no_name_in_what_claims_them(shop: Shop) -> None:
    async with shop.client(STAFF) as http:
        own, lent = [await one(http, who, key=who, bearer=True) for who in ("c-1", "c-2")]
        await take(shop, naming("o-1", own["code"], customer="c-2", days=1), naming("o-2", lent["code"], days=1))
        await erased(shop, "c-1")
        await take(shop, back("o-1", 1, "c-2"))
        assert await state(http, lent) == ("redeemed", "o-2")
        async with shop.db.transaction() as tx:
            rows = await fetch(tx, "SELECT * FROM coupon_claims")
            query = "SELECT state, order_id FROM coupons WHERE coupon_id = :id"
            assert [tuple(row.values()) for row in await fetch(tx, query, id=own["id"])] == [("redeemed", "o-1")]
        assert not any(value == "c-1" for row in rows for value in row.values())
        published = len(await shop.published("coupon-redeemed"))
        await take(shop, cancelled("o-1", "c-2"))
        async with shop.db.transaction() as tx:
            assert [row["state"] for row in await fetch(tx, query, id=own["id"])] == ["voided"]
    assert len(await shop.published("coupon-redeemed")) == published


async def test_the_export_tells_which_coupons_his_orders_named(shop: Shop) -> None:
    async with shop.client(STAFF) as http:
        own, lent = await one(http, "c-1", key="1"), await one(http, "c-2", key="2")
        await take(shop, naming("o-1", own["code"], lent["code"], days=1))
        answer = await http.get("/accounts/c-1/export")
        other_s = await http.get("/accounts/c-2/export")
    claims = {row["coupon_id"]: row for row in ExportView.model_validate(answer.json()).coupon_claims}
    assert read_code(own["code"]) not in answer.text.replace("-", "")
    assert (claims[own["id"]]["given"], claims[lent["id"]]["conflict"]) == (True, "not-your-coupon")
    assert other_s.status_code == 404 or ExportView.model_validate(other_s.json()).coupon_claims == []


async def test_a_batch_in_which_nobody_names_a_code_asks_the_database_nothing_of_coupons(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: Any) -> None:
        raise AssertionError("coupons were asked for")

    monkeypatch.setattr("services.loyalty.coupons.store.lock_named", never)
    await take(shop, *(bought("c-1", f"o-{n}") for n in range(5)), naming("o-9", "SUMMER-10"))
    assert (await shop.balance("c-1")).lifetime_earned > 0


async def test_tills_and_purchases_at_once_use_each_coupon_once_and_wait_for_nobody_crosswise(shop: Shop) -> None:
    async with shop.client(STAFF) as http:
        coupons = [await one(http, key=f"k{n}", bearer=True) for n in range(8)]
        codes = [coupon["code"] for coupon in coupons]
        batches = [
            [
                naming(f"o-{n}-{m}", *codes[:: -1 if m % 2 else 1], customer=f"c-{m}", days=1 + n + m / 9)
                for m in range(4)
            ]
            for n in range(4)
        ]
        tills = [done(http, coupon, "redeem", order_id=f"t-{n}") for n, coupon in enumerate(coupons)]
        await asyncio.gather(*tills[:4], *(take(shop, *batch) for batch in batches), *tills[4:])
        used = await coupons_of(http, "c-1")
    assert {coupon["state"] for coupon in used} == {"redeemed"}
    by_purchase = {coupon["order_id"] for coupon in used if not coupon["order_id"].startswith("t-")}
    assert by_purchase <= {"o-0-0"}, "the earliest has all that no till was faster for"
    events = await told(shop)
    assert len(events) == len(set(events))
