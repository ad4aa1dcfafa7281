"""The routes of staff tasks."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from fastapi import Query, Response
from pydantic import BaseModel

from services.engagement.contacts import staff
from services.engagement.contacts.views import Completion
from services.engagement.customers import application as customers
from services.engagement.openapi import answers, page
from services.engagement.tasks import application
from services.engagement.tasks.domain import Task, TaskKind, TaskStatus
from services.engagement.triggers import by_request
from shared.clock import Clock
from shared.db import Database, Tx
from shared.http.auth import Principal, staff_only
from shared.http.idempotency import Attempt, idempotency_key
from shared.http.pagination import Page, PageRequest
from shared.http.problems import conflict, not_found
from shared.http.routing import Router

_TASK: dict[str, Any] = {
    "id": "77aa…", "kind": "contact", "customer_id": "pos:1001", "title": "Contact for win-back: 62 days since …",
    "due_at": "2026-11-20T08:16:00Z", "status": "open", "contact_id": "5f0c…", "feedback_id": None, "assignee": None,
    "outcome": None, "note": None, "created_at": "2026-11-20T08:16:00Z", "closed_at": None,
}  # fmt: skip
_FIRST = datetime(1, 1, 1, tzinfo=UTC)
Text = Annotated[str | None, Query(max_length=128)]


class TaskView(BaseModel):
    """A piece of staff work: a contact to make, a doubtful mail or complaint to look into, a file to verify."""

    id: str
    kind: TaskKind
    customer_id: str
    title: str
    due_at: datetime
    status: TaskStatus
    contact_id: str | None
    feedback_id: str | None
    assignee: str | None
    outcome: str | None
    note: str | None
    created_at: datetime
    closed_at: datetime | None


def tasks_router(db: Database, clock: Clock, wake: Callable[[], None]) -> Router:
    """The routes of staff tasks."""
    router = Router(tags=["tasks"])

    @router.get("/tasks", responses=page(_TASK))
    async def list_tasks(
        _: Annotated[Principal, staff_only("engagement:read", "engagement:write")],
        paging: PageRequest,
        assignee: Text = None,
        kind: TaskKind | None = None,
        customer_id: Text = None,
        status: TaskStatus = "open",
    ) -> Page[TaskView]:
        """Tasks, soonest due first; open ones unless ``status`` says otherwise."""
        after = paging.after(tuple[datetime, str]) or (_FIRST, "")
        filters = {"status": status, "assignee": assignee, "kind": kind, "customer_id": customer_id}
        async with db.transaction() as tx:
            rows = await application.listed(tx, after, paging.limit + 1, filters)
        cursor = paging.next_cursor(rows, lambda task: (task.due_at, task.id))
        return Page(items=[_view(task) for task in rows[: paging.limit]], next_cursor=cursor)

    @router.post("/tasks/{id}/complete", responses=answers(_TASK))
    async def complete(
        _: Annotated[Principal, staff_only("engagement:write")],
        once: Annotated[Attempt, idempotency_key()],
        id: str,
        body: Completion,
        response: Response,
    ) -> TaskView:
        """The work is done; a contact's task says how the contact went."""
        async with db.transaction() as tx:
            replay = await once.claim(tx)
            if replay is not None:
                replay.mark(response)
            else:
                await _complete(tx, id, body, clock.now())
                await once.remember(tx, status=200, resource_id=id)
            task = await application.find(tx, id)
        wake()
        if task is None:
            raise not_found()
        return _view(task)

    return router


async def _complete(tx: Tx, id: str, body: Completion, now: datetime) -> None:
    task = await application.find(tx, id)
    if task is None:
        raise not_found()
    if task.contact_id is not None and task.status == "open":
        await staff.complete(tx, task.contact_id, body.outcome, body.note, now)
        return
    await customers.lock_known(tx, task.customer_id)
    if not await application.close(tx, [id], "done", now, outcome=body.outcome, note=body.note):
        raise conflict("task-closed", f"The task is {task.status} already.")
    await customers.flag(tx, {task.customer_id: by_request(id)}, now)


def _view(task: Task) -> TaskView:
    return TaskView(**msgspec.structs.asdict(task))
