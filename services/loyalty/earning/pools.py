"""What all customers share: a budget, and caps of the whole programme. They go by arrival: who comes first is given.

What an order was granted when it was judged first is kept, so that judging it again gives the same; what it comes to
ask for beyond is asked for anew. What returns free goes back, and whoever comes next may have it.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import NamedTuple

import msgspec

from services.loyalty.programmes.domain import Programme
from services.loyalty.programmes.rules import name_of
from shared.contracts.orders import Order

BUDGET = "/budget"
"""Where the programme's budget stands among rules; no rule's id begins with a slash."""

PoolKey = tuple[str, str]
"""A rule, or the budget, and the name of a calendar period."""


class Grant(msgspec.Struct, frozen=True):
    """What an order asked a pool for at the most, what of it it may have, and what it has: after returns."""

    period: str
    asked: int
    granted: int
    used: int


class Claim(NamedTuple):
    """What a judgement makes of an offer: ``offered`` is 0 where another rule of the group gave more."""

    rule: str
    period: str
    limit: int
    asked: int
    offered: int
    kept: int


def pools_of(order: Order, programme: Programme | None, day: date) -> set[PoolKey]:
    """The pools that an order of that day may have something of."""
    if programme is None or not programme.is_shared:
        return set()
    caps = [(rule.id, rule.cap) for rule, _ in programme.book.about(order, day)]
    found = {(rule, name_of(cap.per, day)) for rule, cap in caps if cap and cap.scope == "programme"}
    return found | {(BUDGET, name_of(programme.budget.per, day))} if programme.budget else found


class Pools:
    """The pools that some orders are judged with, as they stand, and what the judgements change of them."""

    def __init__(
        self,
        grants: Mapping[tuple[str, str], Grant] | None = None,
        given: Mapping[PoolKey, int] | None = None,
    ) -> None:
        self.given: dict[PoolKey, int] = dict(given or {})
        self.changed: dict[tuple[str, str], Grant] = {}
        self._before = dict(self.given)
        self._limits: dict[str, int] = {}
        self._grants: dict[str, dict[str, Grant]] = {}
        for (order_id, rule), grant in (grants or {}).items():
            self._grants.setdefault(order_id, {})[rule] = grant

    @property
    def moved(self) -> dict[PoolKey, int]:
        """The pools that stand otherwise than before, and what was given of them by now."""
        return {key: points for key, points in self.given.items() if points != self._before.get(key, 0)}

    def offer(self, order_id: str, rule: str, period: str, limit: int, asked: int) -> int:
        """The points that an order may have of the ``limit`` of a pool, of those that it asks for."""
        grant = self._grant(order_id, rule, period)
        if grant is not None and asked <= grant.asked:
            offered = min(asked, grant.granted)
        else:
            before = grant or Grant(period, 0, 0, 0)
            offered = min(asked, before.granted + min(asked - before.asked, self._room(rule, period, limit)))
        return min(offered, self._limits.get(rule, offered))

    def settle(self, order_id: str, claims: Sequence[Claim]) -> bool:
        """Keeps what an order has of the pools now. False where one of them hasn't as much: judge it again, what is
        offered will be less."""
        for claim in claims:
            grant = self._grant(order_id, claim.rule, claim.period)
            most = (grant.used if grant else 0) + self._room(claim.rule, claim.period, claim.limit)
            if claim.kept > most:
                self._limits[claim.rule] = most
                return False
        held = self._grants.get(order_id, {})
        for rule in held.keys() - {claim.rule for claim in claims}:
            self._keep(order_id, rule, msgspec.structs.replace(held[rule], used=0))
        for claim in claims:
            grant = self._grant(order_id, claim.rule, claim.period)
            granted = claim.offered
            if grant is not None and claim.rule not in self._limits:
                granted = max(grant.granted, claim.offered)
            asked = max(claim.asked, grant.asked if grant else 0)
            self._keep(order_id, claim.rule, Grant(claim.period, asked, granted, claim.kept))
        self._limits.clear()
        return True

    def _grant(self, order_id: str, rule: str, period: str) -> Grant | None:
        grant = self._grants.get(order_id, {}).get(rule)
        return grant if grant is not None and grant.period == period else None

    def _room(self, rule: str, period: str, limit: int) -> int:
        return max(0, limit - self.given.get((rule, period), 0))

    def _keep(self, order_id: str, rule: str, grant: Grant) -> None:
        grants = self._grants.setdefault(order_id, {})
        before = grants.get(rule)
        if grant == before:
            return
        if before is not None:
            self.given[rule, before.period] = self.given.get((rule, before.period), 0) - before.used
        self.given[rule, grant.period] = self.given.get((rule, grant.period), 0) + grant.used
        grants[rule] = grant
        self.changed[order_id, rule] = grant
