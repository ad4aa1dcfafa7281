"""Two files that may be one person's, and what speaks for it."""

from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Literal

import msgspec

from shared.contracts.customers import Birthday

SIMILAR = 0.8
"""From this similarity on two names are evidence."""
CROWD = 5
"""An address that more customers share, a hotline or a company's, is evidence of nothing."""

Field = Literal["email", "phone", "messaging", "name", "birthday"]


class Evidence(msgspec.Struct, frozen=True):
    """A field that agrees; ``similarity`` is 1 where it is the same."""

    field: Field
    similarity: float


class Candidate(msgspec.Struct, frozen=True):
    """A customer as far as he is compared."""

    customer_id: str
    name: str | None
    birthday: Birthday | None


class Suggestion(msgspec.Struct, frozen=True):
    """A pair that shares an address, ``first`` having the lower id, and everything that speaks for it."""

    first: Candidate
    second: Candidate
    evidence: tuple[Evidence, ...]


def suggestion(first: Candidate, second: Candidate, shared: Sequence[Field]) -> Suggestion:
    """The pair with its evidence. ``shared``: the kinds of address that both have the same one of."""
    evidence = [Evidence(field, 1.0) for field in sorted(shared)]
    if (similarity := alike(first.name, second.name)) >= SIMILAR:
        evidence.append(Evidence("name", similarity))
    if first.birthday is not None and first.birthday == second.birthday:
        evidence.append(Evidence("birthday", 1.0))
    return Suggestion(first, second, tuple(evidence))


def alike(one: str | None, other: str | None) -> float:
    """The similarity of two names, 0 to 1, to 2 places, whatever the case and the order of their words.

    2 M / T, with M the characters in matching blocks and T those of both (Ratcliff and Metzener, 1988). The same
    whichever comes first.
    """
    if not one or not other:
        return 0.0
    left, right = sorted(" ".join(sorted(name.casefold().split())) for name in (one, other))
    return round(SequenceMatcher(None, left, right, autojunk=False).ratio(), 2)
