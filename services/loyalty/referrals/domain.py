"""A referral: somebody's first purchase with somebody else's code. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Literal

import msgspec

from services.loyalty.programmes.rules import Period, name_of
from shared.contracts.orders import Order

Verdict = Literal[
    "no-code", "cancelled", "unknown-code", "self-referral", "bought-before", "loop", "returned",
]  # fmt: skip
Reason = Literal[Verdict, "limit-reached"]
State = Literal["pending", "qualified", "refused"]
ERASED = "erased"
"""What an erasure leaves of a code on an order: that there was one."""


class Limit(msgspec.Struct, frozen=True):
    """How many referrals one person is rewarded for in a calendar period of the house's zone."""

    count: int
    per: Period


class ReferralRule(msgspec.Struct, frozen=True):
    """What both sides are given."""

    id: str
    referrer: int
    referee: int
    limit: Limit | None = None


class Edge(msgspec.Struct, frozen=True):
    """A first purchase that leads from one person to another, each by the id that answers for him."""

    order_id: str
    ordered_at: datetime
    referee: str
    referrer: str

    @property
    def sort_key(self) -> tuple[datetime, str]:
        """The order in which referrals count."""
        return self.ordered_at, self.order_id


class Counted(msgspec.Struct, frozen=True):
    """A referral that nothing but a limit is against. ``day``: of the house; ``limit``: of the version that judges
    it."""

    order_id: str
    ordered_at: datetime
    day: date
    limit: Limit | None


def was_bought(order: Order) -> bool:
    """Whether it counts as a purchase: what was given back was bought all the same, what was cancelled never was."""
    return bool(order.lines) and order.cancelled_at is None


def judge(order: Order, referee: str, referrer: str | None, of_person: Iterable[Order]) -> Verdict | None:
    """What its own facts say against a referral; None: nothing.

    ``referee`` and ``referrer`` are the ids that answer for both persons, None where nobody has the code; ``of_person``
    are all orders of the referee under all his ids.
    """
    if order.referral_code is None:
        return "no-code"
    if not was_bought(order):
        return "cancelled"
    if referrer is None:
        return "unknown-code"
    if referrer == referee:
        return "self-referral"
    first = min((one for one in of_person if was_bought(one)), key=lambda one: one.sort_key)
    if first.order_id != order.order_id:
        return "bought-before"
    return None if order.counts else "returned"


def is_edge(verdict: Verdict | None) -> bool:
    """Whether a referral with this verdict led from one person to another: also one that was given back."""
    return verdict in (None, "returned")


def circle(edge: Edge, leading_on: Mapping[str, Edge]) -> list[Edge]:
    """The referrals that close a circle with this one, itself among them, by their order; none where none do.

    ``leading_on``: by referee, as far as they lead from its referrer. Everybody has one first purchase, so there is one
    way at the most. The last of a circle is the one that is refused.
    """
    passed, at = [edge], edge.referrer
    seen = {edge.referee}
    while at not in seen:
        seen.add(at)
        following = leading_on.get(at)
        if following is None:
            return []
        passed.append(following)
        at = following.referrer
    return sorted(passed, key=lambda one: one.sort_key) if at == edge.referee else []


def over_limit(referrals: Iterable[Counted]) -> set[str]:
    """Of one person's referrals those that come after as many in their period as the limit lets him have."""
    listed = sorted(referrals, key=lambda one: (one.ordered_at, one.order_id))
    asked = {one.limit.per for one in listed if one.limit}
    taken: Counter[tuple[Period, str]] = Counter()
    over = set()
    for one in listed:
        if one.limit and taken[one.limit.per, name_of(one.limit.per, one.day)] >= one.limit.count:
            over.add(one.order_id)
            continue
        taken.update((per, name_of(per, one.day)) for per in asked)
    return over


def is_referral(fields: Mapping[str, Any]) -> bool:
    """Whether a rule as it was posted is about referrals, and says what they give."""
    return bool(fields["on"] == "referral" and fields["effect"].keys() & {"referrer", "referee"})


def read_referral(listed: Sequence[Mapping[str, Any]]) -> ReferralRule | None:
    """The rule on referrals of a stored version."""
    for fields in listed:
        if is_referral(fields):
            effect, limit = fields["effect"], fields.get("limit")
            return ReferralRule(
                id=fields["id"],
                referrer=effect.get("referrer", {}).get("bonus", 0),
                referee=effect.get("referee", {}).get("bonus", 0),
                limit=Limit(limit["count"], limit["per"]) if limit else None,
            )
    return None
