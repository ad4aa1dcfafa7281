"""What commands over HTTP did, taken in again from our own topics: a ledger that was lost is rebuilt from them.

In a ledger that wasn't, everything is there already.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from services.loyalty.ledger import grants, lots_store, uses_store
from services.loyalty.ledger.application import SERVICE, Journal, open_accounts, open_groups
from services.loyalty.ledger.domain import Cause, Posting, Subject
from services.loyalty.ledger.grants import Given
from services.loyalty.ledger.persons import settle_persons
from services.loyalty.ledger.spending import Take
from shared.clock import Clock
from shared.contracts.points import PointsSpent
from shared.db import Tx
from shared.messaging import merges, outbox
from shared.messaging.events import Event
from shared.messaging.intake import Outcome


@dataclass(frozen=True, slots=True)
class Replays:
    """The use cases of ``points-granted`` and ``points-spent``. ``currency``: of the house."""

    clock: Clock
    currency: str

    async def apply_granted(self, tx: Tx, events: Sequence[Event]) -> Outcome:
        """Grants that aren't there. Of what is, nobody is locked: in a ledger that wasn't lost everything is."""
        keys = sorted({(event.data.kind, event.data.grant_id) for event in events})
        there = {lot.award.key: lot for lot in await lots_store.lots_by_key(tx, keys)}
        missing = [
            event
            for event in events
            if (lot := there.get((event.data.kind, event.data.grant_id))) is None
            or (event.data.withdrawn and lot.award.points)
        ]
        given = [
            Given(
                event.data.customer_id, event.data.kind, event.data.grant_id, event.data.points,
                event.data.occurred_at, event.data.available_from, event.data.expires_at,
                event.data.programme_version, self.currency, _cause(event), event.data.withdrawn,
            )
            for event in missing
        ]  # fmt: skip
        await grants.give(tx, given, self.clock.now(), tell=False)
        return Outcome(_others(events, missing))

    async def apply_spent(self, tx: Tx, events: Sequence[Event]) -> Outcome:
        """Takes that aren't there, and those rolled back that weren't."""
        rolled_back = await uses_store.take_states(tx, sorted({event.data.redemption_id for event in events}))
        missing = [
            event
            for event in events
            if event.data.redemption_id not in rolled_back
            or (event.data.rolled_back and not rolled_back[event.data.redemption_id])
        ]
        if missing:
            await self._apply(tx, missing)
        return Outcome(_others(events, missing))

    async def _apply(self, tx: Tx, events: Sequence[Event]) -> None:
        now = self.clock.now()
        customers = sorted({event.data.customer_id for event in events})
        groups = await merges.groups_of(tx, customers)
        accounts = await (
            open_groups(tx, customers, groups, now) if groups.others else open_accounts(tx, customers, now)
        )
        journal = Journal(now)
        causes = {event.data.customer_id: _cause(event) for event in events}
        for event in events:
            account = accounts[event.data.customer_id]
            take = await uses_store.take(tx, event.data.redemption_id)
            if take is None:
                take = _take(event.data, account.account_id)
                await uses_store.add_take(tx, take)
                if take.rolled_back_at is None and (posting := take.passed_on):
                    journal.post(account, Subject("take", take.take_id), posting, _cause(event))
            elif event.data.rolled_back and take.rolled_back_at is None:
                if take.foreign:
                    posting = Posting("backed", "redeemed", "debt", take.foreign, now)
                    journal.post(account, Subject("take", take.take_id), posting, _cause(event))
                await uses_store.roll_back(tx, take.take_id, event.data.occurred_at)
            account.unsettled = True
        await settle_persons(
            tx, journal, accounts.values(), lambda one: causes.get(one.customer_id, _cause(events[-1]))
        )
        await journal.write(tx, accounts.values())
        await outbox.append(tx, SERVICE, journal.events, now)


def _others(events: Sequence[Event], missing: Sequence[Event]) -> list[Event]:
    """What was known already."""
    ids = {id(event) for event in missing}
    return [event for event in events if id(event) not in ids]


def _take(data: PointsSpent, account_id: int) -> Take:
    portions = tuple(((portion.origin, portion.id), portion.points) for portion in data.lots)
    return Take(
        data.redemption_id, account_id, data.kind, data.occurred_at, portions,
        rolled_back_at=data.occurred_at if data.rolled_back else None,
    )  # fmt: skip


def _cause(event: Event) -> Cause:
    # The ledger keeps its causes for ever, and the id of an event of ours is a customer's.
    id = event.data.redemption_id if isinstance(event.data, PointsSpent) else event.data.grant_id
    return Cause(event.source, id, event.data.occurred_at, event.traceparent)
