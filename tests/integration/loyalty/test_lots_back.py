"""Whatever is used, held, given and taken back: a lot's points keep its dates, and none is used after its last."""

import asyncio
import random
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.integration.loyalty.shop import Shop
from tests.integration.loyalty.test_redemptions import C, books, bought, held, lots, made, post, tables, whole
from tests.integration.loyalty.test_redemptions import staff as staff
from tests.kit.builders import NOW

SERVICE = "loyalty"
SEEDS = 5
DAY = timedelta(days=1)
INSTANT = timedelta(microseconds=1)
PEOPLE = ("c-1", "c-2", "c-3")


async def balances(shop: Shop, customer: str = C) -> list[Any]:
    """What he would have in the next thirteen months if nothing happened."""
    return [await shop.balance(customer, NOW + days * DAY) for days in range(0, 400, 25)]


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_all_that_was_used_and_held_taken_back_in_any_order_leaves_every_lot_and_its_future_as_they_were(
    shop: Shop, staff: httpx.AsyncClient, seed: int
) -> None:
    rng = random.Random(seed)
    await shop.take(*(bought(C, f"o-{n}", "1000", rng.uniform(0, 350)) for n in range(8)))
    before = await lots(shop), await balances(shop), await shop.state_hash()
    undo: list[tuple[str, Any]] = []
    for _ in range(14):
        points = rng.choice((5, 30, 77))
        if rng.random() < 0.5:
            answer = await post(staff, "/redemptions", {"customer_id": C, "points": points})
            if answer.status_code == 201:
                undo.append((f"/redemptions/{answer.json()['id']}/rollback", {"reason": "?"}))
        elif (await books(shop)).get("available", 0) >= points:
            hold = await held(staff, points, ttl=86_400)
            for part in rng.sample((1, 3, 5), rng.randint(0, 2)):
                if part < points:
                    done = await made(staff, f"/holds/{hold['id']}/commit", {"points": part})
                    undo.append((f"/redemptions/{done['id']}/rollback", {"reason": "?"}))
            undo.append((f"/holds/{hold['id']}/void", {}))
    assert len(undo) > 4
    assert await lots(shop) != before[0]
    rng.shuffle(undo)
    for path, body in undo:
        await made(staff, path, body)
    assert (await lots(shop), await balances(shop), await shop.state_hash()) == before
    await whole(shop)


async def points_by_date(shop: Shop) -> Counter[tuple[str, str]]:
    """How many points anybody may use from when and until when."""
    found: Counter[tuple[str, str]] = Counter()
    for one in PEOPLE:
        for lot in await lots(shop, one):
            found[lot["available_from"], lot["expires_at"]] += lot["free"]
    return +found


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_points_that_wander_from_one_to_another_keep_their_dates_whoever_has_them(
    shop: Shop, staff: httpx.AsyncClient, seed: int
) -> None:
    rng = random.Random(seed)
    await shop.take(*(bought(rng.choice(PEOPLE), f"o-{n}", "300", rng.uniform(20, 350)) for n in range(9)))
    await shop.take(*(bought(one, f"own-{one}", "10", 30) for one in PEOPLE))
    before, moved = await points_by_date(shop), 0
    for _ in range(25):
        giver, taker = rng.sample(PEOPLE, 2)
        asked = {"from_customer_id": giver, "to_customer_id": taker, "points": rng.choice((1, 7, 20, 45))}
        moved += (await post(staff, "/transfers", asked)).status_code == 201
    assert moved > 10
    assert await points_by_date(shop) == before
    await whole(shop)


async def test_up_to_the_instant_of_its_end_a_lot_can_be_used_and_from_then_on_by_no_command_swept_or_not(
    shop: Shop, staff: httpx.AsyncClient
) -> None:
    await shop.take(bought(C, "o-1", "1000", 364.9), bought("c-2", "o-2", "10", 30))
    (lot,) = await lots(shop)
    end = datetime.fromisoformat(lot["expires_at"])
    shop.clock.set(end - INSTANT)
    quote = await made(staff, "/quotes", {"customer_id": C, "points": 60})
    await made(staff, "/redemptions", {"customer_id": C, "points": 40})
    shop.clock.set(end)
    before = await tables(shop)
    for path, body in (
        ("/quotes", {"customer_id": C, "points": 1}),
        ("/holds", {"quote_id": quote["id"]}),
        ("/redemptions", {"customer_id": C, "points": 1}),
        ("/transfers", {"from_customer_id": C, "to_customer_id": "c-2", "points": 1}),
        (f"/accounts/{C}/adjustments", {"points": -1, "reason": "?"}),
    ):
        answer = await post(staff, path, body)
        assert (answer.status_code, answer.json()["code"]) == (409, "insufficient-points"), path
    assert await tables(shop) == before
    assert await books(shop) == {}
    await whole(shop)


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_parts_that_are_committed_and_voided_at_once_never_come_to_more_than_was_held(
    shop: Shop, staff: httpx.AsyncClient, seed: int
) -> None:
    rng = random.Random(seed)
    await shop.take(bought(C, "o-1", "600", 30), bought(C, "o-2", "400", 200))
    hold = await held(staff, 70)
    asked: list[tuple[str, Any]] = [("commit", {"points": rng.randint(1, 25)}) for _ in range(8)] + [("void", {})]
    rng.shuffle(asked)
    answers = await asyncio.gather(*(post(staff, f"/holds/{hold['id']}/{what}", body) for what, body in asked))
    used = sum(
        answer.json()["points"]
        for (what, _), answer in zip(asked, answers, strict=True)
        if what == "commit" and answer.status_code == 201
    )
    assert used <= 70
    after = (await staff.get(f"/holds/{hold['id']}")).json()
    assert after["committed"] == used
    assert after["state"] in ("voided", "committed")
    late = await post(staff, f"/holds/{hold['id']}/commit", {"points": 1})
    assert (late.status_code, late.json()["code"]) == (409, f"hold-{after['state']}")
    assert await books(shop) == {"available": 100 - used}
    await whole(shop)
