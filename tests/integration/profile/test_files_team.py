"""Who of the staff has a customer: the owner, the roles of the team, and handing them over."""

import pytest

from tests.integration.profile.house import Profile, token

SERVICE = "profile"
TEAM = {"analyst": "staff:2", "after-sales": "staff:3"}


async def test_a_team_is_written_role_by_role_and_announced(profile: Profile) -> None:
    made = await profile.client.post("/customers", json={"customer_id": "a", "owner": "staff:1", "team": TEAM})
    assert (made.status_code, made.json()["team"]) == (201, TEAM)
    patch = {"team": {"analyst": None, "account-manager": "staff:4"}}
    changed = await profile.client.patch("/customers/a", json=patch, headers={"If-Match": "*"})
    assert changed.json()["team"] == {"after-sales": "staff:3", "account-manager": "staff:4"}
    assert (await profile.published("customer-registered"))[0]["event"]["data"]["team"] == TEAM
    assert (await profile.published("customer-changed"))[0]["event"]["data"]["team"] == changed.json()["team"]
    for bad in ({"team": {"boss": "staff:1"}}, {"team": {"analyst": ""}}, {"team": ["staff:1"]}):
        assert (await profile.client.patch("/customers/a", json=bad, headers={"If-Match": "*"})).status_code == 422


@pytest.mark.parametrize("role", ["owner", "analyst"])
async def test_all_customers_of_one_person_go_to_another_in_batches(
    profile: Profile, role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.profile.customers.application.HANDED_AT_ONCE", 2)
    for number in range(5):
        fields = {"owner": "staff:1", "team": TEAM | {"analyst": "staff:1"}}
        await profile.client.post("/customers", json={"customer_id": f"c{number}", "name": "A", **fields})
    other = {"customer_id": "x", "owner": "staff:5", "team": {"account-manager": "staff:1"}}
    await profile.client.post("/customers", json=other)
    tag = (await profile.client.get("/customers/c0")).headers["ETag"]
    asked = {"from": "staff:1", "to": "staff:9", "role": role}
    key = {"Idempotency-Key": "k"}
    done = await profile.client.post("/customers/hand-over", json=asked, headers=key)
    assert (done.status_code, done.json()) == (200, {"moved": 5})
    again = await profile.client.post("/customers/hand-over", json=asked, headers=key)
    assert (again.json(), again.headers["Idempotency-Replayed"]) == ({"moved": 5}, "true")
    assert (await profile.client.post("/customers/hand-over", json=asked)).json() == {"moved": 0}
    for number in range(5):
        view = await profile.view(f"c{number}")
        assert (view["owner"] if role == "owner" else view["team"][role]) == "staff:9"
        assert (view["team"]["analyst"] if role == "owner" else view["owner"]) == "staff:1"
        assert view["name"] == "A"
    assert {name: (await profile.view("x"))[name] for name in other} == other
    events = await profile.published("customer-changed")
    assert sorted(event["event"]["data"]["customer_id"] for event in events) == [f"c{number}" for number in range(5)]
    assert (await profile.client.get("/customers/c0")).headers["ETag"] != tag
    field = "owner" if role == "owner" else "team.analyst"
    told = (await profile.client.get("/customers/c0/history", params={"field": field})).json()["items"]
    assert [(said["value"], said["stands"]) for said in told] == [("staff:9", True), ("staff:1", False)]


async def test_a_hand_over_holds_against_what_was_said_of_tomorrow(profile: Profile) -> None:
    ahead = {"customer_id": "a", "owner": "staff:1", "as_of": "2026-11-21T03:00:00Z"}
    assert (await profile.client.post("/customers", json=ahead)).status_code == 201
    asked = {"from": "staff:1", "to": "staff:2"}
    assert (await profile.client.post("/customers/hand-over", json=asked)).json() == {"moved": 1}
    assert (await profile.view("a"))["owner"] == "staff:2"


async def test_handing_over_is_for_staff_and_to_somebody_else(profile: Profile) -> None:
    asked = {"from": "staff:1", "to": "staff:2"}
    own = token("profile:read profile:write", "a")
    assert (await profile.client.post("/customers/hand-over", json=asked, headers=own)).status_code == 403
    for bad in ({"from": "staff:1", "to": "staff:1"}, {"to": "staff:1"}, asked | {"role": "boss"}):
        assert (await profile.client.post("/customers/hand-over", json=bad)).status_code == 422
