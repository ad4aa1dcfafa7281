"""A change of band is announced once, whoever scores however often."""

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from services.churn.policies import application as policies
from services.churn.scoring import store
from services.churn.scoring.policy import Policy
from shared.db import Row, Tx, fetch
from shared.messaging.records import Record
from tests.integration.churn.house import Churn
from tests.kit.builders import purchase, record

SERVICE = "churn"
RISK = ("customer-at-risk", "risk-lowered")


async def regulars(churn: Churn, customers: int = 1, last: int = 100) -> None:
    """Customers who bought every ten days, ``last`` days ago for the last time: critical by the prior."""
    await churn.take_records(
        [
            record("purchase-recorded", purchase(f"pos:{number:03}", days_ago=last + 10 * times))
            for number in range(customers)
            for times in range(6)
        ]
    )


async def events(churn: Churn) -> list[tuple[str, str, bool]]:
    """(topic, customer, of loaded history alone) of what was announced."""
    async with churn.service.db.transaction() as tx:
        rows = await fetch(tx, "SELECT topic, value FROM outbox ORDER BY id")
    said = [(row["topic"], msgspec.json.decode(row["value"])) for row in rows]
    return [(topic, event["data"]["customer_id"], event.get("backfill", False)) for topic, event in said]


async def test_a_risk_that_loaded_history_shows_is_announced_as_history_and_what_time_raises_then_is_not(
    churn: Churn,
) -> None:
    def history(last: int, who: str, **attributes: Any) -> list[Record]:
        days = range(last, last + 60, 10)
        return [record("purchase-recorded", purchase(who, days_ago=day), **attributes) for day in days]

    await churn.take_records(
        [*history(100, "old", backfill=True), *history(100, "live"), *history(5, "new", backfill=True)]
    )
    await churn.score_all()
    risen = [event for event in await events(churn) if event[0] == "customer-at-risk"]
    assert sorted(risen) == [("customer-at-risk", "live", False), ("customer-at-risk", "old", True)]
    churn.clock.set(churn.clock.now() + timedelta(days=100))
    await churn.score_all()
    assert ("customer-at-risk", "new", False) in await events(churn)


async def test_who_is_live_and_has_an_old_order_loaded_is_announced_live_when_he_falls_silent(churn: Churn) -> None:
    await regulars(churn, customers=2, last=1)
    await churn.score_all()
    churn.clock.set(churn.clock.now() + timedelta(days=100))
    late = record("purchase-recorded", purchase("pos:000", days_ago=200), backfill=True)
    await churn.take_records([late])
    await churn.score_all()
    risen = [event for event in await events(churn) if event[0] == "customer-at-risk"]
    assert risen == [("customer-at-risk", "pos:000", False), ("customer-at-risk", "pos:001", False)]


async def test_who_was_only_loaded_and_scored_and_is_loaded_once_more_is_announced_as_history(churn: Churn) -> None:
    def loaded(*days: int) -> list[Record]:
        return [record("purchase-recorded", purchase("old", days_ago=day), backfill=True) for day in days]

    await churn.take_records(loaded(25, 65, 105))
    await churn.score_all()
    assert not [event for event in await events(churn) if event[0] == "customer-at-risk"]
    await churn.take_records(loaded(*range(26, 65), *range(66, 105)))
    await churn.score_all()
    assert ("customer-at-risk", "old", True) in await events(churn)


async def set_policy(churn: Churn, **thresholds: Any) -> None:
    async with churn.service.db.transaction() as tx:
        await policies.replace(tx, Policy(**thresholds), lambda version: None, churn.clock.now())


async def test_a_risk_is_announced_with_its_reasons_and_its_worth(churn: Churn) -> None:
    await regulars(churn)
    await churn.score_all()
    (_, scored), (_, risk) = await churn.published()
    assert (scored["band"], scored["sequence"]) == ("critical", 1)
    assert (risk["band"], risk["sequence"], risk["horizon_days"]) == ("critical", 2, 90)
    assert risk["reasons"][0]["text"] == "100 days since the last purchase; usual gap 10"
    assert risk["value_at_risk"]["currency"] == "TWD"
    assert float(risk["value_at_risk"]["amount"]) > 0
    assert risk["caused_by"] == {"source": "/churn/jobs", "id": "scoring/2026-11-20"}
    assert risk["model_version"] == "prior-1"


async def test_a_score_tells_what_is_expected_of_the_customer_as_the_api_answers_it(churn: Churn) -> None:
    await regulars(churn, last=1)
    await churn.score_all()
    [(_, scored)] = await churn.published("churn-scored")
    async with churn.client() as client:
        answered = (await client.get("/customers/pos:000")).json()
    assert scored["lifetime_value"] == answered["lifetime_value"]
    assert float(scored["lifetime_value"]["amount"]) > 100
    assert scored["expected_purchases"] == pytest.approx(answered["expected_purchases"], abs=1e-6)
    assert (scored["lifetime_days"], scored["horizon_days"]) == (365, 90)


async def test_two_scorings_at_once_and_one_again_announce_a_crossing_once(churn: Churn) -> None:
    await regulars(churn, customers=30)
    whole_base = churn.whole_base(chunk=7)
    await asyncio.gather(whole_base.score_all(), whole_base.score_all(), whole_base.score_all())
    await churn.score_all()
    told = Counter((topic, data["customer_id"]) for topic, data in await churn.published())
    assert len(told) == 60
    assert set(told.values()) == {1}


async def test_a_scoring_that_breaks_off_half_way_and_runs_again_announces_each_crossing_once(
    churn: Churn, monkeypatch: pytest.MonkeyPatch
) -> None:
    await regulars(churn, customers=9)
    hold_chunk, chunks = store.hold_chunk, iter(range(10))

    async def breaking(tx: Tx, after: str, limit: int) -> Row | None:
        if next(chunks) == 2:
            raise ConnectionResetError
        return await hold_chunk(tx, after, limit)

    with monkeypatch.context() as patched:
        patched.setattr(store, "hold_chunk", breaking)
        with pytest.raises(ConnectionResetError):
            await churn.whole_base(chunk=3).score_all()
    assert len(await churn.published("customer-at-risk")) == 6
    await churn.score_all()
    risks = [data["customer_id"] for _, data in await churn.published("customer-at-risk")]
    assert sorted(risks) == [f"pos:{number:03}" for number in range(9)]


async def test_a_probability_between_leave_and_enter_changes_no_band(churn: Churn) -> None:
    await regulars(churn)
    await churn.score_all()
    probability = (await churn.published("churn-scored"))[0][1]["probability"]
    between = {"critical_enter": 1.0, "critical_leave": probability - 0.01}
    await set_policy(churn, **between)
    await churn.score_all()
    assert [topic for topic, _ in await churn.published(*RISK)] == ["customer-at-risk"]
    await set_policy(churn, critical_enter=1.0, critical_leave=min(probability + 0.01, 0.999))
    await churn.score_all()
    topic, lowered = (await churn.published(*RISK))[-1]
    assert topic == "risk-lowered"
    assert (lowered["from_band"], lowered["to_band"], lowered["cause"]) == ("critical", "at-risk", "rescored")


async def test_a_purchase_lowers_the_risk_in_its_own_transaction(churn: Churn) -> None:
    await regulars(churn, customers=2)
    await churn.score_all()
    await churn.take_records([record("purchase-recorded", purchase("pos:001"), id="the-purchase")])
    [lowered] = [data for _, data in await churn.published("risk-lowered")]
    assert lowered["customer_id"] == "pos:001"
    assert (lowered["from_band"], lowered["to_band"], lowered["cause"]) == ("critical", "low", "purchase")
    assert lowered["caused_by"] == {"source": "/shop/tw", "id": "the-purchase"}
    await churn.score_all()
    assert len(await churn.published("risk-lowered")) == 1


async def test_a_risk_that_comes_back_is_announced_again(churn: Churn) -> None:
    await regulars(churn)
    await churn.score_all()
    await churn.take(("purchase-recorded", purchase("pos:000")))
    churn.clock.set(churn.clock.now() + timedelta(days=120))
    await churn.score_all()
    assert [topic for topic, _ in await churn.published(*RISK)] == [
        "customer-at-risk", "risk-lowered", "customer-at-risk",
    ]  # fmt: skip


async def test_who_has_just_bought_is_never_at_risk(churn: Churn) -> None:
    await churn.take(("purchase-recorded", purchase(days_ago=13)))
    await churn.score_all()
    assert await churn.published(*RISK) == []


async def test_an_order_cancelled_lowers_the_risk_of_who_has_no_other(churn: Churn) -> None:
    order = purchase(order_id="only", days_ago=300)
    await churn.take(("purchase-recorded", order))
    await churn.score_all()
    cancelled = {name: order[name] for name in ("customer_id", "order_id", "occurred_at")}
    await churn.take(("purchase-cancelled", cancelled))
    await churn.score_all()
    assert [(topic, data.get("cause")) for topic, data in await churn.published(*RISK)] == [
        ("customer-at-risk", None), ("risk-lowered", "rescored"),
    ]  # fmt: skip


async def test_a_score_is_published_again_only_when_it_moved_by_the_step(churn: Churn) -> None:
    await churn.take(*(("purchase-recorded", purchase(days_ago=days)) for days in range(0, 200, 5)))
    await churn.score_all()
    churn.clock.set(churn.clock.now() + timedelta(days=1))
    await churn.score_all()
    assert len(await churn.published("churn-scored")) == 1
    churn.clock.set(churn.clock.now() + timedelta(days=20))
    await churn.score_all()
    assert len(await churn.published("churn-scored")) == 2
