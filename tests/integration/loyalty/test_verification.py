"""Verification names the row that somebody changed behind the service's back, whichever it is."""

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import asyncpg
import httpx
import pytest
import pytest_asyncio

from tests.integration.loyalty.shop import Shop
from tests.integration.loyalty.test_merges import NEW, OLD, merged, parted
from tests.kit.builders import NOW, purchase, record, returned
from tests.kit.databases import TestDatabase

SERVICE = "loyalty"
OWNER = "SELECT account_id FROM accounts WHERE customer_id = '{}'"


async def post(client: httpx.AsyncClient, path: str, **body: object) -> str:
    answer = await client.post(path, json=body, headers={"Idempotency-Key": uuid4().hex})
    assert answer.status_code in (200, 201), answer.text
    return str(answer.json()["id"])


@pytest_asyncio.fixture
async def ids(shop: Shop) -> AsyncIterator[dict[str, str]]:
    """c-1 redeemed 30 and 20 of a hold of 50; OLD took points of NEW's and was parted from him: he owes them."""
    await shop.take(record("purchase-recorded", purchase("c-1", "o-1", total="1000", days_ago=30)))
    await shop.take(record("purchase-recorded", purchase("c-1", "o-2", total="1000", days_ago=20)))
    await shop.take(record("purchase-recorded", purchase(OLD, "o-3", total="400", days_ago=30)))
    await shop.take(record("purchase-recorded", purchase(NEW, "o-4", total="900", days_ago=25)), merged())
    async with shop.client("loyalty:read loyalty:write") as client:
        take = await post(client, "/redemptions", customer_id="c-1", points=30)
        quote = await post(client, "/quotes", customer_id="c-1", points=50)
        hold = await post(client, "/holds", quote_id=quote, ttl=600)
        commit = await post(client, f"/holds/{hold}/commit", points=20)
        foreign = await post(client, "/redemptions", customer_id=NEW, points=100)
        await shop.take(parted())
        await shop.take(record("purchase-returned", returned("o-1", customer_id="c-1", days_ago=0)))
        yield {"take": take, "hold": hold, "commit": commit, "foreign": foreign}


async def tampered(database: TestDatabase, statements: str) -> None:
    owner = await asyncpg.connect(database.owner_dsn)
    try:
        await owner.execute(statements)
    finally:
        await owner.close()


@pytest.mark.parametrize(
    ("tampering", "customer", "row", "reason"),
    [
        ("UPDATE lots SET points = points + 1 WHERE source_id = 'o-2'", "c-1", "lot order o-2", "awarded"),
        ("UPDATE takes SET points = points + 1 WHERE take_id = '{take}'", "c-1", "take {take}", "don't sum"),
        (
            "UPDATE takes SET points = 31, portions = ARRAY[31] WHERE take_id = '{take}'",
            "c-1", "lot order o-1", "spent",
        ),
        ("UPDATE takes SET rolled_back_at = now() WHERE take_id = '{commit}'", "c-1", "lot order o-1", "spent"),
        ("DELETE FROM takes WHERE take_id = '{commit}'", "c-1", "lot order o-1", "spent"),
        ("UPDATE takes SET account_id = 999 WHERE take_id = '{take}'", None, "take {take}", "no account"),
        (
            "UPDATE takes SET source_ids = ARRAY['o-9'] WHERE take_id = '{take}'; "
            "UPDATE lots SET spent = spent - 30, owed = owed - 30 WHERE source_id = 'o-1';"
            "UPDATE takes SET foreign_points = 30 WHERE take_id = '{take}'",
            "c-1", "take {take}", "the ledger's entries",
        ),
        ("UPDATE holds SET committed = committed + 1 WHERE hold_id = '{hold}'", "c-1", "hold {hold}", "set aside"),
        (
            "UPDATE holds SET committed = 21, portions = ARRAY[29] WHERE hold_id = '{hold}'",
            "c-1", "lot order o-1", "held",
        ),
        ("UPDATE holds SET state = 'voided' WHERE hold_id = '{hold}'", "c-1", "hold {hold}", "set aside"),
        (
            "UPDATE holds SET state = 'voided', portions = '{{}}', origins = '{{}}', source_ids = '{{}}' "
            "WHERE hold_id = '{hold}'",
            "c-1", "lot order o-1", "held",
        ),
        ("UPDATE redemptions SET points = 50 WHERE redemption_id = '{commit}'", "c-1", "hold {hold}", "redemptions"),
        ("DELETE FROM redemptions WHERE redemption_id = '{commit}'", "c-1", "hold {hold}", "redemptions"),
        ("UPDATE holds SET account_id = 999 WHERE hold_id = '{hold}'", None, "hold {hold}", "no account"),
        (
            f"UPDATE accounts SET survivor_account_id = ({OWNER.format(NEW)}) WHERE customer_id = '{OLD}'",
            OLD, "lot order o-3", "spent",
        ),
        (
            "UPDATE takes SET points = 90, portions = ARRAY[30, 60] WHERE take_id = '{foreign}'",
            NEW, "take {foreign}", "aren't its person's",
        ),
    ],
)  # fmt: skip
async def test_a_row_that_was_changed_is_named(
    shop: Shop, test_database: TestDatabase, ids: dict[str, str], tampering: str, customer: str | None, row: str,
    reason: str,
) -> None:  # fmt: skip
    proof = await shop.verified()
    assert proof.broken is None, proof.broken
    await tampered(test_database, tampering.format(**ids))
    found = (await shop.verified()).broken
    assert found is not None
    assert found.row == row.format(**ids), found
    assert reason in found.reason
    if customer:
        assert found.customer_id == customer
    async with shop.client() as client:
        told = await client.get("/ledger/verification")
    assert (told.status_code, told.json()["first_bad_row"]["row"]) == (409, found.row)


@pytest.mark.parametrize(
    ("tampering", "book"),
    [
        ("UPDATE lots SET held = held + 1, owed = owed + 1 WHERE source_id = 'o-1'", "held"),
        ("UPDATE lots SET repaid = repaid - 1, posted = posted + 1 WHERE source_id = 'o-2'", "available"),
        ("UPDATE takes SET foreign_points = foreign_points + 1 WHERE take_id = '{foreign}'", "debt"),
        ("UPDATE lots SET posted_in = 'pending' WHERE source_id = 'o-2'", "pending"),
    ],
)
async def test_a_book_that_lots_and_takes_disagree_with_is_named_at_the_end_of_its_chain(
    shop: Shop, test_database: TestDatabase, ids: dict[str, str], tampering: str, book: str
) -> None:
    await tampered(test_database, tampering.format(**ids))
    found = (await shop.verified()).broken
    assert found is not None
    assert found.row is None
    assert found.seq > 0
    assert f"the {book} points" in found.reason


async def test_what_was_not_touched_is_whole_once_the_hold_has_run_out_and_everything_is_written_down(
    shop: Shop, ids: dict[str, str]
) -> None:
    await shop.live_until(NOW + timedelta(days=400))
    proof = await shop.verified()
    assert (proof.broken, sum(proof.books.values())) == (None, 0)
