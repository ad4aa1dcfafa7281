"""The parts of an order's points: the base, the rules that apply, the tier's factor; after caps, what one event may
carry, and the budget.

Each is rounded on its own. A return leaves every part at the rate it was earned: what any of these limits left of a
part shrinks in proportion to what the part would have been without it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date

import msgspec

from services.loyalty.earning.basis import Worths, standing, worth, worths
from services.loyalty.earning.memory import Counts, History
from services.loyalty.earning.pools import BUDGET, Claim, Pools
from services.loyalty.effects.domain import is_held_out
from services.loyalty.programmes.domain import Programme
from services.loyalty.programmes.rules import Cap, Rule, name_of
from services.loyalty.segments.domain import NOWHERE, Membership
from services.loyalty.tiers.domain import Ladder, Spend
from shared.contracts.orders import Order, OrderLine
from shared.contracts.types import MAX_POINTS

BASE = "base"
TIER = "tier"
_PIECE = 1000


class Part(msgspec.Struct, frozen=True):
    """What the base, a rule or a tier gave for an order as bought, and what returns left of it.

    ``wanted`` before caps and other limits, ``awarded`` after them, ``kept`` after returns.
    """

    rule: str
    wanted: int
    awarded: int
    kept: int


@dataclass(slots=True)
class Case:
    """An order before its version: all that its parts hang on. ``counts``: with the order itself."""

    history: History
    order: Order
    programme: Programme
    spends: Sequence[Spend]
    day: date
    counts: Counts
    pools: Pools
    membership: Membership = NOWHERE
    claimed: list[tuple[str, Cap, int, int]] = field(default_factory=list)
    _whole: tuple[int, int] = (0, 0)
    _ladder: Ladder | None = None

    def parts(self) -> Sequence[Part]:
        """The base, the rules that apply and the tier, after caps, what one event may carry and the budget."""
        programme, order = self.programme, self.order
        if programme.is_shared:
            self.claimed = []
        of_lines = worths(order, programme)
        bought, left = (order.total, order.net) if of_lines is None else worth(order.lines, of_lines)
        self._whole = (bought, left)
        base = programme.points(bought)
        parts = [Part(BASE, base, base, programme.points(left)), *self._of_rules(of_lines)]
        if programme.has_factors and (factor := self._tiers.factor(order.occurred_at)):
            gross = programme.points(bought, factor)
            parts.append(Part(TIER, gross, gross, programme.points(left, factor)))
        asked = sum(part.awarded for part in parts)
        if asked > MAX_POINTS:
            parts, asked = _trimmed(parts, MAX_POINTS), MAX_POINTS
        if programme.budget:
            parts = _trimmed(parts, self._offered(BUDGET, programme.budget, asked))
        return parts

    def claims(self, parts: Sequence[Part]) -> list[Claim]:
        """What these parts make of what the pools offered."""
        kept = {part.rule: part.kept for part in parts}
        kept[BUDGET] = sum(kept.values())
        return [
            Claim(
                rule=rule,
                period=name_of(cap.per, self.day),
                limit=cap.points,
                asked=asked,
                offered=offered if rule in kept else 0,
                kept=kept.get(rule, 0),
            )
            for rule, cap, asked, offered in self.claimed
        ]

    def _of_rules(self, of_lines: Worths | None) -> Iterable[Part]:
        parts: dict[str, Part] = {}
        for rule, lines in self.programme.book.about(self.order, self.day):
            if not self._holds(rule):
                continue
            part = self._of_rule(rule, lines, of_lines)
            place = f"group {rule.group}" if rule.group else rule.id
            if place not in parts or part.awarded > parts[place].awarded:
                parts[place] = part
        return parts.values()

    def _holds(self, rule: Rule) -> bool:
        when = rule.when
        if rule.on == "first-purchase" and self.history.orders:
            return False
        if rule.nth and self.counts.number(rule.nth.per) != rule.nth.n:
            return False
        if when.least and self.programme.converted(self.order.total, self.order.currency) < when.least:
            return False
        if when.streak and self.counts.streak(when.streak.per) < when.streak.n:
            return False
        if rule.holdout and is_held_out(rule.id, self.order.customer_id, rule.holdout):
            return False
        if when.segments and not self.membership.is_in_any(when.segments, self.order.occurred_at):
            return False
        return not when.tiers or self._tiers.at(self.order.occurred_at) in when.tiers

    def _of_rule(self, rule: Rule, lines: Sequence[OrderLine], of_lines: Worths | None) -> Part:
        wanted, left = self._wanted(rule, lines, of_lines)
        awarded = wanted
        if rule.cap and rule.cap.scope == "programme":
            awarded = self._offered(rule.id, rule.cap, wanted)
        elif rule.cap:
            period, used = self.history.caps.get(rule.id, ("", 0))
            room = rule.cap.points - (used if period == name_of(rule.cap.per, self.day) else 0)
            awarded = min(wanted, max(0, room))
        return Part(rule.id, wanted, awarded, awarded * left // wanted if wanted else 0)

    def _wanted(self, rule: Rule, lines: Sequence[OrderLine], of_lines: Worths | None) -> tuple[int, int]:
        """Before any cap: for the lines as bought, and for what stands of them."""
        if rule.bonus:
            stands = any(
                line.returned_quantity < line.quantity and (line.paid > line.returned or not line.paid)
                for line in lines
            )
            return rule.bonus, rule.bonus if stands else 0
        programme = self.programme
        if rule.per_unit:
            pieces, stand = sum(line.quantity for line in lines), sum(standing(line) for line in lines)
            return programme.rounded(pieces * rule.per_unit, _PIECE), programme.rounded(stand * rule.per_unit, _PIECE)
        bought, left = self._whole if lines is self.order.lines else worth(lines, of_lines)
        return programme.points(bought, rule.extra), programme.points(left, rule.extra)

    def _offered(self, rule: str, cap: Cap, asked: int) -> int:
        asked = min(asked, MAX_POINTS)
        offered = self.pools.offer(self.order.order_id, rule, name_of(cap.per, self.day), cap.points, asked)
        if asked:
            self.claimed.append((rule, cap, asked, offered))
        return offered

    @property
    def _tiers(self) -> Ladder:
        if self._ladder is None:
            self._ladder = Ladder(self.programme, self.spends)
        return self._ladder


def _trimmed(parts: Sequence[Part], left: int) -> list[Part]:
    """The parts, in their order, as far as so many points go."""
    trimmed = []
    for part in parts:
        awarded = min(part.awarded, left)
        left -= awarded
        if awarded < part.awarded:
            part = Part(part.rule, part.wanted, awarded, part.kept * awarded // part.awarded)
        trimmed.append(part)
    return trimmed
