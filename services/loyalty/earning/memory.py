"""What of a customer's orders so far decides how the next one is judged, whichever version judges it."""

from datetime import date, datetime

import msgspec

from services.loyalty.programmes.rules import Period, StreakPeriod


class Counts(msgspec.Struct, frozen=True, array_like=True):
    """The purchases of the calendar periods that the last one lies in, and how many weeks and months in a row, those
    the last, had one. ``day``: of the last, the proleptic ordinal of the house's zone; 0 before the first."""

    day: int = 0
    in_day: int = 0
    in_week: int = 0
    in_month: int = 0
    in_year: int = 0
    in_all: int = 0
    weeks: int = 0
    months: int = 0

    def after(self, day: date) -> "Counts":
        """With one more purchase, on a day of the house's zone."""
        ordinal = day.toordinal()
        if not self.day:
            return Counts(ordinal, 1, 1, 1, 1, 1, 1, 1)
        last = date.fromordinal(self.day)
        # Day 1 of the calendar was a Monday.
        weeks = (ordinal - 1) // 7 - (self.day - 1) // 7
        months = (day.year - last.year) * 12 + day.month - last.month
        return Counts(
            ordinal,
            self.in_day + 1 if ordinal == self.day else 1,
            1 if weeks else self.in_week + 1,
            1 if months else self.in_month + 1,
            self.in_year + 1 if day.year == last.year else 1,
            self.in_all + 1,
            _in_a_row(self.weeks, weeks),
            _in_a_row(self.months, months),
        )

    def number(self, per: Period) -> int:
        """Which purchase of its period the last one is."""
        numbers = {"day": self.in_day, "week": self.in_week, "month": self.in_month, "year": self.in_year}
        return numbers.get(per, self.in_all)

    def streak(self, per: StreakPeriod) -> int:
        """How many periods in a row had a purchase, that of the last one the last."""
        return self.weeks if per == "week" else self.months


class History(msgspec.Struct, frozen=True):
    """What of the facts so far decides how the next order is judged.

    ``last_at``: the newest instant in any fact of an order; only what is later may be applied without folding.
    ``caps``: by rule, the calendar period it was used in last and the points it gave in it.
    """

    last_at: datetime | None = None
    orders: int = 0
    caps: dict[str, tuple[str, int]] = {}
    counts: Counts = Counts()


class _Kept(msgspec.Struct, frozen=True):
    caps: dict[str, tuple[str, int]] = {}
    counts: Counts | None = None


_decoder = msgspec.json.Decoder(_Kept)


def recall(last_at: datetime | None, orders: int, kept: bytes) -> History | None:
    """A history as it was kept; None where that is of before counts were kept: it has to be folded again."""
    found = _decoder.decode(kept)
    if found.counts is None:
        return History() if last_at is None else None
    return History(last_at, orders, found.caps, found.counts)


def kept(history: History) -> bytes:
    """What is kept of a history beside its last instant and its number of orders, in JSON."""
    return msgspec.json.encode(_Kept(history.caps, history.counts))


def _in_a_row(before: int, later: int) -> int:
    if not later:
        return before
    return before + 1 if later == 1 else 1
