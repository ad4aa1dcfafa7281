"""The shop's own segments: their rules by version, and who would move by another one."""

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

import msgspec

from services.profile.attributes import application as attributes
from services.profile.policies.application import in_force
from services.profile.purchases.domain import House
from services.profile.segments import rule_store, store
from services.profile.segments.domain import BUILT_IN, OUT, Placement, Segment, built_in, class_on, of_label
from services.profile.segments.facts import ATTRIBUTE, Book, Known
from services.profile.segments.reading import known_of
from services.profile.segments.rules import Rule, read_rule
from shared.clock import Clock
from shared.db import Database, Tx
from shared.messaging import merges

MOST_OWN = 100
EXAMPLES = 20
_PAGE = 1000


class Definition(msgspec.Struct, frozen=True):
    """A version of an own segment; ``rule`` as it was written."""

    name: str
    version: int
    title: str | None
    rule: dict[str, Any]
    created_at: datetime


class Placed(msgspec.Struct, frozen=True):
    """How far everybody has been placed by a rule that changed."""

    placed: int
    moved: int
    started_at: datetime
    finished_at: datetime | None


class Member(msgspec.Struct, frozen=True):
    """Who stands in a class, since when, and when time alone changes it."""

    customer_id: str
    since: datetime
    next_transition_at: datetime | None


class SegmentExists(Exception):
    """There is a segment of this name: a built-in one, or the shop's own."""


class TooManySegments(Exception):
    """There are ``MOST_OWN`` already: every customer is held against each."""


class Preview(msgspec.Struct, frozen=True):
    """Who would move: (from, to) -> how many, and some of them. ``examined``: all whose files aren't restricted."""

    examined: int
    counts: Mapping[tuple[str, str], int]
    examples: Mapping[tuple[str, str], list[str]]


@dataclass(slots=True)
class Movers:
    """Who would move, as everybody is looked at in turn."""

    examined: int = 0
    _counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    _examples: dict[tuple[str, str], list[str]] = field(default_factory=lambda: defaultdict(list))

    def see(self, customer: str, before: str, after: str) -> None:
        """Where somebody stands, and where he would."""
        self.examined += 1
        if before != after:
            self._counts[before, after] += 1
            if len(self._examples[before, after]) < EXAMPLES:
                self._examples[before, after].append(customer)

    def preview(self) -> Preview:
        """All who were seen."""
        return Preview(self.examined, self._counts, self._examples)


async def own(tx: Tx) -> list[Segment]:
    """The newest version of each, by name."""
    return [Segment(row["name"], row["version"], _read(row["rule"])) for row in await rule_store.newest(tx)]


async def there_is(tx: Tx, label: str) -> bool:
    """Whether a word as ``labels`` makes them, ``tea`` or ``lifecycle:new``, names a segment that there is."""
    name, _ = of_label(label)
    return name in BUILT_IN or any(segment.name == name for segment in await own(tx))


async def definitions(tx: Tx) -> list[Definition]:
    """The same as they were written."""
    return [
        Definition(row["name"], row["version"], row["title"], msgspec.json.decode(row["rule"]), row["created_at"])
        for row in await rule_store.newest(tx)
    ]


async def everybody(
    db: Database, house: House, reads: frozenset[str] = frozenset()
) -> AsyncIterator[tuple[dict[str, Known], dict[tuple[str, str], Placement], Book]]:
    """Everybody who may be shown, a page a transaction: what is known of them, where they stand, and what is in force.

    Restricted files are left out. Contacts and orders are known where a rule in force asks for them, or a fact of
    ``reads`` is of them.
    """
    after = ""
    while True:
        async with db.transaction() as tx:
            page = await store.shown(tx, after, _PAGE)
            groups = await merges.groups_of(tx, page)
            people = await known_of(tx, page, groups, house, reads)
            stood = await store.placements(tx, page)
            book = Book(await in_force(tx), house)
        if not page:
            return
        yield people, stood, book
        after = page[-1]


@dataclass(frozen=True, slots=True)
class OwnSegments:
    """The use cases of own segments."""

    db: Database
    clock: Clock
    house: House

    async def find(self, tx: Tx, name: str) -> Definition | None:
        """The newest version of an own segment."""
        return next((found for found in await definitions(tx) if found.name == name), None)

    async def listed(self, tx: Tx) -> list[tuple[Segment, Definition | None, Placed | None]]:
        """Every segment by name, built-in ones without a definition, and how far its last change has come."""
        written = {found.name: found for found in await definitions(tx)}
        placed = await store.replacements(tx)
        segments = [*built_in(Book(await in_force(tx), self.house)), *await own(tx)]
        return [
            (one, written.get(one.name), Placed(**placed[one.name]) if one.name in placed else None)
            for one in sorted(segments, key=lambda one: one.name)
        ]

    async def members(self, tx: Tx, name: str, place: str, after: str, limit: int) -> list[Member]:
        """Who stands in a class, by id."""
        return [Member(**row) for row in await store.members(tx, name, place, after, limit)]

    async def create(self, tx: Tx, name: str, title: str | None, rule: dict[str, Any]) -> Definition:
        """The first version; everybody is placed by it soon. Raises InvalidRule, SegmentExists, TooManySegments."""
        read = await _checked(tx, rule)
        await store.turn(tx)
        known = await definitions(tx)
        if name in BUILT_IN or any(found.name == name for found in known):
            raise SegmentExists(name)
        if len(known) >= MOST_OWN:
            raise TooManySegments
        return await self._write(tx, Definition(name, 1, title, rule, self.clock.now()), read)

    async def change(
        self, tx: Tx, name: str, title: str | None, rule: dict[str, Any], require: Callable[[int], None]
    ) -> Definition | None:
        """The next version; None without a first. Raises InvalidRule, and what ``require`` raises of the present one.

        The same again is no new version.
        """
        read = await _checked(tx, rule)
        await store.turn(tx)
        before = await self.find(tx, name)
        if before is None:
            return None
        require(before.version)
        if (before.title, before.rule) == (title, rule):
            return before
        return await self._write(tx, Definition(name, before.version + 1, title, rule, self.clock.now()), read)

    async def preview(self, name: str, rule: dict[str, Any]) -> Preview:
        """Holds everybody against a rule, in pages, and writes nothing. Raises InvalidRule."""
        async with self.db.transaction() as tx:
            segment = Segment(name, 1, await _checked(tx, rule))
        movers = Movers()
        async for people, stood, book in everybody(self.db, self.house, segment.reads):
            today = self.house.day(self.clock.now())
            for customer, person in people.items():
                before = stood.get((customer, name))
                movers.see(customer, before.place if before else OUT, class_on(person, segment, book, today) or OUT)
        return movers.preview()

    async def _write(self, tx: Tx, definition: Definition, read: Rule) -> Definition:
        rule = msgspec.json.encode(definition.rule).decode()
        await rule_store.add(
            tx, definition.name, definition.version, definition.title, rule, definition.created_at, read.reads
        )
        await store.start(tx, definition.name, definition.created_at)
        return definition


async def _checked(tx: Tx, rule: dict[str, Any]) -> Rule:
    """The rule, its values of the types that its attributes are declared of. Raises InvalidRule."""
    named = [fact.removeprefix(ATTRIBUTE) for fact in read_rule(rule).reads if fact.startswith(ATTRIBUTE)]
    return read_rule(rule, await attributes.types(tx, named))


@lru_cache(maxsize=1024)
def _read(rule: str) -> Rule:
    return read_rule(msgspec.json.decode(rule))
