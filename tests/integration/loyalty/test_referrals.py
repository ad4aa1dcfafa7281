"""Who brings others: personal codes, first purchases with them, what both sides have of it, and what is refused."""

from datetime import timedelta
from typing import Any

import httpx
import pytest

from services.loyalty.referrals import store
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


async def test_a_code_is_made_once_and_is_its_customer_s_alone(shop: Shop) -> None:
    await shop.take(bought(ANNA, "o-1"), bought(BEN, "o-2"))
    async with shop.client(customer_id=ANNA) as anna, shop.client(customer_id=BEN) as ben:
        path = f"/accounts/{ANNA}/referral-code"
        assert (await anna.get(path)).status_code == 404
        made = await anna.post(path, headers={"Idempotency-Key": "k-1"})
        assert made.status_code == 201, made.text
        again = await anna.post(path)
        assert (again.status_code, again.json()) == (200, made.json())
        replayed = await anna.post(path, headers={"Idempotency-Key": "k-1"})
        assert (replayed.status_code, replayed.json()) == (201, made.json())
        assert (await anna.get(path)).json() == made.json()
        assert {(await ben.get(path)).status_code, (await ben.post(path)).status_code} == {404}
        assert (await ben.post(f"/accounts/{BEN}/referral-code")).json()["code"] != made.json()["code"]
        assert (await anna.post("/accounts/nobody/referral-code")).status_code == 404


async def test_his_own_token_makes_a_code_to_read_with_and_staff_s_needs_to_write(shop: Shop) -> None:
    await shop.take(bought(ANNA, "o-1"))
    path = f"/accounts/{ANNA}/referral-code"
    async with shop.client() as reader:
        refused = await reader.post(path)
        assert (refused.status_code, refused.json()["code"]) == (403, "insufficient-scope")
        assert (await reader.get(path)).status_code == 404
    async with shop.client("loyalty:read loyalty:write") as staff:
        assert (await staff.post("/accounts/nobody/referral-code")).status_code == 404
        made = await staff.post(path)
        assert (made.status_code, made.json()["customer_id"]) == (201, ANNA)
    async with shop.client(customer_id=ANNA) as anna:
        again = await anna.post(path)
        assert (again.status_code, again.json()) == (200, made.json())


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


async def test_a_code_that_was_made_after_it_was_used_counts(shop: Shop) -> None:
    await post(shop)
    await members(shop, BEN)
    code = await code_of(shop, BEN)
    async with shop.db.transaction() as tx:
        await tx.execute("DELETE FROM referral_codes")
    await shop.take(brought(CARL, "o-1", code))
    assert await states(shop) == {"o-1": ("refused", "unknown-code")}
    assert await code_of(shop, BEN) == code
    assert await states(shop) == {"o-1": ("pending", None)}


async def test_the_version_at_the_purchase_gives_and_one_without_the_rule_gives_nothing(shop: Shop) -> None:
    await post(shop)
    code = (await members(shop, ANNA))[ANNA]
    await shop.take(brought(BEN, "o-1", code, 2))
    await shop.post(active_from=at(1.5), rules=[], points=NO_BASE)
    await shop.take(brought(CARL, "o-2", code, 1))
    await shop.live_until(NOW + 20 * DAY)
    assert await states(shop) == {"o-1": ("qualified", None), "o-2": ("qualified", None)}
    assert await points(shop, ANNA, BEN, CARL) == [100, 50, 0]


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


@pytest.mark.parametrize(
    ("rule", "pointer"),
    [
        ({"effect": {"bonus": 5}}, "/rules/0/effect"),
        ({"effect": {"referrer": {"bonus": 5}, "multiply": "2"}}, "/rules/0/effect"),
        ({"effect": {"referrer": {"bonus": 0}}}, "/rules/0/effect/referrer/bonus"),
        ({"when": {"category": ["tea"]}}, "/rules/0/when"),
        ({"cap": {"points": 5, "per": "day"}}, "/rules/0/cap"),
        ({"limit": {"count": 0, "per": "day"}}, "/rules/0/limit/count"),
        ({"on": "purchase"}, "/rules/0/effect"),
        ({"on": "purchase", "effect": {"bonus": 5}, "limit": {"count": 1, "per": "day"}}, "/rules/0/limit"),
    ],
)
async def test_a_rule_on_referrals_says_what_it_may_and_nothing_else(
    shop: Shop, rule: dict[str, Any], pointer: str
) -> None:
    async with shop.client("loyalty:read loyalty:write") as http:
        answer = await posted(http, [{**RULE, **rule}])
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer), answer.text
        assert (await posted(http, [RULE, {**RULE, "id": "more"}])).status_code == 422
        good = await posted(http, [{**RULE, "limit": {"count": 3, "per": "year"}}])
        assert (good.status_code, good.json()["not_yet_evaluated"]) == (201, []), good.text


async def posted(http: httpx.AsyncClient, rules: list[dict[str, Any]]) -> httpx.Response:
    body = {
        "name": "house", "currency": "TWD", "active_from": at(0), "points": {"award": 1, "per": money("10.00")},
        "pending_days": 14, "expiry": {"kind": "never"}, "rules": rules,
    }  # fmt: skip
    return await http.post("/programmes", json=body)
