"""What the house owes its customers in points, by the month of issue, and what of it will never be asked for. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date

import msgspec

OWED = ("pending", "available", "held", "debt")
"""The books that are the liability; what a customer owes is less of it."""
_COLUMNS = {
    "issued": "issued", "redeemed": "used", "expired": "expired", "reversed": "reversed", "adjusted": "adjusted",
    "compensation": "compensation", "transferred": "transferred",
}  # fmt: skip
_TAKEN_OFF = ("used", "expired", "reversed")
COLUMNS = ("opening", *_COLUMNS.values(), "closing")
MIN_COHORTS = 3
MIN_POINTS = 100
_SETTLED = 0.01


class Movement(msgspec.Struct, frozen=True):
    """What a month wrote down of the points that a month issued: credits less debits of one book. Months by their
    first day; no month of issue: owed for points that were never that person's."""

    issued: date | None
    version: int | None
    booked: date
    book: str
    points: int


class Line(msgspec.Struct, frozen=True):
    """The roll-forward of one month of issue. ``points`` and ``money`` (minor units; None where some version says no
    value) by column: opening + issued - used - expired - reversed + adjusted + compensation + transferred = closing.

    ``places``: where the closing points are, by book; debt is what customers owe.
    """

    issued: date | None
    points: Mapping[str, int]
    money: Mapping[str, int] | None
    places: Mapping[str, int]


class Age(msgspec.Struct, frozen=True):
    """Of the points that were open in the month ``age`` after their issue, what was used and what expired in it, over
    all months of issue for which that month is over."""

    age: int
    open: int
    used: int
    expired: int
    cohorts: int

    @property
    def carries(self) -> bool:
        """Whether there is enough of it to go by."""
        return self.cohorts >= MIN_COHORTS and self.open >= MIN_POINTS


class Breakage(msgspec.Struct, frozen=True):
    """Points expected to expire unused, of ``of_points`` open ones that something can be said of; None: of none.

    ``money`` as in Line. ``ages`` are what it rests on.
    """

    points: int | None
    money: int | None
    of_points: int
    ages: Sequence[Age]


def roll_forward(movements: Iterable[Movement], since: date, values: Mapping[int | None, int | None]) -> list[Line]:
    """Lines by month of issue, from the beginning of the month ``since`` on. ``values``: minor units a point, by the
    version that issued it."""
    by_issue: dict[date | None, list[Movement]] = defaultdict(list)
    for movement in movements:
        by_issue[movement.issued].append(movement)
    months = sorted(month for month in by_issue if month is not None)
    return [
        _line(issued, by_issue[issued], since, values)
        for issued in [*months, *([None] if None in by_issue else [])]
    ]


def total(lines: Sequence[Line]) -> Line:
    """All of them in one."""
    money: dict[str, int] | None = None
    if all(line.money is not None for line in lines):
        money = {column: sum(line.money[column] for line in lines if line.money) for column in COLUMNS}
    return Line(
        issued=None,
        points={column: sum(line.points[column] for line in lines) for column in COLUMNS},
        money=money,
        places={book: sum(line.places[book] for line in lines) for book in OWED},
    )


def ages_of(movements: Iterable[Movement], month: date) -> list[Age]:
    """What became of points by their age in whole months, as far as months before ``month`` tell it.

    Each age's shares are of all months of issue together, weighted by their points, as the chain ladder takes its
    factors (Mack 1993, ASTIN Bulletin 23(2), p. 214-215); here of what is open, with two ways out (Aalen and Johansen
    1978, Scandinavian Journal of Statistics 5, p. 141-150). What was reversed or passed on counts as never open.
    """
    by_issue: dict[date, dict[int, dict[str, int]]] = {}
    for movement in movements:
        if movement.issued is not None and movement.booked < month:
            age = max(0, months_between(movement.issued, movement.booked))
            books = by_issue.setdefault(movement.issued, {}).setdefault(age, {})
            books[movement.book] = books.get(movement.book, 0) + movement.points
    found: dict[int, list[int]] = {}
    for issued, by_age in by_issue.items():
        left = 0
        for age in range(months_between(issued, month)):
            books = by_age.get(age, {})
            used, expired = books.get("redeemed", 0), books.get("expired", 0)
            after = left + sum(books.get(book, 0) for book in OWED)
            open_ = after + used + expired
            left = after
            if open_ > 0:
                sums = found.setdefault(age, [0, 0, 0, 0])
                for place, points in enumerate((open_, used, expired, 1)):
                    sums[place] += points
    return [Age(age, *found[age]) for age in sorted(found)]


def breakage(lines: Sequence[Line], ages: Sequence[Age], month: date) -> Breakage:
    """What of the closing points is expected to expire, by what became of those issued before.

    Of a month of issue nothing is said unless every age ahead of it carries, until next to nothing is open.
    """
    known = {age.age: age for age in ages}
    points, of_points, said = 0.0, 0, False
    money: float | None = 0.0
    for line in lines:
        closing = line.points["closing"]
        if line.issued is None or closing <= 0:
            continue
        share = _expiring_share(max(0, months_between(line.issued, month)), known)
        if share is None:
            continue
        said = True
        points += share * closing
        of_points += closing
        money = None if money is None or line.money is None else money + share * line.money["closing"]
    if not said:
        return Breakage(None, None, 0, ages)
    return Breakage(round(points), None if money is None else round(money), of_points, ages)


def months_between(earlier: date, later: date) -> int:
    """Whole calendar months from one month to another."""
    return (later.year - earlier.year) * 12 + later.month - earlier.month


def _expiring_share(age: int, ages: Mapping[int, Age]) -> float | None:
    left, expiring = 1.0, 0.0
    while left > _SETTLED:
        found = ages.get(age)
        if found is None or not found.carries:
            return None
        used, expired = (min(1.0, max(0.0, points / found.open)) for points in (found.used, found.expired))
        expiring += left * expired
        left *= max(0.0, 1.0 - used - expired)
        age += 1
    return expiring


def _line(
    issued: date | None, movements: Sequence[Movement], since: date, values: Mapping[int | None, int | None]
) -> Line:
    points, places = dict.fromkeys(COLUMNS, 0), dict.fromkeys(OWED, 0)
    money: dict[str, int] | None = dict.fromkeys(COLUMNS, 0)
    for movement in movements:
        value = values.get(movement.version)
        if value is None:
            money = None
        for column, moved in _effects(movement, since):
            points[column] += moved
            if money is not None and value is not None:
                money[column] += moved * value
        if movement.book in OWED:
            places[movement.book] += -movement.points if movement.book == "debt" else movement.points
    return Line(issued, points, money, places)


def _effects(movement: Movement, since: date) -> Iterable[tuple[str, int]]:
    """What a movement adds to which columns."""
    if movement.book in OWED:
        yield "closing", movement.points
        if movement.booked < since:
            yield "opening", movement.points
    elif movement.booked >= since:
        column = _COLUMNS[movement.book]
        yield column, movement.points if column in _TAKEN_OFF else -movement.points
