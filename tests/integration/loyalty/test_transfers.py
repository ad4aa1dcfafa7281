"""Points from one customer to another keep what they are."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
from pydantic import SecretStr

from services.loyalty.main import build
from services.loyalty.programmes.bodies import EXAMPLE
from services.loyalty.settings import LoyaltySettings
from shared.db import fetch
from shared.http.auth import issue_token
from shared.http.settings import HttpSettings
from shared.service import Surroundings
from shared.settings import KafkaSettings
from tests.integration.loyalty.shop import HOUSE, SECRET, Shop
from tests.integration.loyalty.test_merges import merged, parted
from tests.integration.loyalty.test_redemptions import C, back, books, bought, erased, lots, tables, whole
from tests.kit.builders import NOW
from tests.kit.databases import TestDatabase

SERVICE = "loyalty"
OTHER = "c-2"
DAY = timedelta(days=1)


async def give(
    client: httpx.AsyncClient, points: int, giver: str = C, taker: str = OTHER, key: str | None = None, **more: Any
) -> httpx.Response:
    body = {"from_customer_id": giver, "to_customer_id": taker, "points": points, **more}
    return await client.post("/transfers", json=body, headers={"Idempotency-Key": key or uuid4().hex})


def staff(shop: Shop) -> httpx.AsyncClient:
    return shop.client("loyalty:read loyalty:write")


@asynccontextmanager
async def letting(shop: Shop, database: TestDatabase, customer: str) -> AsyncIterator[httpx.AsyncClient]:
    """That customer with his own token, where the house lets customers transfer."""
    surroundings = Surroundings(HOUSE, KafkaSettings(), HttpSettings(jwt_secret=SecretStr(SECRET)), shop.clock)
    settings = LoyaltySettings(database_url=SecretStr(database.dsn), customers_transfer=True)
    service = build(surroundings, settings)
    try:
        async with shop.client("loyalty:read loyalty:write", customer) as himself:
            transport = httpx.ASGITransport(service.app)
            headers = dict(himself.headers)
            async with httpx.AsyncClient(transport=transport, base_url="http://loyalty", headers=headers) as http:
                yield http
    finally:
        await service.stop()


def dates(lots: list[Any]) -> set[tuple[str, str]]:
    return {(one["available_from"], one["expires_at"]) for one in lots}


async def test_points_go_over_with_the_dates_of_their_lots(shop: Shop) -> None:
    await shop.take(bought(C, "o-1", "300", 60), bought(C, "o-2", "500", 30), bought(OTHER, "o-3", "10", 30))
    async with staff(shop) as http:
        answer = await give(http, 50, reason="They share a household")
        assert answer.status_code == 201, answer.text
        assert (await http.get(f"/transfers/{answer.json()['id']}")).json() == answer.json()
    assert (await books(shop), await books(shop, OTHER)) == ({"available": 30}, {"available": 51})
    given = [one for one in await lots(shop, OTHER) if one["origin"] == "transfer"]
    assert sorted(one["points"] for one in given) == [20, 30]
    assert dates(given) == dates(await lots(shop))
    granted = await shop.published("points-granted")
    assert {one["grant_id"] for one in granted} == {f"{answer.json()['id']}:{n}" for n in (1, 2)}
    await whole(shop)


async def test_out_and_back_gains_no_time(shop: Shop) -> None:
    await shop.take(bought(C, "o-1", "300", 60), bought(C, "o-2", "500", 30), bought(OTHER, "o-3", "0", 30))
    before = dates(await lots(shop))
    async with staff(shop) as http:
        for _ in range(3):
            assert (await give(http, 80)).status_code == 201
            assert (await give(http, 80, OTHER, C)).status_code == 201
    assert dates(await lots(shop)) == before
    assert await books(shop) == {"available": 80}
    expiry = max(expires_at for _, expires_at in before)
    await shop.live_until(NOW + 370 * DAY)
    assert await books(shop) == {}, expiry
    await whole(shop)


async def test_never_more_than_is_available(shop: Shop) -> None:
    await shop.take(bought(C, "o-1", "300"), bought(C, "o-2", "500", 1), bought(OTHER, "o-3", "10"))
    async with staff(shop) as http:
        before = await tables(shop)
        short = await give(http, 31)
        assert (short.status_code, short.json()["code"], short.json()["shortfall"]) == (409, "insufficient-points", 1)
        assert await tables(shop) == before
        answers = await asyncio.gather(*(give(http, 20) for _ in range(20)))
    assert Counter(one.status_code for one in answers) == {201: 1, 409: 19}
    assert await books(shop, OTHER) == {"available": 21}
    await whole(shop)


async def test_fifty_at_once_both_ways_wait_for_each_other_and_none_is_lost(shop: Shop) -> None:
    await shop.take(bought(C, "o-1", "1000"), bought(OTHER, "o-2", "1000"))
    async with staff(shop) as http:
        ways = [(C, OTHER), (OTHER, C)] * 25
        answers = await asyncio.gather(*(give(http, 3, *way) for way in ways))
    assert Counter(one.status_code for one in answers) == {201: 50}
    assert (await books(shop), await books(shop, OTHER)) == ({"available": 100}, {"available": 100})
    await whole(shop)


async def test_nobody_gives_to_himself_by_another_of_his_ids(shop: Shop) -> None:
    await shop.take(bought(C, "o-1", "1000"), bought("c-old", "o-2", "500"))
    await shop.take(merged("c-old", C))
    async with staff(shop) as http:
        for taker in (C, "c-old"):
            refused = await give(http, 5, taker=taker)
            assert (refused.status_code, refused.json()["code"]) == (409, "same-customer")
        await shop.take(parted("c-old", C))
        assert (await give(http, 5, taker="c-old")).status_code == 201
        assert (await give(http, 5, taker="nobody")).status_code == 404
        assert (await give(http, 5, "nobody", C)).status_code == 404
    await whole(shop)


async def test_a_person_of_two_ids_gives_the_points_of_both(shop: Shop) -> None:
    await shop.take(bought(C, "o-1", "1000"), bought("c-old", "o-2", "500"), bought(OTHER, "o-3", "10"))
    await shop.take(merged("c-old", C))
    async with staff(shop) as http:
        answer = await give(http, 150, "c-old")
    assert (answer.status_code, answer.json()["from_customer_id"]) == (201, C)
    assert (await books(shop), await books(shop, OTHER)) == ({}, {"available": 151})
    await whole(shop)


async def test_who_gives_away_and_returns_owes(shop: Shop) -> None:
    await shop.take(bought(C, "o-1", "1000"), bought(OTHER, "o-2", "10"))
    async with staff(shop) as http:
        assert (await give(http, 100)).status_code == 201
    await shop.take(back("o-1", "1000"))
    assert (await books(shop), await books(shop, OTHER)) == ({"debt": 100}, {"available": 101})
    await whole(shop)


async def test_sent_again_it_is_given_once(shop: Shop) -> None:
    await shop.take(bought(C, "o-1", "1000"), bought(OTHER, "o-2", "10"))
    async with staff(shop) as http:
        answers = [await give(http, 40, key="once") for _ in range(3)]
        assert (await give(http, 41, key="once")).status_code == 422
    assert [one.json() for one in answers] == [answers[0].json()] * 3
    assert await books(shop, OTHER) == {"available": 41}


async def test_a_customer_transfers_only_where_the_house_lets_him(shop: Shop, test_database: TestDatabase) -> None:
    await shop.take(bought(C, "o-1", "1000"), bought(OTHER, "o-2", "10"))
    scope = "loyalty:read loyalty:write"
    async with shop.client(scope, C) as himself:
        refused = await give(himself, 5)
        assert (refused.status_code, refused.json()["code"]) == (403, "staff-only")
    async with letting(shop, test_database, C) as let:
        done = await give(let, 5)
        assert done.status_code == 201
        assert (await let.get(f"/transfers/{done.json()['id']}")).status_code == 200
        assert (await give(let, 5, OTHER, C)).status_code == 404
    async with shop.db.transaction() as tx:
        assert [row["actor"] for row in await fetch(tx, "SELECT actor FROM transfers")] == ["customer"]
    async with shop.client("loyalty:read", OTHER) as taker:
        assert (await taker.get(f"/transfers/{done.json()['id']}")).status_code == 404


async def test_an_erasure_takes_the_reason_and_leaves_the_points(shop: Shop) -> None:
    await shop.take(bought(C, "o-1", "1000"), bought(OTHER, "o-2", "10"))
    async with staff(shop) as http:
        id = (await give(http, 40, reason="She is my niece")).json()["id"]
        export = (await http.get(f"/accounts/{OTHER}/export")).json()["transfers"]
        assert [(one["from_customer_id"], one["to_customer_id"], one["reason"]) for one in export] == [
            (None, OTHER, None)
        ]
        await shop.take(erased(C))
        found = (await http.get(f"/transfers/{id}")).json()
    assert (found["reason"], found["to_customer_id"]) == (None, OTHER)
    assert found["from_customer_id"] != C
    assert await books(shop, OTHER) == {"available": 41}
    async with shop.db.transaction() as tx:
        assert not await fetch(tx, "SELECT 1 FROM transfers WHERE reason IS NOT NULL")
    await whole(shop)


async def test_a_customer_sees_of_who_got_them_the_id_that_he_named_and_staff_both(
    shop: Shop, test_database: TestDatabase
) -> None:
    await shop.take(bought(C, "o-1", "1000"), bought("c-named", "o-2", "10"), bought(OTHER, "o-3", "10"))
    await shop.take(merged("c-named", OTHER))
    async with letting(shop, test_database, C) as himself, staff(shop) as http:
        answer, again = [await give(himself, 5, taker="c-named", key="once") for _ in range(2)]
        assert (answer.status_code, again.status_code) == (201, 201)
        path = f"/transfers/{answer.json()['id']}"
        read = await himself.get(path)
        for seen in (answer, again, read):
            assert (seen.json()["to_customer_id"], seen.json()["named"]) == ("c-named", "c-named")
            assert OTHER not in seen.text
        told = (await http.get(path)).json()
        assert (told["to_customer_id"], told["named"]) == (OTHER, "c-named")
        # The named id is somebody of his own again, and then nobody.
        await shop.take(parted("c-named", OTHER))
        await shop.take(erased("c-named"))
        left = (await himself.get(path)).json()
        assert (left["from_customer_id"], left["to_customer_id"], left["named"]) == (C, None, None)
        told = (await http.get(path)).json()
        assert (told["to_customer_id"], told["named"]) == (OTHER, None)
    await whole(shop)


async def test_a_customer_does_not_see_whom_staff_named_whatever_its_token_s_subject(
    shop: Shop, test_database: TestDatabase
) -> None:
    await shop.post(transfers={"per_day": 50})
    await shop.take(bought(C, "o-1", "1000"), bought(OTHER, "o-2", "10"))
    async with letting(shop, test_database, C) as himself:
        for subject in ("ann", "customer"):
            async with staff(shop) as http:
                token = issue_token(SECRET, "loyalty:read loyalty:write", subject=subject)
                http.headers["Authorization"] = f"Bearer {token}"
                path = f"/transfers/{(await give(http, 30)).json()['id']}"
                assert (await http.get(path)).json()["named"] == OTHER
            seen = await himself.get(path)
            assert (seen.status_code, seen.json()["to_customer_id"], seen.json()["named"]) == (200, None, None)
            assert OTHER not in seen.text
        assert (await give(himself, 40)).status_code == 201, "what staff gave isn't counted as his"


async def test_what_a_customer_gave_under_each_of_his_ids_counts_when_they_are_one(
    shop: Shop, test_database: TestDatabase
) -> None:
    await shop.post(transfers={"per_day": 50})
    await shop.take(bought(C, "o-1", "1000"), bought("c-old", "o-2", "1000"), bought(OTHER, "o-3", "10"))
    async with letting(shop, test_database, "c-old") as himself:
        assert (await give(himself, 40, "c-old")).status_code == 201
        await shop.take(merged("c-old", C))
        over = await give(himself, 11, C)
        assert (over.status_code, over.json()["code"], over.json()["left"]) == (409, "transfer-limit-reached", 10)
        assert (await give(himself, 10, C)).status_code == 201


async def test_an_erasure_of_who_got_them_takes_the_id_that_was_named(shop: Shop) -> None:
    await shop.take(bought(C, "o-1", "1000"), bought(OTHER, "o-3", "10"))
    async with staff(shop) as http:
        path = f"/transfers/{(await give(http, 5)).json()['id']}"
        assert (await http.get(path)).json()["named"] == OTHER
        await shop.take(erased(OTHER))
        assert OTHER not in (await http.get(path)).text


async def test_a_customer_gives_no_more_on_a_day_than_the_programme_lets_him_and_staff_is_not_bound(
    shop: Shop, test_database: TestDatabase
) -> None:
    await shop.post(transfers={"per_day": 50})
    await shop.take(bought(C, "o-1", "1000"), bought("c-old", "o-2", "1000"), bought(OTHER, "o-3", "10"))
    await shop.take(merged("c-old", C))
    async with letting(shop, test_database, C) as himself, staff(shop) as http:
        assert (await give(http, 60)).status_code == 201
        assert (await give(himself, 20, "c-old")).status_code == 201
        over = await give(himself, 31)
        assert (over.status_code, over.json()["code"]) == (409, "transfer-limit-reached")
        assert (over.json()["per_day"], over.json()["left"]) == (50, 30)
        # All at once, no more than that.
        answers = await asyncio.gather(*(give(himself, 10) for _ in range(8)))
        assert Counter(one.status_code for one in answers) == {201: 3, 409: 5}
        assert (await give(http, 1)).status_code == 201
        # NOW is noon in Taipei.
        shop.clock.set(NOW + DAY / 2 - timedelta(seconds=1))
        assert (await give(himself, 1)).status_code == 409
        shop.clock.set(NOW + DAY / 2)
        assert (await give(himself, 50)).status_code == 201
        # A version that says nothing of it binds nobody.
        await shop.post()
        assert (await give(himself, 1)).status_code == 201
    await whole(shop)


async def test_a_programme_says_how_many_points_a_day(shop: Shop) -> None:
    async with staff(shop) as http:
        for per_day, status in ((0, 201), (10**12, 201), (-1, 422), (10**12 + 1, 422)):
            body = {**EXAMPLE, "currency": "TWD", "transfers": {"per_day": per_day}}
            answer = await http.post("/programmes", json=body, headers={"Idempotency-Key": uuid4().hex})
            assert answer.status_code == status, (per_day, answer.text)
            if status == 422:
                assert answer.json()["errors"][0]["pointer"] == "/transfers/per_day"
