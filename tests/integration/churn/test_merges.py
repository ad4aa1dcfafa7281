"""Ids of one person count as one customer while they are joined, and as two again once they are parted."""

import itertools
from datetime import timedelta
from random import Random
from typing import Any

import pytest

from services.churn.scoring.statistics import Statistics
from services.churn.training import store as training
from shared.messaging.records import Record
from tests.integration.churn.house import HOUSE, Churn, open_churn
from tests.integration.churn.test_crossings import RISK, events, regulars
from tests.integration.churn.test_statistics_by_events import a_shop, complaint, statistics
from tests.kit.builders import at, purchase, record, returned
from tests.kit.databases import Databases

SERVICE = "churn"
_sequences = itertools.count(1)


def merged(merge_id: str, from_id: str, into_id: str, version: int = 1, days_ago: float = 0) -> Record:
    """A customer-merged; an even version takes it back."""
    data = {
        "customer_id": into_id, "sequence": next(_sequences), "caused_by": {"source": "/staff", "id": merge_id},
        "occurred_at": at(days_ago), "merge_id": merge_id, "version": version, "from_id": from_id, "into_id": into_id,
    }  # fmt: skip
    return record("customer-unmerged" if version % 2 == 0 else "customer-merged", data)


async def take_shuffled(churn: Churn, records: list[Record], random: Random) -> None:
    shuffled = random.sample(records, len(records)) + random.choices(records, k=len(records) // 3)
    size = random.choice([1, 7, 500])
    for start in range(0, len(shuffled), size):
        await churn.take_records(shuffled[start : start + size])
    assert churn.service.intake.counts["dead"] == 0


@pytest.mark.parametrize("seed", range(5))
async def test_any_order_of_events_with_a_merge_and_its_undo_gives_the_state_without_them(
    databases: Databases, seed: int
) -> None:
    random = Random(seed)
    records = a_shop(random)
    joined_and_parted = [
        *(merged("m-1", "pos:1", "pos:2", version, days_ago=2) for version in (1, 2)),
        *(merged("m-2", "pos:2", "pos:3", version, days_ago=1) for version in (1, 2, 3, 4)),
    ]
    async with databases.fresh(SERVICE) as database, open_churn(database) as churn:
        await churn.take_records(records)
        without = await churn.state_hash()
    async with databases.fresh(SERVICE) as database, open_churn(database) as churn:
        await take_shuffled(churn, records + joined_and_parted, random)
        assert await churn.state_hash() == without


@pytest.mark.parametrize("seed", range(5))
async def test_the_survivor_is_the_customer_who_did_it_all_himself(databases: Databases, seed: int) -> None:
    random = Random(seed)
    records = a_shop(random)
    async with databases.fresh(SERVICE) as database, open_churn(database) as churn:
        await take_shuffled(churn, [*records, merged("m", "pos:1", "pos:2"), merged("n", "pos:2", "pos:3")], random)
        joined = await statistics(churn, "pos:3")
        assert [await statistics(churn, id) for id in ("pos:1", "pos:2")] == [Statistics()] * 2
        as_two = await customers_fitted(churn)
    renamed = [
        Record(one.topic, b"pos:3", (one.value or b"").replace(b'"pos:1"', b'"pos:3"').replace(b'"pos:2"', b'"pos:3"'))
        if one.key in (b"pos:1", b"pos:2")
        else one
        for one in records
    ]
    async with databases.fresh(SERVICE) as database, open_churn(database) as churn:
        await churn.take_records(renamed)
        assert await statistics(churn, "pos:3") == joined
        assert await customers_fitted(churn) == as_two


async def customers_fitted(churn: Churn) -> tuple[int, int]:
    """Buyers in the base of a fit, and customers among the purchases of its trial."""
    async with churn.service.db.transaction() as tx:
        base = (await churn.scoring.base(tx)).of_buyers()
        customer, _ = await training.purchase_days(tx, HOUSE.time_zone)
    return len(base), len(set(customer.tolist()))


async def test_what_comes_late_under_the_old_id_counts_for_the_survivor_and_goes_back_with_the_undo(
    churn: Churn,
) -> None:
    await churn.take_records([record("purchase-recorded", purchase("pos:new", "n", days_ago=40))])
    await churn.take_records([merged("m", "pos:old", "pos:new")])
    await churn.take(("purchase-recorded", purchase("pos:old", "o", days_ago=50)))
    await churn.take(("feedback-received", complaint("pos:old", 1)), ("feedback-received", complaint("pos:new", 2)))
    await churn.take(("purchase-returned", returned("n", customer_id="pos:new", amount={"amount": "10",
                      "currency": "TWD"})))  # fmt: skip
    state = await statistics(churn, "pos:new")
    assert (state.n_orders, state.recent_gaps, state.open_complaints, state.net_minor) == (2, (10,), 2, 190_00)
    await churn.take_records([merged("m", "pos:old", "pos:new", version=2)])
    old, new = await statistics(churn, "pos:old"), await statistics(churn, "pos:new")
    assert [(one.n_orders, one.open_complaints, one.net_minor) for one in (old, new)] == [(1, 1, 100_00), (1, 1, 90_00)]


async def test_every_version_is_acknowledged_to_the_survivor(churn: Churn) -> None:
    await churn.take_records([merged("m", "pos:1", "pos:2"), merged("m", "pos:1", "pos:2", version=2)])
    applied = [data for _, data in await churn.published("merge-applied")]
    assert [(data["customer_id"], data["merge_id"], data["version"], data["service"]) for data in applied] == [
        ("pos:2", "m", 1, "churn"), ("pos:2", "m", 2, "churn"),
    ]  # fmt: skip


async def test_two_ids_at_risk_are_one_person_at_risk_who_is_not_announced_again(churn: Churn) -> None:
    await regulars(churn, customers=2)
    await churn.score_all()
    assert len(await churn.published("customer-at-risk")) == 2
    await churn.take_records([merged("m", "pos:000", "pos:001")])
    await churn.score_all()
    assert len(await churn.published(*RISK)) == 2
    async with churn.client() as http:
        assert [one["customer_id"] for one in (await http.get("/at-risk")).json()["items"]] == ["pos:001"]
    await churn.take_records([merged("m", "pos:000", "pos:001", version=2)])
    await churn.score_all()
    assert len(await churn.published(*RISK)) == 2
    async with churn.client() as http:
        listed = [one["customer_id"] for one in (await http.get("/at-risk")).json()["items"]]
    assert sorted(listed) == ["pos:000", "pos:001"]


async def test_a_risk_told_of_the_old_id_is_lowered_for_the_survivor_who_buys(churn: Churn) -> None:
    await regulars(churn)
    await churn.take(("purchase-recorded", purchase("pos:new", days_ago=1)))
    await churn.score_all()
    assert [data["customer_id"] for _, data in await churn.published(*RISK)] == ["pos:000"]
    await churn.take_records([merged("m", "pos:000", "pos:new")])
    _, lowered = (await churn.published(*RISK))[-1]
    assert (lowered["customer_id"], lowered["from_band"], lowered["to_band"]) == ("pos:new", "critical", "low")
    # A second look at the same person has nothing to add.
    await churn.take_records([merged("n", "pos:other", "pos:new")])
    await churn.score_all()
    assert len(await churn.published("risk-lowered")) == 1


async def test_a_risk_of_the_old_id_that_stays_becomes_the_survivor_s_score_and_no_second_risk(churn: Churn) -> None:
    await regulars(churn)
    await churn.take(("activity-recorded", {"customer_id": "pos:new", "activity_id": "a", "kind": "visit",
                                            "occurred_at": at(1)}))  # fmt: skip
    await churn.score_all()
    await churn.take_records([merged("m", "pos:000", "pos:new")])
    scored = [data for _, data in await churn.published("churn-scored")]
    assert [(data["customer_id"], data["band"]) for data in scored] == [
        ("pos:000", "critical"), ("pos:new", "critical"),
    ]  # fmt: skip
    await churn.score_all()
    assert [data["customer_id"] for _, data in await churn.published(*RISK)] == ["pos:000"]


async def test_a_purchase_under_the_old_id_lowers_the_survivor_at_once(churn: Churn) -> None:
    await regulars(churn, customers=2)
    await churn.score_all()
    await churn.take_records([merged("m", "pos:000", "pos:001")])
    await churn.take(("purchase-recorded", purchase("pos:000")))
    [lowered] = [data for _, data in await churn.published("risk-lowered")]
    assert (lowered["customer_id"], lowered["to_band"], lowered["cause"]) == ("pos:001", "low", "purchase")


async def test_a_base_that_was_never_scored_is_not_scored_by_a_merge(churn: Churn) -> None:
    await regulars(churn, customers=2)
    await churn.take_records([merged("m", "pos:000", "pos:001")])
    assert await churn.published(*RISK, "churn-scored") == []


async def test_the_old_id_answers_the_survivor_s_risk_to_both_his_tokens(churn: Churn) -> None:
    await regulars(churn, customers=2)
    await churn.take_records([merged("m", "pos:000", "pos:001")])
    answers: list[dict[str, Any]] = []
    for token, id in itertools.product(("pos:000", "pos:001"), repeat=2):
        async with churn.client("churn:read", token) as http:
            answers.append((await http.get(f"/customers/{id}")).json())
    assert {(one["customer_id"], one["purchase_days"]) for one in answers} == {("pos:001", 6)}
    await churn.take_records([merged("m", "pos:000", "pos:001", version=2)])
    async with churn.client("churn:read", "pos:000") as http:
        assert (await http.get("/customers/pos:000")).json()["customer_id"] == "pos:000"
        assert (await http.get("/customers/pos:001")).status_code == 404


async def test_who_is_joined_to_loaded_history_is_judged_by_it_as_history(churn: Churn) -> None:
    await churn.take_records([record("purchase-recorded", purchase("live", days_ago=20))])
    await churn.score_all()
    before = len(await events(churn))
    history = [purchase("old", days_ago=day) for day in range(22, 80, 2)]
    await churn.take_records([record("purchase-recorded", order, backfill=True) for order in history])
    await churn.take_records([merged("m", "live", "old")])
    await churn.score_all()
    told = (await events(churn))[before:]
    assert ("customer-at-risk", "old", True) in told
    assert {loaded for topic, _, loaded in told if topic in ("churn-scored", *RISK)} == {True}


@pytest.mark.parametrize("survivor_loaded", [False, True])
@pytest.mark.parametrize("scored", [False, True])
async def test_of_whom_history_was_loaded_while_he_was_joined_is_announced_as_history_when_he_is_parted(
    churn: Churn, survivor_loaded: bool, scored: bool
) -> None:
    """The other one, who lives, is announced live, though history was loaded of the person that they were."""
    await churn.take_records([record("purchase-recorded", purchase("live", days_ago=day)) for day in range(1, 60, 10)])
    if scored:
        await churn.score_all()
    ids = ("live", "old") if survivor_loaded else ("old", "live")
    await churn.take_records([merged("m", *ids)])
    history = [purchase("old", days_ago=day) for day in range(100, 160, 10)]
    await churn.take_records([record("purchase-recorded", order, backfill=True) for order in history])
    if scored:
        await churn.score_all()
    await churn.take_records([merged("m", *ids, version=2)])
    await churn.score_all()
    churn.clock.set(churn.clock.now() + timedelta(days=100))
    await churn.score_all()
    risen = [event for event in await events(churn) if event[0] == "customer-at-risk"]
    assert sorted(risen) == [("customer-at-risk", "live", False), ("customer-at-risk", "old", True)]


async def test_who_is_joined_to_an_id_without_facts_stays_loaded_history(churn: Churn) -> None:
    history = [purchase("old", days_ago=day) for day in range(100, 160, 10)]
    await churn.take_records([record("purchase-recorded", order, backfill=True) for order in history])
    await churn.take_records([merged("m", "old", "new")])
    await churn.score_all()
    assert ("customer-at-risk", "new", True) in await events(churn)


async def test_who_is_live_and_has_an_old_order_loaded_is_announced_live_by_a_merge(churn: Churn) -> None:
    await regulars(churn, customers=2, last=1)
    await churn.score_all()
    await churn.take_records([record("purchase-recorded", purchase("pos:000", days_ago=200), backfill=True)])
    churn.clock.set(churn.clock.now() + timedelta(days=100))
    await churn.take_records([merged("m", "pos:000", "pos:001")])
    assert [event for event in await events(churn) if event[0] in RISK] == [("customer-at-risk", "pos:001", False)]
