"""Which referrals stand, by themselves and beside others."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.loyalty.referrals.domain import Counted, Edge, Limit, circle, over_limit

START = datetime(2026, 11, 1, tzinfo=UTC)


def edge(n: int, referee: str, referrer: str) -> Edge:
    return Edge(f"o-{n}", START + timedelta(days=n), referee, referrer)


def counted(n: int, limit: Limit | None) -> Counted:
    at = START + timedelta(days=n)
    return Counted(f"o-{n}", at, at.date(), limit)


@given(st.permutations(range(5)), st.integers(0, 4))
def test_everybody_in_a_circle_finds_the_same_one_and_its_last_purchase_last(days: list[int], start: int) -> None:
    ring = [edge(days[n], f"c-{n}", f"c-{(n + 1) % 5}") for n in range(5)]
    leading_on = {one.referee: one for one in ring}
    assert circle(ring[start], leading_on) == sorted(ring, key=lambda one: one.sort_key)


def test_who_leads_into_a_circle_or_past_its_end_is_in_none() -> None:
    ring = [edge(1, "a", "b"), edge(2, "b", "a")]
    leading_on = {one.referee: one for one in ring}
    assert circle(edge(3, "c", "a"), leading_on) == []
    assert circle(edge(3, "c", "d"), {}) == []


def test_a_limit_counts_purchases_of_its_period_and_not_those_it_refused() -> None:
    two = Limit(2, "month")
    # Days 0 to 4 are of November, 30 and later of December.
    assert over_limit([counted(n, two) for n in (4, 0, 3, 1, 30, 31, 32)]) == {"o-3", "o-4", "o-32"}


def test_each_referral_is_judged_by_the_limit_of_its_own_version() -> None:
    one, three = Limit(1, "lifetime"), Limit(3, "lifetime")
    found = over_limit([counted(0, None), counted(1, one), counted(2, three), counted(3, three), counted(4, three)])
    assert found == {"o-1", "o-4"}


@given(st.lists(st.integers(0, 60), unique=True), st.randoms())
def test_the_order_in_which_referrals_are_listed_does_not_matter(days: list[int], dice: object) -> None:
    listed = [counted(n, Limit(2, "week")) for n in days]
    shuffled = list(listed)
    dice.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis types it so
    assert over_limit(shuffled) == over_limit(listed)
