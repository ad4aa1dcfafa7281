"""Where a customer was when: what profile has said of his segments, with the instants that it is about."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

IN, OUT = "in", "out"

Place = tuple[str, str]
"""A segment and a class of it."""

Change = tuple[int, datetime, str]
"""What profile said of a customer's place in a segment: with which number, from when on, and which class."""


def place_of(name: str) -> Place:
    """``lifecycle:dormant``, or ``regulars`` of the shop's own."""
    segment, _, within = name.partition(":")
    return segment, within or IN


class Membership:
    """What was said of one customer, by segment, in whatever order it was heard of."""

    def __init__(self, changes: Mapping[str, Iterable[Change]] | None = None) -> None:
        self._changes: dict[str, Sequence[Change]] = {
            segment: sorted(said, reverse=True) for segment, said in (changes or {}).items()
        }

    def is_in_any(self, places: Iterable[Place], at: datetime) -> bool:
        """Whether he was in one of these places just before an instant: what a purchase itself leads to is after it.

        Of what was said of the time up to then that with the highest number stands.
        """
        return any(self._class(segment, at) == within for segment, within in places)

    def _class(self, segment: str, at: datetime) -> str:
        return next((within for _, since, within in self._changes.get(segment, ()) if since < at), OUT)


NOWHERE = Membership()
