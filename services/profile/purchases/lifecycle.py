"""The stage of a customer's life as a buyer, from his purchase days alone.

A pure function of facts and today, so it needs no event to change. From ``rhythm_purchase_days`` on a customer is
measured against his own mean gap, before that against the policy's days.
"""

from datetime import date, timedelta
from typing import Literal, get_args

from services.profile.policies.domain import LifecyclePolicy
from services.profile.purchases.domain import Purchases

Stage = Literal["prospect", "new", "active", "mature", "dormant", "lost", "returned"]
STAGES: tuple[Stage, ...] = get_args(Stage)


def stage(purchases: Purchases, policy: LifecyclePolicy, today: date) -> Stage:
    """The stage on a day of the house's zone.

    lost and dormant: silent for so many days; returned: the last purchase ended a dormancy, less than
    ``returned_days`` ago; new: the first purchase is less than ``new_days`` old; mature: so long a customer, with so
    many purchase days; active: the others. An order dated ahead counts as today's.
    """
    first, previous, last = purchases.first_day, purchases.previous_day, purchases.last_day
    if first is None or last is None:
        return "prospect"
    idle = (today - last).days
    dormant, lost = _limits((last - first).days, purchases.days, policy)
    if idle >= lost:
        return "lost"
    if idle >= dormant:
        return "dormant"
    if previous is not None and idle < policy.returned_days:
        dormant_then, _ = _limits((previous - first).days, purchases.days - 1, policy)
        if (last - previous).days >= dormant_then:
            return "returned"
    tenure = (today - first).days
    if tenure < policy.new_days:
        return "new"
    if tenure >= policy.mature_days and purchases.days >= policy.mature_purchase_days:
        return "mature"
    return "active"


def turning_days(purchases: Purchases, policy: LifecyclePolicy) -> tuple[date, ...]:
    """The days on which the stage may change without any event: between them it can't."""
    first, last = purchases.first_day, purchases.last_day
    if first is None or last is None:
        return ()
    dormant, lost = _limits((last - first).days, purchases.days, policy)
    ends = ((first, policy.new_days), (first, policy.mature_days), (last, policy.returned_days))
    return tuple(day + timedelta(days) for day, days in (*ends, (last, dormant), (last, lost)))


def _limits(span: int, days: int, policy: LifecyclePolicy) -> tuple[int, int]:
    """Days of silence until dormant and lost, for ``days`` purchase days over a span of days."""
    if days < policy.rhythm_purchase_days:
        return policy.dormant_days, policy.lost_days
    return (
        max(policy.shortest_dormant_days, _up(policy.dormant_gaps * span, days - 1)),
        max(policy.shortest_lost_days, _up(policy.lost_gaps * span, days - 1)),
    )


def _up(numerator: int, denominator: int) -> int:
    return -(-numerator // denominator)
