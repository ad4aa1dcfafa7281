"""A month's statement is closed with the month: what is learned later is in a later one, and no word of it changes."""

import random
from datetime import date, timedelta
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from services.loyalty.statements.documents import verify
from services.loyalty.statements.http import StatementDocument
from shared.clock import SystemClock
from shared.db import execute, fetch
from shared.http.settings import HttpSettings
from shared.service import Surroundings
from shared.settings import KafkaSettings
from shared.signing import public_key
from tests.integration.loyalty.shop import HOUSE, SECRET, Shop
from tests.integration.loyalty.test_explanations import grant
from tests.integration.loyalty.test_merges import NEW, OLD, merged
from tests.integration.loyalty.test_redemptions import erased
from tests.integration.loyalty.test_spending_story import IDS, story
from tests.kit.builders import NOW, purchase, record, returned
from tests.kit.databases import Databases

SERVICE = "loyalty"
DAY = timedelta(days=1)
SEEDS = 3
SURROUNDINGS = Surroundings(HOUSE, KafkaSettings(), HttpSettings(jwt_secret=SecretStr(SECRET)), SystemClock())
PEM = public_key(SURROUNDINGS.secret_for("statements"))


async def text(client: httpx.AsyncClient, customer: str, month: str) -> str:
    answer = await client.get(f"/accounts/{customer}/statements", params={"month": month})
    assert answer.status_code == 200, answer.text
    return answer.text


async def months(client: httpx.AsyncClient, customer: str) -> list[tuple[str, str]]:
    items = (await client.get(f"/accounts/{customer}/statements")).json()["items"]
    return [(one["customer_id"], one["month"]) for one in items]


async def said(client: httpx.AsyncClient, customer: str, month: str) -> Any:
    document = await text(client, customer, month)
    StatementDocument.model_validate_json(document)
    return verify(document.encode(), PEM)


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_each_month_opens_where_the_last_closed_and_says_the_same_whatever_comes_after(
    databases: Databases, seed: int
) -> None:
    rng = random.Random(4000 + seed)
    async with story(databases, rng) as lived:
        for customer in IDS:
            await lived.buy(customer, days_ago=rng.randint(20, 300))
        told: dict[tuple[str, str], str] = {}
        for step in range(24):
            if step % 7 == 3:
                await grant(lived.shop, rng.choice(IDS), f"g-{step}", "gift", 25)
            await lived.step()
            if step % 3 == 2:
                await lived.shop.live_until(lived.shop.clock.now() + rng.choice((5, 20)) * DAY)
                for customer in IDS:
                    for one in await months(lived.http, customer):
                        if one not in told and rng.random() < 0.7:
                            told[one] = await text(lived.http, *one)
        await lived.shop.live_until(lived.shop.clock.now() + 40 * DAY + timedelta(minutes=30))
        closing: dict[str, Any] = {}
        for customer in IDS:
            for owner, month in reversed([one for one in await months(lived.http, customer) if one[0] == customer]):
                found = await text(lived.http, owner, month)
                assert told.get((owner, month), found) == found
                # What was kept is nothing but what the entries say; when the rest expires, lots say as they are now.
                statement = verify(found.encode(), PEM)
                anew = verify((await made_anew(lived.shop, lived.http, owner, month)).encode(), PEM)
                assert {**anew, "expiring": statement["expiring"]} == statement
                assert closing.get(owner, statement["opening"]) == statement["opening"]
                closing[owner] = statement["closing"]
        assert len(told) > 3
        for owner, last in closing.items():
            assert last == await own_books(lived.shop, owner)


async def made_anew(shop: Shop, client: httpx.AsyncClient, customer: str, month: str) -> str:
    async with shop.db.transaction() as tx:
        await execute(
            tx, "DELETE FROM statements AS s USING accounts AS a WHERE a.account_id = s.account_id "
            "AND a.customer_id = :customer AND s.month = :month", customer=customer,
            month=date.fromisoformat(f"{month}-01"),
        )  # fmt: skip
    return await text(client, customer, month)


async def own_books(shop: Shop, customer: str) -> dict[str, int]:
    """Of one id's own chain, before the month that is still open."""
    start = shop.clock.now().astimezone(HOUSE.zone).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    async with shop.db.transaction() as tx:
        rows = await fetch(
            tx, "SELECT debit, credit, points FROM ledger JOIN accounts USING (account_id) "
            "WHERE customer_id = :customer AND known_at < :start", customer=customer, start=start,
        )  # fmt: skip
    books = dict.fromkeys(("available", "pending", "held", "debt"), 0)
    for debit, credit, points in rows:
        for book, moved in ((credit, points), (debit, -points)):
            if book in books:
                books[book] += -moved if book == "debt" else moved
    return books


async def test_it_tells_the_month_in_words_and_what_came_late_as_a_correction(shop: Shop) -> None:
    await shop.take(record("purchase-recorded", purchase("c-1", "o-1", total="1000", days_ago=340)))
    await shop.take(record("purchase-recorded", purchase("c-1", "o-2", total="500", days_ago=5)))
    await shop.live_until(NOW + 12 * DAY)
    async with shop.client(customer_id="c-1") as owner:
        assert await months(owner, "c-1") == [("c-1", "2026-11")]
        november = await text(owner, "c-1", "2026-11")
        statement = await said(owner, "c-1", "2026-11")
        assert [(one["text"]["en"], one["correction"]) for one in statement["entries"]] == [
            ("You got 100 points for order o-1.", True),
            ("100 points for order o-1 can be used now.", True),
            ("You got 50 points for order o-2.", False),
            ("50 points for order o-2 can be used now.", False),
        ]
        assert statement["closing"] == {"available": 150, "pending": 0, "held": 0, "debt": 0}
        assert statement["expiring"] == [{"at": "2026-12-15T12:00:00+08:00", "points": 100}]
        await shop.take(record("purchase-returned", returned("o-2", customer_id="c-1", days_ago=1)))
        assert await text(owner, "c-1", "2026-11") == november
        await shop.live_until(NOW + 45 * DAY)
        december = await said(owner, "c-1", "2026-12")
        late = [one for one in december["entries"] if one["kind"] == "reversed"]
        assert [(one["points"], one["correction"], one["source_id"]) for one in late] == [(50, True, "o-2")]
        assert (december["opening"], december["closing"]["available"]) == (statement["closing"], 0)
        assert await months(owner, "c-1") == [("c-1", "2026-12"), ("c-1", "2026-11")]


async def test_a_month_that_is_open_has_none_and_nobody_sees_another_s(shop: Shop) -> None:
    await shop.take(record("purchase-recorded", purchase("c-1", "o-1", total="1000", days_ago=3)))
    async with shop.client(customer_id="c-1") as owner:
        assert await months(owner, "c-1") == []
        shop.clock.set(NOW.replace(day=30, hour=16, minute=9))
        early = await owner.get("/accounts/c-1/statements", params={"month": "2026-11"})
        assert (early.status_code, early.json()["code"]) == (409, "month-open")
        shop.clock.set(NOW.replace(day=30, hour=16, minute=10))
        assert (await said(owner, "c-1", "2026-11"))["closing"]["pending"] == 100
        assert (await owner.get("/accounts/c-1/statements", params={"month": "2026-10"})).status_code == 404
        assert (await owner.get("/accounts/c-1/statements", params={"month": "2026-13"})).status_code == 422
    async with shop.client(customer_id="c-2") as other:
        assert (await other.get("/accounts/c-1/statements", params={"month": "2026-11"})).status_code == 404
        assert (await other.get("/accounts/c-1/statements")).status_code == 404
    async with shop.client("churn:read") as stranger:
        assert (await stranger.get("/accounts/c-1/statements")).status_code == 403


async def test_joined_ids_keep_each_its_own_and_of_the_erased_none_is_kept(shop: Shop) -> None:
    for customer in (OLD, NEW):
        await shop.take(record("purchase-recorded", purchase(customer, f"o-{customer}", total="1000", days_ago=3)))
    await shop.live_until(NOW + 12 * DAY)
    async with shop.client() as client:
        before = [await text(client, customer, "2026-11") for customer in (OLD, NEW)]
        await shop.take(merged())
        assert [await text(client, customer, "2026-11") for customer in (OLD, NEW)] == before
        assert sorted(await months(client, OLD)) == sorted([(OLD, "2026-11"), (NEW, "2026-11")])
        await shop.take(erased("c-nobody"))
    async with shop.db.transaction() as tx:
        assert len(await fetch(tx, "SELECT 1 FROM statements")) == 2
    gone = erased(NEW)
    await shop.take(gone)
    async with shop.db.transaction() as tx:
        kept = await fetch(tx, "SELECT document FROM statements")
    assert all(NEW not in row["document"] for row in kept)
