"""Points that purchases keep alive, whatever is heard of when, and whatever was written down meanwhile."""

import random
from datetime import timedelta
from typing import Any

import pytest

from shared.messaging.records import Record
from tests.integration.loyalty.shop import Shop, open_shop
from tests.integration.loyalty.test_earning import history
from tests.integration.loyalty.test_merges import bought
from tests.kit.builders import NOW, about_order, record, returned
from tests.kit.databases import Databases

SERVICE = "loyalty"
LASTING: dict[str, Any] = {"kind": "rolling", "months": 3, "extended_by": "purchase"}
TIERS: list[dict[str, Any]] = [{"name": "silver", "qualify": {"spend": "5000.00", "window_days": 180}}]


async def lived(shop: Shop, records: list[Record], dice: random.Random) -> str:
    await shop.post(active_from=(NOW - timedelta(days=500)).isoformat(), expiry={**LASTING, "months": 1})
    await shop.post(active_from=(NOW - timedelta(days=250)).isoformat(), expiry=LASTING, tiers=TIERS)
    await shop.post(active_from=(NOW - timedelta(days=60)).isoformat())
    while records:
        size = dice.choice((1, 2, 7, 40))
        batch, records = records[:size], records[size:]
        await shop.take(*batch)
        if dice.random() < 0.2:
            await shop.job("sweep").run()
    assert (await shop.verified()).broken is None
    return await shop.state_hash()


@pytest.mark.parametrize("seed", range(2))
async def test_any_order_of_arrival_leads_to_the_same_lots(databases: Databases, seed: int) -> None:
    dice = random.Random(seed)
    records = history()
    shuffled = records + dice.choices(records, k=30)
    dice.shuffle(shuffled)
    in_time = sorted(records, key=lambda one: str(one.value).split('"occurred_at":"')[1][:19])
    states = set()
    for order in (records, shuffled, in_time):
        async with databases.fresh(SERVICE) as made, open_shop(made) as shop:
            states.add(await lived(shop, list(order), dice))
    assert len(states) == 1


async def test_a_purchase_heard_of_late_brings_back_what_was_written_down_as_expired(shop: Shop) -> None:
    await shop.post(expiry=LASTING, rules=[])
    await shop.take(bought("c-1", "o-1", "1000", 120))
    await shop.live_until(NOW)
    assert (await shop.balance("c-1")).available == 0
    await shop.take(bought("c-1", "o-2", "500", 40))
    assert (await shop.balance("c-1")).available == 150
    # That it was given back is heard of, too: what it had kept alive is gone.
    await shop.take(record("purchase-returned", returned("o-2", customer_id="c-1", days_ago=2)))
    assert (await shop.balance("c-1")).available == 0
    await shop.live_until(NOW + timedelta(days=1))
    assert (await shop.verified()).broken is None
    told = await shop.published("points-earned", "points-reversed", "points-expired")
    assert sum(data["points"] if data["topic"] == "points-earned" else -data["points"] for data in told) == 0


async def test_a_cancellation_takes_an_extension_back_and_what_stands_beside_it_keeps_its_own(shop: Shop) -> None:
    await shop.post(expiry=LASTING, rules=[])
    await shop.take(bought("c-1", "o-1", "1000", 60), bought("c-1", "o-2", "500", 40), bought("c-1", "o-3", "90", 20))
    async with shop.client("loyalty:read") as http:
        async def expiries() -> dict[str, str]:
            lots = (await http.get("/accounts/c-1/lots", params={"limit": 10})).json()["items"]
            return {lot["order_id"]: lot["expires_at"] for lot in lots if lot["points"]}

        found = await expiries()
        assert set(found) == {"o-1", "o-2", "o-3"}
        assert len(set(found.values())) == 1
        await shop.take(record("purchase-cancelled", about_order("o-3", customer_id="c-1", days_ago=1)))
        without = await expiries()
        assert without["o-1"] == without["o-2"] < found["o-1"]
        await shop.take(record("purchase-cancelled", about_order("o-2", customer_id="c-1", days_ago=1)))
        assert (await expiries())["o-1"] < without["o-1"]
