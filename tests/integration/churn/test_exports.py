"""Everything that churn holds of one person: nothing of it is forgotten, nobody else's is in it."""

from services.churn.exports.http import ExportView
from services.churn.exports.store import LEFT_OUT, SECTIONS
from tests.integration.churn.house import Churn
from tests.integration.churn.test_merges import merged
from tests.kit.builders import at, purchase, record
from tests.kit.exported import forgotten

SERVICE = "churn"


async def test_every_column_of_every_table_is_exported_or_left_out_with_a_reason(churn: Churn) -> None:
    assert await forgotten(churn.service.db, SECTIONS, LEFT_OUT) == set()


async def planted(churn: Churn) -> None:
    """A regular who fell silent, under two ids, and another."""
    for who in ("web:1", "web:9"):
        orders = [purchase(who, f"{who}-{n}", days_ago=200 + 7 * n, staff_id="till:3") for n in range(8)]
        await churn.take(*(("purchase-recorded", order) for order in orders))
    complaint = {"customer_id": "pos:1", "feedback_id": "f-1", "channel": "web", "kind": "complaint"}
    await churn.take(("feedback-received", {**complaint, "occurred_at": at(1)}))
    await churn.score_all()
    await churn.take_records([merged("m-1", "pos:1", "web:1")])


async def test_the_document_has_the_whole_person_with_scores_and_reasons(churn: Churn) -> None:
    await planted(churn)
    async with churn.client("churn:read") as http:
        answer = await http.get("/customers/pos:1/export")
        assert answer.status_code == 200, answer.text
        assert answer.json() == (await http.get("/customers/web:1/export")).json()
        now = (await http.get("/customers/web:1")).json()
    document = ExportView.model_validate(answer.json())
    assert (document.customer_id, document.customer_ids) == ("web:1", ["pos:1", "web:1"])
    assert "web:9" not in answer.text
    scores = {one["customer_id"]: one for one in document.scores}
    assert scores["web:1"]["band"] != "low"
    assert scores["web:1"]["probability"] > 0.5
    assert scores["web:1"]["last_day"] == at(200)[:10]
    assert scores["pos:1"]["joined"] is True
    assert [(one["from_band"], one["to_band"]) for one in document.crossings] == [("low", scores["web:1"]["band"])]
    [forecast] = document.forecasts
    assert round(forecast["probability"], 6) == now["probability"]
    assert [one["text"] for one in forecast["reasons"]] == [one["text"] for one in now["reasons"]]
    assert {one["code"] for one in forecast["reasons"]} >= {"silence", "open-complaint"}
    assert {one["kind"] for one in document.events} == {"purchase-recorded", "feedback-received"}
    assert [one["from_id"] for one in document.merges] == ["pos:1"]


async def test_a_customer_gets_his_own_without_staff_and_nobody_else_s(churn: Churn) -> None:
    await planted(churn)
    async with churn.client("churn:read") as http:
        assert "till:3" in (await http.get("/customers/web:1/export")).text
    async with churn.client("churn:read", "pos:1") as himself:
        own = await himself.get("/customers/web:1/export")
        assert own.status_code == 200
        assert "till:3" not in own.text
    async with churn.client("churn:read", "web:9") as other:
        assert (await other.get("/customers/web:1/export")).status_code == 404
    async with churn.client("loyalty:read") as http:
        assert (await http.get("/customers/web:1/export")).status_code == 403


async def test_of_who_is_unknown_or_erased_there_is_none(churn: Churn) -> None:
    await planted(churn)
    cause = {"source": "/roost/profile/requests", "id": "r"}
    said = {"customer_id": "web:1", "sequence": 9, "caused_by": cause, "occurred_at": at(0)}
    gone = {**said, "erasure_id": "e_1", "customer_ids": ["pos:1", "web:1"]}
    await churn.take_records([record("customer-erased", gone)])
    async with churn.client("churn:read") as http:
        assert (await http.get("/customers/nobody/export")).status_code == 404
        for who in ("pos:1", "web:1"):
            assert (await http.get(f"/customers/{who}/export")).status_code == 410
    async with churn.client("churn:read", "web:1") as himself:
        assert (await himself.get("/customers/web:1/export")).status_code == 404
