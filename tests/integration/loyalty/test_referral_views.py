"""What is shown of referrals, to whom, in which figures, and what an erasure leaves of them."""

import pytest

from services.loyalty.referrals import store
from shared.db import fetch
from tests.integration.loyalty.shop import Shop
from tests.integration.loyalty.test_merges import bought, merged
from tests.integration.loyalty.test_referrals import (
    ANNA,
    BEN,
    CARL,
    DAY,
    DORA,
    brought,
    erased,
    members,
    points,
    post,
    states,
    whole,
)
from tests.kit.builders import NOW, about_order, at, record

SERVICE = "loyalty"


async def test_nobody_reads_in_his_own_view_who_the_other_is_or_what_he_bought(shop: Shop) -> None:
    await post(shop)
    code = (await members(shop, ANNA))[ANNA]
    await shop.take(brought(BEN, "order-of-ben", code), bought(CARL, "o-0", days_ago=90), brought(CARL, "o-2", code))
    await shop.live_until(NOW + 20 * DAY)
    async with shop.client(customer_id=ANNA) as anna, shop.client(customer_id=BEN) as ben, shop.client() as staff:
        own = await anna.get(f"/accounts/{ANNA}/referrals")
        exported = await anna.get(f"/accounts/{ANNA}/export")
        for text in (own.text, exported.text):
            assert not [word for word in (BEN, CARL, "order-of-ben", "bought-before") if word in text]
        figures = {name: own.json()[name] for name in ("pending", "qualified", "refused", "points")}
        assert figures == {"pending": 0, "qualified": 1, "refused": 1, "points": 100}
        his = await ben.get(f"/accounts/{BEN}/referrals")
        assert ANNA not in his.text
        assert ANNA not in (await ben.get(f"/accounts/{BEN}/export")).text
        assert [(one["role"], one["order_id"], one["points"]) for one in his.json()["items"]] == [
            ("referee", "order-of-ben", 50)
        ]
        assert (await ben.get(f"/accounts/{ANNA}/referrals")).status_code == 404
        seen = (await staff.get(f"/accounts/{ANNA}/referrals")).json()["items"]
        assert {(one["referee_id"], one["reason"]) for one in seen} == {(BEN, None), (CARL, "bought-before")}
        first = (await staff.get(f"/accounts/{ANNA}/referrals", params={"limit": 1})).json()
        cursor = {"limit": 1, "cursor": first["next_cursor"]}
        second = (await staff.get(f"/accounts/{ANNA}/referrals", params=cursor)).json()
        assert [*first["items"], *second["items"]] == seen
        explained = (await anna.get(f"/accounts/{ANNA}/explanation")).json()
        assert [(one["origin"], one["points"]) for one in explained["grants"]] == [("referral", 100)]


async def test_key_figures_count_new_customers_and_those_who_came_by_a_code(shop: Shop) -> None:
    await post(shop)
    code = (await members(shop, ANNA))[ANNA]
    await shop.take(
        brought(BEN, "o-1", code, 20), brought(CARL, "o-2", code, 3), bought(DORA, "o-3", days_ago=2),
        bought("c-old", "o-4", days_ago=200), brought("c-old", "o-5", code, 2), bought("c-new", "o-6", days_ago=4),
        bought("c-joined", "o-7", days_ago=300), bought("c-gone", "o-8", days_ago=3),
    )  # fmt: skip
    await shop.take(merged("c-joined", "c-new"), record("purchase-cancelled", about_order("o-8", customer_id="c-gone")))
    await states(shop)
    async with shop.client() as staff, shop.client(customer_id=ANNA) as anna:
        params = {"from": at(100), "to": at(0)}
        found = await staff.get("/referrals", params=params)
        assert found.status_code == 200, found.text
        assert {name: value for name, value in found.json().items() if name not in params} == {
            "new_customers": 3, "referred": 2, "rate": "0.6667", "qualified": 1, "pending": 1, "points": 150,
            "refused": {"bought-before": 1},
        }  # fmt: skip
        empty = (await staff.get("/referrals", params={"from": at(900), "to": at(800)})).json()
        assert (empty["new_customers"], empty["rate"]) == (0, None)
        assert (await staff.get("/referrals", params={"from": at(0), "to": at(1)})).status_code == 422
        assert (await anna.get("/referrals", params=params)).status_code == 403


@pytest.mark.parametrize("gone", [ANNA, BEN])
async def test_an_erasure_leaves_no_name_and_no_code_and_the_other_side_keeps_what_is_his(
    shop: Shop, gone: str
) -> None:
    await post(shop)
    code = (await members(shop, ANNA))[ANNA]
    await shop.take(brought(BEN, "o-1", code))
    await states(shop)
    await shop.take(erased(gone))
    other = BEN if gone == ANNA else ANNA
    await shop.take(bought(other, "o-9", days_ago=0.1))
    if other == BEN:
        await shop.take(record("purchase-delivered", about_order("o-1", customer_id=BEN)))
    await shop.live_until(NOW + 20 * DAY)
    assert await points(shop, other) == [50 if other == BEN else 100]
    async with shop.db.transaction() as tx:
        (row,) = await store.lock(tx, ["o-1"])
        codes = await fetch(tx, "SELECT code, customer_id FROM referral_codes")
    assert gone not in repr(row)
    assert row.state == "qualified"
    assert [one["customer_id"] for one in codes] == ([] if gone == ANNA else [ANNA])
    assert row.code is None if gone == BEN else row.code
    assert {one["customer_id"] for one in await shop.published("referral-qualified")} == {other}
    await whole(shop)
