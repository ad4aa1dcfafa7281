"""What one batch changes: awards judged, the difference posted, coupons used, tiers brought up to date."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from services.loyalty.coupons import claiming as coupons
from services.loyalty.earning import store
from services.loyalty.earning.basis import paid_net
from services.loyalty.earning.domain import Judgement, fold, judge
from services.loyalty.earning.memory import History, kept, recall
from services.loyalty.earning.pools import PoolKey, Pools, pools_of
from services.loyalty.ledger import application as ledger
from services.loyalty.ledger.application import Account, Journal
from services.loyalty.ledger.domain import Cause, Lot
from services.loyalty.ledger.persons import settle_persons
from services.loyalty.programmes.domain import Programme, in_force, segments_of
from services.loyalty.referrals.marks import orders_changed
from services.loyalty.segments import application as segments
from services.loyalty.segments.domain import NOWHERE, Membership
from services.loyalty.tiers.application import Member, at_the_top, reassess, reassess_groups, spends_of
from services.loyalty.tiers.domain import Spend, reach
from shared.contracts.orders import Order
from shared.db import Tx
from shared.messaging import facts, outbox
from shared.messaging.events import Event
from shared.messaging.facts import Recorded
from shared.messaging.merges import Groups


@dataclass(slots=True)
class Versions:
    """Which version judges an order: of those that were known when it was judged first."""

    known: Sequence[Programme]
    judged_with: dict[str, int]

    def __call__(self, order: Order) -> tuple[Programme | None, int]:
        newest = self.known[-1].version
        judged_with = self.judged_with.get(order.order_id, newest)
        known = self.known if judged_with == newest else [v for v in self.known if v.version <= judged_with]
        return in_force(known, order.occurred_at), judged_with


@dataclass(slots=True)
class Batch:
    """Facts that are recorded, and the accounts that they concern, locked."""

    tx: Tx
    known: Sequence[Programme]
    zone: ZoneInfo
    now: datetime
    accounts: dict[str, Account]
    groups: Groups
    recorded: Recorded
    current: Programme | None
    spends: dict[str, list[Spend]] = field(default_factory=dict)
    causes: dict[str, list[Cause]] = field(default_factory=dict)
    settled: set[int] = field(default_factory=set)
    histories: dict[str, History] = field(default_factory=dict)
    pools: Pools | None = None
    memberships: Mapping[str, Membership] = field(default_factory=dict)

    async def apply(self) -> None:
        """Judges, posts and publishes."""
        journal = Journal(self.now)
        plain = self.recorded.plain
        refold = self.recorded.refold | {customer for customer in plain if self._is_late(customer, plain[customer])}
        if self._needs_other_spends():
            refold |= plain.keys()
        if any(version.expiry.extended for version in self.known):
            # A purchase moves the expiry of those before it.
            refold |= {c for c, own in plain.items() if self.accounts[c].last_at is not None or len(own) > 1}
        await orders_changed(self.tx, self.recorded, refold, self.groups, self.now)
        newest = {
            customer: [(event, facts.order_of(event)) for event in events]
            for customer, events in plain.items()
            if customer not in refold
        }
        await self._load_spends(newest)
        self.memberships = await segments.memberships(self.tx, newest.keys() | refold, segments_of(self.known))
        folds = await self._load_folds(refold) if refold else None
        if any(version.is_shared for version in self.known):
            judged = [order for own in newest.values() for _, order in own]
            judged += [order for own in folds.orders.values() for order in own] if folds else []
            versions = folds.versions if folds else Versions(self.known, {})
            self.pools = await shared_pools(self.tx, judged, versions, self.zone, store.lock)
        for customer, orders in newest.items():
            self._apply_newest(journal, self.accounts[customer], orders)
        if folds:
            self._refold(journal, folds)
        if self.pools:
            await store.save(self.tx, self.pools.moved, self.pools.changed)
        await settle_persons(self.tx, journal, self.accounts.values(), self._cause_of)
        await journal.write(self.tx, self.accounts.values())
        crossings = await self._tiers()
        # The last lock before the outbox numbers what is told.
        used = await coupons.orders_changed(self.tx, self.recorded, self.now)
        await outbox.append(self.tx, ledger.SERVICE, journal.events + crossings + used, self.now)

    def _cause_of(self, account: Account) -> Cause:
        """What of the batch concerns this account, or else the last of it."""
        if own := self.causes.get(account.customer_id):
            return own[-1]
        if self.recorded.fresh:
            return cause_of(self.recorded.fresh[-1])
        return [cause for causes in self.causes.values() for cause in causes][-1]

    def _is_late(self, customer: str, events: Sequence[Event]) -> bool:
        account = self.accounts[customer]
        history = recall(account.last_at, account.orders, account.caps)
        if history is None or (history.last_at is not None and events[0].data.occurred_at <= history.last_at):
            return True
        self.histories[customer] = history
        return False

    def _needs_other_spends(self) -> bool:
        """Whether what an order earns may ask for spends in another currency than the one at hand."""
        return any(version.asks_tier for version in self.known if version.currency != self._currency)

    @property
    def _currency(self) -> str:
        return self.current.currency if self.current else ""

    async def _load_spends(self, newest: Mapping[str, Sequence[tuple[Event, Order]]]) -> None:
        """The spends of those whose tier they may change.

        Left out is who has bought too little for any tier, and who is at the top of the tiers, unless points hang on
        the tier held: then the spends decide them, too.
        """
        ours = [version for version in self.known if version.currency == self._currency and version.tiers]
        known = [customer for customer in newest if self.accounts[customer].last_at is not None]
        if not ours or not known:
            return
        if self.current and self.current.tiers and not any(version.asks_tier for version in ours):
            ids = [self.accounts[customer].account_id for customer in known]
            self.settled = await at_the_top(self.tx, ids, self.current, self.now)
        lowest = min(tier.spend for version in ours for tier in version.tiers)
        customers = {self.accounts[customer].account_id: customer for customer in known}
        least = {
            account_id: lowest - sum(self._net(order) for _, order in newest[customer])
            for account_id, customer in customers.items()
            if account_id not in self.settled
        }
        first = min(orders[0][1].occurred_at for orders in newest.values())
        since = min(first, self.now) - max(reach(version) for version in ours)
        found = await spends_of(self.tx, least, ours, since)
        self.spends = {customers[account_id]: spends for account_id, spends in found.items()}

    def _net(self, order: Order) -> int:
        """What a new order counts for tiers."""
        if not any(version.rates for version in self.known):
            return order.net
        return paid_net(order, in_force(self.known, order.occurred_at))[1]

    def _apply_newest(self, journal: Journal, account: Account, orders: Sequence[tuple[Event, Order]]) -> None:
        history = self.histories[account.customer_id]
        spends = self.spends.setdefault(account.customer_id, [])
        versions = Versions(self.known, {})
        membership = self.memberships.get(account.customer_id, NOWHERE)
        for event, order in orders:
            history, judgement = judge(history, order, *versions(order), spends, self.zone, self.pools, membership)
            cause = cause_of(event)
            journal.open_lot(account, Lot(account.account_id, judgement.award), cause)
            self.causes.setdefault(account.customer_id, []).append(cause)
            award = judgement.award
            if award.currency == self._currency and award.net_minor:
                spends.append((award.occurred_at, award.net_minor, award.points))
        _remember(account, history)

    async def _load_folds(self, customers: set[str]) -> "_Folds":
        accounts = {self.accounts[c].account_id: self.accounts[c] for c in customers}
        orders = await facts.orders_of(self.tx, customers)
        lots = {lot.award.source_id: lot for lot in await ledger.lots_of(self.tx, sorted(accounts))}
        versions = Versions(self.known, {order_id: lot.award.judged_with for order_id, lot in lots.items()})
        return _Folds(customers, accounts, orders, lots, versions)

    def _refold(self, journal: Journal, folds: "_Folds") -> None:
        customers, accounts, orders, lots, versions = folds
        owners = {order.order_id: customer for customer in customers for order in orders[customer]}
        by_order = {_order_id(event): cause_of(event) for event in self.recorded.fresh}
        for order_id, lot in sorted(lots.items()):
            account = accounts[lot.account_id]
            if owners[order_id] != account.customer_id:
                journal.close_lot(account, lot, by_order[order_id])
                self.causes.setdefault(account.customer_id, []).append(by_order[order_id])
        for customer in sorted(customers):
            account = self.accounts[customer]
            membership = self.memberships.get(customer, NOWHERE)
            history, judgements = fold(orders[customer], versions, self.zone, self.pools, membership)
            own = [by_order[order.order_id] for order in orders[customer] if order.order_id in by_order]
            self.causes.setdefault(customer, []).extend(own)
            self._post_judgements(journal, account, judgements, lots, by_order)
            _remember(account, history)
            self.spends[customer] = [
                (j.award.occurred_at, j.award.net_minor, j.award.points)
                for j in judgements
                if j.award.currency == self._currency and j.award.net_minor
            ]

    def _post_judgements(
        self, journal: Journal, account: Account, judgements: Sequence[Judgement], lots: dict[str, Lot],
        by_order: dict[str, Cause],
    ) -> None:  # fmt: skip
        for judgement in judgements:
            award = judgement.award
            lot = lots.get(award.source_id)
            if lot is not None and lot.account_id == account.account_id and lot.award == award:
                continue
            # An award that no event of its own changed hangs, by a cap or a bonus, on one that an event did; or it was
            # the customer's segments that changed.
            cause = by_order.get(award.source_id)
            cause = cause or _not_before(award.occurred_at, self.causes[account.customer_id][-1])
            if lot is None:
                journal.open_lot(account, Lot(account.account_id, award), cause)
            elif lot.account_id != account.account_id:
                journal.change_lot(account, Lot(account.account_id, award), cause)
            else:
                journal.change_lot(account, msgspec.structs.replace(lot, award=award), cause)

    async def _tiers(self) -> list[outbox.Outgoing]:
        programme = self.current
        if programme is None or not programme.tiers:
            return []
        joined = {c for c in self.accounts if self.groups.is_joined(c)} if self.groups.others else set()
        members = [
            Member(account.account_id, customer, self.spends.get(customer, ()), self.causes.get(customer, ()))
            for customer, account in self.accounts.items()
            if customer not in joined and account.account_id not in self.settled
        ]
        crossings = await reassess(self.tx, members, programme, self.now)
        return crossings + await self._tiers_of_groups(programme, joined) if joined else crossings

    async def _tiers_of_groups(self, programme: Programme, joined: set[str]) -> list[outbox.Outgoing]:
        causes: dict[int, list[Cause]] = {}
        for customer in sorted(joined):
            survivor = self.accounts[self.groups.survivor(customer)]
            causes.setdefault(survivor.account_id, []).extend(self.causes.get(customer, ()))
        accounts = [self.accounts[customer] for customer in sorted(joined)]
        return await reassess_groups(self.tx, accounts, programme, self.now, causes, {})


class _Folds(NamedTuple):
    """What customers are judged anew from."""

    customers: set[str]
    accounts: dict[int, Account]
    orders: dict[str, list[Order]]
    lots: dict[str, Lot]
    versions: Versions


async def shared_pools(
    tx: Tx, orders: Sequence[Order], versions: Versions, zone: ZoneInfo,
    open_: Callable[[Tx, Sequence[PoolKey]], Awaitable[dict[PoolKey, int]]],
) -> Pools | None:  # fmt: skip
    """What these orders share with those of others, and have of it; None where no version shares anything."""
    if not any(version.is_shared for version in versions.known):
        return None
    grants = await store.grants_of(tx, [order.order_id for order in orders])
    keys = {(rule, grant.period) for (_, rule), grant in grants.items()}
    for order in orders:
        programme, _ = versions(order)
        keys |= pools_of(order, programme, order.occurred_at.astimezone(zone).date())
    return Pools(grants, await open_(tx, sorted(keys)) if keys else {})


def _not_before(at: datetime, cause: Cause) -> Cause:
    """The cause of what can't have happened before that."""
    return msgspec.structs.replace(cause, occurred_at=at) if cause.occurred_at < at else cause


def _remember(account: Account, history: History) -> None:
    account.last_at = history.last_at
    account.orders = history.orders
    account.caps = kept(history)


def cause_of(event: Event) -> Cause:
    """An event as what its entries are caused by."""
    return Cause(event.source, event.id, event.data.occurred_at, event.traceparent)


def _order_id(event: Event) -> str:
    return str(event.data.order_id)
