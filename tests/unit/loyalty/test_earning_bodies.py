"""What a version may ask for, to the field; and that what was valid is read as it was meant."""

from typing import Any

import msgspec
import pytest
from pydantic import ValidationError

from services.loyalty.programmes.bodies import EXAMPLE, ProgrammeBody, check_programme
from services.loyalty.programmes.domain import Base, Expiry
from services.loyalty.programmes.rules import Cap, Nth, Streak
from services.loyalty.programmes.stored import not_yet_evaluated, read_programme
from shared.http.problems import ProblemError
from tests.unit.loyalty.builders import START

RULE: dict[str, Any] = {"id": "r", "order": 1, "on": "purchase", "effect": {"bonus": 5}}


def with_rule(**changes: Any) -> dict[str, Any]:
    return {"rules": [{**RULE, **changes}]}


def points(**changes: Any) -> dict[str, Any]:
    return {"points": {**EXAMPLE["points"], **changes}}


@pytest.mark.parametrize(
    "changes",
    [
        points(base="profit"), points(rounding="up"),
        with_rule(effect={"per_unit": 0}), with_rule(effect={"per_unit": 1, "bonus": 1}), with_rule(effect={}),
        with_rule(on="nth-purchase"), with_rule(nth={"n": 2, "per": "month"}),
        with_rule(on="nth-purchase", nth={"n": 0, "per": "month"}),
        with_rule(when={"streak": {"n": 1, "per": "week"}}), with_rule(when={"streak": {"n": 2, "per": "day"}}),
        with_rule(cap={"points": 1, "per": "month", "scope": "shop"}),
        {"expiry": {"kind": "month-end", "months": 0}}, {"expiry": {"kind": "year-end", "months": 1}},
        {"budget": {"points": -1, "per": "month"}},
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ProgrammeBody.model_validate({**EXAMPLE, **changes})


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        (with_rule(when={"tier": ["silver", "platinum"]}), "/rules/0/when/tier/1"),
        (with_rule(id="base"), "/rules/0/id"), (with_rule(id="tier"), "/rules/0/id"),
        ({"expiry": {"kind": "month-end", "months": 1}, "pending_days": 30}, "/expiry/months"),
        ({"expiry": {"kind": "year-end", "years": 1}, "pending_days": 365}, "/expiry/years"),
    ],
)  # fmt: skip
def test_what_contradicts_another_field_is_refused_by_its_pointer(changes: dict[str, Any], pointer: str) -> None:
    with pytest.raises(ProblemError) as refused:
        check_programme(ProgrammeBody.model_validate({**EXAMPLE, **changes}))
    assert [error.pointer for error in refused.value.errors] == [pointer]


def test_what_is_posted_is_what_judges() -> None:
    rule = {
        **RULE, "on": "nth-purchase", "nth": {"n": 3, "per": "year"}, "effect": {"per_unit": 4},
        "when": {"tier": ["silver"], "streak": {"n": 4, "per": "month"}},
        "cap": {"points": 9, "per": "day", "scope": "programme"},
    }  # fmt: skip
    body = ProgrammeBody.model_validate({
        **EXAMPLE, **points(base="before-discount-without-tax-and-shipping", rounding="half-up"), "rules": [rule],
        "expiry": {"kind": "year-end", "years": 2}, "budget": {"points": 7, "per": "lifetime"},
    })  # fmt: skip
    check_programme(body)
    version = read_programme(2, START, msgspec.json.encode(body.document()))
    assert (version.base, version.rounding) == (Base(True, False, False), "half-up")
    assert (version.expiry, version.budget) == (Expiry("year-end", 2), Cap(7, "lifetime", "programme"))
    [read] = version.rules
    assert (read.nth, read.per_unit, read.cap) == (Nth(3, "year"), 4, Cap(9, "day", "programme"))
    assert (read.when.tiers, read.when.streak) == (frozenset({"silver"}), Streak(4, "month"))
    assert (version.is_shared, version.asks_tier, version.has_caps) == (True, True, False)
    assert not_yet_evaluated(body.document()) == []
