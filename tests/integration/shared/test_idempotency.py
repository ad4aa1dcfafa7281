"""A POST that is sent again has one effect, and gets its answer again."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

import asyncpg
import pytest
import pytest_asyncio
from fastapi import FastAPI, Response
from pydantic import BaseModel

from shared.db import Database, fetch
from shared.http.auth import public
from shared.http.idempotency import IDEMPOTENCY_DDL, Attempt, claim, idempotency_key, remember
from shared.http.problems import ProblemError, conflict
from shared.http.routing import Router
from tests.kit.databases import TestDatabase
from tests.unit.shared.little_app import calling, little_app, problem

HMAC = b"\x01" * 32
ROUTE = "loyalty POST /redemptions"
KEY = {"Idempotency-Key": "k-1"}


class Spend(BaseModel):
    points: int


class Spent(BaseModel):
    id: int
    points: int


@pytest_asyncio.fixture
async def store(test_database: TestDatabase, database: Database) -> AsyncIterator[Database]:
    """The keys and a table of effects, as the service sees them."""
    owner = await asyncpg.connect(test_database.owner_dsn)
    await owner.execute(IDEMPOTENCY_DDL)
    await owner.execute("CREATE TABLE spends (id bigint GENERATED ALWAYS AS IDENTITY, points int)")
    await owner.execute("GRANT SELECT, INSERT, UPDATE ON idempotency_keys, spends TO roost_service")
    await owner.close()
    yield database


async def effects(store: Database) -> int:
    async with store.transaction() as tx:
        count: int = (await fetch(tx, "SELECT count(*) AS n FROM spends"))[0]["n"]
    return count


def spending(store: Database, *, in_the_middle: asyncio.Event | None = None) -> FastAPI:
    router = Router(dependencies=[public()])

    @router.post("/spends", status_code=201)
    async def spend(
        order: Spend, response: Response, attempt: Annotated[Attempt, idempotency_key(required=True)]
    ) -> Spent:
        async with store.transaction() as tx:
            if replay := await attempt.claim(tx):
                replay.mark(response)
                [found] = await fetch(tx, "SELECT id, points FROM spends WHERE id = :id", id=int(replay.resource_id))
                return Spent(id=found["id"], points=found["points"])
            if in_the_middle is not None:
                await in_the_middle.wait()
            if order.points > 100:
                raise conflict("insufficient-points", "Not so many.")
            insert = "INSERT INTO spends (points) VALUES (:points) RETURNING id"
            number: int = (await fetch(tx, insert, points=order.points))[0]["id"]
            await attempt.remember(tx, status=201, resource_id=str(number))
        return Spent(id=number, points=order.points)

    return little_app(routers=[router])


async def test_the_same_request_again_has_no_second_effect_and_the_same_answer(store: Database) -> None:
    async with calling(spending(store), headers=KEY) as client:
        first = await client.post("/spends", json={"points": 5})
        again = await client.post("/spends", content=b'{ "points" : 5 }', headers={"Content-Type": "application/json"})
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert await effects(store) == 1


async def test_the_same_key_with_another_body_is_refused(store: Database) -> None:
    async with calling(spending(store), headers=KEY) as client:
        await client.post("/spends", json={"points": 5})
        problem(await client.post("/spends", json={"points": 6}), 422, "idempotency-key-reused")
    assert await effects(store) == 1


async def test_another_key_is_another_effect(store: Database) -> None:
    async with calling(spending(store)) as client:
        for key in ("k-1", "k-2"):
            await client.post("/spends", json={"points": 5}, headers={"Idempotency-Key": key})
    assert await effects(store) == 2


async def test_a_refusal_keeps_nothing_so_that_the_key_may_be_used_again(store: Database) -> None:
    async with calling(spending(store), headers=KEY) as client:
        problem(await client.post("/spends", json={"points": 500}), 409, "insufficient-points")
        response = await client.post("/spends", json={"points": 5})
    assert response.status_code == 201
    assert "idempotency-replayed" not in response.headers


async def test_while_the_first_is_running_the_second_is_told_to_wait(store: Database) -> None:
    in_the_middle = asyncio.Event()
    async with calling(spending(store, in_the_middle=in_the_middle), headers=KEY) as client:
        first, second = (asyncio.create_task(client.post("/spends", json={"points": 5})) for _ in range(2))
        done, _ = await asyncio.wait({first, second}, return_when=asyncio.FIRST_COMPLETED, timeout=10)
        refused = done.pop().result()
        problem(refused, 409, "idempotency-in-progress")
        assert refused.headers["retry-after"] == "1"
        in_the_middle.set()
        assert sorted(one.status_code for one in await asyncio.gather(first, second)) == [201, 409]
        replayed = await client.post("/spends", json={"points": 5})
    assert replayed.headers["idempotency-replayed"] == "true"
    assert await effects(store) == 1


async def test_many_at_once_have_one_effect(store: Database) -> None:
    async with calling(spending(store), headers=KEY) as client:
        answers = await asyncio.gather(*(client.post("/spends", json={"points": 5}) for _ in range(12)))
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.text for answer in answers if answer.status_code == 201}) == 1
    assert await effects(store) == 1


async def test_a_key_belongs_to_its_route(store: Database) -> None:
    async with store.transaction() as tx:
        assert await claim(tx, ROUTE, "k-1", HMAC) is None
        await remember(tx, ROUTE, "k-1", HMAC, status=201, resource_id="r-1")
    async with store.transaction() as tx:
        assert await claim(tx, "loyalty POST /transfers", "k-1", HMAC) is None
        found = await claim(tx, ROUTE, "k-1", HMAC)
    assert found is not None
    assert (found.status, found.resource_id) == (201, "r-1")


async def test_a_rolled_back_effect_takes_its_key_with_it(store: Database) -> None:
    async def effect_that_breaks() -> None:
        async with store.transaction() as tx:
            assert await claim(tx, ROUTE, "k-1", HMAC) is None
            await remember(tx, ROUTE, "k-1", HMAC, status=201, resource_id="r-1")
            raise LookupError

    with pytest.raises(LookupError):
        await effect_that_breaks()
    async with store.transaction() as tx:
        assert await claim(tx, ROUTE, "k-1", HMAC) is None


async def test_a_key_is_held_until_the_transaction_ends(store: Database) -> None:
    async with store.transaction() as holder:
        await claim(holder, ROUTE, "k-1", HMAC)
        async with store.transaction() as other:
            with pytest.raises(ProblemError) as refused:
                await claim(other, ROUTE, "k-1", HMAC)
    assert refused.value.code == "idempotency-in-progress"
    async with store.transaction() as other:
        assert await claim(other, ROUTE, "k-1", HMAC) is None
