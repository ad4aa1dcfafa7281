"""The catalogue over HTTP."""

from datetime import timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import httpx
import pytest

from services.loyalty.ledger.reading import holder_of
from services.loyalty.rewards import application as rewards
from services.loyalty.rewards.domain import Refused, Reward
from shared.contracts.types import Money
from shared.db import fetch
from tests.integration.loyalty.shop import Shop
from tests.integration.loyalty.test_merges import NEW, OLD, bought, merged
from tests.kit.builders import NOW, at

SERVICE = "loyalty"
STAFF = "loyalty:read loyalty:write"
ZONE = ZoneInfo("Asia/Taipei")
TIN: dict[str, Any] = {"name": "Tea tin", "kind": "product", "points": 500}


async def added(http: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    answer = await http.post("/rewards", json={**TIN, **fields})
    assert answer.status_code == 201, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


async def patched(http: httpx.AsyncClient, reward: dict[str, Any], **changes: Any) -> httpx.Response:
    return await http.patch(
        f"/rewards/{reward['id']}", json=changes, headers={"If-Match": f'"{reward["version"]}"'}
    )


async def take(
    shop: Shop, reward_id: str, use_id: str | None = None, *, account: int = 1, accounts: list[int] | None = None,
    tier: str | None = None, minutes: float | None = None,
) -> Reward | str:  # fmt: skip
    """The reward as it was taken, or why it wasn't; ``minutes`` for a reservation."""
    now = shop.clock.now()
    lapses = None if minutes is None else now + timedelta(minutes=minutes)
    try:
        async with shop.db.transaction() as tx:
            return await rewards.reserve(
                tx, reward_id, use_id=use_id or uuid4().hex, account_id=account, accounts=accounts or [account],
                tier=tier, now=now, zone=ZONE, lapses_at=lapses,
            )  # fmt: skip
    except Refused as error:
        return error.refusal.code


async def test_a_change_of_price_is_a_version_and_leaves_what_was_taken_as_it_was(shop: Shop) -> None:
    async with shop.client(STAFF) as http:
        tin = await added(http)
        before = await take(shop, tin["id"], "u-1")
        dearer = (await patched(http, tin, points=900, price={"amount": "10.00", "currency": "TWD"})).json()
        assert (dearer["version"], dearer["points"]) == (2, 900)
    after = await take(shop, tin["id"], "u-2")
    assert isinstance(before, Reward)
    assert isinstance(after, Reward)
    assert (before.points, after.points, after.price) == (500, 900, Money(amount="10.00", currency="TWD"))
    async with shop.db.transaction() as tx:
        assert await rewards.as_of(tx, tin["id"], 1, NOW) == before
        assert await rewards.as_of(tx, tin["id"], None, NOW) == after
        with pytest.raises(LookupError):
            await rewards.as_of(tx, tin["id"], 3, NOW)
        uses = await fetch(tx, "SELECT use_id, version FROM reward_uses ORDER BY use_id")
        posted = await fetch(tx, "SELECT version FROM reward_versions ORDER BY version")
    assert [tuple(use) for use in uses] == [("u-1", 1), ("u-2", 2)]
    assert [row["version"] for row in posted] == [1, 2]


async def test_a_patch_needs_the_version_that_it_was_made_for(shop: Shop) -> None:
    async with shop.client(STAFF) as http:
        tin = await added(http)
        path = f"/rewards/{tin['id']}"
        assert (await http.patch(path, json={"points": 1})).status_code == 428
        assert (await patched(http, tin, points=1)).headers["ETag"] == '"2"'
        assert (await patched(http, tin, points=2)).status_code == 412
        assert (await http.get(path)).json()["points"] == 1
        # What changes nothing makes no version.
        assert (await patched(http, {**tin, "version": 2}, points=1)).headers["ETag"] == '"2"'
        wrong = await patched(http, {**tin, "version": 2}, kind="nonsense")
        assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "/kind")
        nameless = await patched(http, {**tin, "version": 2}, name=None)
        assert nameless.status_code == 422
        assert (await http.patch("/rewards/none", json={}, headers={"If-Match": "*"})).status_code == 404


async def test_a_reward_is_shown_with_everything_that_was_posted(shop: Shop) -> None:
    fields = {
        "name": "Ten percent", "kind": "coupon", "points": 100, "price": None, "stock": 5,
        "per_customer": {"count": 1, "per": "year"}, "tiers": ["gold"], "from": at(1), "until": at(-30),
        "coupon": {
            "discount": None, "percent": "10", "valid_days": 30, "bearer": False,
            "min_spend": {"amount": "500.00", "currency": "TWD"},
        },
        "fulfilment": None, "text": {"en": "Ten percent off"}, "active": True,
    }  # fmt: skip
    async with shop.client(STAFF) as http:
        shown = await added(http, **fields)
        again = (await http.get(f"/rewards/{shown['id']}")).json()
    assert shown == again
    instants = {"from": "2026-11-19T04:00:00Z", "until": "2026-12-20T04:00:00Z"}
    assert {name: shown[name] for name in fields} == {**fields, **instants}
    assert (shown["version"], shown["stock_left"]) == (1, 5)


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "coupon"},
        {"coupon": {"percent": "10", "valid_days": 30}},
        {"kind": "coupon", "coupon": {"percent": "0", "valid_days": 30}},
        {"kind": "coupon", "coupon": {"percent": "101", "valid_days": 30}},
        {"kind": "coupon", "coupon": {"valid_days": 30}},
        {"kind": "privilege", "fulfilment": {"due_days": 3}},
        {"from": at(0), "until": at(1)},
        {"points": -1},
        {"segment": "vip"},
        {"stock": -1},
    ],
)
async def test_what_makes_no_sense_is_refused(shop: Shop, fields: dict[str, Any]) -> None:
    async with shop.client(STAFF) as http:
        assert (await http.post("/rewards", json={**TIN, **fields})).status_code == 422


async def test_customers_see_what_is_active_and_change_nothing(shop: Shop) -> None:
    async with shop.client(STAFF) as http:
        shown = await added(http)
        shop.clock.set(NOW + timedelta(seconds=1))
        hidden = await added(http, active=False)
        pages = [(await http.get("/rewards", params={"limit": 1})).json()]
        pages.append((await http.get("/rewards", params={"limit": 1, "cursor": pages[0]["next_cursor"]})).json())
    assert [page["items"][0]["id"] for page in pages] == [hidden["id"], shown["id"]]
    assert pages[1]["next_cursor"] is None
    async with shop.client(STAFF, customer_id="c-1") as himself:
        assert [one["id"] for one in (await himself.get("/rewards")).json()["items"]] == [shown["id"]]
        assert (await himself.get(f"/rewards/{shown['id']}")).status_code == 200
        assert (await himself.get(f"/rewards/{hidden['id']}")).status_code == 404
        assert (await himself.post("/rewards", json=TIN)).status_code == 403
    async with shop.client("loyalty:read") as reader:
        assert (await reader.post("/rewards", json=TIN)).status_code == 403


async def test_a_customer_is_told_what_he_could_take_and_everything_that_keeps_him_from_the_rest(shop: Shop) -> None:
    await shop.post(pending_days=0, tiers=[{"name": "gold", "qualify": {"spend": "100000", "window_days": 365}}])
    await shop.take(bought(OLD, "o-1", "3000", 40), bought(NEW, "o-2", "2000", 3), merged())
    async with shop.client(STAFF) as http:
        cheap = await added(http, points=500)
        dear = await added(http, points=501, tiers=["gold"], stock=0)
        once = await added(http, points=1, per_customer={"count": 1, "per": "lifetime"})
        hidden = await added(http, active=False)
        assert (await http.get("/rewards", params={"customer_id": "nobody"})).status_code == 404
        asked = (await http.get("/rewards")).json()["items"]
        assert {one["id"]: one["customer"] for one in asked} == dict.fromkeys(
            (cheap["id"], dear["id"], once["id"], hidden["id"])
        )
        async with shop.db.transaction() as tx:
            accounts = (await holder_of(tx, OLD)).accounts
        assert isinstance(await take(shop, once["id"], account=accounts[0]), Reward)
    async with shop.client("loyalty:read", customer_id=OLD) as himself:
        answer = (await himself.get("/rewards", params={"customer_id": NEW})).json()["items"]
        assert (await himself.get("/rewards", params={"customer_id": "c-other"})).status_code == 404
    told = {one["id"]: one["customer"] for one in answer}
    assert told.keys() == {cheap["id"], dear["id"], once["id"]}
    assert told[cheap["id"]] == {"may_take": True, "refusals": [], "shortfall": 0}
    assert [one["code"] for one in told[dear["id"]]["refusals"]] == ["tier-required", "out-of-stock"]
    assert (told[dear["id"]]["may_take"], told[dear["id"]]["shortfall"]) == (False, 1)
    assert [one["code"] for one in told[once["id"]]["refusals"]] == ["limit-reached"]


async def test_a_reward_that_is_posted_again_with_its_key_is_there_once(shop: Shop) -> None:
    async with shop.client(STAFF) as http:
        key = {"Idempotency-Key": "k-1"}
        first, second = [await http.post("/rewards", json=TIN, headers=key) for _ in range(2)]
        assert first.json() == second.json()
        assert second.headers["Idempotency-Replayed"] == "true"
        assert len((await http.get("/rewards")).json()["items"]) == 1
