"""Profile's policies: versioned rows of numbers that a shop may set, none of them constants in code."""

from itertools import pairwise

import msgspec

FALLBACK_CURRENCY = "*"


class RfmCutPoints(msgspec.Struct, frozen=True):
    """Four rising cut-points each: recency in days (less is better), orders, spend in major units by currency."""

    recency_days: tuple[int, int, int, int]
    orders: tuple[int, int, int, int]
    spend: dict[str, tuple[int, int, int, int]]
    version: int = 0

    def __post_init__(self) -> None:
        if FALLBACK_CURRENCY not in self.spend:
            raise ValueError(f"spend needs cut-points under {FALLBACK_CURRENCY!r} for currencies not named")
        for points in (self.recency_days, self.orders, *self.spend.values()):
            if any(low >= high for low, high in pairwise(points)):
                raise ValueError(f"cut-points rise: {points}")


class LifecyclePolicy(msgspec.Struct, frozen=True):
    """When a customer changes stage, in whole days of the house's zone; see ``purchases.lifecycle``."""

    new_days: int
    mature_days: int
    mature_purchase_days: int
    dormant_days: int
    lost_days: int
    returned_days: int
    rhythm_purchase_days: int
    dormant_gaps: int
    lost_gaps: int
    shortest_dormant_days: int
    shortest_lost_days: int
    version: int = 0

    def __post_init__(self) -> None:
        if min(getattr(self, name) for name in self.__struct_fields__ if name != "version") < 1:
            raise ValueError("every number of days, gaps and purchases is 1 or more")
        if self.rhythm_purchase_days < 2:
            raise ValueError("a rhythm needs 2 purchase days or more")
        if self.dormant_days >= self.lost_days or self.dormant_gaps >= self.lost_gaps:
            raise ValueError("a customer is dormant before he is lost")
        if self.shortest_dormant_days >= self.shortest_lost_days:
            raise ValueError("a customer is dormant before he is lost")


class ConsentPolicy(msgspec.Struct, frozen=True):
    """Purposes that need no consent where there is an address, unless it was withdrawn."""

    granted_by_default: tuple[str, ...]
    version: int = 0


class Policies(msgspec.Struct, frozen=True):
    """The newest version of each."""

    rfm: RfmCutPoints
    lifecycle: LifecyclePolicy
    consent: ConsentPolicy
