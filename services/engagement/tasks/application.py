"""Giving staff work, and taking note that it is done."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from services.engagement.tasks import store
from services.engagement.tasks.domain import Task, TaskStatus
from shared.db import Tx


async def open_tasks(tx: Tx, tasks: Sequence[Task]) -> None:
    """Adds tasks; one whose id is there already stays as it is."""
    await store.insert(tx, tasks)


async def find(tx: Tx, id: str, *, locked: bool = False) -> Task | None:
    """One task."""
    return await store.find(tx, id, locked=locked)


async def listed(tx: Tx, after: tuple[datetime, str], limit: int, filters: Mapping[str, Any]) -> list[Task]:
    """Tasks by (due_at, id); ``filters``: status, and assignee, kind, customer_id or None."""
    return await store.listed(tx, after, limit, filters)


async def close(
    tx: Tx,
    ids: Sequence[str],
    status: TaskStatus,
    now: datetime,
    *,
    outcome: str | None = None,
    note: str | None = None,
) -> set[str]:
    """Closes open tasks; answers which ones were open."""
    return await store.close(tx, ids, status, now, outcome, note)


async def with_open_complaint(tx: Tx, customers: Sequence[str]) -> set[str]:
    """Which of the customers wait for an answer to a complaint: nothing is marketed to them meanwhile."""
    return await store.with_open_complaint(tx, customers)
