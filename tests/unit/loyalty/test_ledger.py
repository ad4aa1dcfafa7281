"""Postings: the difference, balanced, in one chain."""

from collections import Counter
from datetime import datetime, timedelta

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from services.loyalty.ledger.domain import OF_CUSTOMERS, Award, Cause, Head, Lot, Subject, chain
from services.loyalty.ledger.moves import settle, sweep, use
from tests.unit.loyalty.builders import START

DAY = timedelta(days=1)


def lot(points: int = 50, available: int = 14, expires: int | None = 365) -> Lot:
    return Lot(
        1,
        Award(
            source_id="o-1",
            occurred_at=START,
            currency="TWD",
            net_minor=50_000,
            points=points,
            reversed=0,
            programme_version=1,
            judged_with=1,
            available_from=START + available * DAY,
            expires_at=None if expires is None else START + expires * DAY,
        ),
    )


def kinds(before: Lot, points: int, now: datetime) -> list[tuple[str, int]]:
    return [(posting.kind, posting.points) for posting in settle(before, points, now, now)[1]]


def test_new_points_are_pending_and_late_ones_are_released_at_once() -> None:
    assert kinds(lot(), 50, START) == [("earned", 50)]
    assert kinds(lot(), 50, START + 20 * DAY) == [("earned", 50), ("released", 50)]


def test_only_the_difference_is_posted() -> None:
    settled, _ = settle(lot(), 50, START, START)
    assert kinds(settled, 50, START) == []
    assert kinds(settled, 30, START) == [("reversed", 20)]
    assert kinds(settled, 70, START) == [("earned", 20)]


def test_points_that_expired_before_a_return_leave_no_debt() -> None:
    settled, _ = settle(lot(), 50, START, START)
    swept, postings = sweep(settled, START + 400 * DAY)
    assert [posting.kind for posting in postings] == ["released", "expired"]
    _, postings = settle(swept, 0, START + 401 * DAY, START + 401 * DAY)
    assert [(posting.debit, posting.credit, posting.points) for posting in postings] == [("expired", "reversed", 50)]


def test_a_lot_is_due_when_it_is_released_then_when_it_expires_then_never() -> None:
    settled, _ = settle(lot(), 50, START, START)
    assert settled.due_at == START + 14 * DAY
    released, _ = sweep(settled, START + 14 * DAY)
    assert released.due_at == START + 365 * DAY
    expired, _ = sweep(released, START + 365 * DAY)
    assert expired.due_at is None


step = st.tuples(
    st.sampled_from(["award", "sweep", "use"]), st.integers(0, 90), st.integers(0, 40), st.integers(0, 500),
    st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60)),
)  # fmt: skip


@given(st.lists(step, max_size=14))
def test_whatever_happens_each_entry_leaves_the_books_as_the_lot_says_and_none_below_zero(
    drawn: list[tuple[str, int, int, int, tuple[int, int, int]]],
) -> None:
    one, head = lot(0), Head()
    held: Counter[str] = Counter()
    day = 0
    for what, points, forward, available, (spent, kept, repaid) in drawn:
        day += forward
        now = START + day * DAY
        match what:
            case "sweep":
                one, postings = sweep(one, now)
            case "use":
                repaid = min(repaid, max(0, one.award.points - spent - kept))
                one, postings = use(one, now, now, spent=spent, held=kept, repaid=repaid)
            case _:
                award = msgspec.structs.replace(one.award, points=points, available_from=START + available * DAY)
                one, postings = settle(msgspec.structs.replace(one, award=award), points, now, now)
        for entry in chain(head, 1, Subject.of(one.award), postings, Cause("/shop", "e", now), now):
            held[entry.credit] += entry.points
            held[entry.debit] -= entry.points
            assert min(held[book] for book in OF_CUSTOMERS) >= 0, entry
        assert sum(held.values()) == 0
        assert one.booked == one.award.points
        places = {"pending": 0, "available": 0, "expired": 0, one.posted_in: one.posted}
        expected = {**places, "held": one.held, "redeemed": one.spent, "debt": one.repaid - one.owed}
        assert {book: held[book] for book in expected} == expected
        assert one.due_at is None or one.due_at > now or what == "award"


def test_what_falls_below_the_points_that_were_used_is_owed_and_paid_by_what_comes_back() -> None:
    now = START + 20 * DAY
    earned, _ = settle(lot(50), 50, now, now)
    used, postings = use(earned, now, now, spent=50)
    assert [(p.kind, p.debit, p.credit) for p in postings] == [("redeemed", "available", "redeemed")]
    returned, postings = settle(used, 20, now, now)
    assert [(p.debit, p.credit, p.points) for p in postings] == [("debt", "reversed", 30)]
    assert returned.owed == 30
    rolled_back, postings = use(returned, now, now, spent=0)
    back = [(p.debit, p.credit, p.points) for p in postings]
    assert back == [("redeemed", "debt", 30), ("redeemed", "available", 20)]
    assert (rolled_back.owed, rolled_back.posted) == (0, 20)


def test_what_comes_back_to_a_lot_that_has_expired_expires_when_it_comes_back() -> None:
    now, after = START + 20 * DAY, START + 400 * DAY
    earned, _ = settle(lot(50), 50, now, now)
    used, _ = use(earned, now, now, spent=20)
    _, postings = use(used, after, after, spent=0)
    told = [(p.kind, p.points, p.occurred_at) for p in postings]
    assert told == [("expired", 30, START + 365 * DAY), ("rolled-back", 20, after), ("expired", 20, after)]
    used, _ = use(earned, now, now, spent=50)
    _, postings = use(used, after, after, spent=0)
    assert [(p.kind, p.points, p.occurred_at) for p in postings] == [("rolled-back", 50, after), ("expired", 50, after)]


def test_a_hash_covers_the_entry_and_all_before_it() -> None:
    head = Head()
    settled, postings = settle(lot(), 50, START + 20 * DAY, START)
    first, second = chain(head, 1, Subject.of(settled.award), postings, Cause("/shop", "e", START), START)
    assert first.chained(b"") == first.hash
    assert second.chained(first.hash) == second.hash == head.hash
    assert msgspec.structs.replace(first, points=51).chained(b"") != first.hash
