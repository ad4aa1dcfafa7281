"""The quality of a file: full marks for what is filled in, verified and fresh, and a reason for every point less."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.profile.customers.contact_points import ContactPoint
from services.profile.customers.domain import CustomerFile, new_file
from services.profile.customers.quality import OF_A_COMPANY, OF_A_PERSON, Quality, quality, verify_by
from shared.contracts.customers import Birthday

NOW = datetime(2026, 11, 20, 4, tzinfo=UTC)
PARTS = (
    "name", "contact_points.email", "contact_points.phone", "locale", "preferred_channel", "birthday", "time_zone",
    "interests", "industry", "company_size", "business_model",
)  # fmt: skip
EMAIL, PHONE = ContactPoint("email", "a@example.com", verified=True), ContactPoint("phone", "+886223456789", True)
PERSON: dict[str, Any] = {
    "name": "A", "contact_points": (EMAIL, PHONE), "locale": "zh-TW", "preferred_channel": "email",
    "birthday": Birthday(month=1, day=1), "time_zone": "Asia/Taipei", "interests": ("tea",),
}  # fmt: skip
COMPANY: dict[str, Any] = {
    "kind": "company", "name": "A", "contact_points": (EMAIL, PHONE), "locale": "zh-TW", "preferred_channel": "email",
    "industry": "tea", "company_size": 3, "business_model": "b2b",
}  # fmt: skip


def file(fields: dict[str, Any], said: datetime = NOW, **parts: datetime) -> CustomerFile:
    made = new_file("c", fields, NOW)
    return msgspec.structs.replace(made, said_at={**dict.fromkeys(PARTS, said), **parts})


def judged(of: CustomerFile, now: datetime = NOW) -> Quality:
    return quality(of, datetime.date, now)


@pytest.mark.parametrize("fields", [PERSON, COMPANY])
def test_a_full_fresh_verified_file_has_all_points_and_a_day_to_verify_it_by(fields: dict[str, Any]) -> None:
    assert judged(file(fields)) == Quality(100, (), date(2027, 11, 20))


@pytest.mark.parametrize("expected", [OF_A_PERSON, OF_A_COMPANY])
def test_what_is_expected_is_worth_a_hundred_points(expected: Any) -> None:
    assert sum(one.points for one in expected) == 100
    assert all(one.points % 2 == 0 for one in expected)


def test_an_empty_file_has_none_and_nothing_to_verify() -> None:
    found = judged(file({}))
    assert (found.score, found.verify_by) == (0, None)
    assert {reason.code for reason in found.reasons} == {"missing"}


def test_an_address_that_is_not_verified_counts_half_and_is_to_be_verified_soon() -> None:
    points = (msgspec.structs.replace(EMAIL, verified=False), PHONE)
    found = judged(file(PERSON | {"contact_points": points}))
    assert [(why.code, why.field, why.points) for why in found.reasons] == [("unverified", "email", 10)]
    assert (found.score, found.verify_by) == (90, date(2026, 12, 20))


def test_what_was_said_too_long_ago_counts_half_from_the_day_on_that_was_named() -> None:
    old = file(PERSON)
    by = judged(old).verify_by
    assert by is not None
    at = datetime(by.year, by.month, by.day, tzinfo=UTC)
    assert judged(old, at - timedelta(seconds=1)).score == 100
    found = judged(old, at)
    assert {(why.code, why.field) for why in found.reasons} == {("outdated", "email"), ("outdated", "phone")}
    assert (found.score, found.verify_by) == (80, by)


def test_the_days_are_those_of_the_house() -> None:
    late = datetime(2026, 11, 20, 20, tzinfo=UTC)
    here = quality(file(PERSON, late), lambda at: (at + timedelta(hours=8)).date(), late)
    assert here.verify_by == date(2027, 11, 21)


@given(
    st.sampled_from([PERSON, COMPANY]), st.sets(st.sampled_from(sorted(PERSON.keys() | COMPANY.keys() - {"kind"}))),
    st.integers(0, 2000), st.booleans(),
)  # fmt: skip
def test_every_point_less_has_a_reason_and_saying_it_again_never_costs_one(
    fields: dict[str, Any], left_out: set[str], days: int, verified: bool
) -> None:
    points = (msgspec.structs.replace(EMAIL, verified=verified), PHONE)
    given_ = {name: value for name, value in (fields | {"contact_points": points}).items() if name not in left_out}
    old, fresh = judged(file(given_, NOW - timedelta(days=days))), judged(file(given_, NOW))
    assert 0 <= old.score == 100 - sum(why.points for why in old.reasons)
    assert old.score <= fresh.score


@given(
    st.sampled_from([PERSON, COMPANY]), st.dictionaries(st.sampled_from(PARTS), st.integers(0, 2000)),
    st.booleans(), st.booleans(),
)  # fmt: skip
def test_the_day_that_events_tell_is_the_one_that_the_view_shows(
    fields: dict[str, Any], ago: dict[str, int], email: bool, phone: bool
) -> None:
    points = (msgspec.structs.replace(EMAIL, verified=email), msgspec.structs.replace(PHONE, verified=phone))
    said = {part: NOW - timedelta(days=days) for part, days in ago.items()}
    of = file(fields | {"contact_points": points}, **said)
    assert verify_by(of, datetime.date) == judged(of).verify_by
