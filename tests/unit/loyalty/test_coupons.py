"""What may become of a coupon, and when it becomes it."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.loyalty.coupons.codes import new_code
from services.loyalty.coupons.domain import Coupon, CouponRefused, Terms, fresh

ZONE = ZoneInfo("Asia/Taipei")
NOW = datetime(2026, 11, 20, 4, tzinfo=UTC)
LATER = NOW + timedelta(minutes=30)
GONE = NOW + timedelta(days=60)


def coupon(*, days: int = 30, bearer: bool = False) -> Coupon:
    terms = Terms(discount=None, percent="10", valid_days=days, bearer=bearer)
    return fresh("cn_1", new_code(), "c-1", terms, NOW, ZONE)


def why_not(change: object) -> str:
    assert callable(change)
    with pytest.raises(CouponRefused) as refused:
        change()
    return refused.value.code


def test_a_coupon_is_good_to_the_end_of_its_last_day_at_the_house() -> None:
    assert coupon(days=0).expires_at == datetime(2026, 11, 20, 16, tzinfo=UTC)
    assert coupon(days=30).expires_at == datetime(2026, 12, 20, 16, tzinfo=UTC)
    assert coupon().at(coupon().expires_at - timedelta(microseconds=1)).state == "issued"
    assert coupon().at(coupon().expires_at).state == "expired"


def test_a_coupon_is_used_once() -> None:
    used = coupon().redeem("o-1", None, NOW)
    assert (used.state, used.order_id, used.redeemed_by, used.due_at) == ("redeemed", "o-1", "c-1", None)
    assert why_not(lambda: used.redeem("o-1", None, NOW)) == "coupon-redeemed"
    assert used.at(GONE) == used


def test_nobody_is_said_to_have_used_a_bearer_s_coupon_who_did_not_say_so() -> None:
    assert coupon(bearer=True).redeem(None, None, NOW).redeemed_by is None
    assert coupon(bearer=True).redeem(None, "c-2", NOW).redeemed_by == "c-2"


def test_a_reserved_coupon_is_its_order_s_alone_until_the_reservation_ends() -> None:
    reserved = coupon().reserve("o-1", LATER, NOW)
    assert reserved.reserve("o-1", GONE, NOW) == reserved
    assert why_not(lambda: reserved.reserve("o-2", GONE, NOW)) == "coupon-reserved"
    assert why_not(lambda: reserved.redeem("o-2", None, NOW)) == "coupon-reserved"
    assert why_not(lambda: reserved.redeem(None, None, NOW)) == "coupon-reserved"
    assert reserved.redeem("o-1", None, NOW).state == "redeemed"
    assert reserved.redeem("o-2", None, LATER).state == "redeemed"
    assert reserved.at(LATER).state == "issued"


def test_a_reservation_outlives_the_coupon_s_last_day_and_no_longer() -> None:
    end = coupon(days=0).expires_at
    reserved = coupon(days=0).reserve("o-1", end + timedelta(minutes=10), NOW)
    assert reserved.redeem("o-1", None, end + timedelta(minutes=5)).state == "redeemed"
    assert reserved.at(end + timedelta(minutes=10)).state == "expired"
    assert why_not(lambda: reserved.redeem("o-1", None, end + timedelta(minutes=10))) == "coupon-expired"
    assert reserved.release("o-1", end + timedelta(minutes=5)).state == "expired"


def test_an_order_gives_back_what_it_has_and_nothing_else() -> None:
    for held in (coupon().reserve("o-1", LATER, NOW), coupon().redeem("o-1", None, NOW)):
        back = held.release("o-1", NOW)
        assert (back.state, back.order_id, back.redeemed_by) == ("issued", None, None)
        assert back.at(GONE).state == "expired"
        assert held.release(None, NOW).state == "issued"
        with pytest.raises(CouponRefused):
            held.release("o-2", NOW)
    untouched = coupon()
    assert untouched.release("o-1", NOW) == untouched
    assert coupon().redeem("o-1", None, NOW).release("o-1", GONE).state == "expired"


def test_what_is_void_stays_void_and_what_was_used_is_not_voided() -> None:
    void = coupon().void(NOW)
    assert void.void(LATER) == void
    assert why_not(lambda: void.redeem(None, None, NOW)) == "coupon-voided"
    assert why_not(lambda: void.release(None, NOW)) == "coupon-voided"
    assert why_not(lambda: void.reserve("o-1", LATER, NOW)) == "coupon-voided"
    assert why_not(lambda: coupon().redeem(None, None, NOW).void(NOW)) == "coupon-redeemed"
    assert coupon().reserve("o-1", LATER, NOW).void(NOW).state == "voided"


@given(st.integers(0, 60 * 24 * 40), st.integers(0, 60 * 24 * 40), st.integers(1, 60 * 24 * 40))
def test_it_is_the_same_at_an_instant_whether_or_not_it_was_swept_before(first: int, second: int, ttl: int) -> None:
    reserved = coupon().reserve("o-1", NOW + timedelta(minutes=ttl), NOW)
    early, late = NOW + timedelta(minutes=min(first, second)), NOW + timedelta(minutes=max(first, second))
    assert reserved.at(early).at(late) == reserved.at(late)
