"""Names as they are compared."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.profile.duplicates.names import alike, blocks, initials, written


@pytest.mark.parametrize(
    ("one", "other", "least", "most"),
    [
        ("Chen Xiaoming", "xiaoming,  CHEN", 1, 1),
        ("王小明", "王 小明", 1, 1),
        ("ＷＡＮＧ　Xiaoming", "Wang Xiaoming", 1, 1),
        ("Jon Smith", "John Smith", 0.9, 0.99),
        ("Mary", "Peter", 0, 0.5),
        ("", "Mary", 0, 0),
        ("!?", "!?", 0, 0),
    ],
)
def test_names_are_compared_whatever_their_case_width_blanks_and_order(
    one: str, other: str, least: float, most: float
) -> None:
    assert least <= alike(written(one), written(other)) <= most
    assert alike(written(one), written(other)) == alike(written(other), written(one))


def test_below_the_cutoff_names_are_not_alike() -> None:
    assert alike("mary", "marx", 75) == 0.75
    assert alike("mary", "marx", 76) == 0


def test_names_are_found_by_words_and_long_ones_in_ideographs_by_any_two_together() -> None:
    assert blocks(written("Mary Ann Xu")) == {"mary", "ann"}
    assert blocks(written("王 小明")) == {"王小明"}
    assert blocks(written("好茶公司")) == {"好茶", "茶公", "公司"}
    assert blocks(written("王")) == {"王"}
    assert initials(written("王小明")) == {"王"}
    assert initials(written("Mary Ann")) == {"m", "a"}


@given(st.lists(st.text(min_size=1), max_size=4), st.randoms())
def test_the_order_of_spaced_words_says_nothing(words: list[str], random: object) -> None:
    shuffled = sorted(words, key=lambda _: random.random())  # type: ignore[attr-defined]
    latin = [word for word in words if word.isascii()]
    assert written(" ".join(latin)) == written(" ".join(word for word in shuffled if word.isascii()))
