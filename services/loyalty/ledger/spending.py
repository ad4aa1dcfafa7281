"""What is taken and held of lots: which points go first, what of it nothing backs, and who pays for that. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Literal

import msgspec

from services.loyalty.ledger.domain import Lot, LotKey, Posting

TakeKind = Literal["redemption", "adjustment", "transfer"]
HoldState = Literal["open", "committed", "voided", "expired"]
MOST_LOTS = 1_000
"""Of so many one event can tell, whatever their ids."""
Portions = tuple[tuple[LotKey, int], ...]
"""Points of lots, in the order in which they were taken."""


class Take(msgspec.Struct, frozen=True):
    """Points that an account used, and of which lots. ``foreign``: of lots that aren't its person's, as posted."""

    take_id: str
    account_id: int
    kind: TakeKind
    occurred_at: datetime
    portions: Portions
    foreign: int = 0
    rolled_back_at: datetime | None = None

    @property
    def points(self) -> int:
        """All of them."""
        return sum(points for _, points in self.portions)

    @property
    def passed_on(self) -> Posting | None:
        """Lots know their points as redeemed; where they went from there, the account tells."""
        match self.kind:
            case "redemption":
                return None
            case "adjustment":
                return Posting("adjusted", "redeemed", "adjusted", self.points, self.occurred_at)
            case "transfer":
                return Posting("transferred", "redeemed", "transferred", self.points, self.occurred_at)


class Hold(msgspec.Struct, frozen=True):
    """Points set aside until ``expires_at``: nobody else's, and nobody's any longer from that instant on.

    ``portions``: what is still held. ``committed`` of ``points`` were taken.
    """

    hold_id: str
    account_id: int
    points: int
    created_at: datetime
    expires_at: datetime
    portions: Portions
    committed: int = 0
    state: HoldState = "open"

    def state_at(self, at: datetime) -> HoldState:
        """What it is at an instant, whatever was written down."""
        return "expired" if self.state == "open" and at >= self.expires_at else self.state


class ShortOfPointsError(Exception):
    """There are ``shortfall`` points too few."""

    def __init__(self, shortfall: int) -> None:
        super().__init__(f"{shortfall} points too few")
        self.shortfall = shortfall


class TooManyLotsError(Exception):
    """So many points are of more lots than one event can tell of; ``points`` of them can be used at once."""

    def __init__(self, points: int) -> None:
        super().__init__(f"at most {points} points at once")
        self.points = points


def allocate(lots: Iterable[Lot], points: int, now: datetime) -> Portions:
    """Points of the lots that are available ``now``, the soonest to expire first.

    Raises ShortOfPointsError and TooManyLotsError.
    """
    usable = [lot for lot in lots if lot.posted and lot.award.bucket(now) == "available"]
    portions = []
    for lot in sorted(usable, key=_soonest):
        if not points:
            break
        taken = min(lot.posted, points)
        points -= taken
        portions.append((lot.award.key, taken))
    if points:
        raise ShortOfPointsError(points)
    if len(portions) > MOST_LOTS:
        raise TooManyLotsError(sum(taken for _, taken in portions[:MOST_LOTS]))
    return tuple(portions)


def split(portions: Portions, points: int) -> tuple[Portions, Portions]:
    """The first so many points of them, and the others."""
    first, rest = [], []
    for key, held in portions:
        taken = min(held, points)
        points -= taken
        if taken:
            first.append((key, taken))
        if held - taken:
            rest.append((key, held - taken))
    return tuple(first), tuple(rest)


class Uses(msgspec.Struct, frozen=True):
    """What a person's takes and holds come to: per lot of his, and per take what is of lots that aren't his.

    ``owing``: some of them asks for points that its lots don't have.
    """

    spent: Mapping[LotKey, int]
    held: Mapping[LotKey, int]
    repaid: Mapping[LotKey, int]
    foreign: Mapping[str, int]
    owing: bool


def uses(lots: Sequence[Lot], takes: Sequence[Take], holds: Sequence[Hold], now: datetime) -> Uses:
    """What is used of a person's lots: a pure function of his lots, takes and holds and of the instant.

    What was taken of a lot whose points went back, or that went to somebody else, is paid from what else he could have
    taken at that time, and then from what comes after.
    """
    own = {lot.award.key: lot.award.points for lot in lots}
    spent: dict[LotKey, int] = {}
    held: dict[LotKey, int] = {}
    foreign = {take.take_id: 0 for take in takes}
    debts: list[tuple[datetime, int]] = []

    def use(at: datetime, key: LotKey, points: int, used: dict[LotKey, int]) -> None:
        left = own.get(key, 0) - spent.get(key, 0) - held.get(key, 0)
        debts.append((at, points - min(points, max(0, left))))
        if key in own:
            used[key] = used.get(key, 0) + points

    for take in sorted(takes, key=lambda take: (take.occurred_at, take.take_id)):
        for key, points in take.portions:
            use(take.occurred_at, key, points, spent)
            if key not in own:
                foreign[take.take_id] += points
    for hold in sorted(holds, key=lambda hold: (hold.created_at, hold.hold_id)):
        for key, points in hold.portions:
            # What it holds of lots that have become somebody else's is owed once it is taken.
            if key in own:
                use(hold.created_at, key, points, held)
    free = [
        (lot, left)
        for lot in lots
        if (left := lot.award.points - spent.get(lot.award.key, 0) - held.get(lot.award.key, 0)) > 0
    ]
    debts = [debt for debt in debts if debt[1]]
    return Uses(spent, held, _repayments(free, debts, now), foreign, bool(debts))


def _repayments(
    free: Sequence[tuple[Lot, int]], debts: Sequence[tuple[datetime, int]], now: datetime
) -> dict[LotKey, int]:
    if not debts:
        return {}
    arriving = sorted(
        ((lot.award.available_from, _soonest(lot), lot, left) for lot, left in free if lot.award.available_from <= now),
        key=lambda one: one[:2],
    )
    due = sorted(debts)
    owed, told = 0, 0
    repaid: dict[LotKey, int] = {}
    for at in sorted({at for at, _ in debts} | {one[0] for one in arriving}):
        while told < len(due) and due[told][0] <= at:
            owed += due[told][1]
            told += 1
        if not owed:
            continue
        usable = sorted(
            (one for one in arriving if one[0] <= at and one[2].award.bucket(at) == "available"), key=lambda one: one[1]
        )
        for _, _, lot, left in usable:
            key = lot.award.key
            if paid := min(owed, left - repaid.get(key, 0)):
                repaid[key] = repaid.get(key, 0) + paid
                owed -= paid
    return repaid


def _soonest(lot: Lot) -> tuple[bool, datetime, datetime, LotKey]:
    award = lot.award
    return award.expires_at is None, award.expires_at or award.available_from, award.available_from, award.key
