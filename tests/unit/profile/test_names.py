"""Names as they are compared."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.profile.duplicates.names import alike, blocks, initials, written


@pytest.mark.parametrize(
    ("one", "other", "least", "most"),
    [
        ("House Oolong", "oolong,  HOUSE", 1, 1),
        ("好茶客", "好 茶客", 1, 1),
        ("ＴＥＡ　House", "Tea House", 1, 1),
        ("Tee House", "Thee House", 0.9, 0.99),
        ("Tea", "Coffee", 0, 0.5),
        ("", "Tea", 0, 0),
        ("!?", "!?", 0, 0),
    ],
)
def test_names_are_compared_whatever_their_case_width_blanks_and_order(
    one: str, other: str, least: float, most: float
) -> None:
    assert least <= alike(written(one), written(other)) <= most
    assert alike(written(one), written(other)) == alike(written(other), written(one))


def test_below_the_cutoff_names_are_not_alike() -> None:
    assert alike("teas", "tear", 75) == 0.75
    assert alike("teas", "tear", 76) == 0


def test_names_are_found_by_words_and_long_ones_in_ideographs_by_any_two_together() -> None:
    assert blocks(written("Tea House Xu")) == {"tea", "house"}
    assert blocks(written("好 茶客")) == {"好茶客"}
    assert blocks(written("好茶公司")) == {"好茶", "茶公", "公司"}
    assert blocks(written("王")) == {"王"}
    assert initials(written("好茶客")) == {"好"}
    assert initials(written("Tea House")) == {"t", "h"}


@given(st.lists(st.text(min_size=1), max_size=4), st.randoms())
def test_the_order_of_spaced_words_says_nothing(words: list[str], random: object) -> None:
    shuffled = sorted(words, key=lambda _: random.random())  # type: ignore[attr-defined]
    latin = [word for word in words if word.isascii()]
    assert written(" ".join(latin)) == written(" ".join(word for word in shuffled if word.isascii()))
