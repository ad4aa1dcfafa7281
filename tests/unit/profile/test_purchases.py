"""What purchases add up to, and the stages and scores read from it."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.profile.policies.domain import LifecyclePolicy, RfmCutPoints
from services.profile.purchases.domain import NOTHING, Foreign, House, Purchases, apply, fold
from services.profile.purchases.lifecycle import Stage, stage
from services.profile.purchases.rfm import score
from shared.contracts.orders import Order, OrderLine, Refund

HOUSE = House("TWD", "Asia/Taipei")
START = datetime(2026, 1, 1, 12, tzinfo=UTC)
POLICY = LifecyclePolicy(
    new_days=90, mature_days=180, mature_purchase_days=6, dormant_days=90, lost_days=365, returned_days=90,
    rhythm_purchase_days=5, dormant_gaps=3, lost_gaps=6, shortest_dormant_days=30, shortest_lost_days=90,
)  # fmt: skip
CUT_POINTS = RfmCutPoints((30, 60, 120, 240), (2, 4, 8, 16), {"*": (10, 20, 30, 40), "TWD": (100, 200, 300, 400)}, 3)


def order(hours: float = 0, *, total: int = 100, id: str = "e", currency: str = "TWD", **fields: Any) -> Order:
    lines = (OrderLine("1", "sku", None, 1000, total),)
    at = START + timedelta(hours=hours)
    return Order(f"o-{id}-{hours}", "c", at, "/shop", id, "web", currency, total, lines, **fields)


def bought_on(*days: int) -> Purchases:
    return fold([order(24 * day, id=str(day)) for day in days], HOUSE)


def after(days: int) -> date:
    return HOUSE.day(START) + timedelta(days=days)


ORDERS = st.lists(
    st.builds(
        order,
        st.integers(0, 2000),
        total=st.integers(0, 10**6),
        id=st.text("abc", min_size=1, max_size=3),
        currency=st.sampled_from(["TWD", "USD", "JPY"]),
        cancelled_at=st.sampled_from([None, None, START]),
    ),
    max_size=12,
    unique_by=lambda order: order.sort_key,
).map(lambda orders: sorted(orders, key=lambda order: order.sort_key))


@given(ORDERS, st.integers(0, 12))
def test_orders_applied_on_top_give_what_folding_them_all_gives(orders: list[Order], known: int) -> None:
    state = fold(orders[:known], HOUSE)
    for newer in orders[known:]:
        assert state.precedes(newer)
        state = apply(state, newer, HOUSE)
    assert state == fold(orders, HOUSE)


@given(ORDERS)
def test_days_and_sums_are_those_of_the_orders_that_stand(orders: list[Order]) -> None:
    state = fold(orders, HOUSE)
    standing = [order for order in orders if order.counts]
    days = sorted({HOUSE.day(order.occurred_at) for order in standing})
    assert state.orders == len(standing)
    assert state.days == len(days)
    assert state.first_day == (days[0] if days else None)
    assert state.previous_day == (days[-2] if len(days) > 1 else None)
    assert state.last_day == (days[-1] if days else None)
    assert state.spend == sum(order.net for order in standing if order.currency == "TWD")
    elsewhere = {code: [o for o in standing if o.currency == code] for code in ("USD", "JPY")}
    assert state.elsewhere == {
        code: Foreign(len(found), sum(order.net for order in found)) for code, found in elsewhere.items() if found
    }


def test_an_order_before_the_newest_must_not_be_applied_on_top() -> None:
    assert not fold([order(2)], HOUSE).precedes(order(1))


def test_a_cancelled_order_leaves_no_trace() -> None:
    assert fold([order(cancelled_at=START)], HOUSE) == NOTHING


def test_an_order_given_back_whole_no_longer_counts() -> None:
    whole = msgspec.structs.replace(
        order(total=100),
        lines=(OrderLine("1", "sku", None, 1000, 100, 1000, 100),),
        refunds=(Refund("r", START, (("1", 100),)),),
    )
    assert fold([whole], HOUSE) == NOTHING


def test_two_orders_on_one_day_of_the_house_are_one_purchase_day() -> None:
    late_evening_and_after_midnight_utc = [order(11), order(13)]
    assert fold(late_evening_and_after_midnight_utc, HOUSE).days == 1


@pytest.mark.parametrize(
    ("days", "today", "expected"),
    [
        ((), 0, "prospect"),
        ((0,), 0, "new"), ((0,), 89, "new"), ((0,), 90, "dormant"), ((0,), 364, "dormant"), ((0,), 365, "lost"),
        ((0, 80), 89, "new"), ((0, 80), 90, "active"), ((0, 80), 169, "active"), ((0, 80), 170, "dormant"),
        ((0, 89), 120, "active"), ((0, 90), 90, "returned"), ((0, 90), 179, "returned"), ((0, 90), 180, "dormant"),
        ((0, 400), 401, "returned"),
        # From five purchase days on, his own rhythm: a mean gap of 10 days, dormant after 30, lost after 90.
        ((0, 10, 20, 30, 40), 69, "new"), ((0, 10, 20, 30, 40), 70, "dormant"), ((0, 10, 20, 30, 40), 130, "lost"),
        # A mean gap of 45 days: dormant after 135, lost after 270.
        ((0, 45, 90, 135, 180), 314, "active"), ((0, 45, 90, 135, 180), 315, "dormant"),
        ((0, 45, 90, 135, 180), 449, "dormant"), ((0, 45, 90, 135, 180), 450, "lost"),
        ((0, 45, 90, 135, 180, 225), 230, "mature"), ((0, 10, 20, 30, 40, 50), 55, "new"),
        ((0, 10, 20, 30, 40, 70), 75, "returned"), ((0, 10, 20, 30, 40, 69), 75, "new"),
    ],
)  # fmt: skip
def test_stages_change_on_the_days_the_policy_says(days: tuple[int, ...], today: int, expected: Stage) -> None:
    assert stage(bought_on(*days), POLICY, after(today)) == expected


def test_an_order_dated_ahead_counts_as_todays() -> None:
    assert stage(bought_on(1), POLICY, after(0)) == "new"


@pytest.mark.parametrize(
    ("idle", "r"), [(0, 5), (30, 5), (31, 4), (60, 4), (61, 3), (120, 3), (121, 2), (240, 2), (241, 1)]
)
def test_recency_falls_after_each_cut_point(idle: int, r: int) -> None:
    rfm = score(bought_on(0), CUT_POINTS, "TWD", after(idle))
    assert rfm is not None
    assert rfm.r == r


@pytest.mark.parametrize(("orders", "f"), [(1, 1), (2, 2), (3, 2), (4, 3), (8, 4), (16, 5), (40, 5)])
def test_frequency_rises_at_each_cut_point(orders: int, f: int) -> None:
    rfm = score(Purchases(orders=orders, last_day=after(0)), CUT_POINTS, "TWD", after(0))
    assert rfm is not None
    assert (rfm.f, rfm.version) == (f, 3)


@pytest.mark.parametrize(
    ("currency", "spend", "m"),
    [("TWD", 9_999, 1), ("TWD", 10_000, 2), ("TWD", 40_000, 5), ("JPY", 19, 2), ("JPY", 20, 3), ("USD", 2_000, 3)],
)
def test_money_is_scored_in_major_units_of_the_house_currency(currency: str, spend: int, m: int) -> None:
    rfm = score(Purchases(orders=1, spend=spend, last_day=after(0)), CUT_POINTS, currency, after(0))
    assert rfm is not None
    assert rfm.m == m


def test_who_bought_nothing_has_no_scores() -> None:
    assert score(NOTHING, CUT_POINTS, "TWD", after(0)) is None


@pytest.mark.parametrize("change", [{"lost_days": 90}, {"lost_gaps": 3}, {"shortest_lost_days": 30}, {"new_days": 0}])
def test_a_policy_that_contradicts_itself_is_refused(change: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"dormant before|or more"):
        msgspec.convert({**msgspec.structs.asdict(POLICY), **change}, LifecyclePolicy)


def test_cut_points_must_rise_and_name_a_fallback() -> None:
    with pytest.raises(ValueError, match="rise"):
        RfmCutPoints((30, 30, 60, 90), (1, 2, 3, 4), {"*": (1, 2, 3, 4)})
    with pytest.raises(ValueError, match="currencies not named"):
        RfmCutPoints((1, 2, 3, 4), (1, 2, 3, 4), {"TWD": (1, 2, 3, 4)})
