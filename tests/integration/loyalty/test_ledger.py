"""What nobody can do to the ledger, and what verification finds if the owner of the database does it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import asyncpg
import pytest
import pytest_asyncio

from services.loyalty.ledger.verification import Broken
from shared.db import execute
from tests.integration.loyalty.shop import Shop
from tests.kit.builders import NOW, purchase, record
from tests.kit.databases import TestDatabase

SERVICE = "loyalty"


@pytest_asyncio.fixture(autouse=True)
async def two_customers(shop: Shop) -> None:
    """With two entries each: earned long ago, and released. Nothing is due now."""
    await shop.job("tiers").run()
    for customer in ("c-1", "c-2"):
        await shop.take(record("purchase-recorded", purchase(customer, f"o-{customer}", total="1000", days_ago=30)))


@asynccontextmanager
async def without_triggers(test_database: TestDatabase) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    owner = await asyncpg.connect(test_database.owner_dsn)
    try:
        await owner.execute("ALTER TABLE ledger DISABLE TRIGGER append_only")
        yield owner
        await owner.execute("ALTER TABLE ledger ENABLE TRIGGER append_only")
    finally:
        await owner.close()


@pytest.mark.parametrize("table", ["ledger", "programmes"])
@pytest.mark.parametrize(
    "change", ["UPDATE {} SET occurred_at = now()", "DELETE FROM {}", "DELETE FROM {} WHERE false", "TRUNCATE {}"]
)
async def test_the_service_can_only_append(shop: Shop, test_database: TestDatabase, table: str, change: str) -> None:
    statement = change.format(table).replace("occurred_at", "occurred_at" if table == "ledger" else "active_from")
    service = await asyncpg.connect(test_database.dsn)
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied"):
        await service.execute(statement)
    await service.close()
    owner = await asyncpg.connect(test_database.owner_dsn)
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
        await owner.execute(statement)
    await owner.close()
    assert (await shop.verified()).broken is None


async def test_the_service_cannot_switch_the_triggers_off(shop: Shop) -> None:
    with pytest.raises(Exception, match="must be owner"):
        async with shop.db.transaction() as tx:
            await execute(tx, "ALTER TABLE ledger DISABLE TRIGGER append_only")


@pytest.mark.parametrize(
    ("tampering", "broken"),
    [
        ("UPDATE ledger SET points = 101 WHERE seq = 1 AND account_id = {}", Broken("c-2", 1, "hash")),
        ("UPDATE ledger SET known_at = now() WHERE seq = 2 AND account_id = {}", Broken("c-2", 2, "hash")),
        ("DELETE FROM ledger WHERE seq = 1 AND account_id = {}", Broken("c-2", 1, "missing")),
        ("DELETE FROM ledger WHERE seq = 2 AND account_id = {}", Broken("c-2", 2, "end")),
        ("UPDATE lots SET posted = posted + 1 WHERE account_id = {}", Broken("c-2", 2, "lots")),
        ("UPDATE ledger SET account_id = 99 WHERE account_id = {}", Broken("c-2", 1, "end")),
        ("DELETE FROM accounts WHERE account_id = {}", Broken(None, 1, "no account")),
    ],
)
async def test_verification_names_the_first_bad_entry(
    shop: Shop, test_database: TestDatabase, tampering: str, broken: Broken
) -> None:
    assert (await shop.verified()).broken is None
    async with without_triggers(test_database) as owner:
        account = await owner.fetchval("SELECT account_id FROM accounts WHERE customer_id = 'c-2'")
        await owner.execute(tampering.format(account))
    found = (await shop.verified()).broken
    assert found is not None
    assert (found.customer_id, found.seq) == (broken.customer_id, broken.seq)
    assert broken.reason in found.reason


async def test_tiers_rise_with_the_purchase_and_fall_at_the_instant_with_grace_each_told_once(shop: Shop) -> None:
    await shop.take(record("purchase-recorded", purchase("c-3", "o-3", total="5000", days_ago=10)))
    assert await shop.tier("c-3") == "silver"
    await shop.take(record("purchase-recorded", purchase("c-3", "o-4", total="200", days_ago=9)))
    falls = NOW + timedelta(days=365 + 30 - 10)
    assert await shop.job("tiers").next_due() == falls
    await shop.live_until(falls - timedelta(seconds=1))
    assert await shop.tier("c-3") == "silver"
    await shop.live_until(falls + timedelta(days=1))
    assert await shop.tier("c-3") is None
    crossings = await shop.published("tier-changed")
    assert [(c["direction"], c.get("from_tier"), c.get("to_tier"), c["occurred_at"]) for c in crossings] == [
        ("up", None, "silver", "2026-11-10T04:00:00Z"),
        ("down", "silver", None, "2027-12-10T04:00:00Z"),
    ]
    assert await shop.job("tiers").next_due() is None


async def test_what_is_bought_at_the_top_of_the_tiers_puts_off_the_fall(shop: Shop) -> None:
    await shop.take(record("purchase-recorded", purchase("c-3", "o-3", total="5000", days_ago=10)))
    await shop.take(record("purchase-recorded", purchase("c-3", "o-4", total="5000", days_ago=1)))
    first = NOW + timedelta(days=365 + 30 - 10)
    await shop.live_until(first)
    assert await shop.tier("c-3") == "silver"
    falls = first + timedelta(days=9)
    assert await shop.job("tiers").next_due() == falls
    await shop.live_until(falls)
    crossings = await shop.published("tier-changed")
    assert [(c["direction"], c["occurred_at"]) for c in crossings] == [
        ("up", "2026-11-10T04:00:00Z"),
        ("down", "2027-12-19T04:00:00Z"),
    ]


async def test_a_version_with_other_tiers_judges_everybody_when_it_comes_into_force(shop: Shop) -> None:
    tiers = [{"name": "bronze", "qualify": {"spend": "500.00", "window_days": 365}}]
    start = NOW + timedelta(days=3)
    await shop.post(active_from=start.isoformat(), tiers=tiers)
    assert await shop.job("tiers").next_due() == start
    await shop.live_until(start)
    crossings = await shop.published("tier-changed")
    assert {(c["customer_id"], c["to_tier"], c["occurred_at"]) for c in crossings} == {
        ("c-1", "bronze", "2026-11-23T04:00:00Z"),
        ("c-2", "bronze", "2026-11-23T04:00:00Z"),
    }
    assert len(crossings) == 2
