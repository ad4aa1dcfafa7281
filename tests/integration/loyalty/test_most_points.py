"""A programme and an order that ask for more points than an event may carry are taken in like any others."""

from datetime import timedelta
from typing import Any

from shared.contracts.types import MAX_POINTS
from shared.messaging.records import Record
from tests.integration.loyalty.shop import Shop
from tests.integration.loyalty.test_redemptions import whole
from tests.kit.builders import NOW, at, line, purchase, record, returned

SERVICE = "loyalty"
LAVISH = {"award": 1_000_000, "per": {"amount": "0.01", "currency": "TWD"}, "base": "paid", "rounding": "floor"}
MONTH_END = {"kind": "month-end", "months": 1}
TOPICS = ("points-earned", "points-reversed", "points-expired", "points-expiring")


def bought(order: str, total: str, currency: str = "TWD") -> Record:
    lines = [line(amount=total, currency=currency, category="tea")]
    data = purchase("c-1", order, total=total, days_ago=15, currency=currency, lines=lines)
    return record("purchase-recorded", data)


async def told(shop: Shop, topic: str) -> list[int]:
    for one in await shop.published(*TOPICS):
        assert 0 < one["points"] <= MAX_POINTS, one
    return [one["points"] for one in await shop.published(topic)]


async def test_it_has_as_many_as_one_event_carries_and_a_return_takes_them_back(shop: Shop) -> None:
    await shop.post(active_from=at(400), points=LAVISH, tiers=[])
    await shop.take(bought("o-1", "900000000000000"), bought("o-2", "0.01"))
    assert sorted(await told(shop, "points-earned")) == [1_000_500, MAX_POINTS]
    async with shop.client() as http:
        tree = (await http.get("/accounts/c-1/explanation")).json()
    [base, tea] = tree["orders"][0]["leaves"]
    assert (base["rule"], base["wanted"], base["awarded"]) == ("base", 9 * 10**22, MAX_POINTS)
    assert (tea["rule"], tea["awarded"]) == ("tea-doubles", 0)
    await shop.take(record("purchase-returned", returned("o-1", customer_id="c-1")))
    assert await told(shop, "points-reversed") == [MAX_POINTS]
    await whole(shop)


async def test_shared_caps_and_budgets_and_rates_take_any_order_in(shop: Shop) -> None:
    tea: dict[str, Any] = {"id": "tea", "order": 1, "on": "purchase", "effect": {"multiply": "999"}}
    tea |= {"cap": {"points": 500, "per": "month", "scope": "programme"}}
    await shop.post(
        active_from=at(400), points=LAVISH, rules=[tea], budget={"points": 10**12, "per": "month"},
        rates={"USD": "999999999.999999999"},
    )  # fmt: skip
    await shop.take(bought("o-1", "900000000000000"), bought("o-2", "900000000000000", "USD"))
    assert await told(shop, "points-earned") == [10**12]
    await whole(shop)


async def test_what_expires_at_one_instant_is_told_in_events_that_carry_it(shop: Shop) -> None:
    await shop.post(active_from=at(400), points=LAVISH, rules=[], tiers=[], expiry=MONTH_END, expiry_warning_days=10)
    await shop.take(*(bought(f"o-{n}", "900000000000000") for n in range(2)))
    await shop.live_until(NOW + timedelta(days=60))
    assert await told(shop, "points-expiring") == [MAX_POINTS]
    assert await told(shop, "points-expired") == [MAX_POINTS, MAX_POINTS]
    assert (await shop.balance("c-1")).available == 0
    await whole(shop)
