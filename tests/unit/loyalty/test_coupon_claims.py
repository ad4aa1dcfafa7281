"""Which of the orders that name a coupon has used it."""

import itertools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec

from services.loyalty.coupons.claims import Claim, settle
from services.loyalty.coupons.codes import new_code
from services.loyalty.coupons.domain import Coupon, Terms, fresh
from shared.messaging.merges import Groups

NOW = datetime(2026, 11, 20, 4, tzinfo=UTC)
ALONE = Groups()


def coupon(*, bearer: bool = False) -> Coupon:
    terms = Terms(discount=None, percent="10", valid_days=30, bearer=bearer)
    return fresh("cn_1", new_code(), "c-1", terms, NOW, ZoneInfo("Asia/Taipei"))


def claim(order: str, days: float = 1, customer: str = "c-1", *, stands: bool = True) -> Claim:
    return Claim("cn_1", order, customer, NOW + timedelta(days=days), stands)


def conflicts(claims: list[Claim]) -> dict[str, str | None]:
    return {one.order_id: one.conflict for one in claims}


def test_the_earliest_order_has_it_whichever_is_heard_of_first() -> None:
    for claims in itertools.permutations([claim("o-1", 3), claim("o-2", 1), claim("o-3", 2)]):
        after, judged, news = settle(coupon(), claims, ALONE, set(), NOW)
        assert (after.state, after.order_id, after.state_at) == ("redeemed", "o-2", NOW + timedelta(days=1))
        assert conflicts(judged) == {"o-1": "coupon-redeemed", "o-2": None, "o-3": "coupon-redeemed"}
        assert news is not None
        assert news.order_id == "o-2"


def test_the_next_order_has_it_when_the_first_gives_it_back_and_is_told_of_once() -> None:
    first, second = claim("o-1", 1), claim("o-2", 2)
    used, judged, _ = settle(coupon(), [first, second], ALONE, set(), NOW)
    judged[0] = msgspec.structs.replace(judged[0], stands=False)
    after, judged, news = settle(used, judged, ALONE, {"o-1"}, NOW)
    assert (after.order_id, news) == ("o-2", judged[1])
    judged[0] = msgspec.structs.replace(judged[0], stands=True)
    back, judged, news = settle(after, judged, ALONE, set(), NOW)
    assert (back.order_id, news) == ("o-1", None), "it was told before"


def test_what_nobody_uses_any_more_is_open_as_if_nobody_had_and_expires_at_its_end() -> None:
    whole = coupon()
    used, judged, _ = settle(whole, [claim("o-1")], ALONE, set(), NOW)
    none = [msgspec.structs.replace(judged[0], stands=False)]
    assert settle(used, none, ALONE, {"o-1"}, NOW).coupon == whole
    late = whole.expires_at + timedelta(days=1)
    assert settle(used, none, ALONE, {"o-1"}, late).coupon == whole.at(late)


def test_what_was_placed_before_the_end_or_the_voiding_uses_it_and_what_came_after_does_not() -> None:
    whole = coupon()
    swept = whole.at(whole.expires_at)
    voided = whole.void(NOW + timedelta(days=2))
    for ended, end, why in ((swept, whole.expires_at, "coupon-expired"), (voided, voided.state_at, "coupon-voided")):
        before = msgspec.structs.replace(claim("o-1"), occurred_at=end - timedelta(microseconds=1))
        used, judged, _ = settle(ended, [before], ALONE, set(), NOW + timedelta(days=60))
        assert (used.state, used.order_id, conflicts(judged)) == ("redeemed", "o-1", {"o-1": None})
        at_end = msgspec.structs.replace(claim("o-1"), occurred_at=end)
        after, judged, news = settle(ended, [at_end], ALONE, set(), NOW + timedelta(days=60))
        assert (after, conflicts(judged), news) == (ended, {"o-1": why}, None)
    held = settle(voided, [claim("o-1")], ALONE, set(), NOW)
    none = [msgspec.structs.replace(held.claims[0], stands=False)]
    assert settle(held.coupon, none, ALONE, {"o-1"}, NOW).coupon == voided


def test_another_customer_s_coupon_is_not_used_unless_he_is_the_same_person_or_it_is_a_bearer_s() -> None:
    theirs = [claim("o-1", customer="c-2")]
    after, judged, _ = settle(coupon(), theirs, ALONE, set(), NOW)
    assert (after.state, conflicts(judged)) == ("issued", {"o-1": "not-your-coupon"})
    one = Groups({"c-1": "c-2"}, {"c-2": ["c-1"]})
    assert settle(coupon(), theirs, one, set(), NOW).coupon.redeemed_by == "c-2"
    assert settle(coupon(bearer=True), theirs, ALONE, set(), NOW).coupon.redeemed_by == "c-2"


def test_what_a_till_used_stays_so_for_its_order_and_against_all_earlier_ones() -> None:
    used = coupon().redeem("o-1", None, NOW + timedelta(days=5))
    after, judged, news = settle(used, [claim("o-1", 5), claim("o-2", 1)], ALONE, set(), NOW)
    assert (after, news, conflicts(judged)) == (used, None, {"o-1": None, "o-2": "coupon-redeemed"})
    freed = settle(used, [claim("o-2", 1)], ALONE, {"o-1"}, NOW)
    assert freed.coupon.order_id == "o-2"
    assert settle(used, [], ALONE, {"o-1"}, NOW).coupon.state == "issued"
    assert settle(used, [], ALONE, {"o-9"}, NOW).coupon == used


def test_a_reservation_gives_way_to_an_order_that_was_paid() -> None:
    reserved = coupon().reserve("o-1", NOW + timedelta(days=9), NOW)
    assert settle(reserved, [claim("o-2")], ALONE, set(), NOW).coupon.order_id == "o-2"
    assert settle(reserved, [], ALONE, set(), NOW).coupon == reserved
    assert settle(reserved, [], ALONE, {"o-1"}, NOW).coupon.state == "issued"


def test_what_a_till_keeps_for_an_order_beyond_the_coupon_s_end_is_its_and_no_other_s() -> None:
    whole = coupon()
    end = whole.expires_at
    late = msgspec.structs.replace(claim("o-1"), occurred_at=end, reserved_until=end + timedelta(minutes=1))
    assert settle(whole.at(end), [late], ALONE, set(), end).coupon.order_id == "o-1"
    later = msgspec.structs.replace(late, occurred_at=end + timedelta(minutes=1))
    kept = Claim("cn_1", "o-1", reserved_until=late.reserved_until)
    given_back = msgspec.structs.replace(kept.waive(NOW), customer_id="c-1", occurred_at=end, stands=True)
    for beyond in (later, msgspec.structs.replace(late, reserved_until=None), given_back):
        assert settle(whole.at(end), [beyond], ALONE, set(), end).claims[0].conflict == "coupon-expired"


def test_what_a_till_gave_back_is_not_taken_again_by_the_same_purchase_but_by_a_later_one() -> None:
    waived = claim("o-1", 1).waive(NOW + timedelta(days=2))
    after, judged, _ = settle(coupon(), [waived], ALONE, set(), NOW)
    assert (after.state, conflicts(judged)) == ("issued", {"o-1": None})
    again = msgspec.structs.replace(waived, occurred_at=NOW + timedelta(days=3))
    assert settle(coupon(), [again], ALONE, set(), NOW).coupon.order_id == "o-1"
    ahead = claim("o-1", 4).waive(NOW)
    assert settle(coupon(), [ahead], ALONE, set(), NOW).coupon.state == "issued", "its clock was ahead"


def test_loaded_history_uses_a_coupon_and_is_told_to_nobody() -> None:
    loaded = msgspec.structs.replace(claim("o-1"), backfill=True)
    after, _, news = settle(coupon(), [loaded], ALONE, set(), NOW)
    assert (after.state, news) == ("redeemed", None)
