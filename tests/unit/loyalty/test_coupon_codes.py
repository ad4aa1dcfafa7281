"""What a coupon's check character finds."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.loyalty.coupons.codes import ALPHABET, LENGTH, Mistyped, check_character, new_code, read_code, shown

drawn = st.text(st.sampled_from(ALPHABET), min_size=LENGTH - 1, max_size=LENGTH - 1)
codes = drawn.map(lambda characters: characters + check_character(characters))
places = st.integers(0, LENGTH - 1)


def is_mistyped(typed: str) -> bool:
    try:
        read_code(typed)
    except Mistyped:
        return True
    return False


@given(codes)
def test_every_single_character_mistake_is_found(code: str) -> None:
    wrong = [code[:at] + other + code[at + 1 :] for at in range(LENGTH) for other in ALPHABET if other != code[at]]
    assert len(wrong) == LENGTH * (len(ALPHABET) - 1)
    assert all(map(is_mistyped, wrong))


@given(codes, places, places)
def test_two_characters_that_changed_places_are_found_however_far_apart(code: str, one: int, other: int) -> None:
    swapped = list(code)
    swapped[one], swapped[other] = code[other], code[one]
    assert is_mistyped("".join(swapped)) == (code[one] != code[other])


@given(codes)
def test_every_adjacent_transposition_is_found(code: str) -> None:
    for at in range(LENGTH - 1):
        swapped = code[:at] + code[at + 1] + code[at] + code[at + 2 :]
        assert is_mistyped(swapped) == (code[at] != code[at + 1])


@given(codes, st.booleans())
def test_a_code_is_read_as_it_is_shown_whatever_its_case_and_spaces(code: str, lower: bool) -> None:
    written = shown(read_code(code))
    assert read_code(f" {written.lower() if lower else written} ") == code
    assert read_code(written.replace("-", " ")) == code


@given(st.text(max_size=40))
def test_whatever_else_is_typed_is_refused_as_mistyped_and_nothing_worse(typed: str) -> None:
    if not is_mistyped(typed):
        assert len(read_code(typed)) == LENGTH


@pytest.mark.parametrize("typed", ["", "7K3QM", "7K3QM-9XRTB-W4HD0", "7K3QM-9XRTB-W4HDſ", "٣" * LENGTH])
def test_what_has_other_characters_or_another_length_is_mistyped(typed: str) -> None:
    assert is_mistyped(typed)


def test_codes_have_sixty_bits_and_none_comes_twice() -> None:
    assert (LENGTH - 1) * math.log2(len(ALPHABET)) >= 60
    made = [new_code() for _ in range(2_000)]
    assert len(set(made)) == len(made)
    assert [read_code(code) for code in made] == made
    assert all({code[at] for code in made} == set(ALPHABET) for at in range(LENGTH))
