"""Merges on PostgreSQL: any order and duplication leaves the same groups, each version is acknowledged."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from shared.db import Database, execute, fetch
from shared.messaging import merges
from shared.messaging.events import Event
from tests.kit.builders import NOW, at, event
from tests.kit.databases import TestDatabase

SERVICE = "loyalty"


@pytest_asyncio.fixture
async def db(test_database: TestDatabase, database: Database) -> AsyncIterator[Database]:
    owner = await asyncpg.connect(test_database.owner_dsn)
    if not await owner.fetchval("SELECT to_regclass('merges')"):
        await owner.execute(merges.MERGES_V1)
    await owner.close()
    async with database.transaction() as tx:
        await execute(tx, "DELETE FROM merges")
        await execute(tx, "DELETE FROM survivors")
        await execute(tx, "DELETE FROM outbox")
    yield database


def merged(merge_id: str, from_id: str, into_id: str, *, days_ago: float = 5) -> Event:
    return event("customer-merged", fields(merge_id, 1, from_id, into_id, days_ago))


def unmerged(merge_id: str, from_id: str, into_id: str, *, days_ago: float = 1) -> Event:
    return event("customer-unmerged", fields(merge_id, 2, from_id, into_id, days_ago))


def fields(merge_id: str, version: int, from_id: str, into_id: str, days_ago: float) -> dict[str, Any]:
    return {
        "customer_id": into_id, "sequence": 1, "caused_by": {"source": "/x", "id": merge_id},
        "occurred_at": at(days_ago), "merge_id": merge_id, "version": version, "from_id": from_id, "into_id": into_id,
    }  # fmt: skip


async def take(db: Database, events: Sequence[Event]) -> set[str]:
    async with db.transaction() as tx:
        return await merges.apply(tx, SERVICE, events, NOW)


async def survivors(db: Database) -> dict[str, str]:
    async with db.transaction() as tx:
        return {r["customer_id"]: r["survivor_id"] for r in await fetch(tx, "SELECT * FROM survivors")}


async def test_a_group_grows_and_is_parted_again(db: Database) -> None:
    assert await take(db, [merged("m1", "a", "b")]) == {"a", "b"}
    assert await take(db, [merged("m2", "b", "c", days_ago=4)]) == {"a", "b", "c"}
    async with db.transaction() as tx:
        groups = await merges.groups_of(tx, ["a", "x"])
    assert (groups.survivor("a"), groups.members("a")) == ("c", ["a", "b", "c"])
    assert (groups.survivor("x"), groups.members("x"), groups.is_joined("x")) == ("x", ["x"], False)
    assert await take(db, [unmerged("m1", "a", "b")]) == {"a", "b", "c"}
    assert await survivors(db) == {"b": "c"}


async def test_the_undo_holds_even_if_it_comes_first(db: Database) -> None:
    await take(db, [unmerged("m1", "a", "b")])
    await take(db, [merged("m1", "a", "b")])
    assert await survivors(db) == {}


@pytest.mark.parametrize("seed", range(12))
async def test_any_order_and_duplication_leaves_the_same_groups(db: Database, seed: int) -> None:
    facts = [
        merged("m1", "a", "b", days_ago=9),
        unmerged("m1", "a", "b", days_ago=8),
        merged("m2", "b", "a", days_ago=7),
        merged("m3", "c", "d", days_ago=6),
        merged("m4", "d", "a", days_ago=5),
        unmerged("m3", "c", "d", days_ago=4),
        merged("m5", "c", "e", days_ago=3),
    ]
    shuffler = random.Random(seed)
    delivered = facts + shuffler.choices(facts, k=5)
    shuffler.shuffle(delivered)
    while delivered:
        size = shuffler.randint(1, 3)
        await take(db, delivered[:size])
        delivered = delivered[size:]
    assert await survivors(db) == {"b": "a", "d": "a", "c": "e"}


async def test_each_version_taken_in_is_acknowledged(db: Database) -> None:
    await take(db, [merged("m1", "a", "b"), unmerged("m1", "a", "b")])
    async with db.transaction() as tx:
        rows = await fetch(tx, "SELECT topic, convert_from(value, 'UTF8') AS value FROM outbox ORDER BY id")
    assert [row["topic"] for row in rows] == ["merge-applied", "merge-applied"]
    assert ['"version":1' in row["value"] for row in rows] == [True, False]


async def test_no_group_changes_under_who_reads_it(db: Database) -> None:
    async with db.transaction() as tx:
        await merges.groups_of(tx, ["a"])
        joining = asyncio.create_task(take(db, [merged("m1", "a", "b")]))
        done, _ = await asyncio.wait([joining], timeout=0.3)
        assert not done
        assert (await merges.groups_of(tx, ["a"])).members("a") == ["a"]
    await joining
    assert await survivors(db) == {"a": "b"}
