"""How a customer buys, and whether he has changed."""

from datetime import UTC, datetime
from typing import Any

import pytest

from shared.db import execute
from tests.integration.profile.house import Profile, token
from tests.kit.builders import about_order, line, money, purchase, record, returned

SERVICE = "profile"
# Two weeks up to NOW, a Friday noon of the house.
SINCE, UNTIL = "2026-11-07", "2026-11-21"


async def pattern(profile: Profile, customer: str = "pos:1", since: str = SINCE, until: str = UNTIL) -> Any:
    answer = await profile.client.get(f"/customers/{customer}/purchase-pattern", params={"from": since, "to": until})
    assert answer.status_code == 200, answer.text
    return answer.json()


def sold(days_ago: float, *parts: tuple[str | None, str], customer: str = "pos:1", **fields: Any) -> Any:
    """An order of one line a category, at its price."""
    lines = [
        line(str(n), amount=price, **({"category": category} if category else {}))
        for n, (category, price) in enumerate(parts)
    ]
    total = str(sum(int(price) for _, price in parts))
    return record("purchase-recorded", purchase(customer, total=total, days_ago=days_ago, lines=lines, **fields))


async def test_a_period_is_told_by_category_channel_day_and_hour(profile: Profile) -> None:
    await profile.take(
        sold(0, ("tea", "300"), ("ware", "100")),
        sold(2, ("tea", "100"), channel="web"),
        sold(9, (None, "100"), order_id="back"),
        sold(3, ("tea", "999"), order_id="gone"),
        sold(14, ("tea", "500")),
        record("purchase-returned", returned("back", amount=money("50"))),
        record("purchase-cancelled", about_order("gone")),
    )
    told = await pattern(profile)
    assert (told["orders"], told["days"], told["spend"], told["median_gap_days"]) == (3, 3, money("550.00"), 4.5)
    assert told["average_basket"] == money("183.33")
    categories = [(one["name"], one["orders"], one["spend"]["amount"], one["share"]) for one in told["categories"]]
    assert categories == [
        ("tea", 2, "400.00", pytest.approx(400 / 550)),
        ("ware", 1, "100.00", pytest.approx(100 / 550)),
        (None, 1, "50.00", pytest.approx(50 / 550)),
    ]
    assert [(one["name"], one["orders"]) for one in told["channels"]] == [("store", 2), ("web", 1)]
    # Friday, Wednesday, and the Wednesday of the week before.
    assert told["weekdays"] == [0, 0, 2, 0, 1, 0, 0]
    assert told["hours"][12] == 3
    assert told["comparison"]["before"]["spend"] == money("500.00")
    assert told["comparison"]["period"] == {"from": "2026-10-24", "to": SINCE}


async def test_weekdays_are_those_of_the_houses_clock(profile: Profile) -> None:
    late = datetime(2026, 11, 15, 17, 30, tzinfo=UTC)
    await profile.take(record("purchase-recorded", {**purchase(), "occurred_at": late.isoformat()}))
    told = await pattern(profile)
    assert told["weekdays"] == [1, 0, 0, 0, 0, 0, 0]
    assert [hour for hour, orders in enumerate(told["hours"]) if orders] == [1]


async def test_a_change_that_is_no_chance_is_called_one(profile: Profile) -> None:
    await profile.take(
        *(sold(14 + n / 2, ("tea", str(100 + n))) for n in range(24)),
        *(sold(n / 5, ("ware", str(300 + n))) for n in range(60)),
    )
    comparison = (await pattern(profile))["comparison"]
    assert comparison["category_shift"][0] == {"category": "tea", "before": 1.0, "now": 0.0, "change": -1.0}
    for name, most in (("frequency", 0.05), ("basket", 1e-5), ("categories", 1e-5)):
        assert comparison[name]["significant"] is True
        assert comparison[name]["p_value"] < most


async def test_what_is_too_little_to_tell_is_not_judged(profile: Profile) -> None:
    await profile.take(sold(1, ("tea", "100")), sold(15, ("ware", "900")))
    comparison = (await pattern(profile))["comparison"]
    assert [comparison[name]["p_value"] for name in ("frequency", "basket", "categories")] == [1.0, None, None]
    nobody = await pattern(profile, since="2020-01-01", until="2020-02-01")
    assert (nobody["orders"], nobody["average_basket"], nobody["median_gap_days"]) == (0, None, None)
    assert nobody["comparison"]["frequency"]["significant"] is None


async def test_other_currencies_are_counted_and_not_summed(profile: Profile) -> None:
    await profile.take(sold(1, ("tea", "100")), record("purchase-recorded", purchase(total="5", currency="USD")))
    told = await pattern(profile)
    assert (told["orders"], told["spend"], told["average_basket"]) == (2, money("100.00"), money("100.00"))
    assert told["unconverted"] == [money("5.00", "USD")]


async def test_all_ids_of_a_person_are_one_pattern_and_his_own_to_see(profile: Profile) -> None:
    await profile.take(sold(1, ("tea", "100")), sold(2, ("tea", "100"), customer="web:1"))
    async with profile.service.db.transaction() as tx:
        await execute(tx, "INSERT INTO survivors (customer_id, survivor_id) VALUES ('web:1', 'pos:1')")
    assert (await pattern(profile, "web:1"))["orders"] == 2
    path = "/customers/pos:1/purchase-pattern"
    for customer, status in (("pos:1", 200), ("web:1", 200), ("pos:2", 404)):
        asked = await profile.client.get(path, headers=token("profile:read", customer))
        assert asked.status_code == status
    assert (await profile.client.get(path, params={"from": UNTIL, "to": SINCE})).status_code == 422
