"""Why a balance is what it is: from the balance down to lots, what earned them and what used them. Pure.

Of every lot: its points are the sum of what earned them; less what was spent, held, paid back and has expired, and with
what is owed for it, they are what it has available and pending. Over all lots these sum to the balance.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Literal

import msgspec

from services.loyalty.ledger.domain import Lot, LotKey
from services.loyalty.ledger.spending import Hold, Take

UseKind = Literal["redemption", "adjustment", "transfer", "hold", "debt", "expiry"]


class Use(msgspec.Struct, frozen=True):
    """Points of a lot that went: to a take or a hold by its ``id``, into the debt of the lot or take ``id``, or by
    expiry. ``origin``: of the lot that was owed for; ``id`` is None for a debt that is none any longer."""

    kind: UseKind
    points: int
    id: str | None = None
    origin: str | None = None
    until: datetime | None = None


class Place(msgspec.Struct, frozen=True):
    """A lot in the tree. ``available`` and ``pending`` are what is free of it, ``debt`` what it adds to what is owed:
    below zero where it paid what another lot or a take owed."""

    lot: Lot
    uses: tuple[Use, ...]
    owed: int
    available: int
    pending: int
    held: int
    debt: int


class Tree(msgspec.Struct, frozen=True):
    """A balance and what it is the sum of.

    ``unbacked``: takes of lots that aren't this person's. ``settling``: points that pay what is owed at this instant,
    written down or not; below zero: that are given back. Available is what places have less of these; so is debt.
    """

    places: tuple[Place, ...]
    unbacked: tuple[Take, ...]
    settling: int

    @property
    def available(self) -> int:
        """Points that can be used."""
        return sum(place.available for place in self.places) - self.settling

    @property
    def pending(self) -> int:
        """Points that will be."""
        return sum(place.pending for place in self.places)

    @property
    def held(self) -> int:
        """Points that are set aside."""
        return sum(place.held for place in self.places)

    @property
    def debt(self) -> int:
        """Points that are owed."""
        owed = sum(place.debt for place in self.places) + sum(take.foreign for take in self.unbacked)
        return owed - self.settling


def explain(lots: Sequence[Lot], takes: Sequence[Take], holds: Sequence[Hold], now: datetime) -> Tree:
    """The tree of one person's lots, takes and open holds at an instant; lots that never had a point are left out."""
    lapsed: dict[LotKey, int] = {}
    for hold in holds:
        if hold.state_at(now) == "expired":
            for key, points in hold.portions:
                lapsed[key] = lapsed.get(key, 0) + points
    uses: dict[LotKey, list[Use]] = {}
    for take in sorted(takes, key=lambda take: (take.occurred_at, take.take_id)):
        for key, points in take.portions:
            uses.setdefault(key, []).append(Use(take.kind, points, take.take_id))
    for hold in sorted(holds, key=lambda hold: (hold.created_at, hold.hold_id)):
        if hold.state_at(now) == "open":
            for key, points in hold.portions:
                uses.setdefault(key, []).append(Use("hold", points, hold.hold_id, until=hold.expires_at))
    unbacked = tuple(sorted((take for take in takes if take.foreign), key=lambda take: take.take_id))
    paid = _paid(lots, unbacked)
    places = [
        _place(lot, uses.get(lot.award.key, []) + paid.get(lot.award.key, []), lapsed.get(lot.award.key, 0), now)
        for lot in sorted(lots, key=lambda lot: (lot.award.occurred_at, lot.award.key))
        if lot.award.points or lot.award.reversed or lot.spent or lot.held or lot.repaid
    ]
    free = sum(place.available for place in places)
    owed = sum(place.debt for place in places) + sum(take.foreign for take in unbacked)
    return Tree(tuple(places), unbacked, min(free, owed))


def _place(lot: Lot, uses: list[Use], lapsed: int, now: datetime) -> Place:
    """What holds that have run out give back, pays first what is owed for the lot."""
    owed = lot.owed - min(lot.owed, lapsed)
    free = lot.posted + max(0, lapsed - lot.owed)
    bucket = lot.award.bucket(now)
    if bucket == "expired" and free:
        uses.append(Use("expiry", free, until=lot.award.expires_at))
    return Place(
        lot=lot,
        uses=tuple(uses),
        owed=owed,
        available=free if bucket == "available" else 0,
        pending=free if bucket == "pending" else 0,
        held=lot.held - lapsed,
        debt=owed - lot.repaid,
    )


def _paid(lots: Sequence[Lot], unbacked: Iterable[Take]) -> Mapping[LotKey, list[Use]]:
    """Which debts each lot paid: the lots that were available first, the oldest debts."""
    debts: list[tuple[datetime, str, str | None, int]] = [
        (lot.award.occurred_at, lot.award.source_id, lot.award.origin, lot.owed) for lot in lots if lot.owed
    ]
    debts += [(take.occurred_at, take.take_id, None, take.foreign) for take in unbacked]
    debts.sort(key=lambda debt: (debt[:2], debt[2] or ""), reverse=True)
    paid: dict[LotKey, list[Use]] = {}
    for lot in sorted(lots, key=lambda lot: (lot.award.available_from, lot.award.key)):
        left = lot.repaid
        while left:
            if not debts:
                paid.setdefault(lot.award.key, []).append(Use("debt", left))
                break
            at, id_, origin, owed = debts.pop()
            points = min(left, owed)
            paid.setdefault(lot.award.key, []).append(Use("debt", points, id_, origin))
            left -= points
            if owed > points:
                debts.append((at, id_, origin, owed - points))
    return paid
