"""The cut-points of rfm, taken anew from the quintiles of those who bought: on command, and shown before."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from services.profile.policies import application as policies
from services.profile.policies.domain import FALLBACK_CURRENCY, RfmCutPoints
from services.profile.purchases.domain import House
from services.profile.segments import catalogue, quintiles, store
from shared.clock import Clock
from shared.contracts.currencies import MINOR_UNITS
from shared.db import Tx

FEWEST = 5
_DECIDED = frozenset({"rfm_r", "rfm_f", "rfm_m", "class"})
"""The facts that follow from the cut-points: own rules that read one place everybody again, too."""


class TooFewCustomers(Exception):
    """Fewer than a customer for each fifth have bought."""


class Recalibration(msgspec.Struct, frozen=True):
    """The cut-points in force and those of today's quintiles; how many stand where, and would.

    ``moves``: (from, to, how many), the most first. ``version``: in force after it.
    """

    before: RfmCutPoints
    after: RfmCutPoints
    version: int
    applied: bool
    customers: int
    moved: int
    moves: Sequence[tuple[str, str, int]]


@dataclass(frozen=True, slots=True)
class Recalibrations:
    """The use case."""

    clock: Clock
    house: House

    async def run(self, tx: Tx, *, apply: bool) -> Recalibration:
        """Computes the quintiles and who would move; with ``apply`` they are the next version of the policy.

        Raises TooFewCustomers. Cut-points that coincide, as where most have bought once, are set one apart.
        """
        await store.turn(tx)
        before = (await policies.in_force(tx)).rfm
        today = self.house.day(self.clock.now())
        unit = 10 ** MINOR_UNITS[self.house.currency]
        customers, recency, orders, spend = await quintiles.of_today(tx, today)
        if customers < FEWEST:
            raise TooFewCustomers
        own = _rising([amount // unit for amount in spend])
        after = msgspec.structs.replace(
            before,
            recency_days=_rising(recency),
            # A cut-point is where the next score begins, a quintile is the last of its fifth.
            orders=_rising([count + 1 for count in orders]),
            spend={**before.spend, self.house.currency: own},
        )
        old = _spend(before, self.house.currency)
        cuts = (before.recency_days, before.orders, old), (after.recency_days, after.orders, own)
        moves = await quintiles.moves(tx, today, unit, *cuts)
        version = before.version
        if apply and after != before:
            version = await policies.put(tx, "rfm", after)
            reading = [segment.name for segment in await catalogue.own(tx) if not _DECIDED.isdisjoint(segment.reads)]
            for segment in ("rfm", "class", *reading):
                await store.start(tx, segment, self.clock.now())
        moved = sum(count for _, _, count in moves)
        return Recalibration(before, after, version, apply, customers, moved, moves)


def _spend(cut_points: RfmCutPoints, currency: str) -> tuple[int, int, int, int]:
    return cut_points.spend.get(currency) or cut_points.spend[FALLBACK_CURRENCY]


def _rising(points: Sequence[int]) -> tuple[int, int, int, int]:
    rising: list[int] = []
    for point in points:
        rising.append(max(point, rising[-1] + 1) if rising else max(point, 0))
    a, b, c, d = rising
    return a, b, c, d
