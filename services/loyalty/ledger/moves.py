"""How a lot's points move: pure, as postings that balance and never take a book of a customer's below zero."""

from datetime import datetime

import msgspec

from services.loyalty.ledger.domain import Book, Bucket, Kind, Lot, Posting

_PLACES: dict[tuple[Bucket, Bucket], Kind] = {
    ("pending", "available"): "released",
    ("available", "pending"): "deferred",
    ("pending", "expired"): "expired",
    ("available", "expired"): "expired",
    ("expired", "available"): "restored",
    ("expired", "pending"): "restored",
}
_USES: tuple[tuple[str, Book, Kind, Kind], ...] = (
    ("spent", "redeemed", "redeemed", "rolled-back"),
    ("held", "held", "held", "voided"),
    ("repaid", "debt", "repaid", "owed-again"),
)
"""What is used of a lot: its name there, the book it is in, and the kinds of going there and coming back."""


def settle(lot: Lot, points: int, now: datetime, at: datetime) -> tuple[Lot, list[Posting]]:
    """The lot and the postings that make the ledger hold ``points`` where they belong ``now``.

    ``at`` is when that which changes the amount happened. What falls below the points that were used already is owed.
    Expiry is left to ``sweep``, which announces it.
    """
    award, posted, place, owed = lot.award, lot.posted, lot.posted_in, lot.owed
    postings = []
    missing = lot.booked - points
    if missing > 0:
        free = min(posted, missing)
        postings += _posting("reversed", place, "reversed", free, at)
        postings += _posting("reversed", "debt", "reversed", missing - free, at)
        posted -= free
        owed += missing - free
    target = award.bucket(now)
    if target == "expired" and place != "expired":
        target = "available"
    if not posted:
        direct = award.available_from <= award.occurred_at
        place = "available" if direct and target == "available" else "pending"
    elif place != target:
        kind = _PLACES[place, target]
        moved_at = award.available_from if kind == "released" else at
        postings.append(Posting(kind, place, target, posted, moved_at))
        place = target
    if missing < 0:
        paid = min(owed, -missing)
        postings += _posting("earned", award.source, "debt", paid, at)
        postings += _posting("earned", award.source, place, -missing - paid, at)
        posted += -missing - paid
        owed -= paid
    if place != target and posted:
        postings.append(Posting("released", place, target, posted, award.available_from))
        place = target
    return msgspec.structs.replace(lot, posted=posted, posted_in=place, owed=owed), postings


def sweep(lot: Lot, now: datetime, back_at: datetime | None = None) -> tuple[Lot, list[Posting]]:
    """The lot and the postings that write down what has fallen due: a release, an expiry, or both.

    ``back_at``: when points came back that can't have expired before.
    """
    award, place = lot.award, lot.posted_in
    postings = []
    expires = award.expires_at
    usable = award.available_from <= now and (expires is None or award.available_from < expires)
    if lot.posted and place == "pending" and usable:
        postings.append(Posting("released", place, "available", lot.posted, award.available_from))
        place = "available"
    if lot.posted and place != "expired" and expires is not None and expires <= now:
        postings.append(Posting("expired", place, "expired", lot.posted, max(expires, back_at or expires)))
        place = "expired"
    return msgspec.structs.replace(lot, posted_in=place), postings


def use(
    lot: Lot, now: datetime, at: datetime, *, spent: int | None = None, held: int | None = None,
    repaid: int | None = None,
) -> tuple[Lot, list[Posting]]:  # fmt: skip
    """The lot with that much of it spent, held and paid back (None: as it is), and the postings.

    What comes back pays first what is owed of the lot; of a lot that has expired it expires at once. What isn't free
    is owed: facts may come in any order.
    """
    lot, postings = sweep(lot, now)
    now_used = {"spent": lot.spent, "held": lot.held, "repaid": lot.repaid}
    wanted = {
        name: before if new is None else new
        for (name, before), new in zip(now_used.items(), (spent, held, repaid), strict=True)
    }
    posted, place, owed = lot.posted, lot.posted_in, lot.owed
    if not posted:
        place = "pending" if lot.award.bucket(now) == "pending" else "available"
    hub: Book = "available" if place == "expired" else place
    more = {name: wanted[name] - now_used[name] for name in wanted}
    committed = max(0, min(more["spent"], -more["held"]))
    postings += _posting("redeemed", "held", "redeemed", committed, at)
    more["spent"] -= committed
    more["held"] += committed
    for name, book, _, back in _USES:
        returned = max(0, -more[name])
        paid = min(owed, returned)
        postings += _posting(back, book, "debt", paid, at)
        postings += _posting(back, book, hub, returned - paid, at)
        if place == "expired":
            postings += _posting("expired", hub, place, returned - paid, at)
        owed -= paid
        posted += returned - paid
    for name, book, kind, _ in _USES:
        taken = max(0, more[name])
        free = min(posted, taken)
        if place == "expired":
            postings += _posting("restored", place, hub, free, at)
        postings += _posting(kind, hub, book, free, at)
        postings += _posting(kind, "debt", book, taken - free, at)
        posted -= free
        owed += taken - free
    changed = msgspec.structs.replace(lot, posted=posted, posted_in=place, owed=owed, **wanted)
    changed, swept = sweep(changed, now, at)
    return changed, postings + swept


def _posting(kind: Kind, debit: Book, credit: Book, points: int, at: datetime) -> list[Posting]:
    return [Posting(kind, debit, credit, points, at)] if points and debit != credit else []
