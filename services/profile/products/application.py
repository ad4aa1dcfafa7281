"""The product catalogue as the publishers change it."""

from collections.abc import Sequence

from services.profile.products import store
from shared.db import Tx
from shared.messaging.events import Event
from shared.messaging.intake import Outcome


async def record(tx: Tx, events: Sequence[Event]) -> Outcome:
    """Keeps the newest of each product by the event's time; ties by source and id."""
    newest: dict[str, Event] = {}
    for event in events:
        known = newest.get(event.key)
        if known is None or _place(event) > _place(known):
            newest[event.key] = event
    await store.keep(tx, list(newest.values()))
    return Outcome()


def _place(event: Event) -> tuple[object, ...]:
    return (event.time, event.source, event.id)
