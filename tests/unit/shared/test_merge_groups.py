"""Who answers for whom, for any set of merges: everybody has one survivor, and no circle stands."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from shared.messaging.merges import MergeFact, survivors

AT = datetime(2026, 11, 20, tzinfo=UTC)


def merge(from_id: str, into_id: str, minutes: int = 0) -> MergeFact:
    return MergeFact(f"{from_id}>{into_id}@{minutes}", 1, from_id, into_id, True, AT + timedelta(minutes=minutes))


def test_a_merge_of_a_survivor_takes_everybody_along() -> None:
    assert survivors([merge("a", "b"), merge("b", "c")]) == {"a": "c", "b": "c"}


def test_of_two_merges_of_one_id_the_newest_holds() -> None:
    assert survivors([merge("a", "b", 1), merge("a", "c", 2)]) == {"a": "c"}


def test_a_merge_back_while_the_undo_is_still_on_its_way_settles_for_the_newest() -> None:
    assert survivors([merge("a", "b", 1), merge("b", "a", 2)]) == {"b": "a"}


ids = st.sampled_from("abcdef")
merges = st.lists(st.builds(merge, ids, ids, st.integers(0, 50)).filter(lambda m: m.from_id != m.into_id), max_size=12)


@given(merges, st.randoms())
def test_any_order_leads_everybody_to_one_survivor_who_is_his_own(facts: list[MergeFact], random: object) -> None:
    found = survivors(facts)
    assert all(survivor not in found for survivor in found.values())
    shuffled = list(facts)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert survivors(shuffled) == found
