"""What churn keeps of customers is what their facts say, in whatever order they came."""

from random import Random
from typing import Any

import pytest

from services.churn.scoring.statistics import Statistics
from services.churn.scoring.store import everything
from shared.messaging.records import Record
from tests.integration.churn.house import HOUSE, Churn, open_churn
from tests.kit.builders import NOW, about_order, at, money, purchase, record, returned
from tests.kit.databases import Databases

SERVICE = "churn"
TODAY = NOW.astimezone(HOUSE.zone).toordinal()


async def statistics(churn: Churn, customer_id: str = "pos:1") -> Statistics:
    async with churn.service.db.transaction() as tx:
        _, states = await everything(tx)
    return states.get(customer_id, Statistics())


def complaint(customer_id: str, number: int, kind: str = "complaint") -> dict[str, Any]:
    return {
        "customer_id": customer_id, "feedback_id": f"f-{number}", "channel": "web", "kind": kind, "occurred_at": at(3),
    }  # fmt: skip


def a_shop(random: Random) -> list[Record]:
    """Facts without conflicts: later versions (one under another customer), returns, cancellations, deliveries,
    other currencies, feedback, signs of life."""
    records = []
    for number in range(40):
        customer = f"pos:{random.randint(1, 6)}"
        days_ago = random.choice([random.randint(0, 300), random.random() * 3])
        order = f"o-{number}"
        currency = random.choice(["TWD", "TWD", "TWD", "EUR"])
        total = str(random.choice([0, 50, 120, 980]))
        records.append(
            record("purchase-recorded", purchase(customer, order, total=total, days_ago=days_ago, currency=currency))
        )
        match random.randint(0, 7):
            case 0:
                records.append(record("purchase-cancelled", about_order(order, customer_id=customer)))
            case 1:
                records.append(record("purchase-returned", returned(order, customer_id=customer)))
            case 2:
                back = returned(order, customer_id=customer, amount=money("30", currency))
                records.append(record("purchase-returned", back))
            case 3:
                other = f"pos:{random.randint(1, 7)}"
                again = purchase(other, order, total="77", days_ago=days_ago + 1, order_version=2)
                records.append(record("purchase-recorded", again))
            case 4:
                emptied = purchase(customer, order, total="0", lines=[], days_ago=days_ago, order_version=3)
                records.append(record("purchase-recorded", emptied))
            case 5:
                records.append(record("purchase-delivered", about_order(order, customer_id=customer)))
            case 6:
                records.append(record("feedback-received", complaint(customer, number)))
    visit = {"customer_id": "pos:9", "activity_id": "a-1", "kind": "visit", "occurred_at": at(1)}
    return [*records, record("activity-recorded", visit)]


@pytest.mark.parametrize("seed", range(4))
async def test_any_order_and_repetition_of_the_same_events_gives_the_same_state(
    databases: Databases, seed: int
) -> None:
    random = Random(seed)
    records = a_shop(random)
    hashes = []
    for shuffled in (records, random.sample(records, len(records)), random.sample(records * 3, 3 * len(records))):
        async with databases.fresh(SERVICE) as database, open_churn(database) as churn:
            size = random.choice([1, 7, 500])
            for start in range(0, len(shuffled), size):
                await churn.take_records(shuffled[start : start + size])
            assert churn.service.intake.counts["dead"] == 0
            hashes.append(await churn.state_hash())
    assert len(set(hashes)) == 1


async def test_a_purchase_more_is_another_state(churn: Churn) -> None:
    await churn.take(("purchase-recorded", purchase(days_ago=9)))
    before = await churn.state_hash()
    await churn.take(("purchase-recorded", purchase(days_ago=2)))
    assert await churn.state_hash() != before


async def test_what_is_returned_whole_folds_the_customer_again(churn: Churn) -> None:
    await churn.take(("purchase-recorded", purchase(days_ago=30)), ("purchase-recorded", purchase(order_id="late")))
    await churn.take(("purchase-returned", returned("late")))
    state = await statistics(churn)
    assert (state.n_occasions, state.last_day) == (1, TODAY - 30)
    assert (state.net_minor, state.returned_minor) == (100_00, 100_00)


async def test_a_later_version_under_another_customer_moves_the_order(churn: Churn) -> None:
    await churn.take(("purchase-recorded", purchase("pos:1", "o", days_ago=4)))
    await churn.take(("purchase-recorded", purchase("pos:2", "o", days_ago=4, order_version=2)))
    assert (await statistics(churn, "pos:1")).n_orders == 0
    assert (await statistics(churn, "pos:2")).n_orders == 1


async def test_a_purchase_of_the_past_changes_the_gaps(churn: Churn) -> None:
    await churn.take(("purchase-recorded", purchase(days_ago=20)), ("purchase-recorded", purchase(days_ago=0)))
    await churn.take(("purchase-recorded", purchase(days_ago=15)))
    assert (await statistics(churn)).recent_gaps == (5, 15)


async def test_days_are_those_of_the_house(churn: Churn) -> None:
    await churn.take(
        ("purchase-recorded", purchase(occurred_at="2026-11-10T15:59:00Z")),
        ("purchase-recorded", purchase(occurred_at="2026-11-10T16:01:00Z")),
    )
    assert (await statistics(churn)).recent_gaps == (1,)


async def test_only_complaints_are_open_complaints(churn: Churn) -> None:
    await churn.take(
        ("feedback-received", complaint("pos:1", 1)), ("feedback-received", complaint("pos:1", 2, kind="praise"))
    )
    assert (await statistics(churn)).open_complaints == 1
