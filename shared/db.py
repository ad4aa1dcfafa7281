"""PostgreSQL on the driver itself: connections, transactions, SQL with bound parameters, what is worth another try."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import lru_cache, partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple, NewType

import asyncpg
import msgspec
from sqlalchemy import text
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg

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

    def __init__(
        self, dsn: str, *, pool_size: int = 10, application_name: str = "roost", planned_once: bool = False
    ) -> None:
        """``dsn`` is ``postgresql://user:password@host:port/database``. Connects when needed, up to twice ``pool_size``
        times. ``planned_once``: each connection plans a statement once, whatever it is asked for, where else PostgreSQL
        may do so every time: for statements that look a handful of rows up by their keys."""
        self.connections = 2 * pool_size
        self.patience = 30.0
        """Seconds until whoever waits for a connection gives up."""
        self._dsn, self._application_name = dsn, application_name
        self._session = {**_SESSION, **({"plan_cache_mode": "force_generic_plan"} if planned_once else {})}
        self._free = asyncio.Semaphore(self.connections)
        self._at_rest: list[Reader] = []

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        """Commits at the end of the block, rolls back on an exception."""
        async with self.connection() as driver, begun(driver) as tx:
            yield tx

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Reader]:
        """A connection on which each statement stands for itself: for a read that is asked often and is one statement,
        so that it sees one instant without the round trips of a transaction."""
        at_rest = self._at_rest
        driver = await self._take()
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
            elif at_rest is self._at_rest:
                at_rest.append(driver)
            else:
                # The others of its time were given back meanwhile.
                driver.terminate()
            self._free.release()

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
        """Gives all connections back; those at work follow."""
        at_rest, self._at_rest = self._at_rest, []
        for driver in at_rest:
            await driver.close()

    async def _take(self) -> Reader:
        """The connection that was given back last, or a new one. A place is taken by it."""
        if self._free.locked():
            async with asyncio.timeout(self.patience):
                await self._free.acquire()
        else:
            await self._free.acquire()
        try:
            while self._at_rest:
                # It may have been lost while it rested; nothing has been asked of it yet.
                if not (driver := self._at_rest.pop()).is_closed():
                    return driver
            return await self._connect()
        except BaseException:
            self._free.release()
            raise

    async def _connect(self) -> Reader:
        driver = await asyncpg.connect(
            self._dsn,
            connection_class=_Connection,
            server_settings={"application_name": self._application_name, **self._session},
        )
        try:
            for name, prefix in (("json", b""), ("jsonb", b"\x01")):
                # It goes in as text, and comes out as what that says. In binary, for arrays of it, too.
                await driver.set_type_codec(
                    name,
                    schema="pg_catalog",
                    format="binary",
                    encoder=partial(_json_in, prefix),
                    decoder=partial(_json_out, len(prefix)),
                )
        except BaseException:
            driver.terminate()
            raise
        return driver


def _json_in(prefix: bytes, document: str) -> bytes:
    return prefix + document.encode()


def _json_out(skipped: int, document: bytes) -> Any:
    return msgspec.json.decode(document[skipped:])


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


class Part(NamedTuple):
    """Rows to be written, and the SQL that does: it reads them as JSON, at ``name`` of the object ``said.all``."""

    name: str
    sql: str
    rows: Sequence[Mapping[str, Any]]


async def write(tx: Tx, parts: Iterable[Part]) -> None:
    """All parts that have rows, in one round trip and as one parameter: of a handful of rows an array a column costs
    more than to read JSON. None of them sees what another one writes."""
    filled = [part for part in parts if part.rows]
    if filled:
        said = msgspec.json.encode({part.name: part.rows for part in filled}).decode()
        await execute(tx, _writing(tuple((part.name, part.sql) for part in filled)), said=said)


@lru_cache(maxsize=256)
def _writing(parts: tuple[tuple[str, str], ...]) -> str:
    named = [f"{name}_ AS ({sql}\n)" for name, sql in parts]
    said = "said AS MATERIALIZED (SELECT CAST(:said AS jsonb) AS all)"
    return f"WITH {', '.join([said, *named])} SELECT count(*) FROM said"


async def copy(tx: Tx, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Bulk insert by COPY, in the transaction."""
    await tx.copy_records_to_table(table, columns=list(columns), records=rows)


def is_transient(error: BaseException) -> bool:
    """Whether the same work may succeed when run again: deadlock, serialization, a lost connection, a full disk.

    An argument that the driver refuses (``asyncpg.DataError`` is an InterfaceError) stays wrong however often it is
    sent. A statement that was prepared before
    a migration of its table fails once a connection.
    """
    if isinstance(error, asyncpg.InvalidCachedStatementError):
        return True
    if isinstance(error, asyncpg.PostgresError):
        return _is_transient_state(error.sqlstate)
    if isinstance(error, asyncpg.InterfaceError):
        return "closed" in str(error)
    return isinstance(error, OSError)


def columns(rows: Sequence[Mapping[str, Any] | tuple[Any, ...]], width: int) -> list[list[Any]]:
    """Rows turned into ``width`` columns, as ``unnest`` takes them; empty columns for no rows."""
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]


def _is_transient_state(sqlstate: str | None) -> bool:
    return sqlstate is not None and sqlstate.startswith(_TRANSIENT)
