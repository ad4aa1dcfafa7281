"""What orders earn, and what returns take back."""

from datetime import timedelta
from functools import reduce
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.loyalty.earning.domain import fold, judge
from services.loyalty.earning.memory import History, kept, recall
from shared.contracts.orders import Order
from tests.unit.loyalty.builders import ZONE, back, judged, order, points, programme, with_returns

TEA = {"id": "tea", "order": 1, "on": "purchase", "when": {"category": ["tea"]}, "effect": {"multiply": "2"}}
CAPPED = {**TEA, "cap": {"points": 50, "per": "month"}}

amounts = st.lists(st.integers(0, 200_000), min_size=1, max_size=4)
pieces = st.lists(st.lists(st.integers(0, 4), min_size=4, max_size=4), min_size=1, max_size=6)
multipliers = st.sampled_from(["1.1", "1.5", "2", "3.3333"])


def test_base_points_are_rounded_down_on_the_order_not_on_its_lines() -> None:
    assert points([order("o", 1_500, 1_500, 500)], programme(rules=[])) == [3]


def test_a_category_rule_multiplies_its_own_lines_only() -> None:
    mixed = order("o", 10_000, 10_000, category="tea")
    assert points([mixed], programme(rules=[TEA])) == [40]
    assert points([mixed], programme(rules=[{**TEA, "when": {"category": ["cups"]}}])) == [20]


def test_several_rules_add_to_the_base_and_not_to_one_another() -> None:
    again = {**TEA, "id": "tea-again", "effect": {"multiply": "1.5"}}
    assert points([order("o", 10_000, category="tea")], programme(rules=[TEA, again])) == [10 + 10 + 5]


@pytest.mark.parametrize(
    ("when", "extra"),
    [
        # START is Sunday, 1 March, at noon of the house; two lines of 100 each, one of a pot, paid 200 in all.
        ({"sku": ["pot"]}, 10), ({"sku": ["pot"], "category": ["tea"]}, 0), ({"sku": ["pot", "leaf"]}, 20),
        ({"channel": ["web"]}, 20), ({"channel": ["app", "store"]}, 0),
        ({"store": ["west"]}, 20), ({"store": ["east"]}, 0),
        ({"weekday": ["sunday"]}, 20), ({"weekday": ["saturday", "monday"]}, 0),
        ({"days": {"from": "2026-03-01"}}, 20), ({"days": {"to": "2026-03-01"}}, 0),
        ({"days": {"from": "2026-02-01", "to": "2026-03-02"}}, 20), ({"days": {"from": "2026-03-02"}}, 0),
        ({"paid_at_least": "200"}, 20), ({"paid_at_least": "200.01"}, 0),
        ({"weekday": ["sunday"], "channel": ["web"], "sku": ["leaf"]}, 10),
        ({"weekday": ["sunday"], "channel": ["store"], "sku": ["leaf"]}, 0),
    ],
)  # fmt: skip
def test_a_rule_is_about_the_orders_and_lines_that_all_of_its_conditions_name(when: dict[str, Any], extra: int) -> None:
    bought = order("o", 10_000, 10_000, store="west")
    lines = (msgspec.structs.replace(bought.lines[0], sku="pot"), msgspec.structs.replace(bought.lines[1], sku="leaf"))
    bought = msgspec.structs.replace(bought, lines=lines)
    rule = {**TEA, "when": when}
    assert points([bought], programme(rules=[rule])) == [20 + extra]
    # A part that comes back takes its own share, whatever of the conditions it no longer meets.
    half = with_returns(bought, [back("o", 1, 5, 5)])
    assert points([half], programme(rules=[rule])) == [10 + extra // 2]


def test_a_day_and_a_weekday_are_those_of_the_house() -> None:
    # 30.6 days on it is 1 April there, a Wednesday, and still Tuesday, 31 March, in UTC.
    late = [order("o", 10_000, day=30.6)]
    for when, expected in (
        ({"days": {"from": "2026-04-01"}}, 20), ({"weekday": ["wednesday"]}, 20), ({"weekday": ["tuesday"]}, 10),
    ):  # fmt: skip
        assert points(late, programme(rules=[{**TEA, "when": when}])) == [expected]


def test_of_a_group_the_rule_that_gives_most_counts_alone_and_a_trimmed_one_gives_less() -> None:
    double, bonus = {**CAPPED, "group": "tea"}, {
        "id": "bonus", "order": 2, "on": "purchase", "effect": {"bonus": 40}, "group": "tea"
    }  # fmt: skip
    free = {"id": "free", "order": 3, "on": "purchase", "effect": {"bonus": 1}}
    version = programme(rules=[double, bonus, free])
    # 50 of the cap against 40; nothing left of the cap in the same month, so the bonus; then a new month.
    orders = [order(f"o-{day}", 60_000, day=day, category="tea") for day in (0, 1, 31)]
    assert points(orders, version) == [60 + 50 + 1, 60 + 40 + 1, 60 + 50 + 1]
    gone = with_returns(orders[0], [back("o-0", 1, 10)])
    assert points([gone], version) == [0]
    equal = programme(rules=[{**TEA, "group": "g"}, {**TEA, "id": "same", "order": 0, "group": "g"}])
    assert [part.rule for part in judged(orders[:1], equal)[0].parts] == ["base", "same"]


def test_a_first_purchase_bonus_goes_to_the_first_order_that_was_not_cancelled() -> None:
    welcome = {"id": "first", "order": 1, "on": "first-purchase", "effect": {"bonus": 100}}
    cancelled = order("o-1", day=0, cancelled_at=order("o").occurred_at)
    assert points([cancelled, order("o-2", day=1), order("o-3", day=2)], programme(rules=[welcome])) == [0, 110, 10]


def test_a_bonus_goes_back_with_the_last_piece() -> None:
    welcome = {"id": "first", "order": 1, "on": "first-purchase", "effect": {"bonus": 100}}
    bought = order("o", 10_000)
    kept = with_returns(bought, [back("o", 1, 9)])
    gone = with_returns(bought, [back("o", 1, 9), back("o", 2, 1)])
    assert points([kept], programme(rules=[welcome])) == [101]
    assert points([gone], programme(rules=[welcome])) == [0]


def test_a_cap_trims_what_a_customer_gets_in_a_calendar_month_of_the_house() -> None:
    rules = [CAPPED]
    # START is 1 March at noon in the house's zone: day 30.6 is 1 April there, and 31 March in UTC.
    orders = [order(f"o-{day}", 40_000, day=day, category="tea") for day in (0, 10, 20, 30.6)]
    assert points(orders, programme(rules=rules)) == [80, 50, 40, 80]


def test_a_capped_bonus_shrinks_in_proportion_when_part_of_the_order_comes_back() -> None:
    half = with_returns(order("o", 100_000, category="tea"), [back("o", 1, 5)])
    assert points([half], programme(rules=[CAPPED])) == [50 + 25]


def test_what_a_return_frees_of_a_cap_is_free_from_the_return_on() -> None:
    first = with_returns(order("o-1", 100_000, day=0, category="tea"), [back("o-1", 1, 10, day=5)])
    before, after = (order(name, 20_000, day=day, category="tea") for name, day in (("o-2", 3), ("o-3", 6)))
    assert points([first, before, after], programme(rules=[CAPPED])) == [0, 20, 40]


def test_points_come_back_by_the_version_that_earned_them() -> None:
    double = programme(2, active_from="2026-03-10T00:00:00+08:00", rules=[TEA])
    old = with_returns(order("o-1", 10_000, day=0, category="tea"), [back("o-1", 1, 5, day=20)])
    new = order("o-2", 10_000, day=15, category="tea")
    found = judged([old, new], programme(rules=[]), double)
    assert [(j.award.programme_version, j.award.points, j.award.reversed) for j in found] == [(1, 5, 5), (2, 20, 0)]


def test_history_loaded_from_elsewhere_earns_only_if_the_programme_says_so() -> None:
    loaded = order("o", backfill=True)
    assert points([loaded], programme()) == [0]
    assert points([loaded], programme(backfill_earns=True)) == [10]


def test_a_tier_multiplies_what_is_bought_after_it_was_reached() -> None:
    tiers = [{"name": "silver", "qualify": {"spend": "100.00", "window_days": 30}, "multiply": "1.5"}]
    orders = [order(f"o-{day}", 10_000, day=day) for day in (0, 1, 40)]
    assert points(orders, programme(rules=[], tiers=tiers, tier_grace_days=0)) == [10, 15, 10]


def test_points_expire_after_calendar_months_on_the_last_day_at_the_latest() -> None:
    expires = programme(expiry={"kind": "rolling", "months": 12}).expires_at
    leap_day = order("o").occurred_at.replace(year=2028, month=2, day=29)
    assert expires(leap_day, ZONE) == leap_day.replace(year=2029, day=28)
    new_years_eve_in_taipei = leap_day.replace(month=12, day=31, hour=17)
    assert expires(new_years_eve_in_taipei, ZONE) == new_years_eve_in_taipei.replace(year=2029)


def test_the_return_window_counts_from_the_delivery_where_it_is_known() -> None:
    judged_by = programme(pending_days=14, pending_days_from_delivery=7)
    bought = order("o").occurred_at
    assert judged_by.available_from(bought, None) == bought + timedelta(days=14)
    assert judged_by.available_from(bought, bought + timedelta(days=10)) == bought + timedelta(days=17)


@given(amounts, pieces, multipliers)
def test_the_parts_of_a_return_sum_to_the_whole(paid: list[int], parts: list[list[int]], multiply: str) -> None:
    rules = [{**CAPPED, "effect": {"multiply": multiply}}]
    bought = order("o", *paid, category="tea")
    returns = [back("o", n, *part[: len(paid)]) for n, part in enumerate(parts) if any(part[: len(paid)])]
    left = [points([with_returns(bought, returns[:n])], programme(rules=rules))[0] for n in range(len(returns) + 1)]
    assert left == sorted(left, reverse=True), "a return never earns"
    rest = [back("o", 99, *([10] * len(paid)), day=9)]
    assert points([with_returns(bought, [*returns, *rest])], programme(rules=rules)) == [0]


histories = st.lists(
    st.tuples(st.floats(0, 90), st.sampled_from(["tea", None]), amounts, st.booleans()), min_size=1, max_size=8
)


@given(histories)
def test_applying_one_order_after_another_agrees_with_folding_them_all(
    drawn: list[tuple[float, str | None, list[int], bool]],
) -> None:
    version = programme(
        rules=[
            {**CAPPED, "group": "g"}, {"id": "first", "order": 9, "on": "first-purchase", "effect": {"bonus": 7}},
            {"id": "sundays", "order": 3, "on": "purchase", "when": {"weekday": ["sunday"]}, "effect": {"bonus": 9},
             "cap": {"points": 20, "per": "week"}, "group": "g"},
            *({"id": f"second-of-{per}", "order": 4, "on": "nth-purchase", "nth": {"n": 2, "per": per},
               "effect": {"bonus": 1000}} for per in ("day", "week", "month", "year", "lifetime")),
            *({"id": f"{per}s", "order": 5, "on": "purchase", "when": {"streak": {"n": 2, "per": per}},
               "effect": {"bonus": 10**6}} for per in ("week", "month")),
        ],
    )  # fmt: skip
    orders = [
        order(f"o-{n}", *paid, day=day, category=category, backfill=backfill)
        for n, (day, category, paid, backfill) in enumerate(drawn)
    ]
    orders.sort(key=lambda one: one.sort_key)
    earned: list[int] = []

    def apply(history: History, one: Order) -> History:
        after, judgement = judge(history, one, version, 1, (), ZONE)
        earned.append(judgement.award.points)
        remembered = recall(after.last_at, after.orders, kept(after))
        assert remembered == after
        return remembered

    known = reduce(apply, orders, History())
    assert earned == points(orders, version)
    assert known == fold(orders, lambda _: (version, 1), ZONE)[0]
    assert fold(orders, lambda _: (None, 1), ZONE)[0].counts == known.counts, "counts are of no version"


@given(st.lists(st.tuples(st.floats(0, 27), st.integers(0, 200_000)), min_size=1, max_size=8))
def test_a_months_cap_is_never_exceeded(drawn: list[tuple[float, int]]) -> None:
    orders = [order(f"o-{n}", paid, day=day, category="tea") for n, (day, paid) in enumerate(drawn)]
    given_by_rule = [part.awarded for j in judged(orders, programme(rules=[CAPPED])) for part in j.parts[1:]]
    assert sum(given_by_rule) <= 50
