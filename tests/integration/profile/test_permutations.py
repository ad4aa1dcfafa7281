"""Any order, any duplication, any batching: one state."""

import os
import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import httpx
import msgspec
import pytest

from shared.clock import VirtualClock
from shared.db import execute, fetch
from shared.messaging.records import Record
from tests.integration.profile.house import Profile, in_batches, profile_over, token
from tests.kit import builders
from tests.kit.builders import NOW, about_order, line, purchase, record, returned
from tests.kit.databases import Databases

SERVICE = "profile"
WAYS = int(os.environ.get("ROOST_TEST_WAYS", "3"))
EVENTS = int(os.environ.get("ROOST_TEST_EVENTS", "0"))
"""Of one large story beside the small ones, where somebody has the minutes for it."""


def derived(customer: str, sequence: int, days_ago: float, **fields: Any) -> dict[str, Any]:
    return {
        "customer_id": customer,
        "sequence": sequence,
        "caused_by": {"source": "/shop/tw", "id": "1"},
        "occurred_at": builders.at(days_ago),
        **fields,
    }


def story(seed: int, events: int = 0) -> list[Record]:
    """A shop's events, without conflicts: orders in several currencies, higher versions (some of which move the
    customer), returns of lines and amounts, cancellations, deliveries, and what the other services say. At least so
    many events, of 35 to a customer; by default few."""
    dice = random.Random(seed)
    records: list[Record] = []
    customers = [f"pos:{n}" for n in range(max(6, events // 35))]
    said = 19 * len(customers)
    least = dice.randrange(3, 14)
    number = 0
    while number < least or len(records) + said < events:
        order, customer, days = f"o{number}", dice.choice(customers), dice.uniform(0, 500)
        number += 1
        total = dice.choice(["0", "90", "100.50", "700"])
        currency = dice.choice(["TWD", "TWD", "USD"])
        lines = [line(str(n), amount="30", quantity=2, currency=currency) for n in range(3)]
        bought = purchase(customer, order, total=total, days_ago=days, lines=lines, currency=currency)
        records.append(record("purchase-recorded", bought, id=f"{order}-1"))
        for version in range(2, dice.choice([2, 2, 3, 4])):
            moved = dice.choice([customer, dice.choice(customers)])
            again = {**bought, "customer_id": moved, "order_version": version}
            if dice.random() < 0.2:
                again |= {"lines": [], "total": builders.money("0", currency)}
            records.append(record("purchase-recorded", again, id=f"{order}-{version}"))
        for part in range(dice.choice([0, 0, 1, 2])):
            what: dict[str, Any] = dice.choice(
                [{"lines": [{"line_id": "1", "quantity": 1}]}, {"amount": builders.money("40", currency)}]
            )
            back = returned(order, customer_id=customer, days_ago=max(0, days - part - 1), **what)
            back["return_id"] = f"{order}-r{part}"
            records.append(record("purchase-returned", back, id=f"{order}-r{part}"))
        if dice.random() < 0.2:
            gone = about_order(order, customer_id=customer, days_ago=days / 2)
            kind = dice.choice(["purchase-cancelled", "purchase-delivered"])
            records.append(record(kind, gone, id=f"{order}-x"))
    for customer in customers:
        earned = {"order_id": "o1", "programme_version": 1}
        records += [
            record("points-earned", derived(customer, 1, 9, points=50, available_from=NOW.isoformat(), **earned)),
            record("points-reversed", derived(customer, 2, 8, points=20, **earned)),
            record("tier-changed", derived(customer, 3, 7, direction="up", to_tier="silver")),
            record("tier-changed", derived(customer, 4, 7, direction="up", from_tier="silver", to_tier="gold")),
            record("contact-planned", derived(customer, 1, 5, **contact(customer), due_at=NOW.isoformat())),
            record("contact-suppressed", derived(customer, 2, 4, **contact(customer), reason="bought")),
            record("contact-planned", derived(customer, 3, 5, **contact("x" + customer), due_at=NOW.isoformat())),
            record("contact-sent", derived(customer, 4, 4, **contact("x" + customer), provider="smtp")),
            record("contact-delivered", derived(customer, 5, 3, **contact("x" + customer), provider="smtp")),
            record("points-spent", derived(customer, 5, 6, points=30, redemption_id="r")),
            record("points-spent", derived(customer, 6, 5, points=30, redemption_id="r", rolled_back=True)),
            record("feedback-received", {"customer_id": customer, "feedback_id": f"f-{customer}", "channel": "web",
                                         "kind": "complaint", "occurred_at": builders.at(4)}),
            record("complaint-opened", derived(customer, 6, 4, **complaint(customer), feedback_id=f"f-{customer}")),
            record("complaint-closed", derived(customer, 7, 3, **complaint(customer), by="staff")),
            record("complaint-reopened", derived(customer, 8, 2, **complaint(customer))),
            record("churn-scored", derived(customer, 1, 3, probability=0.4, band="low", **expected("900.00"))),
            record("churn-scored", derived(customer, 2, 3, probability=0.7, band="at-risk", **expected("70.00"))),
            record("risk-lowered", derived(customer, 3, 3, probability=0.3, from_band="at-risk", to_band="low",
                                           cause="purchase", model_version="m")),
        ]  # fmt: skip
    return records


def complaint(customer: str) -> dict[str, Any]:
    return {"complaint_id": f"c-{customer}"}


def expected(worth: str) -> dict[str, Any]:
    return {"model_version": "m", "lifetime_value": builders.money(worth), "lifetime_days": 365}


def contact(customer: str) -> dict[str, Any]:
    return {"contact_id": f"k-{customer}", "purpose": "win-back", "channel": "email", "policy_version": 1}


def merges(dice: random.Random, customers: Sequence[str]) -> list[Record]:
    """Merges of survivors into survivors, as profile makes them, and undos of some, the highest version last."""
    records: list[Record] = []
    standing = list(customers)
    for number in range(dice.randrange(2, 5) + len(customers) // 50):
        from_id, into_id = dice.sample(standing, 2)
        standing.remove(from_id)
        fact = {"merge_id": f"m{number}", "from_id": from_id, "into_id": into_id}
        # Days before NOW within the span of the story, however many there are: the later merge is the newer.
        said = derived(into_id, 2 * number + 5, 50 - number / 100, version=1, **fact)
        records.append(record("customer-merged", said, id=f"m{number}-1"))
        if dice.random() < 0.4:
            undone = derived(into_id, 2 * number + 6, 20 - number / 100, version=2, **fact)
            records.append(record("customer-unmerged", undone, id=f"m{number}-2"))
    return records


def whole_story(seed: int, events: int = 0) -> list[Record]:
    """The same shop with all else that reaches profile: baskets of several products and the products themselves,
    behaviour, feedback, consents, rhythms that break, what became of contacts, merges, undos, and who has taken them
    in."""
    dice = random.Random(seed)
    records = story(seed, events * 2 // 3)
    customers = sorted({made.key.decode() for made in records if made.key})
    for number in range(max(4, len(customers) // 2)):
        skus = dice.sample(["leaf", "cup", "pot", "tin", "tray"], 3)
        lines = [line(str(n), sku=sku, amount="40") for n, sku in enumerate(skus)]
        basket = purchase(dice.choice(customers), f"b{number}", total="120", days_ago=dice.uniform(0, 90), lines=lines)
        records.append(record("purchase-recorded", basket, id=f"b{number}"))
    for sku in ("leaf", "cup", "pot"):
        for version in range(dice.randrange(1, 4)):
            product = {"sku": sku, "name": f"{sku} {version}", "category": "tea", "price": builders.money("40")}
            at = builders.at(dice.uniform(0, 300))
            records.append(record("product-changed", product, id=f"{sku}-{version}", time=at))
    while len(records) < events or len(records) < 150:
        records += behaviour(dice, customers, len(records))
    joined = merges(dice, customers)
    for made in joined:
        fact = msgspec.json.decode(made.value or b"")["data"]
        for service in ("loyalty", "churn"):
            applied = {"merge_id": fact["merge_id"], "version": fact["version"], "service": service}
            said = derived(fact["customer_id"], 90 + fact["version"], 1, **applied)
            records.append(record("merge-applied", said, id=f"{fact['merge_id']}-{fact['version']}-{service}"))
    return [*records, *joined]


def behaviour(dice: random.Random, customers: Sequence[str], number: int) -> list[Record]:
    """What one customer does, says and is told."""
    who, days, id = dice.choice(customers), dice.uniform(0, 60), f"x{number}"
    kind = dice.choice(["inquiry", "add-to-cart", "content-read"])
    does = {"customer_id": who, "activity_id": id, "kind": kind, "occurred_at": builders.at(days)}
    rating = {"kind": dice.choice(["complaint", "review"]), "channel": "web", "rating": dice.randrange(1, 6)}
    says = {"customer_id": who, "feedback_id": id, "occurred_at": builders.at(days), **rating}
    at = dice.choice(["email", "sms"])
    agrees = derived(who, number + 10, days, channel=at, purpose="marketing", granted=dice.random() < 0.5)
    silent = {"last_purchase_at": builders.at(days + 20), "silent_days": 20, "usual_gap_days": 7.1, "gaps": 12}
    rests = derived(who, number + 11, days, **silent, p_value=0.004, policy_version=1)
    told = {"contact_id": f"k-{id}", "purpose": "win-back", "channel": at, "policy_version": 1}
    judged = {"probability": dice.choice([0.2, 0.6]), "horizon_days": 90, "model_version": "m"}
    return [
        record("activity-recorded", does, id=f"{id}-a"),
        record("feedback-received", says, id=f"{id}-f"),
        record("consent-changed", agrees, id=f"{id}-c"),
        record("purchase-rhythm-dropped", rests, id=f"{id}-r"),
        record("contact-planned", derived(who, 1, days + 2, **told, due_at=NOW.isoformat()), id=f"{id}-p"),
        record("contact-sent", derived(who, 2, days, **told, provider="smtp"), id=f"{id}-s"),
        record("points-expired", derived(who, number + 12, days, points=1), id=f"{id}-e"),
        record("churn-scored", derived(who, number + 13, days, **judged, band="low"), id=f"{id}-j"),
    ]


async def settle(profile: Profile) -> None:
    """What jobs make of it: orders counted, customers placed, who wait while a history is loaded."""
    jobs = {job.name: job for job in profile.service.runner.jobs}
    for _ in range(2):
        for name in ("count-orders", "place"):
            while await jobs[name].run():
                pass
        profile.clock.set(profile.clock.now() + timedelta(minutes=1))


@pytest.mark.parametrize(("seed", "events"), [*((seed, 0) for seed in range(6)), *([(6, EVENTS)] if EVENTS else [])])
async def test_any_order_and_duplication_gives_one_state(databases: Databases, seed: int, events: int) -> None:
    records = whole_story(seed, events)
    dice = random.Random(1000 + seed)
    hashes = set()
    for _ in range(WAYS):
        shuffled = [*records, *dice.choices(records, k=len(records) // 3)]
        dice.shuffle(shuffled)
        async with databases.fresh(SERVICE) as database:
            clock = VirtualClock(NOW)
            service = profile_over(database, clock)
            transport = httpx.ASGITransport(service.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://p", headers=token()) as client:
                profile = Profile(service, clock, client)
                for batch in in_batches(shuffled, dice.choice([40, 500] if events else [3, 10, 40, 500])):
                    await profile.take(*batch)
                await settle(profile)
                hashes.add(await profile.state_hash())
                counts = service.intake.counts
                assert await made(profile) >= MADE
            await service.db.close()
        assert counts["applied"] == len(records)
        assert counts["duplicate"] == len(shuffled) - len(records)
    assert len(hashes) == 1


MADE = {
    "customers", "facts", "contacts", "purchase_states", "standings", "merges", "survivors", "merge_acknowledgements",
    "placements", "standing_orders", "item_counts", "item_pairs", "products", "complaints",
}  # fmt: skip
"""Tables that the story has to fill, so that one hash says something of each."""


async def made(profile: Profile) -> set[str]:
    async with profile.service.db.transaction() as tx:
        return {table for table in MADE if await fetch(tx, f"SELECT 1 AS one FROM {table} LIMIT 1")}


async def test_a_different_story_has_a_different_hash(profile: Profile) -> None:
    await profile.take(record("purchase-recorded", purchase(order_id="o")))
    before = await profile.state_hash()
    await profile.take(record("purchase-delivered", about_order("o")))
    assert await profile.state_hash() != before


CHANGES = {
    "files": "UPDATE customers SET tags = '{other}' WHERE customer_id = 'pos:1'",
    "consents": "INSERT INTO consents (customer_id, channel, purpose, granted, source, wording_version, recorded_at)"
    " VALUES ('pos:1', 'email', 'marketing', true, 'till', '1', now())",
    "merges": "UPDATE merges SET version = version + 1 WHERE merge_id = 'm0'",
    "groups": "DELETE FROM survivors",
    "acknowledgements": "UPDATE merge_acknowledgements SET service = 'profile' WHERE service = 'loyalty'",
    "standings": "UPDATE standings SET points = points + 1",
    "contacts": "UPDATE contacts SET sent_at = now()",
    "complaints": "UPDATE complaints SET open = NOT open",
    "placements": "UPDATE placements SET class = 'other' WHERE segment = 'value'",
    "transitions": "UPDATE placements SET next_transition_at = now()",
    "orders": "UPDATE standing_orders SET net = net + 1",
    "items": "UPDATE item_counts SET baskets = baskets + 1",
    "pairs": "UPDATE item_pairs SET baskets = baskets + 1",
    "products": "UPDATE products SET body = '{}'",
}


async def test_the_hash_is_of_all_that_events_make(profile: Profile) -> None:
    await profile.take(*whole_story(0))
    await settle(profile)
    hashes = [await profile.state_hash()]
    for change in CHANGES.values():
        async with profile.service.db.transaction() as tx:
            assert await execute(tx, change), change
        hashes.append(await profile.state_hash())
    same = [name for name, one in zip(CHANGES, hashes[1:], strict=True) if hashes.count(one) > 1]
    assert len(set(hashes)) == len(hashes), same


async def test_a_purchase_sent_again_after_400_days_has_no_effect(profile: Profile) -> None:
    bought = record("purchase-recorded", purchase())
    await profile.take(bought)
    profile.clock.set(NOW + timedelta(days=400))
    for job in profile.service.runner.jobs:
        await job.run()
    async with profile.service.db.transaction() as tx:
        assert not await fetch(tx, "SELECT source FROM inbox"), "what came in is forgotten"
    before, told = await profile.state_hash(), await profile.published()
    await profile.take(bought)
    assert (await profile.state_hash(), await profile.published()) == (before, told)
    assert profile.service.intake.counts["duplicate"] == 1
