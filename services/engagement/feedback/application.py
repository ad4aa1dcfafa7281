"""Feedback: the fact comes by event, its text stays here. A complaint is a task, open until it is done."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import sha256

from services.engagement.contacts.timing import next_open, zone_of
from services.engagement.customers import application as customers
from services.engagement.customers.domain import Customer
from services.engagement.feedback import store
from services.engagement.feedback.store import Written
from services.engagement.policies import application as policies
from services.engagement.tasks import application as tasks
from services.engagement.tasks.domain import Task
from services.engagement.triggers import by_event
from shared.clock import Clock
from shared.contracts.behaviour import FeedbackReceived
from shared.contracts.topics import BY_DATA
from shared.db import Tx
from shared.messaging import facts, outbox
from shared.messaging.envelope import write_event
from shared.messaging.events import Event
from shared.messaging.intake import Outcome
from shared.messaging.outbox import Waiting


class Feedback:
    """The use case of feedback-received."""

    def __init__(self, clock: Clock, house_zone: str) -> None:
        self._clock = clock
        self._house_zone = house_zone

    async def apply(self, tx: Tx, events: Sequence[Event]) -> Outcome:
        """Keeps the facts. Who wrote is planned, and every complaint becomes a task, unless they are loaded history."""
        recorded = await facts.record(tx, events)
        live = {event.key: by_event(event) for event in recorded.fresh if not event.backfill}
        if not live:
            return Outcome(recorded.duplicates, recorded.conflicts)
        known = await customers.lock(tx, sorted(live))
        await customers.flag(tx, live, self._clock.now())
        complaints = [
            event.data
            for event in recorded.fresh
            if isinstance(event.data, FeedbackReceived) and event.data.kind == "complaint" and not event.backfill
        ]
        if complaints:
            await self._open(tx, complaints, known)
        return Outcome(recorded.duplicates, recorded.conflicts)

    async def _open(self, tx: Tx, complaints: Sequence[FeedbackReceived], known: Mapping[str, Customer]) -> None:
        rules = await policies.in_force(tx)
        within = timedelta(hours=rules.complaints.policy.answer_within_hours)
        made = []
        for complaint in complaints:
            file = known[complaint.customer_id].file
            zone = zone_of(file.time_zone, self._house_zone)
            made.append(
                Task(
                    id=sha256(f"complaint {complaint.feedback_id}".encode()).hexdigest()[:32],
                    kind="complaint",
                    customer_id=complaint.customer_id,
                    title=f"Answer a complaint{f' about {complaint.topic}' if complaint.topic else ''}",
                    due_at=next_open(complaint.occurred_at + within, rules.quiet_hours.policy, zone),
                    created_at=self._clock.now(),
                    feedback_id=complaint.feedback_id,
                    assignee=file.owner,
                )
            )
        await tasks.open_tasks(tx, made)


async def receive(tx: Tx, data: FeedbackReceived, text: str, photos: str, now: datetime) -> None:
    """Keeps what was written, and publishes that it was, without the text."""
    await store.insert(
        tx,
        Written(
            feedback_id=data.feedback_id,
            customer_id=data.customer_id,
            kind=data.kind,
            channel=data.channel,
            text=text,
            photos=photos,
            occurred_at=data.occurred_at,
            received_at=now,
        ),
    )
    value = write_event(data, source="/roost/engagement", id=f"feedback:{data.feedback_id}", time=data.occurred_at)
    topic = BY_DATA[FeedbackReceived].name
    await outbox.append_records(tx, [Waiting(topic, data.customer_id.encode(), value)], now)


async def find(tx: Tx, id: str) -> Written | None:
    """What was written, by its id."""
    return await store.find(tx, id)
