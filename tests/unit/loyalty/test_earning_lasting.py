"""Points that last as long as their customer buys: a pure function of the facts."""

import random
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.loyalty.programmes.bodies import EXAMPLE, ProgrammeBody
from services.loyalty.programmes.domain import Expiry, Programme
from services.loyalty.programmes.stored import read_programme
from shared.contracts.orders import Order
from tests.unit.loyalty.builders import START, ZONE, back, judged, order, programme, with_returns

LASTING: dict[str, Any] = {"kind": "rolling", "months": 3, "extended_by": "purchase"}


def lasting(**changes: Any) -> Programme:
    return programme(rules=[], expiry=LASTING, **changes)


def after(day: float, months: int = 3) -> datetime | None:
    """So many months after that day."""
    return Expiry("rolling", months).at(START + timedelta(days=day), ZONE)


def ends(orders: list[Order], *versions: Programme) -> list[datetime | None]:
    return [judgement.award.expires_at for judgement in judged(orders, *versions)]


def test_who_buys_again_before_his_points_expire_keeps_them_all_from_that_purchase_on() -> None:
    assert ends([order("o"), order("p", day=10), order("q", day=80)], lasting()) == [after(80)] * 3


def test_what_expired_before_a_purchase_or_with_it_doesnt_come_back() -> None:
    expired_at = after(0)
    assert expired_at is not None
    days = (expired_at - START) / timedelta(days=1)
    assert ends([order("o"), order("p", day=days)], lasting()) == [after(0), after(days)]
    assert ends([order("o"), order("p", day=days - 1)], lasting()) == [after(days - 1)] * 2
    assert ends([order("o"), order("p", day=days + 1), order("q", day=days + 2)], lasting())[0] == after(0)


def test_an_order_given_back_whole_or_cancelled_extends_nothing_and_one_given_back_in_part_does() -> None:
    first, again = order("o"), order("p", day=80)
    assert ends([first, with_returns(again, [back("p", 1, 10, day=81)])], lasting())[0] == after(0)
    cancelled = msgspec.structs.replace(again, cancelled_at=START + timedelta(days=300))
    assert ends([first, cancelled], lasting())[0] == after(0)
    assert ends([first, with_returns(again, [back("p", 1, 9, day=81)])], lasting())[0] == after(80)
    # Without what was given back, it had expired before the next.
    third = order("q", day=150)
    assert ends([first, again, third], lasting())[0] == after(150)
    assert ends([first, cancelled, third], lasting())[0] == after(0)


def test_the_version_that_judged_an_order_says_whether_and_for_how_long_its_points_are_extended() -> None:
    later = (START + timedelta(days=5)).isoformat()
    plain = programme(rules=[], expiry={"kind": "rolling", "months": 3})
    longer = programme(version=2, rules=[], expiry={**LASTING, "months": 6}, active_from=later)
    shorter = programme(version=2, rules=[], expiry={"kind": "rolling", "months": 1}, active_from=later)
    orders = [order("o"), order("p", day=10), order("q", day=80)]
    assert ends(orders, plain, longer) == [after(0), after(80, 6), after(80, 6)]
    assert ends(orders, lasting(), shorter) == [after(80), after(10, 1), after(80, 1)]


def test_a_purchase_that_earns_nothing_extends_all_the_same() -> None:
    abroad = msgspec.structs.replace(order("p", day=80), currency="USD")
    assert ends([order("o"), abroad], lasting()) == [after(80)] * 2


@st.composite
def histories(draw: st.DrawFn) -> list[Order]:
    orders = []
    day = 0.0
    for n in range(draw(st.integers(1, 12))):
        day += draw(st.sampled_from([0, 0.5, 20, 60, 88, 90, 91.5, 92, 93, 200]))
        one = order(f"o-{n}", day=day)
        match draw(st.integers(0, 4)):
            case 0:
                one = msgspec.structs.replace(one, cancelled_at=one.occurred_at + timedelta(days=400))
            case 1:
                one = with_returns(one, [back(one.order_id, 1, 10, day=day + 30)])
            case 2:
                one = with_returns(one, [back(one.order_id, 1, 3, day=day + 30)])
        orders.append(one)
    return orders


@given(histories(), st.randoms(use_true_random=False))
def test_each_expiry_is_what_one_gets_by_putting_it_off_until_no_purchase_does(
    orders: list[Order], dice: random.Random
) -> None:
    found = ends(orders, lasting())
    shuffled = list(orders)
    dice.shuffle(shuffled)
    assert ends(shuffled, lasting()) == found
    bought = {one.occurred_at for one in orders if one.counts}
    for one, end in zip(sorted(orders, key=lambda one: one.sort_key), found, strict=True):
        expected = lasting().expires_at(one.occurred_at, ZONE)
        assert expected is not None
        while candidates := [
            later
            for at in bought
            if one.occurred_at < at < expected and (later := lasting().expires_at(at, ZONE)) and later > expected
        ]:
            expected = min(candidates)
        assert end == expected


def test_what_is_posted_is_what_judges_and_only_rolling_points_are_extended() -> None:
    body = ProgrammeBody.model_validate({**EXAMPLE, "expiry": LASTING})
    assert body.document()["expiry"] == LASTING
    assert read_programme(2, START, msgspec.json.encode(body.document())).expiry == Expiry("rolling", 3, True)
    plain = ProgrammeBody.model_validate({**EXAMPLE, "expiry": {"kind": "rolling", "months": 3}})
    assert not read_programme(2, START, msgspec.json.encode(plain.document())).expiry.extended
    for wrong in ({**LASTING, "extended_by": "visit"}, {**LASTING, "kind": "month-end"}):
        with pytest.raises(ValidationError):
            ProgrammeBody.model_validate({**EXAMPLE, "expiry": wrong})
