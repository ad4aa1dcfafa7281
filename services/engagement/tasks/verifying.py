"""Files that want to be verified become work for staff on their day, and are it no longer once they were verified."""

from collections.abc import Mapping
from datetime import datetime
from uuid import uuid4
from zoneinfo import ZoneInfo

from services.engagement.customers import application as customers
from services.engagement.customers.domain import Customer
from services.engagement.tasks import store
from services.engagement.tasks.domain import Task
from shared.clock import Clock
from shared.db import Database, Tx

BATCH = 200
"""Customers in one transaction."""


class Verifying:
    """Opens the task of every file whose day has come, and closes those that the file doesn't ask for any more.

    A task's ``due_at`` is the opening of the day that it answers: done once, it isn't opened again for that day.
    """

    def __init__(self, db: Database, clock: Clock, house: ZoneInfo) -> None:
        self._db = db
        self._clock = clock
        self._house = house

    async def run(self) -> int:
        """Looks at every file that is to be looked at; answers how many."""
        done = 0
        while True:
            async with self._db.transaction() as tx:
                now = self._clock.now()
                persons = await customers.take_to_verify(tx, now, BATCH)
                if persons:
                    await self._settle(tx, persons, now)
            if not persons:
                return done
            done += len(persons)

    async def next_due(self) -> datetime | None:
        """When a file is next to be looked at."""
        async with self._db.transaction() as tx:
            return await customers.verifying_due(tx)

    async def _settle(self, tx: Tx, persons: Mapping[str, Customer | None], now: datetime) -> None:
        wanted = {id: person.verify_at(self._house) if person else None for id, person in persons.items()}
        standing, stale = set(), dict[str, list[str]]()
        for task in await store.of_files(tx, sorted(persons)):
            at = wanted[task.customer_id]
            if at == task.due_at:
                standing.add(task.customer_id)
            elif task.status == "open":
                stale.setdefault(_why_not(persons[task.customer_id], task.due_at, at), []).append(task.id)
        for reason, ids in stale.items():
            await store.close(tx, ids, "cancelled", now, reason, None)
        new = [
            _task(id, person, at, now)
            for id, person in persons.items()
            if person and (at := wanted[id]) and at <= now and id not in standing
        ]
        await store.insert(tx, new)
        await customers.look_at(tx, {id: at for id, at in wanted.items() if at and at > now})


def _task(id: str, person: Customer, at: datetime, now: datetime) -> Task:
    return Task(
        id=uuid4().hex,
        kind="verify-file",
        customer_id=id,
        title=f"Verify the file: something in it wants to be asked for again since {person.file.verify_by}",
        due_at=at,
        created_at=now,
        assignee=person.file.owner,
    )


def _why_not(person: Customer | None, was: datetime, at: datetime | None) -> str:
    if person is None:
        return "merged"
    if person.file.restricted:
        return "restricted"
    return "verified" if at and at > was else "changed"
