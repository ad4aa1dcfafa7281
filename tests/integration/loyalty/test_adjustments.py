"""Points by hand: given and taken with a reason, and above a threshold by two persons."""

import asyncio
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from services.loyalty.exports.http import ExportView
from shared.db import fetch
from shared.http.auth import issue_token
from tests.integration.loyalty.shop import SECRET, Shop
from tests.integration.loyalty.test_merges import merged
from tests.integration.loyalty.test_redemptions import C, books, bought, erased, lots, tables, whole
from tests.kit.builders import NOW

SERVICE = "loyalty"
ASKED = {"points": 200, "reason": "The parcel was wet"}
MANY = {"points": 1001, "reason": "The parcel was lost"}
DAY = timedelta(days=1)


def person(shop: Shop, subject: str) -> httpx.AsyncClient:
    """Somebody of the staff."""
    client = shop.client()
    token = issue_token(SECRET, "loyalty:read loyalty:write", subject=subject)
    client.headers["Authorization"] = f"Bearer {token}"
    return client


async def post(client: httpx.AsyncClient, path: str, body: Any = None, key: str | None = None) -> httpx.Response:
    return await client.post(path, json=body, headers={"Idempotency-Key": key or uuid4().hex})


async def adjust(client: httpx.AsyncClient, body: Any, customer: str = C) -> httpx.Response:
    return await post(client, f"/accounts/{customer}/adjustments", body)


async def test_points_given_are_there_at_once_and_expire_by_the_programme(shop: Shop) -> None:
    await shop.take(bought(C, "o-1", "1000"))
    async with person(shop, "ann") as ann:
        answer = await adjust(ann, ASKED)
    assert answer.status_code == 201, answer.text
    assert {"state": "applied", "points": 200, "proposed_by": "ann"}.items() <= answer.json().items()
    assert await books(shop) == {"available": 300}
    lot = next(one for one in await lots(shop) if one["origin"] == "adjustment")
    assert datetime.fromisoformat(lot["expires_at"]) == datetime.fromisoformat("2027-11-20T04:00:00+00:00")
    await whole(shop)


async def test_points_given_expire_when_it_is_said(shop: Shop) -> None:
    await shop.take(bought(C, "o-1", "1000"))
    async with person(shop, "ann") as ann:
        past = await adjust(ann, {**ASKED, "expires_at": NOW.isoformat()})
        taken = await adjust(ann, {**ASKED, "points": -1, "expires_at": (NOW + DAY).isoformat()})
        given = await adjust(ann, {**ASKED, "expires_at": (NOW + DAY).isoformat()})
    for refused in (past, taken):
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/expires_at")
    assert given.status_code == 201
    shop.clock.set(NOW + DAY)
    assert await books(shop) == {"available": 100}


async def test_nobody_is_left_with_less_than_nothing(shop: Shop) -> None:
    await shop.take(bought(C, "o-1", "1000"))
    async with person(shop, "ann") as ann:
        before = await tables(shop)
        short = await adjust(ann, {**ASKED, "points": -130})
        assert (short.status_code, short.json()["code"], short.json()["shortfall"]) == (409, "insufficient-points", 30)
        assert await tables(shop) == before
        taken = await asyncio.gather(*(adjust(ann, {**ASKED, "points": -40}) for _ in range(10)))
    assert sorted(one.status_code for one in taken) == [201] * 2 + [409] * 8
    assert await books(shop) == {"available": 20}
    assert [one["kind"] for one in await shop.published("points-spent")] == ["adjustment"] * 2
    await whole(shop)


async def test_above_the_threshold_a_second_person_agrees(shop: Shop) -> None:
    await shop.take(bought(C, "o-1", "1000"))
    async with person(shop, "ann") as ann, person(shop, "ben") as ben:
        proposed = await adjust(ann, MANY)
        assert (proposed.status_code, proposed.json()["state"]) == (202, "proposed")
        assert await books(shop) == {"available": 100}
        path = f"/adjustments/{proposed.json()['id']}"
        listed = (await ben.get("/adjustments", params={"state": "proposed"})).json()["items"]
        assert listed == [proposed.json()]
        for decision in ("approve", "refuse"):
            himself = await post(ann, f"{path}/{decision}")
            assert (himself.status_code, himself.json()["code"]) == (409, "second-person-needed")
        answers = await asyncio.gather(*(post(ben, f"{path}/approve") for _ in range(5)))
        assert sorted(one.status_code for one in answers) == [200] + [409] * 4
        assert {one.json()["code"] for one in answers if one.status_code == 409} == {"adjustment-decided"}
        assert (await ben.get(path)).json()["decided_by"] == "ben"
        assert (await ben.get("/adjustments", params={"state": "proposed"})).json()["items"] == []
    assert await books(shop) == {"available": 1101}
    await whole(shop)


async def test_what_is_refused_or_short_moves_nothing(shop: Shop) -> None:
    await shop.take(bought(C, "o-1", "1000"))
    async with person(shop, "ann") as ann, person(shop, "ben") as ben:
        refused = (await adjust(ann, MANY)).json()["id"]
        assert (await post(ben, f"/adjustments/{refused}/refuse")).json()["state"] == "refused"
        short = (await adjust(ann, {**MANY, "points": -1001})).json()["id"]
        answer = await post(ben, f"/adjustments/{short}/approve")
        assert (answer.status_code, answer.json()["code"]) == (409, "insufficient-points")
        assert (await ben.get(f"/adjustments/{short}")).json()["state"] == "proposed"
    assert await books(shop) == {"available": 100}
    await whole(shop)


async def test_sent_again_it_is_given_once(shop: Shop) -> None:
    await shop.take(bought(C, "o-1", "1000"))
    async with person(shop, "ann") as ann:
        path, key = f"/accounts/{C}/adjustments", "once"
        first = await post(ann, path, ASKED, key)
        again = await post(ann, path, ASKED, key)
        other = await post(ann, path, {**ASKED, "points": 201}, key)
        without = await ann.post(path, json=ASKED)
    assert (again.status_code, again.json()) == (201, first.json())
    assert (other.status_code, without.status_code) == (422, 400)
    assert await books(shop) == {"available": 300}


@pytest.mark.parametrize("body", [{"points": 0, "reason": "x"}, {"points": 5}, {"points": 5, "reason": ""}])
async def test_it_needs_points_and_a_reason(shop: Shop, body: Any) -> None:
    async with person(shop, "ann") as ann:
        assert (await adjust(ann, body)).status_code == 422


async def test_customers_and_unknown_accounts_get_none(shop: Shop) -> None:
    await shop.take(bought(C, "o-1", "1000"))
    async with shop.client("loyalty:read loyalty:write", C) as himself:
        assert (await adjust(himself, ASKED)).status_code == 403
        assert (await himself.get("/adjustments")).status_code == 403
    async with person(shop, "ann") as ann:
        assert (await adjust(ann, ASKED, "nobody")).status_code == 404
        assert (await post(ann, "/adjustments/ad_0/approve")).status_code == 404


async def test_neither_reason_nor_actor_is_published(shop: Shop) -> None:
    await shop.take(bought(C, "o-1", "1000"))
    async with person(shop, "ann:the-actor") as ann:
        await adjust(ann, ASKED)
        await adjust(ann, {**ASKED, "points": -20})
    async with shop.db.transaction() as tx:
        said = b"".join(row["value"] for row in await fetch(tx, "SELECT value FROM outbox"))
    assert b"points-granted" in said
    assert b"points-spent" in said
    assert b"wet" not in said
    assert b"the-actor" not in said


async def test_an_erasure_takes_the_reason_and_ends_what_is_proposed(shop: Shop) -> None:
    await shop.take(bought(C, "o-1", "1000"))
    async with person(shop, "ann") as ann, person(shop, "ben") as ben:
        given, proposed = (await adjust(ann, ASKED)).json()["id"], (await adjust(ann, MANY)).json()["id"]
        async with shop.client() as http:
            document = ExportView.model_validate((await http.get(f"/accounts/{C}/export")).json())
        assert {one["reason"] for one in document.adjustments} == {ASKED["reason"], MANY["reason"]}
        async with shop.client(customer_id=C) as himself:
            assert "proposed_by" not in (await himself.get(f"/accounts/{C}/export")).text
        await shop.take(erased(C))
        found = [(await ben.get(f"/adjustments/{id}")).json() for id in (given, proposed)]
        assert [(one["reason"], one["state"]) for one in found] == [(None, "applied"), (None, "refused")]
        assert C not in {one["customer_id"] for one in found}
        assert (await post(ben, f"/adjustments/{proposed}/approve")).json()["code"] == "adjustment-decided"
    await whole(shop)


async def test_a_joined_id_is_given_to_and_taken_from_as_one_person(shop: Shop) -> None:
    await shop.take(bought("c-old", "o-1", "1000"), bought("c-new", "o-2", "500"))
    await shop.take(merged("c-old", "c-new"))
    async with person(shop, "ann") as ann:
        assert (await adjust(ann, {**ASKED, "points": 50}, "c-old")).status_code == 201
        assert (await adjust(ann, {**ASKED, "points": -200}, "c-old")).status_code == 201
    assert await books(shop, "c-new") == {}
    await whole(shop)


async def test_a_large_adjustment_in_small_ones_needs_the_second_person_all_the_same(shop: Shop) -> None:
    await shop.take(bought("c-old", "o-1", "1000"), bought("c-new", "o-2", "500"), bought("c-other", "o-3", "500"))
    await shop.take(merged("c-old", "c-new"))
    async with person(shop, "ann") as ann, person(shop, "ben") as ben:
        assert (await adjust(ann, {**ASKED, "points": 600}, "c-old")).status_code == 201
        assert (await adjust(ann, {**ASKED, "points": -400}, "c-new")).status_code == 201
        over = await adjust(ann, {**ASKED, "points": 1}, "c-new")
        assert (over.status_code, over.json()["state"]) == (202, "proposed")
        # What was proposed isn't his alone; others, and other customers, have sums of their own.
        assert (await adjust(ben, {**ASKED, "points": 1000}, "c-old")).status_code == 201
        assert (await adjust(ann, {**ASKED, "points": 1000}, "c-other")).status_code == 201
        assert (await post(ben, f"/adjustments/{over.json()['id']}/approve")).status_code == 200
        # NOW is noon in Taipei: to the last second it is that day.
        shop.clock.set(NOW + DAY / 2 - timedelta(seconds=1))
        assert (await adjust(ann, {**ASKED, "points": 1}, "c-old")).status_code == 202
        shop.clock.set(NOW + DAY / 2)
        assert (await adjust(ann, {**ASKED, "points": 1000}, "c-old")).status_code == 201
    await whole(shop)


async def test_what_a_second_person_approved_does_not_count_as_given_alone(shop: Shop) -> None:
    await shop.take(bought(C, "o-1", "1000"))
    async with person(shop, "ann") as ann, person(shop, "ben") as ben:
        proposed = (await adjust(ann, MANY)).json()["id"]
        assert (await post(ben, f"/adjustments/{proposed}/approve")).status_code == 200
        assert (await adjust(ann, {**ASKED, "points": 1000})).status_code == 201


async def test_small_adjustments_at_once_do_not_slip_past_the_threshold_together(shop: Shop) -> None:
    await shop.take(bought(C, "o-1", "1000"))
    async with person(shop, "ann") as ann:
        answers = await asyncio.gather(*(adjust(ann, {**ASKED, "points": 300}) for _ in range(8)))
    assert sorted(one.status_code for one in answers) == [201] * 3 + [202] * 5
    assert await books(shop) == {"available": 1000}
    await whole(shop)
