"""Privileges: valid by their code, and in words that a customer reads."""

from typing import Any

import pytest
from pydantic import ValidationError

from services.loyalty.privileges.domain import read_privilege
from services.loyalty.programmes.bodies import TierBody

GOOD: list[dict[str, Any]] = [
    {"code": "free-shipping"},
    {"code": "discount", "percent": "5"},
    {"code": "quantity-steps", "steps": [{"quantity": 10, "percent": "5"}, {"quantity": 50, "percent": "7.5"}]},
    {"code": "free-upgrade"},
    {"code": "free-upgrade", "to": "express"},
    {"code": "early-access", "hours": 24},
    {"code": "early-access", "days": 2},
    {"code": "priority-purchase"},
    {"code": "longer-credit", "days": 60, "limit": {"amount": "50000", "currency": "TWD"}},
    {"code": "dedicated-manager"},
    {"code": "trial"},
    {"code": "trial", "days": 14},
    {"code": "birthday-gift", "points": 200},
    {"code": "birthday-gift", "reward_id": "r-7"},
]
BAD: list[dict[str, Any]] = [
    {"code": "free-lunch"},
    {"percent": "5"},
    {"code": "discount"},
    {"code": "discount", "percent": "0"},
    {"code": "discount", "percent": "101"},
    {"code": "discount", "percent": "5", "days": 3},
    {"code": "quantity-steps", "steps": []},
    {"code": "quantity-steps", "steps": [{"quantity": 10, "percent": "5"}, {"quantity": 10, "percent": "6"}]},
    {"code": "quantity-steps", "steps": [{"quantity": 10, "percent": "5"}, {"quantity": 20, "percent": "5.0"}]},
    {"code": "early-access"},
    {"code": "early-access", "hours": 1, "days": 1},
    {"code": "longer-credit", "days": 60},
    {"code": "longer-credit", "days": 60, "limit": {"amount": "0", "currency": "TWD"}},
    {"code": "longer-credit", "days": 60, "limit": {"amount": "1", "currency": "XXY"}},
    {"code": "longer-credit", "days": 60, "limit": {"amount": "1.001", "currency": "TWD"}},
    {"code": "birthday-gift"},
    {"code": "birthday-gift", "points": 1, "reward_id": "r-7"},
]


def _tier(*privileges: dict[str, Any]) -> TierBody:
    qualify = {"spend": "5000.00", "window_days": 365}
    return TierBody.model_validate({"name": "silver", "qualify": qualify, "privileges": list(privileges)})


def test_a_tier_lists_privileges_of_every_code_and_keeps_them_as_they_were_said() -> None:
    assert _tier(*GOOD).model_dump(mode="json", exclude_none=True)["privileges"] == GOOD


@pytest.mark.parametrize("privilege", BAD)
def test_a_privilege_that_its_code_does_not_allow_is_refused_where_it_stands(privilege: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as refused:
        _tier({"code": "trial"}, privilege)
    assert all(error["loc"][:2] == ("privileges", 1) for error in refused.value.errors())


@pytest.mark.parametrize("privilege", GOOD)
def test_every_privilege_has_words_in_both_languages_and_none_with_a_gap(privilege: dict[str, Any]) -> None:
    read = read_privilege(privilege)
    assert read.text.keys() == {"en", "zh-CN"}
    assert all(text and "{" not in text for text in read.text.values())
    assert {"code": read.code, **read.values} == privilege


def test_the_words_have_the_values_in_them() -> None:
    said = [read_privilege(privilege).text["en"] for privilege in GOOD]
    assert "5% off from 10 pieces, 7.5% off from 50 pieces" in said
    assert "60 days to pay, up to 50000 TWD" in said
    assert "Buy 24 hours before everybody else" in said


def test_what_the_version_says_of_a_privilege_goes_before_our_words() -> None:
    read = read_privilege({"code": "discount", "percent": "5", "text": {"en": "A little off", "de": "Etwas billiger"}})
    assert read.text == {"en": "A little off", "zh-CN": "优惠 5%", "de": "Etwas billiger"}
    assert read.values == {"percent": "5"}


def test_a_privilege_that_is_older_than_the_codes_is_told_as_it_was_kept() -> None:
    read = read_privilege({"code": "free-lunch", "on": "fridays", "text": {"en": "Lunch"}})
    assert (read.code, read.values, read.text) == ("free-lunch", {"on": "fridays"}, {"en": "Lunch"})
    assert read_privilege({"code": "discount"}).text == {}
