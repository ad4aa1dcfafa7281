"""What PostgreSQL does at the least for a movement of points: a row locked, changed, and one written beside it."""

import asyncio
import time
from collections.abc import Iterable, Iterator
from contextlib import AsyncExitStack

import asyncpg

CONNECTIONS = 8
"""At the same time, as many as ask for redemptions."""
_TABLES = """
CREATE TABLE bare_balances (id bigint PRIMARY KEY, points bigint NOT NULL) WITH (fillfactor = 80);
CREATE TABLE bare_movements (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    balance_id bigint NOT NULL,
    points bigint NOT NULL,
    occurred_at timestamptz NOT NULL
);
"""
_BALANCES = "INSERT INTO bare_balances SELECT id, 1000000000 FROM generate_series(1, $1::bigint) AS id"
_LOCK = "SELECT points FROM bare_balances WHERE id = $1 FOR UPDATE"
_CHANGE = "UPDATE bare_balances SET points = points - $2 WHERE id = $1"
_WRITE = "INSERT INTO bare_movements (balance_id, points, occurred_at) VALUES ($1, $2, now())"


async def measure(dsn: str, customers: int, transactions: int) -> float:
    """``transactions`` over so many balances in turn, ``BEGIN; SELECT … FOR UPDATE; UPDATE; INSERT; COMMIT`` each, on 8
    connections; in how many seconds. ``dsn``: of a database in which tables may be made.

    Raises AssertionError if one is lost.
    """
    async with AsyncExitStack() as stack:
        opened = []
        for _ in range(CONNECTIONS):
            connection = await asyncpg.connect(dsn)
            stack.push_async_callback(connection.close)
            opened.append(connection)
        await opened[0].execute(_TABLES)
        try:
            await opened[0].execute(_BALANCES, customers)
            # The first of each connection prepares its statements.
            await asyncio.gather(*(_work(each, [1]) for each in opened))
            waiting = _in_turn(customers, transactions)
            began = time.perf_counter()
            await asyncio.gather(*(_work(each, waiting) for each in opened))
            seconds = time.perf_counter() - began
            written = await opened[0].fetchval("SELECT count(*) FROM bare_movements")
            assert written == transactions + CONNECTIONS, f"{written} stand"
        finally:
            await opened[0].execute("DROP TABLE bare_balances, bare_movements")
    return seconds


async def _work(connection: "asyncpg.Connection[asyncpg.Record]", waiting: Iterable[int]) -> None:
    for balance in waiting:
        async with connection.transaction():
            assert await connection.fetchval(_LOCK, balance) > 0, "there are points enough"
            await connection.execute(_CHANGE, balance, 1)
            await connection.execute(_WRITE, balance, 1)


def _in_turn(customers: int, transactions: int) -> Iterator[int]:
    """One iterator for all connections: whoever is free takes the next."""
    return (1 + n % customers for n in range(transactions))
