"""The job that judges referrals: after their orders have changed, and when a return window ends.

The result hangs on orders, codes and merges as they are, never on the order in which they were heard of: each referral
keeps what its own facts say, and which others are refused for it, or no longer are, is marked and judged after it.
"""

import hmac
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec

from services.loyalty.coupons.codes import Mistyped, read_code
from services.loyalty.ledger import grants
from services.loyalty.ledger.application import SERVICE, Account, Journal, lots_of, open_accounts, open_groups
from services.loyalty.ledger.domain import Cause, Lot
from services.loyalty.ledger.grants import Given
from services.loyalty.ledger.persons import settle_persons
from services.loyalty.programmes.application import Programmes
from services.loyalty.programmes.domain import Programme
from services.loyalty.referrals import store
from services.loyalty.referrals.domain import ERASED, Counted, Edge, circle, is_edge, judge, over_limit
from services.loyalty.referrals.rewarding import SOURCE, grants_of, points_of, told, undone_at
from services.loyalty.referrals.store import Referral
from shared.clock import Clock
from shared.contracts.orders import Order
from shared.db import Database, Tx
from shared.messaging import facts, merges, outbox
from shared.messaging.merges import Groups
from shared.messaging.outbox import Outgoing

_BATCH = 200
_replace = msgspec.structs.replace


@dataclass(frozen=True, slots=True)
class ReferralKeeper:
    """``key``: of the tokens, by which referrals are known, and nobody's order by them; ``zone``: the house's."""

    db: Database
    clock: Clock
    programmes: Programmes
    zone: ZoneInfo
    key: bytes
    wake: Callable[[], None]

    async def run(self) -> int:
        """Judges all that is due. Answers how often."""
        done = 0
        while found := await self._batch():
            done += found
            self.wake()
        return done

    async def next_due(self) -> datetime | None:
        """When the next one is to be judged."""
        async with self.db.transaction() as tx:
            return await store.next_due(tx)

    async def _batch(self) -> int:
        now = self.clock.now()
        async with self.db.transaction() as tx:
            known = await self.programmes.known(tx)
            await merges.share(tx)
            due = await store.due(tx, now, _BATCH)
            if not due:
                return 0
            groups, accounts = await self._lock(tx, due, now)
            batch = _Batch(tx, now, self.zone, self.key, {one.version: one for one in known}, groups, accounts)
            return await batch.apply([one.order_id for one in due])

    async def _lock(self, tx: Tx, due: Sequence[Referral], now: datetime) -> tuple[Groups, dict[str, Account]]:
        """Everybody's accounts, as far as can be known before they are locked."""
        orders = await facts.orders(tx, [one.order_id for one in due])
        owners = await store.owners(tx, sorted(_codes(orders)))
        sides = {order.customer_id for order in orders} | {one.referee_id for one in due} | set(owners.values())
        customers = sorted(sides | {one.referrer_id for one in due if one.referrer_id})
        groups = await merges.groups_of(tx, customers)
        if groups.others:
            return groups, await open_groups(tx, customers, groups, now)
        return groups, await open_accounts(tx, customers, now)


@dataclass(slots=True)
class _Batch:
    """Referrals under lock, like all accounts of those whose they are; one whose accounts aren't, since its order or
    its code became known meanwhile, stays due."""

    tx: Tx
    now: datetime
    zone: ZoneInfo
    key: bytes
    versions: Mapping[int, Programme]
    groups: Groups
    accounts: dict[str, Account]
    orders: dict[str, Order] = field(default_factory=dict)
    lots: dict[str, Lot] = field(default_factory=dict)

    async def apply(self, order_ids: Sequence[str]) -> int:
        """Judges them, and gives and takes what follows. Answers how many."""
        before = {one.order_id: one for one in await store.lock(self.tx, order_ids)}
        found = await self._by_their_facts(list(before.values()))
        await store.save(self.tx, found)
        found = await self._without_loops(found, before)
        over = await self._over_limits(found, before)
        after = [self._settled(one, one.order_id in over) for one in found]
        await self._reward(after, before)
        return len(found)

    async def _by_their_facts(self, referrals: Sequence[Referral]) -> list[Referral]:
        orders = await facts.orders(self.tx, [one.order_id for one in referrals])
        self.orders = {order.order_id: order for order in orders if order.customer_id in self.accounts}
        customers = {order.customer_id for order in self.orders.values()}
        histories = await facts.orders_of(self.tx, {id for one in customers for id in self.groups.members(one)})
        lots = await lots_of(self.tx, [self.accounts[one].account_id for one in sorted(customers)])
        self.lots = {lot.award.source_id: lot for lot in lots}
        owners = await store.owners(self.tx, sorted(_codes(orders)))
        judged = [
            self._by_its_facts(one, self.orders[one.order_id], owners, histories)
            for one in referrals
            if one.order_id in self.orders and one.order_id in self.lots
        ]
        return [one for one in judged if one is not None]

    def _by_its_facts(
        self, one: Referral, order: Order, owners: Mapping[str, str], histories: Mapping[str, Sequence[Order]]
    ) -> Referral | None:
        code = _code(order)
        owner = owners.get(code or "")
        if owner is None and (order.referral_code == ERASED or (code is not None and code == one.code)):
            # Whose it was has been erased, or whose purchase it is.
            owner = one.referrer_id
        if owner is not None and owner not in self.accounts:
            return None
        referee = self.groups.survivor(order.customer_id)
        referrer = None if owner is None else self.groups.survivor(owner)
        of_person = [each for id in self.groups.members(order.customer_id) for each in histories[id]]
        verdict = judge(order, referee, referrer, of_person)
        award = self.lots[order.order_id].award
        token = hmac.digest(self.key, f"referral\0{order.order_id}".encode(), "sha256")[:16].hex()
        return _replace(
            one,
            referral_id=f"rf_{token}",
            code=code,
            referee_id=order.customer_id,
            referrer_id=owner,
            ordered_at=order.occurred_at,
            qualifies_at=award.available_from,
            programme_version=award.programme_version,
            edge=is_edge(verdict),
            verdict=verdict,
        )

    async def _without_loops(self, found: Sequence[Referral], before: Mapping[str, Referral]) -> list[Referral]:
        """Of each circle the last is refused; those of others that this decides are marked."""
        own = {one.order_id: self._edge(one) for one in found if one.edge}
        leading_on = await self._leading_on(own.values())
        loops: set[str] = set()
        others: dict[str, bool] = {}
        for id, edge in own.items():
            passed = circle(edge, leading_on)
            if passed and passed[-1].order_id == id:
                loops.add(id)
            others |= {each.order_id: each is passed[-1] for each in passed if each.order_id not in own}
        if others:
            refused = await store.loops(self.tx, sorted(others))
            await store.mark(self.tx, [id for id, last in others.items() if last != (id in refused)], self.now)
        if any(before[one.order_id].edge and not self._leads_as_before(one, before) for one in found):
            await store.mark_loops(self.tx, sorted(before), self.now)
        return [_replace(one, verdict="loop") if one.order_id in loops else one for one in found]

    async def _leading_on(self, edges: Iterable[Edge]) -> dict[str, Edge]:
        leading_on: dict[str, Edge] = {}
        seen: set[str] = set()
        ahead = {edge.referrer for edge in edges}
        while ahead:
            seen |= ahead
            following = await store.edges(self.tx, sorted(ahead))
            for edge in following:
                leading_on.setdefault(edge.referee, edge)
            ahead = {edge.referrer for edge in following} - seen
        return leading_on

    async def _over_limits(self, found: Sequence[Referral], before: Mapping[str, Referral]) -> set[str]:
        """Those of ``found`` that a limit is against; those of others that they push over it, or free, are marked."""
        if not any(version.referral and version.referral.limit for version in self.versions.values()):
            return set()
        sides = [one.referrer_id for one in (*found, *before.values()) if one.referrer_id]
        persons = {self.groups.survivor(id) for id in sides}
        if not persons:
            return set()
        own = {one.order_id for one in found}
        reasons: dict[str, str | None] = {}
        by_person: dict[str, list[Counted]] = {}
        for row in await store.counted(self.tx, sorted(persons)):
            if row["order_id"] not in own:
                reasons[row["order_id"]] = row["reason"]
                counted = self._counted(row["order_id"], row["ordered_at"], row["programme_version"])
                by_person.setdefault(row["referrer"], []).append(counted)
        for one in found:
            if one.verdict is None and one.referrer_id:
                counted = self._counted(one.order_id, one.ordered_at, one.programme_version)
                by_person.setdefault(self.groups.survivor(one.referrer_id), []).append(counted)
        over = {id for mine in by_person.values() for id in over_limit(mine)}
        await store.mark(
            self.tx, [id for id, reason in reasons.items() if (reason == "limit-reached") != (id in over)], self.now
        )
        return over & own

    def _settled(self, one: Referral, over: bool) -> Referral:
        reason = one.verdict or ("limit-reached" if over else None)
        if reason is not None:
            return _replace(one, state="refused", reason=reason, due_at=None)
        assert one.qualifies_at is not None, "it was judged"
        if one.qualified_at is None and one.qualifies_at > self.now:
            return _replace(one, state="pending", reason=None, due_at=one.qualifies_at)
        # What has qualified, doesn't wait again where a late delivery moves the window.
        qualified_at = one.qualified_at or one.qualifies_at
        return _replace(one, state="qualified", reason=None, qualified_at=qualified_at, due_at=None)

    async def _reward(self, found: Sequence[Referral], before: Mapping[str, Referral]) -> None:
        given: list[Given] = []
        events: list[Outgoing] = []
        written: list[Referral] = []
        for one in found:
            was = before[one.order_id]
            order = self.orders[one.order_id]
            points = points_of(one, self.versions.get(one.programme_version or 0), order)
            same = (was.referee_id, was.referrer_id, was.referrer_points, was.referee_points)
            if was.granted and same != (one.referee_id, one.referrer_id, *points):
                given += grants_of(was, self.versions, self.zone, undone_at(order, self.now), withdrawn=True)
                one = _replace(one, granted=False, referrer_points=0, referee_points=0)
            if any(points) and not one.granted:
                one = _replace(
                    one, granted=True, generation=one.generation + 1, referrer_points=points[0],
                    referee_points=points[1],
                )  # fmt: skip
                given += grants_of(one, self.versions, self.zone, one.qualified_at or self.now)
            if was.qualified_at is None and one.qualified_at is not None:
                events += told(one)
            written.append(one)
        await store.save(self.tx, written)
        journal = Journal(self.now)
        await grants.enter(self.tx, journal, self.accounts, given)
        causes = {grant.customer_id: grant.cause for grant in given}
        another = Cause(SOURCE, "settled", self.now)
        await settle_persons(
            self.tx, journal, self.accounts.values(), lambda account: causes.get(account.customer_id, another)
        )
        await journal.write(self.tx, self.accounts.values())
        await outbox.append(self.tx, SERVICE, [*journal.events, *events], self.now)

    def _edge(self, one: Referral) -> Edge:
        assert one.referrer_id, "an edge leads somewhere"
        return Edge(
            one.order_id, one.ordered_at, self.groups.survivor(one.referee_id), self.groups.survivor(one.referrer_id)
        )

    def _leads_as_before(self, one: Referral, before: Mapping[str, Referral]) -> bool:
        was = before[one.order_id]
        return one.edge and (one.referee_id, one.referrer_id) == (was.referee_id, was.referrer_id)

    def _counted(self, order_id: str, ordered_at: datetime, programme_version: int | None) -> Counted:
        version = self.versions.get(programme_version or 0)
        limit = version.referral.limit if version and version.referral else None
        return Counted(order_id, ordered_at, ordered_at.astimezone(self.zone).date(), limit)


def _codes(orders: Iterable[Order]) -> set[str]:
    return {code for order in orders if (code := _code(order))}


def _code(order: Order) -> str | None:
    try:
        return read_code(order.referral_code) if order.referral_code else None
    except Mistyped:
        return None
