"""Writing down what a customer agrees to."""

from dataclasses import dataclass

from services.profile.consents import store
from services.profile.consents.domain import Consent, holding
from services.profile.identities.domain import Person
from shared.contracts.customers import ConsentChanged
from shared.contracts.types import Cause
from shared.db import Tx
from shared.messaging import outbox
from shared.messaging.outbox import UNNUMBERED, Outgoing

SERVICE = "profile"


@dataclass(frozen=True, slots=True)
class Consents:
    """The use cases of this module."""

    async def put(self, tx: Tx, person: Person, consent: Consent, cause: Cause, trace: str | None = None) -> bool:
        """Appends an entry, and announces it where it changes what holds; False if there is no customer.

        A grant is an edit, and stays with the survivor; a withdrawal is written down under every id of the person, so
        that no undo takes it back.
        """
        known_ids = await store.lock(tx, person.ids)
        if person.customer_id not in known_ids:
            return False
        last = (await store.last(tx, person.ids)).get((consent.channel, consent.purpose), {})
        held = holding(person, last)
        before: dict[str, bool | None] = {customer: word.granted for customer, word in last.items()}
        before[person.customer_id] = held.granted if held else None
        spoken = [person.customer_id] if consent.granted else known_ids
        await store.append(tx, spoken, consent)
        changed = [customer for customer in spoken if before.get(customer) is not consent.granted]
        said = [Outgoing(_announcement(customer, consent, cause), trace) for customer in changed]
        await outbox.append(tx, SERVICE, said, consent.recorded_at)
        return True

    async def in_force(self, tx: Tx, person: Person) -> list[Consent]:
        """What holds now, for each channel and purpose that was ever asked."""
        held = [holding(person, words) for words in (await store.last(tx, person.ids)).values()]
        return [consent for consent in held if consent]


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
