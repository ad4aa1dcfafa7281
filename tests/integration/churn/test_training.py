"""A model fitted on what really was bought: the published CDNOW sample as purchases, up to its last day."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import psutil
import pytest
import pytest_asyncio

from services.churn.models import application as models
from services.churn.models.domain import PRIOR, History
from services.churn.models.evaluation import auc, holdout
from services.churn.policies import application as policies
from services.churn.scoring.policy import Policy
from services.churn.training import store
from services.churn.training.child import train_apart
from services.churn.training.domain import Sample
from tests.integration.churn.house import Churn, open_churn
from tests.kit.builders import line, purchase, record
from tests.kit.databases import Databases
from tests.kit.waiting import until
from tests.unit.churn.cdnow import cdnow

SERVICE = "churn"
LAST_DAY = date(1998, 6, 30)
NOW = datetime(1998, 6, 30, 12, tzinfo=UTC)


@pytest_asyncio.fixture(scope="module")
async def cds(databases: Databases) -> AsyncIterator[Churn]:
    """A shop of CDs that trained on its history once."""
    async with databases.fresh(SERVICE) as database, open_churn(database, NOW) as churn:
        records = [record("purchase-recorded", bought) for bought in purchases()]
        for start in range(0, len(records), 500):
            await churn.take_records(records[start : start + 500])
        async with churn.client() as client:
            response = await client.post("/models/train", headers={"Idempotency-Key": "first-fit"})
            assert response.status_code == 201, response.text
        yield churn


def fits() -> list[psutil.Process]:
    children = psutil.Process().children(recursive=True)
    return [child for child in children if "services.churn.training.child" in " ".join(child.cmdline())]


async def running() -> list[psutil.Process]:
    return fits()


def purchases() -> list[dict[str, Any]]:
    sample = cdnow()
    rows = zip(sample.customer.tolist(), sample.day.tolist(), sample.dollars.tolist(), strict=True)
    return [
        purchase(
            f"cd:{customer}",
            f"cd:{number}",
            occurred_at=f"{date.fromordinal(day).isoformat()}T12:00:00+08:00",
            total=f"{dollars:.2f}",
            currency="TWD",
            lines=[line(amount=f"{dollars:.2f}")],
        )
        for number, (customer, day, dollars) in enumerate(rows)
    ]


async def test_the_model_in_use_is_the_one_that_was_fitted(cds: Churn) -> None:
    async with cds.service.db.transaction() as tx:
        model = await models.active(tx)
    assert model.version == "mbg-nbd-2"
    assert model.params.converged
    assert model.params.n == len(np.unique(cdnow().customer))
    value = model.purchase_value
    assert value is not None
    assert value.p * value.v / (value.q - 1) == pytest.approx(35_00, rel=0.2)


async def test_the_evaluation_is_of_a_model_that_knew_nothing_of_the_holdout(cds: Churn) -> None:
    async with cds.client() as client:
        found = (await client.get("/models/mbg-nbd-2")).json()["evaluation"]
    assert found["cut"] == (LAST_DAY - timedelta(days=90)).isoformat()
    history, churned = holdout(cdnow().customer, cdnow().day, cut=LAST_DAY.toordinal() - 90, horizon_days=90)
    assert found["n"] == len(churned)
    assert found["base_rate"] == pytest.approx(churned.mean())
    assert found["auc"] > 0.8
    assert found["pr_auc"] > found["base_rate"]
    assert found["brier"] < churned.mean() * (1 - churned.mean())
    assert sum(part["n"] for part in found["calibration"]) == len(churned)
    assert len(found["lift"]) == 10
    recency = auc(history.T - history.t_x, churned.astype(np.float64))
    assert found["baselines"]["recency"]["auc"] == pytest.approx(recency)


async def test_training_sent_again_is_answered_again_and_fits_nothing(cds: Churn) -> None:
    async with cds.client() as client:
        again = await client.post("/models/train", headers={"Idempotency-Key": "first-fit"})
        listed = (await client.get("/models")).json()["items"]
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (201, "true")
    assert again.json()["version"] == "mbg-nbd-2"
    assert [model["version"] for model in listed] == ["mbg-nbd-2", "prior-1"]


async def test_a_fit_leaves_no_child_behind(cds: Churn) -> None:
    assert fits() == []


async def test_a_fit_that_is_called_off_is_ended(cds: Churn) -> None:
    months = np.arange(200_000)
    history = History.of(months % 50 + 1, months % 97, months % 97 + months % 89)
    endless = Sample(history, months, months, months, months + 1, LAST_DAY.toordinal())
    fit = asyncio.create_task(train_apart(endless, "mbg-nbd", 90))
    await until(running)
    fit.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fit
    assert fits() == []


async def test_one_fit_runs_at_a_time(cds: Churn) -> None:
    async with cds.service.db.transaction() as other, cds.client() as client:
        assert await store.lead(other)
        refused = await client.post("/models/train")
    assert (refused.status_code, refused.json()["code"]) == (409, "training-in-progress")


async def test_scores_follow_the_model_that_is_promoted(cds: Churn) -> None:
    customer = f"/customers/cd:{cdnow().customer[0]}"
    async with cds.client() as client:
        fitted = (await client.get(customer)).json()
        promoted = await client.post("/models/prior-1/promote")
        by_prior = (await client.get(customer)).json()
        await client.post("/models/mbg-nbd-2/promote")
        again = (await client.get(customer)).json()
        statuses = {model["version"]: model["status"] for model in (await client.get("/models")).json()["items"]}
    assert promoted.json()["status"] == "active"
    assert (fitted["model_version"], by_prior["model_version"]) == ("mbg-nbd-2", "prior-1")
    assert fitted["probability"] != by_prior["probability"]
    assert again == fitted
    assert statuses == {"mbg-nbd-2": "active", "prior-1": "retired"}


async def test_a_model_that_is_unknown_is_not_found(cds: Churn) -> None:
    async with cds.client() as client:
        assert (await client.get("/models/mbg-nbd-99")).status_code == 404
        assert (await client.post("/models/mbg-nbd-99/promote")).status_code == 404


async def test_too_little_history_is_told_and_changes_nothing(churn: Churn) -> None:
    await churn.take(("purchase-recorded", purchase(days_ago=9)), ("purchase-recorded", purchase(days_ago=3)))
    async with churn.client() as client:
        refused = await client.post("/models/train")
        [model] = (await client.get("/models")).json()["items"]
    assert (refused.status_code, refused.json()["code"]) == (409, "not-enough-history")
    assert (model["version"], model["status"], model["evaluation"]) == ("prior-1", "active", None)


async def test_a_short_history_is_fitted_without_an_evaluation(churn: Churn) -> None:
    for number in range(12):
        await churn.take(
            ("purchase-recorded", purchase(f"pos:{number}", days_ago=20 + number, currency="EUR")),
            ("purchase-recorded", purchase(f"pos:{number}", days_ago=1 + number / 2, currency="EUR")),
        )
    async with churn.client() as client:
        trained = (await client.post("/models/train", json={"kind": "bg-nbd"})).json()
    assert trained["version"] == "bg-nbd-2"
    assert (trained["evaluation"], trained["purchase_value"]) == (None, None)


async def test_the_first_versions_are_the_published_prior_and_the_defaults(churn: Churn) -> None:
    async with churn.service.db.transaction() as tx:
        assert (await models.active(tx)).params == PRIOR
        assert (await policies.current(tx)).policy == Policy()


async def test_a_fit_sees_winning_orders_that_were_not_cancelled_by_the_days_of_the_house(churn: Churn) -> None:
    kept = purchase("pos:1", "kept", occurred_at="2026-11-10T16:30:00Z")
    moved = purchase("pos:1", "moved", days_ago=9)
    cancelled = purchase("pos:1", "cancelled", days_ago=3)
    await churn.take(
        ("purchase-recorded", kept),
        ("purchase-recorded", moved),
        ("purchase-recorded", moved | {"occurred_at": "2026-11-01T00:00:00Z", "order_version": 2}),
        ("purchase-recorded", cancelled),
        ("purchase-cancelled", {name: cancelled[name] for name in ("customer_id", "order_id", "occurred_at")}),
    )
    async with churn.service.db.transaction() as tx:
        customer, day = await store.purchase_days(tx, "Asia/Taipei")
    assert len(np.unique(customer)) == 1
    assert sorted(day.tolist()) == [date(2026, 11, 1).toordinal(), date(2026, 11, 11).toordinal()]
