"""The table of staff tasks."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from services.engagement.tasks.domain import Task, TaskStatus
from shared.db import Tx, columns, fetch

TASKS_V1 = """
CREATE TABLE tasks (
    id text PRIMARY KEY,
    kind text NOT NULL,
    customer_id text NOT NULL,
    title text NOT NULL,
    due_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    status text NOT NULL CHECK (status IN ('open', 'done', 'cancelled')),
    contact_id text,
    feedback_id text,
    assignee text,
    outcome text,
    note text,
    closed_at timestamptz
);
CREATE INDEX tasks_by_due ON tasks (status, due_at, id);
CREATE INDEX tasks_open_complaints ON tasks (customer_id) WHERE kind = 'complaint' AND status = 'open';
"""

VERIFY_FILE_V6 = """
CREATE UNIQUE INDEX tasks_verify_file ON tasks (customer_id) WHERE kind = 'verify-file' AND status = 'open';
"""

_FIELDS = (
    "id", "kind", "customer_id", "title", "due_at", "created_at", "status", "contact_id", "feedback_id", "assignee",
    "outcome", "note", "closed_at",
)  # fmt: skip
_INSERT = f"""
INSERT INTO tasks ({", ".join(_FIELDS)})
SELECT * FROM unnest(
    CAST(:id AS text[]), CAST(:kind AS text[]), CAST(:customer_id AS text[]), CAST(:title AS text[]),
    CAST(:due_at AS timestamptz[]), CAST(:created_at AS timestamptz[]), CAST(:status AS text[]),
    CAST(:contact_id AS text[]), CAST(:feedback_id AS text[]), CAST(:assignee AS text[]), CAST(:outcome AS text[]),
    CAST(:note AS text[]), CAST(:closed_at AS timestamptz[])) AS new
ON CONFLICT DO NOTHING
RETURNING id
"""
_READ = f"SELECT {', '.join(_FIELDS)} FROM tasks"
_LIST = f"""{_READ}
WHERE status = :status AND (CAST(:assignee AS text) IS NULL OR assignee = :assignee)
  AND (CAST(:kind AS text) IS NULL OR kind = :kind)
  AND (CAST(:customer_id AS text) IS NULL OR customer_id = :customer_id)
  AND (due_at, id) > (:after_due, :after_id)
ORDER BY due_at, id LIMIT :limit
"""
_CLOSE = """
UPDATE tasks SET status = :status, outcome = :outcome, note = :note, closed_at = :now
WHERE id = ANY(:ids) AND status = 'open' RETURNING id
"""
_OF_FILES = f"""
{_READ} WHERE customer_id = ANY(:customers) AND kind = 'verify-file' AND status <> 'cancelled' ORDER BY id
"""
_COMPLAINTS = """
SELECT DISTINCT customer_id FROM tasks
WHERE customer_id = ANY(:customers) AND kind = 'complaint' AND status = 'open'
"""


async def insert(tx: Tx, tasks: Sequence[Task]) -> None:
    """Adds tasks; one whose id is there already stays as it is."""
    if tasks:
        rows = [tuple(getattr(task, field) for field in _FIELDS) for task in sorted(tasks, key=lambda t: t.id)]
        await fetch(tx, _INSERT, **dict(zip(_FIELDS, columns(rows, len(_FIELDS)), strict=True)))


async def find(tx: Tx, id: str, *, locked: bool = False) -> Task | None:
    """One task."""
    rows = await fetch(tx, f"{_READ} WHERE id = :id" + (" FOR UPDATE" if locked else ""), id=id)
    return Task(**rows[0]) if rows else None


async def listed(tx: Tx, after: tuple[datetime, str], limit: int, filters: Mapping[str, Any]) -> list[Task]:
    """Tasks by (due_at, id); ``filters``: status, and assignee, kind, customer_id or None."""
    rows = await fetch(tx, _LIST, after_due=after[0], after_id=after[1], limit=limit, **filters)
    return [Task(**row) for row in rows]


async def close(
    tx: Tx, ids: Sequence[str], status: TaskStatus, now: datetime, outcome: str | None, note: str | None
) -> set[str]:
    """Closes open tasks; answers which ones were open."""
    if not ids:
        return set()
    rows = await fetch(tx, _CLOSE, ids=sorted(ids), status=status, outcome=outcome, note=note, now=now)
    return {row["id"] for row in rows}


async def of_files(tx: Tx, customers: Sequence[str]) -> list[Task]:
    """The customers' tasks to verify their files, open and done."""
    return [Task(**row) for row in await fetch(tx, _OF_FILES, customers=customers)]


async def with_open_complaint(tx: Tx, customers: Sequence[str]) -> set[str]:
    """Which of the customers wait for an answer to a complaint."""
    return {row["customer_id"] for row in await fetch(tx, _COMPLAINTS, customers=customers)}
