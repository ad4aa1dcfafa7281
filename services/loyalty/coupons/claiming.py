"""What orders, merges and tills make of coupons that orders name. Coupons are locked last, by their ids."""

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from datetime import datetime

import msgspec
import structlog

from services.loyalty.coupons import claims_store, events, store
from services.loyalty.coupons.claims import Claim, settle, strangers
from services.loyalty.coupons.claims_store import Said
from services.loyalty.coupons.codes import Code, read_codes
from services.loyalty.coupons.domain import Coupon
from shared.contracts.erasures import is_pseudonym
from shared.contracts.orders import Order
from shared.contracts.types import Cause
from shared.db import Tx
from shared.messaging import facts, merges
from shared.messaging.events import Event
from shared.messaging.facts import PURCHASE, Recorded
from shared.messaging.merges import Groups
from shared.messaging.outbox import Outgoing

log = structlog.get_logger()
_Tell = Callable[[Coupon, Coupon, Claim], Outgoing]
"""Of a coupon as it was, as it is, and whose it has become."""


async def orders_changed(tx: Tx, recorded: Recorded, now: datetime) -> list[Outgoing]:
    """Coupons that these orders use, use no longer, or leave to others; what is to be told of it.

    Accounts are locked. A batch in which nobody names a code, returns or cancels costs nothing.
    """
    named, last = _touched(recorded)
    if not last:
        return []
    codes = sorted({code for of_order in named.values() for code in of_order})
    coupons = await store.lock_named(tx, codes, sorted(last))
    if not coupons:
        return []
    claims = await claims_store.of_coupons(tx, [coupon.coupon_id for coupon in coupons])
    ours = {coupon.code for coupon in coupons}
    concerned = {order for order, own in named.items() if own & ours}
    concerned |= {order for of_coupon in claims.values() for order in of_coupon}
    concerned |= {coupon.order_id for coupon in coupons if coupon.order_id}
    heard = sorted(concerned & last.keys())
    orders = {order.order_id: order for order in await facts.orders(tx, heard)}
    said = await claims_store.said_of(tx, heard)
    naming: dict[Code | None, list[str]] = {}
    for order_id, known in said.items():
        for code in known.named:
            naming.setdefault(code, []).append(order_id)
    gone: dict[str, set[str]] = {}
    after: dict[str, dict[str, Claim]] = {}
    for coupon in coupons:
        own = claims[coupon.coupon_id]
        about = {*own, *naming.get(coupon.code, ()), coupon.order_id} & said.keys()
        heard_ = {order_id: (said[order_id], orders.get(order_id)) for order_id in about}
        after[coupon.coupon_id], gone[coupon.coupon_id] = _heard(coupon, own, heard_)

    def tell(before: Coupon, coupon: Coupon, claim: Claim) -> Outgoing:
        # What it says itself, or else what was said of the order that leaves it the coupon.
        event = last.get(claim.order_id) or last.get(before.order_id or "") or recorded.fresh[-1]
        return events.redeemed(coupon, event.cause, event.traceparent)

    return await _settle(tx, coupons, claims, after, gone, now, tell)


async def persons_changed(
    tx: Tx, customers: Set[str], by: Callable[[str], Event], now: datetime
) -> list[Outgoing]:  # fmt: skip
    """Who was merged or parted: whose orders named coupons of another of his ids, or of one who isn't he any more.
    ``by``: what joined or parted a customer last."""
    coupons = await store.lock_lent(tx, sorted(customers))
    if not coupons:
        return []
    claims = await claims_store.of_coupons(tx, [coupon.coupon_id for coupon in coupons])

    def tell(_: Coupon, coupon: Coupon, __: Claim) -> Outgoing:
        event = by(coupon.customer_id)
        return events.redeemed(coupon, event.cause, event.traceparent)

    return await _settle(tx, coupons, claims, claims, {}, now, tell)


async def reserved(tx: Tx, coupon: Coupon, cause: Cause, now: datetime) -> tuple[Coupon, list[Outgoing]]:
    """A till keeps a locked coupon for an order, which may have it again if it was given back, and be placed when the
    coupon has expired; the coupon as it is then: used, where the order's purchase has named it already."""
    if coupon.order_id is None or coupon.due_at is None:
        return coupon, []
    claims = (await claims_store.of_coupons(tx, [coupon.coupon_id]))[coupon.coupon_id]
    outlasts = coupon.due_at > coupon.expires_at
    claim = claims.get(coupon.order_id)
    if claim is None and not outlasts:
        return coupon, []
    claim = claim or Claim(coupon.coupon_id, coupon.order_id)
    claims[coupon.order_id] = msgspec.structs.replace(
        claim, waived_at=None, reserved_until=coupon.due_at if outlasts else claim.reserved_until
    )
    return await _settle_at_till(tx, coupon, claims, cause, now)


async def given_back(
    tx: Tx, coupon: Coupon, order_id: str | None, cause: Cause, now: datetime
) -> tuple[Coupon, list[Outgoing]]:
    """A till gave a locked coupon back, for an order if it had one, which doesn't have it any more, whatever it says;
    the coupon as it is then, which another order may have that named it, too."""
    claims = (await claims_store.of_coupons(tx, [coupon.coupon_id]))[coupon.coupon_id]
    if order_id is not None:
        claim = claims.get(order_id, Claim(coupon.coupon_id, order_id))
        # Not held any longer, so that what the till says of the coupon stands where no other order names it.
        claims[order_id] = msgspec.structs.replace(claim.waive(now), given=False)
    if not claims:
        return coupon, []
    return await _settle_at_till(tx, coupon, claims, cause, now)


async def _settle_at_till(
    tx: Tx, coupon: Coupon, claims: Mapping[str, Claim], cause: Cause, now: datetime
) -> tuple[Coupon, list[Outgoing]]:  # fmt: skip
    groups = await _groups(tx, [coupon], {coupon.coupon_id: claims})
    settled = settle(coupon, claims.values(), groups, set(), now)
    await claims_store.save(tx, settled.claims)
    return settled.coupon, [events.redeemed(settled.coupon, cause)] if settled.news else []


async def _settle(
    tx: Tx, coupons: Sequence[Coupon], before: Mapping[str, Mapping[str, Claim]],
    after: Mapping[str, Mapping[str, Claim]], gone: Mapping[str, Set[str]], now: datetime, tell: _Tell,
) -> list[Outgoing]:  # fmt: skip
    groups = await _groups(tx, coupons, after)
    changed: list[Coupon] = []
    written: list[Claim] = []
    told: list[Outgoing] = []
    for coupon in coupons:
        id_ = coupon.coupon_id
        settled = settle(coupon, after[id_].values(), groups, gone.get(id_, frozenset()), now)
        if settled.coupon != coupon:
            changed.append(settled.coupon)
        refused: list[Claim] = []
        for claim in settled.claims:
            was = before[id_].get(claim.order_id)
            if claim != was:
                written.append(claim)
            if claim.conflict and (was is None or claim.conflict != was.conflict):
                refused.append(claim)
        if refused:
            # A code that went round is named by many orders: one line says how many.
            first = min(refused, key=lambda claim: claim.order_id)
            log.warning(
                "coupon-conflict", coupon_id=id_, orders=len(refused), order_id=first.order_id, conflict=first.conflict
            )
        if settled.news:
            told.append(tell(coupon, settled.coupon, settled.news))
    if written:
        await claims_store.save(tx, written)
    if changed:
        await store.save(tx, changed)
    return told


async def _groups(tx: Tx, coupons: Iterable[Coupon], claims: Mapping[str, Mapping[str, Claim]]) -> Groups:
    """Of whose coupons others have named."""
    own = [coupon.customer_id for coupon in coupons if strangers(coupon, claims[coupon.coupon_id].values())]
    return await merges.groups_of(tx, own)


def _touched(recorded: Recorded) -> tuple[dict[str, set[Code]], dict[str, Event]]:
    """Orders of which what they name or what stands of them may have changed: their codes, the last of their events."""
    coded = any(event.data.coupon_codes for events_ in recorded.plain.values() for event in events_)
    if not (coded or recorded.refold):
        return {}, {}
    plain = {event.data.order_id for events_ in recorded.plain.values() for event in events_}
    named: dict[str, set[Code]] = {}
    last: dict[str, Event] = {}
    for event in recorded.fresh:
        order_id = event.data.order_id
        if event.topic.name == PURCHASE and event.data.coupon_codes:
            codes = read_codes(event.data.coupon_codes)
            named.setdefault(order_id, set()).update(codes)
            if codes or order_id not in plain:
                last[order_id] = event
        elif order_id not in plain and event.topic.name != "purchase-delivered":
            last[order_id] = event
    return named, last


def _heard(
    coupon: Coupon, claims: Mapping[str, Claim], heard: Mapping[str, tuple[Said, Order | None]]
) -> tuple[dict[str, Claim], set[str]]:
    """The claims on a coupon after what was said of these orders, and those of them that it isn't for any more."""
    after = dict(claims)
    gone = set()
    for order_id, (known, order) in heard.items():
        claim = claims.get(order_id)
        stands = order is not None and order.counts
        if order and (coupon.code in known.named or (claim and claim.occurred_at)):
            claim = claim or Claim(coupon.coupon_id, order_id)
            # The codes of who was erased are gone, from his coupons and from his orders.
            is_erased = coupon.code is None or is_pseudonym(order.customer_id)
            names = claim.stands if is_erased else coupon.code in known.names
            after[order_id] = msgspec.structs.replace(
                claim, customer_id=order.customer_id, occurred_at=order.occurred_at, backfill=order.backfill,
                stands=names and stands,
            )  # fmt: skip
            stands = stands and names
        if not stands and (order or known.cancelled):
            gone.add(order_id)
    return after, gone
