"""What a person with several ids agreed to: a merge never widens it, and what he says after it holds."""

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.profile.consents.domain import Consent, covered, holding
from services.profile.identities.domain import Person
from tests.kit.builders import NOW

IDS = ("a", "b", "c")
MERGED = Person(asked="a", customer_id="b", ids=IDS, joined_at=NOW)


def said(granted: bool, at: datetime) -> Consent:
    return Consent("email", "marketing", granted, "account-page", "2026-1", at)


def minutes(least: int, most: int) -> st.SearchStrategy[datetime]:
    return st.integers(least, most).map(lambda number: NOW + timedelta(minutes=number))


before = st.builds(said, st.booleans(), minutes(-50, 0))
after = st.builds(said, st.booleans(), minutes(1, 50))


@given(st.dictionaries(st.sampled_from(IDS), before))
def test_a_merge_grants_only_what_somebody_granted_and_nobody_withdrew(last: dict[str, Consent]) -> None:
    held = holding(MERGED, last)
    assert (held is None) == (not last)
    assert (held is not None and held.granted) == (bool(last) and all(word.granted for word in last.values()))


@given(st.dictionaries(st.sampled_from(["a", "c"]), st.one_of(before, after)), after)
def test_what_was_said_to_the_survivor_since_the_merge_holds(last: dict[str, Consent], own: Consent) -> None:
    assert holding(MERGED, last | {"b": own}) is own


@given(before, st.dictionaries(st.sampled_from(["a", "c"]), before))
def test_a_person_who_is_parted_has_his_own_word_again(own: Consent, last: dict[str, Consent]) -> None:
    alone = Person(asked="b", customer_id="b", ids=("b",))
    assert holding(alone, last | {"b": own}) is own
    assert holding(alone, last) is None


@given(st.dictionaries(st.sampled_from(IDS), before))
def test_a_grant_from_before_the_merge_covers_the_files_that_it_was_given_under(last: dict[str, Consent]) -> None:
    granted = {customer for customer, word in last.items() if word.granted}
    assert set(covered(MERGED, last, "marketing", ("service",))) == granted
    assert set(covered(MERGED, last, "service", ("service",))) == granted | (set(IDS) - set(last))


@given(st.dictionaries(st.sampled_from(["a", "c"]), st.one_of(before, after)), after)
def test_what_he_says_as_one_covers_all_of_his_the_survivors_first(last: dict[str, Consent], own: Consent) -> None:
    assert covered(MERGED, last | {"b": own}, "marketing", ()) == ["b", "a", "c"]
