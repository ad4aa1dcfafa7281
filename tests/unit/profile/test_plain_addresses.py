"""The short way of normalising an address answers what the libraries answer."""

import phonenumbers
import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.profile.customers.contact_points import InvalidContactPoint, normalised

_LABEL = st.from_regex(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,8}[a-zA-Z0-9])?", fullmatch=True)
_ENDS = st.sampled_from(
    ["com", "tw", "cn", "test", "local", "localhost", "invalid", "onion", "arpa", "xn--p1ai", "c0m"]
)
EMAILS = st.builds(
    lambda local, labels, end: f"{local}@{'.'.join([*labels, end])}",
    st.text("abcXYZ019._+-", min_size=1, max_size=70),
    st.lists(_LABEL | st.sampled_from(["xn--fiq228c", "a--b", "-a", "home"]), min_size=0, max_size=3),
    _ENDS,
)
PHONES = st.builds(
    lambda prefix, digits, gap, end: gap.join([prefix, digits[:3], digits[3:]]) + end,
    st.sampled_from(
        [
            "+886",
            "+8869",
            "09",
            "+861",
            "1",
            "+1",
            "+12",
            "+86179",
            "179",
            "02",
            "+",
            "",
            "9",
            "0",
            "-09",
            "+ 8869",
            "++1",
        ]
    ),
    st.text("0123456789", min_size=5, max_size=11),
    st.sampled_from(["", " ", "-", "--"]),
    st.sampled_from(["", "-", " "]),
)


def _by_library(kind: str, value: str, region: str) -> str | None:
    if kind == "email":
        try:
            return validate_email(value.strip(), check_deliverability=False).normalized.lower()
        except EmailNotValidError:
            return None
    try:
        number = phonenumbers.parse(value, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _by_us(kind: str, value: str, region: str) -> str | None:
    try:
        return normalised(kind, value, region)  # type: ignore[arg-type]
    except InvalidContactPoint:
        return None


@settings(max_examples=100, deadline=None)
@given(EMAILS)
@example("Planted@Example.COM")
@example("a" * 65 + "@example.com")
@example("a@" + "b" * 64 + ".com")
def test_an_email_is_normalised_as_the_library_does(value: str) -> None:
    assert _by_us("email", value, "TW") == _by_library("email", value, "TW")


@settings(max_examples=100, deadline=None)
@given(PHONES, st.sampled_from(["TW", "CN", "US"]))
@example("0912-345-678", "TW")
@example("13812345678", "CN")
@example("+1 212 555 0100", "TW")
def test_a_phone_is_normalised_as_the_library_does(value: str, region: str) -> None:
    assert _by_us("phone", value, region) == _by_library("phone", value, region)


@pytest.mark.parametrize(
    "value", ["0912345678", "0912 345 678", "+886912345678", "+8613812345678", "+12125550100", "13812345678"]
)
def test_the_short_way_is_taken_by_common_phones(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(phonenumbers, "parse")
    region = "CN" if value.startswith("1") else "TW"
    assert normalised("phone", value, region).startswith("+")
