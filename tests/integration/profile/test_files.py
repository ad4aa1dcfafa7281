"""Every field of a file has a source and a time: what is true since latest stands, whenever it was written."""

import asyncio
import json
import random
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from shared.db import execute
from shared.migrations import upgrade
from tests.integration.profile.house import Profile, token
from tests.kit import builders
from tests.kit.builders import NOW
from tests.kit.databases import Databases

SERVICE = "profile"


async def patch(profile: Profile, customer: str = "a", **fields: Any) -> dict[str, Any]:
    answer = await profile.client.patch(f"/customers/{customer}", json=fields, headers={"If-Match": "*"})
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


async def create(profile: Profile, customer: str = "a", **fields: Any) -> dict[str, Any]:
    answer = await profile.client.post("/customers", json={"customer_id": customer, **fields})
    assert answer.status_code == 201, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


async def history(profile: Profile, field: str | None = None, customer: str = "a") -> list[dict[str, Any]]:
    """All pages, of two entries each."""
    items: list[dict[str, Any]] = []
    params: dict[str, Any] = {"limit": 2} | ({"field": field} if field else {})
    while True:
        answer = await profile.client.get(f"/customers/{customer}/history", params=params)
        assert answer.status_code == 200, answer.text
        items += answer.json()["items"]
        if (cursor := answer.json()["next_cursor"]) is None:
            return items
        params["cursor"] = cursor


async def test_what_is_true_since_earlier_is_kept_and_does_not_stand(profile: Profile) -> None:
    await create(profile, name="New", as_of=builders.at(10), source="crm")
    before = await profile.client.get("/customers/a")
    shown = await patch(profile, name="Old", locale="en", as_of=builders.at(20), source="till")
    assert (shown["name"], shown["locale"]) == ("New", "en")
    told = [(said["value"], said["source"], said["stands"]) for said in await history(profile, "name")]
    assert told == [("New", "crm", True), ("Old", "till", False)]
    late = await patch(profile, name="Older", as_of=builders.at(30))
    after = await profile.client.get("/customers/a")
    assert (late["name"], late["updated_at"]) == ("New", after.json()["updated_at"])
    assert int(after.headers["ETag"].strip('"')) == int(before.headers["ETag"].strip('"')) + 1


async def test_of_two_values_with_one_time_the_last_written_stands(profile: Profile) -> None:
    await create(profile, name="One", as_of=builders.at(5))
    assert (await patch(profile, name="Two", as_of=builders.at(5)))["name"] == "Two"
    assert [said["stands"] for said in await history(profile, "name")] == [True, False]


async def test_a_value_said_again_is_true_since_the_later_time(profile: Profile) -> None:
    await create(profile, name="Same", as_of=builders.at(9))
    version = (await profile.client.get("/customers/a")).headers["ETag"]
    await patch(profile, name="Same", as_of=builders.at(3))
    assert (await profile.client.get("/customers/a")).headers["ETag"] == version
    assert (await patch(profile, name="Between", as_of=builders.at(6)))["name"] == "Same"


async def test_without_more_said_a_field_is_the_word_of_the_token_and_true_now(profile: Profile) -> None:
    await create(profile, name="A", attributes={"shoe": 42})
    own = token("profile:read profile:write", "a") | {"If-Match": "*"}
    wished = await profile.client.put("/customers/a/preferences", json={"channel": "email"}, headers=own)
    assert wished.status_code == 200
    told = {said["field"]: said for said in await history(profile)}
    assert told.keys() == {
        "name", "attributes.shoe", "preferred_channel", "preferred_hours", "preferred_every_days",
    }  # fmt: skip
    assert {said["source"] for said in told.values()} == {"developer"}
    assert told["attributes.shoe"]["value"] == 42
    assert {said["true_at"] for said in told.values()} == {NOW.isoformat().replace("+00:00", "Z")}


async def test_attributes_and_addresses_of_each_kind_have_times_of_their_own(profile: Profile) -> None:
    await create(profile, email="new@example.com", attributes={"shoe": 43}, as_of=builders.at(1))
    old: dict[str, Any] = {"email": "old@example.com", "phone": "+886223456789", "attributes": {"shoe": 42, "hat": 7}}
    shown = await patch(profile, **old, as_of=builders.at(2))
    assert (shown["email"], shown["phone"]) == ("new@example.com", "+886223456789")
    assert shown["attributes"] == {"shoe": 43, "hat": 7}
    gone = await patch(profile, attributes={"hat": None})
    assert gone["attributes"] == {"shoe": 43}
    assert (await patch(profile, attributes={"hat": 8}, as_of=builders.at(1)))["attributes"] == {"shoe": 43}
    assert [said["value"] for said in await history(profile, "attributes.hat")] == [None, 8, 7]
    emptied = await patch(profile, contact_points=[], attributes=None)
    assert (emptied["contact_points"], emptied["attributes"]) == ([], {})
    assert {said["field"] for said in await history(profile, "contact_points")} == {
        f"contact_points.{kind}" for kind in ("email", "phone", "messaging", "post")
    }


VALUES: dict[str, list[Any]] = {
    "name": ["Anyone", "Someone", None],
    "email": ["a@example.com", "b@example.com", None],
    "phone": ["+886223456789", "+886912345678", None],
    "birthday": [{"month": 8, "day": 15, "calendar": "lunar", "leap_month": False}, None],
    "tags": [["tea"], ["vip", "tea"], []],
    "owner": ["staff:1", "staff:2"],
    "interests": [["walks"], []],
}


def writes(dice: random.Random) -> list[dict[str, Any]]:
    """Writes of some fields each, no two true since the same time."""
    found = []
    for number in range(dice.randrange(2, 8)):
        fields = {name: dice.choice(VALUES[name]) for name in dice.sample(sorted(VALUES), dice.randrange(1, 4))}
        worn = {key: dice.choice([1, "x", None]) for key in dice.sample("abc", dice.randrange(0, 3))}
        said = {"attributes": worn} if worn else {}
        found.append({**fields, **said, "as_of": builders.at(number + dice.random())})
    return found


@pytest.mark.parametrize("seed", range(25))
async def test_the_same_writes_in_any_order_give_the_same_file(profile: Profile, seed: int) -> None:
    dice = random.Random(seed)
    said = writes(dice)
    files = []
    for order in range(4):
        await create(profile, f"c{order}")
        for write in dice.sample(said, len(said)):
            shown = await patch(profile, f"c{order}", **write)
        told = {(one["field"], str(one["value"]), one["true_at"], one["stands"])
                for one in await history(profile, customer=f"c{order}")}  # fmt: skip
        differ = {"customer_id": None, "created_at": None, "updated_at": None}
        files.append((shown | differ, told))
    assert all(one == files[0] for one in files)


async def test_nothing_is_true_only_from_the_day_after_tomorrow_on(profile: Profile) -> None:
    await create(profile, name="A")
    ahead = (NOW + timedelta(hours=24, seconds=1)).isoformat()
    for bad, code in ((ahead, "as-of-ahead"), ("yesterday", "invalid-request"), ("1850-01-01T00:00:00Z", None)):
        for method, path in (("PATCH", "/customers/a"), ("POST", "/customers")):
            answer = await profile.client.request(
                method, path, json={"name": "B", "as_of": bad}, headers={"If-Match": "*"}
            )
            assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/as_of")
            assert code is None or answer.json()["code"] == code
    assert (await patch(profile, name="C", as_of=(NOW + timedelta(hours=24)).isoformat()))["name"] == "C"
    assert len(await history(profile, "name")) == 2


async def test_the_history_is_for_staff_and_of_a_customer_who_is_there(profile: Profile) -> None:
    await create(profile, name="A")
    own = token("profile:read", "a")
    assert (await profile.client.get("/customers/a/history", headers=own)).status_code == 403
    assert (await profile.client.get("/customers/b/history")).status_code == 404
    assert (await profile.client.get("/customers/a/history", params={"cursor": "x"})).status_code == 422


async def test_the_history_cannot_be_changed(profile: Profile) -> None:
    await create(profile, name="A")
    with pytest.raises(Exception, match="permission denied"):
        async with profile.service.db.transaction() as tx:
            await execute(tx, "UPDATE file_fields SET source = 'other'")


async def test_two_edits_at_once_both_hold(profile: Profile) -> None:
    await create(profile, name="A", email="old@example.com")
    for round_ in range(5):
        await asyncio.gather(
            patch(profile, email=f"new{round_}@example.com"), patch(profile, tags=[f"t{round_}"]),
            patch(profile, phone=f"+88622345678{round_}"), patch(profile, attributes={f"k{round_}": round_}),
        )  # fmt: skip
        view = await profile.view("a")
        assert (view["email"], view["phone"]) == (f"new{round_}@example.com", f"+88622345678{round_}")
        assert (view["tags"], view["attributes"][f"k{round_}"]) == ([f"t{round_}"], round_)


async def test_no_event_says_who_said_what(profile: Profile) -> None:
    await create(profile, name="Planted", as_of=builders.at(2), source="planted-source")
    await patch(profile, tags=["tea"], as_of=builders.at(1), source="planted-source")
    for row in await profile.published():
        assert b"lanted" not in bytes(row["value"])


async def test_files_from_before_sources_were_kept_get_a_history(databases: Databases) -> None:
    async with databases.fresh(None) as empty:
        await upgrade("profile", empty.owner_dsn, "roost_service", to="0003")
        owner = await asyncpg.connect(empty.owner_dsn)
        await owner.execute(FROM_BEFORE)
        await upgrade("profile", empty.owner_dsn, "roost_service", to="0004")
        kept = await owner.fetch("SELECT field, value, true_at FROM file_fields ORDER BY field")
        said_at = await owner.fetchval("SELECT said_at::text FROM customers WHERE customer_id = 'a'")
        await owner.close()
    assert [(row["field"], row["value"]) for row in kept] == [
        ("attributes.shoe", "42"),
        ("contact_points.email", '[{"kind": "email", "value": "a@example.com", "verified": false}]'),
        ("kind", '"person"'), ("name", '"A"'), ("tags", '["tea"]'),
    ]  # fmt: skip
    assert {row["true_at"] for row in kept} == {NOW}
    assert json.loads(said_at).keys() == {row["field"] for row in kept}


FROM_BEFORE = f"""
INSERT INTO customers (customer_id, name, tags, attributes, created_at, updated_at)
VALUES ('a', 'A', '{{tea}}', '{{"shoe": 42}}', '{NOW}', '{NOW}');
INSERT INTO customers (customer_id, bare, created_at, updated_at) VALUES ('b', true, '{NOW}', '{NOW}');
INSERT INTO contact_points VALUES ('a', 1, 'email', 'a@example.com', false);
"""


async def test_the_view_says_how_far_a_file_can_be_relied_on_and_when_to_verify_it(profile: Profile) -> None:
    points = [{"kind": "email", "value": "a@example.com", "verified": True}]
    await create(profile, name="A", contact_points=points, locale="en", as_of=builders.at(400))
    told = (await profile.view("a"))["quality"]
    assert (told["score"], told["verify_by"]) == (40, (NOW - timedelta(days=400 - 365)).date().isoformat())
    assert {"code": "outdated", "field": "email", "points": 10} in told["reasons"]
    again = await patch(profile, contact_points=points)
    assert (again["quality"]["score"], again["quality"]["verify_by"]) == (
        50, (NOW + timedelta(days=365)).date().isoformat()
    )  # fmt: skip
