"""Defining a measurement, and making its figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

import msgspec

from services.loyalty.effects import store
from services.loyalty.effects.domain import Group, Increment, Kind, Lacking, Side, cost_of, increment, points_given
from services.loyalty.effects.store import Effect
from services.loyalty.ledger.reading import at_one_moment
from services.loyalty.programmes.application import Programmes
from services.loyalty.programmes.domain import Programme, in_force
from services.loyalty.rewards.application import costs, offer
from shared.clock import Clock
from shared.db import Tx


class EffectRefusedError(Exception):
    """Nothing can be measured so; ``code`` is stable."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail


class Figures(msgspec.Struct, frozen=True):
    """What a measurement comes to by ``until``, in minor units of ``currency``.

    ``points``: given to the treated beyond what they would have had; None for rewards, which take points, and as
    long as there is nobody to compare with. ``cost``: their worth by the programme, None without one; of a reward what
    the treated took of it, by the versions that they took, None where one doesn't say what it costs. ``uses``: of a
    reward by everybody, ``uses_of_treated`` by those who are compared. ``kept``: the holdout is as it was from the
    beginning on.
    """

    effect: Effect
    until: datetime
    currency: str
    groups: Mapping[Side, Group]
    increment: Increment | Lacking
    points: float | None
    cost: float | None
    uses: int | None
    uses_of_treated: int | None
    kept: bool

    @property
    def gained(self) -> float | None:
        """What all treated spent more."""
        if isinstance(self.increment, Lacking):
            return None
        return self.increment.mean * self.groups["treated"].persons

    @property
    def net(self) -> float | None:
        """What all treated spent more, less what it cost."""
        gained = self.gained
        return None if gained is None or self.cost is None else gained - self.cost

    @property
    def net_interval(self) -> tuple[float, float] | None:
        """That of the net where the cost was counted; what rules cost is itself told from the comparison."""
        if isinstance(self.increment, Lacking) or self.cost is None or self.effect.kind == "rule":
            return None
        persons = self.groups["treated"].persons
        return self.increment.low * persons - self.cost, self.increment.high * persons - self.cost

    @property
    def gain_by_cost(self) -> float | None:
        """What was spent more for one of what it cost."""
        gained = self.gained
        return None if gained is None or self.cost is None or self.cost <= 0 else gained / self.cost


@dataclass(frozen=True, slots=True)
class Effects:
    """``currency``: the house's, in which spend is counted."""

    clock: Clock
    programmes: Programmes
    currency: str

    async def define(
        self, tx: Tx, name: str, kind: Kind, target: str, since: datetime, until: datetime, percent: int, actor: str
    ) -> Effect:
        """A new measurement. Raises LookupError where there is no such rule then, or reward; EffectRefusedError."""
        now = self.clock.now()
        known = await self.programmes.known(tx)
        if kind == "rule":
            version = in_force(known, since)
            holdout = _holdout(version, target)
            begins = version.in_force_from if version else since
        else:
            holdout, begins = (await offer(tx, target, now)).holdout, now
        if holdout is None:
            raise LookupError(f"there is no {kind} {target}")
        if not holdout:
            raise EffectRefusedError("no-holdout", f"This {kind} is kept from nobody: give it a holdout first.")
        if holdout != percent:
            raise EffectRefusedError("holdout-differs", f"This {kind} is kept from {holdout} percent.")
        if kind == "rule" and any(_holdout(one, target) != holdout for one in _between(known, since, until)):
            detail = "A version that comes into force within the period keeps it from others, or from nobody."
            raise EffectRefusedError("holdout-changes", detail)
        if since < begins:
            raise EffectRefusedError("begun-before", "It wasn't kept from anybody then: measure from now on.")
        effect_id = f"ef_{int(now.timestamp() * 1_000_000):014x}{uuid4().hex[:10]}"
        effect = Effect(effect_id, name, kind, target, since, until, percent, actor, now)
        await store.add(tx, effect)
        return effect

    async def one(self, tx: Tx, id: str) -> Effect:
        """That measurement. Raises LookupError."""
        effect = await store.one(tx, id)
        if effect is None:
            raise LookupError(f"there is no effect {id}")
        return effect

    async def page(self, tx: Tx, before: str | None, limit: int) -> list[Effect]:
        """The newest first."""
        return await store.page(tx, before, limit)

    async def figures(self, tx: Tx, id: str) -> Figures:
        """Its figures by now, all as of one moment: first of all in its transaction. Raises LookupError."""
        await at_one_moment(tx)
        known = await self.programmes.known(tx)
        effect = await self.one(tx, id)
        until = max(effect.since, min(effect.until, self.clock.now()))
        groups = await store.groups(tx, effect, until, self.currency)
        found = increment(groups["treated"], groups["held-out"])
        points: float | None = None
        cost: float | None = None
        uses = of_treated = None
        if effect.kind == "reward":
            taken = await store.taken(tx, effect, until)
            uses, of_treated = (sum(each) for each in zip(*taken.values(), strict=True)) if taken else (0, 0)
            cost = cost_of(taken, await costs(tx, effect.target, self.currency))
            kept = (await offer(tx, effect.target, until)).holdout == effect.holdout_percent
        else:
            kept = all(
                _holdout(one, effect.target) == effect.holdout_percent
                for one in (in_force(known, effect.since), *_between(known, effect.since, until))
            )
            if isinstance(found, Increment):
                points = points_given(groups)
                version = in_force(known, until)
                if version and version.value is not None and version.currency == self.currency:
                    cost = points * version.value
        return Figures(effect, until, self.currency, groups, found, points, cost, uses, of_treated, kept)


def _between(known: Sequence[Programme], since: datetime, until: datetime) -> list[Programme]:
    """Versions that come into force within a period."""
    return [one for one in known if since < one.active_from < until]


def _holdout(version: Programme | None, rule: str) -> int | None:
    """Of how many percent a version keeps a rule from; None where it hasn't the rule."""
    return next((one.holdout for one in version.rules if one.id == rule), None) if version else None
