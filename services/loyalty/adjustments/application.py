"""Giving and taking points by hand: at once, or, where it is about many, once a second person agrees."""

from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4
from zoneinfo import ZoneInfo

import msgspec

from services.loyalty.adjustments import store
from services.loyalty.adjustments.domain import Adjusted, Adjustment, State
from services.loyalty.ledger import grants, reading
from services.loyalty.ledger.application import SERVICE
from services.loyalty.ledger.domain import Cause
from services.loyalty.ledger.grants import Given
from services.loyalty.ledger.purse import REQUESTS, Spent, open_purse
from services.loyalty.programmes.application import Programmes
from services.loyalty.programmes.domain import in_force
from shared.clock import Clock
from shared.db import Tx
from shared.messaging import merges, outbox


@dataclass(frozen=True, slots=True)
class Adjustments:
    """``threshold``: of how many points on, given or taken, more of them need a second person. ``zone``: the house's.

    Taking raises ShortOfPointsError where there aren't so many; what there isn't raises LookupError.
    """

    clock: Clock
    programmes: Programmes
    zone: ZoneInfo
    threshold: int

    async def adjust(
        self, tx: Tx, customer: str, points: int, reason: str, expires_at: datetime | None, by: str
    ) -> Adjusted:
        """Gives or takes points, or proposes to."""
        now = self.clock.now()
        holder = await reading.holder_of(tx, customer)
        if not holder.accounts:
            raise LookupError(f"there is no account of {customer}")
        accounts = {name: id for id, name in holder.customers.items()}
        name = next(one for one in (customer, holder.survivor, *accounts) if one in accounts)
        adjustment = Adjustment(
            f"ad_{uuid4().hex}", accounts[name], points, reason, expires_at, "applied", by, now
        )
        if abs(points) > self.threshold:
            adjustment = msgspec.structs.replace(adjustment, state="proposed")
        else:
            await self._apply(tx, adjustment, name, now)
        await store.add(tx, adjustment)
        return Adjusted(adjustment, name)

    async def decide(self, tx: Tx, adjustment_id: str, state: State, by: str) -> Adjusted:
        """What a second person makes of a proposal: applied or refused. Raises AdjustmentRefusedError."""
        now = self.clock.now()
        # An erasure takes reasons away, accounts first: it comes before or after.
        await merges.share(tx)
        found = _there(await store.lock(tx, adjustment_id))
        adjustment = found.adjustment.decided(state, by, now)
        if state == "applied":
            await self._apply(tx, adjustment, found.customer_id, now)
        await store.decide(tx, adjustment)
        return Adjusted(adjustment, found.customer_id)

    async def one(self, tx: Tx, adjustment_id: str) -> Adjusted:
        """An adjustment as it is now."""
        return _there(await store.one(tx, adjustment_id))

    async def page(
        self, tx: Tx, state: State | None, before: tuple[datetime, str], limit: int
    ) -> list[Adjusted]:
        """Adjustments, the newest first."""
        return await store.page(tx, state, before, limit)

    async def _apply(self, tx: Tx, adjustment: Adjustment, customer: str, now: datetime) -> None:
        cause = Cause(REQUESTS, adjustment.adjustment_id, now)
        if adjustment.points < 0:
            purse = await open_purse(tx, customer, now, cause)
            assert purse is not None, "an adjustment is of an account that there is"
            purse.take(adjustment.adjustment_id, "adjustment", -adjustment.points, Spent())
            await purse.close()
            await outbox.append(tx, SERVICE, purse.journal.events, now)
            return
        programme = in_force(await self.programmes.known(tx), now)
        assert programme is not None, "the first version is in force since 1970"
        given = Given(
            customer_id=customer,
            kind="adjustment",
            grant_id=adjustment.adjustment_id,
            points=adjustment.points,
            occurred_at=now,
            available_from=now,
            expires_at=adjustment.expires_at or programme.expires_at(now, self.zone),
            programme_version=programme.version,
            currency=programme.currency,
            cause=cause,
        )
        await grants.give(tx, [given], now)


async def forget(tx: Tx, accounts: list[str], now: datetime) -> int:
    """For an erasure, by the names that the accounts have by then: no reason stays, what is proposed comes to nothing;
    how many adjustments that were."""
    return await store.forget(tx, accounts, now)


def _there(adjusted: Adjusted | None) -> Adjusted:
    if adjusted is None:
        raise LookupError("there is no such adjustment")
    return adjusted
