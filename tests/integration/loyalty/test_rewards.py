"""The catalogue over HTTP, and taking of it where many do at once."""

import asyncio
from datetime import datetime, timedelta
from random import Random
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


async def given_back(shop: Shop, *uses: str) -> int:
    async with shop.db.transaction() as tx:
        return await rewards.release(tx, *uses)


async def settled(shop: Shop, use_id: str) -> bool:
    try:
        async with shop.db.transaction() as tx:
            await rewards.settle(tx, use_id, shop.clock.now())
    except Refused as error:
        if error.refusal.code != "hold-expired":
            raise
        return False
    return True


async def left(shop: Shop, reward_id: str) -> int | None:
    async with shop.db.transaction() as tx:
        return (await rewards.offer(tx, reward_id, shop.clock.now())).stock_left


async def test_of_fifty_at_once_seven_get_the_last_seven(shop: Shop) -> None:
    async with shop.client(STAFF) as http:
        tin = await added(http, stock=7)
    outcomes = await asyncio.gather(*(take(shop, tin["id"], account=n) for n in range(50)))
    assert sum(isinstance(one, Reward) for one in outcomes) == 7
    assert {one for one in outcomes if isinstance(one, str)} == {"out-of-stock"}
    assert await left(shop, tin["id"]) == 0
    async with shop.db.transaction() as tx:
        assert (await fetch(tx, "SELECT count(*) AS uses FROM reward_uses"))[0]["uses"] == 7


async def test_what_many_take_and_give_back_at_once_is_all_there_again(shop: Shop) -> None:
    async with shop.client(STAFF) as http:
        tin = await added(http, stock=5)

    async def taken_and_given_back(n: int) -> None:
        use = f"u-{n}"
        if isinstance(await take(shop, tin["id"], use, account=n, minutes=5), Reward):
            # Twice, at once: it counts once.
            assert sum(await asyncio.gather(given_back(shop, use), given_back(shop, use))) == 1

    await asyncio.gather(*(taken_and_given_back(n) for n in range(40)))
    assert await left(shop, tin["id"]) == 5


async def test_stock_that_is_changed_while_many_take_it_loses_and_invents_nothing(shop: Shop) -> None:
    async with shop.client(STAFF) as http:
        tin = await added(http, stock=20)

        async def restocked(stock: int) -> int:
            answer = await http.patch(f"/rewards/{tin['id']}", json={"stock": stock}, headers={"If-Match": "*"})
            assert answer.status_code == 200 or answer.json()["code"] == "stock-taken"
            return stock

        takes = [take(shop, tin["id"], account=n) for n in range(40)]
        outcomes = await asyncio.gather(*takes, *map(restocked, (25, 12, 30, 18)))
        taken = sum(isinstance(one, Reward) for one in outcomes)
        shown = (await http.get(f"/rewards/{tin['id']}")).json()
    assert 0 < taken <= 30
    assert shown["stock_left"] == shown["stock"] - taken


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_is_taken_reserved_settled_and_given_back_the_stock_is_what_nobody_has(
    shop: Shop, seed: int
) -> None:
    chance = Random(seed)
    async with shop.client(STAFF) as http:
        tin = await added(http, stock=4)
    # What each use has, and until when: None for good.
    live: dict[str, datetime | None] = {}
    every: list[str] = []

    def expire() -> None:
        for use in [use for use, until in live.items() if until is not None and until <= shop.clock.now()]:
            del live[use]

    for step in range(60):
        match chance.choice(["take", "reserve", "reserve", "settle", "release", "wait"]):
            case "take" | "reserve" as how:
                minutes = chance.randint(1, 20) if how == "reserve" else None
                outcome = await take(shop, tin["id"], f"u-{step}", minutes=minutes)
                assert outcome == "out-of-stock" if len(live) == 4 else isinstance(outcome, Reward)
                if isinstance(outcome, Reward):
                    every.append(f"u-{step}")
                    live[f"u-{step}"] = shop.clock.now() + timedelta(minutes=minutes) if minutes else None
            case "settle" if every:
                use = chance.choice(every)
                assert await settled(shop, use) == (use in live)
                if use in live:
                    live[use] = None
            case "release" if every:
                use = chance.choice(every)
                # One that lapsed and that nobody has taken over may be written down by this.
                given = await given_back(shop, use)
                assert given == 1 if use in live else given in (0, 1)
                live.pop(use, None)
            case "wait":
                shop.clock.set(shop.clock.now() + timedelta(minutes=chance.randint(1, 10)))
                expire()
        assert await left(shop, tin["id"]) == 4 - len(live)


async def test_a_reward_without_stock_has_no_end_and_is_not_waited_for(shop: Shop) -> None:
    async with shop.client(STAFF) as http:
        tin = await added(http)
    async with shop.db.transaction() as tx:
        named = {"account_id": 1, "accounts": [1], "tier": None, "now": NOW, "zone": ZONE}
        await rewards.reserve(tx, tin["id"], use_id="u-open", **named)  # type: ignore[arg-type]
        # The first is still open: a lock on the reward would never be given.
        assert isinstance(await asyncio.wait_for(take(shop, tin["id"], account=2), 5), Reward)
    assert await left(shop, tin["id"]) is None


async def test_a_customer_takes_no_more_than_his_limit_in_a_period_under_all_his_ids(shop: Shop) -> None:
    async with shop.client(STAFF) as http:
        tin = await added(http, per_customer={"count": 2, "per": "month"})
    assert isinstance(await take(shop, tin["id"], account=1), Reward)
    assert isinstance(await take(shop, tin["id"], account=2), Reward)
    assert await take(shop, tin["id"], account=1, accounts=[1, 2]) == "limit-reached"
    assert isinstance(await take(shop, tin["id"], account=3), Reward)
    shop.clock.set(NOW + timedelta(days=11))
    assert isinstance(await take(shop, tin["id"], account=1, accounts=[1, 2]), Reward)


async def test_what_is_given_back_counts_neither_for_the_stock_nor_for_the_limit(shop: Shop) -> None:
    async with shop.client(STAFF) as http:
        tin = await added(http, stock=1, per_customer={"count": 1, "per": "lifetime"})
    assert isinstance(await take(shop, tin["id"], "u-1"), Reward)
    assert await take(shop, tin["id"]) == "limit-reached"
    assert await take(shop, tin["id"], account=2) == "out-of-stock"
    assert await given_back(shop, "u-1") == 1
    assert await given_back(shop, "u-1") == 0
    assert isinstance(await take(shop, tin["id"]), Reward)
    assert await left(shop, tin["id"]) == 0


async def test_a_reservation_that_lapses_is_as_none_though_nobody_sweeps(shop: Shop) -> None:
    async with shop.client(STAFF) as http:
        tin = await added(http, stock=1, per_customer={"count": 1, "per": "lifetime"})
    assert isinstance(await take(shop, tin["id"], "u-1", minutes=10), Reward)
    assert await take(shop, tin["id"], account=2) == "out-of-stock"
    shop.clock.set(NOW + timedelta(minutes=10))
    assert await left(shop, tin["id"]) == 1
    outcomes = await asyncio.gather(*(take(shop, tin["id"], f"n-{n}", account=n) for n in range(8)))
    assert sum(isinstance(one, Reward) for one in outcomes) == 1
    assert not await settled(shop, "u-1")
    assert await given_back(shop, "u-1") == 0
    assert await left(shop, tin["id"]) == 0


async def test_a_reservation_that_is_settled_does_not_lapse(shop: Shop) -> None:
    async with shop.client(STAFF) as http:
        tin = await added(http, stock=1)
    assert isinstance(await take(shop, tin["id"], "u-1", minutes=10), Reward)
    assert await settled(shop, "u-1")
    shop.clock.set(NOW + timedelta(days=1))
    assert await take(shop, tin["id"], account=2) == "out-of-stock"
    assert await given_back(shop, "u-1") == 1
    assert not await settled(shop, "u-1")
    assert await left(shop, tin["id"]) == 1


async def test_only_the_tiers_it_is_for_get_it(shop: Shop) -> None:
    async with shop.client(STAFF) as http:
        tin = await added(http, tiers=["gold"])
    assert await take(shop, tin["id"]) == "tier-required"
    assert isinstance(await take(shop, tin["id"], tier="gold"), Reward)


async def test_stock_is_all_there_ever_was_whatever_was_taken_while_it_changed(shop: Shop) -> None:
    async with shop.client(STAFF) as http:
        tin = await added(http, stock=3)
        assert isinstance(await take(shop, tin["id"], account=1), Reward)
        assert isinstance(await take(shop, tin["id"], "u-2", account=2), Reward)
        more = (await patched(http, tin, stock=10)).json()
        assert (more["stock"], more["stock_left"]) == (10, 8)
        fewer = await patched(http, more, stock=1)
        assert (fewer.status_code, fewer.json()["code"], fewer.json()["taken"]) == (409, "stock-taken", 2)
        endless = (await patched(http, more, stock=None)).json()
        assert (endless["stock"], endless["stock_left"]) == (None, None)
        assert isinstance(await take(shop, tin["id"], account=3), Reward)
        assert await given_back(shop, "u-2") == 1
        again = (await patched(http, endless, stock=4)).json()
        assert (again["stock"], again["stock_left"]) == (4, 3)


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
