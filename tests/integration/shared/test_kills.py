"""A service that dies at any statement of a merge, its undo or an erasure has done nothing of it, or all."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import cache
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr
from sqlalchemy.exc import DBAPIError

from deploy.catalogue import entry
from shared.clock import VirtualClock
from shared.contracts.topics import SERVICES
from shared.db import Database, fetch
from shared.http.settings import HttpSettings
from shared.messaging.records import Record
from shared.service import Service, Surroundings
from shared.settings import HouseSettings, KafkaSettings
from tests.kit.builders import NOW, at, purchase, record, returned
from tests.kit.databases import Databases
from tests.kit.scanning import places_of

EVERY = 1 if int(os.environ.get("ROOST_TEST_KILLS", "1")) >= 10 else 8
"""Death comes at each statement, BEGIN and COMMIT among them, where many are asked for; else at every eighth."""
FROM, INTO = "web:planted-1", "pos:planted-2"
_STATEMENTS = ("fetch", "fetchrow", "execute", "copy_records_to_table")
_TABLES = "SELECT relname AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
_STATE = """
SELECT '{0}' AS name, count(*) AS rows, md5(string_agg(CAST(t AS text), '' ORDER BY CAST(t AS text))) AS hash
FROM "{0}" AS t
"""
# Counts of what came in, which a second delivery adds to.
_COUNTS = ("flow", "consumer_offsets")


def steps() -> list[Record]:
    """A merge, its undo, the merge again, and the erasure of the person."""

    def said(topic: str, **data: Any) -> Record:
        cause = {"source": "/staff", "id": "1"}
        common = {"customer_id": INTO, "occurred_at": at(0), "caused_by": cause}
        return record(topic, {**common, **data}, id=f"{topic}-{data['sequence']}", source="/roost/profile")

    merge = {"merge_id": "m_1", "from_id": FROM, "into_id": INTO}
    return [
        said("customer-merged", **merge, version=1, sequence=1),
        said("customer-unmerged", **merge, version=2, sequence=2),
        said("customer-merged", **merge, version=3, sequence=3),
        said("customer-erased", erasure_id="e_1", customer_ids=[FROM, INTO], sequence=4),
    ]


@cache
def story() -> list[Record]:
    """The same each time: what all four services have made something of."""
    feedback = {"customer_id": FROM, "feedback_id": "web:f-1", "channel": "web", "kind": "complaint"}
    told = {"customer_id": FROM, "caused_by": {"source": "/staff", "id": "2"}, "occurred_at": at(1)}
    gift = {"grant_id": "g-1", "kind": "gift", "points": 60, "available_from": at(1), "programme_version": 1}
    # One lot is the other's: merge and undo settle it.
    lots = [{"id": "web:1", "points": 90}, {"id": "g-1", "points": 20, "origin": "gift"}, {"id": "pos:1", "points": 15}]
    spent = {"redemption_id": "rd_1", "points": 125, "lots": lots}
    return [
        record("purchase-recorded", purchase(FROM, "web:1", total="900", days_ago=40)),
        record("purchase-recorded", purchase(FROM, "web:2", total="300", days_ago=3)),
        record("purchase-recorded", purchase(INTO, "pos:1", total="500", days_ago=9)),
        record("purchase-returned", returned("web:2", customer_id=FROM)),
        record("feedback-received", {**feedback, "occurred_at": at(2)}),
        record("points-granted", {**told, **gift, "sequence": 1}, id=f"{FROM}:1", source="/roost/loyalty"),
        record("points-spent", {**told, **spent, "sequence": 2}, id=f"{FROM}:2", source="/roost/loyalty"),
    ]


@asynccontextmanager
async def running(databases: Databases, name: str) -> AsyncIterator[tuple[Service, "asyncpg.Connection[Any]"]]:
    async with databases.fresh(name) as database:
        settings: dict[str, Any] = {"database_url": SecretStr(database.dsn)}
        if name == "profile":
            settings["master_key"] = SecretStr("a master key of thirty-two bytes or more")
        http = HttpSettings(jwt_secret=SecretStr("a secret of thirty-two bytes, for tests"))
        surroundings = Surroundings(HouseSettings(), KafkaSettings(), http, VirtualClock(NOW))
        found = entry(name)
        service = found.build(surroundings, found.settings(**settings))
        admin = await asyncpg.connect(databases.admin_dsn)
        try:
            await service.intake.take([one for one in story() if one.topic in service.topics])
            # Who dies tries nothing again.
            service.intake.retries = 0
            yield service, admin
        finally:
            await admin.close()
            await service.db.close()


async def state(db: Database) -> dict[str, tuple[int, str | None]]:
    """Of every table how many rows there are, and what they are."""
    async with db.transaction() as tx:
        tables = sorted(row["name"] for row in await fetch(tx, _TABLES))
        # The index's key is made by itself, once a database.
        rows = await fetch(tx, " UNION ALL ".join(_STATE.format(name) for name in tables if name != "index_keys"))
    return {row["name"]: (row["rows"], row["hash"]) for row in rows}


def counted(found: dict[str, tuple[int, str | None]]) -> dict[str, int]:
    return {name: rows for name, (rows, _) in found.items()}


class Kill:
    """Ends the connection just before the ``at``-th statement of whoever isn't ``admin``; the dead say nothing more."""

    def __init__(self, admin: "asyncpg.Connection[Any]", at: int) -> None:
        self.admin, self.at, self.seen = admin, at, 0

    def of(self, real: Callable[..., Any]) -> Callable[..., Any]:
        async def statement(connection: "asyncpg.Connection[Any]", *args: Any, **kwargs: Any) -> Any:
            if connection is not self.admin:
                self.seen += 1
                if self.seen > self.at:
                    raise ConnectionResetError("dead")
                if self.seen == self.at:
                    await self.admin.execute("SELECT pg_terminate_backend($1, 5000)", connection.get_server_pid())
            return await real(connection, *args, **kwargs)

        return statement


async def killed(service: Service, step: Record, kill: Kill) -> bool:
    """Takes a record in, and dies where ``kill`` says; False where there was nothing left to die of."""
    with pytest.MonkeyPatch.context() as patch:
        for name in _STATEMENTS:
            patch.setattr(asyncpg.Connection, name, kill.of(getattr(asyncpg.Connection, name)))
        with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, DBAPIError, OSError):
            await service.intake.take([step])
    return kill.seen >= kill.at


@pytest.mark.parametrize("name", SERVICES)
async def test_death_at_any_statement_leaves_nothing_by_halves(databases: Databases, name: str) -> None:
    async with running(databases, name) as (twin, _):
        expected = []
        for step in steps():
            await twin.intake.take([step])
            expected.append(counted(await state(twin.db)))

    async with running(databases, name) as (service, admin):
        for step, rows in zip(steps(), expected, strict=True):
            before, at = await state(service.db), 1 + len(name) % EVERY
            while True:
                kill = Kill(admin, at)
                if not await killed(service, step, kill):
                    break
                assert await state(service.db) == before, f"{step.topic}, killed at statement {at}"
                at += EVERY
            assert at > 8, "a merge takes more statements"
            done = await state(service.db)
            assert counted(done) == rows, step.topic
            await service.intake.take([step])
            again = await state(service.db)
            assert {name: again[name] for name in again if name not in _COUNTS} == {
                name: done[name] for name in done if name not in _COUNTS
            }, f"{step.topic} once more"
        left = {table for table, _ in await places_of(service.db, [FROM, INTO])}
        assert left <= {"outbox", "erasures", "inbox"}
