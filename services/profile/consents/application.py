"""Writing down what a customer agrees to."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from services.profile.consents import store
from services.profile.consents.domain import Consent, Entry, holding, repeats
from services.profile.identities.domain import Person
from shared.contracts.customers import ConsentChanged
from shared.contracts.types import Cause
from shared.db import Tx
from shared.messaging import outbox
from shared.messaging.outbox import UNNUMBERED, Outgoing

SERVICE = "profile"


@dataclass(slots=True)
class ConsentBatch:
    """The ledger of the ids that a batch writes to, as it is after the entries so far."""

    known_ids: set[str]
    last: dict[store.Asked, dict[str, Consent]]
    events: list[Outgoing] = field(default_factory=list)
    loaded: bool = False
    _entries: list[tuple[str, Consent]] = field(default_factory=list)

    @classmethod
    async def of(
        cls,
        tx: Tx,
        ids: Iterable[str],
        known_ids: Iterable[str],
        events: list[Outgoing] | None = None,
        *,
        loaded: bool = False,
    ) -> "ConsentBatch":
        """Reads what was said last under these ids; the files that there are of them (``known_ids``) are locked.

        ``events``: where those of what is put go behind, in the order of the writes. ``loaded``: history is.
        """
        wanted = sorted(set(ids))
        last = await store.last(tx, wanted) if wanted else {}
        return cls(set(known_ids), last, [] if events is None else events, loaded)

    def repeats(self, person: Person, consent: Consent) -> bool:
        """Whether an entry says nothing new: it holds already, word for word, or something was said since."""
        return repeats(person, self.last.get((consent.channel, consent.purpose), {}), consent)

    def put(self, person: Person, consent: Consent, cause: Cause, trace: str | None = None) -> None:
        """Appends an entry, and announces it where it changes what holds.

        A grant is an edit, and stays with the survivor; a withdrawal is written down under every id of the person, so
        that no undo takes it back. A file that the same transaction makes is to be in ``known_ids``.
        """
        words = self.last.setdefault((consent.channel, consent.purpose), {})
        his = {customer: words[customer] for customer in person.ids if customer in words}
        held = holding(person, his)
        before: dict[str, bool | None] = {customer: word.granted for customer, word in his.items()}
        before[person.customer_id] = held.granted if held else None
        everywhere = [customer for customer in person.ids if customer in self.known_ids]
        for customer in [person.customer_id] if consent.granted else everywhere:
            self._entries.append((customer, consent))
            words[customer] = consent
            if before.get(customer) is not consent.granted:
                self.events.append(Outgoing(_announcement(customer, consent, cause), trace, self.loaded))

    async def save(self, tx: Tx) -> None:
        """Writes what was put, as one set, but for ``events``, which go to the outbox."""
        await store.append(tx, self._entries)


@dataclass(frozen=True, slots=True)
class Consents:
    """The use cases of this module."""

    async def put(self, tx: Tx, person: Person, consent: Consent, cause: Cause, trace: str | None = None) -> bool:
        """Appends an entry, as ``ConsentBatch.put``; False if there is no customer."""
        batch = await ConsentBatch.of(tx, person.ids, await store.lock(tx, person.ids))
        if person.customer_id not in batch.known_ids:
            return False
        batch.put(person, consent, cause, trace)
        await batch.save(tx)
        await outbox.append(tx, SERVICE, batch.events, consent.recorded_at)
        return True

    async def in_force(self, tx: Tx, person: Person) -> list[Consent]:
        """What holds now, for each channel and purpose that was ever asked."""
        held = [holding(person, words) for words in (await store.last(tx, person.ids)).values()]
        return [consent for consent in held if consent]

    async def page(self, tx: Tx, person: Person, before: int | None, limit: int) -> list[Entry]:
        """The ledger under all his ids, the last written first; from below the entry ``before`` on."""
        return await store.page(tx, person.ids, before, limit)


async def everything_said(tx: Tx, ids: Iterable[str]) -> dict[str, list[Consent]]:
    """The ledger of each of these ids, the oldest entry first."""
    asked = sorted(set(ids))
    said: dict[str, list[Consent]] = {customer: [] for customer in asked}
    for customer, consent in await store.ledger(tx, asked):
        said[customer].append(consent)
    return said


def _announcement(customer_id: str, consent: Consent, cause: Cause) -> ConsentChanged:
    return ConsentChanged(
        customer_id=customer_id,
        sequence=UNNUMBERED,
        caused_by=cause,
        occurred_at=consent.recorded_at,
        channel=consent.channel,
        purpose=consent.purpose,
        granted=consent.granted,
    )
