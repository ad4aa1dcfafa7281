"""What merges by rule stand on: an address that files have in common, verified in either."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import datetime

import msgspec

from services.profile.identities import store
from shared.db import Tx

_ADDRESSES = frozenset({"email", "phone"})
"""The keys that files carry, so that they may lose them. A card is one customer's: a merge by it stands on the word of
who brought it to the other."""


class Edge(msgspec.Struct, frozen=True):
    """A merge that stands; ``verified``: by which kinds of key a rule made it, none of one that somebody made."""

    merge_id: str
    from_id: str
    into_id: str
    merged_at: datetime
    verified: tuple[str, ...]


class Grounds(msgspec.Struct, frozen=True):
    """The merges of some persons, and which of their ids have a verified address in common."""

    edges: tuple[Edge, ...] = ()
    shared: tuple[tuple[str, str], ...] = ()

    @property
    def by_address(self) -> list[Edge]:
        """The merges that a rule made because of an address."""
        return [edge for edge in self.edges if edge.verified and _ADDRESSES.issuperset(edge.verified)]

    def baseless(self, merges: Collection[str]) -> set[str]:
        """Which of these merges join two whom neither an address nor any other merge joins.

        Not a merge's own two files tell: of three a rule may join the second to the first, and the third by what the
        second has, so that all of them are one as long as the chain of addresses holds."""
        others = ((edge.from_id, edge.into_id) for edge in self.edges if edge.merge_id not in merges)
        into = _joined([*self.shared, *others])
        return {
            edge.merge_id
            for edge in self.edges
            if edge.merge_id in merges and _root(into, edge.from_id) != _root(into, edge.into_id)
        }

    def persons(self) -> dict[str, str]:
        """Of each id one that is the same for all ids of a person."""
        into = _joined((edge.from_id, edge.into_id) for edge in self.edges)
        return {one: _root(into, one) for edge in self.edges for one in (edge.from_id, edge.into_id)}


async def grounds(tx: Tx, ids: Iterable[str]) -> Grounds:
    """Of all ids of some persons, whose groups nobody changes meanwhile."""
    wanted = sorted(set(ids))
    edges = [msgspec.convert(dict(row), Edge) for row in await store.edges(tx, wanted)] if wanted else []
    if not any(edge.verified for edge in edges):
        return Grounds(tuple(edges))
    holders: dict[tuple[str, bytes], list[str]] = defaultdict(list)
    for customer, kind, digest in await store.verified(tx, wanted, sorted(_ADDRESSES)):
        holders[kind, digest].append(customer)
    shared = tuple((his[0], other) for his in holders.values() for other in his[1:])
    return Grounds(tuple(edges), shared)


def _joined(links: Iterable[tuple[str, str]]) -> dict[str, str]:
    into: dict[str, str] = {}
    for one, other in links:
        first, second = _root(into, one), _root(into, other)
        if first != second:
            into[first] = second
    return into


def _root(into: dict[str, str], one: str) -> str:
    while one in into:
        one = into[one]
    return one
