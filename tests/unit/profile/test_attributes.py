"""What is a value of a declared attribute."""

from typing import Any

import pytest

from services.profile.attributes.domain import AttributeType, InvalidAttribute, checked


@pytest.mark.parametrize(
    ("declared", "given", "kept"),
    [
        ("string", "x", "x"), ("integer", 42, 42), ("boolean", False, False), ("date", "2026-02-28", "2026-02-28"),
        ("decimal", "12.50", "12.50"), ("decimal", 12.5, "12.5"), ("decimal", -3, "-3"), ("integer", None, None),
    ],
)  # fmt: skip
def test_a_value_of_its_type_is_kept(declared: AttributeType, given: Any, kept: Any) -> None:
    assert checked({"a": given}, {"a": declared}) == {"a": kept}


@pytest.mark.parametrize(
    ("declared", "given"),
    [
        ("string", 1), ("integer", "42"), ("integer", True), ("integer", 4.0), ("boolean", 1), ("boolean", "true"),
        ("date", "2026-02-30"), ("date", "20260228"), ("date", 20260228), ("date", "2026-02-28T00:00:00Z"),
        ("decimal", "1e3"), ("decimal", "1_0"), ("decimal", "１２"), ("decimal", 1e30), ("decimal", True),
        ("decimal", "0.1234567"),
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_refused_by_name(declared: AttributeType, given: Any) -> None:
    with pytest.raises(InvalidAttribute) as error:
        checked({"b": 1, "a": given}, {"a": declared})
    assert error.value.name == "a"


def test_what_is_not_declared_is_kept_as_it_is() -> None:
    assert checked({"a": 1.5, "b": "x"}, {"c": "date"}) == {"a": 1.5, "b": "x"}
