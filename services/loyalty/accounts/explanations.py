"""The explanation of a balance over HTTP."""

from collections.abc import Mapping
from datetime import datetime
from fractions import Fraction
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from services.loyalty.accounts import examples
from services.loyalty.accounts.application import Explained
from services.loyalty.accounts.explaining import Place, UseKind
from services.loyalty.earning.application import Judged
from services.loyalty.earning.domain import by_line
from services.loyalty.earning.parts import BASE, TIER
from services.loyalty.earning.rounding import unrounded
from services.loyalty.ledger.domain import Award, Bucket
from shared.contracts.types import decimal_of

_PLACES = 6
_OWN_TEXTS: Mapping[str, Mapping[str, str]] = {
    BASE: {"en": "For what was paid", "zh-CN": "消费积分"},
    TIER: {"en": "For the tier held at the time", "zh-CN": "会员等级加成"},
}


class Paid(BaseModel):
    """What was paid for an order, less what was given back."""

    amount: str
    currency: str


class Leaf(BaseModel):
    """What one part of a programme version gave: ``points`` are what returns left of ``awarded``."""

    rule: str
    text: dict[str, str] = Field(description="by language")
    exact: str | None = Field(description="before rounding, to six decimals; null where it can't be told")
    wanted: int = Field(description="rounded, before caps and the budget")
    awarded: int
    points: int


class LinePoints(BaseModel):
    """What of an order's points is one line's; the remainders of the division go where they are largest."""

    line_id: str
    points: int


class UseView(BaseModel):
    """Points of the lot that went to a redemption, an adjustment, a transfer or a hold, into a debt, or by expiry."""

    kind: UseKind
    points: int
    id: str | None = Field(None, description="of the take or hold, or of the order, grant or take that was owed for")
    origin: str | None = Field(None, description="of the lot that was owed for; null for a take")
    until: datetime | None = Field(None, description="when the hold runs out, when the points expired")


class Branch(BaseModel):
    """A lot. ``points`` are the sum of its leaves, of its lines, and of its uses, ``available`` and ``pending``, less
    ``owed``. ``debt``: ``owed`` less what it paid of debts."""

    origin: str
    order_id: str | None
    source_id: str
    state: Bucket
    points: int
    reversed: int
    paid_net: Paid | None
    programme_version: int | None
    rounding: Literal["floor", "half-up", "ceiling"] | None
    occurred_at: datetime
    available_from: datetime
    expires_at: datetime | None
    leaves: list[Leaf]
    lines: list[LinePoints]
    uses: list[UseView]
    owed: int
    available: int
    pending: int
    held: int
    debt: int


class Unbacked(BaseModel):
    """Points that were taken of lots that aren't this person's: owed."""

    kind: str
    id: str
    debt: int


class Explanation(BaseModel):
    """The balance as a tree. ``available`` is what all lots have available, less ``settling``; ``pending`` and ``held``
    what they have; ``debt`` what lots and ``unbacked`` owe, less ``settling``: points that pay a debt at this instant.
    """

    model_config = ConfigDict(json_schema_extra={"example": examples.EXPLANATION})

    at: datetime
    available: int
    pending: int
    held: int
    debt: int
    settling: int
    orders: list[Branch]
    grants: list[Branch]
    unbacked: list[Unbacked]


def shown(explained: Explained) -> Explanation:
    """The tree as it is answered."""
    tree = explained.tree
    branches = [_branch(place, explained) for place in tree.places]
    return Explanation(
        at=explained.at,
        available=tree.available,
        pending=tree.pending,
        held=tree.held,
        debt=tree.debt,
        settling=tree.settling,
        orders=[branch for branch in branches if branch.origin == "order"],
        grants=[branch for branch in branches if branch.origin != "order"],
        unbacked=[Unbacked(kind=take.kind, id=take.take_id, debt=take.foreign) for take in tree.unbacked],
    )


def _branch(place: Place, explained: Explained) -> Branch:
    award = place.lot.award
    judged = explained.judged.get(award.source_id) if award.origin == "order" else None
    leaves, lines = _of_order(judged, explained) if judged else (_given(award), [])
    return Branch(
        origin=award.origin,
        order_id=award.source_id if award.origin == "order" else None,
        source_id=award.source_id,
        state=award.bucket(explained.at),
        points=award.points,
        reversed=award.reversed,
        paid_net=Paid(amount=decimal_of(award.net_minor, award.currency), currency=award.currency) if judged else None,
        programme_version=award.programme_version,
        rounding=judged.programme.rounding if judged and judged.programme else None,
        occurred_at=award.occurred_at,
        available_from=award.available_from,
        expires_at=award.expires_at,
        leaves=leaves,
        lines=lines,
        uses=[
            UseView(kind=use.kind, points=use.points, id=use.id, origin=use.origin, until=use.until)
            for use in place.uses
        ],
        owed=place.owed,
        available=place.available,
        pending=place.pending,
        held=place.held,
        debt=place.debt,
    )


def _of_order(judged: Judged, explained: Explained) -> tuple[list[Leaf], list[LinePoints]]:
    order, programme, judgement = judged
    if programme is None:
        return [], []
    leaves = [
        Leaf(
            rule=part.rule,
            text=dict(_OWN_TEXTS.get(part.rule) or explained.texts.get((programme.version, part.rule), {})),
            exact=_decimal(unrounded(part, order, programme)),
            wanted=part.wanted,
            awarded=part.awarded,
            points=part.kept,
        )
        for part in judgement.parts
    ]
    lines = by_line(judgement, order, programme)
    return leaves, [LinePoints(line_id=line_id, points=points) for line_id, points in lines.items()]


def _given(award: Award) -> list[Leaf]:
    whole = award.points + award.reversed
    return [Leaf(rule=award.origin, text={}, exact=str(whole), wanted=whole, awarded=whole, points=award.points)]


def _decimal(exact: Fraction | None) -> str | None:
    if exact is None:
        return None
    scaled = round(exact * 10**_PLACES)
    whole, rest = divmod(scaled, 10**_PLACES)
    return f"{whole}.{rest:0{_PLACES}d}".rstrip("0").rstrip(".")
