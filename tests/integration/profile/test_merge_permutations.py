"""Merges among purchases, returns and corrections: any order, one state; and nothing is lost or counted twice."""

import os
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from decimal import Decimal
from fractions import Fraction

import httpx
import msgspec
import pytest

from shared.clock import VirtualClock
from shared.db import Tx, fetch
from shared.messaging import facts
from shared.messaging.records import Record
from tests.integration.profile.house import Profile, in_batches, profile_over, token
from tests.integration.profile.test_permutations import WAYS, merges, settle, story
from tests.integration.profile.test_rates import state
from tests.kit.builders import NOW
from tests.kit.databases import Databases

SERVICE = "profile"
SEEDS = int(os.environ.get("ROOST_TEST_SEEDS", "4"))
RATE = "32.145"
SIGN = {"points-earned": 1, "points-reversed": -1, "points-spent": -1}
CUSTOMERS = [f"pos:{n}" for n in range(6)]
"""Those of a small story."""


Conserved = tuple[int, dict[str, int], int]
"""Orders, what was spent by currency in minor units, points."""


async def totals(tx: Tx, records: Sequence[Record]) -> Conserved:
    """What stands under each id on its own, summed over the ids: orders and money of the facts, points of what was
    published. USD counts as TWD where a rate is stated, order by order."""
    orders = [order for mine in (await facts.orders_of(tx, CUSTOMERS)).values() for order in mine if order.counts]
    rates = await fetch(tx, "SELECT 1 AS one FROM rates")
    spent: Counter[str] = Counter()
    for order in orders:
        if order.currency == "USD" and rates:
            spent["TWD"] += round(order.net * Fraction(RATE))  # both have two decimals; half goes to even
        else:
            spent[order.currency] += order.net
    said = [msgspec.json.decode(made.value or b"")["data"] for made in records if made.topic in SIGN]
    signs = [SIGN[made.topic] for made in records if made.topic in SIGN]
    points = sum(
        -sign * data["points"] if data.get("rolled_back") else sign * data["points"]
        for sign, data in zip(signs, said, strict=True)
    )
    return len(orders), {currency: minor for currency, minor in spent.items() if minor}, points


async def folded(profile: Profile) -> Conserved:
    """The same over the persons: of everybody who answers for himself, as staff see him in the list."""
    listed = (await profile.client.get("/customers?limit=200")).json()["items"]
    spent: Counter[str] = Counter()
    for row in listed:
        value = row["value"]
        for sum_ in (value["lifetime_spend"], *value["unconverted"]):
            spent[sum_["currency"]] += int(Decimal(sum_["amount"]) * 100)
    kept = {currency: minor for currency, minor in spent.items() if minor}
    return sum(row["value"]["order_count"] for row in listed), kept, sum(row["points"] for row in listed)


async def conserved(profile: Profile, records: Iterable[Record]) -> Conserved:
    """What there is of orders, money and points, be it counted by id or by person."""
    once = list(dict.fromkeys(records))
    async with profile.service.db.transaction() as tx:
        expected = await totals(tx, once)
    assert await folded(profile) == expected
    return expected


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_any_order_of_merges_among_other_events_gives_one_state(databases: Databases, seed: int) -> None:
    dice = random.Random(seed)
    records = [*story(seed), *merges(dice, CUSTOMERS)]
    hashes = set()
    for round_ in range(WAYS):
        shuffled = [*records, *dice.choices(records, k=len(records) // 3)] if round_ else list(records)
        if round_:
            dice.shuffle(shuffled)
        async with databases.fresh(SERVICE) as database:
            clock = VirtualClock(NOW)
            service = profile_over(database, clock)
            transport = httpx.ASGITransport(service.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://p", headers=token()) as client:
                profile = Profile(service, clock, client)
                if seed % 2:
                    for days_ago in (600, 300):
                        assert (await state(profile, "USD", RATE, days_ago, 301)).status_code == 200
                taken = 0
                for batch in in_batches(shuffled, dice.choice([5, 10, 40])):
                    await profile.take(*batch)
                    taken += len(batch)
                    _, spent, points = await conserved(profile, shuffled[:taken])
                assert not seed % 2 or "USD" not in spent
                assert points == 30 * len(CUSTOMERS)
                await settle(profile)
                hashes.add(await profile.state_hash())
                assert service.intake.counts["dead"] == service.intake.counts["parked"] == 0
            await service.db.close()
    assert len(hashes) == 1


@pytest.mark.parametrize("seed", range(SEEDS))
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
        await conserved(profile, records[:half])
    await profile.take(*records[half:])
    dice.shuffle(made)
    for merge_id in made:
        assert (await profile.client.post(f"/merges/{merge_id}/undo")).status_code == 200
        await conserved(profile, records)
    after = {customer: await profile.view(customer) for customer in CUSTOMERS}
    async with profile.service.db.transaction() as tx:
        orders = await facts.orders_of(tx, CUSTOMERS)
    for customer, mine in orders.items():
        assert after[customer]["value"]["order_count"] == sum(order.counts for order in mine)
        unconverted = {one["currency"]: one["amount"] for one in after[customer]["value"]["unconverted"]}
        dollars = [order.net for order in mine if order.counts and order.currency == "USD"]
        assert unconverted == ({"USD": f"{Decimal(sum(dollars)) / 100:.2f}"} if dollars else {})
        assert after[customer]["points"] == 30
