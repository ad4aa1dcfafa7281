"""What churn keeps of a customer: integers and instants, so that increment and fold agree exactly."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, tzinfo
from functools import reduce
from statistics import median

import msgspec

RECENT = 8


class LateFact(ValueError):
    """The fact lies on a day before the last purchase day: this customer must be folded again."""

    code = "late-fact"


class PurchaseFact(msgspec.Struct, frozen=True):
    """An order as it stands: its highest version less its returns. `net_minor`: minor units
    of the house currency, None in a currency that is counted but not summed. `source`, `id`: the event's."""

    order_id: str
    occurred_at: datetime
    net_minor: int | None
    source: str
    id: str
    returns: int = 0
    returned_minor: int = 0


class Statistics(msgspec.Struct, frozen=True):
    """Sufficient statistics. Instants are UTC. Days are proleptic ordinals in the house's zone, 0 before the
    first purchase; a day with a purchase is an occasion, however many orders it has. `recent_gaps` (days
    between occasions) and `recent_values` (minor units an occasion, those in the house currency) are the last
    8, oldest first."""

    n_orders: int = 0
    n_occasions: int = 0
    first_at: datetime | None = None
    last_at: datetime | None = None
    first_day: int = 0
    last_day: int = 0
    gap_square_sum: int = 0
    recent_gaps: tuple[int, ...] = ()
    net_minor: int = 0
    n_valued: int = 0
    last_valued_day: int = 0
    recent_values: tuple[int, ...] = ()
    n_returns: int = 0
    returned_minor: int = 0
    open_complaints: int = 0

    @property
    def gap_count(self) -> int:
        return max(self.n_occasions - 1, 0)

    @property
    def gap_sum(self) -> int:
        """Days from the first to the last occasion: t_x of the models."""
        return self.last_day - self.first_day

    @property
    def usual_gap(self) -> float | None:
        """Median of the recent gaps in days; None before a second occasion."""
        return float(median(self.recent_gaps)) if self.recent_gaps else None

    @property
    def mean_value(self) -> float | None:
        """Average minor units an occasion; None where nothing was paid in the house currency."""
        return self.net_minor / self.n_valued if self.n_valued else None


def day_of(instant: datetime, zone: tzinfo) -> int:
    """Proleptic ordinal of the calendar day of an aware instant in the zone."""
    return instant.astimezone(zone).toordinal()


def is_late(state: Statistics, fact: PurchaseFact, zone: tzinfo) -> bool:
    """Whether `apply` would refuse: only a purchase on a day before the last one changes the past."""
    return counts_as_purchase(fact) and day_of(fact.occurred_at, zone) < state.last_day


def counts_as_purchase(fact: PurchaseFact) -> bool:
    """An order returned, cancelled or emptied to nothing is no purchase."""
    return fact.net_minor is None or fact.net_minor > 0


def apply(state: Statistics, fact: PurchaseFact, zone: tzinfo) -> Statistics:
    """The state with one new order. Raises LateFact where `is_late`."""
    state = msgspec.structs.replace(
        state,
        n_returns=state.n_returns + fact.returns,
        returned_minor=state.returned_minor + fact.returned_minor,
    )
    if not counts_as_purchase(fact):
        return state
    day = day_of(fact.occurred_at, zone)
    if day < state.last_day:
        raise LateFact(fact.order_id)
    return _with_value(_with_occasion(state, fact.occurred_at.astimezone(UTC), day), fact.net_minor, day)


def fold(facts: Iterable[PurchaseFact], zone: tzinfo, *, open_complaints: int = 0) -> Statistics:
    """The state of all a customer's orders, one fact an order, in any order."""
    ordered = sorted(facts, key=lambda fact: (fact.occurred_at, fact.source, fact.id))
    empty = Statistics(open_complaints=open_complaints)
    return reduce(lambda state, fact: apply(state, fact, zone), ordered, empty)


def _with_occasion(state: Statistics, at: datetime, day: int) -> Statistics:
    if state.first_at is None or state.last_at is None:
        return msgspec.structs.replace(
            state, n_orders=1, n_occasions=1, first_at=at, last_at=at, first_day=day, last_day=day
        )
    gap = day - state.last_day
    return msgspec.structs.replace(
        state,
        n_orders=state.n_orders + 1,
        n_occasions=state.n_occasions + (gap > 0),
        first_at=min(state.first_at, at),
        last_at=max(state.last_at, at),
        last_day=day,
        gap_square_sum=state.gap_square_sum + gap * gap,
        recent_gaps=(*state.recent_gaps, gap)[-RECENT:] if gap else state.recent_gaps,
    )


def _with_value(state: Statistics, net_minor: int | None, day: int) -> Statistics:
    if net_minor is None:
        return state
    values = state.recent_values
    same_day = state.last_valued_day == day
    return msgspec.structs.replace(
        state,
        net_minor=state.net_minor + net_minor,
        n_valued=state.n_valued + (not same_day),
        last_valued_day=day,
        recent_values=(*values[:-1], values[-1] + net_minor) if same_day else (*values, net_minor)[-RECENT:],
    )
