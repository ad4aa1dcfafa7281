"""Trying tiers: who would move, and that nothing does."""

from typing import Any

from services.loyalty.tiers import preview
from shared.db import fetch
from tests.integration.loyalty.shop import Shop
from tests.integration.loyalty.test_merges import NEW, OLD, bought, merged
from tests.kit.builders import line, record

SERVICE = "loyalty"
STAFF = "loyalty:read loyalty:write"


def silver(spend: str, name: str = "silver") -> dict[str, Any]:
    return {"name": name, "qualify": {"spend": spend, "window_days": 365}}


async def draft(shop: Shop, **changes: Any) -> dict[str, Any]:
    async with shop.client() as http:
        body = (await http.get("/programmes/current")).json()
    for name in ("version", "posted_at", "not_yet_evaluated"):
        del body[name]
    return {**body, **changes}


async def furnished(shop: Shop) -> None:
    """Five customers with 1000 to 5000, one of them two ids; and one who was erased."""
    await shop.post(tiers=[silver("2500")])
    await shop.take(*(bought(f"c-{n}", f"o-{n}", f"{n}000") for n in (1, 2, 3, 4)))
    await shop.take(bought(OLD, "o-5", "2000"), bought(NEW, "o-6", "3000"), merged())
    await shop.take(bought("c-gone", "o-7", "9000"))
    await shop.take(record("customer-erased", {
        "customer_id": "erasure-1", "sequence": 1, "caused_by": {"source": "/roost/profile/erasures", "id": "e-1"},
        "erasure_id": "e-1", "customer_ids": ["c-gone"], "occurred_at": "2026-11-20T04:00:00Z",
    }))  # fmt: skip
    await shop.job("tiers").run()


async def everything(shop: Shop) -> list[list[tuple[Any, ...]]]:
    tables = ("programmes", "accounts", "lots", "ledger", "tiers", "tier_passes", "outbox", "idempotency_keys")
    async with shop.db.transaction() as tx:
        return [[tuple(row) for row in await fetch(tx, f"SELECT * FROM {table} ORDER BY 1")] for table in tables]


async def test_it_counts_who_would_move_from_which_tier_to_which_and_names_them(shop: Shop) -> None:
    await furnished(shop)
    before = await everything(shop)
    body = await draft(shop, tiers=[silver("3500"), silver("4500", "gold")])
    async with shop.client(STAFF) as http:
        answer = await http.post("/tiers/preview", json=body)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["customers"] == [
        {"from": None, "to": None, "customers": 2},
        {"from": "silver", "to": None, "customers": 1},
        {"from": "silver", "to": "gold", "customers": 1},
        {"from": "silver", "to": "silver", "customers": 1},
    ]
    assert {one["customer_id"]: (one["from"], one["to"]) for one in told["items"]} == {
        "c-3": ("silver", None),
        NEW: ("silver", "gold"),
    }
    assert (told["next_cursor"], told["programme_version"]) == (None, 2)
    assert await everything(shop) == before


async def test_what_it_foretells_is_what_happens_when_the_version_is_posted(shop: Shop) -> None:
    await furnished(shop)
    tiers = [{"name": "new", "qualify": {"points": 250, "orders": 1, "calendar": "year"}}]
    async with shop.client(STAFF) as http:
        told = (await http.post("/tiers/preview", json=await draft(shop, tiers=tiers))).json()
    news = len(await shop.published("tier-changed"))
    await shop.post(tiers=tiers)
    await shop.job("tiers").run()
    moved = (await shop.published("tier-changed"))[news:]
    assert {one["customer_id"]: (one["from"], one["to"]) for one in told["items"]} == {
        one["customer_id"]: (one.get("from_tier"), one.get("to_tier"))
        for one in moved
        if not one["customer_id"].startswith("erased~")
    }


async def test_a_draft_in_another_currency_counts_what_was_paid_in_that(shop: Shop) -> None:
    await furnished(shop)
    await shop.take(bought("c-1", "o-8", "900", 3, currency="USD", lines=[line(amount="900", currency="USD")]))
    per = {"award": 1, "per": {"amount": "1.00", "currency": "USD"}, "base": "paid", "rounding": "floor"}
    async with shop.client(STAFF) as http:
        body = await draft(shop, currency="USD", points=per, tiers=[silver("500")], rules=[])
        told = (await http.post("/tiers/preview", json=body)).json()
    assert {one["customer_id"]: (one["from"], one["to"]) for one in told["items"]} == {
        "c-1": (None, "silver"), "c-3": ("silver", None), "c-4": ("silver", None), NEW: ("silver", None),
    }  # fmt: skip


async def test_pages_go_on_after_each_other_whatever_the_batch(shop: Shop, monkeypatch: Any) -> None:
    await furnished(shop)
    monkeypatch.setattr(preview, "BATCH", 2)
    body = await draft(shop, tiers=[silver("500", "bronze")])
    seen: list[str] = []
    cursor: str | None = None
    async with shop.client(STAFF) as http:
        while True:
            asked: dict[str, Any] = {"limit": 2, **({"cursor": cursor} if cursor else {})}
            told = (await http.post("/tiers/preview", params=asked, json=body)).json()
            assert (told["customers"] is None) == (cursor is not None)
            seen += [one["customer_id"] for one in told["items"]]
            cursor = told["next_cursor"]
            if cursor is None:
                break
    assert sorted(seen) == ["c-1", "c-2", "c-3", "c-4", NEW]


async def test_a_draft_has_to_be_valid_and_only_staff_may_try_one(shop: Shop) -> None:
    await furnished(shop)
    async with shop.client(STAFF) as http:
        refused = await http.post("/tiers/preview", json=await draft(shop, tiers=[silver("0")]))
        assert [error["pointer"] for error in refused.json()["errors"]] == ["/tiers/0/qualify/spend"]
        unasked = {"name": "silver", "qualify": {"window_days": 30}}
        refused = await http.post("/tiers/preview", json=await draft(shop, tiers=[unasked]))
        assert [error["pointer"] for error in refused.json()["errors"]] == ["/tiers/0/qualify"]
    async with shop.client(STAFF, customer_id="c-1") as himself:
        assert (await himself.post("/tiers/preview", json=await draft(shop))).status_code == 403
