"""What a version would have given for past orders, beside what was given: pure sums over judged histories."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from services.loyalty.earning.domain import Judgement, VersionOf, fold
from services.loyalty.earning.pools import Grant, Pools
from services.loyalty.occasions.domain import is_occasion
from services.loyalty.programmes.domain import Programme, in_force
from services.loyalty.programmes.stored import not_yet_evaluated
from services.loyalty.referrals.domain import is_referral
from services.loyalty.segments.domain import NOWHERE, Membership
from services.loyalty.tiers.domain import Ladder, Spend, measures_points
from shared.contracts.orders import Order

Grants = Mapping[str, Mapping[str, Grant]]
"""By order, and by the rule, or the budget, that all customers share."""
NO_TIER = ""
"""In counts, where a tier's name would stand: none has an empty one."""


class Trial(msgspec.Struct, frozen=True):
    """What is asked: as if ``version``, or one that was never posted (``draft``, its JSON), had judged every order of
    [since, until). ``compare_to``: beside another version that had; None for what really was.

    ``not_applied``: JSON pointers to what the version asks for and a backtest leaves out.
    """

    since: datetime
    until: datetime
    version: int | None = None
    draft: str | None = None
    compare_to: int | None = None
    not_applied: Sequence[str] = ()


class Sum(msgspec.Struct):
    """Points before caps, after caps, and what returns left of these."""

    wanted: int = 0
    awarded: int = 0
    kept: int = 0

    def add(self, wanted: int, awarded: int, kept: int) -> None:
        """So many more."""
        self.wanted += wanted
        self.awarded += awarded
        self.kept += kept


class Side(msgspec.Struct):
    """One way of judging: the sums of the period's orders, in all, by rule and by month of the house's zone; and the
    points of all orders up to its end that had neither gone back nor expired nor been used then."""

    points: Sum = msgspec.field(default_factory=Sum)
    rules: dict[str, Sum] = {}
    months: dict[str, Sum] = {}
    pending: int = 0
    available: int = 0

    def count(self, judgements: Sequence[Judgement], used: Mapping[str, int], trial: Trial, zone: ZoneInfo) -> None:
        """A customer's orders, and what was used of the points of each."""
        for judgement in judgements:
            award = judgement.award
            left = max(0, award.points - used.get(award.source_id, 0))
            match award.bucket(trial.until):
                case "pending":
                    self.pending += left
                case "available":
                    self.available += left
            if award.occurred_at < trial.since:
                continue
            month = self.months.setdefault(month_of(award.occurred_at, zone), Sum())
            for part in judgement.parts:
                rule = self.rules.setdefault(part.rule, Sum())
                for sum_ in (self.points, month, rule):
                    sum_.add(part.wanted, part.awarded, part.kept)

    def add(self, other: "Side") -> None:
        """What was counted of other customers."""
        self.points.add(other.points.wanted, other.points.awarded, other.points.kept)
        self.pending += other.pending
        self.available += other.available
        for mine, theirs in ((self.rules, other.rules), (self.months, other.months)):
            for name, sum_ in theirs.items():
                mine.setdefault(name, Sum()).add(sum_.wanted, sum_.awarded, sum_.kept)


class Figures(msgspec.Struct):
    """Both ways, and how many persons and orders of the period were judged. ``orders`` by month; ``tiers``: how many
    persons hold which tier at the period's end, by that of the comparison and then by that of the trial."""

    tried: Side = msgspec.field(default_factory=Side)
    compared: Side = msgspec.field(default_factory=Side)
    customers: int = 0
    orders: dict[str, int] = {}
    tiers: dict[str, dict[str, int]] = {}

    def add(self, other: "Figures") -> None:
        """What was counted of other customers."""
        self.tried.add(other.tried)
        self.compared.add(other.compared)
        self.customers += other.customers
        self.orders = dict(Counter(self.orders) + Counter(other.orders))
        for before, row in other.tiers.items():
            self.tiers[before] = dict(Counter(self.tiers.get(before, {})) + Counter(row))


class Past(msgspec.Struct, frozen=True):
    """What became of orders. ``judged_with``: the newest version known when each was judged first, as its lot says.
    ``used``: of the points of each. ``grants``: what each has of what all customers share; it keeps that where it is
    judged as it was, else nobody else is there. ``memberships``: in segments, of each id."""

    judged_with: Mapping[str, int]
    used: Mapping[str, int] = {}
    grants: Grants = {}
    memberships: Mapping[str, Membership] = {}


class Bench(msgspec.Struct, frozen=True):
    """What judges: the trial, the version tried, that which it is held against (None: what judged each order), all
    versions posted by now."""

    trial: Trial
    tried: Programme
    compared: Programme | None
    known: Sequence[Programme]
    zone: ZoneInfo

    def count(self, figures: Figures, ids: Sequence[Sequence[Order]], past: Past) -> None:
        """One person: the orders of each of his ids up to the period's end, sorted; each id is judged for itself."""
        as_it_was = self._as_it_was(past.judged_with)
        tried: list[Judgement] = []
        compared: list[Judgement] = []
        for orders in ids:
            tried += self._judged(orders, self.tried, as_it_was, past)
            compared += self._judged(orders, self.compared, as_it_was, past)
        months = [month_of(each.award.occurred_at, self.zone) for each in tried if self._is_in(each.award.occurred_at)]
        if months:
            figures.customers += 1
            for month in months:
                figures.orders[month] = figures.orders.get(month, 0) + 1
        figures.tried.count(tried, past.used, self.trial, self.zone)
        figures.compared.count(compared, past.used, self.trial, self.zone)
        before = self._tier(self.compared or in_force(self.known, self.trial.until), compared)
        after = self._tier(self.tried, tried)
        row = figures.tiers.setdefault(before, {})
        row[after] = row.get(after, 0) + 1

    def _is_in(self, at: datetime) -> bool:
        return self.trial.since <= at < self.trial.until

    def _as_it_was(self, judged_with: Mapping[str, int]) -> VersionOf:
        newest = self.known[-1].version

        def version_of(order: Order) -> tuple[Programme | None, int]:
            last = judged_with.get(order.order_id, newest)
            known = self.known if last == newest else [one for one in self.known if one.version <= last]
            return in_force(known, order.occurred_at), last

        return version_of

    def _judged(
        self,
        orders: Sequence[Order],
        version: Programme | None,
        as_it_was: VersionOf,
        past: Past,
    ) -> list[Judgement]:
        def version_of(order: Order) -> tuple[Programme | None, int]:
            if version is None or not self._is_in(order.occurred_at):
                return as_it_was(order)
            return version, version.version

        own = {
            (order.order_id, rule): grant
            for order in orders
            if order.order_id in past.grants and version_of(order)[0] is as_it_was(order)[0]
            for rule, grant in past.grants[order.order_id].items()
        }
        membership = past.memberships.get(orders[0].customer_id, NOWHERE)
        return fold(orders, version_of, self.zone, Pools(own), membership)[1]

    def _tier(self, version: Programme | None, judgements: Sequence[Judgement]) -> str:
        if version is None or not version.tiers:
            return NO_TIER
        counted = [
            each.award for each in judgements if each.award.currency == version.currency and each.award.net_minor
        ]
        spends: list[Spend] = [(award.occurred_at, award.net_minor) for award in counted]
        if measures_points(version):
            spends = [(award.occurred_at, award.net_minor, award.points) for award in counted]
        return Ladder(version, spends).at(self.trial.until) or NO_TIER


def not_applied(body: dict[str, Any]) -> list[str]:
    """JSON pointers of what a posted body asks for and a backtest leaves out: what is never about a purchase, and the
    limits that all customers share, since who came first under other rules can't be known."""
    rules = enumerate(body.get("rules", ()))
    shared = [f"/rules/{n}/cap" for n, rule in rules if (rule.get("cap") or {}).get("scope") == "programme"]
    occasions = [
        f"/rules/{n}" for n, rule in enumerate(body.get("rules", ())) if is_occasion(rule) or is_referral(rule)
    ]
    return [*not_yet_evaluated(body), *occasions, *shared, *(["/budget"] if body.get("budget") else [])]


def month_of(at: datetime, zone: ZoneInfo) -> str:
    """The calendar month of the house's zone: ``2026-11``."""
    return f"{at.astimezone(zone):%Y-%m}"
