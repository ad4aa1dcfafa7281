"""PostgreSQL: SQLAlchemy's engine for the pool, the driver itself for transactions and SQL with bound parameters."""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import lru_cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NewType

import asyncpg
from sqlalchemy import PoolProxiedConnection, text
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import create_async_engine

if TYPE_CHECKING:
    Reader = asyncpg.Connection[asyncpg.Record]
else:
    Reader = asyncpg.Connection
"""A connection, each statement on it for itself."""
Tx = NewType("Tx", Reader)
"""A connection inside a transaction: committed by whoever opened it, never by application code."""
Row = asyncpg.Record
"""What a statement answers: by name, by position, or unpacked."""

# Connection, rollback, resources (disk, memory, connections), shutdown, input and output; then: lock not available,
# a primary that became read-only, an idle transaction that was ended.
_TRANSIENT = ("08", "40", "53", "57P", "58", "55P03", "25006", "25P03")
# A server that lost its client without a word must not keep the client's locks for two hours.
_SESSION = {
    "timezone": "UTC", "tcp_keepalives_idle": "30", "tcp_keepalives_interval": "10", "tcp_keepalives_count": "3",
}  # fmt: skip
_DIALECT = PGDialect_asyncpg()  # type: ignore[no-untyped-call]

# PostgreSQL writes the numbers of its own types by hand below this (transam.h, FirstGenbkiObjectId): in every database
# and version they are the same.
_FIRST_GENERATED_OID = 10_000
_known_types: dict[frozenset[int], Any] = {}
_NOT_ASKED = SimpleNamespace(name="known")


class _Connection(asyncpg.Connection):
    """Asks once a process what PostgreSQL's own types are: the driver would ask on each new connection for each type of
    array it meets, 3 ms a time."""

    async def _introspect_types(self, typeoids: Collection[int], *options: Any) -> Any:
        wanted = frozenset(typeoids)
        if max(wanted) >= _FIRST_GENERATED_OID:
            return await super()._introspect_types(typeoids, *options)  # type: ignore[misc]  # not in the stubs
        if wanted not in _known_types:
            _known_types[wanted], _ = await super()._introspect_types(typeoids, *options)  # type: ignore[misc]
        return _known_types[wanted], _NOT_ASKED


class Database:
    """A pool of connections to one service's database."""

    def __init__(self, dsn: str, *, pool_size: int = 10, application_name: str = "roost") -> None:
        """``dsn`` is ``postgresql://user:password@host:port/database``. Connects when needed, up to twice ``pool_size``
        times."""
        self.connections = 2 * pool_size
        self._dsn, self._application_name = dsn, application_name
        self.engine = create_async_engine(
            dsn.replace("postgresql://", "postgresql+asyncpg://", 1),
            # None is opened beside the pool: given back, it would be closed, which ``connection`` has no greenlet for.
            pool_size=self.connections,
            max_overflow=0,
            pool_use_lifo=True,
            connect_args={
                "connection_class": _Connection,
                "server_settings": {"application_name": application_name, **_SESSION},
            },
        )

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        """Commits at the end of the block, rolls back on an exception."""
        async with self.connection() as driver, begun(driver) as tx:
            yield tx

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Reader]:
        """A connection on which each statement stands for itself: for a read that is asked often and is one statement,
        so that it sees one instant without the round trips of a transaction."""
        pooled = await self.engine.raw_connection()
        while (driver := _driver_of(pooled)).is_closed():
            # It was lost while it rested; nothing has been asked of it yet.
            pooled.invalidate()
            pooled.close()
            pooled = await self.engine.raw_connection()
        lost = False
        try:
            yield driver
        except BaseException as error:
            # A connection that the server ends while it is asked may not know yet that it is closed, and one whose user
            # was cancelled may still be at work.
            lost = not isinstance(error, Exception) or isinstance(
                error, asyncpg.InterfaceError | asyncpg.InternalClientError | OSError
            )
            raise
        finally:
            if lost or driver.is_closed() or driver.is_in_transaction():
                driver.terminate()
                pooled.invalidate()
            pooled.close()

    @asynccontextmanager
    async def apart(self) -> AsyncIterator[Tx]:
        """A transaction on a connection of its own, which is opened for it: for what must stand however the transaction
        in hand ends, without taking a second connection from a pool that may be all in hand."""
        apart = Database(self._dsn, pool_size=1, application_name=self._application_name)
        try:
            async with apart.transaction() as tx:
                yield tx
        finally:
            await apart.close()

    async def close(self) -> None:
        """Gives all connections back."""
        await self.engine.dispose()


@asynccontextmanager
async def begun(connection: Reader) -> AsyncIterator[Tx]:
    """A transaction on a connection that is at hand; see ``Database.transaction``."""
    transaction = connection.transaction()
    # The driver takes a BEGIN for done that was cancelled or failed: whoever had the connection next, would get a
    # savepoint of a transaction that nobody commits.
    async with _or_terminated(connection):
        await transaction.start()
    try:
        yield Tx(connection)
    except BaseException:
        # What went wrong is told, not that a lost connection can't be rolled back.
        with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            async with _or_terminated(connection):
                await transaction.rollback()
        raise
    async with _or_terminated(connection):
        await transaction.commit()


def _driver_of(pooled: PoolProxiedConnection) -> Reader:
    driver = pooled.driver_connection
    assert isinstance(driver, asyncpg.Connection), "the engine is asyncpg's"
    return driver


@asynccontextmanager
async def _or_terminated(driver: Reader) -> AsyncIterator[None]:
    try:
        yield
    except BaseException:
        driver.terminate()
        raise


@lru_cache(maxsize=2_048)
def _compiled(sql: str) -> tuple[str, tuple[str, ...]]:
    """The statement with ``$1`` in place of ``:name``, and the names in that order."""
    compiled = text(sql).compile(dialect=_DIALECT)
    return compiled.string, tuple(compiled.positiontup or ())


async def fetch(tx: Reader, sql: str, **params: Any) -> Sequence[Row]:
    """The rows of a statement with ``:name`` parameters; lists go in as arrays: ``= ANY(:ids)``."""
    statement, names = _compiled(sql)
    return await tx.fetch(statement, *[params[name] for name in names])


async def execute(tx: Reader, sql: str, **params: Any) -> int:
    """Runs a statement; answers the number of rows it touched."""
    statement, names = _compiled(sql)
    status = await tx.execute(statement, *[params[name] for name in names])
    touched = status.rpartition(" ")[2]
    return int(touched) if touched.isdigit() else 0


async def copy(tx: Tx, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Bulk insert by COPY, in the transaction."""
    await tx.copy_records_to_table(table, columns=list(columns), records=rows)


def is_transient(error: BaseException) -> bool:
    """Whether the same work may succeed when run again: deadlock, serialization, a lost connection, a full disk.

    An argument that the driver refuses (``asyncpg.DataError`` is an InterfaceError) stays wrong however often it is
    sent. The pool speaks of a connection that it can't open in errors of its own. A statement that was prepared before
    a migration of its table fails once a connection.
    """
    if isinstance(error, asyncpg.InvalidCachedStatementError):
        return True
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or _is_transient_state(getattr(error.orig, "sqlstate", None))
    if isinstance(error, asyncpg.PostgresError):
        return _is_transient_state(error.sqlstate)
    if isinstance(error, asyncpg.InterfaceError):
        return "closed" in str(error)
    return isinstance(error, OSError | PoolTimeout)


def columns(rows: Sequence[Mapping[str, Any] | tuple[Any, ...]], width: int) -> list[list[Any]]:
    """Rows turned into ``width`` columns, as ``unnest`` takes them; empty columns for no rows."""
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]


def _is_transient_state(sqlstate: str | None) -> bool:
    return sqlstate is not None and sqlstate.startswith(_TRANSIENT)
