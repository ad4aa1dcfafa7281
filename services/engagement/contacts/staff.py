"""What a person decides about a contact: cancel it, move it, or say how it went."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from services.engagement.contacts import events, store
from services.engagement.contacts.application import SERVICE
from services.engagement.contacts.domain import IllegalTransition, Status, check_transition
from services.engagement.contacts.store import Stored
from services.engagement.customers import application as customers
from services.engagement.tasks import application as tasks
from services.engagement.triggers import by_request
from shared.db import Tx
from shared.messaging import outbox

PersonsOutcome = Literal["done", "not-reached", "not-sent"]
STAFF = "staff"


class UnknownContact(Exception):
    """There is no contact of that id."""


async def cancel(tx: Tx, id: str, reason: str, now: datetime) -> None:
    """A planned contact shall not be made. Raises UnknownContact, IllegalTransition."""
    stored = await _locked(tx, id)
    await _close(tx, stored, "cancelled", reason, now, ("planned",))
    await outbox.append(tx, SERVICE, [events.suppressed(stored.contact, reason, by_request(id), now)], now)
    await _close_task(tx, stored, "cancelled", now, reason, None)


async def reschedule(tx: Tx, id: str, due_at: datetime, now: datetime) -> None:
    """A planned contact shall fall then; planning leaves it there. Raises UnknownContact, IllegalTransition."""
    stored = await _locked(tx, id)
    contact = stored.contact
    if contact.status != "planned":
        raise IllegalTransition(contact.status, "planned")
    await store.reschedule(tx, id, due_at)
    await _close_task(tx, stored, "cancelled", now, "rescheduled", None)
    moved = events.planned(id, contact.customer_id, contact, due_at, by_request(id), now)
    await outbox.append(tx, SERVICE, [moved], now)
    await customers.flag(tx, {contact.customer_id: by_request(id)}, now)


async def complete(tx: Tx, id: str, outcome: PersonsOutcome, note: str | None, now: datetime) -> None:
    """A person made the contact, tried in vain, or found out what became of a doubtful mail.

    ``not-sent`` hands a doubtful mail over again. Raises UnknownContact, IllegalTransition.
    """
    stored = await _locked(tx, id)
    contact, by = stored.contact, by_request(id)
    doubtful = contact.status == "handing-over" and contact.task_id is not None
    if outcome == "not-sent":
        if not doubtful:
            raise IllegalTransition(contact.status, "planned")
        await _close_task(tx, stored, "done", now, outcome, note)
        await store.change(tx, [(id, "planned", None)], now, ("handing-over",))
        await store.assign(tx, {id: None})
        await store.postpone(tx, {id: now}, moves=False)
        return
    if contact.status == "handing-over" and not doubtful:
        raise IllegalTransition(contact.status, "done")
    status: Status = "failed" if outcome == "not-reached" else "sent" if doubtful else "done"
    await _close(tx, stored, status, outcome, now, ("planned", "handing-over"))
    await _close_task(tx, stored, "done", now, outcome, note)
    provider = "smtp" if doubtful else STAFF
    event = (
        events.sent(contact, provider, by, now)
        if status != "failed"
        else events.failed(contact, provider, outcome, by, now)
    )
    await outbox.append(tx, SERVICE, [event], now)


async def _locked(tx: Tx, id: str) -> Stored:
    found = await store.find(tx, id)
    if found is None:
        raise UnknownContact
    await customers.lock_known(tx, found.contact.customer_id)
    held = await store.lock(tx, [id])
    if not held:
        raise UnknownContact
    return held[0]


async def _close(
    tx: Tx, stored: Stored, status: Status, reason: str, now: datetime, allowed: Sequence[Status]
) -> None:
    check_transition(stored.contact.status, status)
    await store.change(tx, [(stored.contact.id, status, reason)], now, allowed)
    await customers.flag(tx, {stored.contact.customer_id: by_request(stored.contact.id)}, now)


async def _close_task(
    tx: Tx, stored: Stored, status: Literal["done", "cancelled"], now: datetime, outcome: str, note: str | None
) -> None:
    if stored.contact.task_id:
        await tasks.close(tx, [stored.contact.task_id], status, now, outcome=outcome, note=note)
