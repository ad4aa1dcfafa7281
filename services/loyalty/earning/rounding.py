"""What the parts of an order's points were before they were rounded."""

from collections.abc import Sequence
from fractions import Fraction

from services.loyalty.earning.basis import Worths, worth, worths
from services.loyalty.earning.parts import BASE, TIER, Part
from services.loyalty.programmes.domain import ONE, Programme
from services.loyalty.programmes.rules import Rule
from shared.contracts.orders import Order, OrderLine

_PIECE = 1000


def unrounded(part: Part, order: Order, programme: Programme) -> Fraction | None:
    """What a part wanted for the order as bought, exactly; None of a tier's where several tiers would want as much.

    Rounded as the version says it is ``part.wanted``.
    """
    of_lines = worths(order, programme)
    if part.rule == TIER:
        bought = _bought(order.lines, order, of_lines)
        factors = {tier.extra for tier in programme.tiers if programme.points(bought, tier.extra) == part.wanted}
        return _by_money(programme, bought, factors.pop()) if len(factors) == 1 else None
    if part.rule == BASE:
        return _by_money(programme, _bought(order.lines, order, of_lines), ONE)
    rule = next(rule for rule in programme.rules if rule.id == part.rule)
    return _of_rule(rule, order, programme, of_lines)


def _of_rule(rule: Rule, order: Order, programme: Programme, of_lines: Worths | None) -> Fraction:
    if rule.bonus:
        return Fraction(rule.bonus)
    lines = rule.when.lines_of(order)
    if rule.per_unit:
        return Fraction(sum(line.quantity for line in lines) * rule.per_unit, _PIECE)
    return _by_money(programme, _bought(lines, order, of_lines), rule.extra)


def _bought(lines: Sequence[OrderLine], order: Order, of_lines: Worths | None) -> int:
    if of_lines is None and lines is order.lines:
        return order.total
    return worth(lines, of_lines)[0]


def _by_money(programme: Programme, minor: int, extra: int) -> Fraction:
    return Fraction(minor * programme.award * extra, programme.per * ONE)
