"""Which of the database's errors are worth another try: each one made for real."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import date
from typing import Any

import asyncpg
import pytest

from shared.db import Database, Reader, Tx, copy, execute, fetch, is_transient
from tests.integration.shared.effects import query
from tests.kit.databases import TestDatabase

SERVICE = "shared"


async def error_of(db: Database, work: Callable[[Tx], Awaitable[object]]) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011  # which one it is, is the question
        async with db.transaction() as tx:
            await work(tx)
    assert isinstance(caught.value, Exception)
    return caught.value


async def kill(test_database: TestDatabase, tx: Tx) -> None:
    pid = (await fetch(tx, "SELECT pg_backend_pid() AS pid"))[0]["pid"]
    other = await asyncpg.connect(test_database.dsn)
    await other.fetchval("SELECT pg_terminate_backend($1, 5000)", pid)
    await other.close()


async def test_a_lost_connection_is_transient(database: Database, test_database: TestDatabase) -> None:
    async def work(tx: Tx) -> None:
        await kill(test_database, tx)
        await fetch(tx, "SELECT 1")

    assert is_transient(await error_of(database, work))


async def test_a_connection_lost_in_a_copy_is_transient(database: Database, test_database: TestDatabase) -> None:
    async def work(tx: Tx) -> None:
        await kill(test_database, tx)
        await copy(tx, "job_runs", ("job", "ran_at"), [])

    assert is_transient(await error_of(database, work))


async def test_a_serialization_failure_is_transient(database: Database) -> None:
    async def work(tx: Tx) -> None:
        await execute(tx, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        await fetch(tx, "SELECT * FROM sequences")
        await query(database, "UPDATE sequences SET last = 2 RETURNING last")
        await execute(tx, "UPDATE sequences SET last = 3")

    await query(database, "INSERT INTO sequences VALUES ('c-1', 1) RETURNING last")
    assert is_transient(await error_of(database, work))


async def test_a_lock_that_is_not_to_be_had_is_transient(database: Database) -> None:
    async def work(tx: Tx) -> None:
        await fetch(tx, "SELECT pg_advisory_xact_lock(7)")
        await error_of(database, wait_shortly)
        raise await error_of(database, wait_shortly)

    async def wait_shortly(tx: Tx) -> None:
        await execute(tx, "SET LOCAL lock_timeout = '10ms'")
        await fetch(tx, "SELECT pg_advisory_xact_lock(7)")

    assert is_transient(await error_of(database, work))


async def test_an_empty_pool_is_transient(test_database: TestDatabase) -> None:
    db = Database(test_database.dsn, pool_size=1)
    db.patience = 0.05
    async with db.transaction(), db.transaction():
        assert is_transient(await error_of(db, lambda tx: fetch(tx, "SELECT 1")))
    await db.close()


@pytest.mark.parametrize(
    "dsn", ["postgresql://roost_service:test@127.0.0.1:1/x", "postgresql://a:b@no.such.host.invalid/x"]
)
async def test_a_server_that_is_not_there_is_transient(dsn: str) -> None:
    db = Database(dsn, pool_size=1)
    assert is_transient(await error_of(db, lambda tx: fetch(tx, "SELECT 1")))
    await db.close()


@pytest.mark.parametrize(
    ("sql", "argument"),
    [
        ("SELECT CAST(:x AS int)", 2**40),
        ("SELECT CAST(:x AS timestamptz)", "tomorrow"),
        ("SELECT CAST(:x AS text)", "a\x00b"),
        ("SELECT 1 / CAST(:x AS int)", 0),
        ("SELECT * FROM no_such_table WHERE x = :x", 1),
        ("INSERT INTO sequences VALUES ('c-1', CAST(:x AS bigint)), ('c-1', 2)", 1),
        ("CREATE TABLE mine (x int) -- :x", 1),
    ],
)
async def test_what_an_argument_or_a_statement_does_wrong_is_not(
    database: Database, sql: str, argument: object
) -> None:
    error = await error_of(database, lambda tx: fetch(tx, sql, x=argument))
    assert not is_transient(error)


async def test_a_copy_that_breaks_a_rule_is_not(database: Database) -> None:
    rows = [("c-1", 1), ("c-1", 2)]
    assert not is_transient(await error_of(database, lambda tx: copy(tx, "sequences", ("customer_id", "last"), rows)))
    assert await query(database, "SELECT * FROM sequences") == []


async def test_what_went_into_a_statement_does_not_come_out_in_its_error(database: Database) -> None:
    error = await error_of(database, lambda tx: fetch(tx, "SELECT CAST(:x AS text), 1 / 0", x="a secret"))
    assert "a secret" not in str(error)


async def test_a_copy_belongs_to_its_transaction(database: Database) -> None:
    async def work(tx: Tx) -> None:
        await copy(tx, "sequences", ("customer_id", "last"), [("c-1", 1)])
        raise asyncio.QueueEmpty

    await error_of(database, work)
    assert await query(database, "SELECT * FROM sequences") == []


async def test_a_reading_connection_that_was_lost_is_not_given_out_again(
    database: Database, test_database: TestDatabase
) -> None:
    other = await asyncpg.connect(test_database.dsn)

    async def cut_off() -> None:
        async with database.connection() as reader:
            await other.fetchval("SELECT pg_terminate_backend($1, 5000)", reader.get_server_pid())
            await reader.fetch("SELECT 1")

    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)):
        await cut_off()
    await other.close()
    async with database.connection() as reader:
        assert await reader.fetchval("SELECT $1::int", 7) == 7
        kept = reader
    async with database.connection() as reader:
        assert reader is kept


async def test_reads_at_once_leave_no_connection_behind_however_many_they_are(test_database: TestDatabase) -> None:
    database, pids = Database(test_database.dsn, pool_size=2), set[int]()

    async def read() -> None:
        async with database.connection() as reader:
            pids.add(await reader.fetchval("SELECT pg_backend_pid()"))

    try:
        for _ in range(3):
            await asyncio.gather(*(read() for _ in range(4)))
        assert len(pids) <= database.connections
    finally:
        await database.close()


async def test_types_of_postgresql_itself_are_asked_for_once_a_process_and_ones_of_a_database_by_each_connection(
    test_database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[set[int]] = []
    ask = asyncpg.Connection._introspect_types  # type: ignore[attr-defined]  # not in the stubs

    async def counted(connection: object, typeoids: set[int], *options: object) -> object:
        asked.append(typeoids)
        return await ask(connection, typeoids, *options)

    monkeypatch.setattr(asyncpg.Connection, "_introspect_types", counted)
    owner = await asyncpg.connect(test_database.owner_dsn)
    await owner.execute("CREATE TYPE mood AS ENUM ('merry', 'low')")
    await owner.close()
    for _ in range(2):
        database = Database(test_database.dsn)
        async with database.transaction() as tx:
            sql = "SELECT CAST(:numbers AS bigint[]) AS numbers, CAST(:days AS date[]) AS days"
            days = [date(2026, 11, 22), None]
            assert dict((await fetch(tx, sql, numbers=[1, 2**40], days=days))[0]) == {
                "numbers": [1, 2**40], "days": days,
            }  # fmt: skip
            moods = await fetch(tx, "SELECT CAST(:moods AS mood[]) AS moods", moods=["low", "merry"])
            assert moods[0]["moods"] == ["low", "merry"]
        await database.close()
    assert sum(max(oids) < 10_000 for oids in asked) <= 1
    assert sum(max(oids) >= 10_000 for oids in asked) == 2


async def test_what_is_committed_after_a_cancelled_transaction_is_there(
    database: Database, test_database: TestDatabase
) -> None:
    """However far the other had come: before BEGIN, in it, in a statement, in the rollback."""
    other = await asyncpg.connect(test_database.dsn)

    async def cut_short() -> None:
        async with database.transaction() as tx:
            await fetch(tx, "SELECT pg_sleep(0.01)")

    for steps in range(24):
        task = asyncio.create_task(cut_short())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with database.transaction() as tx:
            await execute(tx, "INSERT INTO sequences VALUES (:id, 1)", id=f"c-{steps}")
        assert await other.fetchval("SELECT count(*) FROM sequences") == steps + 1
    await other.close()


async def test_a_statement_that_a_migration_outdated_is_worth_another_try(
    database: Database, test_database: TestDatabase
) -> None:
    async def read(tx: Tx) -> None:
        await fetch(tx, "SELECT * FROM sequences")

    async with database.transaction() as tx:
        await read(tx)
    owner = await asyncpg.connect(test_database.owner_dsn)
    await owner.execute("ALTER TABLE sequences ADD COLUMN added int")
    await owner.close()
    assert is_transient(await error_of(database, read))
    async with database.transaction() as tx:
        await read(tx)


async def test_a_begin_that_fails_takes_its_connection_with_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await query(database, "SELECT 1 AS one") == [{"one": 1}]
    ask, refused = asyncpg.Connection.execute, list[str]()

    async def refusing_once(connection: Reader, query: str, *args: object, **options: Any) -> str:
        if query.startswith("BEGIN") and not refused:
            refused.append(query)
            raise asyncpg.QueryCanceledError("canceling statement due to statement timeout")
        return await ask(connection, query, *args, **options)

    monkeypatch.setattr(asyncpg.Connection, "execute", refusing_once)
    with pytest.raises(asyncpg.QueryCanceledError):
        async with database.transaction():
            pytest.fail("the transaction hasn't begun")
    async with database.transaction() as tx:
        await execute(tx, "INSERT INTO sequences VALUES ('c-1', 1)")
    assert len(await query(database, "SELECT * FROM sequences")) == 1


async def test_connections_that_were_lost_at_rest_are_replaced_unnoticed(
    database: Database, test_database: TestDatabase
) -> None:
    async def ask() -> None:
        async with database.transaction() as tx:
            await fetch(tx, "SELECT pg_sleep(0.01)")

    await asyncio.gather(*(ask() for _ in range(8)))
    other = await asyncpg.connect(test_database.dsn)
    others = "datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()"
    assert len(await other.fetch(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {others}")) == 8
    await other.close()
    await asyncio.sleep(0.05)
    await asyncio.gather(*(ask() for _ in range(8)))


async def test_what_a_lost_connection_was_doing_is_told(database: Database, test_database: TestDatabase) -> None:
    async def work(tx: Tx) -> None:
        await kill(test_database, tx)
        raise asyncio.QueueEmpty

    assert isinstance(await error_of(database, work), asyncio.QueueEmpty)
