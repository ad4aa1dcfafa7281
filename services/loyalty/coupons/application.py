"""Issuing coupons, and using them up. Locks on coupons come after those on merges, accounts and rewards."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import msgspec

from services.loyalty.coupons import claiming, claims_store, events, store
from services.loyalty.coupons.claims import Claim
from services.loyalty.coupons.codes import Code, new_code
from services.loyalty.coupons.domain import Coupon, CouponRefused, Terms, fresh, read_terms
from shared.clock import Clock
from shared.contracts.types import Cause, Money
from shared.db import Database, Tx
from shared.messaging import merges, outbox
from shared.messaging.outbox import Outgoing

SERVICE = "loyalty"
BATCH = 1000
_YEAR = timedelta(days=366)


class Batch(msgspec.Struct, frozen=True):
    """Coupons that were issued together."""

    batch_id: str
    issued_at: datetime
    expires_at: datetime
    coupons: int
    reason: str
    terms: Terms


async def issue(
    tx: Tx,
    customer_id: str,
    terms: Terms,
    now: datetime,
    zone: ZoneInfo,
    cause: Cause,
    *,
    redemption_id: str | None = None,
    tell: bool = True,
) -> Coupon:
    """A coupon for a customer who isn't erased: given to him, or for a redemption, which gives one at the most.

    Without ``tell`` the caller publishes ``events.issued`` of it, together with what else he has to say.
    """
    coupon = fresh(_id(), new_code(), customer_id, terms, now, zone, redemption_id=redemption_id)
    await store.insert(tx, coupon)
    if tell:
        await outbox.append(tx, SERVICE, [events.issued(coupon, cause)], now)
    return coupon


async def take_back(tx: Tx, redemption_id: str, now: datetime) -> Coupon | None:
    """Voids the coupon that a redemption gave, for its rollback; None if it gave none. Raises CouponRefused where the
    coupon was used."""
    coupon = await store.lock_of_redemption(tx, redemption_id)
    if coupon is None:
        return None
    voided = coupon.void(now)
    if voided != coupon:
        await store.save(tx, [voided])
    return voided


async def of_redemptions(tx: Tx, redemption_ids: Sequence[str], now: datetime) -> dict[str, Coupon]:
    """The coupons that redemptions gave, by their ids, as they are now."""
    found = [coupon.at(now) for coupon in await store.of_redemptions(tx, redemption_ids)]
    return {coupon.redemption_id: coupon for coupon in found if coupon.redemption_id}


async def forget(tx: Tx, names: Mapping[str, str], now: datetime) -> int:
    """For an erasure: coupons and what claims them by other names, without codes, what is open void; how many rows."""
    return await store.rename(tx, names, now) + await claims_store.rename(tx, names)


@dataclass(frozen=True, slots=True)
class Coupons:
    """What tills and staff do with coupons. Everything raises LookupError where there is none of that code."""

    clock: Clock
    zone: ZoneInfo

    async def find(self, tx: Tx, code: Code) -> Coupon:
        """A coupon as it is now."""
        return self._there(await store.by_code(tx, code)).at(self.clock.now())

    async def by_id(self, tx: Tx, coupon_id: str) -> Coupon:
        """The same by its id."""
        return self._there(await store.by_id(tx, coupon_id)).at(self.clock.now())

    async def reserve(self, tx: Tx, code: Code, order_id: str, lasting: timedelta, cause: Cause) -> Coupon:
        """For one order for a while; used at once, where it was given back for that order and its purchase has named
        it. Raises CouponRefused."""
        now = self.clock.now()
        await merges.share(tx)
        before = self._there(await store.lock(tx, code))
        after, told = await claiming.reserved(tx, before.reserve(order_id, now + lasting, now), cause, now)
        if after != before:
            await store.save(tx, [after])
        await outbox.append(tx, SERVICE, told, now)
        return after

    async def redeem(
        self, tx: Tx, code: Code, cause: Cause, *, order_id: str | None, customer_id: str | None, total: Money | None
    ) -> Coupon:
        """Uses a coupon up: once, however many try at the same time. ``customer_id``: who uses it; ``total``: of the
        order, to be held against the least it has to come to. Raises CouponRefused.

        What the order's purchase has used already, as it was heard of first, stays as it is."""
        now = self.clock.now()
        await merges.share(tx)
        before = self._there(await store.lock(tx, code))
        is_its = before.state == "redeemed" and order_id is not None and before.order_id == order_id
        if is_its and await claims_store.is_given(tx, before.coupon_id):
            return before
        after = before.redeem(order_id, customer_id, now)
        if customer_id is not None and not before.bearer:
            await self._require_own(tx, before, customer_id)
        _require_spend(before, total)
        await store.save(tx, [after])
        if order_id is not None:
            await claims_store.end_waiver(tx, after.coupon_id, order_id)
        await outbox.append(tx, SERVICE, [events.redeemed(after, cause)], now)
        return after

    async def release(self, tx: Tx, code: Code, order_id: str | None, cause: Cause) -> Coupon:
        """Gives a coupon back that was reserved or used for an order, which doesn't have it any more. Another that has
        named it, too, has it then. Raises CouponRefused."""
        now = self.clock.now()
        await merges.share(tx)
        before = self._there(await store.lock(tx, code))
        after = before.release(order_id, now)
        told: list[Outgoing] = []
        had = before.at(now)
        if had.state in ("reserved", "redeemed"):
            after, told = await claiming.given_back(tx, after, had.order_id, cause, now)
        if after != before:
            await store.save(tx, [after])
        await outbox.append(tx, SERVICE, told, now)
        return after

    async def void(self, tx: Tx, code: Code) -> Coupon:
        """Makes a coupon worthless. Raises CouponRefused where it was used."""
        now = self.clock.now()
        return await self._change(tx, code, lambda coupon: coupon.void(now))

    async def page(self, tx: Tx, ids: Sequence[str], before: tuple[datetime, str] | None, limit: int) -> list[Coupon]:
        """A person's coupons as they are now, the newest first."""
        now = self.clock.now()
        return [coupon.at(now) for coupon in await store.page(tx, ids, before or (now + _YEAR, ""), limit)]

    async def conflicts(self, tx: Tx, before: tuple[datetime, str, str] | None, limit: int) -> list[Claim]:
        """Orders that name coupons which aren't theirs, the newest first."""
        return await claims_store.conflicts(tx, before or (self.clock.now() + _YEAR, "", ""), limit)

    async def issue_batch(
        self, tx: Tx, customers: Sequence[str], terms: Mapping[str, Any], reason: str, cause: Cause
    ) -> Batch:
        """A coupon for each of these customers, none of whom is named twice or erased."""
        now = self.clock.now()
        batch_id = f"cb_{uuid4().hex}"
        worth = read_terms(terms)
        expires_at = worth.expires_at(now, self.zone)
        body = msgspec.json.encode(terms).decode()
        await store.add_batch(tx, batch_id, now, expires_at, len(customers), reason, body)
        for some in _pieces(await store.in_order(tx, customers)):
            coupons = [fresh(_id(), new_code(), one, worth, now, self.zone, batch_id=batch_id) for one in some]
            await store.insert_many(tx, coupons)
            await outbox.append(tx, SERVICE, [events.issued(coupon, cause) for coupon in coupons], now)
        return Batch(batch_id, now, expires_at, len(customers), reason, worth)

    async def batch(self, tx: Tx, batch_id: str) -> Batch:
        """A batch. Raises LookupError."""
        row = await store.batch(tx, batch_id)
        if row is None:
            raise LookupError(f"there is no batch {batch_id}")
        terms = read_terms(msgspec.json.decode(row["body"]))
        return Batch(batch_id, row["issued_at"], row["expires_at"], row["coupons"], row["reason"], terms)

    async def of_batch(self, tx: Tx, batch_id: str, after: str | None, limit: int) -> list[Coupon]:
        """The coupons of a batch as they are now, by their ids."""
        now = self.clock.now()
        return [coupon.at(now) for coupon in await store.of_batch(tx, batch_id, after or "", limit)]

    async def _change(self, tx: Tx, code: Code, change: Callable[[Coupon], Coupon]) -> Coupon:
        # An erasure takes codes away: it comes before or after.
        await merges.share(tx)
        before = self._there(await store.lock(tx, code))
        after = change(before)
        if after != before:
            await store.save(tx, [after])
        return after

    async def _require_own(self, tx: Tx, coupon: Coupon, customer_id: str) -> None:
        groups = await merges.groups_of(tx, [customer_id])
        if coupon.customer_id not in groups.members(customer_id):
            raise CouponRefused("not-your-coupon", "This coupon is another customer's.")

    def _there(self, coupon: Coupon | None) -> Coupon:
        if coupon is None:
            raise LookupError("there is no such coupon")
        return coupon


@dataclass(frozen=True, slots=True)
class CouponSweeper:
    """The job that writes down what time has made of coupons. Nothing waits for it, and it tells nobody."""

    db: Database
    clock: Clock

    async def run(self) -> int:
        """Everything that is due; how many coupons that were."""
        done = 0
        while True:
            now = self.clock.now()
            async with self.db.transaction() as tx:
                due = await store.due(tx, now, BATCH)
                await store.save(tx, [coupon.at(now) for coupon in due])
            done += len(due)
            if len(due) < BATCH:
                return done

    async def next_due(self) -> datetime | None:
        """When the next coupon expires, or is no longer reserved."""
        async with self.db.transaction() as tx:
            return await store.next_due(tx)


def _require_spend(coupon: Coupon, total: Money | None) -> None:
    least = coupon.min_spend
    if least is None or total is None:
        return
    if total.currency != least.currency or total.minor < least.minor:
        raise CouponRefused("min-spend-not-reached", f"It is for orders of {least.amount} {least.currency} or more.")


def _id() -> str:
    return f"cn_{uuid4().hex}"


def _pieces(customers: Sequence[str]) -> Iterable[Sequence[str]]:
    return (customers[start : start + BATCH] for start in range(0, len(customers), BATCH))
