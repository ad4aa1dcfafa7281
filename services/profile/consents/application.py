"""Writing down what a customer agrees to."""

from dataclasses import dataclass

from services.profile.consents import store
from services.profile.consents.domain import Consent
from shared.contracts.customers import ConsentChanged
from shared.contracts.types import Cause
from shared.db import Tx
from shared.messaging import outbox
from shared.messaging.outbox import UNNUMBERED, Outgoing

SERVICE = "profile"


@dataclass(frozen=True, slots=True)
class Consents:
    """The use cases of this module."""

    async def put(self, tx: Tx, customer_id: str, consent: Consent, cause: Cause, trace: str | None = None) -> bool:
        """Appends an entry, and announces it where it changes what is in force; False if there is no customer."""
        if not await store.lock(tx, customer_id):
            return False
        known = {(entry.channel, entry.purpose): entry.granted for entry in await store.in_force(tx, customer_id)}
        await store.append(tx, customer_id, consent)
        if known.get((consent.channel, consent.purpose)) is not consent.granted:
            event = ConsentChanged(
                customer_id=customer_id,
                sequence=UNNUMBERED,
                caused_by=cause,
                occurred_at=consent.recorded_at,
                channel=consent.channel,
                purpose=consent.purpose,
                granted=consent.granted,
            )
            await outbox.append(tx, SERVICE, [Outgoing(event, trace)], consent.recorded_at)
        return True

    async def in_force(self, tx: Tx, customer_id: str) -> list[Consent]:
        """What holds now, for each channel and purpose that was ever asked."""
        return await store.in_force(tx, customer_id)
