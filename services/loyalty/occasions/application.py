"""Giving what occasions give: once each, however often and by whom they are told."""

import hmac
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from services.loyalty.coupons import application as coupons
from services.loyalty.coupons import events as coupon_events
from services.loyalty.ledger import grants
from services.loyalty.ledger.application import SERVICE, Account, Journal, open_accounts, open_groups
from services.loyalty.ledger.domain import Cause
from services.loyalty.ledger.grants import Given
from services.loyalty.ledger.persons import settle_persons
from services.loyalty.occasions import store
from services.loyalty.occasions.domain import YEARLY, Celebrated, Gift, Occasion, Used, applying, gifts
from services.loyalty.programmes.application import Programmes
from services.loyalty.programmes.domain import Programme, in_force
from services.loyalty.programmes.rules import On
from shared.clock import Clock
from shared.contracts.types import Cause as CausedBy
from shared.db import Tx
from shared.messaging import merges, outbox
from shared.messaging.events import Event
from shared.messaging.intake import Outcome
from shared.messaging.outbox import Outgoing

_ONS: dict[str, On] = {
    "complaint-resolved": "complaint-resolved",
    "survey-answered": "survey-answered",
    "activity-recorded": "activity",
    "customer-at-risk": "customer-at-risk",
    "customer-returned": "customer-returned",
}
TOPICS = tuple(_ONS)


@dataclass(frozen=True, slots=True)
class Occasions:
    """``key``: of the tokens, by which occasions are known and from which nobody is; ``zone``: the house's."""

    clock: Clock
    programmes: Programmes
    zone: ZoneInfo
    key: bytes

    async def apply(self, tx: Tx, events: Sequence[Event]) -> Outcome:
        """What the version in force gave on each when it happened. History that is filled in gives nothing unless the
        version says so."""
        versions = await self.programmes.known(tx)
        found: dict[str, Occasion] = {}
        for event in sorted(events, key=lambda one: (one.data.occurred_at, one.source, one.id)):
            occasion = self._of_event(event, versions)
            if occasion is not None:
                found.setdefault(occasion.token, occasion)
        await self.give(tx, list(found.values()))
        return Outcome()

    def occasion(
        self, on: On, told: str, customer: str, at: datetime, cause: Cause, versions: Sequence[Programme], *,
        kind: str | None = None, backfill: bool = False, celebrated: Celebrated | None = None,
    ) -> Occasion | None:  # fmt: skip
        """An occasion, by what it is ``told`` of, or None where the version in force gives nothing on it."""
        programme = in_force(versions, at)
        if programme is None or (backfill and not programme.backfill_earns):
            return None
        rules = applying(programme.occasions, on, kind)
        if not rules:
            return None
        return Occasion(
            on=on,
            token=hmac.digest(self.key, f"occasion\0{on}\0{told}".encode(), "sha256")[:16].hex(),
            customer_id=customer,
            occurred_at=at,
            day=celebrated.day if celebrated else at.astimezone(self.zone).date(),
            cause=cause,
            rules=rules,
            version=programme.version,
            currency=programme.currency,
            expires_at=programme.expires_at(at, self.zone),
            celebrated=celebrated,
        )

    async def give(self, tx: Tx, occasions: Sequence[Occasion]) -> None:
        """Gives what wasn't given yet. Locks accounts: none may be locked after their turn."""
        if not occasions:
            return
        now = self.clock.now()
        customers = sorted({one.customer_id for one in occasions})
        groups = await merges.groups_of(tx, customers)
        if groups.others:
            accounts = await open_groups(tx, customers, groups, now)
        else:
            accounts = await open_accounts(tx, customers, now)
        fresh = await self._fresh(tx, occasions, accounts)
        if not fresh:
            return
        journal = Journal(now)
        causes = {gift.occasion.customer_id: gift.occasion.cause for gift in fresh}
        points = [_given(gift) for gift in fresh if gift.points]
        await grants.enter(tx, journal, accounts, points)
        last = fresh[-1].occasion.cause
        await settle_persons(tx, journal, accounts.values(), lambda one: causes.get(one.customer_id, last))
        await journal.write(tx, accounts.values())
        written, told = [], []
        for gift in fresh:
            coupon_id, customer = None, gift.occasion.customer_id
            if gift.rule.coupon is not None:
                cause = CausedBy(source=gift.occasion.cause.source, id=gift.occasion.cause.id)
                coupon = await coupons.issue(tx, customer, gift.rule.coupon, now, self.zone, cause, tell=False)
                told.append(coupon_events.issued(coupon, cause))
                coupon_id = coupon.coupon_id
            written.append((gift, accounts[customer].account_id, coupon_id))
        await store.add(tx, written)
        events: list[Outgoing] = [*journal.events, *told]
        await outbox.append(tx, SERVICE, events, now)

    async def _fresh(self, tx: Tx, occasions: Sequence[Occasion], accounts: dict[str, Account]) -> list[Gift]:
        known = await store.known(tx, [one.token for one in occasions])
        ids = [account.account_id for account in accounts.values()]
        persons = {account.account_id: account.person for account in accounts.values()}
        kept: dict[tuple[int, On], list[Celebrated]] = defaultdict(list)
        if any(one.on in YEARLY for one in occasions):
            for account_id, on, celebrated in await store.celebrated(tx, ids):
                kept[persons[account_id], on].append(celebrated)
        used: dict[int, Used] = defaultdict(dict)
        if capped := sorted({rule.id for one in occasions for rule in one.rules if rule.cap}):
            for row in await store.used(tx, ids, capped):
                used[persons[row["account_id"]]].setdefault(row["rule"], []).append((row["day"], row["points"]))
        fresh: list[Gift] = []
        for one in occasions:
            person = accounts[one.customer_id].person
            before = kept[person, one.on]
            if one.token in known or (one.celebrated and any(map(one.celebrated.repeats, before))):
                continue
            if one.celebrated:
                before.append(one.celebrated)
            fresh += gifts(one, used[person])
        return fresh

    def _of_event(self, event: Event, versions: Sequence[Programme]) -> Occasion | None:
        data = event.data
        cause = Cause(event.source, event.id, data.occurred_at, event.traceparent)
        on = _ONS[event.topic.name]
        kind = None
        match on:
            case "complaint-resolved":
                told = data.complaint_id
            case "survey-answered":
                told = data.response_id
            case "activity":
                told, kind = data.activity_id, data.kind
            case _:
                told = f"{event.source} {event.id}"
        return self.occasion(
            on, told, data.customer_id, data.occurred_at, cause, versions, kind=kind, backfill=event.backfill
        )


def _given(gift: Gift) -> Given:
    one = gift.occasion
    return Given(
        customer_id=one.customer_id,
        kind=gift.rule.grant,
        grant_id=gift.grant_id,
        points=gift.points,
        occurred_at=one.occurred_at,
        available_from=one.occurred_at,
        expires_at=one.expires_at,
        programme_version=one.version,
        currency=one.currency,
        cause=one.cause,
    )
