"""The classes that a segment may have."""

from collections.abc import Mapping
from itertools import product
from typing import get_args

from services.profile.purchases.lifecycle import STAGES
from services.profile.segments.domain import IN, OUT
from services.profile.segments.value import ValueClass

_CLASSES: Mapping[str, frozenset[str]] = {
    "lifecycle": frozenset(STAGES),
    "rfm": frozenset("-".join(scores) for scores in product("12345", repeat=3)),
    "value": frozenset(get_args(ValueClass)),
    "class": frozenset({"prospect", "regular", "vip"}),
}
_OWN = frozenset({IN, OUT})


def has_class(segment: str, place: str) -> bool:
    """Whether anybody can be in this class of a segment: of a built-in one, or of one of the shop's own."""
    return place in _CLASSES.get(segment, _OWN)
