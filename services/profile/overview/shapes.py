"""The 360° view as JSON."""

from datetime import date, datetime
from typing import Annotated

import msgspec
from pydantic import BaseModel, Field

from services.profile.answers import MoneyView
from services.profile.customers.quality import Fault, Quality
from services.profile.customers.shapes import FileView, file_json, file_view
from services.profile.overview.application import Overview
from services.profile.overview.domain import Judged, Listed, Sum, Value
from services.profile.purchases.lifecycle import Stage
from services.profile.timeline.domain import Standing
from shared.contracts.customers import CustomerKind


class RfmView(BaseModel):
    """Recency, frequency, monetary value, 1 (weak) to 5 (strong), by the cut-points of ``version``."""

    r: int
    f: int
    m: int
    version: int


class ClvView(MoneyView):
    """Predicted lifetime value: the revenue, undiscounted, that churn's model ``model_version`` expected at
    ``scored_at`` of the ``days`` after it, and the purchases it expected in the first ``horizon_days`` of them. Scored
    every night, and told when the risk has moved by a step."""

    days: int
    expected_purchases: float | None
    horizon_days: int | None
    model_version: str
    scored_at: datetime


class ValueView(BaseModel):
    """``lifetime_spend`` is net of returns, in the house currency; ``unconverted`` are the sums in currencies
    without a rate: counted as orders, not summed. ``rfm`` is null until something was bought, ``clv`` until it
    was predicted."""

    rfm: RfmView | None
    lifetime_spend: MoneyView
    order_count: int
    clv: ClvView | None
    unconverted: list[MoneyView]
    first_purchase_at: datetime | None
    last_purchase_at: datetime | None


class ShareView(BaseModel):
    """The part of what a customer spends in the house's field that he spends here: ``numerator``, net of returns in the
    last ``days`` of the house up to ``last_day``, over ``denominator``, the ``estimate`` of his file for a year in the
    house's currency, at the rate of that day."""

    share: float
    numerator: MoneyView
    denominator: MoneyView
    days: int
    last_day: date
    estimate: MoneyView
    estimated_at: datetime


class WholeValueView(ValueView):
    """What a customer is worth, with his ``share``: null where the file has no estimate, or the estimate or an order of
    the period has no rate. Orders are counted some seconds behind."""

    share: ShareView | None


class ReasonView(BaseModel):
    """Why a customer is at risk."""

    code: str
    text: str
    contribution: float


class RiskView(BaseModel):
    """Churn's last word."""

    band: str
    probability: float
    reasons: list[ReasonView]
    scored_at: datetime


class NextContactView(BaseModel):
    """The contact that engagement has planned next."""

    contact_id: str
    purpose: str
    channel: str
    due_at: datetime


class FaultView(BaseModel):
    """The points that a field of the file costs, and why."""

    code: Fault
    field: str
    points: int


class QualityView(BaseModel):
    """How far the file can be relied on: ``score`` from 0 to 100, why it isn't 100, and the day by which something in
    it wants to be asked for again (null: nothing does)."""

    score: int
    reasons: list[FaultView]
    verify_by: date | None


class CustomerView(FileView):
    """A customer, whole: the file's fields beside what the facts and the other services say."""

    value: WholeValueView
    lifecycle: Stage
    segments: Annotated[
        list[str], Field(description="The shop's own by name, built-in ones with the class: `value:EI`")
    ]
    tier: str | None
    points: int
    risk: RiskView | None
    next_contact: NextContactView | None
    open_complaints: int
    quality: QualityView
    restricted: Annotated[bool, Field(description="Stored and not used: see `/customers/{customer_id}/restriction`")]
    filled_from: Annotated[
        dict[str, str],
        Field(
            description="Fields that the surviving file leaves empty (`birthday`, `contact_points.email`), by the id"
            " whose file they are read from. They are in the answer and not in the file"
        ),
    ]


class CustomerRow(BaseModel):
    """A customer in a list."""

    customer_id: str
    kind: CustomerKind
    name: str | None
    tags: list[str]
    owner: str | None
    lifecycle: Stage
    value: ValueView
    tier: str | None
    points: int
    risk: RiskView | None
    restricted: bool


def view(overview: Overview) -> CustomerView:
    """The 360° view."""
    contact, standing = overview.next_contact, overview.said.standing
    return CustomerView(
        **file_view(overview.file),
        merged_into=overview.merged_into,
        value=_whole(overview.judged.value),
        lifecycle=overview.judged.lifecycle,
        segments=overview.segments,
        tier=standing.tier,
        points=standing.points,
        risk=_risk(standing),
        next_contact=NextContactView(
            contact_id=contact.contact_id, purpose=contact.purpose, channel=contact.channel, due_at=contact.due_at
        )
        if contact and contact.due_at
        else None,
        open_complaints=standing.open_complaints,
        quality=_quality(overview.quality),
        restricted=overview.said.restricted,
        filled_from=overview.filled_from,
    )


def encoded(overview: Overview) -> bytes:
    """The 360° view as it is sent: what ``view`` says, written by msgspec in a tenth of the time."""
    contact, standing, value = overview.next_contact, overview.said.standing, overview.judged.value
    reasons = standing.reasons if standing.risk_band != "low" else ()
    risk = {
        "band": standing.risk_band,
        "probability": standing.risk_probability,
        "reasons": [{"code": why.code, "text": why.text, "contribution": why.contribution} for why in reasons],
        "scored_at": standing.risk_scored_at,
    }
    next_contact = contact and {
        "contact_id": contact.contact_id, "purpose": contact.purpose, "channel": contact.channel,
        "due_at": contact.due_at,
    }  # fmt: skip
    return msgspec.json.encode(
        {
            **file_json(overview.file),
            "merged_into": overview.merged_into,
            "value": value,
            "lifecycle": overview.judged.lifecycle,
            "segments": overview.segments,
            "tier": standing.tier,
            "points": standing.points,
            "risk": None if None in (risk["band"], risk["probability"], risk["scored_at"]) else risk,
            "next_contact": next_contact if contact and contact.due_at else None,
            "open_complaints": standing.open_complaints,
            "quality": overview.quality,
            "restricted": overview.said.restricted,
            "filled_from": overview.filled_from,
        }
    )


def _quality(found: Quality) -> QualityView:
    reasons = [FaultView(code=why.code, field=why.field, points=why.points) for why in found.reasons]
    return QualityView(score=found.score, reasons=reasons, verify_by=found.verify_by)


def row(listed: Listed, judged: Judged) -> CustomerRow:
    """A row of a list."""
    standing = listed.said.standing
    return CustomerRow(
        customer_id=listed.customer_id,
        kind=listed.kind,
        name=listed.name,
        tags=list(listed.tags),
        owner=listed.owner,
        lifecycle=judged.lifecycle,
        value=_value(judged.value),
        tier=standing.tier,
        points=standing.points,
        risk=_risk(standing),
        restricted=listed.said.restricted,
    )


def money_view(money: Sum) -> MoneyView:
    """Money as JSON."""
    return MoneyView(amount=money.amount, currency=money.currency)


def _whole(value: Value) -> WholeValueView:
    shown = WholeValueView(**_value(value).model_dump(), share=None)
    if (known := value.share) is not None:
        shown.share = ShareView(
            share=known.share,
            numerator=money_view(known.numerator),
            denominator=money_view(known.denominator),
            days=known.days,
            last_day=known.last_day,
            estimate=money_view(known.estimate),
            estimated_at=known.estimated_at,
        )
    return shown


def _value(value: Value) -> ValueView:
    rfm = value.rfm
    return ValueView(
        rfm=RfmView(r=rfm.r, f=rfm.f, m=rfm.m, version=rfm.version) if rfm else None,
        lifetime_spend=money_view(value.lifetime_spend),
        order_count=value.order_count,
        clv=ClvView(**msgspec.structs.asdict(value.clv)) if value.clv else None,
        unconverted=[money_view(money) for money in value.unconverted],
        first_purchase_at=value.first_purchase_at,
        last_purchase_at=value.last_purchase_at,
    )


def _risk(standing: Standing) -> RiskView | None:
    band, probability, scored_at = standing.risk_band, standing.risk_probability, standing.risk_scored_at
    if band is None or probability is None or scored_at is None:
        return None
    reasons = standing.reasons if band != "low" else ()
    shown = [ReasonView(code=why.code, text=why.text, contribution=why.contribution) for why in reasons]
    return RiskView(band=band, probability=probability, reasons=shown, scored_at=scored_at)
