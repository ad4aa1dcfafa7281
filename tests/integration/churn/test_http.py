"""What churn answers, and to whom."""

from datetime import timedelta
from typing import Any

import pytest

from tests.integration.churn.house import Churn
from tests.kit.builders import at, purchase, record

SERVICE = "churn"

READS = ["/customers/pos:1", "/at-risk", "/models", "/models/prior-1", "/policy"]
WRITES = ["/models/train", "/models/prior-1/promote", "/scorings"]


async def silent_customers(churn: Churn, count: int) -> None:
    """Customers 1 … count, each spending more than the one before, silent since 200 days; all scored."""
    await churn.take_records(
        [
            record("purchase-recorded", purchase(f"pos:{number}", total=str(100 * number), days_ago=200 + 20 * times))
            for number in range(1, count + 1)
            for times in range(4)
        ]
    )
    await churn.score_all()


async def items(churn: Churn, **params: Any) -> list[dict[str, Any]]:
    async with churn.client() as client:
        response = await client.get("/at-risk", params=params)
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["items"]
    return found


@pytest.mark.parametrize("path", READS)
async def test_reading_needs_a_token_with_the_scope(churn: Churn, path: str) -> None:
    async with churn.client(None) as nobody, churn.client("loyalty:read") as stranger:
        assert (await nobody.get(path)).status_code == 401
        assert (await stranger.get(path)).status_code == 403


@pytest.mark.parametrize("path", WRITES)
async def test_writing_needs_the_scope_to_write(churn: Churn, path: str) -> None:
    async with churn.client(None) as nobody, churn.client("churn:read") as reader:
        assert (await nobody.post(path)).status_code == 401
        assert (await reader.post(path)).status_code == 403


async def test_a_customer_sees_his_own_risk_alone_and_no_list(churn: Churn) -> None:
    await churn.take(("purchase-recorded", purchase("pos:1")), ("purchase-recorded", purchase("pos:2")))
    async with churn.client("churn:read", "pos:1") as customer:
        assert (await customer.get("/customers/pos:1")).status_code == 200
        assert (await customer.get("/customers/pos:2")).status_code == 404
        assert (await customer.get("/at-risk")).status_code == 403


async def test_a_customer_of_whom_nothing_was_heard_is_not_found(churn: Churn) -> None:
    async with churn.client() as client:
        assert (await client.get("/customers/pos:404")).status_code == 404


async def test_a_customer_is_scored_from_his_first_event_on(churn: Churn) -> None:
    await churn.take(("purchase-recorded", purchase("pos:1", days_ago=30)))
    async with churn.client() as client:
        found = (await client.get("/customers/pos:1")).json()
    assert 0 < found["probability"] < 1
    assert found["model_version"] == "prior-1"
    assert found["scored_at"] == "2026-11-20T04:00:00Z"
    assert found["days_since_last_purchase"] == 30
    assert {reason["code"] for reason in found["reasons"]} == {"silence", "few-purchases"}
    assert found["history"] == []


async def test_who_only_visited_has_no_figures(churn: Churn) -> None:
    visit = {"customer_id": "pos:1", "activity_id": "a-1", "kind": "visit", "occurred_at": at(1)}
    await churn.take(("activity-recorded", visit))
    async with churn.client() as client:
        found = (await client.get("/customers/pos:1")).json()
    assert (found["probability"], found["value_at_risk"], found["band"]) == (None, None, "low")


async def test_a_score_is_that_of_the_instant_it_is_read(churn: Churn) -> None:
    await churn.take(("purchase-recorded", purchase("pos:1", days_ago=5)), ("purchase-recorded", purchase("pos:1")))
    async with churn.client() as client:
        now = (await client.get("/customers/pos:1")).json()
        churn.clock.set(churn.clock.now() + timedelta(days=60))
        later = (await client.get("/customers/pos:1")).json()
    assert later["days_since_last_purchase"] == now["days_since_last_purchase"] + 60
    assert later["probability"] > now["probability"]


async def test_the_history_tells_each_crossing_the_newest_first(churn: Churn) -> None:
    await silent_customers(churn, 1)
    await churn.take(("purchase-recorded", purchase("pos:1")))
    async with churn.client() as client:
        history = (await client.get("/customers/pos:1")).json()["history"]
    assert [(one["from_band"], one["to_band"], one["cause"]) for one in history] == [
        ("critical", "low", "purchase"), ("low", "critical", "rescored"),
    ]  # fmt: skip


async def test_the_list_ranks_by_what_is_at_stake(churn: Churn) -> None:
    await silent_customers(churn, 3)
    found = await items(churn)
    assert [one["customer_id"] for one in found] == ["pos:3", "pos:2", "pos:1"]
    assert all(one["reasons"][0]["code"] == "silence" for one in found)
    by_probability = [one["probability"] for one in await items(churn, order="probability")]
    assert by_probability == sorted(by_probability, reverse=True)


async def test_the_list_can_leave_out_what_is_worth_less(churn: Churn) -> None:
    await silent_customers(churn, 3)
    second = (await items(churn))[1]["value_at_risk"]["amount"]
    assert [one["customer_id"] for one in await items(churn, min_value=second)] == ["pos:3", "pos:2"]


async def test_the_list_can_be_of_one_band(churn: Churn) -> None:
    await silent_customers(churn, 2)
    assert len(await items(churn, band="critical")) == 2
    assert await items(churn, band="at-risk") == []


@pytest.mark.parametrize("order", ["value_at_risk", "probability"])
async def test_pages_of_the_list_make_the_whole(churn: Churn, order: str) -> None:
    await silent_customers(churn, 7)
    whole = [one["customer_id"] for one in await items(churn, order=order)]
    paged: list[str] = []
    params: dict[str, str | int] = {"order": order, "limit": 3}
    async with churn.client() as client:
        while True:
            page = (await client.get("/at-risk", params=params)).json()
            paged += [one["customer_id"] for one in page["items"]]
            if page["next_cursor"] is None:
                break
            params["cursor"] = page["next_cursor"]
    assert len(paged) == 7
    assert paged == whole


@pytest.mark.parametrize(
    "params", [{"min_value": "-1"}, {"min_value": "1.001"}, {"min_value": "NaN"}, {"order": "name"}, {"band": "lost"},
               {"cursor": "x"}]
)  # fmt: skip
async def test_a_question_that_makes_no_sense_is_refused(churn: Churn, params: dict[str, str]) -> None:
    async with churn.client() as client:
        assert (await client.get("/at-risk", params=params)).status_code == 422


async def test_a_policy_is_replaced_by_who_knows_the_one_in_force(churn: Churn) -> None:
    async with churn.client() as client:
        first = await client.get("/policy")
        body = {name: value for name, value in first.json().items() if name not in ("version", "created_at")}
        body["horizon_days"] = 30
        assert (await client.put("/policy", json=body)).status_code == 428
        stale = await client.put("/policy", json=body, headers={"If-Match": '"9"'})
        made = await client.put("/policy", json=body, headers={"If-Match": first.headers["ETag"]})
        after = await client.get("/policy")
    assert (first.json()["version"], first.json()["horizon_days"]) == (1, 90)
    assert stale.status_code == 412
    assert (made.status_code, made.headers["ETag"]) == (200, '"2"')
    assert (after.json()["version"], after.json()["horizon_days"]) == (2, 30)


async def test_a_policy_that_contradicts_itself_is_refused(churn: Churn) -> None:
    async with churn.client() as client:
        body = (await client.get("/policy")).json() | {"at_risk_leave": 0.7}
        del body["version"], body["created_at"]
        refused = await client.put("/policy", json=body, headers={"If-Match": "*"})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid-policy")


async def test_a_scoring_can_be_asked_for_and_asked_for_again(churn: Churn) -> None:
    await churn.take(("purchase-recorded", purchase(days_ago=300)))
    async with churn.client() as client:
        first = await client.post("/scorings", headers={"Idempotency-Key": "now"})
        again = await client.post("/scorings", headers={"Idempotency-Key": "now"})
    assert (first.status_code, first.json()["customers"], first.json()["raised"]) == (201, 1, 1)
    assert again.json() == first.json()


async def test_every_operation_shows_an_example(churn: Churn) -> None:
    async with churn.client() as client:
        document = (await client.get("/openapi.json")).json()
    for path in ("/customers/{id}", "/at-risk", "/models", "/models/{version}", "/policy"):
        content = document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]
        assert "example" in content, path
