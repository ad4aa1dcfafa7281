"""Other numbers that place everybody: what they set off, and who would move by them."""

from dataclasses import dataclass
from typing import Literal

import msgspec

from services.profile.policies.domain import Policies
from services.profile.purchases.domain import House
from services.profile.segments import catalogue, store
from services.profile.segments.catalogue import Movers, Preview
from services.profile.segments.domain import OUT, Segment, class_on
from services.profile.segments.facts import Book
from shared.clock import Clock
from shared.db import Database, Tx

Name = Literal["lifecycle", "value", "class"]


@dataclass(frozen=True, slots=True)
class Policing:
    """The use cases. A policy is named as the built-in segment that it decides."""

    db: Database
    clock: Clock
    house: House

    async def place_again(self, tx: Tx, name: Name) -> None:
        """Has everybody placed by the numbers just put in force, and by own rules that ask for its class."""
        await store.turn(tx)
        now = self.clock.now()
        reading = [segment.name for segment in await catalogue.own(tx) if name in segment.reads]
        for segment in (name, *reading):
            await store.start(tx, segment, now)

    async def preview(self, name: Name, numbers: msgspec.Struct) -> Preview:
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


def _with(policies: Policies, name: Name, numbers: msgspec.Struct) -> Policies:
    found: Policies = msgspec.structs.replace(policies, **{"classes" if name == "class" else name: numbers})
    return found
