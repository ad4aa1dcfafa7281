"""What an order earns, and what a history of orders earns: pure, in integers, in the order of the facts."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from zoneinfo import ZoneInfo

import msgspec

from services.loyalty.earning.basis import paid_net, standing, worth, worths
from services.loyalty.earning.lasting import expiries
from services.loyalty.earning.memory import History
from services.loyalty.earning.parts import Case, Part
from services.loyalty.earning.pools import Pools
from services.loyalty.ledger.domain import Award
from services.loyalty.programmes.domain import Programme
from services.loyalty.programmes.rules import name_of
from services.loyalty.segments.domain import NOWHERE, Membership
from services.loyalty.tiers.domain import Spend
from shared.contracts.orders import Order, spread

_NOBODY_ELSE = Pools()

VersionOf = Callable[[Order], tuple[Programme | None, int]]
"""The version that judges an order, and the newest version known when it was judged first."""

Freed = tuple[datetime, str, str, int]
"""From when on a return leaves points of a rule's cap free, in which period, and how many."""

_Stood = tuple[Order, str, Sequence[tuple[int, int]]]
"""An order, the currency that it counts in, and what it is worth in it and its points: after none of its returns, after
the first, and so on."""


class Judgement(msgspec.Struct, frozen=True):
    """An award and the parts it is the sum of."""

    award: Award
    parts: tuple[Part, ...]


def judge(
    history: History, order: Order, programme: Programme | None, judged_with: int, spends: Sequence[Spend],
    zone: ZoneInfo, pools: Pools | None = None, membership: Membership = NOWHERE,
) -> tuple[History, Judgement]:  # fmt: skip
    """An order by its version, and the history after it. ``spends``: of the orders before, for the tier held.

    ``pools``: what customers share, as it stands; without it nobody else is there. What is taken of it is settled.
    ``membership``: what is known of the customer in the segments that the version asks for.
    """
    bought = bool(order.lines) and order.cancelled_at is None
    day = order.occurred_at.astimezone(zone).date()
    counts = history.counts.after(day) if bought else history.counts
    parts: Sequence[Part] = ()
    case: Case | None = None
    if programme and bought and _earns(order, programme):
        case = Case(history, order, programme, spends, day, counts, pools or _NOBODY_ELSE, membership)
        parts = case.parts()
    if pools is not None:
        while not pools.settle(order.order_id, case.claims(parts) if case else ()):
            parts = case.parts() if case else ()
    after = History(
        max(order.occurred_at, history.last_at or order.occurred_at),
        history.orders + bought,
        _used(history.caps, programme, parts, day) if programme and programme.has_caps and parts else history.caps,
        counts,
    )
    return after, Judgement(_award(order, programme, judged_with, parts, zone), tuple(parts))


def fold(
    orders: Sequence[Order], version_of: VersionOf, zone: ZoneInfo, pools: Pools | None = None,
    membership: Membership = NOWHERE,
) -> tuple[History, list[Judgement]]:  # fmt: skip
    """The whole history of one customer's orders, sorted by their ``sort_key``.

    What a return frees of a cap is free from the return on: it re-judges no order before it.
    """
    history = History()
    pools = pools or Pools()
    freed: list[Freed] = []
    stood: list[_Stood] = []
    judged: list[Judgement] = []
    versions: list[Programme | None] = []
    for order in orders:
        programme, judged_with = version_of(order)
        due = [back for back in freed if back[0] <= order.occurred_at]
        freed = [back for back in freed if back[0] > order.occurred_at]
        history = _free(history, due)
        spends: Sequence[Spend] = ()
        if programme and programme.asks_tier:
            spends = list(_known_spends(stood, programme.currency, order.occurred_at))
        before = history
        history, judgement = judge(history, order, programme, judged_with, spends, zone, pools, membership)
        award = judgement.award
        worth_each = [(award.net_minor, award.points)]
        if order.refunds and programme and judgement.parts:
            day = order.occurred_at.astimezone(zone).date()
            case = Case(before, order, programme, spends, day, history.counts, pools, membership)
            after_each = _after_each_refund(case)
            freed += _givebacks(case, after_each)
            points = [sum(part.kept for part in parts) for parts in after_each]
            worth_each = list(zip(_nets(order, programme), points, strict=True))
        elif order.refunds:
            worth_each = [(net, award.points) for net in _nets(order, programme)]
        stood.append((order, award.currency, worth_each))
        judged.append(judgement)
        versions.append(programme)
    newest = [order.occurred_at for order in orders]
    newest += [refund.occurred_at for order in orders for refund in order.refunds]
    history = _free(history, freed)
    if any(version is not None and version.expiry.extended for version in versions):
        judged = _lasting(judged, expiries(orders, versions, zone))
    return msgspec.structs.replace(history, last_at=max(newest, default=None)), judged


def by_line(judgement: Judgement, order: Order, programme: Programme) -> dict[str, int]:
    """The points of an order spread over its lines by their ids, each part over the lines that it is about, by largest
    remainder: they sum to the award's. ``programme``: the version that judged it."""
    rules = {rule.id: rule for rule in programme.rules}
    of_lines = worths(order, programme)
    points = dict.fromkeys((line.line_id for line in order.lines), 0)
    for part in judgement.parts:
        rule = rules.get(part.rule)
        lines = rule.when.lines_of(order) if rule else order.lines
        by_pieces = [standing(line) for line in lines]
        by_money = [worth([line], of_lines)[1] for line in lines]
        weights = by_pieces if (rule and rule.per_unit) or not any(by_money) else by_money
        for line, share in zip(lines, spread(part.kept, weights), strict=True):
            points[line.line_id] += share
    return points


def _lasting(judged: Sequence[Judgement], ends: Mapping[str, datetime]) -> list[Judgement]:
    replace = msgspec.structs.replace
    return [
        replace(one, award=replace(one.award, expires_at=ends.get(one.award.source_id, one.award.expires_at)))
        for one in judged
    ]


def _earns(order: Order, programme: Programme) -> bool:
    ours = order.currency == programme.currency or order.currency in programme.rates
    return ours and (programme.backfill_earns or not order.backfill)


def _award(order: Order, programme: Programme | None, judged_with: int, parts: Sequence[Part], zone: ZoneInfo) -> Award:
    kept = sum(part.kept for part in parts)
    at = order.occurred_at
    currency, net_minor = paid_net(order, programme)
    return Award(
        source_id=order.order_id,
        occurred_at=at,
        currency=currency,
        net_minor=net_minor,
        points=kept,
        reversed=sum(part.awarded for part in parts) - kept,
        programme_version=programme.version if programme else None,
        judged_with=judged_with,
        available_from=programme.available_from(at, order.delivered_at) if programme else at,
        expires_at=programme.expires_at(at, zone) if programme else None,
    )


def _used(
    caps: dict[str, tuple[str, int]], programme: Programme, parts: Sequence[Part], day: date
) -> dict[str, tuple[str, int]]:
    used = {}
    for part in parts:
        cap = programme.book.caps.get(part.rule)
        if cap and part.awarded:
            period = name_of(cap.per, day)
            before = caps.get(part.rule, ("", 0))
            used[part.rule] = (period, part.awarded + (before[1] if before[0] == period else 0))
    return {**caps, **used} if used else caps


def _after_each_refund(case: Case) -> list[Sequence[Part]]:
    """The parts of an order as it was bought, and after each of its returns."""
    order = case.order
    found = []
    for n in range(len(order.refunds) + 1):
        case.order = _after_refunds(order, n)
        found.append(case.parts())
    return found


def _givebacks(case: Case, after_each: Sequence[Sequence[Part]]) -> Iterator[Freed]:
    """What each return of an order frees of which rule's cap, from when on."""
    order, capped = case.order, case.programme.book.caps
    kept = [{part.rule: part.kept for part in parts if part.rule in capped} for parts in after_each]
    for refund, before, now in zip(order.refunds, kept, kept[1:], strict=False):
        for rule, points in now.items():
            if back := before[rule] - points:
                yield max(order.occurred_at, refund.occurred_at), rule, name_of(capped[rule].per, case.day), back


def _after_refunds(order: Order, n: int) -> Order:
    """The order as it stood after its first n returns."""
    if n == len(order.refunds):
        return order
    given: dict[str, int] = {}
    pieces: dict[str, int] = {}
    for refund in order.refunds[:n]:
        for line_id, amount in refund.by_line:
            given[line_id] = given.get(line_id, 0) + amount
        for line_id, count in refund.pieces:
            pieces[line_id] = pieces.get(line_id, 0) + count
    lines = tuple(
        msgspec.structs.replace(
            line, returned=given.get(line.line_id, 0), returned_quantity=pieces.get(line.line_id, 0)
        )
        for line in order.lines
    )
    return msgspec.structs.replace(order, lines=lines, refunds=order.refunds[:n])


def _free(history: History, freed: Iterable[Freed]) -> History:
    caps = dict(history.caps)
    for _, rule, period, points in freed:
        if rule in caps and caps[rule][0] == period:
            caps[rule] = (period, max(0, caps[rule][1] - points))
    return msgspec.structs.replace(history, caps=caps)


def _nets(order: Order, programme: Programme | None) -> list[int]:
    """What an order is worth after none of its returns, after the first, and so on."""
    return [paid_net(_after_refunds(order, n), programme)[1] for n in range(len(order.refunds) + 1)]


def _known_spends(stood: Sequence[_Stood], currency: str, at: datetime) -> Iterator[Spend]:
    """What stood of each order at that instant, by the returns that had happened."""
    for order, paid_in, after_each in stood:
        if paid_in == currency:
            net, points = after_each[sum(refund.occurred_at <= at for refund in order.refunds)]
            if net > 0:
                yield order.occurred_at, net, points
