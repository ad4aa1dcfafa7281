"""Taking of what there is, where many do at once: stock, limits, reservations."""

import asyncio
from datetime import datetime, timedelta
from random import Random

import pytest

from services.loyalty.rewards import application as rewards
from services.loyalty.rewards.domain import Refused, Reward
from shared.db import fetch
from tests.integration.loyalty.shop import Shop
from tests.integration.loyalty.test_rewards import STAFF, ZONE, added, patched, take
from tests.kit.builders import NOW

SERVICE = "loyalty"


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
