"""Postings: the difference, balanced, in one chain."""

from datetime import datetime, timedelta

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from services.loyalty.ledger.domain import Award, Cause, Entry, Head, Lot, chain, settle, sweep
from services.loyalty.ledger.verification import balances
from tests.unit.loyalty.builders import START

DAY = timedelta(days=1)


def lot(points: int = 50, available: int = 14, expires: int | None = 365) -> Lot:
    return Lot(
        1,
        Award(
            order_id="o-1",
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


steps = st.lists(st.tuples(st.integers(0, 90), st.integers(0, 40), st.integers(0, 500), st.booleans()), max_size=12)


@given(steps)
def test_whatever_happens_the_books_sum_to_zero_and_hold_what_the_lot_says(
    drawn: list[tuple[int, int, int, bool]],
) -> None:
    one, head = lot(0), Head()
    entries: list[Entry] = []
    day = 0
    for points, forward, available, sweeping in drawn:
        day += forward
        now = START + day * DAY
        if sweeping:
            one, postings = sweep(one, now)
        else:
            award = msgspec.structs.replace(one.award, points=points, available_from=START + available * DAY)
            one, postings = settle(msgspec.structs.replace(one, award=award), points, now, now)
        entries += chain(head, 1, one, postings, Cause("/shop", "e", now), now)
        books = balances(entries)
        assert sum(books.values()) == 0
        held = {book: books[book] for book in ("pending", "available", "expired") if books[book]}
        assert held == ({one.posted_in: one.posted} if one.posted else {})
        assert one.due_at is None or one.due_at > now or not sweeping


def test_a_hash_covers_the_entry_and_all_before_it() -> None:
    head = Head()
    settled, postings = settle(lot(), 50, START + 20 * DAY, START)
    first, second = chain(head, 1, settled, postings, Cause("/shop", "e", START), START)
    assert first.chained(b"") == first.hash
    assert second.chained(first.hash) == second.hash == head.hash
    assert msgspec.structs.replace(first, points=51).chained(b"") != first.hash
