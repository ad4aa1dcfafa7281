"""A customer's timeline told in sentences."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec

from deploy.demo.house_api import Entry
from shared.contracts.contacts import ContactPlanned, ContactSent, ContactSuppressed
from shared.contracts.customers import CustomerRegistered
from shared.contracts.points import PointsEarned, TierChanged
from shared.contracts.purchases import PurchaseRecorded
from shared.contracts.risk import ChurnScored, CustomerAtRisk, RiskLowered
from shared.contracts.topics import TOPICS
from shared.contracts.types import Money, Struct

FIRST, LAST = 3, 9


def told(entries: Iterable[Entry], zone: ZoneInfo) -> list[tuple[str, str]]:
    """(day, sentence), oldest first. A purchase and its points are one sentence, so is a contact that was moved; a
    long middle is left out."""
    facts = [(entry, _data(entry)) for entry in sorted(entries, key=_when)]
    points = {data.order_id: data.points for _, data in facts if isinstance(data, PointsEarned)}
    last_word = {data.contact_id: data for _, data in facts if isinstance(data, ContactPlanned)}
    lines = [
        (day(entry.occurred_at, zone), sentence)
        for entry, data in facts
        if not isinstance(data, ContactPlanned) or data is last_word[data.contact_id]
        for sentence in _sentences(entry.kind, data, points, zone)
    ]
    left_out = len(lines) - FIRST - LAST
    if left_out <= 1:
        return lines
    return [*lines[:FIRST], ("", f"… {left_out} more …"), *lines[-LAST:]]


def day(at: datetime, zone: ZoneInfo) -> str:
    """``Mon 23 Nov``."""
    return f"{at.astimezone(zone):%a %d %b}"


def money(amount: Money) -> str:
    """``1,203 TWD``: no decimals where they are zero."""
    whole, _, fraction = amount.amount.partition(".")
    return f"{int(whole):,}{'.' + fraction if fraction.strip('0') else ''} {amount.currency}"


def counted(number: int, noun: str) -> str:
    """``1 order``, ``2 orders``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _when(entry: Entry) -> tuple[datetime, bool]:
    """What a purchase led to in the same instant is told after it."""
    return entry.occurred_at, entry.kind != "purchase-recorded"


def _data(entry: Entry) -> Struct | None:
    topic = TOPICS.get(entry.kind)
    return msgspec.json.decode(entry.data, type=topic.data) if topic else None


def _sentences(kind: str, data: Struct | None, points: dict[str, int], zone: ZoneInfo) -> Iterator[str]:
    match data:
        case PurchaseRecorded():
            earned = f", {points[data.order_id]:,} points" if data.order_id in points else ""
            yield f"bought {counted(len(data.lines), 'product')} for {money(data.total)}{earned}"
        case PointsEarned() | ChurnScored():
            return
        case CustomerRegistered():
            yield "became a customer"
        case TierChanged(direction="up"):
            yield f"rose to {data.to_tier}"
        case TierChanged(direction="warning"):
            yield f"will fall from {data.from_tier} to {data.to_tier or 'no tier'} without another purchase"
        case TierChanged():
            yield f"fell from {data.from_tier} to {data.to_tier or 'no tier'}"
        case CustomerAtRisk():
            why = f": {data.reasons[0].text}" if data.reasons else ""
            yield f"{data.band}, {data.probability:.0%}{why}"
        case RiskLowered():
            yield f"risk back to {data.to_band}"
        case ContactPlanned():
            when = data.due_at.astimezone(zone)
            yield f"{data.purpose} planned by {data.channel} for {when:%a %d %b, %H:%M}"
        case ContactSuppressed():
            yield f"{data.purpose} by {data.channel} not made: {data.reason}"
        case ContactSent():
            yield f"{data.purpose} sent by {data.channel}"
        case _:
            yield kind.replace("-", " ")
