"""Where a customer stands, stood at any time, and why."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from services.profile.policies.application import in_force
from services.profile.purchases.domain import House
from services.profile.segments import catalogue, store
from services.profile.segments.domain import built_in, class_on, inputs_on, next_change, start_of
from services.profile.segments.facts import Book
from services.profile.segments.reading import known_of
from shared.clock import Clock
from shared.contracts.segments import SegmentCause
from shared.contracts.types import Scalar
from shared.db import Tx
from shared.messaging import merges


class Standing(msgspec.Struct, frozen=True):
    """A customer's class in a segment; ``next_transition_at`` is not known of the past."""

    segment: str
    place: str
    since: datetime
    rule_version: int
    next_transition_at: datetime | None


class LastMove(msgspec.Struct, frozen=True):
    """How he came to where he stands, with what the rule read then."""

    at: datetime
    before: str | None
    cause: SegmentCause
    rule_version: int
    inputs: Mapping[str, Scalar]


class Explanation(msgspec.Struct, frozen=True):
    """A class by the rule in force, computed from the facts of now; ``place`` None is nowhere."""

    segment: str
    place: str | None
    rule_version: int
    rule: Mapping[str, Any]
    inputs: Mapping[str, Scalar]
    last_move: LastMove | None
    next_transition_at: datetime | None
    next_place: str | None


@dataclass(frozen=True, slots=True)
class Explaining:
    """The reads of one customer's segments."""

    clock: Clock
    house: House

    async def knows(self, tx: Tx, customer: str) -> bool:
        """Whether there is such a customer."""
        return bool(await store.known(tx, [customer], self.house))

    async def of(self, tx: Tx, customer: str, as_of: datetime | None = None) -> list[Standing]:
        """The segments he is in, with his class in each; by name."""
        rows = await store.of_customer(tx, customer, as_of)
        return [
            Standing(row["segment"], row["class"], row["since"], row["rule_version"], row["next_transition_at"])
            for row in rows
        ]

    async def explain(self, tx: Tx, customer: str, name: str) -> Explanation | None:
        """Why he stands where he does; None without such a segment or customer."""
        policies = await in_force(tx)
        book = Book(policies, self.house)
        known = [*built_in(book), *await catalogue.own(tx)]
        segment = next((found for found in known if found.name == name), None)
        people = await known_of(tx, [customer], await merges.groups_of(tx, [customer]), self.house)
        person = people.get(customer)
        if segment is None or person is None:
            return None
        if segment.rule:
            rule = next(found.rule for found in await catalogue.definitions(tx) if found.name == name)
        else:
            rule = msgspec.to_builtins(policies.of(name))
        today = self.house.day(self.clock.now())
        turns = next_change(person, segment, book, today)
        last = await store.last_move(tx, customer, name)
        return Explanation(
            segment=name,
            place=class_on(person, segment, book, today),
            rule_version=segment.version,
            rule=rule,
            inputs=inputs_on(person, segment, book, today),
            last_move=LastMove(
                last["at"], last["from_class"], last["cause"], last["rule_version"], msgspec.json.decode(last["inputs"])
            )
            if last
            else None,
            next_transition_at=start_of(turns, self.house) if turns else None,
            next_place=class_on(person, segment, book, turns) if turns else None,
        )
