"""What a batch of verdicts comes to: contacts postponed, suppressed or given to staff, and every decision noted."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import uuid4

from services.engagement.contacts import events, journal, store
from services.engagement.contacts.application import SERVICE, note_joined
from services.engagement.contacts.domain import Contact, Status
from services.engagement.contacts.gates import ByStaff, Decision, Postpone, Send, Suppress, Verdict
from services.engagement.contacts.store import Stored
from services.engagement.customers import application as customers
from services.engagement.policies.domain import Policies
from services.engagement.tasks import application as tasks
from services.engagement.tasks.domain import Task, TaskKind
from shared.db import Tx
from shared.messaging import outbox
from shared.messaging.outbox import Outgoing

MOST_PAUSE = timedelta(hours=6)


class Work:
    """What one batch's decisions come to, written at the end in a handful of statements."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._decided: list[tuple[Contact, Sequence[Decision]]] = []
        self._retries: dict[str, datetime] = {}
        self._postponed: dict[str, datetime] = {}
        self._suppressed: list[tuple[Stored, str]] = []
        self._taken_back: list[tuple[Stored, str]] = []
        self._tasks: list[Task] = []
        self._published: list[Outgoing] = []

    def unanswered(self, stored: Stored, rules: Policies) -> None:
        """Profile did not answer: no send; asked again later."""
        again = later(stored, self._now)
        fact = "profile did not answer for address and consent"
        decision = Decision("reachability", False, "channels", rules.channels.number, fact, again)
        self._decided.append((stored.contact, [decision]))
        self._retries[stored.contact.id] = again

    def take_back(self, stored: Stored, reason: str) -> None:
        """It shall not be made, and the next plan goes as if it had never been."""
        self._taken_back.append((stored, reason))
        self._published.append(events.suppressed(stored.contact, reason, stored.trigger, self._now))

    def add(self, stored: Stored, verdict: Verdict, decisions: Sequence[Decision], owner: str | None) -> None:
        """A verdict with the decisions it follows from."""
        contact = stored.contact
        self._decided.append((contact, decisions))
        match verdict:
            case Postpone(until):
                self._postponed[contact.id] = until
                self._published.append(
                    events.planned(contact.id, contact.customer_id, contact, until, stored.trigger, self._now)
                )
            case Suppress(reason):
                self._suppressed.append((stored, reason))
                self._published.append(events.suppressed(contact, reason, stored.trigger, self._now))
            case ByStaff():
                self._tasks.append(_task("contact", stored, contact.due_at, self._now, owner))
            case Send():
                pass

    async def write(self, tx: Tx) -> None:
        """All of it, events last."""
        now = self._now
        await store.postpone(tx, self._postponed, moves=True)
        await store.postpone(tx, self._retries, moves=False)
        await store.change(tx, [(s.contact.id, "suppressed", why) for s, why in self._suppressed], now, ("planned",))
        gone: list[tuple[str, Status, str | None]] = [(s.contact.id, "cancelled", why) for s, why in self._taken_back]
        await store.change(tx, gone, now, ("planned",), taken_back=True)
        await tasks.open_tasks(tx, self._tasks)
        await store.assign(tx, {task.contact_id: task.id for task in self._tasks if task.contact_id})
        await journal.note(tx, self._decided, now)
        await outbox.append(tx, SERVICE, self._published, now)
        await note_joined(tx, [stored.contact for stored, _ in self._suppressed])
        ended = [*self._suppressed, *self._taken_back]
        await customers.flag(tx, {s.contact.customer_id: s.trigger for s, _ in ended}, now)


async def look_into(tx: Tx, doubtful: Sequence[Stored], now: datetime) -> None:
    """Gives a person the task to find out whether these mails went out."""
    made = [_task("verify-delivery", stored, now, now, stored.assignee) for stored in doubtful]
    await tasks.open_tasks(tx, made)
    await store.assign(tx, {task.contact_id: task.id for task in made if task.contact_id})


def later(stored: Stored, now: datetime) -> datetime:
    """After 1, 2, 4, … minutes, at most six hours."""
    return now + min(MOST_PAUSE, timedelta(minutes=1 << min(stored.attempts, 9)))


def _task(kind: TaskKind, stored: Stored, due_at: datetime, now: datetime, owner: str | None) -> Task:
    contact = stored.contact
    because = "; ".join(reason.text for reason in contact.reasons) or contact.purpose
    title = f"Contact for {contact.purpose}: {because}"
    if kind == "verify-delivery":
        title = f"Did the mail with Message-ID {contact.id} go out?"
    return Task(
        id=uuid4().hex,
        kind=kind,
        customer_id=contact.customer_id,
        title=title[:500],
        due_at=due_at,
        created_at=now,
        contact_id=contact.id,
        assignee=owner,
    )
