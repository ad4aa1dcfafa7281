"""Merges among purchases, returns and corrections: any order, one state; and nothing is lost or counted twice."""

import random

import httpx
import pytest

from shared.clock import VirtualClock
from shared.db import Tx, fetch
from shared.messaging import facts
from shared.messaging.records import Record
from tests.integration.profile.house import Profile, in_batches, profile_over, token
from tests.integration.profile.test_permutations import derived, story
from tests.kit.builders import NOW, record
from tests.kit.databases import Databases

SERVICE = "profile"
CUSTOMERS = [f"pos:{n}" for n in range(6)]
"""Those of a small story."""


def merges(dice: random.Random) -> list[Record]:
    """Merges of survivors into survivors, as profile makes them, and undos of some, the highest version last."""
    records: list[Record] = []
    standing = list(CUSTOMERS)
    for number in range(dice.randrange(2, 5)):
        from_id, into_id = dice.sample(standing, 2)
        standing.remove(from_id)
        fact = {"merge_id": f"m{number}", "from_id": from_id, "into_id": into_id}
        said = derived(into_id, 2 * number + 5, 50 - number, version=1, **fact)
        records.append(record("customer-merged", said, id=f"m{number}-1"))
        if dice.random() < 0.4:
            undone = derived(into_id, 2 * number + 6, 20 - number, version=2, **fact)
            records.append(record("customer-unmerged", undone, id=f"m{number}-2"))
    return records


async def totals(tx: Tx) -> tuple[int, int]:
    """Orders, and spend in the house's currency, that stand under each id on its own, summed over the ids."""
    orders = [order for mine in (await facts.orders_of(tx, CUSTOMERS)).values() for order in mine if order.counts]
    return len(orders), sum(order.net for order in orders if order.currency == "TWD")


async def folded(tx: Tx) -> tuple[int, int]:
    """The same over the persons: everybody who answers for himself."""
    rows = await fetch(
        tx,
        """SELECT coalesce(sum(orders), 0) AS orders, coalesce(sum(spend), 0) AS spend FROM purchase_states
        WHERE customer_id NOT IN (SELECT customer_id FROM survivors)""",
    )
    return rows[0]["orders"], int(rows[0]["spend"])


@pytest.mark.parametrize("seed", range(5))
async def test_any_order_of_merges_among_other_events_gives_one_state(databases: Databases, seed: int) -> None:
    dice = random.Random(seed)
    records = [*story(seed), *merges(dice)]
    hashes = set()
    for round_ in range(3):
        shuffled = [*records, *dice.choices(records, k=len(records) // 3)] if round_ else list(records)
        if round_:
            dice.shuffle(shuffled)
        async with databases.fresh(SERVICE) as database:
            clock = VirtualClock(NOW)
            service = profile_over(database, clock)
            transport = httpx.ASGITransport(service.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://p", headers=token()) as client:
                profile = Profile(service, clock, client)
                for batch in in_batches(shuffled, dice.choice([1, 5, 40])):
                    await profile.take(*batch)
                    async with service.db.transaction() as tx:
                        assert await folded(tx) == await totals(tx)
                hashes.add(await profile.state_hash())
                listed = (await client.get("/customers")).json()["items"]
                assert sum(row["value"]["order_count"] for row in listed) == (await sums(profile))[0]
                assert service.intake.counts["dead"] == service.intake.counts["parked"] == 0
            await service.db.close()
    assert len(hashes) == 1


@pytest.mark.parametrize("seed", range(3))
async def test_undoing_every_merge_gives_the_state_of_who_was_never_merged(profile: Profile, seed: int) -> None:
    dice = random.Random(seed)
    records = story(seed)
    half = len(records) // 2
    await profile.take(*records[:half])
    alive = sorted({row["customer_id"] for row in (await profile.client.get("/customers")).json()["items"]})
    made: list[str] = []
    while len(alive) > 2:
        from_id, into_id = dice.sample(alive, 2)
        alive.remove(from_id)
        answer = await profile.client.post("/merges", json={"from_id": from_id, "into_id": into_id})
        made.append(answer.json()["id"])
    await profile.take(*records[half:])
    dice.shuffle(made)
    for merge_id in made:
        assert (await profile.client.post(f"/merges/{merge_id}/undo")).status_code == 200
        async with profile.service.db.transaction() as tx:
            assert await folded(tx) == await totals(tx)
    after = {customer: await profile.view(customer) for customer in CUSTOMERS}
    async with profile.service.db.transaction() as tx:
        orders = await facts.orders_of(tx, CUSTOMERS)
    for customer, mine in orders.items():
        assert after[customer]["value"]["order_count"] == sum(order.counts for order in mine)
        assert after[customer]["points"] == 30


async def sums(profile: Profile) -> tuple[int, int]:
    async with profile.service.db.transaction() as tx:
        return await totals(tx)
