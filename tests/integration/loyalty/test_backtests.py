"""A backtest finds what the live system awarded, and what another version would have; it changes nothing else."""

import random
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio

from services.loyalty.earning.application import Earning
from services.loyalty.ledger import application as ledger
from services.loyalty.ledger.reading import holder_of
from services.loyalty.programmes.domain import in_force
from services.loyalty.simulations.backtests import Backtesting
from services.loyalty.tiers.application import ladder_of
from shared.db import execute, fetch
from shared.messaging.records import Record
from tests.integration.loyalty.shop import HOUSE, Shop
from tests.integration.loyalty.test_http import PROGRAMME, STAFF
from tests.integration.loyalty.test_merges import merged
from tests.integration.shared.test_kills import state
from tests.kit.builders import NOW, about_order, at, line, purchase, record, returned
from tests.kit.databases import TestDatabase

SERVICE = "loyalty"
RULES: list[dict[str, Any]] = [
    {"id": "tea", "order": 1, "on": "purchase", "when": {"category": ["tea"]}, "effect": {"multiply": "2"},
     "cap": {"points": 60, "per": "month", "scope": "customer"}},
    {"id": "first", "order": 2, "on": "first-purchase", "effect": {"bonus": 100}},
]  # fmt: skip
SILVER = {"name": "silver", "qualify": {"spend": "1000", "window_days": 90}, "multiply": "1.5"}
GOLD = {"name": "gold", "qualify": {"spend": "1001", "points": 900, "window_days": 90}, "multiply": "2"}
CUSTOMERS = [f"c-{n}" for n in range(12)]
PERIOD = {"from": at(100), "to": at(0)}


@pytest_asyncio.fixture
async def staff(shop: Shop) -> AsyncIterator[httpx.AsyncClient]:
    async with shop.client(STAFF) as client:
        yield client


def bought(customer: str, order: str, total: str, days_ago: float, category: str = "tea") -> Record:
    lines = [line(amount=total, category=category)]
    return record("purchase-recorded", purchase(customer, order, total=total, days_ago=days_ago, lines=lines))


def history(dice: random.Random) -> list[Record]:
    """A hundred days of twelve customers, in no order: purchases, some given back in parts, some cancelled."""
    records: list[Record] = []
    for n in range(120):
        customer, days_ago = dice.choice(CUSTOMERS), dice.uniform(1, 99)
        category = dice.choice(["tea", "coffee"])
        records.append(bought(customer, f"o-{n}", str(dice.randrange(1, 900)), days_ago, category))
        if n % 7 == 0:
            back = {"amount": {"amount": "1", "currency": "TWD"}}
            records.append(
                record("purchase-returned", returned(f"o-{n}", customer_id=customer, days_ago=days_ago / 2, **back))
            )
        if n % 11 == 0:
            fact = about_order(f"o-{n}", customer_id=customer, days_ago=days_ago / 3)
            records.append(record("purchase-cancelled", fact))
    dice.shuffle(records)
    return records


async def asked(shop: Shop, staff: httpx.AsyncClient, **question: Any) -> dict[str, Any]:
    """Asks, has the job work, and reads the answer."""
    waits = await staff.post("/simulations", json={**PERIOD, **question})
    assert waits.status_code == 202, waits.text
    assert waits.json()["state"] == "waiting"
    await shop.job("backtest").run()
    done: dict[str, Any] = (await staff.get(f"/simulations/{waits.json()['id']}")).json()
    assert done["state"] == "done", done
    assert done["judged"] == done["persons"]
    found: dict[str, Any] = done["result"]
    return found


async def lived(shop: Shop) -> dict[str, Any]:
    """What the live system has: points that stand, tiers of persons, parts by rule."""
    earning = Earning(shop.clock, shop.programmes, HOUSE.zone)
    rules: dict[str, Counter[str]] = {}
    tiers: Counter[str | None] = Counter()
    async with shop.db.transaction() as tx:
        programme = in_force(await shop.programmes.known(tx), NOW)
        assert programme is not None, "the tests post one"
        points = (await fetch(tx, "SELECT sum(points) AS points FROM lots"))[0]["points"]
        for customer in await ledger.customers_with_accounts(tx, CUSTOMERS):
            holder = await holder_of(tx, customer)
            if holder.survivor != customer:
                continue
            lots = await ledger.lots_of(tx, holder.accounts)
            for judgement in await earning.judgements(tx, list(holder.customers.values()), lots):
                for part in judgement.parts:
                    sums = {"wanted": part.wanted, "awarded": part.awarded, "after_returns": part.kept}
                    rules.setdefault(part.rule, Counter()).update(sums)
            tiers[(await ladder_of(tx, holder.accounts, programme)).at(NOW)] += 1
    return {"points": int(points), "rules": {name: dict(sums) for name, sums in rules.items()}, "tiers": tiers}


def by_rule(side: dict[str, Any]) -> dict[str, dict[str, int]]:
    return {each.pop("rule"): each for each in [dict(one) for one in side["rules"]]}


async def test_the_version_that_was_in_force_finds_what_was_awarded_whatever_came_back_or_was_merged(
    shop: Shop, staff: httpx.AsyncClient
) -> None:
    version = await shop.post(rules=RULES, tiers=[SILVER, GOLD])
    await shop.take(*history(random.Random(5)), merged("c-0", "c-1"), merged("c-2", "c-1"))
    live = await lived(shop)
    found = await asked(shop, staff, version=version)
    assert found["known_at"] == NOW.isoformat().replace("+00:00", "Z")
    assert found["customers"] == len(CUSTOMERS) - 2
    assert found["orders"] == 120
    assert live["tiers"]["silver"], "somebody has it"
    assert live["tiers"]["gold"], "and somebody more"
    for side in ("tried", "compared"):
        assert found[side]["points"]["after_returns"] == live["points"]
        assert found[side]["liability"]["points"] == live["points"]
        assert by_rule(found[side]) == live["rules"]
        assert sum(month["after_returns"] for month in found[side]["months"]) == live["points"]
    assert set(live["rules"]) == {"base", "tea", "first", "tier"}
    assert {(one["before"], one["after"]): one["customers"] for one in found["tiers"]} == {
        (tier, tier): count for tier, count in live["tiers"].items()
    }
    difference = found["difference"]
    assert not any(difference["points"].values())
    assert not any(difference["liability"].values())
    assert not any(month[name] for month in difference["months"] for name in ("wanted", "awarded", "after_returns"))


async def test_twice_the_points_in_a_draft_is_twice_the_points_found(shop: Shop, staff: httpx.AsyncClient) -> None:
    await shop.post(rules=[], tiers=[])
    await shop.take(*[bought(f"c-{n % 5}", f"o-{n}", str(10 * n), n) for n in range(1, 40)])
    base = {**PROGRAMME, "rules": [], "tiers": []}
    found = await asked(shop, staff, programme={**base, "points": {**base["points"], "award": 2}})
    was, would_be = found["compared"], found["tried"]
    assert was["points"]["after_returns"] == sum(range(1, 40))
    assert would_be["points"] == {name: 2 * points for name, points in was["points"].items()}
    assert would_be["liability"] == {name: 2 * points for name, points in was["liability"].items()}
    assert [month["awarded"] for month in would_be["months"]] == [2 * month["awarded"] for month in was["months"]]
    assert found["difference"]["points"] == was["points"]
    assert found["difference"]["months"] == was["months"]


async def test_a_backtest_answers_the_same_twice_and_changes_no_table_but_its_own(
    shop: Shop, staff: httpx.AsyncClient
) -> None:
    await shop.post(rules=RULES, tiers=[SILVER])
    await shop.take(*history(random.Random(6)), merged("c-0", "c-1"))
    before = await state(shop.db)
    draft = {**PROGRAMME, "rules": [{"id": "ten", "order": 1, "on": "purchase", "effect": {"bonus": 10}}]}
    first = await asked(shop, staff, programme=draft)
    assert await asked(shop, staff, programme=draft) == first
    after = await state(shop.db)
    assert {name for name, content in after.items() if content != before[name]} == {"simulations"}


async def test_what_happened_before_the_period_is_as_it_was_and_what_came_after_it_is_not_known(
    shop: Shop, staff: httpx.AsyncClient
) -> None:
    await shop.post(rules=RULES, tiers=[])
    await shop.take(
        bought("c-1", "before", "400", 60), bought("c-1", "within", "400", 40), bought("c-1", "after", "400", 10),
        record("purchase-returned", returned("within", customer_id="c-1", days_ago=5)),
    )  # fmt: skip
    draft = {**PROGRAMME, "points": {**PROGRAMME["points"], "award": 3}, "rules": RULES, "tiers": []}
    found = await asked(shop, staff, programme=draft, **{"from": at(50), "to": at(20)})
    assert (found["customers"], found["orders"]) == (1, 1)
    # He had bought before, and what came back later is still with him.
    assert by_rule(found["tried"]) == {
        "base": {"wanted": 120, "awarded": 120, "after_returns": 120},
        "tea": {"wanted": 120, "awarded": 60, "after_returns": 60},
    }
    assert found["compared"]["points"]["awarded"] == 40 + 40
    earlier = 40 + 40 + 100
    assert found["tried"]["liability"]["points"] == earlier + 180
    assert found["compared"]["liability"] == {"points": earlier + 80, "pending": 0, "available": earlier + 80}


async def test_points_that_were_used_are_not_open_any_more(shop: Shop, staff: httpx.AsyncClient) -> None:
    version = await shop.post(rules=[], tiers=[])
    await shop.take(bought("c-1", "o-1", "400", 40), bought("c-1", "o-2", "300", 30))
    key = {"Idempotency-Key": "k-1"}
    used = await staff.post("/redemptions", json={"customer_id": "c-1", "points": 50}, headers=key)
    assert used.status_code == 201, used.text
    shop.clock.set(NOW + timedelta(hours=1))
    period = {"to": (NOW + timedelta(minutes=1)).isoformat()}
    found = await asked(shop, staff, version=version, **period)
    assert found["compared"]["liability"]["available"] == (await shop.balance("c-1")).available == 20
    assert found["compared"]["points"]["after_returns"] == 70
    # With three points where there was one, as many were used of each order.
    draft = {**PROGRAMME, "points": {**PROGRAMME["points"], "award": 3}, "rules": [], "tiers": []}
    found = await asked(shop, staff, programme=draft, **period)
    assert found["tried"]["liability"]["available"] == 210 - 50
    # Before it was used, it was all there.
    found = await asked(shop, staff, version=version)
    assert found["compared"]["liability"]["available"] == 70


async def test_who_is_one_person_by_a_merge_has_one_tier_and_his_ids_their_own_caps(
    shop: Shop, staff: httpx.AsyncClient
) -> None:
    await shop.post(rules=[RULES[0]], tiers=[])
    await shop.take(
        bought("c-old", "o-1", "600", 9), bought("c-new", "o-2", "600", 8), bought("c-alone", "o-3", "600", 7),
        merged("c-old", "c-new"),
    )  # fmt: skip
    found = await asked(shop, staff, programme={**PROGRAMME, "rules": [RULES[0]], "tiers": [SILVER]})
    assert found["customers"] == 2
    assert found["tiers"] == [
        {"before": None, "after": None, "customers": 1}, {"before": None, "after": "silver", "customers": 1}
    ]  # fmt: skip
    assert by_rule(found["compared"])["tea"] == {"wanted": 180, "awarded": 180, "after_returns": 180}


async def test_an_erased_customer_counts_without_a_name(shop: Shop, staff: httpx.AsyncClient) -> None:
    await shop.post(rules=RULES, tiers=[SILVER])
    await shop.take(bought("c-1", "o-1", "700", 9), bought("c-2", "o-2", "600", 8), merged("c-2", "c-1"))
    before = await asked(shop, staff, version=2)
    cause = {"source": "/staff", "id": "1"}
    erased = {"customer_id": "c-1", "occurred_at": at(0), "caused_by": cause, "sequence": 9}
    erasure = {**erased, "erasure_id": "e-1", "customer_ids": ["c-1", "c-2"]}
    await shop.take(record("customer-erased", erasure, source="/roost/profile"))
    async with shop.db.transaction() as tx:
        assert not await ledger.customers_with_accounts(tx, ["c-1", "c-2"])
    assert await asked(shop, staff, version=2) == before


async def test_a_budget_gave_what_it_gave_and_another_versions_is_named_as_not_applied(
    shop: Shop, staff: httpx.AsyncClient
) -> None:
    budget = {"points": 150, "per": "lifetime"}
    version = await shop.post(rules=[], tiers=[], budget=budget)
    await shop.take(*[bought(f"c-{n}", f"o-{n}", "600", 9 - n) for n in range(4)])
    live = await lived(shop)
    assert live["points"] == 150
    found = await asked(shop, staff, version=version)
    assert found["tried"] == found["compared"]
    assert found["tried"]["points"] == {"wanted": 240, "awarded": 150, "after_returns": 150}
    everybody = {"id": "tea", "order": 1, "on": "purchase", "effect": {"bonus": 1},
                 "cap": {"points": 2, "per": "year", "scope": "programme"}}  # fmt: skip
    draft = {**PROGRAMME, "rules": [everybody], "tiers": [], "budget": budget}
    found = await asked(shop, staff, programme=draft)
    assert found["not_applied"] == ["/rules/0/cap", "/budget"]
    assert found["compared"]["points"]["awarded"] == 150
    assert found["tried"]["points"]["awarded"] == 240 + 4


async def test_two_posted_versions_are_held_against_one_another(shop: Shop, staff: httpx.AsyncClient) -> None:
    await shop.take(bought("c-1", "o-1", "400", 9, "coffee"))
    plain = await shop.post(rules=[], tiers=[], active_from=(NOW + timedelta(days=9)).isoformat())
    bonus = await shop.post(rules=[RULES[1]], tiers=[], active_from=(NOW + timedelta(days=9)).isoformat())
    found = await asked(shop, staff, version=bonus, compare_to=plain)
    assert found["difference"]["points"] == {"wanted": 100, "awarded": 100, "after_returns": 100}
    assert found["compared"]["points"]["awarded"] == 40


async def test_a_backtest_whose_process_ended_has_failed_and_the_next_has_its_turn(
    shop: Shop, staff: httpx.AsyncClient
) -> None:
    ids = [(await staff.post("/simulations", json={**PERIOD, "version": 1})).json()["id"] for _ in range(2)]
    async with shop.db.transaction() as tx:
        await execute(tx, "UPDATE simulations SET state = 'running' WHERE simulation_id = :id", id=ids[0])
    assert await shop.job("backtest").next_due() == NOW
    assert await shop.job("backtest").run() == 1
    assert await shop.job("backtest").next_due() is None
    states = [(await staff.get(f"/simulations/{id}")).json() for id in ids]
    assert [(one["state"], one["error"]) for one in states] == [("failed", "interrupted"), ("done", None)]
    assert states[1]["result"]["orders"] == 0


async def test_a_backtest_whose_worker_dies_has_failed_and_says_so(
    shop: Shop, staff: httpx.AsyncClient, test_database: TestDatabase
) -> None:
    id = (await staff.post("/simulations", json={**PERIOD, "version": 1})).json()["id"]
    nowhere = test_database.dsn.replace("roost_service", "nobody")
    assert await Backtesting(shop.db, nowhere, shop.clock, HOUSE).run() == 1
    found = (await staff.get(f"/simulations/{id}")).json()
    assert (found["state"], found["error"], found["result"]) == ("failed", "failed", None)
    assert await shop.job("backtest").next_due() is None


async def test_a_question_that_is_sent_again_is_one_backtest(shop: Shop, staff: httpx.AsyncClient) -> None:
    key = {"Idempotency-Key": "k-1"}
    once, again = [
        await staff.post("/simulations", json={**PERIOD, "version": 1}, headers=key) for _ in range(2)
    ]  # fmt: skip
    assert (once.status_code, again.status_code) == (202, 202)
    assert once.json() == again.json()


@pytest.mark.parametrize(
    ("question", "pointer"),
    [
        ({"from": at(1), "version": 1}, "/to"), ({"version": 1}, "/from"), ({**PERIOD}, "/programme"),
        ({**PERIOD, "version": 7}, "/version"), ({**PERIOD, "version": 1, "compare_to": 7}, "/compare_to"),
        ({**PERIOD, "version": 1, "programme": PROGRAMME}, "/programme"),
        ({**PERIOD, "to": at(-1), "version": 1}, "/to"), ({"from": at(1), "to": at(2), "version": 1}, "/from"),
        ({**PERIOD, "purchase": {}}, "/from"), ({**PERIOD, "from": "2026-01-01T00:00:00", "version": 1}, "/from"),
    ],
)  # fmt: skip
async def test_what_is_no_period_is_refused_by_its_field(
    staff: httpx.AsyncClient, question: dict[str, Any], pointer: str
) -> None:
    refused = await staff.post("/simulations", json=question)
    assert refused.status_code == 422, refused.text
    assert refused.json()["errors"][0]["pointer"] == pointer


async def test_a_customer_asks_for_no_period_and_reads_no_backtest(shop: Shop, staff: httpx.AsyncClient) -> None:
    id = (await staff.post("/simulations", json={**PERIOD, "version": 1})).json()["id"]
    async with shop.client("loyalty:read", "c-1") as customer:
        assert (await customer.post("/simulations", json={**PERIOD, "version": 1})).status_code == 403
        assert (await customer.get(f"/simulations/{id}")).status_code == 403
    assert (await staff.get("/simulations/sim_0")).status_code == 404
