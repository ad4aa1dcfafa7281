"""Commands that wait together share a transaction, and nobody can tell by his answer."""

import asyncio
import random
from collections.abc import Iterable
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import msgspec
import pytest

from services.loyalty.ledger import reading
from services.loyalty.ledger.reading import Balance
from services.loyalty.ledger.spending import ShortOfPointsError
from services.loyalty.redemptions.commands import Command, Commit, MakeHold, MakeQuote, Redeem, Void
from services.loyalty.redemptions.desk import Desk
from services.loyalty.redemptions.domain import NotThereError, Quote, RedemptionRefusedError, Terms, hold_id_of
from services.loyalty.redemptions.sitting import ApartError
from services.loyalty.redemptions.teller import MOST, Teller
from shared.db import Database, Row, Tx, execute, fetch
from shared.http.idempotency import Attempt, Claim, Replay
from tests.integration.loyalty.shop import HOUSE, Shop
from tests.integration.loyalty.test_merges import merged, parted
from tests.integration.loyalty.test_redemptions import books, bought, made, post, whole
from tests.integration.loyalty.test_redemptions import staff as staff
from tests.kit.builders import record, returned
from tests.kit.databases import TestDatabase
from tests.kit.waiting import until

SERVICE = "loyalty"
PEOPLE = [f"c-{n}" for n in range(8)]
DONE = ("takes", "quotes", "redemptions", "sequences")
LEFT = ("accounts", "lots", "ledger", "holds")


def desk(shop: Shop) -> Desk:
    return Desk(shop.clock, shop.programmes, HOUSE.zone)


async def written(tx: Tx, tables: Iterable[str]) -> dict[str, list[Row]]:
    found = {name: list(await fetch(tx, f"SELECT t::text FROM {name} AS t ORDER BY 1")) for name in tables}
    found["outbox"] = list(await fetch(tx, "SELECT topic, key, value FROM outbox ORDER BY 1, 2, 3"))
    return found


async def one_after_another(desk: Desk, tx: Tx, commands: list[Command[Any]]) -> list[Any]:
    answers: list[Any] = []
    for command in commands:
        try:
            async with tx.transaction():
                answers.append(await desk.serve_alone(tx, command))
        except (NotThereError, ShortOfPointsError, RedemptionRefusedError) as refusal:
            answers.append(refusal)
    return answers


def told(answers: list[Any]) -> list[Any]:
    return [(type(one), one.args) if isinstance(one, Exception) else one for one in answers]


async def some(shop: Shop, rng: random.Random) -> list[Command[Any]]:
    """Commands of every kind about a few people: on quotes, and on holds that last, have run out or were used."""
    by_hand = desk(shop)
    quotes: list[Quote] = []
    holds: list[str] = []
    async with shop.db.transaction() as tx:
        for n in range(16):
            terms = Terms(rng.choice((0, 5, 20, 30)), order_id=rng.choice((None, f"order-{n}")))
            with suppress(ShortOfPointsError):
                quotes.append(await by_hand.serve_alone(tx, MakeQuote(f"qt_{uuid4().hex}", rng.choice(PEOPLE), terms)))
        for quote in quotes[:9]:
            lasting = timedelta(minutes=rng.choice((1, 9)))
            with suppress(ShortOfPointsError):
                async with tx.transaction():
                    holds.append((await by_hand.serve_alone(tx, MakeHold(quote.quote_id, lasting))).hold.hold_id)
    shop.clock.set(shop.clock.now() + timedelta(minutes=rng.choice((0, 2, 20))))
    commands: list[Command[Any]] = []
    for n in range(24):
        quote_id, id = rng.choice(quotes).quote_id, f"rd_{n}_{uuid4().hex}"
        commands.append(
            rng.choice((
                MakeQuote(f"qt_{id}", rng.choice((*PEOPLE, "nobody")), Terms(rng.choice((1, 30, 500)))),
                MakeHold(rng.choice((quote_id, quote_id, "qt_none")), timedelta(minutes=5)),
                Commit(rng.choice(holds), id),
                Commit(rng.choice((rng.choice(holds), hold_id_of(quote_id))), id, rng.choice((1, 3, 30))),
                Void(rng.choice(holds)),
                Redeem(id, rng.choice(PEOPLE), Terms(rng.choice((1, 15, 90)))),
            ))
        )  # fmt: skip
    # What is quoted is what there was before any of the others.
    return sorted(commands, key=lambda command: not isinstance(command, MakeQuote))


async def lives(shop: Shop, seed: int) -> None:
    """Three purchases each; then, by the seed, a merge, one that was undone after points were held, or a debt."""
    rng = random.Random(seed)
    for one in PEOPLE:
        await shop.take(*(bought(one, f"{one}-{n}", str(rng.choice((100, 400)))) for n in range(3)))
    if seed % 4 in (1, 2):
        await shop.take(merged(PEOPLE[0], PEOPLE[1]))
    if seed % 4 == 2:
        async with shop.db.transaction() as tx:
            for n in range(3):
                quote = await desk(shop).serve_alone(tx, MakeQuote(f"qt_early-{n}", PEOPLE[1], Terms(15)))
                await desk(shop).serve_alone(tx, MakeHold(quote.quote_id, timedelta(hours=1)))
        await shop.take(parted(PEOPLE[0], PEOPLE[1]))
    if seed % 4 == 3:
        async with shop.db.transaction() as tx:
            await desk(shop).serve_alone(tx, Redeem("rd_early", PEOPLE[0], Terms(25)))
        await shop.take(*(record("purchase-returned", returned(f"c-0-{n}", customer_id="c-0")) for n in range(2)))


@pytest.mark.parametrize("seed", range(8))
async def test_what_commands_do_together_is_what_they_do_one_after_another(shop: Shop, seed: int) -> None:
    await lives(shop, seed)
    rng = random.Random(seed)
    commands = await some(shop, rng)
    if seed % 4 == 2:
        commands += [Commit(f"hd_early-{n}", f"rd_late-{n}") for n in range(3)] + [Redeem("rd_l", PEOPLE[1], Terms(20))]
    due = await shop.job("holds").next_due()
    plain = seed % 4 < 2 and (due is None or due > shop.clock.now())
    # What has run out, and what is owed, is written down by whoever needs the points: together it is one for all.
    tables = (*DONE, *LEFT) if plain else DONE
    async with shop.db.transaction() as tx:
        part = tx.transaction()
        await part.start()
        answers = await desk(shop).serve(tx, commands, wait=False)
        apart = [n for n, one in enumerate(answers) if isinstance(one, ApartError)]
        assert not (apart and plain), "only of whom it takes more to tell what he has"
        late = await one_after_another(desk(shop), tx, [commands[n] for n in apart])
        for n, answer in zip(apart, late, strict=True):
            answers[n] = answer
        together = await written(tx, tables), await balances(shop, tx)
        await part.rollback()
        order = [n for n in range(len(commands)) if n not in apart] + apart
        expected = await one_after_another(desk(shop), tx, [commands[n] for n in order])
        assert told([answers[n] for n in order]) == told(expected)
        assert together == (await written(tx, tables), await balances(shop, tx))
    await whole(shop)


async def balances(shop: Shop, tx: Tx) -> dict[str, Balance]:
    found = {}
    for one in PEOPLE:
        holder = await reading.holder_of(tx, one)
        found[one] = await reading.balance_at(tx, holder.accounts, shop.clock.now())
    return found


async def transactions(shop: Shop, table: str) -> int:
    """How many transactions wrote the rows of a table."""
    async with shop.db.transaction() as tx:
        found: int = (await fetch(tx, f"SELECT count(DISTINCT xmin::text) AS n FROM {table}"))[0]["n"]
    return found


async def keys(shop: Shop) -> int:
    async with shop.db.transaction() as tx:
        found: int = (await fetch(tx, "SELECT count(*) AS n FROM idempotency_keys"))[0]["n"]
    return found


async def redeemed_at_once(staff: httpx.AsyncClient, points: dict[str, int]) -> dict[str, httpx.Response]:
    asking = (post(staff, "/redemptions", {"customer_id": one, "points": n}, key=one) for one, n in points.items())
    return dict(zip(points, await asyncio.gather(*asking), strict=True))


async def test_who_is_refused_among_others_leaves_nothing_and_may_ask_again(
    shop: Shop, staff: httpx.AsyncClient
) -> None:
    await shop.take(*(bought(one, f"o-{one}", "1000") for one in PEOPLE))
    wanted = dict.fromkeys(PEOPLE, 60) | {"c-3": 101, "c-9": 1}
    answers = await redeemed_at_once(staff, wanted)
    assert [one for one, answer in answers.items() if answer.status_code != 201] == ["c-3", "c-9"]
    assert (answers["c-3"].json()["code"], answers["c-3"].json()["shortfall"]) == ("insufficient-points", 1)
    assert answers["c-9"].status_code == 404
    assert await keys(shop) == len(PEOPLE) - 1
    assert await transactions(shop, "redemptions") < len(PEOPLE) - 1
    await shop.take(bought("c-3", "o-more", "10"))
    again = await redeemed_at_once(staff, wanted)
    assert [again[one].headers.get("Idempotency-Replayed") for one in ("c-2", "c-3")] == ["true", None]
    assert again["c-2"].json() == answers["c-2"].json()
    assert again["c-3"].status_code == 201
    await whole(shop)


async def test_the_same_key_twice_at_once_has_one_effect_and_one_answer(shop: Shop, staff: httpx.AsyncClient) -> None:
    await shop.take(bought("c-1", "o-1", "1000"))
    body = {"customer_id": "c-1", "points": 10}
    answers = await asyncio.gather(*(post(staff, "/redemptions", body, key="k") for _ in range(12)))
    assert {answer.text for answer in answers} == {answers[0].text}
    assert await books(shop, "c-1") == {"available": 90}
    other = await asyncio.gather(*(post(staff, "/redemptions", {**body, "points": n}, key="l") for n in (1, 2)))
    assert sorted(answer.status_code for answer in other) == [201, 422]


async def test_who_has_to_wait_for_somebody_keeps_nobody_else_waiting(shop: Shop, staff: httpx.AsyncClient) -> None:
    await shop.take(*(bought(one, f"o-{one}", "1000") for one in PEOPLE), merged("c-1", "c-2"))
    reward = await made(staff, "/rewards", {"name": "Mug", "kind": "gift", "points": 20})
    async with shop.db.transaction() as tx:
        # Of a person of two ids the one that doesn't answer for him.
        await execute(tx, "SELECT 1 FROM accounts WHERE customer_id = 'c-1' FOR UPDATE")
        bodies: list[dict[str, Any]] = [{"points": 7}, {"reward_id": reward["id"]}]
        asking = [post(staff, "/redemptions", {"customer_id": "c-2", **bodies[n % 2]}) for n in range(30)]
        waiting = [asyncio.create_task(one) for one in asking]
        async with asyncio.timeout(10):
            others = await redeemed_at_once(staff, dict.fromkeys(PEOPLE[3:], 60))
            mug = await post(staff, "/redemptions", {"customer_id": "c-3", "reward_id": reward["id"]})
        assert {answer.status_code for answer in (*others.values(), mug)} == {201}
        assert not any(one.done() for one in waiting)
    answers = [answer.status_code for answer in await asyncio.gather(*waiting)]
    assert answers.count(201) >= 10
    await whole(shop)


async def test_who_waits_for_the_same_person_is_served_together(shop: Shop, staff: httpx.AsyncClient) -> None:
    await shop.take(bought("c-1", "o-1", "1000"))
    async with shop.db.transaction() as tx:
        await execute(tx, "SELECT 1 FROM accounts WHERE customer_id = 'c-1' FOR UPDATE")
        asking = [post(staff, "/redemptions", {"customer_id": "c-1", "points": 1}) for _ in range(40)]
        waiting = [asyncio.create_task(one) for one in asking]
        await until_somebody_waits(shop)
    assert {answer.status_code for answer in await asyncio.gather(*waiting)} == {201}
    assert await transactions(shop, "redemptions") <= 4
    assert await books(shop, "c-1") == {"available": 60}
    await whole(shop)


async def until_somebody_waits(shop: Shop) -> None:
    async def waits() -> Any:
        query = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        async with shop.db.transaction() as tx:
            return await fetch(tx, query)

    await until(waits)


async def test_a_token_asks_for_its_customer_alone_under_whichever_of_his_ids(shop: Shop) -> None:
    await shop.take(*(bought(one, f"o-{one}", "1000") for one in PEOPLE))
    async with shop.db.transaction() as tx:
        await desk(shop).serve_alone(tx, MakeQuote("qt_1", "c-2", Terms(10)))
        await desk(shop).serve_alone(tx, MakeHold("qt_1", timedelta(hours=1)))
        await desk(shop).serve_alone(tx, MakeQuote("qt_2", "c-2", Terms(10)))

    def asked(by: str) -> list[Command[Any]]:
        return [
            MakeQuote(f"qt_{by}", "c-2", Terms(500), asker=by), MakeHold("qt_2", timedelta(hours=1), asker=by),
            Commit("hd_1", f"rd_{by}", 4, asker=by), Void("hd_1", asker=by),
            Redeem(f"rd_2{by}", "c-2", Terms(5), asker=by),
        ]  # fmt: skip

    async with shop.db.transaction() as tx:
        for one in await desk(shop).serve(tx, asked("c-1"), wait=False):
            assert isinstance(one, NotThereError)
    await shop.take(merged("c-1", "c-2"))
    async with shop.db.transaction() as tx:
        answers = await desk(shop).serve(tx, asked("c-1"), wait=False)
    assert [type(one).__name__ for one in answers] == ["ShortOfPointsError", "Held", "Redeemed", "Held", "Redeemed"]
    await shop.take(parted("c-1", "c-2"))
    async with shop.db.transaction() as tx:
        for command in asked("c-1"):
            with pytest.raises(NotThereError):
                await desk(shop).serve_alone(tx, command)
    await whole(shop)


async def test_what_is_told_continues_the_trace_of_whoever_asked_for_it(shop: Shop, staff: httpx.AsyncClient) -> None:
    await shop.take(*(bought(one, f"o-{one}", "1000") for one in PEOPLE))
    reward = await made(staff, "/rewards", {"name": "Mug", "kind": "gift", "points": 20})
    traces = {one: f"{n:032x}" for n, one in enumerate(PEOPLE, start=1)}

    async def redeem(customer: str, what: dict[str, Any]) -> None:
        headers = {"Idempotency-Key": uuid4().hex, "traceparent": f"00-{traces[customer]}-00000000000000ab-01"}
        answer = await staff.post("/redemptions", json={"customer_id": customer, **what}, headers=headers)
        assert answer.status_code == 201

    wanted = [(one, what) for one in PEOPLE for what in ({"points": 3}, {"reward_id": reward["id"]})]
    await asyncio.gather(*(redeem(*one) for one in wanted))
    async with shop.db.transaction() as tx:
        rows = await fetch(
            tx, "SELECT key, headers FROM outbox WHERE topic IN ('points-spent', 'reward-redeemed')"
        )
    told = [(row["key"].decode(), msgspec.json.decode(row["headers"])["traceparent"].split("-")[1]) for row in rows]
    assert sorted(told) == sorted([*traces.items()] * 3)


async def test_a_command_that_breaks_its_transaction_breaks_nobody_else_s(
    shop: Shop, staff: httpx.AsyncClient, test_database: TestDatabase
) -> None:
    await shop.take(*(bought(one, f"o-{one}", "1000") for one in PEOPLE))
    owner = await asyncpg.connect(test_database.owner_dsn)
    await owner.execute("ALTER TABLE redemptions ADD CONSTRAINT unlucky CHECK (points <> 13)")
    try:
        answers = await redeemed_at_once(staff, dict.fromkeys(PEOPLE, 10) | {"c-3": 13})
    finally:
        await owner.execute("ALTER TABLE redemptions DROP CONSTRAINT unlucky")
        await owner.close()
    assert {one: answer.status_code for one, answer in answers.items()} == dict.fromkeys(PEOPLE, 201) | {"c-3": 500}
    assert await books(shop, "c-3") == {"available": 100}
    assert await keys(shop) == len(PEOPLE) - 1
    await whole(shop)


async def test_who_has_gone_before_his_turn_is_not_served(shop: Shop) -> None:
    await shop.take(*(bought(one, f"o-{one}", "1000") for one in PEOPLE))
    teller = Teller(shop.db, desk(shop))

    def asking(customer: str) -> "asyncio.Task[Any]":
        claim = Claim(Attempt("POST /redemptions", customer, b"?"), 201, f"rd_{customer}")
        return asyncio.create_task(teller.serve(claim, Redeem(f"rd_{customer}", customer, Terms(10))))

    async with shop.db.transaction() as tx:
        await execute(tx, "LOCK TABLE idempotency_keys")
        first = asking("c-0")
        await until_somebody_waits(shop)
        gone, stays = asking("c-1"), asking("c-2")
        await asyncio.wait({gone, stays}, timeout=0.01)
        gone.cancel()
    assert [(await one).customer_id for one in (first, stays)] == ["c-0", "c-2"]
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert [await books(shop, one) for one in PEOPLE[:3]] == [{"available": 90}, {"available": 100}, {"available": 90}]
    # The next one finds the teller at work.
    assert isinstance(await asking("c-2"), Replay)


async def test_rewards_and_who_owes_points_are_served_beside_the_others(shop: Shop, staff: httpx.AsyncClient) -> None:
    await shop.take(*(bought(one, f"o-{one}", "1000") for one in PEOPLE))
    await made(staff, "/redemptions", {"customer_id": "c-0", "points": 50})
    await shop.take(record("purchase-returned", returned("o-c-0", customer_id="c-0")))
    await shop.take(bought("c-0", "o-new", "600"))
    assert await books(shop, "c-0") == {"available": 10}
    reward = await made(staff, "/rewards", {"name": "Mug", "kind": "gift", "points": 20, "stock": 3})
    wanted: list[dict[str, Any]] = [{"customer_id": one, "points": 6} for one in PEOPLE]
    wanted += [{"customer_id": one, "reward_id": reward["id"]} for one in PEOPLE[1:]]
    answers = await asyncio.gather(*(post(staff, "/redemptions", body) for body in (*wanted, wanted[0])))
    assert sorted(answer.status_code for answer in answers) == [201] * 11 + [409] * 5
    codes = sorted(answer.json()["code"] for answer in answers if answer.status_code == 409)
    assert codes == ["insufficient-points", *["out-of-stock"] * 4]
    await whole(shop)


async def test_who_was_joined_before_loyalty_heard_of_him_has_the_points_of_who_answers_for_him(
    shop: Shop, staff: httpx.AsyncClient
) -> None:
    await shop.take(bought("c-2", "o-2", "1000"), merged("c-1", "c-2"))
    async with shop.client("loyalty:read loyalty:write", "c-1") as one:
        quote = await made(one, "/quotes", {"customer_id": "c-1", "points": 10})
        hold = await made(one, "/holds", {"quote_id": quote["id"]})
        await made(one, f"/holds/{hold['id']}/commit")
        await made(one, "/redemptions", {"customer_id": "c-1", "points": 5})
    assert await books(shop, "c-2") == {"available": 85}


async def test_a_quote_counts_what_a_hold_that_has_run_out_gave_back(shop: Shop, staff: httpx.AsyncClient) -> None:
    await shop.take(bought("c-1", "o-1", "1000"))
    quote = await made(staff, "/quotes", {"customer_id": "c-1", "points": 90})
    await made(staff, "/holds", {"quote_id": quote["id"], "ttl": 60})
    assert (await post(staff, "/quotes", {"customer_id": "c-1", "points": 90})).json()["shortfall"] == 80
    shop.clock.set(shop.clock.now() + timedelta(minutes=2))
    await made(staff, "/quotes", {"customer_id": "c-1", "points": 90})


@pytest.mark.parametrize("asker", [None, "c-1"])
async def test_no_merge_comes_between_what_is_read_and_what_is_used(shop: Shop, asker: str | None) -> None:
    await shop.take(bought("c-1", "o-1", "1000"))
    async with shop.db.transaction() as tx:
        await desk(shop).serve(tx, [Redeem("rd_1", "c-1", Terms(10), asker=asker)], wait=False)
        merging = asyncio.create_task(shop.take(merged("c-1", "c-2")))
        await until_somebody_waits(shop)
        assert not merging.done()
    await merging


async def test_whoever_waits_too_long_for_a_connection_is_told_so_with_all_who_wait_behind_him(
    shop: Shop, test_database: TestDatabase
) -> None:
    await shop.take(bought("c-1", "o-1", "1000"))
    small = Database(test_database.dsn, pool_size=1)
    small.patience = 0.2
    teller = Teller(small, desk(shop))
    try:
        async with small.connection(), small.connection():
            claims = [Claim(Attempt("POST /redemptions", f"k-{n}", b"?"), 201, f"rd_{n}") for n in range(MOST + 9)]
            asking = [teller.serve(claim, Redeem(claim.resource_id, "c-1", Terms(1))) for claim in claims]
            async with asyncio.timeout(10):
                answers = await asyncio.gather(*asking, return_exceptions=True)
        assert {type(answer) for answer in answers} == {TimeoutError}
    finally:
        await small.close()
