"""What the other services last said of a customer, in a form where the order of arrival makes no difference.

Points and complaints are sums. Tier, risk, forecast, contacts and whether a complaint is open follow the publisher's
``sequence``: the highest wins.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Literal

import msgspec

from shared.contracts.behaviour import FeedbackReceived
from shared.contracts.complaints import Complaint, ComplaintClosed, ComplaintOpened
from shared.contracts.contacts import (
    Contact,
    ContactAnswered,
    ContactDelivered,
    ContactFailed,
    ContactPlanned,
    ContactSent,
    ContactSuppressed,
)
from shared.contracts.points import PointsEarned, PointsExpired, PointsReversed, PointsSpent, TierChanged
from shared.contracts.risk import ChurnScored, CustomerAtRisk, Reason, RiskLowered
from shared.contracts.types import Money, Struct

NOTE = "note"
"""The kind of what staff wrote, in a story: no event brought it, and customers aren't told."""

FOR_STAFF = ("reward-overdue",)
"""The kinds of what staff haven't done yet, which customers aren't told either."""

ContactStatus = Literal["planned", "suppressed", "sent", "failed", "delivered", "answered"]
ComplaintKey = tuple[Literal["feedback", "complaint"], str]
"""Feedback that complains, or a complaint that somebody is answerable for, by its id."""


class Forecast(msgspec.Struct, frozen=True):
    """What a model expects of a customer: ``value``, his revenue in the next ``days``, undiscounted, and so many
    purchases in the next ``horizon_days``."""

    value: Money
    days: int
    expected_purchases: float | None
    horizon_days: int | None
    model_version: str
    scored_at: datetime


class Standing(msgspec.Struct, frozen=True):
    """A customer's standing, or what a batch adds to it. Sequence 0: nothing was said. ``complaints``: ever made;
    ``feedback_at``: when he last gave feedback of any kind."""

    points: int = 0
    complaints: int = 0
    open_complaints: int = 0
    tier_sequence: int = 0
    tier: str | None = None
    risk_sequence: int = 0
    risk_band: str | None = None
    risk_probability: float | None = None
    risk_scored_at: datetime | None = None
    reasons_sequence: int = 0
    scored_sequence: int = 0
    reasons: tuple[Reason, ...] = ()
    forecast: Forecast | None = None
    feedback_at: datetime | None = None


class Entry(msgspec.Struct, frozen=True):
    """A fact of a customer's story; ``data`` is the event's, in JSON."""

    kind: str
    occurred_at: datetime
    source: str
    event_id: str
    body: bytes


class ContactNews(msgspec.Struct, frozen=True):
    """The last word on a contact: only a planned one is due."""

    contact_id: str
    customer_id: str
    sequence: int
    status: ContactStatus
    purpose: str
    channel: str
    due_at: datetime | None


class ContactWord(ContactNews, frozen=True):
    """The same as it is kept, with when it was handed over, if it was: which may be known before the last word is, or
    after."""

    handed_at: datetime | None


class ComplaintWord(msgspec.Struct, frozen=True):
    """The last word on whether something is an open complaint of a customer's."""

    customer_id: str
    sequence: int
    open: bool


def standings(said: Iterable[Struct]) -> dict[str, Standing]:
    """What these events add to the standing of each customer they are about."""
    found: dict[str, Standing] = {}
    for data in said:
        customer: str = getattr(data, "customer_id", "")
        before = found.get(customer, Standing())
        after = told(before, data)
        if after is not before:
            found[customer] = after
    return found


def told(standing: Standing, data: Struct) -> Standing:
    """The standing after one more event; the same object where it says nothing of it."""
    match data:
        case PointsEarned():
            return msgspec.structs.replace(standing, points=standing.points + data.points)
        case PointsSpent(rolled_back=True):
            return msgspec.structs.replace(standing, points=standing.points + data.points)
        case PointsReversed() | PointsExpired() | PointsSpent():
            return msgspec.structs.replace(standing, points=standing.points - data.points)
        case FeedbackReceived():
            return msgspec.structs.replace(
                standing,
                complaints=standing.complaints + (data.kind == "complaint"),
                feedback_at=max(data.occurred_at, standing.feedback_at or data.occurred_at),
            )
        case TierChanged(direction="up" | "down") if data.sequence > standing.tier_sequence:
            return msgspec.structs.replace(standing, tier=data.to_tier, tier_sequence=data.sequence)
        case ChurnScored() | CustomerAtRisk() | RiskLowered():
            return _risk(standing, data)
        case _:
            return standing


def contact_news(said: Iterable[Struct]) -> dict[str, ContactWord]:
    """The last word of these events on each contact."""
    found: dict[str, ContactWord] = {}
    for data in said:
        if isinstance(data, Contact):
            before = found.get(data.contact_id)
            handed_at = before.handed_at if before else None
            if isinstance(data, ContactSent):
                handed_at = max(data.occurred_at, handed_at or data.occurred_at)
            if before is None or data.sequence > before.sequence:
                found[data.contact_id] = ContactWord(
                    data.contact_id,
                    data.customer_id,
                    data.sequence,
                    _STATUS[type(data)],
                    data.purpose,
                    data.channel,
                    data.due_at if isinstance(data, ContactPlanned) else None,
                    handed_at,
                )
            elif handed_at != before.handed_at:
                found[data.contact_id] = msgspec.structs.replace(before, handed_at=handed_at)
    return found


def complaint_news(said: Iterable[Struct]) -> dict[ComplaintKey, ComplaintWord]:
    """The last word of these events on each complaint.

    Feedback is one from when it comes, unless a complaint was opened for it: then that is the one, until it is closed.
    """
    found: dict[ComplaintKey, ComplaintWord] = {}
    for data in said:
        for key, word in _words(data):
            if key not in found or word.sequence > found[key].sequence:
                found[key] = word
    return found


def _words(data: Struct) -> Iterator[tuple[ComplaintKey, ComplaintWord]]:
    match data:
        case FeedbackReceived(kind="complaint"):
            yield ("feedback", data.feedback_id), ComplaintWord(data.customer_id, 0, True)
        case Complaint():
            word = ComplaintWord(data.customer_id, data.sequence, not isinstance(data, ComplaintClosed))
            yield ("complaint", data.complaint_id), word
            if isinstance(data, ComplaintOpened) and data.feedback_id is not None:
                yield ("feedback", data.feedback_id), ComplaintWord(data.customer_id, 1, False)


_STATUS: dict[type[Contact], ContactStatus] = {
    ContactPlanned: "planned",
    ContactSuppressed: "suppressed",
    ContactSent: "sent",
    ContactFailed: "failed",
    ContactDelivered: "delivered",
    ContactAnswered: "answered",
}


def _risk(standing: Standing, data: ChurnScored | CustomerAtRisk | RiskLowered) -> Standing:
    changes: dict[str, object] = {}
    if data.sequence > standing.risk_sequence:
        changes = {
            "risk_sequence": data.sequence,
            "risk_band": data.to_band if isinstance(data, RiskLowered) else data.band,
            "risk_probability": data.probability,
            "risk_scored_at": data.occurred_at,
        }
    if isinstance(data, CustomerAtRisk) and data.sequence > standing.reasons_sequence:
        changes |= {"reasons_sequence": data.sequence, "reasons": data.reasons}
    if isinstance(data, ChurnScored) and data.sequence > standing.scored_sequence:
        changes |= {"scored_sequence": data.sequence, "forecast": _forecast(data)}
    return msgspec.structs.replace(standing, **changes) if changes else standing


def _forecast(data: ChurnScored) -> Forecast | None:
    if data.lifetime_value is None or data.lifetime_days is None:
        return None
    return Forecast(
        data.lifetime_value, data.lifetime_days, data.expected_purchases, data.horizon_days, data.model_version,
        data.occurred_at,
    )  # fmt: skip
