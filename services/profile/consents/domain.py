"""Whether a customer may be contacted: an entry of the ledger decides, and where there is none, the purpose."""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple, Protocol, TypeVar

import msgspec

from services.profile.identities.domain import Person
from shared.contracts.customers import ContactChannel, Purpose


class Consent(msgspec.Struct, frozen=True):
    """An entry: who said so (``source``), in answer to which wording, and when."""

    channel: ContactChannel
    purpose: Purpose
    granted: bool
    source: str
    wording_version: str
    recorded_at: datetime


class Entry(NamedTuple):
    """A line of the ledger, by its number in it, and under which id it stands."""

    entry_id: int
    customer_id: str
    consent: Consent


class Word(Protocol):
    """What was said under one id, and when."""

    @property
    def granted(self) -> bool: ...

    @property
    def recorded_at(self) -> datetime: ...


AnyWord = TypeVar("AnyWord", bound=Word)


def holding(person: Person, last: Mapping[str, AnyWord]) -> AnyWord | None:
    """Which of the last words under each of a person's ids holds for him; None if nothing was said.

    What he said since the last of them was joined decides. Before, a withdrawal under any id holds against every grant:
    a merge never widens consent.
    """
    if own := _said_as_one(person, last):
        return own
    said = [last[customer] for customer in person.ids if customer in last]
    return max(said, key=lambda word: (not word.granted, word.recorded_at), default=None)


def covered(person: Person, last: Mapping[str, AnyWord], purpose: str, by_default: tuple[str, ...]) -> list[str]:
    """Whose addresses a purpose may use of somebody whom it may write to: the survivor's first.

    Who agreed under one id agreed for the addresses that he had there; another file's came to him by a merge. What he
    said since is for all of his. Where he said nothing, an address serves the purposes ``by_default``.
    """
    if _said_as_one(person, last):
        return list(person.survivor_first)
    return [
        one
        for one in person.survivor_first
        if (last[one].granted if one in last else purpose in by_default)
    ]


def _said_as_one(person: Person, last: Mapping[str, AnyWord]) -> AnyWord | None:
    """What was said under the survivor's id since the last of them was joined, so by the person that he is now."""
    own = last.get(person.customer_id)
    return own if own and person.joined_at and own.recorded_at > person.joined_at else None


def repeats(person: Person, last: Mapping[str, Consent], consent: Consent) -> bool:
    """Whether an entry says nothing new: it holds already, word for word, or the person has said something since."""
    said = [last[customer] for customer in person.ids if customer in last]
    if any(word.recorded_at > consent.recorded_at for word in said):
        return True
    held = holding(person, last)
    return held is not None and _wording(held) == _wording(consent)


def _wording(consent: Consent) -> tuple[bool, str, str]:
    return consent.granted, consent.source, consent.wording_version


def allowed(said: bool | None, purpose: str, *, reachable: bool, by_default: tuple[str, ...]) -> bool:
    """Whether a purpose may use an address.

    What the customer said counts. Where he said nothing, only messages that the contract itself needs are lawful
    (GDPR art. 6(1)(b), PIPL art. 13(2)): the purposes ``by_default``, and those only if there is an address.
    """
    if said is not None:
        return said
    return reachable and purpose in by_default
