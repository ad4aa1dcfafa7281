"""The floor: what no consumer of these events, writing these rows, can do without: reading the one, COPY of the other.

Every event is read and checked against its contract; every row that the consumer wrote stands decided in memory. A row
that was written over is written once for each of its versions, since PostgreSQL writes a whole row for an update, too;
its later versions go to a table without an index, which is what an update costs that touches none.
"""

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from graphlib import TopologicalSorter
from itertools import cycle, islice
from typing import Any

import asyncpg

from deploy.bench.purchases import SOURCE, Purchase
from deploy.bench.stage import Fresh, Stage
from shared.messaging.envelope import read_record
from shared.messaging.records import Record

BATCH = 500
OUTBOX = "outbox"
_VERSIONS = "_versions"
# What the database makes itself is left to it.
_COLUMNS = """
SELECT c.relname AS name, array_agg(a.attname::text ORDER BY a.attnum) AS columns
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attgenerated = ''
GROUP BY c.relname ORDER BY c.relname
"""
_REFERENCES = """
SELECT child.relname AS child, parent.relname AS parent,
    ARRAY(SELECT attname::text FROM unnest(conkey) WITH ORDINALITY AS k (n, place)
          JOIN pg_attribute ON attrelid = conrelid AND attnum = k.n ORDER BY place) AS child_columns,
    ARRAY(SELECT attname::text FROM unnest(confkey) WITH ORDINALITY AS k (n, place)
          JOIN pg_attribute ON attrelid = confrelid AND attnum = k.n ORDER BY place) AS parent_columns
FROM pg_constraint JOIN pg_class child ON child.oid = conrelid JOIN pg_class parent ON parent.oid = confrelid
WHERE contype = 'f' AND connamespace = 'public'::regnamespace AND conrelid <> confrelid
"""
# What the statistics have of every row version: those that a rollback or a delete took away were written, too.
_WRITES = "SELECT relname AS name, n_tup_ins + n_tup_upd AS writes FROM pg_stat_user_tables WHERE schemaname = 'public'"
_SENT = "SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence('outbox', 'id')::regclass), 0)"
_APPLIED = "SELECT coalesce(sum(applied), 0) FROM flow WHERE source = $1"
_REFUSED = "SELECT code || ': ' || detail FROM dead_letters ORDER BY id LIMIT 1"


@dataclass(frozen=True, slots=True)
class Written:
    """Rows of one table, and the columns they have."""

    table: str
    columns: list[str]
    rows: list[tuple[Any, ...]]

    def keys(self, names: Sequence[str]) -> list[tuple[Any, ...]]:
        """Those columns of each row."""
        places = [self.columns.index(name) for name in names]
        return [tuple(row[place] for place in places) for row in self.rows]


@dataclass(frozen=True, slots=True)
class Share:
    """What one transaction writes to one table."""

    table: str
    columns: list[str]
    rows: list[tuple[Any, ...]]


def read_seconds(purchases: Sequence[Purchase]) -> float:
    """Seconds to decode and check the events, as every consumer must."""
    now = datetime.now(UTC)
    began = time.perf_counter()
    for purchase in purchases:
        read_record("purchase-recorded", purchase.key, purchase.value, (), now)
    return time.perf_counter() - began


async def copy_seconds(database: Fresh, batches: Sequence[Sequence[Share]]) -> float:
    """Seconds to COPY the shares into a fresh database, a transaction for each batch."""
    async with _connected(database.admin_dsn) as connection:
        for table in sorted({share.table for batch in batches for share in batch if share.table.endswith(_VERSIONS)}):
            original = table.removesuffix(_VERSIONS)
            await connection.execute(f'CREATE TABLE "{table}" (LIKE "{original}" INCLUDING DEFAULTS)')
        began = time.perf_counter()
        for batch in batches:
            async with connection.transaction():
                for share in batch:
                    await connection.copy_records_to_table(share.table, columns=share.columns, records=share.rows)
        return time.perf_counter() - began


async def written_by(consumed: Fresh, template_dsn: str, outbox: Written, batches: int) -> list[list[Share]]:
    """Every row written to ``consumed``, and as many outbox rows as it has sent, dealt out to transactions.

    Tables that the template has rows in are left out: migrations wrote those.
    """
    async with _connected(template_dsn) as connection:
        columns = {row["name"]: row["columns"] for row in await connection.fetch(_COLUMNS)}
        ours = {name for name in columns if not await connection.fetchval(f'SELECT EXISTS (SELECT FROM "{name}")')}
    async with _connected(consumed.admin_dsn) as connection:
        tables = {name: await _read(connection, name, columns[name]) for name in sorted(ours - {OUTBOX})}
        references = [dict(row) for row in await connection.fetch(_REFERENCES) if {row["child"], row["parent"]} <= ours]
        sent = int(await connection.fetchval(_SENT))
        writes = {row["name"]: int(row["writes"]) for row in await connection.fetch(_WRITES)}
    for name, table in list(tables.items()):
        versions = list(islice(cycle(table.rows), writes[name] - len(table.rows)))
        tables[name + _VERSIONS] = Written(name + _VERSIONS, table.columns, versions)
    tables[OUTBOX] = Written(OUTBOX, outbox.columns, list(islice(cycle(outbox.rows), sent)))
    return dealt(tables, references, batches)


def dealt(tables: Mapping[str, Written], references: Sequence[Mapping[str, Any]], batches: int) -> list[list[Share]]:
    """Each table's rows spread evenly, referenced tables first; a row that others refer to comes no later than they."""
    order = TopologicalSorter[str]({name: set() for name in tables})
    for reference in references:
        order.add(reference["child"], reference["parent"])
    names = list(order.static_order())
    places = {name: [n * batches // len(each.rows) for n in range(len(each.rows))] for name, each in tables.items()}
    for name in reversed(names):
        for reference in (each for each in references if each["child"] == name):
            parent, wanted = reference["parent"], dict[tuple[Any, ...], int]()
            for key, place in zip(tables[name].keys(reference["child_columns"]), places[name], strict=True):
                wanted[key] = min(place, wanted.get(key, batches))
            keys = tables[parent].keys(reference["parent_columns"])
            places[parent] = [min(n, wanted.get(key, batches)) for n, key in zip(places[parent], keys, strict=True)]
    shares = [[Share(name, tables[name].columns, []) for name in names] for _ in range(batches)]
    for number, name in enumerate(names):
        for row, place in zip(tables[name].rows, places[name], strict=True):
            shares[place][number].rows.append(row)
    return [[share for share in batch if share.rows] for batch in shares]


async def outbox_of(stage: Stage, database: Fresh, purchases: Sequence[Purchase]) -> Written:
    """The outbox rows of a sample of purchases, taken in without a relay to carry them off."""
    service = stage.build(database.service, database.dsn)
    try:
        for start in range(0, len(purchases), BATCH):
            batch = [Record("purchase-recorded", p.key, p.value) for p in purchases[start : start + BATCH]]
            await service.intake.take(batch)
    finally:
        await service.db.close()
    async with _connected(database.admin_dsn) as connection:
        names = next(row["columns"] for row in await connection.fetch(_COLUMNS) if row["name"] == OUTBOX)
        return await _read(connection, OUTBOX, [name for name in names if name != "id"])


async def applied(database: Fresh) -> tuple[int, str]:
    """How many of our purchases a service has applied, and why it has refused the first that it has refused."""
    async with _connected(database.admin_dsn) as connection:
        return int(await connection.fetchval(_APPLIED, SOURCE)), await connection.fetchval(_REFUSED) or ""


async def _read(connection: "asyncpg.Connection[asyncpg.Record]", table: str, columns: list[str]) -> Written:
    names = ", ".join(f'"{name}"' for name in columns)
    # Where a row stands follows when it was written.
    rows = await connection.fetch(f'SELECT {names} FROM "{table}" ORDER BY ctid')
    return Written(table, columns, [tuple(row) for row in rows])


@asynccontextmanager
async def _connected(dsn: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()
