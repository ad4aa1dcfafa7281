"""Giving and taking points by hand: at once, or, where it is about many, once a second person agrees."""

from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4
from zoneinfo import ZoneInfo

import msgspec

from services.loyalty.adjustments import store
from services.loyalty.adjustments.domain import Adjusted, Adjustment, State
from services.loyalty.ledger import grants
from services.loyalty.ledger.application import SERVICE, Account, Journal, lock_person
from services.loyalty.ledger.domain import Cause
from services.loyalty.ledger.grants import Given
from services.loyalty.ledger.persons import settle_persons
from services.loyalty.ledger.purse import REQUESTS, Spent, purse_of
from services.loyalty.programmes.application import Programmes
from services.loyalty.programmes.domain import in_force
from services.loyalty.programmes.rules import day_began
from shared.clock import Clock
from shared.db import Tx
from shared.messaging import merges, outbox


@dataclass(frozen=True, slots=True)
class Adjustments:
    """``threshold``: how many points one actor gives and takes, in sum, of one person alone on one day of the house's
    ``zone``; what brings the sum over it needs a second person.

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
        accounts = await lock_person(tx, customer)
        if not accounts:
            raise LookupError(f"there is no account of {customer}")
        account = next((one for one in accounts.values() if one.customer_id == customer), _owner(accounts))
        adjustment = Adjustment(
            f"ad_{uuid4().hex}", account.account_id, points, reason, expires_at, "applied", by, now
        )
        # The person is locked: whoever else adjusts him waits, and counts this one.
        alone = await store.applied_alone(tx, list(accounts), by, day_began(now, self.zone))
        if alone + abs(points) > self.threshold:
            adjustment = msgspec.structs.replace(adjustment, state="proposed")
        else:
            await self._apply(tx, adjustment, accounts, now)
        await store.add(tx, adjustment)
        return Adjusted(adjustment, account.customer_id)

    async def decide(self, tx: Tx, adjustment_id: str, state: State, by: str) -> Adjusted:
        """What a second person makes of a proposal: applied or refused. Raises AdjustmentRefusedError."""
        now = self.clock.now()
        # An erasure takes reasons away, accounts first: it comes before or after.
        await merges.share(tx)
        found = _there(await store.lock(tx, adjustment_id))
        adjustment = found.adjustment.decided(state, by, now)
        if state == "applied":
            await self._apply(tx, adjustment, await lock_person(tx, found.customer_id), now)
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

    async def _apply(self, tx: Tx, adjustment: Adjustment, accounts: dict[int, Account], now: datetime) -> None:
        cause = Cause(REQUESTS, adjustment.adjustment_id, now)
        if adjustment.points < 0:
            purse = await purse_of(tx, accounts, now, cause)
            purse.take(adjustment.adjustment_id, "adjustment", -adjustment.points, Spent())
            await outbox.append(tx, SERVICE, await purse.close(), now)
            return
        programme = in_force(await self.programmes.known(tx), now)
        assert programme is not None, "the first version is in force since 1970"
        account = accounts[adjustment.account_id]
        given = Given(
            customer_id=account.customer_id,
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
        journal = Journal(now)
        await grants.enter(tx, journal, {account.customer_id: account}, [given])
        await settle_persons(tx, journal, accounts.values(), lambda _: cause)
        await journal.write(tx, accounts.values())
        await outbox.append(tx, SERVICE, journal.events, now)


async def forget(tx: Tx, accounts: list[str], now: datetime) -> int:
    """For an erasure, by the names that the accounts have by then: no reason stays, what is proposed comes to nothing;
    how many adjustments that were."""
    return await store.forget(tx, accounts, now)


def _owner(accounts: dict[int, Account]) -> Account:
    return accounts[next(iter(accounts.values())).person]


def _there(adjusted: Adjusted | None) -> Adjusted:
    if adjusted is None:
        raise LookupError("there is no such adjustment")
    return adjusted
