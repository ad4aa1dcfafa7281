"""How the members of a segment buy, and whether they have changed: equal to the same counted here."""

import random
from typing import Any

import pytest

from services.profile.patterns import significance
from tests.integration.profile.house import Profile, token
from tests.integration.profile.test_counting import count
from tests.integration.profile.test_identities import make, merge
from tests.integration.profile.test_patterns import SINCE, UNTIL, sold
from tests.integration.profile.test_segments import placing
from tests.kit.builders import money, record, returned

SERVICE = "profile"


async def told(profile: Profile, segment: str = "tea", **params: Any) -> Any:
    await count(profile)
    await placing(profile).run()
    asked = {"from": SINCE, "to": UNTIL, **params}
    answer = await profile.client.get(f"/segments/{segment}/purchase-pattern", params=asked)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_segments_demand_is_that_of_its_members_and_tested_against_the_period_before(profile: Profile) -> None:
    rule = {"fact": "tags", "op": "contains", "value": "tea"}
    assert (await profile.client.post("/segments", json={"name": "tea", "rule": rule})).status_code == 201
    for n in range(6):
        await make(profile, f"m{n}", tags=["tea"])
    await make(profile, "other")
    dice = random.Random(5)
    # Few prices, so that many baskets are alike; two weeks before the period and the two weeks of it.
    earlier = [(dice.uniform(14, 27), str(100 * dice.randint(1, 5)), f"m{dice.randrange(6)}") for _ in range(40)]
    later = [(dice.uniform(0.1, 13), str(100 * dice.randint(3, 9)), f"m{dice.randrange(4)}") for _ in range(70)]
    await profile.take(
        *(sold(ago, ("tea", price), customer=who) for ago, price, who in earlier),
        *(sold(ago, ("ware", price), ("tea", "0"), customer=who, channel="web") for ago, price, who in later[:60]),
        *(sold(ago, (None, price), customer=who, channel="web") for ago, price, who in later[60:]),
        *(sold(n, ("tea", "1"), customer="other") for n in range(28)),
    )
    found = await told(profile)
    before, now = ([int(price) * 100 for _, price, _ in orders] for orders in (earlier, later))
    assert (found["members"], found["orders"], found["buyers"]) == (6, 70, len({who for *_, who in later}))
    assert found["spend"] == money(f"{sum(now) // 100}.00")
    assert found["orders_per_buyer"] == pytest.approx(70 / found["buyers"])
    assert (found["before"]["orders"], found["before"]["spend"]) == (40, money(f"{sum(before) // 100}.00"))
    assert found["period"] == {"from": SINCE, "to": UNTIL}
    assert found["frequency"]["p_value"] == pytest.approx(significance.two_counts(40, 70))
    assert found["basket"]["p_value"] == pytest.approx(significance.basket(before, now))
    mix = significance.shares({"tea": 40}, {"ware": 60, "tea": 60, "": 10})
    assert found["category_mix"]["p_value"] == pytest.approx(mix)
    assert all(found[name]["significant"] for name in ("frequency", "basket", "category_mix"))
    parts = [(one["name"], one["orders_before"], one["orders"], one["change"]) for one in found["categories"]]
    assert parts[0] == ("ware", 0, 60, pytest.approx(60 / 70))
    assert sorted(parts[1:], key=str) == [
        ("tea", 40, 60, pytest.approx(60 / 70 - 1)), (None, 0, 10, pytest.approx(10 / 70)),
    ]  # fmt: skip
    assert {one["name"]: (one["share_before"], one["share"]) for one in found["channels"]} == {
        "store": (1.0, 0.0), "web": (0.0, 1.0),
    }  # fmt: skip


async def test_what_joined_ids_bought_counts_and_what_came_back_does_not(profile: Profile) -> None:
    await profile.take(sold(1, ("tea", "300"), customer="a", order_id="o"), sold(2, ("ware", "100"), customer="web"))
    await merge(profile, "web", "a")
    back = returned("o", customer_id="a", lines=[{"line_id": "0", "quantity": 1}])
    await profile.take(record("purchase-returned", back))
    found = await told(profile, "lifecycle", **{"class": "new"})
    assert (found["class"], found["members"], found["orders"], found["buyers"]) == ("new", 1, 1, 1)
    assert [one["name"] for one in found["categories"]] == ["ware"]
    assert found["before"] | {"period": None} == {
        "period": None, "orders": 0, "buyers": 0, "orders_per_buyer": None, "spend": money("0.00"),
        "average_basket": None,
    }  # fmt: skip


async def test_who_may_ask_and_what_is_refused(profile: Profile) -> None:
    path = "/segments/lifecycle/purchase-pattern"
    for params, status, pointer in (
        ({}, 422, "/query/class"),
        ({"class": "new", "from": UNTIL, "to": SINCE}, 422, "/query/from"),
    ):
        refused = await profile.client.get(path, params=params)
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (status, pointer)
    assert (await profile.client.get("/segments/nobody/purchase-pattern")).status_code == 404
    own = await profile.client.get(path, params={"class": "new"}, headers=token("profile:read", "a"))
    assert own.status_code == 403
