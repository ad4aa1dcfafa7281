"""What an order earns, and what a history of orders earns: pure, in integers, in the order of the facts.

Each part (the base, a rule, a tier) is rounded down on its own. A return leaves every part at the rate it was
earned: what the cap left of a part shrinks in proportion to what the part would have been without it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec

from services.loyalty.ledger.domain import Award
from services.loyalty.programmes.domain import ONE, Programme, Rule
from services.loyalty.tiers.domain import Ladder, Spend
from shared.contracts.orders import Order, OrderLine

BASE = "base"
TIER = "tier"

VersionOf = Callable[[Order], tuple[Programme | None, int]]
"""The version that judges an order, and the newest version known when it was judged first."""


class History(msgspec.Struct, frozen=True):
    """What of the facts so far decides how the next order is judged.

    ``last_at``: the newest instant in any fact of an order; only what is later may be applied without folding.
    ``caps``: by rule, the calendar period it was used in last and the points it gave in it.
    """

    last_at: datetime | None = None
    orders: int = 0
    caps: dict[str, tuple[str, int]] = {}


class Part(msgspec.Struct, frozen=True):
    """What the base, a rule or a tier gave for an order as bought, and what returns left of it.

    ``wanted`` before the cap, ``awarded`` after it, ``kept`` after returns.
    """

    rule: str
    wanted: int
    awarded: int
    kept: int


class Judgement(msgspec.Struct, frozen=True):
    """An award and the parts it is the sum of."""

    award: Award
    parts: tuple[Part, ...]


def judge(
    history: History, order: Order, programme: Programme | None, judged_with: int, spends: Sequence[Spend],
    zone: ZoneInfo,
) -> tuple[History, Judgement]:  # fmt: skip
    """An order by its version, and the history after it. ``spends``: of the orders before, for tier factors."""
    bought = bool(order.lines) and order.cancelled_at is None
    parts: tuple[Part, ...] = ()
    if programme and bought and _earns(order, programme):
        parts = tuple(_parts(history, order, programme, spends, zone))
    after = History(
        max(order.occurred_at, history.last_at or order.occurred_at),
        history.orders + bought,
        _used(history.caps, order, programme, parts, zone) if parts else history.caps,
    )
    return after, Judgement(_award(order, programme, judged_with, parts, zone), parts)


def fold(orders: Sequence[Order], version_of: VersionOf, zone: ZoneInfo) -> tuple[History, list[Judgement]]:
    """The whole history of one customer's orders, sorted by their ``sort_key``.

    What a return frees of a cap is free from the return on: it re-judges no order before it.
    """
    history = History()
    freed: list[tuple[datetime, str, str, int]] = []
    judged = []
    for number, order in enumerate(orders):
        programme, judged_with = version_of(order)
        due = [back for back in freed if back[0] <= order.occurred_at]
        freed = [back for back in freed if back[0] > order.occurred_at]
        history = _free(history, due)
        spends: Sequence[Spend] = ()
        if programme and any(tier.extra for tier in programme.tiers):
            spends = list(_known_spends(orders[:number], programme.currency, order.occurred_at))
        before, (history, judgement) = history, judge(history, order, programme, judged_with, spends, zone)
        if order.refunds and programme and any(rule.cap for rule in programme.rules):
            freed += _givebacks(before, order, programme, spends, zone)
        judged.append(judgement)
    newest = [order.occurred_at for order in orders]
    newest += [refund.occurred_at for order in orders for refund in order.refunds]
    history = _free(history, freed)
    return msgspec.structs.replace(history, last_at=max(newest, default=None)), judged


def points_of(amount: int, programme: Programme) -> int:
    """Base points of minor units, rounded down."""
    return amount * programme.award // programme.per


def _earns(order: Order, programme: Programme) -> bool:
    return order.currency == programme.currency and (programme.backfill_earns or not order.backfill)


def _award(order: Order, programme: Programme | None, judged_with: int, parts: Sequence[Part], zone: ZoneInfo) -> Award:
    kept = sum(part.kept for part in parts)
    at = order.occurred_at
    return Award(
        order_id=order.order_id,
        occurred_at=at,
        currency=order.currency,
        net_minor=order.net,
        points=kept,
        reversed=sum(part.awarded for part in parts) - kept,
        programme_version=programme.version if programme else None,
        judged_with=judged_with,
        available_from=programme.available_from(at, order.delivered_at) if programme else at,
        expires_at=programme.expires_at(at, zone) if programme else None,
    )


def _parts(
    history: History, order: Order, programme: Programme, spends: Sequence[Spend], zone: ZoneInfo
) -> Iterator[Part]:
    base = points_of(order.total, programme)
    yield Part(BASE, base, base, points_of(order.net, programme))
    yield from _rule_parts(history, order, programme, zone)
    if any(tier.extra for tier in programme.tiers) and (factor := _tier_factor(programme, spends, order)):
        gross, net = (_share(amount, factor, programme) for amount in (order.total, order.net))
        yield Part(TIER, gross, gross, net)


def _rule_parts(history: History, order: Order, programme: Programme, zone: ZoneInfo) -> Sequence[Part]:
    parts: dict[str, Part] = {}
    for rule in programme.rules:
        if (rule.on == "purchase" or not history.orders) and (lines := rule.when.lines_of(order, zone)):
            part = _rule_part(rule, lines, history, order, programme, zone)
            place = f"group {rule.group}" if rule.group else rule.id
            if place not in parts or part.awarded > parts[place].awarded:
                parts[place] = part
    return list(parts.values())


def _rule_part(
    rule: Rule, lines: Sequence[OrderLine], history: History, order: Order, programme: Programme, zone: ZoneInfo
) -> Part:
    wanted, left = _wanted(rule, lines, programme)
    awarded = wanted
    if rule.cap:
        period, used = history.caps.get(rule.id, ("", 0))
        room = rule.cap.points - (used if period == rule.cap.period(order.occurred_at, zone) else 0)
        awarded = min(wanted, max(0, room))
    return Part(rule.id, wanted, awarded, awarded * left // wanted if wanted else 0)


def _wanted(rule: Rule, lines: Sequence[OrderLine], programme: Programme) -> tuple[int, int]:
    """Before any cap: for the lines as bought, and for what stands of them."""
    if rule.bonus:
        stands = any(
            line.returned_quantity < line.quantity and (line.paid > line.returned or not line.paid) for line in lines
        )
        return rule.bonus, rule.bonus if stands else 0
    paid = sum(line.paid for line in lines)
    returned = sum(line.returned for line in lines)
    return _share(paid, rule.extra, programme), _share(paid - returned, rule.extra, programme)


def _share(amount: int, extra: int, programme: Programme) -> int:
    points: int = amount * programme.award * extra // (programme.per * ONE)
    return points


def _tier_factor(programme: Programme, spends: Sequence[Spend], order: Order) -> int:
    return Ladder(programme, spends).factor(order.occurred_at)


def _used(
    caps: dict[str, tuple[str, int]], order: Order, programme: Programme | None, parts: Sequence[Part], zone: ZoneInfo
) -> dict[str, tuple[str, int]]:
    assert programme is not None, "there are no parts without a programme"
    awarded = {part.rule: part.awarded for part in parts if part.awarded}
    used = {}
    for rule in programme.rules:
        if rule.cap and rule.id in awarded:
            period = rule.cap.period(order.occurred_at, zone)
            before = caps.get(rule.id, ("", 0))
            used[rule.id] = (period, awarded[rule.id] + (before[1] if before[0] == period else 0))
    return {**caps, **used} if used else caps


def _givebacks(
    before: History, order: Order, programme: Programme, spends: Sequence[Spend], zone: ZoneInfo
) -> list[tuple[datetime, str, str, int]]:
    """What each return frees of which rule's cap, from when on."""
    capped = {rule.id: rule.cap for rule in programme.rules if rule.cap}
    found = []
    kept: dict[str, int] | None = None
    for n in range(len(order.refunds) + 1):
        _, judgement = judge(before, _after_refunds(order, n), programme, 0, spends, zone)
        now = {part.rule: part.kept for part in judgement.parts if part.rule in capped}
        if kept is not None:
            at = max(order.occurred_at, order.refunds[n - 1].occurred_at)
            for rule, points in now.items():
                if back := kept[rule] - points:
                    found.append((at, rule, capped[rule].period(order.occurred_at, zone), back))
        kept = now
    return found


def _after_refunds(order: Order, n: int) -> Order:
    """The order as it stood after its first n returns; for a bonus, pieces came back with the money."""
    if n == len(order.refunds):
        return order
    given: dict[str, int] = {}
    for refund in order.refunds[:n]:
        for line_id, amount in refund.by_line:
            given[line_id] = given.get(line_id, 0) + amount
    lines = tuple(
        msgspec.structs.replace(line, returned=given.get(line.line_id, 0), returned_quantity=0) for line in order.lines
    )
    return msgspec.structs.replace(order, lines=lines, refunds=order.refunds[:n])


def _free(history: History, freed: Iterable[tuple[datetime, str, str, int]]) -> History:
    caps = dict(history.caps)
    for _, rule, period, points in freed:
        if rule in caps and caps[rule][0] == period:
            caps[rule] = (period, max(0, caps[rule][1] - points))
    return msgspec.structs.replace(history, caps=caps)


def _known_spends(orders: Sequence[Order], currency: str, at: datetime) -> Iterator[Spend]:
    """What stood of each order at that instant, by the returns that had happened."""
    for order in orders:
        if order.currency == currency and order.cancelled_at is None:
            back = sum(refund.minor for refund in order.refunds if refund.occurred_at <= at)
            if order.total > back:
                yield order.occurred_at, order.total - back
