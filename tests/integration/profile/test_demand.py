"""How the members of a segment buy, and whether they have changed: equal to the same counted here."""

import random
import statistics
from collections import Counter
from datetime import datetime
from typing import Any

import pytest

from services.profile.demand.flips import Mix, mix_changed
from services.profile.patterns.significance import signed_rank
from tests.integration.profile.house import Profile, token
from tests.integration.profile.test_counting import count
from tests.integration.profile.test_identities import make, merge
from tests.integration.profile.test_patterns import SINCE, UNTIL, sold
from tests.integration.profile.test_restrictions import restrict
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


Sold = list[tuple[float, int, tuple[str | None, ...]]]


def differences(sold_by: dict[str, tuple[Sold, Sold]]) -> tuple[list[int], list[float]]:
    """Of the members' orders, and of the means of their baskets."""
    orders = [len(now) - len(before) for before, now in sold_by.values()]
    both = [two for two in sold_by.values() if all(two)]
    means = [[statistics.fmean(100 * price for _, price, _ in one) for one in two] for two in both]
    return orders, [round(now - before, 6) for before, now in means]


def mix_of(sold_by: dict[str, tuple[Sold, Sold]], names: list[str | None]) -> Mix:
    """Of these categories, and one column of all others."""
    both = [0] * (len(names) + 1)
    rows = Counter[tuple[int, int]]()
    for n, who in enumerate(sorted(sold_by)):
        for orders, sign in zip(sold_by[who], (-1, 1), strict=True):
            for name in (name for *_, kept in orders for name in kept):
                column = names.index(name) if name in names else len(names)
                both[column] += 1
                rows[n, column] += sign
    found = [(n, column, by) for (n, column), by in sorted(rows.items()) if by]
    return Mix(both, *([row[k] for row in found] for k in range(3)))


async def test_a_segments_demand_is_that_of_its_members_and_tested_against_the_period_before(profile: Profile) -> None:
    rule = {"fact": "tags", "op": "contains", "value": "tea"}
    assert (await profile.client.post("/segments", json={"name": "tea", "rule": rule})).status_code == 201
    people = [f"m{n:02}" for n in range(30)]
    for who in people:
        await make(profile, who, tags=["tea"])
    await make(profile, "other")
    dice = random.Random(5)
    sold_by: dict[str, tuple[Sold, Sold]] = {}
    # Few prices, so that many baskets are alike; two weeks before the period and the two weeks of it.
    for who in people[:-1]:
        earlier, later = dice.randint(0, 2), dice.randint(0, 5)
        sold_by[who] = (
            [(dice.uniform(14, 27), 100 * dice.randint(1, 3), ("tea",)) for _ in range(earlier)],
            [
                (dice.uniform(0.1, 13), 100 * dice.randint(2, 6), ("tea",) if dice.random() < 0.5 else ("ware", None))
                for _ in range(later)
            ],
        )
    sold_by[people[-1]] = ([], [(1.5, 300, ("rare-1",)), (2.5, 300, ("rare-2", "tea"))])
    await profile.take(
        *(
            sold(ago, (kept[0], str(price)), *((name, "0") for name in kept[1:]), customer=who, channel=channel)
            for who, two in sold_by.items()
            for orders, channel in zip(two, ("store", "web"), strict=True)
            for ago, price, kept in orders
        ),
        *(sold(n, ("tea", "1"), customer="other") for n in range(28)),
    )
    found = await told(profile)
    before, now = ([one for two in sold_by.values() for one in two[k]] for k in (0, 1))
    assert (found["members"], found["orders"]) == (30, len(now))
    assert found["buyers"] == sum(bool(later) for _, later in sold_by.values())
    assert found["spend"] == money(f"{sum(price for _, price, _ in now)}.00")
    assert found["orders_per_buyer"] == pytest.approx(len(now) / found["buyers"])
    assert found["before"]["orders"] == len(before)
    assert found["before"]["spend"] == money(f"{sum(price for _, price, _ in before)}.00")
    assert found["period"] == {"from": SINCE, "to": UNTIL}
    orders, baskets = differences(sold_by)
    assert found["frequency"]["p_value"] == pytest.approx(signed_rank(orders))
    assert found["basket"]["p_value"] == pytest.approx(signed_rank(baskets))
    counts = [Counter(name for *_, kept in one for name in kept) for one in (before, now)]
    # As the database sorts them: the most first.
    names = sorted(("tea", "ware", None), key=lambda name: (-counts[0][name] - counts[1][name], name or ""))
    assert found["category_mix"]["p_value"] == mix_changed(mix_of(sold_by, names))
    assert all(found[name]["significant"] for name in ("frequency", "basket", "category_mix"))
    parts = {one["name"]: (one["orders_before"], one["orders"], one["change"]) for one in found["categories"]}
    assert set(parts) == {"tea", "ware", "rare-1", "rare-2", None}
    for name, (orders_before, orders_now, by) in parts.items():
        assert (orders_before, orders_now) == (counts[0][name], counts[1][name])
        assert by == pytest.approx(orders_now / len(now) - orders_before / len(before))
    changes = [abs(one["change"]) for one in found["categories"]]
    assert changes == sorted(changes, reverse=True)
    assert {one["name"]: (one["share_before"], one["share"]) for one in found["channels"]} == {
        "store": (1.0, 0.0), "web": (0.0, 1.0),
    }  # fmt: skip


async def test_restricted_persons_are_left_out_of_all_of_it(profile: Profile) -> None:
    await profile.take(
        *(sold(1, ("tea", "300"), customer=who) for who in ("a", "b")), sold(2, ("ware", "100"), customer="b")
    )
    assert (await told(profile, "lifecycle", **{"class": "new"}))["members"] == 2
    await restrict(profile, "b")
    found = await told(profile, "lifecycle", **{"class": "new"})
    assert (found["members"], found["orders"], found["buyers"], found["spend"]) == (1, 1, 1, money("300.00"))
    assert [one["name"] for one in found["categories"]] == ["tea"]


async def test_a_line_that_came_back_whole_is_of_no_category(profile: Profile) -> None:
    await profile.take(
        *(sold(1, ("tea", "300"), ("ware", "100"), customer=f"m{n}", order_id=f"o{n}") for n in range(12)),
        *(
            record("purchase-returned", returned(f"o{n}", customer_id=f"m{n}", lines=[{"line_id": "1", "quantity": 1}]))
            for n in range(12)
        ),
    )
    found = await told(profile, "lifecycle", **{"class": "new"})
    assert [(one["name"], one["orders"]) for one in found["categories"]] == [("tea", 12)]
    # One category is no mix.
    assert found["category_mix"]["p_value"] is None
    assert found["frequency"]["p_value"] == pytest.approx(2 / 2**12)


async def test_how_far_the_orders_are_counted_is_told(profile: Profile) -> None:
    asked = {"class": "new", "from": SINCE, "to": UNTIL}
    unread = await profile.client.get("/segments/lifecycle/purchase-pattern", params=asked)
    assert unread.json()["as_of"] is None
    await profile.take(sold(1, ("tea", "300"), customer="a"))
    found = await told(profile, "lifecycle", **{"class": "new"})
    assert datetime.fromisoformat(found["as_of"]) == profile.clock.now()


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
        ({"class": "zzz"}, 422, "/query/class"),
    ):
        refused = await profile.client.get(path, params=params)
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (status, pointer)
    assert (await profile.client.get("/segments/nobody/purchase-pattern")).status_code == 404
    own = await profile.client.get(path, params={"class": "new"}, headers=token("profile:read", "a"))
    assert own.status_code == 403
