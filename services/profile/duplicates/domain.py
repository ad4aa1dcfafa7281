"""Two files that may be one person's, and what speaks for it."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import msgspec
from rapidfuzz import fuzz
from rapidfuzz.distance import OSA

from services.profile.duplicates.names import alike, written
from services.profile.policies.domain import Comparable, SimilarityPolicy
from shared.contracts.customers import Birthday, CustomerKind

SLIPS = 1
"""A phone with so many digits other, more, less or swapped may be the same one."""
SHORTEST_PHONE = 8


class Evidence(msgspec.Struct, frozen=True):
    """A field that agrees. ``similarity`` is 1 where it is the same, ``verified`` where it is so in both files;
    ``points`` is what it adds."""

    field: Comparable
    similarity: float
    points: int
    verified: bool = False


class Candidate(msgspec.Struct, frozen=True):
    """A person as far as he is compared: names (as ``written``) and birthdays of all his files, and what they say he
    is."""

    names: tuple[str, ...] = ()
    birthdays: frozenset[Birthday] = frozenset()
    kinds: frozenset[CustomerKind] = frozenset()

    def joined(self, other: "Candidate") -> "Candidate":
        """The person of both."""
        names = tuple(sorted({*self.names, *other.names}))
        return Candidate(names, self.birthdays | other.birthdays, self.kinds | other.kinds)


NOBODY = Candidate()


def candidate(name: str | None, birthday: Birthday | None, kind: CustomerKind | None) -> Candidate:
    """Who is known by one file."""
    return Candidate(
        (written(name),) if name else (),
        frozenset((birthday,)) if birthday else NOBODY.birthdays,
        frozenset((kind,)) if kind else NOBODY.kinds,
    )


class Pair(NamedTuple):
    """Two who may be one, ``first`` having the lower id: of which kinds they have the same address, and of which it is
    verified in both."""

    first: str
    second: str
    shared: Sequence[Comparable]
    verified: Sequence[str]


class Addresses(msgspec.Struct, frozen=True):
    """What of a person's addresses may differ by a slip of the pen."""

    phones: tuple[str, ...] = ()
    posts: tuple[str, ...] = ()


class Suggestion(msgspec.Struct, frozen=True):
    """A pair, ``first`` having the lower id, everything that speaks for it, and how much: up to 100 points."""

    first: str
    second: str
    score: int
    evidence: tuple[Evidence, ...]


class Listed(msgspec.Struct, frozen=True):
    """A suggestion with the names of both."""

    suggestion: Suggestion
    first_name: str | None
    second_name: str | None


def compared(
    first: Candidate, second: Candidate, shared: Mapping[Comparable, bool], policy: SimilarityPolicy
) -> list[Evidence]:
    """What agrees. ``shared``: the kinds of address that both have the same one of, and whether it is verified in both.

    Names are compared in every spelling that the files have.
    """
    found = [_evidence(kind, 1.0, policy, shared[kind]) for kind in sorted(shared)]
    if similarity := likeness(first, second, policy):
        found.append(_evidence("name", similarity, policy))
    if first.birthdays & second.birthdays:
        found.append(_evidence("birthday", 1.0, policy))
    return found


def likeness(first: Candidate, second: Candidate, policy: SimilarityPolicy) -> float:
    """How alike their names are, 0 to 1; 0 where that is less than the policy asks for."""
    return max((alike(one, other, policy.similar) for one in first.names for other in second.names), default=0.0)


def slips(first: Addresses, second: Addresses, policy: SimilarityPolicy) -> list[Evidence]:
    """Phones that differ by one slip (optimal string alignment: Damerau, 1964) and addresses that read alike."""
    phones = [
        1 - SLIPS / max(len(one), len(other))
        for one in first.phones
        for other in second.phones
        if min(len(one), len(other)) >= SHORTEST_PHONE and OSA.distance(one, other, score_cutoff=SLIPS) <= SLIPS
    ]
    posts = [
        fuzz.token_sort_ratio(written(one), written(other), score_cutoff=policy.similar) / 100
        for one in first.posts
        for other in second.posts
    ]
    found: list[tuple[Comparable, float]] = [("phone", max(phones, default=0.0)), ("post", max(posts, default=0.0))]
    return [_evidence(field, round(similarity, 2), policy) for field, similarity in found if similarity]


def score(first: Candidate, second: Candidate, evidence: Collection[Evidence], policy: SimilarityPolicy) -> int:
    """The points of a pair, 0 to 100."""
    points = sum(one.points for one in evidence) - (policy.other_birthday if differ(first, second) else 0)
    return max(0, min(100, points))


def differ(first: Candidate, second: Candidate) -> bool:
    """Whether both have birthdays, and none in common."""
    return bool(first.birthdays and second.birthdays and not first.birthdays & second.birthdays)


def _evidence(field: Comparable, similarity: float, policy: SimilarityPolicy, verified: bool = False) -> Evidence:
    return Evidence(field, similarity, round(policy.weights[field] * similarity), verified)
