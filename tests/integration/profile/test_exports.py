"""Everything about one person: nothing of it is forgotten, nobody else's is in it."""

from datetime import timedelta

from services.profile.exports.http import ExportView
from services.profile.exports.store import LEFT_OUT, OPENED, SECTIONS, TABLES
from shared.db import fetch
from tests.integration.profile.house import Profile, token
from tests.kit.builders import NOW, purchase, record, returned

SERVICE = "profile"


async def test_every_table_of_customers_is_exported_or_named_with_a_reason(profile: Profile) -> None:
    of_customers = """
    SELECT table_name FROM information_schema.columns
    WHERE table_schema = 'public' AND column_name = 'customer_id'
    """
    async with profile.service.db.transaction() as tx:
        tables = {row["table_name"] for row in await fetch(tx, of_customers)}
    assert tables == TABLES | OPENED | LEFT_OUT.keys()
    statements = " ".join(" ".join(section.sql for section in SECTIONS.values()).split())
    assert all(f"FROM {table} " in statements for table in TABLES)


async def test_the_document_has_the_whole_person_under_all_his_ids(profile: Profile) -> None:
    for who, name in (("web:1", "Planted Name"), ("pos:1", "Other Name"), ("web:9", "Somebody Else")):
        fields = {"customer_id": who, "name": name, "email": f"{who.replace(':', '.')}@example.com"}
        assert (await profile.client.post("/customers", json=fields)).status_code == 201
        await profile.client.post(f"/customers/{who}/notes", json={"text": f"note on {name}"})
    said = {"granted": True, "source": "page", "wording_version": "2026-1"}
    await profile.client.put("/customers/web:1/consents/email/marketing", json=said)
    await profile.client.post("/customers/web:1/identifiers", json={"kind": "card", "value": "1234"})
    await profile.take(record("purchase-recorded", purchase("pos:1", "pos:88")))
    await profile.take(record("purchase-returned", returned("pos:88", customer_id="pos:1", days_ago=1)))
    await profile.take(record("purchase-recorded", {**purchase("pos:1", "pos:89"), "channel": "nowhere"}))
    row = b'{"customer_id": "web:1", "locale": "zh-TW"}\n{"customer_id": "web:1", "email": "no"}'
    await profile.client.post("/imports", content=row, headers={"Content-Type": "application/x-ndjson"})
    for job in profile.service.runner.jobs:
        await profile.service.runner.run_once(job)
    await profile.client.post("/merges", json={"from_id": "pos:1", "into_id": "web:1"})
    profile.clock.set(NOW + timedelta(hours=1))

    answer = await profile.client.get("/customers/pos:1/export")
    assert answer.status_code == 200, answer.text
    document = ExportView.model_validate(answer.json())
    assert (document.customer_id, document.customer_ids) == ("web:1", ["pos:1", "web:1"])
    assert "Somebody Else" not in answer.text
    assert {file["name"] for file in document.files} == {"Planted Name", "Other Name"}
    history = {(said["field"], said["customer_id"]) for said in document.history}
    assert {("name", "pos:1"), ("contact_points.email", "web:1"), ("locale", "web:1")} <= history
    assert [point["value"] for point in document.files[1]["contact_points"]] == ["web.1@example.com"]
    assert {note["text"] for note in document.notes} == {"note on Planted Name", "note on Other Name"}
    assert {note["written_by"] for note in document.notes} == {"staff"}
    assert [consent["wording_version"] for consent in document.consents] == ["2026-1"]
    assert [(one["kind"], one["value"]) for one in document.identifiers] == [("card", "1234")]
    assert {event["kind"] for event in document.events} == {"purchase-recorded", "purchase-returned"}
    assert [order["order_id"] for order in document.orders] == ["pos:88"]
    assert [merge["from_id"] for merge in document.merges] == ["pos:1"]
    assert [fault["code"] for fault in document.refused_rows] == ["invalid-contact-point"]
    assert document.imports
    assert document.segments
    assert document.segment_history
    assert {access["route"] for access in document.accesses} >= {"POST /customers/{customer_id}/notes"}
    assert document.elsewhere.keys() == {"loyalty", "engagement", "churn"}
    assert [letter["code"] for letter in document.dead_letters] == ["contract"]


async def test_a_customer_gets_his_own_and_no_names_of_staff_who_looked(profile: Profile) -> None:
    sold = purchase("web:1", staff_id="staff:9")
    await profile.take(record("purchase-recorded", sold))
    for who in ("web:1", "web:2"):
        await profile.client.post("/customers", json={"customer_id": who, "name": who, "source": "staff:7"})
        await profile.view(who)
    own = await profile.client.get("/customers/web:1/export", headers=token("profile:read", "web:1"))
    accesses = own.json()["accesses"]
    assert (own.status_code, {access["subject"] for access in accesses}) == (200, {None})
    assert {said["source"] for said in own.json()["history"]} == {"staff"}
    assert own.json()["events"][0]["data"]["order_id"] == sold["order_id"]
    assert "staff:9" not in own.text
    of_staff = (await profile.client.get("/customers/web:1/export")).json()
    assert {said["source"] for said in of_staff["history"]} == {"staff:7"}
    other = await profile.client.get("/customers/web:2/export", headers=token("profile:read", "web:1"))
    assert other.status_code == 404


async def test_staff_who_wrote_restricted_or_imported_are_named_to_staff_alone(profile: Profile) -> None:
    row = b'{"customer_id": "web:1", "name": "A"}'
    await profile.client.post("/imports", content=row, headers={"Content-Type": "application/x-ndjson"})
    [job] = [job for job in profile.service.runner.jobs if job.name == "import"]
    await profile.service.runner.run_once(job)
    await profile.client.post("/customers/web:1/notes", json={"text": "wants tea"})
    await profile.client.put("/customers/web:1/restriction", json={"reason": "asked"})
    sections = {"notes": "author", "restrictions": "restricted_by", "imports": "created_by"}
    for_staff = (await profile.client.get("/customers/web:1/export")).json()
    assert {for_staff[section][0][column] for section, column in sections.items()} == {"developer"}
    own = (await profile.client.get("/customers/web:1/export", headers=token("profile:read", "web:1"))).json()
    assert own["notes"][0]["text"] == "wants tea"
    assert "developer" not in str({section: own[section] for section in sections})
