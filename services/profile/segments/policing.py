"""The numbers that place everybody: their versions, another one, and who would move by it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import msgspec

from services.profile.policies import application as policies
from services.profile.policies.domain import ClassPolicy, LifecyclePolicy, Policies, ValuePolicy
from services.profile.purchases.domain import House
from services.profile.segments import catalogue, store
from services.profile.segments.catalogue import Movers, Preview
from services.profile.segments.domain import OUT, Segment, class_on
from services.profile.segments.facts import Book
from shared.clock import Clock
from shared.db import Database, Tx

Name = Literal["lifecycle", "value", "class"]
Numbers = LifecyclePolicy | ValuePolicy | ClassPolicy


@dataclass(frozen=True, slots=True)
class Policing:
    """The use cases. A policy is named as the built-in segment that it decides."""

    db: Database
    clock: Clock
    house: House

    async def versions(self, tx: Tx, name: Name) -> list[tuple[Numbers, datetime]]:
        """The newest first, each with its number, and when it was written."""
        found = await policies.versions(tx, name)
        return [(numbers, at) for numbers, at in found if isinstance(numbers, Numbers)]

    async def change(self, tx: Tx, name: Name, numbers: Numbers, require: Callable[[int], None]) -> int:
        """Puts the next version in force and has everybody placed again, by it and by own rules that ask for its
        class; answers its number. The same numbers are no new version. Raises what ``require`` raises."""
        await store.turn(tx)
        before, _ = (await self.versions(tx, name))[0]
        require(before.version)
        if msgspec.structs.replace(numbers, version=before.version) == before:
            return before.version
        version = await policies.put(tx, name, numbers)
        now = self.clock.now()
        reading = [segment.name for segment in await catalogue.own(tx) if name in segment.reads]
        for segment in (name, *reading):
            await store.start(tx, segment, now)
        return version

    async def preview(self, name: Name, numbers: Numbers) -> Preview:
        """Who would stand elsewhere by these numbers than by those in force, of today's facts; writes nothing."""
        segment = Segment(name, 1)
        movers = Movers()
        async for people, _, book in catalogue.everybody(self.db, self.house):
            today = self.house.day(self.clock.now())
            other = Book(_with(book.policies, name, numbers), self.house)
            for customer, person in people.items():
                before, after = (class_on(person, segment, one, today) or OUT for one in (book, other))
                movers.see(customer, before, after)
        return movers.preview()


def _with(policies: Policies, name: Name, numbers: Numbers) -> Policies:
    found: Policies = msgspec.structs.replace(policies, **{"classes" if name == "class" else name: numbers})
    return found
