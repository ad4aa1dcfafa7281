"""The API: who may ask what, policies in versions, contacts and tasks in staff's hands, feedback that stays here."""

from datetime import timedelta
from typing import Any

import pytest

from tests.integration.engagement.house import Engagement, at_risk, complaint
from tests.kit.builders import NOW, purchase, record

SERVICE = "engagement"
BOUGHT = ("purchase-recorded", purchase("pos:1", "old", days_ago=62))
ROUTES = [
    ("GET", "/policies/caps"), ("PUT", "/policies/caps"), ("GET", "/contacts"), ("GET", "/contacts/x"),
    ("POST", "/contacts/x/cancel"), ("POST", "/contacts/x/reschedule"), ("POST", "/contacts/x/complete"),
    ("GET", "/customers/pos:1/next-contacts"), ("GET", "/customers/pos:1/decisions"), ("GET", "/tasks"),
    ("POST", "/tasks/x/complete"), ("POST", "/feedback"), ("GET", "/customers/pos:1/export"),
]  # fmt: skip
STAFF_ONLY = [route for route in ROUTES if "customers" not in route[1] and route[1] not in ("/contacts/x", "/feedback")]


async def planned_win_back(engagement: Engagement) -> str:
    await engagement.take(BOUGHT)
    await engagement.take(at_risk())
    return str((await engagement.contacts(purpose="win-back"))[0]["id"])


async def test_every_route_wants_a_token_and_its_scope(without_mail: Engagement) -> None:
    async with without_mail.client(scope=None) as http:
        assert {(await http.request(*route)).status_code for route in ROUTES} == {401}
    async with without_mail.client(scope="loyalty:read loyalty:write") as http:
        assert {(await http.request(*route)).status_code for route in ROUTES} == {403}


async def test_staff_routes_are_closed_to_customers(without_mail: Engagement) -> None:
    async with without_mail.client(customer_id="pos:1") as http:
        assert {(await http.request(*route)).status_code for route in STAFF_ONLY} == {403}


async def test_a_customer_sees_his_own_contacts_and_nobody_else_s(without_mail: Engagement) -> None:
    id = await planned_win_back(without_mail)
    async with without_mail.client(customer_id="pos:1") as http:
        contact = (await http.get("/customers/pos:1/next-contacts")).json()["items"][0]
        assert (contact["id"], contact["purpose"], contact["status"]) == (id, "win-back", "planned")
        assert (await http.get(f"/contacts/{id}")).status_code == 200
    async with without_mail.client(customer_id="pos:2") as http:
        for path in ("/customers/pos:1/next-contacts", "/customers/pos:1/decisions", f"/contacts/{id}"):
            assert (await http.get(path)).status_code == 404


async def test_a_policy_gets_a_new_version_and_everybody_is_planned_by_it(without_mail: Engagement) -> None:
    await without_mail.take(("purchase-recorded", purchase(days_ago=2)))
    await without_mail.run("plan")
    async with without_mail.client() as http:
        before = await http.get("/policies/cadence")
        assert before.headers["ETag"] == '"1"'
        policy = before.json()["policy"]
        policy["tenure"][0]["every_days"] = 3
        put = await http.put("/policies/cadence", json={"policy": policy}, headers={"If-Match": '"1"'})
        assert (put.status_code, put.json()["version"], put.headers["ETag"]) == (200, 2, '"2"')
        assert (await http.get("/policies/cadence?version=1")).json() == before.json()
        assert (await http.get("/policies/cadence?version=7")).status_code == 404
        stale = await http.put("/policies/cadence", json={"policy": policy}, headers={"If-Match": '"1"'})
        assert stale.status_code == 412
        assert (await http.put("/policies/cadence", json={"policy": policy})).status_code == 428
    await without_mail.run("plan")
    [contact] = await without_mail.contacts()
    assert (contact["policy_version"], contact["due_at"]) == (2, NOW + timedelta(days=1))


@pytest.mark.parametrize(
    ("name", "policy", "pointer"),
    [
        ("caps", {"per_day": 0, "per_week": 2}, "/policy/per_day"),
        ("caps", {"per_day": 1, "per_week": 2, "per_yaer": 3}, "/policy"),
        ("quiet-hours", {"start": "25:00", "end": "09:00"}, "/policy/start"),
        ("cadence", {"tenure": [{"from_days": 0, "every_days": 1.5}]}, "/policy/tenure/0/every_days"),
        ("cadence", {"tenure": [{"from_days": 5, "every_days": 1}]}, "/policy"),
        ("channels", {"purposes": {}}, "/policy"),
    ],
)
async def test_a_policy_that_makes_no_sense_is_refused_with_its_place(
    without_mail: Engagement, name: str, policy: dict[str, Any], pointer: str
) -> None:
    async with without_mail.client() as http:
        answer = await http.put(f"/policies/{name}", json={"policy": policy}, headers={"If-Match": '"1"'})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid-policy")
        assert answer.json()["errors"][0]["pointer"] == pointer
        assert (await http.get(f"/policies/{name}")).json()["version"] == 1


async def test_a_policy_nobody_knows_is_422_and_not_500(without_mail: Engagement) -> None:
    async with without_mail.client() as http:
        assert (await http.get("/policies/nonsense")).status_code == 422


async def test_contacts_are_listed_in_pages_by_what_is_asked(without_mail: Engagement) -> None:
    await without_mail.take(*[("purchase-recorded", purchase(f"pos:{n}", days_ago=n)) for n in range(5)])
    await without_mail.run("plan")
    async with without_mail.client() as http:
        first = (await http.get("/contacts?limit=3&purpose=cadence")).json()
        onwards = {"limit": 3, "purpose": "cadence", "cursor": first["next_cursor"]}
        rest = (await http.get("/contacts", params=onwards)).json()
        found = [item["customer_id"] for item in first["items"] + rest["items"]]
        assert found == ["pos:4", "pos:3", "pos:2", "pos:1", "pos:0"]
        assert rest["next_cursor"] is None
        for query, count in (
            ("status=sent", 0), ("channel=email&purpose=cadence", 5), ("customer_id=pos:3&purpose=cadence", 1),
            ("purpose=win-back", 0), (f"due_before={NOW.isoformat().replace('+', '%2B')}", 0), ("assignee=nobody", 0),
        ):  # fmt: skip
            assert len((await http.get(f"/contacts?{query}")).json()["items"]) == count, query
        for unreadable in ("2026-11-20T00:00:00", "0001-01-01T00:00:00%2B14:00", "9999-12-31T23:59:59-12:00"):
            assert (await http.get(f"/contacts?due_before={unreadable}")).status_code == 422
        assert (await http.get("/contacts?cursor=nonsense")).status_code == 422


async def test_a_cancelled_contact_is_published_and_stays_cancelled(without_mail: Engagement) -> None:
    id = await planned_win_back(without_mail)
    async with without_mail.client() as http:
        answer = await http.post(f"/contacts/{id}/cancel", json={"reason": "called yesterday"})
        assert (answer.json()["status"], answer.json()["closed_reason"]) == ("cancelled", "called yesterday")
        again = await http.post(f"/contacts/{id}/cancel", json={})
        assert (again.status_code, again.json()["code"]) == (409, "contact-cancelled")
        assert (await http.post("/contacts/nobody/cancel", json={})).status_code == 404
    await without_mail.work()
    assert len(await without_mail.contacts(purpose="win-back")) == 1
    [(_, suppressed)] = await without_mail.published("contact-suppressed")
    assert suppressed["reason"] == "called yesterday"


async def test_a_command_sent_again_has_one_effect(without_mail: Engagement) -> None:
    id = await planned_win_back(without_mail)
    async with without_mail.client() as http:
        headers = {"Idempotency-Key": "once"}
        first = await http.post(f"/contacts/{id}/complete", json={"outcome": "done"}, headers=headers)
        again = await http.post(f"/contacts/{id}/complete", json={"outcome": "done"}, headers=headers)
        assert (first.status_code, again.status_code) == (200, 200)
        assert again.headers["Idempotency-Replayed"] == "true"
    assert len(await without_mail.published("contact-sent")) == 1


async def test_staff_moves_a_contact_and_planning_leaves_it_there(without_mail: Engagement) -> None:
    id = await planned_win_back(without_mail)
    friday = (NOW + timedelta(days=7)).isoformat()
    async with without_mail.client() as http:
        moved = await http.post(f"/contacts/{id}/reschedule", json={"due_at": friday})
        assert moved.status_code == 200
        assert (await http.post(f"/contacts/{id}/reschedule", json={"due_at": NOW.isoformat()})).status_code == 422
        await without_mail.run("plan")
        assert (await http.get(f"/contacts/{id}")).json()["due_at"] == moved.json()["due_at"]


async def test_a_task_done_is_a_contact_made_and_the_rhythm_goes_on_from_there(without_mail: Engagement) -> None:
    id = await planned_win_back(without_mail)
    await without_mail.work()
    async with without_mail.client() as http:
        [task] = (await http.get("/tasks?kind=contact")).json()["items"]
        assert task["contact_id"] == id
        answer = await http.post(f"/tasks/{task['id']}/complete", json={"outcome": "done", "note": "will come by"})
        assert (answer.json()["status"], answer.json()["note"]) == ("done", "will come by")
        assert (await http.get("/tasks")).json()["items"] == []
        assert (await http.post(f"/tasks/{task['id']}/complete", json={})).status_code == 409
        assert (await http.get(f"/contacts/{id}")).json()["status"] == "done"
    await without_mail.run("plan")
    [cadence] = await without_mail.contacts(purpose="cadence")
    assert cadence["due_at"] == NOW + timedelta(days=7)
    [(_, sent)] = await without_mail.published("contact-sent")
    assert sent["provider"] == "staff"


async def test_decisions_say_why_and_why_not_with_the_earliest_time(without_mail: Engagement) -> None:
    await planned_win_back(without_mail)
    without_mail.clock.set(NOW + timedelta(hours=10))
    await without_mail.run("hand-over")
    async with without_mail.client() as http:
        items = (await http.get("/customers/pos:1/decisions")).json()["items"]
    quiet = next(item for item in items if item["gate"] == "quiet-hours")
    assert (quiet["passed"], quiet["policy_version"]) == (False, 1)
    assert quiet["fact"] == "22:00 in Asia/Taipei; quiet 21:00-09:00"
    assert quiet["earliest_at"] == "2026-11-21T01:00:00Z"


async def test_feedback_keeps_its_text_here_and_publishes_the_fact(without_mail: Engagement) -> None:
    body = {"customer_id": "pos:1", "channel": "web", "kind": "complaint", "text": "It came broken.", "rating": 1}
    async with without_mail.client("engagement:write", customer_id="pos:1") as http:
        answer = await http.post("/feedback", json=body, headers={"Idempotency-Key": "f"})
        assert (answer.status_code, answer.json()["text"]) == (201, "It came broken.")
        again = await http.post("/feedback", json=body, headers={"Idempotency-Key": "f"})
        assert (again.status_code, again.json()) == (201, answer.json())
        assert (await http.post("/feedback", json={**body, "customer_id": "pos:2"})).status_code == 404
        assert (await http.post("/feedback", json={**body, "rating": 6})).status_code == 422
    [row] = await without_mail.rows("SELECT key, value FROM outbox")
    assert b"broken" not in row["value"]
    await without_mail.take_records([record("feedback-received", complaint()[1])])
    published = (await without_mail.published("feedback-received"))[0][1]
    assert published["feedback_id"] == answer.json()["feedback_id"]


async def test_the_complaint_s_task_is_closed_by_whoever_answers_it(without_mail: Engagement) -> None:
    await without_mail.take(complaint())
    async with without_mail.client() as http:
        [task] = (await http.get("/tasks?kind=complaint")).json()["items"]
        assert (await http.post(f"/tasks/{task['id']}/complete", json={})).json()["status"] == "done"
        assert (await http.post("/tasks/nobody/complete", json={})).status_code == 404


async def test_every_operation_shows_an_example(without_mail: Engagement) -> None:
    async with without_mail.client() as http:
        document = (await http.get("/openapi.json")).json()
    for path, operations in document["paths"].items():
        if path.split("/")[1] in ("policies", "contacts", "customers", "tasks", "feedback"):
            for operation in operations.values():
                good = next(answer for code, answer in operation["responses"].items() if code.startswith("2"))
                assert "example" in good["content"]["application/json"], path
