"""Finding who may be one person, as files change; and joining those of whom a verified key says so.

Nobody is compared with everybody: only with whom he shares an address, a birthday and an initial, or a word of his
name, and not where too many do (blocking: Fellegi and Sunter, 1969; Christen, 2012).
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
import structlog

from services.profile.customers.application import Customers
from services.profile.duplicates import store
from services.profile.duplicates.domain import (
    NOBODY,
    Addresses,
    Candidate,
    Pair,
    Suggestion,
    candidate,
    compared,
    differ,
    likeness,
    score,
    slips,
)
from services.profile.duplicates.names import blocks, initials, written
from services.profile.duplicates.store import File, Kept, Key
from services.profile.identities.application import Identities, persons
from services.profile.identities.domain import NotByRule, Rule
from services.profile.policies import application as policies
from services.profile.policies.domain import MergingPolicy, SimilarityPolicy
from shared.clock import Clock
from shared.db import Database, Tx
from shared.messaging import merges
from shared.messaging.merges import Groups
from shared.service import Wake

log = structlog.get_logger()
BATCH = 1000


class Compared(msgspec.Struct, frozen=True):
    """Of how many persons how many pairs were compared, and how many were kept as suggestions."""

    persons: int
    pairs: int
    suggested: int


@dataclass(frozen=True, slots=True)
class Matching:
    """The work of the job: in batches, each a transaction of its own."""

    db: Database
    clock: Clock
    customers: Customers
    identities: Identities
    wake: Wake

    async def run(self) -> int:
        """Compares whose file or group changed, and joins whom the rules join; answers how many were compared."""
        done = 0
        while True:
            found = await self.match()
            done += found.persons
            if not await self._join() and not found.persons:
                return done

    async def next_due(self) -> datetime | None:
        """Now where somebody is marked or a pair is to be joined."""
        async with self.db.transaction() as tx:
            return self.clock.now() if await store.waiting(tx) else None

    async def match(self) -> Compared:
        """Compares everybody who is marked, joining nobody."""
        total = Compared(0, 0, 0)
        while (found := await self._batch()).persons:
            total = Compared(
                total.persons + found.persons, total.pairs + found.pairs, total.suggested + found.suggested
            )
        return total

    async def _batch(self) -> Compared:
        async with self.db.transaction() as tx:
            await store.turn(tx)
            marked = await store.take(tx, BATCH)
            if not marked:
                return Compared(0, 0, 0)
            policy, merging = await policies.similarity(tx), await policies.merging(tx)
            groups = await merges.groups_of(tx, marked)
            members = _members(groups, marked)
            keys = await self._keys(tx, members, groups)
            crowded = await store.put_keys(tx, members, keys, policy.crowd)
            wanted = {groups.survivor(customer) for customer in marked} | crowded
            pairs, kept = await self._compared(tx, wanted, policy, merging)
            await store.replace(tx, members | wanted, kept, policy.version)
        return Compared(len(marked), pairs, len(kept))

    async def _keys(self, tx: Tx, members: Collection[str], groups: Groups) -> list[Key]:
        """What persons are found by, under the ids that answer for them."""
        index = await self.customers.vault.index(tx)
        found: dict[tuple[str, int, str], bool] = {}
        for address in await store.addresses(tx, members):
            place = (address.kind, _number(address.digest), groups.survivor(address.customer_id))
            found[place] = found.get(place, False) or address.verified
        for file in await store.files(tx, members):
            for kind, text in _words(file):
                found[kind, _number(index.digest(kind, text)), groups.survivor(file.customer_id)] = False
        return [Key(*place, verified) for place, verified in found.items()]

    async def _compared(
        self, tx: Tx, wanted: Collection[str], policy: SimilarityPolicy, merging: MergingPolicy
    ) -> tuple[int, list[Kept]]:
        """How many pairs were compared, and those that are worth a look."""
        pairs = await store.pairs(tx, wanted, policy.crowd, policy.block)
        groups = await merges.groups_of(tx, {one for pair in pairs for one in pair[:2]} | {*wanted})
        candidates = await self._candidates(tx, groups, pairs)
        two = await store.rejected(tx, _members(groups, wanted))
        kept: list[Kept] = []
        unsure: list[tuple[str, str]] = []
        for first, second, shared, verified in pairs:
            one, other = candidates[first], candidates[second]
            # Nearly everybody ends here: without an address in common names must be alike.
            if not shared and not likeness(one, other, policy):
                continue
            if (first, second) in two or (one.kinds and other.kinds and not one.kinds & other.kinds):
                continue
            evidence = compared(one, other, {kind: kind in verified for kind in shared}, policy)
            points = score(one, other, evidence, policy)
            by_rule = merging.on and any(kind in merging.kinds for kind in verified)
            if points >= policy.suggest or by_rule:
                kept.append(Kept(Suggestion(first, second, points, tuple(evidence)), by_rule))
            elif not shared and not differ(one, other):
                unsure.append((first, second))
        return len(pairs), kept + await self._slips(tx, unsure, candidates, groups, policy)

    async def _candidates(self, tx: Tx, groups: Groups, pairs: Sequence[Pair]) -> dict[str, Candidate]:
        """Persons as they are compared, of all their files."""
        who = {one for pair in pairs for one in pair[:2]}
        found: dict[str, Candidate] = {}
        for file in await store.files(tx, _members(groups, who)):
            survivor, one = groups.survivor(file.customer_id), candidate(file.name, file.birthday, file.kind)
            found[survivor] = found[survivor].joined(one) if survivor in found else one
        return {one: found.get(one, NOBODY) for one in who}

    async def _slips(
        self,
        tx: Tx,
        unsure: Sequence[tuple[str, str]],
        candidates: Mapping[str, Candidate],
        groups: Groups,
        policy: SimilarityPolicy,
    ) -> list[Kept]:
        """Of pairs with like names those whose phones or addresses differ by a slip; only theirs are opened."""
        kept = []
        for start in range(0, len(unsure), BATCH):
            some = unsure[start : start + BATCH]
            written_as = await self._addresses(tx, {one for pair in some for one in pair}, groups)
            for first, second in some:
                one, other = candidates[first], candidates[second]
                if found := slips(written_as[first], written_as[second], policy):
                    evidence = [*compared(one, other, {}, policy), *found]
                    if (points := score(one, other, evidence, policy)) >= policy.suggest:
                        kept.append(Kept(Suggestion(first, second, points, tuple(evidence)), by_rule=False))
        return kept

    async def _addresses(self, tx: Tx, who: Collection[str], groups: Groups) -> dict[str, Addresses]:
        phones: dict[str, list[str]] = defaultdict(list)
        posts: dict[str, list[str]] = defaultdict(list)
        members = sorted(_members(groups, who))
        for file in await self.customers.find_all(tx, members):
            for point in file.contact_points:
                if point.kind in ("phone", "post"):
                    held = phones if point.kind == "phone" else posts
                    held[groups.survivor(file.customer_id)].append(point.value)
        return {one: Addresses(tuple(phones[one]), tuple(posts[one])) for one in who}

    async def _join(self) -> bool:
        """Looks at one pair by the rules of merging; False where none is left."""
        async with self.db.transaction() as tx:
            policy = await policies.merging(tx)
            pair = await store.to_join(tx)
            if pair is None:
                return False
            await merges.hold(tx)
            who = await persons(tx, pair)
            one, other = who[pair[0]], who[pair[1]]
            # The file may have changed since they were compared.
            verified: list[str] = []
            if policy.on:
                crowd = (await policies.similarity(tx)).crowd
                verified = await store.verified_in_both(tx, one.ids, other.ids, policy.kinds, crowd)
            if verified:
                try:
                    await self.identities.merge_by_rule(tx, pair, Rule(policy.version, tuple(verified)))
                except NotByRule as refused:
                    log.info("merging.refused", first=pair[0], second=pair[1], why=refused.why)
            await store.decided(tx, pair)
        self.wake()
        return True


def _words(file: File) -> Iterator[tuple[str, str]]:
    """What a file is found by beside its addresses, as (kind, text)."""
    name = written(file.name or "")
    for word in blocks(name):
        yield "name", word
    if file.birthday:
        for initial in initials(name):
            yield "birthday", f"{msgspec.json.encode(file.birthday).decode()} {initial}"


def _number(digest: bytes) -> int:
    return int.from_bytes(digest[:8], signed=True)


def _members(groups: Groups, who: Iterable[str]) -> set[str]:
    """All ids of these persons."""
    return {member for one in who for member in (groups.members(one) if groups.is_joined(one) else (one,))}
