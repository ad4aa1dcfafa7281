"""Facts under their natural keys: the state that everything else is computed from."""

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any

import asyncpg
import msgspec
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.contracts.orders import Order
from shared.db import Database, execute
from shared.messaging import facts
from shared.messaging.events import Event
from shared.messaging.facts import Recorded
from tests.integration.shared.effects import query
from tests.kit.builders import about_order, at, event, line, money, purchase, returned
from tests.kit.databases import TestDatabase

SERVICE = "shared"
BOUGHT, BACK, CANCELLED, DELIVERED = facts.ORDER_KINDS


def bought(order: str, customer: str = "c-1", *, version: int = 1, total: str = "100", days_ago: float = 5) -> Event:
    return event(BOUGHT, purchase(customer, order, order_version=version, total=total, days_ago=days_ago))


def back(order: str, customer: str = "c-1", **fields: Any) -> Event:
    return event(BACK, returned(order, customer_id=customer, **fields))


def cancelled(order: str, customer: str = "c-1") -> Event:
    return event(CANCELLED, about_order(order, customer_id=customer))


def earned(sequence: int, points: int) -> Event:
    data = {
        "customer_id": "c-1", "sequence": sequence, "caused_by": {"source": "/shop", "id": "1"},
        "occurred_at": at(5), "order_id": "o-1", "points": points, "available_from": at(1), "programme_version": 1,
    }  # fmt: skip
    return event("points-earned", data, id=f"c-1:{sequence}")


async def record(db: Database, *events: Event) -> Recorded:
    async with db.transaction() as tx:
        return await facts.record(tx, events)


async def orders(db: Database, *customers: str) -> dict[str, list[Order]]:
    async with db.transaction() as tx:
        return await facts.orders_of(tx, customers)


def plain_of(recorded: Recorded) -> dict[str, list[str]]:
    return {customer: [event.data.order_id for event in found] for customer, found in recorded.plain.items()}


async def test_new_orders_are_plain_and_sorted_by_when_they_occurred(database: Database) -> None:
    recorded = await record(database, bought("o-2", days_ago=1), bought("o-1", days_ago=3), bought("o-3", "c-2"))
    assert plain_of(recorded) == {"c-1": ["o-1", "o-2"], "c-2": ["o-3"]}
    assert (recorded.refold, recorded.customers) == (set(), ["c-1", "c-2"])


async def test_the_same_fact_under_another_event_id_is_a_duplicate(database: Database) -> None:
    data = purchase("c-1", "o-1")
    await record(database, event(BOUGHT, data), event(BOUGHT, purchase("c-1", "o-2")))
    again = await record(database, event(BOUGHT, data), event(BOUGHT, data))
    assert (len(again.duplicates), again.fresh, again.conflicts, again.customers) == (2, [], [], [])
    within = await record(database, *(event(BOUGHT, purchase("c-1", "o-3")) for _ in range(3)))
    assert (len(within.fresh), len(within.duplicates)) == (1, 2)


async def test_a_purchase_that_two_consumers_take_at_once_is_recorded_once(database: Database) -> None:
    data = [purchase("c-1", f"o-{n}", days_ago=5) for n in range(50)]
    copies = [[event(BOUGHT, each) for each in data] for _ in range(4)]
    recorded = await asyncio.gather(*(record(database, *batch) for batch in copies))
    assert sum(len(one.fresh) for one in recorded) == len(data)
    assert sum(len(one.duplicates) for one in recorded) == 3 * len(data)


async def test_an_event_of_ours_that_the_inbox_has_forgotten_is_a_duplicate_all_the_same(database: Database) -> None:
    first, second, other = (earned(sequence, points) for sequence, points in ((1, 10), (2, 20), (1, 99)))
    await record(database, first)
    again = await record(database, first, second)
    assert (again.duplicates, again.fresh, again.conflicts) == ([first], [second], [])
    assert [rejection.event for rejection in (await record(database, other)).conflicts] == [other]


async def test_the_same_key_with_other_data_is_a_conflict_and_the_first_stands(database: Database) -> None:
    first = await record(database, bought("o-1", total="100"), bought("o-1", total="200"))
    assert [rejection.code for rejection in first.conflicts] == ["key-conflict"]
    later = await record(database, bought("o-1", total="300"), bought("o-1", "c-2"))
    assert len(later.conflicts) == 2
    found = await orders(database, "c-1", "c-2")
    assert [order.total for order in found["c-1"]] == [10_000]
    assert found["c-2"] == []


@pytest.mark.parametrize("one_batch", [True, False])
async def test_a_return_a_cancellation_and_a_version_refold_the_customer(database: Database, one_batch: bool) -> None:
    others = [back("o-0"), cancelled("o-1"), bought("o-2", version=2, total="50")]
    for number, other in enumerate(others):
        order = f"o-{number}"
        if one_batch:
            recorded = await record(database, bought(order), other)
            assert plain_of(recorded) == {}
        else:
            await record(database, bought(order))
            recorded = await record(database, other)
        assert recorded.refold == {"c-1"}
    whole = (await orders(database, "c-1"))["c-1"]
    assert {order.order_id: (order.net, order.counts) for order in whole} == {
        "o-0": (0, False), "o-1": (0, False), "o-2": (5_000, True),
    }  # fmt: skip


async def test_a_return_before_its_order_waits_for_it(database: Database) -> None:
    early = await record(database, back("o-1"), cancelled("o-2"))
    assert early.refold == {"c-1"}
    assert await orders(database, "c-1") == {"c-1": []}
    late = await record(database, bought("o-1"), bought("o-2"), bought("o-3"))
    assert (plain_of(late), late.refold) == ({"c-1": ["o-3"]}, {"c-1"})
    assert [order.net for order in (await orders(database, "c-1"))["c-1"]] == [0, 0, 10_000]


async def test_a_higher_version_alone_is_not_plain(database: Database) -> None:
    recorded = await record(database, bought("o-1", version=3))
    assert (plain_of(recorded), recorded.refold) == ({}, {"c-1"})
    older = await record(database, bought("o-1", version=2, total="1"))
    assert older.refold == {"c-1"}
    [order] = (await orders(database, "c-1"))["c-1"]
    assert (order.version, order.total) == (3, 10_000)


async def test_a_version_may_move_an_order_to_another_customer(database: Database) -> None:
    await record(database, bought("o-1", "c-1"), back("o-1", "c-1", amount=money("40")))
    moved = await record(database, bought("o-1", "c-2", version=2))
    assert moved.refold == {"c-1", "c-2"}
    found = await orders(database, "c-1", "c-2")
    assert found["c-1"] == []
    assert [order.net for order in found["c-2"]] == [6_000]


async def test_a_return_published_under_another_customer_is_of_the_orders_customer(database: Database) -> None:
    await record(database, bought("o-1", "c-1"))
    recorded = await record(database, back("o-1", "c-9"))
    assert recorded.refold == {"c-1", "c-9"}
    found = await orders(database, "c-1", "c-9")
    assert [order.net for order in found["c-1"]] == [0]
    assert found["c-9"] == []
    assert [order.net for order in (await orders(database, "c-1"))["c-1"]] == [0]


async def test_signs_of_life_are_facts_too_and_concern_no_order(database: Database) -> None:
    activity = {"customer_id": "c-1", "kind": "visit", "occurred_at": "2026-11-01T00:00:00Z"}
    feedback = {"customer_id": "c-1", "channel": "web", "kind": "praise", "occurred_at": "2026-11-02T00:00:00Z"}
    events = [
        event("activity-recorded", {**activity, "activity_id": "a-2", "occurred_at": "2026-11-03T00:00:00Z"}),
        event("activity-recorded", {**activity, "activity_id": "a-1"}),
        event("feedback-received", {**feedback, "feedback_id": "f-1", "order_id": "o-1"}),
    ]
    recorded = await record(database, *events)
    assert (len(recorded.fresh), recorded.customers) == (3, [])
    async with database.transaction() as tx:
        signs = await facts.signs_of(tx, ["c-1", "c-2"], "activity-recorded")
    assert [sign.data.activity_id for sign in signs["c-1"]] == ["a-1", "a-2"]
    assert signs["c-2"] == []
    later = await record(database, bought("o-1"))
    assert plain_of(later) == {"c-1": ["o-1"]}


@pytest_asyncio.fixture
async def folded(test_database: TestDatabase) -> None:
    """A table of what customers bought, net, in minor units."""
    owner = await asyncpg.connect(test_database.owner_dsn)
    await owner.execute("CREATE TABLE IF NOT EXISTS folded (customer text PRIMARY KEY, net bigint NOT NULL DEFAULT 0)")
    await owner.close()


_ENSURE = "INSERT INTO folded (customer) SELECT unnest(CAST(:customers AS text[])) ON CONFLICT DO NOTHING"
_LOCK = "SELECT 1 FROM folded WHERE customer = ANY(:customers) ORDER BY customer FOR UPDATE"
_ADD = "UPDATE folded SET net = net + :net WHERE customer = :customer"
_SET = "UPDATE folded SET net = :net WHERE customer = :customer"


async def fold(database: Database, *events: Event) -> None:
    """What a service does: locks its customers' rows, and writes down what they bought, net."""
    async with database.transaction() as tx:
        recorded = await facts.record(tx, events)
        customers = recorded.customers
        await execute(tx, _ENSURE, customers=customers)
        await execute(tx, _LOCK, customers=customers)
        whole = await facts.orders_of(tx, recorded.refold)
        for customer in customers:
            plain = [facts.order_of(event) for event in recorded.plain.get(customer, [])]
            again = customer in recorded.refold
            net = sum(order.net for order in (whole[customer] if again else plain))
            await execute(tx, _SET if again else _ADD, net=net, customer=customer)


@pytest.mark.parametrize("customer", ["c-1", "c-9"])
async def test_an_order_and_its_return_at_the_same_time_never_lose_the_return(
    database: Database, folded: None, customer: str
) -> None:
    """In two transactions, under the same customer or two: whoever comes second sees the other's fact."""
    for n in range(15):
        pair = [bought(f"o-{n}", "c-1"), back(f"o-{n}", customer, amount=money("30"))]
        await asyncio.gather(*(fold(database, one) for one in (pair if n % 2 else reversed(pair))))
    assert await nets(database) == {customer: 0, "c-1": 15 * 7_000}


async def test_a_return_and_a_move_at_the_same_time_never_lose_the_return(database: Database, folded: None) -> None:
    for n in range(15):
        await fold(database, bought(f"o-{n}", "c-1"))
        gives_back, moves = back(f"o-{n}", "c-1", amount=money("30")), bought(f"o-{n}", "c-2", version=2)
        await asyncio.gather(fold(database, gives_back), fold(database, moves))
    assert await nets(database) == {"c-1": 0, "c-2": 15 * 7_000}


async def nets(database: Database) -> dict[object, object]:
    return {row["customer"]: row["net"] for row in await query(database, "SELECT customer, net FROM folded")}


HISTORY = [
    bought("p-1", "c-1", days_ago=9),
    bought("p-1", "c-2", version=2, total="80"),
    bought("p-2", "c-1", days_ago=7),
    bought("p-3", "c-2", days_ago=7),
    event(BACK, returned("p-1", customer_id="c-1", amount=money("30"), days_ago=1)),
    event(BACK, returned("p-1", customer_id="c-2", lines=[{"line_id": "1", "quantity": "0.5"}])),
    event(BACK, returned("p-2", customer_id="c-7")),
    cancelled("p-3", "c-2"),
    event(DELIVERED, about_order("p-2", customer_id="c-1")),
    event(BOUGHT, purchase("c-2", "p-4", lines=[line("a"), line("b", amount="20")], total="120", days_ago=1)),
]
_runs = itertools.count()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.permutations(range(len(HISTORY))), st.lists(st.integers(1, 4), min_size=10, max_size=10))
async def test_any_order_of_arrival_in_any_batches_makes_the_same_orders(
    database: Database, arrival: Sequence[int], sizes: list[int]
) -> None:
    run = f"r{next(_runs)}-"
    arriving = iter([_renamed(HISTORY[n], run) for n in arrival])
    told: set[str] = set()
    for size in sizes:
        if batch := list(itertools.islice(arriving, size)):
            recorded = await record(database, *batch)
            told |= set(recorded.customers)
            assert not recorded.conflicts
    found = await orders(database, f"{run}c-1", f"{run}c-2")
    assert {c: [(o.order_id, o.net, o.version, o.counts) for o in whole] for c, whole in found.items()} == {
        f"{run}c-1": [(f"{run}p-2", 0, 1, False)],
        f"{run}c-2": [(f"{run}p-3", 0, 1, False), (f"{run}p-1", 4_000, 2, True), (f"{run}p-4", 12_000, 1, True)],
    }
    assert told >= {f"{run}c-1", f"{run}c-2"}


def _renamed(of: Event, run: str) -> Event:
    data: dict[str, Any] = msgspec.json.decode(of.body)
    mine = {name: run + data[name] for name in ("customer_id", "order_id", "return_id") if name in data}
    return event(of.topic.name, data | mine, id=run + of.id)
