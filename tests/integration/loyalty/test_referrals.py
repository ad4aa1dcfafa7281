"""Who brings others: first purchases with a personal code, what both sides have of it, and what is refused."""

from datetime import timedelta
from typing import Any

import pytest

from shared.db import fetch
from shared.messaging.records import Record
from tests.integration.loyalty.shop import Shop
from tests.integration.loyalty.test_merges import bought, merged, parted
from tests.kit.builders import NOW, about_order, at, line, money, record, returned

SERVICE = "loyalty"
DAY = timedelta(days=1)
ANNA, BEN, CARL, DORA = "c-anna", "c-ben", "c-carl", "c-dora"
RULE: dict[str, Any] = {
    "id": "friends", "order": 1, "on": "referral", "effect": {"referrer": {"bonus": 100}, "referee": {"bonus": 50}},
}  # fmt: skip
NO_BASE = {"award": 0, "per": money("10.00")}


async def post(shop: Shop, **changes: Any) -> int:
    rule = {**RULE, **changes}
    return await shop.post(active_from=at(500), rules=[rule], points=NO_BASE, pending_days=14)


async def code_of(shop: Shop, customer: str) -> str:
    async with shop.client(customer_id=customer) as http:
        answer = await http.post(f"/accounts/{customer}/referral-code")
    assert answer.status_code in (200, 201), answer.text
    return str(answer.json()["code"])


async def members(shop: Shop, *customers: str) -> dict[str, str]:
    """Codes of customers who never bought anything, whom somebody gave points."""
    async with shop.db.transaction() as tx:
        for one in sorted(customers):
            await tx.execute("INSERT INTO accounts (customer_id, opened_at) VALUES ($1, now())", one)
    return {one: await code_of(shop, one) for one in customers}


def brought(customer: str, order: str, code: str, days_ago: float = 1, **fields: Any) -> Record:
    fields |= {"referral_code": code, "lines": [line(amount="100", quantity=2)]}
    return bought(customer, order, "200", days_ago, **fields)


def back(order: str, customer: str, days_ago: float = 0, quantity: int = 2) -> Record:
    lines = [{"line_id": "1", "quantity": quantity}]
    return record("purchase-returned", returned(order, customer_id=customer, days_ago=days_ago, lines=lines))


def erased(*ids: str) -> Record:
    cause = {"source": "/roost/profile/requests", "id": "r"}
    said = {"customer_id": ids[0], "sequence": 9, "caused_by": cause, "occurred_at": at(0)}
    return record("customer-erased", {**said, "erasure_id": f"e-{ids[0]}", "customer_ids": list(ids)})


async def states(shop: Shop) -> dict[str, tuple[str, str | None]]:
    """By order, once everything that is due now was done."""
    await shop.job("referrals").run()
    async with shop.db.transaction() as tx:
        rows = await fetch(tx, "SELECT order_id, state, reason FROM referrals ORDER BY order_id")
    return {row["order_id"]: (row["state"], row["reason"]) for row in rows}


async def points(shop: Shop, *customers: str) -> list[int]:
    return [(balance := await shop.balance(one)).available - balance.debt for one in customers]


async def whole(shop: Shop) -> None:
    proof = await shop.verified()
    assert (proof.broken, sum(proof.books.values())) == (None, 0)


async def test_both_sides_are_given_points_when_the_return_window_ends(shop: Shop) -> None:
    await post(shop)
    code = (await members(shop, ANNA))[ANNA]
    await shop.take(brought(BEN, "o-1", code.lower().replace("-", " ")))
    assert await states(shop) == {"o-1": ("pending", None)}
    ends = NOW + 13 * DAY
    assert await shop.job("referrals").next_due() == ends
    await shop.live_until(ends - timedelta(seconds=1))
    assert await points(shop, ANNA, BEN) == [0, 0]
    await shop.live_until(ends)
    assert await states(shop) == {"o-1": ("qualified", None)}
    assert await points(shop, ANNA, BEN) == [100, 50]
    assert await shop.job("referrals").next_due() is None
    await shop.live_until(ends + 30 * DAY)
    told = await shop.published("referral-qualified")
    assert [(one["customer_id"], one["role"], one.get("order_id")) for one in told] == [
        (ANNA, "referrer", None), (BEN, "referee", "o-1")
    ]  # fmt: skip
    granted = await shop.published("points-granted")
    id = told[0]["referral_id"]
    assert {one["grant_id"] for one in granted} == {f"{id}:referrer", f"{id}:referee"}
    assert {one["occurred_at"] for one in told} == {ends.isoformat().replace("+00:00", "Z")}
    await whole(shop)


async def test_a_delivery_moves_the_window(shop: Shop) -> None:
    await post(shop)
    code = (await members(shop, ANNA))[ANNA]
    await shop.take(brought(BEN, "o-1", code))
    await states(shop)
    await shop.take(record("purchase-delivered", about_order("o-1", customer_id=BEN, days_ago=0)))
    await states(shop)
    assert await shop.job("referrals").next_due() == NOW + 7 * DAY


@pytest.mark.parametrize("fate", ["returned", "cancelled"])
async def test_what_comes_back_before_never_qualifies_and_what_stands_of_it_does(shop: Shop, fate: str) -> None:
    await post(shop)
    code = (await members(shop, ANNA))[ANNA]
    await shop.take(brought(BEN, "o-1", code), brought(CARL, "o-2", code))
    gone = back("o-1", BEN) if fate == "returned" else record("purchase-cancelled", about_order("o-1", customer_id=BEN))
    await shop.take(gone, back("o-2", CARL, quantity=1))
    await shop.live_until(NOW + 30 * DAY)
    assert await states(shop) == {"o-1": ("refused", fate), "o-2": ("qualified", None)}
    assert await points(shop, ANNA, BEN, CARL) == [100, 0, 50]


async def test_a_full_return_after_it_takes_back_from_both_and_what_was_spent_is_owed(shop: Shop) -> None:
    await post(shop)
    code = (await members(shop, ANNA))[ANNA]
    await shop.take(brought(BEN, "o-1", code))
    await shop.live_until(NOW + 20 * DAY)
    async with shop.client("loyalty:read loyalty:write") as http:
        taken = await http.post(
            f"/accounts/{ANNA}/adjustments", json={"points": -70, "reason": "x"}, headers={"Idempotency-Key": "k"}
        )
        assert taken.status_code == 201, taken.text
    await shop.take(back("o-1", BEN, days_ago=-20, quantity=1))
    assert (await states(shop), await points(shop, ANNA, BEN)) == ({"o-1": ("qualified", None)}, [30, 50])
    await shop.take(back("o-1", BEN, days_ago=-20, quantity=1))
    assert (await states(shop), await points(shop, ANNA, BEN)) == ({"o-1": ("refused", "returned")}, [-70, 0])
    assert (await shop.balance(ANNA)).debt == 70
    withdrawn = [one for one in await shop.published("points-granted") if one.get("withdrawn")]
    assert {one["customer_id"] for one in withdrawn} == {ANNA, BEN}
    await whole(shop)


async def test_who_bought_before_or_has_no_code_of_somebody_else_is_refused(shop: Shop) -> None:
    await post(shop)
    code = (await members(shop, ANNA))[ANNA]
    await shop.take(
        bought(BEN, "o-0", days_ago=40), brought(BEN, "o-1", code), brought(CARL, "o-2", "23456-789AB-CDEFG"),
        brought(ANNA, "o-3", code), brought(DORA, "o-4", code), brought(DORA, "o-5", code, 0.5),
    )  # fmt: skip
    assert await states(shop) == {
        "o-1": ("refused", "bought-before"), "o-2": ("refused", "unknown-code"), "o-3": ("refused", "self-referral"),
        "o-4": ("pending", None), "o-5": ("refused", "bought-before"),
    }  # fmt: skip
    await shop.take(bought(DORA, "o-6", days_ago=3))
    assert (await states(shop))["o-4"] == ("refused", "bought-before")
    await shop.take(record("purchase-cancelled", about_order("o-6", customer_id=DORA)))
    assert (await states(shop))["o-4"] == ("pending", None)


@pytest.mark.parametrize("days", [0, 30])
async def test_another_id_of_the_same_person_brings_nobody_also_when_that_is_found_later(shop: Shop, days: int) -> None:
    await post(shop)
    code = (await members(shop, ANNA))[ANNA]
    await shop.take(brought(BEN, "o-1", code))
    await shop.live_until(NOW + days * DAY)
    await shop.take(merged(BEN, ANNA))
    await shop.live_until(NOW + 31 * DAY)
    assert await states(shop) == {"o-1": ("refused", "self-referral")}
    assert await points(shop, ANNA) == [0]
    await shop.take(parted(BEN, ANNA))
    assert await states(shop) == {"o-1": ("qualified", None)}
    assert await points(shop, ANNA, BEN) == [100, 50]
    await whole(shop)


async def test_an_older_purchase_under_another_id_was_bought_before(shop: Shop) -> None:
    await post(shop)
    code = (await members(shop, ANNA))[ANNA]
    await shop.take(brought(BEN, "o-1", code), bought(CARL, "o-0", days_ago=90))
    assert await states(shop) == {"o-1": ("pending", None)}
    await shop.take(merged(CARL, BEN))
    assert await states(shop) == {"o-1": ("refused", "bought-before")}
    await shop.take(parted(CARL, BEN), merged(DORA, BEN))
    assert await states(shop) == {"o-1": ("pending", None)}
    await shop.take(bought(DORA, "o-00", days_ago=70))
    assert await states(shop) == {"o-1": ("refused", "bought-before")}


@pytest.mark.parametrize("ring", [(ANNA, BEN), (ANNA, BEN, CARL, DORA)])
async def test_the_purchase_that_closes_a_circle_is_refused_in_whatever_order_it_is_heard_of(
    shop: Shop, ring: tuple[str, ...]
) -> None:
    await post(shop)
    codes = await members(shop, *ring)
    told = [brought(one, f"o-{n}", codes[ring[n - 1]], 9 - n) for n, one in enumerate(ring)]
    for one in reversed(told):
        await shop.take(one)
        await shop.job("referrals").run()
    last = f"o-{len(ring) - 1}"
    expected = {f"o-{n}": ("pending", None) for n in range(len(ring) - 1)} | {last: ("refused", "loop")}
    assert await states(shop) == expected
    await shop.take(record("purchase-cancelled", about_order("o-0", customer_id=ring[0])))
    assert (await states(shop))[last] == ("pending", None)


async def test_a_merge_that_closes_a_circle_refuses_its_last_until_it_is_undone(shop: Shop) -> None:
    await post(shop)
    codes = await members(shop, ANNA, BEN, CARL)
    await shop.take(brought(BEN, "o-1", codes[ANNA], 5), brought(CARL, "o-2", codes[BEN], 3))
    await shop.take(brought(DORA, "o-3", codes[CARL], 2))
    await states(shop)
    await shop.take(merged(DORA, ANNA))
    assert (await states(shop))["o-3"] == ("refused", "loop")
    await shop.take(parted(DORA, ANNA))
    assert {state for state, _ in (await states(shop)).values()} == {"pending"}


async def test_a_limit_counts_by_the_purchases_and_what_comes_to_nothing_frees_it(shop: Shop) -> None:
    await post(shop, limit={"count": 2, "per": "month"})
    code = (await members(shop, ANNA))[ANNA]
    await shop.take(brought(BEN, "o-1", code, 3), brought(CARL, "o-2", code, 1), brought("c-5", "o-5", code, 40))
    await shop.live_until(NOW + 20 * DAY)
    assert await points(shop, ANNA, CARL) == [300, 50]
    await shop.take(brought(DORA, "o-3", code, 2))
    expected = {"o-1": ("qualified", None), "o-2": ("refused", "limit-reached"), "o-3": ("qualified", None)}
    assert await states(shop) == {**expected, "o-5": ("qualified", None)}
    assert await points(shop, ANNA, CARL, DORA) == [300, 0, 50]
    await shop.take(back("o-1", BEN, days_ago=-20))
    assert (await states(shop))["o-2"] == ("qualified", None)
    assert await points(shop, ANNA, BEN, CARL) == [300, 0, 50]
    await whole(shop)


async def test_the_version_at_the_purchase_gives_and_one_without_the_rule_gives_nothing(shop: Shop) -> None:
    await post(shop)
    code = (await members(shop, ANNA))[ANNA]
    await shop.take(brought(BEN, "o-1", code, 2))
    await shop.post(active_from=at(1.5), rules=[], points=NO_BASE)
    await shop.take(brought(CARL, "o-2", code, 1))
    await shop.live_until(NOW + 20 * DAY)
    assert await states(shop) == {"o-1": ("qualified", None), "o-2": ("qualified", None)}
    assert await points(shop, ANNA, BEN, CARL) == [100, 50, 0]
