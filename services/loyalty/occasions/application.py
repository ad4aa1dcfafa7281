"""Giving what occasions give: once each, however often and by whom they are told."""

import hmac
from collections import defaultdict
from collections.abc import Mapping, Sequence
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
from services.loyalty.occasions.domain import (
    YEARLY,
    Celebrated,
    Line,
    Occasion,
    OccasionRule,
    applying,
    begin_of,
    trimmed,
)
from services.loyalty.programmes.application import Programmes
from services.loyalty.programmes.domain import Programme, in_force
from services.loyalty.programmes.rules import Cap, On
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
            token=self._token(on, told),
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
        """Gives what wasn't given yet, and brings to it what caps left of what happened later. Locks accounts."""
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
        lines = {(line.token, line.rule): line for line, _ in fresh}
        changed = await self._trim(tx, lines, {line.rule for line, one in fresh if _rule(one, line).cap})
        if not fresh:
            return
        of_tokens = {line.token: one for line, one in fresh}
        versions = {version.version: version for version in await self.programmes.known(tx)}
        names = {account.account_id: account.customer_id for account in accounts.values()}
        causes = {one.customer_id: one.cause for _, one in fresh}
        given = []
        for line in [*lines.values(), *changed]:
            customer, programme = names[line.account_id], versions[line.version]
            cause = of_tokens[line.token].cause if line.token in of_tokens else causes[customer]
            given += self._given(line, programme, customer, cause)
        journal = Journal(now)
        await grants.enter(tx, journal, accounts, given, judged=True)
        last = fresh[-1][1].cause
        await settle_persons(tx, journal, accounts.values(), lambda one: causes.get(one.customer_id, last))
        await journal.write(tx, accounts.values())
        told = await self._write(tx, lines, changed, fresh, now)
        await outbox.append(tx, SERVICE, [*journal.events, *told], now)

    async def _fresh(
        self, tx: Tx, occasions: Sequence[Occasion], accounts: Mapping[str, Account]
    ) -> list[tuple[Line, Occasion]]:
        """What isn't given yet; and what was, of something that began earlier than was thought."""
        known = await store.known(tx, [one.token for one in occasions])
        kept: dict[tuple[int, On], list[Celebrated]] = defaultdict(list)
        if any(one.on in YEARLY for one in occasions):
            persons = {account.account_id: account.person for account in accounts.values()}
            for account_id, on, celebrated in await store.celebrated(tx, list(persons)):
                kept[persons[account_id], on].append(celebrated)
        fresh: list[tuple[Line, Occasion]] = []
        for one in occasions:
            account = accounts[one.customer_id]
            before, given = kept[account.person, one.on], known.get(one.token)
            if given is not None and not _is_earlier(one, given):
                continue
            if one.celebrated:
                if given is not None or any(map(one.celebrated.repeats, before)):
                    continue
                before.append(one.celebrated)
            for rule in one.rules:
                at, bonus = one.occurred_at, rule.bonus
                line = Line(one.token, rule.id, account.account_id, at, one.day, one.version, bonus, bonus)
                fresh.append((line, one))
        return fresh

    async def _trim(self, tx: Tx, lines: dict[tuple[str, str], Line], capped: set[str]) -> list[Line]:
        """Brings capped lines to what is left for them, and answers those given before that have become others."""
        if not capped:
            return []
        versions = {version.version: version for version in await self.programmes.known(tx)}

        def cap_of(line: Line) -> Cap | None:
            return next((rule.cap for rule in versions[line.version].occasions if rule.id == line.rule), None)

        mine = [line for line in lines.values() if line.rule in capped]
        since = min(begin_of(cap.per, line.day) for line in mine if (cap := cap_of(line)))
        there = await store.lines(tx, sorted({line.account_id for line in mine}), sorted(capped), since)
        before = {(line.token, line.rule): line for line in there}
        groups: dict[tuple[int, str], list[Line]] = defaultdict(list)
        for line in {**before, **{key: line for key, line in lines.items() if line.rule in capped}}.values():
            groups[line.account_id, line.rule].append(line)
        changed = []
        for group in groups.values():
            for line in trimmed(group, cap_of):
                key = line.token, line.rule
                if key in lines:
                    lines[key] = line
                elif line != before[key]:
                    changed.append(line)
        return changed

    def _given(self, line: Line, programme: Programme, customer: str, cause: Cause) -> list[Given]:
        rule = next((rule for rule in programme.occasions if rule.id == line.rule), None)
        if rule is None or not line.wanted:
            return []
        given = Given(
            customer_id=customer,
            kind=rule.grant,
            grant_id=line.grant_id,
            points=line.points,
            occurred_at=line.occurred_at,
            available_from=line.occurred_at,
            expires_at=programme.expires_at(line.occurred_at, self.zone),
            programme_version=line.version,
            currency=programme.currency,
            cause=cause,
        )
        return [given]

    async def _write(
        self, tx: Tx, lines: Mapping[tuple[str, str], Line], changed: Sequence[Line],
        fresh: Sequence[tuple[Line, Occasion]], now: datetime,
    ) -> list[Outgoing]:  # fmt: skip
        known = await store.known(tx, [one.token for _, one in fresh])
        moved, added, told = list(changed), [], []
        for asked, one in fresh:
            line = lines[asked.token, asked.rule]
            if line.token in known:
                moved.append(line)
                continue
            coupon_id, terms = None, _rule(one, line).coupon
            if terms is not None:
                cause = CausedBy(source=one.cause.source, id=one.cause.id)
                coupon = await coupons.issue(tx, one.customer_id, terms, now, self.zone, cause, tell=False)
                told.append(coupon_events.issued(coupon, cause))
                coupon_id = coupon.coupon_id
            added.append((line, one.on, coupon_id, one.celebrated))
        if added:
            await store.add(tx, added)
        if moved:
            await store.change(tx, moved)
        return told

    def _token(self, on: On, told: str) -> str:
        return hmac.digest(self.key, f"occasion\0{on}\0{told}".encode(), "sha256")[:16].hex()

    def _of_event(self, event: Event, versions: Sequence[Programme]) -> Occasion | None:
        data = event.data
        on = _ONS[event.topic.name]
        kind = None
        # Events of our own are named after their customer, and the ledger keeps causes for ever.
        match on:
            case "complaint-resolved":
                told = cause_id = data.complaint_id
            case "survey-answered":
                told = cause_id = data.response_id
            case "activity":
                told, kind, cause_id = data.activity_id, data.kind, event.id
            case _:
                told = f"{event.source} {event.id}"
                cause_id = self._token(on, told)
        cause = Cause(event.source, cause_id, data.occurred_at, event.traceparent)
        return self.occasion(
            on, told, data.customer_id, data.occurred_at, cause, versions, kind=kind, backfill=event.backfill
        )


def _rule(occasion: Occasion, line: Line) -> OccasionRule:
    return next(rule for rule in occasion.rules if rule.id == line.rule)


def _is_earlier(occasion: Occasion, given: Mapping[str, datetime]) -> bool:
    rules = {rule.id for rule in occasion.rules}
    return rules == given.keys() and occasion.occurred_at < min(given.values())
