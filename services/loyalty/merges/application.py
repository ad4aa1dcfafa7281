"""Two ids of one person, joined and parted: accounts point to the one that answers for them, and tiers are judged anew.

Nothing that was earned is posted: points are judged in each id's own history, and stay with the account of the id they
were earned under. What one id took of another's points is all one while they are one person, and owed once they aren't.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from services.loyalty.coupons import claiming as coupons
from services.loyalty.ledger import application as ledger
from services.loyalty.ledger.application import Account, Journal
from services.loyalty.ledger.domain import Cause
from services.loyalty.ledger.persons import settle_persons, unsettle_users
from services.loyalty.programmes.application import Programmes
from services.loyalty.programmes.domain import Programme, in_force
from services.loyalty.referrals.marks import persons_changed
from services.loyalty.tiers.application import reassess_groups, rest
from shared.clock import Clock
from shared.db import Tx
from shared.messaging import merges, outbox
from shared.messaging.events import Event
from shared.messaging.intake import Outcome
from shared.messaging.merges import Groups


@dataclass(frozen=True, slots=True)
class Joining:
    """Which accounts answer for which."""

    clock: Clock
    programmes: Programmes

    async def apply_merges(self, tx: Tx, events: Sequence[Event]) -> Outcome:
        """Merges and undos, in any order: of each the highest version holds."""
        now = self.clock.now()
        # First: it may wait for a batch that is about to wait for the lock on merges.
        programme = in_force(await self.programmes.known(tx), now)
        concerned = await merges.apply(tx, ledger.SERVICE, events, now)
        await persons_changed(tx, concerned, now)
        groups = await merges.groups_of(tx, concerned)
        known = await ledger.customers_with_accounts(tx, sorted(concerned))
        accounts = await ledger.open_groups(tx, known, groups, now)
        await self._settle(tx, accounts, groups, events, now)
        await rest(tx, accounts.values())
        if programme:
            await self._judge(tx, accounts, groups, events, programme, now)
        used = await coupons.persons_changed(tx, concerned, lambda one: _last(events, groups.members(one)), now)
        await outbox.append(tx, ledger.SERVICE, used, now)
        return Outcome()

    async def _settle(
        self, tx: Tx, accounts: Mapping[str, Account], groups: Groups, events: Sequence[Event], now: datetime
    ) -> None:
        """What one id took of another's points: of one person, it is his; parted, he owes it."""
        await unsettle_users(tx, accounts.values())
        if not any(account.unsettled for account in accounts.values()):
            return
        journal = Journal(now)

        def cause_of(account: Account) -> Cause:
            # The ledger keeps its causes for ever, and an event's id may be a customer's.
            event = _last(events, groups.members(account.customer_id))
            return Cause(event.source, event.data.merge_id, event.data.occurred_at, event.traceparent)

        await settle_persons(tx, journal, accounts.values(), cause_of)
        await journal.write(tx, accounts.values())
        await outbox.append(tx, ledger.SERVICE, journal.events, now)

    async def _judge(
        self, tx: Tx, accounts: Mapping[str, Account], groups: Groups, events: Sequence[Event], programme: Programme,
        now: datetime,
    ) -> None:  # fmt: skip
        causes = {account.account_id: [_cause(events, groups.members(c))] for c, account in accounts.items()}
        since = {id_: min(now, cause.occurred_at) for id_, (cause,) in causes.items()}
        crossings = await reassess_groups(tx, accounts.values(), programme, now, causes, since)
        await outbox.append(tx, ledger.SERVICE, crossings, now)


def _cause(events: Sequence[Event], members: Sequence[str]) -> Cause:
    event = _last(events, members)
    return Cause(event.source, event.id, event.data.occurred_at, event.traceparent)


def _last(events: Sequence[Event], members: Sequence[str]) -> Event:
    """The last of the events that names one of them; of none, that joined others another way, the last."""
    named = [event for event in events if event.data.from_id in members or event.data.into_id in members]
    return (named or events)[-1]
