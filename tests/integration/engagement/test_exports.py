"""Everything that engagement holds of one person: nothing of it is forgotten, nobody else's is in it."""

import base64

from services.engagement.exports.http import ExportView
from services.engagement.exports.store import LEFT_OUT, SECTIONS
from tests.integration.engagement.house import Engagement, at_risk, complaint, merged, registered
from tests.kit.builders import at, purchase, record
from tests.kit.exported import forgotten

SERVICE = "engagement"
BROKEN = b'{"customer_id": "web:1", "text": "no event"}'


async def test_every_column_of_every_table_is_exported_or_left_out_with_a_reason(without_mail: Engagement) -> None:
    assert await forgotten(without_mail.service.db, SECTIONS, LEFT_OUT) == set()


async def planted(engagement: Engagement) -> None:
    """Two ids of one person with all that he leaves behind, and somebody else."""
    await engagement.take(
        registered("web:1", owner="staff:7"), registered("web:9", owner="staff:7"),
        ("purchase-recorded", purchase("web:1", "web:88", days_ago=62, staff_id="till:3")),
        ("purchase-recorded", purchase("web:9", "web:99", days_ago=62)),
    )  # fmt: skip
    await engagement.take(at_risk("web:1"), at_risk("web:9"))
    await engagement.take(complaint("pos:1", "f-1"), complaint("web:9", "f-9"))
    await engagement.service.intake.take([record("feedback-received", complaint("web:1")[1])._replace(value=BROKEN)])
    async with engagement.client() as http:
        for who in ("pos:1", "web:9"):
            written = {"customer_id": who, "channel": "web", "kind": "praise", "text": f"Words of {who}"}
            photos = {"photos": [f"https://shop.example/{who}.jpg"]}
            assert (await http.post("/feedback", json={**written, **photos})).status_code == 201
        for task in (await http.get("/tasks", params={"kind": "complaint"})).json()["items"]:
            done = {"outcome": "done", "note": f"New cup for {task['customer_id']}"}
            assert (await http.post(f"/tasks/{task['id']}/complete", json=done)).status_code == 200
    await engagement.work()
    await engagement.take(merged("pos:1", "web:1"))


async def test_the_document_has_the_whole_person_under_all_his_ids(without_mail: Engagement) -> None:
    await planted(without_mail)
    async with without_mail.client("engagement:read") as http:
        answer = await http.get("/customers/pos:1/export")
        assert answer.status_code == 200, answer.text
        assert answer.json() == (await http.get("/customers/web:1/export")).json()
    document = ExportView.model_validate(answer.json())
    assert (document.customer_id, document.customer_ids) == ("web:1", ["pos:1", "web:1"])
    assert "web:9" not in answer.text
    assert [state["customer_id"] for state in document.states] == ["pos:1", "web:1"]
    assert document.states[1]["state"]["risk"]["band"] == "at-risk"
    assert [(one["text"], one["photos"]) for one in document.feedback] == [
        ("Words of pos:1", ["https://shop.example/pos:1.jpg"])
    ]
    assert {one["purpose"]: one["reasons"][0]["code"] for one in document.contacts}["win-back"] == "overdue"
    assert {one["contact_id"] for one in document.decisions} <= {one["id"] for one in document.contacts}
    assert document.decisions
    assert {(one["kind"], one["note"]) for one in document.tasks} >= {("complaint", "New cup for pos:1")}
    assert {one["data"].get("order_id") for one in document.events} == {"web:88", None}
    assert [one["from_id"] for one in document.merges] == ["pos:1"]
    assert [base64.b64decode(one["value"]) for one in document.dead_letters] == [BROKEN]


async def test_staff_are_named_to_staff_alone(without_mail: Engagement) -> None:
    await planted(without_mail)
    async with without_mail.client("engagement:read") as http:
        for_staff = (await http.get("/customers/web:1/export")).text
    async with without_mail.client("engagement:read", "pos:1") as himself:
        own = await himself.get("/customers/web:1/export")
    assert own.status_code == 200
    assert "New cup for pos:1" in own.text
    for name in ("staff:7", "till:3", base64.b64encode(BROKEN).decode()):
        assert name in for_staff.replace("\\n", "")
        assert name not in own.text.replace("\\n", "")


async def test_nobody_else_gets_it_and_of_who_is_unknown_or_erased_there_is_none(without_mail: Engagement) -> None:
    await planted(without_mail)
    async with without_mail.client("engagement:read", "web:9") as other:
        assert (await other.get("/customers/web:1/export")).status_code == 404
    async with without_mail.client("loyalty:read") as http:
        assert (await http.get("/customers/web:1/export")).status_code == 403
    cause = {"source": "/roost/profile/requests", "id": "r"}
    said = {"customer_id": "web:1", "sequence": 9, "caused_by": cause, "occurred_at": at(0)}
    gone = {**said, "erasure_id": "e_1", "customer_ids": ["pos:1", "web:1"]}
    await without_mail.take(("customer-erased", gone))
    async with without_mail.client("engagement:read") as http:
        assert (await http.get("/customers/nobody/export")).status_code == 404
        for who in ("pos:1", "web:1"):
            assert (await http.get(f"/customers/{who}/export")).status_code == 410
    async with without_mail.client("engagement:read", "web:1") as himself:
        assert (await himself.get("/customers/web:1/export")).status_code == 404
