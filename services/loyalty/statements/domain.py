"""What a month did to the points of one account, in words: from the entries that were written down in it. Pure."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from services.loyalty.ledger.domain import Entry, Kind

VERSION = 1
PLACES = ("available", "pending", "held", "debt")
"""What a customer has or owes: all books of his but what has expired."""
_WORDS: Mapping[Kind, tuple[str, str]] = {
    "earned": ("You got {points} points for {about}.", "{about_zh}获得 {points} 积分。"),
    "reversed": (
        "{points} points for {about} were taken back: it was returned, cancelled or corrected.",
        "{about_zh}因退货、取消或更正，扣回 {points} 积分。",
    ),
    "released": ("{points} points for {about} can be used now.", "{about_zh}的 {points} 积分已可使用。"),
    "deferred": (
        "{points} points for {about} can be used later than was said.", "{about_zh}的 {points} 积分延后可用。",
    ),
    "expired": ("{points} points for {about} expired unused.", "{about_zh}的 {points} 积分已过期。"),
    "restored": (
        "{points} points for {about} that had expired are yours again.", "{about_zh}已过期的 {points} 积分已恢复。",
    ),
    "held": ("{points} points for {about} were set aside for you.", "{about_zh}的 {points} 积分已预留。"),
    "voided": (
        "{points} points for {about} that were set aside are free again.", "{about_zh}预留的 {points} 积分已释放。",
    ),
    "redeemed": ("You used {points} points that you got for {about}.", "使用了{about_zh}的 {points} 积分。"),
    "rolled-back": (
        "{points} points for {about} that you had used were given back.", "退回已使用的{about_zh}的 {points} 积分。",
    ),
    "repaid": ("{points} points for {about} paid what you owed.", "{about_zh}的 {points} 积分已抵还欠分。"),
    "owed-again": (
        "{points} points for {about} that had paid what you owed are yours again.",
        "{about_zh}抵还欠分的 {points} 积分已退回。",
    ),
    "owed": (
        "You owe {points} points: what you used had been another customer's.", "您欠 {points} 积分：所用积分属于他人。",
    ),
    "backed": ("{points} points that you owed are owed no more.", "已免除欠分 {points}。"),
    "adjusted": ("{points} points of those that were used were taken off by us.", "其中 {points} 积分由我们扣除。"),
    "transferred": ("{points} points of those that were used went to somebody else.", "其中 {points} 积分已转给他人。"),
}  # fmt: skip
_ABOUT: Mapping[str, tuple[str, str]] = {
    "order": ("order {id}", "订单 {id} "),
    "adjustment": ("a correction by us", "人工调整"),
    "compensation": ("a complaint of yours", "投诉补偿"),
    "occasion": ("a special day", "特别日子"),
    "gift": ("a gift of ours", "赠礼"),
    "referral": ("a recommendation", "推荐"),
    "transfer": ("a transfer from somebody", "他人转赠"),
    "take": ("what you used", "所用积分"),
}


class Expiring(msgspec.Struct, frozen=True):
    """Points that expire at an instant."""

    at: datetime
    points: int


def bounds(month: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """The first instant of a month, and of the next, in a zone."""
    later = date(month.year + month.month // 12, month.month % 12 + 1, 1)
    return datetime(month.year, month.month, 1, tzinfo=zone), datetime(later.year, later.month, 1, tzinfo=zone)


def statement(
    customer: str, month: date, zone: ZoneInfo, opening: Mapping[str, int], entries: Sequence[Entry],
    expiring: Sequence[Expiring], chain: tuple[int, bytes],
) -> dict[str, Any]:  # fmt: skip
    """The document. ``opening``: credits less debits of each book before the month; ``entries``: those written down in
    it, in their order; ``chain``: how many there are at its end, and the hash of the last."""
    start, end = bounds(month, zone)
    places = _balance(opening)
    closing = dict(places)
    told = []
    for entry in entries:
        changes = changes_of(entry)
        for place, points in changes.items():
            closing[place] += points
        told.append(_entry(entry, changes, start))
    return {
        "version": VERSION,
        "customer_id": customer,
        "month": f"{month:%Y-%m}",
        "time_zone": str(zone),
        "from": start.isoformat(),
        "closed_at": end.isoformat(),
        "opening": places,
        "entries": told,
        "closing": closing,
        "expiring": [{"at": one.at.astimezone(zone).isoformat(), "points": one.points} for one in expiring],
        "chain": {"entries": chain[0], "head": chain[1].hex()},
    }


def changes_of(entry: Entry) -> dict[str, int]:
    """What an entry does to what a customer has and owes."""
    changes: dict[str, int] = {}
    for book, points in ((entry.credit, entry.points), (entry.debit, -entry.points)):
        if book in PLACES:
            changes[book] = changes.get(book, 0) + (-points if book == "debt" else points)
    return changes


def words(entry: Entry) -> dict[str, str]:
    """An entry as its customer reads it, by language."""
    english, chinese = _WORDS[entry.kind]
    about, about_zh = (name.format(id=entry.source_id) for name in _ABOUT.get(entry.origin, (entry.origin,) * 2))
    said = {"points": entry.points, "about": about, "about_zh": about_zh}
    return {"en": english.format(**said), "zh-CN": chinese.format(**said)}


def _balance(books: Mapping[str, int]) -> dict[str, int]:
    return {place: -books.get(place, 0) if place == "debt" else books.get(place, 0) for place in PLACES}


def _entry(entry: Entry, changes: Mapping[str, int], start: datetime) -> dict[str, Any]:
    zone = start.tzinfo
    return {
        "seq": entry.seq,
        "kind": entry.kind,
        "points": entry.points,
        "changes": dict(changes),
        "occurred_at": entry.occurred_at.astimezone(zone).isoformat(),
        "known_at": entry.known_at.astimezone(zone).isoformat(),
        # Of a month that was closed: what became known too late for its statement.
        "correction": entry.occurred_at < start,
        "origin": entry.origin,
        "source_id": entry.source_id,
        "text": words(entry),
    }
