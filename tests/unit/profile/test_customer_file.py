"""Addresses, consent, merge patches, and what of a file may leave the service."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.profile.consents.domain import allowed
from services.profile.customers.announcements import change, registration
from services.profile.customers.contact_points import (
    ContactKind,
    ContactPoint,
    InvalidContactPoint,
    all_normalised,
    primary,
    with_primary,
)
from services.profile.customers.domain import CustomerFile, bare_file, changed, new_file
from services.profile.customers.parts import parts_of, whole
from services.profile.customers.shapes import FileFields, document_of, fields_of, merged
from shared.contracts.customers import Birthday, CustomerChanged
from shared.contracts.types import Cause

NOW = datetime(2026, 11, 20, tzinfo=UTC)
CAUSE = Cause(source="/s", id="1")


def clean(kind: ContactKind, value: str) -> str:
    return all_normalised([ContactPoint(kind, value)], "TW")[0].value


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("02-2345-6789", "+886223456789"),
        ("+886 2 2345 6789", "+886223456789"),
        ("0912 345 678", "+886912345678"),
        ("+86 138 0013 8000", "+8613800138000"),
    ],
)
def test_phones_are_stored_in_e164_by_the_house_region(written: str, stored: str) -> None:
    assert clean("phone", written) == stored


def test_emails_are_stored_in_lower_case() -> None:
    assert clean("email", " Some.One@EXAMPLE.com ") == "some.one@example.com"


@pytest.mark.parametrize(
    ("kind", "value"),
    [("phone", "12"), ("phone", "call me"), ("email", "nobody"), ("email", "a@b@example.com"), ("post", "   ")],
)
def test_what_is_no_address_of_its_kind_is_refused_with_its_place(kind: ContactKind, value: str) -> None:
    with pytest.raises(InvalidContactPoint) as error:
        all_normalised([ContactPoint("email", "a@example.com"), ContactPoint(kind, value)], "TW")
    assert (error.value.index, error.value.value) == (1, value)


def test_an_address_written_twice_is_stored_once() -> None:
    points = [ContactPoint("phone", "0912345678", verified=True), ContactPoint("phone", "+886912345678")]
    assert all_normalised(points, "TW") == (ContactPoint("phone", "+886912345678", verified=True),)


def test_the_first_of_a_kind_is_replaced_in_its_place() -> None:
    points = (ContactPoint("phone", "1"), ContactPoint("email", "a"), ContactPoint("phone", "2"))
    replaced = with_primary(points, "phone", "9")
    assert [point.value for point in replaced] == ["9", "a", "2"]
    assert primary(with_primary(points, "phone", None), "phone") == "2"
    assert primary(with_primary((), "email", "b"), "email") == "b"


@pytest.mark.parametrize(
    ("said", "purpose", "reachable", "expected"),
    [
        (None, "marketing", True, False), (True, "marketing", True, True), (False, "marketing", True, False),
        (None, "service", True, True), (None, "service", False, False), (False, "service", True, False),
        (True, "service", False, True),
    ],
)  # fmt: skip
def test_silence_is_consent_to_service_messages_alone(
    said: bool | None, purpose: str, reachable: bool, expected: bool
) -> None:
    assert allowed(said, purpose, reachable=reachable, by_default=("service",)) is expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3) | st.lists(inner, max_size=2),
    max_leaves=8,
)


@given(JSON, JSON)
def test_a_merge_patch_taken_twice_is_taken_once(target: Any, patch: Any) -> None:
    once = merged(target, patch)
    assert merged(once, patch) == once


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}), ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}), ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}), ({"a": [1]}, {"a": [2]}, {"a": [2]}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}), (["a"], {"a": 1}, {"a": 1}),
    ],
)  # fmt: skip
def test_merge_patches_do_what_rfc_7396_shows(target: Any, patch: Any, result: Any) -> None:
    assert merged(target, patch) == result


FULL = FileFields.model_validate(
    {
        "name": "Example Customer",
        "contact_points": [{"kind": "email", "value": "a@example.com", "verified": True}],
        "birthday": {"month": 2, "day": 29},
        "tags": ["tea", "tea", "vip"],
        "tenure_start": "2020-01-01T00:00:00+08:00",
        "attributes": {"shoe": 42},
    }
)


def test_a_file_as_a_document_reads_back_as_itself() -> None:
    file = new_file("c", fields_of(FULL), NOW)
    again = fields_of(FileFields.model_validate(document_of(file)), document_of(file))
    assert changed(file, whole(file, parts_of(file, again)), NOW) is file
    assert file.birthday == Birthday(month=2, day=29)
    assert file.tags == ("tea", "vip")


@pytest.mark.parametrize(
    "field",
    [
        {"birthday": {"month": 2, "day": 30}}, {"birthday": {"month": 1, "day": 1, "leap_month": True}},
        {"birthday": {"month": 5, "day": 31, "calendar": "lunar"}}, {"time_zone": "Mars/Base"},
        {"time_zone": "../etc/passwd"}, {"locale": "Chinese"}, {"preferred_hours": "9-5"}, {"value": {}},
        {"tenure_start": "2020-01-01"}, {"tenure_start": "9999-12-31T23:59:59-12:00"}, {"tags": ["a\nb"]},
        {"attributes": {"n": []}},
    ],
)  # fmt: skip
def test_fields_that_mean_nothing_are_refused(field: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        FileFields.model_validate(field)


def test_a_change_counts_a_version_and_what_changes_nothing_doesnt() -> None:
    file = new_file("c", {"name": "A"}, NOW)
    assert changed(file, {"name": "A"}, NOW) is file
    assert changed(file, {"name": "B"}, NOW).version == 2


def test_a_bare_file_is_bare_no_more_once_somebody_edited_it() -> None:
    assert not changed(bare_file("c", NOW), {}, NOW).bare


def test_no_event_carries_a_name_or_an_address() -> None:
    file = new_file("c", fields_of(FULL), NOW)
    said = msgspec.json.encode(registration(file, CAUSE, datetime.date)).decode()
    assert "tea" in said
    assert "Example" not in said
    assert "example.com" not in said
    assert "shoe" not in said


def test_only_a_change_that_identifies_nobody_is_announced() -> None:
    file = new_file("c", fields_of(FULL), NOW)
    renamed: CustomerFile = changed(file, {"name": "Other"}, NOW)
    tagged: CustomerFile = changed(file, {"tags": ("coffee",)}, NOW)
    assert change(file, renamed, CAUSE, datetime.date, NOW) is None
    event = change(file, tagged, CAUSE, datetime.date, NOW)
    assert isinstance(event, CustomerChanged)
    assert event.tags == ("coffee",)


def test_saying_an_address_again_or_verifying_it_is_announced_by_the_new_day_to_verify_the_file_by() -> None:
    said = {"contact_points.email": NOW}
    file = new_file("c", {"contact_points": (ContactPoint("email", "a@example.com"),)}, NOW)
    file = msgspec.structs.replace(file, said_at=said)
    assert registration(file, CAUSE, datetime.date).verify_by == date(2026, 12, 20)
    verified = changed(file, {"contact_points": (ContactPoint("email", "a@example.com", verified=True),)}, NOW)
    event = change(file, verified, CAUSE, datetime.date, NOW)
    assert event is not None
    assert event.verify_by == date(2027, 11, 20)
    later = NOW + timedelta(days=9)
    again = msgspec.structs.replace(file, said_at={"contact_points.email": later})
    event = change(file, again, CAUSE, datetime.date, later)
    assert event is not None
    assert (event.verify_by, event.occurred_at) == (date(2026, 12, 29), later)
    assert change(again, again, CAUSE, datetime.date, later) is None
