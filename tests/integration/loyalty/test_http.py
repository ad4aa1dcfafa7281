"""What loyalty answers, and to whom."""

from typing import Any

import httpx
import pytest

from services.loyalty.ledger.domain import BOOKS
from shared.http.pagination import encode_cursor
from tests.integration.loyalty.shop import Shop
from tests.integration.loyalty.test_ledger import without_triggers
from tests.kit.builders import NOW, line, purchase, record, returned
from tests.kit.databases import TestDatabase

SERVICE = "loyalty"
STAFF = "loyalty:read loyalty:write"
OWN = ["", "/balance", "/entries", "/lots", "/explanation"]
OF_STAFF = ["/programmes", "/ledger/verification"]

PROGRAMME: dict[str, Any] = {
    "name": "house",
    "currency": "TWD",
    "active_from": "2026-01-01T00:00:00+08:00",
    "points": {"award": 1, "per": {"amount": "10.00", "currency": "TWD"}, "base": "paid", "rounding": "floor"},
    "pending_days": 14,
    "expiry": {"kind": "rolling", "months": 12},
    "rules": [
        {
            "id": "tea-doubles",
            "order": 10,
            "on": "purchase",
            "when": {"category": ["tea"]},
            "effect": {"multiply": "2"},
            "text": {"zh-CN": "茶叶双倍积分", "en": "Double points on tea"},
            "cap": {"points": 500, "per": "month", "scope": "customer"},
        },
        {"id": "first-order", "order": 20, "on": "first-purchase", "effect": {"bonus": 100}},
    ],
    "tiers": [
        {
            "name": "silver",
            "qualify": {"spend": "5000.00", "window_days": 365},
            "multiply": "1.1",
            "privileges": [{"code": "free-shipping"}, {"code": "discount", "percent": "5"}],
        }
    ],
    "tier_grace_days": 30,
}


async def shopped(shop: Shop) -> None:
    """c-1 bought tea for 6000 a month ago, and cups for 1000 today of which a tenth came back; c-2 a bit."""
    tea = [line(amount="6000", category="tea")]
    cups = [line(amount="100", quantity=10)]
    await shop.take(
        record("purchase-recorded", purchase("c-1", "o-1", total="6000", days_ago=30, lines=tea)),
        record("purchase-recorded", purchase("c-1", "o-2", total="1000", days_ago=1, lines=cups)),
        record("purchase-returned", returned("o-2", customer_id="c-1")),
        record("purchase-recorded", purchase("c-2", "o-3")),
    )


async def get(shop: Shop, path: str, **params: Any) -> Any:
    async with shop.client() as client:
        response = await client.get(path, params=params)
    assert response.status_code == 200, response.text
    return response.json()


@pytest.mark.parametrize("path", [*(f"/accounts/c-1{path}" for path in OWN), *OF_STAFF, "/programmes/current"])
async def test_reading_needs_a_token_with_the_scope(shop: Shop, path: str) -> None:
    async with shop.client(None) as nobody, shop.client("profile:read") as stranger:
        assert (await nobody.get(path)).status_code == 401
        assert (await stranger.get(path)).status_code == 403


async def test_posting_a_programme_needs_the_scope_to_write_and_no_customer_may(shop: Shop) -> None:
    async with shop.client(None) as nobody, shop.client() as reader, shop.client(STAFF, "c-1") as customer:
        assert (await nobody.post("/programmes", json=PROGRAMME)).status_code == 401
        assert (await reader.post("/programmes", json=PROGRAMME)).status_code == 403
        assert (await customer.post("/programmes", json=PROGRAMME)).status_code == 403


async def test_a_customer_sees_his_own_account_alone_and_no_list(shop: Shop) -> None:
    await shopped(shop)
    async with shop.client(customer_id="c-1") as customer:
        for path in OWN:
            assert (await customer.get(f"/accounts/c-1{path}")).status_code == 200
            assert (await customer.get(f"/accounts/c-2{path}")).status_code == 404
        for path in OF_STAFF:
            assert (await customer.get(path)).status_code == 403
        assert (await customer.get("/programmes/current")).status_code == 200


@pytest.mark.parametrize("path", OWN)
async def test_an_account_that_loyalty_has_never_heard_of_is_not_found(shop: Shop, path: str) -> None:
    async with shop.client() as client:
        assert (await client.get(f"/accounts/c-404{path}")).status_code == 404


async def test_an_account_shows_points_tier_and_the_next_expiry(shop: Shop) -> None:
    await shopped(shop)
    assert await get(shop, "/accounts/c-1") == {
        "customer_id": "c-1",
        "merged_into": None,
        "available": 1100,
        "pending": 90,
        "held": 0,
        "debt": 0,
        "lifetime_earned": 1190,
        "tier": {
            "name": "silver",
            "since": "2026-10-21T04:00:00Z",
            "progress": {
                "spend": {"amount": "6900.00", "currency": "TWD"},
                "next": None,
                "missing": None,
                "measures": [{"measure": "spend", "reached": 690_000, "asked": 500_000, "missing": 0}],
            },
            "projected": {"name": None, "at": "2027-11-20T04:00:00Z"},
        },
        "expiring": {"next_at": "2027-10-21T04:00:00Z", "points": 1100},
    }
    assert (await get(shop, "/accounts/c-2"))["tier"] is None


async def test_entries_come_in_pages_and_as_of_an_instant(shop: Shop) -> None:
    await shopped(shop)
    first = await get(shop, "/accounts/c-1/entries", limit=2)
    second = await get(shop, "/accounts/c-1/entries", limit=2, cursor=first["next_cursor"])
    entries = [*first["items"], *second["items"]]
    assert [(e["seq"], e["kind"], e["debit"], e["credit"], e["points"]) for e in entries] == [
        (3, "earned", "issued", "pending", 90),
        (2, "released", "pending", "available", 1100),
        (1, "earned", "issued", "pending", 1100),
    ]
    assert second["next_cursor"] is None
    then = await get(shop, "/accounts/c-1/entries", as_of="2026-11-01T00:00:00Z")
    assert [entry["seq"] for entry in then["items"]] == [1]
    unknown = await get(shop, "/accounts/c-1/entries", known_by="2026-11-01T00:00:00Z")
    assert unknown["items"] == []


async def test_lots_tell_where_each_orders_points_are(shop: Shop) -> None:
    await shopped(shop)
    lots = (await get(shop, "/accounts/c-1/lots"))["items"]
    assert [(lot["order_id"], lot["points"], lot["reversed"], lot["state"]) for lot in lots] == [
        ("o-2", 90, 10, "pending"),
        ("o-1", 1100, 0, "available"),
    ]


async def test_the_leaves_of_an_explanation_sum_to_the_balance(shop: Shop) -> None:
    await shopped(shop)
    tree = await get(shop, "/accounts/c-1/explanation")
    assert (tree["available"], tree["pending"]) == (1100, 90)
    assert sum(leaf["points"] for order in tree["orders"] for leaf in order["leaves"]) == 1190
    doubled = tree["orders"][0]["leaves"][1]
    assert doubled["text"]["zh-CN"] == "茶叶双倍积分"
    assert [doubled[name] for name in ("rule", "exact", "wanted", "awarded", "points")] == [
        "tea-doubles", "600", 600, 500, 500,
    ]  # fmt: skip


async def test_a_fresh_system_has_one_programme_since_1970(shop: Shop) -> None:
    current = await get(shop, "/programmes/current")
    assert (current["version"], current["active_from"], current["currency"]) == (1, "1970-01-01T00:00:00Z", "TWD")
    assert [version["version"] for version in (await get(shop, "/programmes"))["items"]] == [1]


async def test_a_posted_programme_is_the_next_version_and_judges_from_its_start(shop: Shop) -> None:
    async with shop.client(STAFF) as client:
        posted = await client.post("/programmes", json=PROGRAMME)
    assert posted.status_code == 201, posted.text
    assert (posted.json()["version"], posted.json()["rules"], posted.json()["tiers"]) == (
        2,
        PROGRAMME["rules"],
        PROGRAMME["tiers"],
    )
    assert (await get(shop, "/programmes/current"))["version"] == 2
    await shop.take(record("purchase-recorded", purchase("c-1", "o-1")))
    assert (await get(shop, "/accounts/c-1"))["pending"] == 110


async def test_rules_on_occasions_are_kept_as_posted_and_purchases_earn_as_without_them(shop: Shop) -> None:
    others = [
        {"id": "birthday", "order": 30, "on": "birthday", "effect": {"bonus": 200}},
        {"id": "we-are-sorry", "order": 40, "on": "complaint-resolved", "effect": {"bonus": 50}},
    ]
    asked = {**PROGRAMME, "rules": [*PROGRAMME["rules"], *others], "budget": {"points": 1_000_000, "per": "month"}}
    async with shop.client(STAFF) as client:
        posted = await client.post("/programmes", json=asked)
    assert posted.status_code == 201, posted.text
    assert posted.json()["not_yet_evaluated"] == []
    assert {name: posted.json()[name] for name in asked} == asked
    assert await get(shop, "/programmes/current") == posted.json()
    await shop.take(record("purchase-recorded", purchase("c-1", "o-1")))
    assert (await get(shop, "/accounts/c-1"))["pending"] == 110


async def test_a_programme_sent_again_with_its_key_is_posted_once(shop: Shop) -> None:
    async with shop.client(STAFF) as client:
        headers = {"Idempotency-Key": "k-1"}
        first = await client.post("/programmes", json=PROGRAMME, headers=headers)
        again = await client.post("/programmes", json=PROGRAMME, headers=headers)
        other = await client.post("/programmes", json={**PROGRAMME, "pending_days": 1}, headers=headers)
    assert (again.status_code, again.json(), other.status_code) == (201, first.json(), 422)
    assert len((await get(shop, "/programmes"))["items"]) == 2


def refused(response: httpx.Response) -> list[str]:
    assert response.status_code == 422, response.text
    return [error["pointer"] for error in response.json()["errors"]]


async def test_conditions_of_a_rule_are_kept_as_they_were_posted_and_judge_what_is_bought(shop: Shop) -> None:
    when = {"weekday": ["friday"], "channel": ["store"], "store": ["west"], "days": {"from": "2026-11-01"},
            "sku": ["sku-1"], "paid_at_least": "100.00"}  # fmt: skip
    rule = {"id": "fridays", "order": 1, "on": "purchase", "when": when, "effect": {"bonus": 30}, "group": "week"}
    async with shop.client(STAFF) as client:
        posted = await client.post("/programmes", json={**PROGRAMME, "rules": [rule]})
        assert (posted.status_code, posted.json()["rules"]) == (201, [rule])
    # NOW is a Friday noon of the house.
    bought_ = [purchase("c-1", "o-1", total="100", days_ago=0, store="west"),
               purchase("c-2", "o-2", total="100", days_ago=0, store="east"),
               purchase("c-3", "o-3", total="99", days_ago=0, store="west")]  # fmt: skip
    await shop.take(*(record("purchase-recorded", data) for data in bought_))
    pending = [(await get(shop, f"/accounts/{who}"))["pending"] for who in ("c-1", "c-2", "c-3")]
    assert pending == [40, 10, 9]


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"currency": "XYZ"}, "/currency"),
        ({"active_from": "2026-01-01T00:00:00"}, "/active_from"),
        ({"points": {"award": 1, "per": {"amount": "0", "currency": "TWD"}}}, "/points/per"),
        ({"points": {"award": 1, "per": {"amount": "NaN", "currency": "TWD"}}}, "/points/per/amount"),
        ({"points": {"award": 1, "per": {"amount": "10.00", "currency": "CNY"}}}, "/points/per/currency"),
        ({"expiry": {"kind": "rolling", "months": 0}}, "/expiry/months"),
        ({"expiry": {"kind": "rolling", "months": 1}, "pending_days": 60}, "/expiry/months"),
        ({"rules": [{**PROGRAMME["rules"][0], "on": "full-moon"}]}, "/rules/0/on"),
        ({"rules": [{**PROGRAMME["rules"][0], "when": {"colour": ["a"]}}]}, "/rules/0/when/colour"),
        ({"rules": [{**PROGRAMME["rules"][0], "when": {}}]}, "/rules/0/when"),
        ({"rules": [{**PROGRAMME["rules"][0], "when": {"category": None}}]}, "/rules/0/when"),
        ({"rules": [{**PROGRAMME["rules"][0], "when": {"channel": ["fax"]}}]}, "/rules/0/when/channel/0"),
        ({"rules": [{**PROGRAMME["rules"][0], "when": {"weekday": ["tea-day"]}}]}, "/rules/0/when/weekday/0"),
        ({"rules": [{**PROGRAMME["rules"][0], "when": {"days": {}}}]}, "/rules/0/when/days"),
        ({"rules": [{**PROGRAMME["rules"][0], "when": {"days": {"from": "2026-02-30"}}}]}, "/rules/0/when/days/from"),
        ({"rules": [{**PROGRAMME["rules"][0], "when": {"days": {"from": "2026-03-02", "to": "2026-03-02"}}}]},
         "/rules/0/when/days"),
        ({"rules": [{**PROGRAMME["rules"][0], "when": {"paid_at_least": "1.001"}}]}, "/rules/0/when/paid_at_least"),
        ({"rules": [{**PROGRAMME["rules"][0], "group": "a b"}]}, "/rules/0/group"),
        ({"rules": [{**PROGRAMME["rules"][0], "effect": {"multiply": "0.5"}}]}, "/rules/0/effect/multiply"),
        ({"rules": [{**PROGRAMME["rules"][0], "effect": {}}]}, "/rules/0/effect"),
        ({"rules": [PROGRAMME["rules"][0]] * 2}, "/rules/1/id"),
        ({"tiers": [{"name": "a", "qualify": {"spend": "1.001", "window_days": 3}}]}, "/tiers/0/qualify/spend"),
        ({"budget": {"points": 1_000_000, "per": "fortnight"}}, "/budget/per"),
        ({"colour": "red"}, "/colour"),
    ],
)
async def test_what_is_not_valid_is_refused_by_its_field(
    shop: Shop, changes: dict[str, Any], pointer: str
) -> None:
    async with shop.client(STAFF) as client:
        assert pointer in refused(await client.post("/programmes", json={**PROGRAMME, **changes}))
    assert len((await get(shop, "/programmes"))["items"]) == 1


async def test_verification_says_that_all_is_well_or_names_the_first_bad_entry(
    shop: Shop, test_database: TestDatabase
) -> None:
    await shopped(shop)
    assert await get(shop, "/ledger/verification") == {
        "ok": True,
        "entries": 4,
        "accounts": 2,
        "books": {**dict.fromkeys(BOOKS, 0), "pending": 100, "available": 1100, "issued": -1200},
        "sum": 0,
    }
    async with without_triggers(test_database) as owner:
        await owner.execute("UPDATE ledger SET points = 7 WHERE source_id = 'o-3'")
    async with shop.client() as client:
        problem = await client.get("/ledger/verification")
    assert (problem.status_code, problem.json()["code"]) == (409, "ledger-broken")
    assert problem.json()["first_bad_entry"] == {
        "customer_id": "c-2",
        "seq": 1,
        "reason": "its content and its hash disagree",
    }


@pytest.mark.parametrize(
    "path",
    [
        "/accounts/c-1/entries?as_of=0001-01-01T00:00:00%2B14:00",
        "/accounts/c-1/entries?known_by=9999-12-31T23:59:59-12:00",
        f"/accounts/c-1/entries?cursor={encode_cursor((NOW, -(2**40), 2**40))}",
        f"/programmes?cursor={encode_cursor((2**40,))}",
    ],
)
async def test_what_no_column_can_hold_is_a_page_without_items_or_refused(shop: Shop, path: str) -> None:
    await shopped(shop)
    async with shop.client() as client:
        assert (await client.get(path)).status_code in (200, 422)


async def test_the_largest_orders_add_up_past_what_one_event_may_carry(shop: Shop) -> None:
    most = "999999999999999"
    orders = [purchase("c-1", f"o-{n}", total=most, days_ago=n) for n in range(2)]
    await shop.take(*(record("purchase-recorded", order) for order in orders))
    account = await get(shop, "/accounts/c-1")
    assert account["tier"]["progress"]["spend"] == {"amount": "1999999999999998.00", "currency": "TWD"}
