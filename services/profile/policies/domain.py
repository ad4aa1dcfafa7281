"""Profile's policies: versioned rows of numbers that a shop may set, none of them constants in code."""

from itertools import pairwise
from typing import Literal, get_args

import msgspec

FALLBACK_CURRENCY = "*"


class Contradiction(ValueError):
    """Numbers of a policy that can't hold together; ``field`` is the one to mend first."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class RfmCutPoints(msgspec.Struct, frozen=True):
    """Four rising cut-points each: recency in days (less is better), orders, spend in major units by currency."""

    recency_days: tuple[int, int, int, int]
    orders: tuple[int, int, int, int]
    spend: dict[str, tuple[int, int, int, int]]
    version: int = 0

    def __post_init__(self) -> None:
        if FALLBACK_CURRENCY not in self.spend:
            raise Contradiction("spend", f"cut-points are needed under {FALLBACK_CURRENCY!r} for currencies not named")
        named = [("recency_days", self.recency_days), ("orders", self.orders)]
        for field, points in (*named, *(("spend", points) for points in self.spend.values())):
            if any(low >= high for low, high in pairwise(points)):
                raise Contradiction(field, f"cut-points rise: {points}")


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
        for name in self.__struct_fields__:
            if name != "version" and getattr(self, name) < 1:
                raise Contradiction(name, "every number of days, gaps and purchases is 1 or more")
        if self.rhythm_purchase_days < 2:
            raise Contradiction("rhythm_purchase_days", "a rhythm needs 2 purchase days or more")
        for dormant, lost in (
            ("dormant_days", "lost_days"), ("dormant_gaps", "lost_gaps"),
            ("shortest_dormant_days", "shortest_lost_days"),
        ):  # fmt: skip
            if getattr(self, dormant) >= getattr(self, lost):
                raise Contradiction(dormant, f"a customer is dormant before he is lost: {dormant} is below {lost}")


class ValuePolicy(msgspec.Struct, frozen=True):
    """When a customer contributes much and steadily, and when a prospect may; see ``segments.value``.

    Money in major units by currency, of a month, a quarter, an order: ``volumes_reached`` of the three make a high
    contribution. ``intent``: the weight of each kind of activity within ``intent_days``.
    """

    monthly: dict[str, int]
    quarterly: dict[str, int]
    order: dict[str, int]
    volumes_reached: int
    stable_purchase_days: int
    stable_gap_days: int
    expected: dict[str, int]
    intent: dict[str, int]
    intent_days: int
    intent_reached: int
    version: int = 0

    def __post_init__(self) -> None:
        for volume in ("monthly", "quarterly", "order", "expected"):
            if FALLBACK_CURRENCY not in getattr(self, volume):
                raise Contradiction(volume, f"a number is needed under {FALLBACK_CURRENCY!r} for currencies not named")
        if not 1 <= self.volumes_reached <= 3:
            raise Contradiction("volumes_reached", "of three volumes 1 to 3 are to be reached")
        if self.stable_purchase_days < 2:
            raise Contradiction("stable_purchase_days", "a rhythm needs 2 purchase days or more")
        for number in ("stable_gap_days", "intent_days", "intent_reached"):
            if getattr(self, number) < 1:
                raise Contradiction(number, "1 or more")


class ClassPolicy(msgspec.Struct, frozen=True):
    """The rfm scores that make a VIP, each at least; who has bought and isn't one is regular."""

    vip_recency: int
    vip_frequency: int
    vip_monetary: int
    version: int = 0

    def __post_init__(self) -> None:
        for score in ("vip_recency", "vip_frequency", "vip_monetary"):
            if not 1 <= getattr(self, score) <= 5:
                raise Contradiction(score, "a score is 1 to 5")


class ConsentPolicy(msgspec.Struct, frozen=True):
    """Purposes that need no consent where there is an address, unless it was withdrawn."""

    granted_by_default: tuple[str, ...]
    version: int = 0

    def __post_init__(self) -> None:
        if len(set(self.granted_by_default)) < len(self.granted_by_default):
            raise Contradiction("granted_by_default", "each purpose is named once")


StrongKind = Literal["email", "phone", "member-number", "card"]
Comparable = Literal["email", "phone", "messaging", "post", "name", "birthday"]


class MergingPolicy(msgspec.Struct, frozen=True):
    """Whether two files that have a key of one of these kinds in common, verified in both, are joined by themselves."""

    on: bool
    kinds: tuple[StrongKind, ...]
    version: int = 0


class SimilarityPolicy(msgspec.Struct, frozen=True):
    """When two files are suggested as one person's; see ``duplicates.domain``.

    Each field that agrees adds its weight times its similarity, birthdays that differ take ``other_birthday`` off; from
    ``suggest`` points on the pair is shown. From ``similar`` per cent on two names, phones or addresses agree. An
    address that more than ``crowd`` have is evidence of nothing; a word or birthday that more than ``block`` share
    finds nobody.
    """

    weights: dict[Comparable, int]
    other_birthday: int
    suggest: int
    similar: int
    crowd: int
    block: int
    version: int = 0

    def __post_init__(self) -> None:
        if set(self.weights) != set(get_args(Comparable)):
            raise Contradiction("weights", f"every field has a weight: {', '.join(get_args(Comparable))}")
        if min(self.weights.values()) < 0 or max(self.weights.values()) > 100:
            raise Contradiction("weights", "a weight is 0 to 100")
        if self.other_birthday < 0:
            raise Contradiction("other_birthday", "0 or more points are taken off")
        if not 1 <= self.suggest <= 100:
            raise Contradiction("suggest", "1 to 100 points")
        if not 50 <= self.similar <= 100:
            raise Contradiction("similar", "50 to 100 per cent")
        if not 2 <= self.crowd <= self.block <= 100:
            raise Contradiction("crowd", "a crowd begins with 2 or more, a block is no smaller, and at most 100")


class Policies(msgspec.Struct, frozen=True):
    """The newest version of each."""

    rfm: RfmCutPoints
    lifecycle: LifecyclePolicy
    consent: ConsentPolicy
    value: ValuePolicy
    classes: ClassPolicy = msgspec.field(name="class")

    def of(self, segment: str) -> msgspec.Struct:
        """The policy that places customers in a built-in segment."""
        found: msgspec.Struct = getattr(self, "classes" if segment == "class" else segment)
        return found
