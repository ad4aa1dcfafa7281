"""The table of contacts."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from services.engagement.contacts.domain import Contact, Status, Wanted
from services.engagement.customers.domain import Because
from services.engagement.triggers import Trigger, read_trigger, write_trigger
from shared.db import Row, Tx, columns, copy, execute, fetch

CONTACTS_V1 = """
CREATE TABLE contacts (
    id text COLLATE "C" PRIMARY KEY,
    customer_id text COLLATE "C" NOT NULL,
    purpose text NOT NULL,
    channel text NOT NULL,
    due_at timestamptz NOT NULL,
    status text NOT NULL DEFAULT 'planned' CHECK (
        status IN ('planned', 'handing-over', 'sent', 'done', 'failed', 'suppressed', 'cancelled')),
    policy_version integer NOT NULL,
    episode bigint NOT NULL,
    reasons text NOT NULL,
    trigger text NOT NULL,
    assignee text,
    pinned boolean NOT NULL DEFAULT false,
    task_id text,
    attempts integer NOT NULL DEFAULT 0,
    hand_over_at timestamptz NOT NULL,
    made_at timestamptz,
    created_at timestamptz NOT NULL,
    closed_at timestamptz,
    closed_reason text,
    version integer NOT NULL DEFAULT 1
);
CREATE UNIQUE INDEX contacts_one_open ON contacts (customer_id, purpose) WHERE status IN ('planned', 'handing-over');
CREATE INDEX contacts_of_customer ON contacts (customer_id, due_at);
CREATE INDEX contacts_by_due ON contacts (due_at, id);
CREATE INDEX contacts_by_status ON contacts (status, due_at, id);
CREATE INDEX contacts_to_hand_over ON contacts (hand_over_at, id) WHERE status = 'planned' AND task_id IS NULL;
CREATE INDEX contacts_in_flight ON contacts (made_at) WHERE status = 'handing-over' AND task_id IS NULL;
"""
REGROUPED_V3 = """
ALTER TABLE contacts ADD COLUMN episode_of text NOT NULL DEFAULT '';
-- Planned no longer: later plans go as if it had never been.
ALTER TABLE contacts ADD COLUMN taken_back boolean NOT NULL DEFAULT false;
-- Ended for what was known of several ids together: an undo takes it back.
ALTER TABLE contacts ADD COLUMN ended_joined boolean NOT NULL DEFAULT false;
"""

_READ = """
SELECT id, customer_id, purpose, channel, due_at, status, policy_version, episode, episode_of, reasons, trigger,
    assignee, pinned, task_id, attempts, hand_over_at, made_at, created_at, closed_at, closed_reason, version
FROM contacts
"""
# Open ones, those closed lately (the caps and the rhythm count them), and every win-back and welcome (once each).
_COUNTED = f"""{_READ}
WHERE customer_id = ANY(:customers)
  AND (status IN ('planned', 'handing-over') OR closed_at > :since OR purpose IN ('win-back', 'welcome'))
  AND NOT taken_back
"""
_BY_ID = f"{_READ} WHERE id = :id"
_LOCKED = f"{_READ} WHERE id = ANY(:ids) ORDER BY id FOR UPDATE"
_NEXT = f"""{_READ}
WHERE customer_id = ANY(:customers) AND status IN ('planned', 'handing-over') ORDER BY due_at, id
"""
_LIST = f"""{_READ}
WHERE (CAST(:status AS text) IS NULL OR status = :status)
  AND (CAST(:purpose AS text) IS NULL OR purpose = :purpose)
  AND (CAST(:channel AS text) IS NULL OR channel = :channel)
  AND (CAST(:assignee AS text) IS NULL OR assignee = :assignee)
  AND (CAST(:customer_id AS text) IS NULL OR customer_id = :customer_id)
  AND (CAST(:due_before AS timestamptz) IS NULL OR due_at < :due_before)
  AND (due_at, id) > (:after_due, :after_id)
ORDER BY due_at, id LIMIT :limit
"""
_DUE = f"""{_READ}
WHERE status = 'planned' AND task_id IS NULL AND hand_over_at <= :now ORDER BY hand_over_at, id LIMIT :limit
"""
_STUCK = f"{_READ} WHERE status = 'handing-over' AND task_id IS NULL AND made_at <= :before ORDER BY id LIMIT :limit"
_NEXT_HAND_OVER = """
SELECT (SELECT min(hand_over_at) FROM contacts WHERE status = 'planned' AND task_id IS NULL) AS planned,
       (SELECT min(made_at) FROM contacts WHERE status = 'handing-over' AND task_id IS NULL) AS in_flight
"""
_MOVE = """
UPDATE contacts AS c SET due_at = new.due_at, hand_over_at = new.due_at, channel = new.channel,
    policy_version = new.policy_version, episode = new.episode, episode_of = new.episode_of, reasons = new.reasons,
    trigger = new.trigger, version = c.version + 1
FROM unnest(CAST(:ids AS text[]), CAST(:due AS timestamptz[]), CAST(:channels AS text[]), CAST(:versions AS int[]),
            CAST(:episodes AS bigint[]), CAST(:of AS text[]), CAST(:reasons AS text[]), CAST(:triggers AS text[]))
    AS new (id, due_at, channel, policy_version, episode, episode_of, reasons, trigger)
WHERE c.id = new.id AND c.status = 'planned' AND c.task_id IS NULL
RETURNING c.id
"""
_CHANGE = """
UPDATE contacts AS c SET status = new.status, closed_reason = new.reason, taken_back = :taken_back,
    closed_at = CASE WHEN new.status IN ('planned', 'handing-over') THEN NULL ELSE CAST(:now AS timestamptz) END,
    made_at = CASE WHEN new.status IN ('sent', 'done', 'handing-over') THEN coalesce(c.made_at, :now) END,
    version = c.version + 1
FROM unnest(CAST(:ids AS text[]), CAST(:statuses AS text[]), CAST(:reasons AS text[])) AS new (id, status, reason)
WHERE c.id = new.id AND c.status = ANY(:allowed)
RETURNING c.id
"""
_ENDED_JOINED = "UPDATE contacts SET ended_joined = true WHERE id = ANY(:ids)"
_PART = "UPDATE contacts SET taken_back = true WHERE customer_id = ANY(:customers) AND ended_joined AND NOT taken_back"
_TAKE_UP = """
UPDATE contacts SET status = 'handing-over', made_at = :now, version = version + 1
WHERE id = :id AND status = 'planned' AND version = :version
RETURNING id
"""
_WITHDRAWN = f"""{_READ}
WHERE customer_id = ANY(:customers) AND (CAST(:purpose AS text) IS NULL OR purpose = :purpose) AND status = 'planned'
ORDER BY id FOR UPDATE
"""
_POSTPONE = """
UPDATE contacts AS c SET hand_over_at = new.until, due_at = CASE WHEN :moves THEN new.until ELSE c.due_at END,
    attempts = CASE WHEN :moves THEN c.attempts ELSE c.attempts + 1 END, version = c.version + 1
FROM unnest(CAST(:ids AS text[]), CAST(:until AS timestamptz[])) AS new (id, until)
WHERE c.id = new.id AND c.status = 'planned'
RETURNING c.id
"""
_ASSIGN = """
UPDATE contacts AS c SET task_id = new.task_id, version = c.version + 1
FROM unnest(CAST(:ids AS text[]), CAST(:tasks AS text[])) AS new (id, task_id) WHERE c.id = new.id
"""
_RESCHEDULE = """
UPDATE contacts SET due_at = :due_at, hand_over_at = :due_at, pinned = true, task_id = NULL, version = version + 1
WHERE id = :id
"""
_INSERTED = (
    "id", "customer_id", "purpose", "channel", "due_at", "hand_over_at", "policy_version", "episode",
    "episode_of", "reasons", "trigger", "assignee", "created_at",
)  # fmt: skip
_reasons = msgspec.json.Decoder(tuple[Because, ...])


class Stored(msgspec.Struct, frozen=True):
    """A contact with what only the store keeps: its trigger, attempts, version, history."""

    contact: Contact
    trigger: Trigger
    assignee: str | None
    attempts: int
    created_at: datetime
    closed_at: datetime | None
    closed_reason: str | None
    version: int


async def counted(tx: Tx, customers: Sequence[str], since: datetime) -> dict[str, list[Contact]]:
    """Each customer's contacts that a plan counts: open, closed after ``since``, win-backs and welcomes; none that was
    taken back."""
    found: dict[str, list[Contact]] = {customer: [] for customer in customers}
    for row in await fetch(tx, _COUNTED, customers=customers, since=since):
        found[row["customer_id"]].append(_contact(row))
    return found


async def find(tx: Tx, id: str) -> Stored | None:
    """One contact."""
    rows = await fetch(tx, _BY_ID, id=id)
    return _stored(rows[0]) if rows else None


async def lock(tx: Tx, ids: Collection[str]) -> list[Stored]:
    """Contacts as they stand now, locked; their customers must be locked before."""
    return [_stored(row) for row in await fetch(tx, _LOCKED, ids=sorted(ids))]


async def next_of(tx: Tx, customers: Sequence[str]) -> list[Stored]:
    """The open contacts of a person's ids, soonest first."""
    return [_stored(row) for row in await fetch(tx, _NEXT, customers=customers)]


async def listed(tx: Tx, after: tuple[datetime, str], limit: int, filters: Mapping[str, Any]) -> list[Stored]:
    """Contacts by (due_at, id); ``filters``: status, purpose, channel, assignee, customer_id, due_before or None."""
    rows = await fetch(tx, _LIST, after_due=after[0], after_id=after[1], limit=limit, **filters)
    return [_stored(row) for row in rows]


async def due(tx: Tx, now: datetime, limit: int) -> list[Stored]:
    """Contacts to hand over."""
    return [_stored(row) for row in await fetch(tx, _DUE, now=now, limit=limit)]


async def stuck(tx: Tx, before: datetime, limit: int) -> list[Stored]:
    """Contacts in flight since before then: whoever sent them did not live to say how it ended."""
    return [_stored(row) for row in await fetch(tx, _STUCK, before=before, limit=limit)]


async def next_hand_over(tx: Tx) -> tuple[datetime | None, datetime | None]:
    """When the next contact is to be handed over, and since when the oldest is in flight."""
    row = (await fetch(tx, _NEXT_HAND_OVER))[0]
    return row["planned"], row["in_flight"]


async def insert(
    tx: Tx, new: Sequence[tuple[str, str, Wanted, Trigger, str | None]], now: datetime
) -> None:
    """Adds planned contacts: (id, customer, wanted, trigger, assignee). A statement must have run on ``tx``."""
    rows = [
        (
            id, customer, wanted.purpose, wanted.channel, wanted.due_at, wanted.due_at, wanted.policy_version,
            wanted.episode, wanted.episode_of, _written(wanted.reasons), write_trigger(trigger), assignee, now,
        )
        for id, customer, wanted, trigger, assignee in new
    ]  # fmt: skip
    if rows:
        await copy(tx, "contacts", _INSERTED, rows)


async def move(tx: Tx, moved: Sequence[tuple[str, Wanted, Trigger]]) -> set[str]:
    """Gives planned contacts another time; answers which ones were still there to move."""
    if not moved:
        return set()
    rows = [
        (
            id, w.due_at, w.channel, w.policy_version, w.episode, w.episode_of, _written(w.reasons),
            write_trigger(trigger),
        )
        for id, w, trigger in sorted(moved, key=lambda item: item[0])
    ]  # fmt: skip
    names = ("ids", "due", "channels", "versions", "episodes", "of", "reasons", "triggers")
    return {row["id"] for row in await fetch(tx, _MOVE, **dict(zip(names, columns(rows, 8), strict=True)))}


async def change(
    tx: Tx,
    changes: Sequence[tuple[str, Status, str | None]],
    now: datetime,
    allowed: Sequence[Status],
    *,
    taken_back: bool = False,
) -> set[str]:
    """Gives contacts another status with its reason, where they stand in one of ``allowed``; answers which.

    ``taken_back``: later plans don't count them.
    """
    if not changes:
        return set()
    ids, statuses, reasons = columns(sorted(changes), 3)
    rows = await fetch(
        tx, _CHANGE, ids=ids, statuses=statuses, reasons=reasons, now=now, allowed=list(allowed), taken_back=taken_back
    )
    return {row["id"] for row in rows}


async def mark_joined(tx: Tx, ids: Sequence[str]) -> None:
    """Notes of ended contacts that several ids were one person then."""
    if ids:
        await execute(tx, _ENDED_JOINED, ids=sorted(ids))


async def take_joined_back(tx: Tx, customers: Sequence[str]) -> None:
    """Has later plans not count what ended while these customers were joined with others."""
    if customers:
        await execute(tx, _PART, customers=customers)


async def take_up(tx: Tx, id: str, version: int, now: datetime) -> bool:
    """Puts a planned contact in flight, if it still is what it was when the gates were asked."""
    return bool(await fetch(tx, _TAKE_UP, id=id, version=version, now=now))


async def planned_for(tx: Tx, customers: Sequence[str], purpose: str | None = None) -> list[Stored]:
    """The customers' planned contacts, of one purpose or of all, locked."""
    return [_stored(row) for row in await fetch(tx, _WITHDRAWN, customers=customers, purpose=purpose)]


async def postpone(tx: Tx, until: Mapping[str, datetime], *, moves: bool) -> set[str]:
    """Hands contacts over later; ``moves`` their due time too, else it is one more attempt that failed."""
    if not until:
        return set()
    ids, instants = columns(sorted(until.items()), 2)
    return {row["id"] for row in await fetch(tx, _POSTPONE, ids=ids, until=instants, moves=moves)}


async def assign(tx: Tx, tasks: Mapping[str, str | None]) -> None:
    """Notes the staff task of each contact, None for no longer any."""
    if tasks:
        ids, task_ids = columns(sorted(tasks.items()), 2)
        await fetch(tx, _ASSIGN + " RETURNING c.id", ids=ids, tasks=task_ids)


async def reschedule(tx: Tx, id: str, due_at: datetime) -> None:
    """Pins a locked contact to a time."""
    await fetch(tx, _RESCHEDULE + " RETURNING id", id=id, due_at=due_at)


def _written(reasons: tuple[Because, ...]) -> str:
    return msgspec.json.encode(reasons).decode()


def _contact(row: Row) -> Contact:
    return Contact(
        id=row["id"],
        customer_id=row["customer_id"],
        purpose=row["purpose"],
        channel=row["channel"],
        due_at=row["due_at"],
        status=row["status"],
        policy_version=row["policy_version"],
        episode=row["episode"],
        episode_of=row["episode_of"],
        pinned=row["pinned"],
        task_id=row["task_id"],
        made_at=row["made_at"],
        reasons=_reasons.decode(row["reasons"]),
    )


def _stored(row: Row) -> Stored:
    return Stored(
        _contact(row),
        read_trigger(row["trigger"]),
        row["assignee"],
        row["attempts"],
        row["created_at"],
        row["closed_at"],
        row["closed_reason"],
        row["version"],
    )
