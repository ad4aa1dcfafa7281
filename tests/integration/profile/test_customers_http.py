"""The customer file over HTTP: who may see it, how it changes, what of it leaves the service."""

from typing import Any

from tests.integration.profile.house import Profile, token
from tests.kit.builders import purchase, record

SERVICE = "profile"
PERSON = {
    "customer_id": "web:7",
    "name": "Planted Name",
    "email": "Planted@Example.com",
    "phone": "02-2345-6789",
    "birthday": {"month": 8, "day": 15, "calendar": "lunar"},
    "locale": "zh-TW",
    "time_zone": "Asia/Taipei",
    "tags": ["tea"],
    "attributes": {"shoe": 42},
}


async def create(profile: Profile, **fields: Any) -> Any:
    answer = await profile.client.post("/customers", json=PERSON | fields)
    assert answer.status_code == 201, answer.text
    return answer


async def test_a_file_is_made_normalised_and_announced_without_names(profile: Profile) -> None:
    made = (await create(profile)).json()
    assert (made["email"], made["phone"]) == ("planted@example.com", "+886223456789")
    assert made["birthday"] == {"month": 8, "day": 15, "calendar": "lunar", "leap_month": False}
    assert made | {"updated_at": ""} == await profile.view("web:7") | {"updated_at": ""}
    [event] = await profile.published("customer-registered")
    assert (event["key"], event["event"]["data"]["tags"]) == (b"web:7", ["tea"])
    assert event["event"]["data"]["sequence"] == 1


async def test_an_id_is_generated_where_none_is_given(profile: Profile) -> None:
    made = (await profile.client.post("/customers", json={"name": "Someone"})).json()
    assert made["customer_id"].startswith("c_")
    assert (await profile.view(made["customer_id"]))["name"] == "Someone"


async def test_a_file_that_was_met_by_an_event_is_filled_in_and_a_made_one_stays(profile: Profile) -> None:
    await profile.take(record("purchase-recorded", purchase("web:7")))
    assert (await create(profile)).json()["value"]["order_count"] == 1
    again = await profile.client.post("/customers", json=PERSON)
    assert (again.status_code, again.json()["code"]) == (409, "customer-exists")
    assert len(await profile.published("customer-registered")) == 1
    [changed] = await profile.published("customer-changed")
    assert (changed["event"]["data"]["sequence"], changed["event"]["data"]["locale"]) == (2, "zh-TW")


async def test_a_post_that_is_sent_again_makes_one_file(profile: Profile) -> None:
    headers = {"Idempotency-Key": "k-1"}
    first = await profile.client.post("/customers", json={"name": "A"}, headers=headers)
    again = await profile.client.post("/customers", json={"name": "A"}, headers=headers)
    other = await profile.client.post("/customers", json={"name": "B"}, headers=headers)
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (201, "true")
    assert again.json() == first.json()
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")
    assert len(await profile.published("customer-registered")) == 1


async def test_a_bad_field_is_named(profile: Profile) -> None:
    bad: dict[str, dict[str, Any]] = {
        "/email": {"email": "nobody"},
        "/phone": {"phone": "12"},
        "/customer_id": {"customer_id": "a b"},
        "/contact_points/0/value": {"contact_points": [{"kind": "email", "value": "x"}]},
        "/birthday": {"birthday": {"month": 2, "day": 30}},
        "/points": {"points": 5},
        "/time_zone": {"time_zone": "Mars/Base"},
        "/name": {"name": "a\u0000b"},
    }
    assert {pointer: await refusal(profile, "POST", "/customers", field) for pointer, field in bad.items()} == {
        pointer: (422, pointer) for pointer in bad
    }


async def refusal(profile: Profile, method: str, path: str, body: Any) -> tuple[int, str]:
    answer = await profile.client.request(method, path, json=body, headers={"If-Match": "*"})
    return answer.status_code, answer.json()["errors"][0]["pointer"]


async def test_a_merge_patch_changes_what_it_names(profile: Profile) -> None:
    tag = (await create(profile)).headers["ETag"]
    patch = {"tags": ["vip"], "locale": None, "email": "new@example.com", "birthday": {"day": 16}, "phone": None}
    answer = await profile.client.patch(
        "/customers/web:7", json=patch, headers={"If-Match": tag, "Content-Type": "application/merge-patch+json"}
    )
    view = answer.json()
    assert answer.status_code == 200, answer.text
    assert (view["tags"], view["locale"], view["name"]) == (["vip"], None, "Planted Name")
    assert view["birthday"] == {"month": 8, "day": 16, "calendar": "lunar", "leap_month": False}
    assert [point["value"] for point in view["contact_points"]] == ["new@example.com"]
    assert view["attributes"] == {"shoe": 42}
    assert view == await profile.view("web:7")
    [event] = await profile.published("customer-changed")
    assert event["event"]["data"]["tags"] == ["vip"]


async def test_the_day_to_verify_a_file_by_is_announced_as_the_view_tells_it_when_an_address_alone_changed(
    profile: Profile,
) -> None:
    profile.clock.set(profile.clock.now().replace(hour=20))
    tag = (await create(profile)).headers["ETag"]
    days = [(await profile.view("web:7"))["quality"]["verify_by"]]
    points = [{"kind": kind, "value": PERSON[kind], "verified": True} for kind in ("email", "phone")]
    answer = await profile.client.patch("/customers/web:7", json={"contact_points": points}, headers={"If-Match": tag})
    assert answer.status_code == 200, answer.text
    days.append(answer.json()["quality"]["verify_by"])
    assert days[0] < days[1]
    told = [*await profile.published("customer-registered"), *await profile.published("customer-changed")]
    assert [row["event"]["data"]["verify_by"] for row in told] == days


async def test_a_patch_needs_the_version_it_changes(profile: Profile) -> None:
    tag = (await create(profile)).headers["ETag"]
    change = {"tags": ["vip"]}
    assert (await profile.client.patch("/customers/web:7", json=change)).status_code == 428
    first = await profile.client.patch("/customers/web:7", json=change, headers={"If-Match": tag})
    late = await profile.client.patch("/customers/web:7", json={"tags": []}, headers={"If-Match": tag})
    assert (late.status_code, late.headers["ETag"]) == (412, first.headers["ETag"])
    assert (await profile.client.patch("/customers/no", json=change, headers={"If-Match": "*"})).status_code == 404


async def test_the_etag_is_that_of_the_editable_file_alone(profile: Profile) -> None:
    tag = (await create(profile)).headers["ETag"]
    await profile.take(record("purchase-recorded", purchase("web:7")))
    assert (await profile.client.get("/customers/web:7")).headers["ETag"] == tag


async def test_a_bad_patch_is_refused_with_its_place(profile: Profile) -> None:
    await create(profile)
    bad: dict[str, dict[str, Any]] = {
        "/value": {"value": {}},
        "/customer_id": {"customer_id": "other"},
        "/birthday": {"birthday": {"month": 9, "day": 31, "calendar": "solar"}},
        "/email": {"email": "nobody"},
        "/tags/0": {"tags": ["a\nb"]},
        "/name": {"kind": None, "name": 5},
        "/contact_points/0/value": {"contact_points": [{"kind": "phone", "value": "1"}]},
    }
    path = "/customers/web:7"
    assert {pointer: await refusal(profile, "PATCH", path, patch) for pointer, patch in bad.items()} == {
        pointer: (422, pointer) for pointer in bad
    }


async def test_a_patch_that_is_no_object_is_a_4xx(profile: Profile) -> None:
    await create(profile)
    headers = {"If-Match": "*", "Content-Type": "application/json"}
    for body in (b"[]", b"null", b"5", b"{", b""):
        answer = await profile.client.patch("/customers/web:7", content=body, headers=headers)
        assert answer.status_code in (400, 422), body


async def test_a_customer_sees_himself_and_nobody_else(profile: Profile) -> None:
    await create(profile)
    for path in ("", "/timeline", "/purchases", "/consents"):
        mine = f"/customers/web:7{path}"
        assert (await profile.client.get(mine, headers={"Authorization": ""})).status_code == 401
        assert (await profile.client.get(mine, headers=token("loyalty:read"))).status_code == 403
        assert (await profile.client.get(mine, headers=token("profile:read", "web:8"))).status_code == 404
        assert (await profile.client.get(mine, headers=token("profile:read", "web:7"))).status_code == 200
        assert (await profile.client.get(mine.replace("web:7", "no"))).status_code == 404
        assert (await profile.client.get(mine.replace("web:7", "a b"))).status_code == 422


async def test_lists_and_edits_are_for_staff(profile: Profile) -> None:
    await create(profile)
    own = token("profile:read profile:write", "web:7")
    assert (await profile.client.get("/customers", headers=own)).status_code == 403
    assert (await profile.client.post("/customers", json={}, headers=own)).status_code == 403
    patched = await profile.client.patch("/customers/web:7", json={}, headers=own | {"If-Match": "*"})
    assert patched.status_code == 403


async def test_pages_follow_one_another_without_gap(profile: Profile) -> None:
    for number in range(5):
        await create(profile, customer_id=f"web:{number}")
    seen, cursor = [], None
    for _ in range(3):
        params = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = (await profile.client.get("/customers", params=params)).json()
        seen += [row["customer_id"] for row in page["items"]]
        cursor = page["next_cursor"]
    assert (seen, cursor) == ([f"web:{number}" for number in range(5)], None)


async def test_a_customer_may_say_how_he_wants_to_be_reached_and_engagement_hears_of_it(profile: Profile) -> None:
    await profile.client.post("/customers", json={"customer_id": "a", "name": "Example Customer"})
    own, other = token("profile:read profile:write", "a"), token("profile:read profile:write", "b")
    path, wishes = "/customers/a/preferences", {"channel": "phone", "hours": "10:00-12:00", "frequency": 14}
    before = await profile.client.get(path, headers=own)
    assert before.json() == {"channel": None, "hours": None, "frequency": None}
    match = {"If-Match": before.headers["ETag"]}
    assert (await profile.client.put(path, json=wishes, headers=own)).status_code == 428
    assert (await profile.client.put(path, json=wishes, headers={**other, **match})).status_code == 404
    said = await profile.client.put(path, json=wishes, headers={**own, **match})
    assert (said.status_code, said.json()) == (200, wishes)
    assert (await profile.client.put(path, json=wishes, headers={**own, **match})).status_code == 412
    view = await profile.view("a")
    assert [view[f"preferred_{name}"] for name in ("channel", "hours", "every_days")] == ["phone", "10:00-12:00", 14]
    assert view["name"] == "Example Customer"
    changed = (await profile.published("customer-changed"))[-1]["event"]["data"]
    assert (changed["preferred_channel"], changed["preferred_every_days"]) == ("phone", 14)
    assert (await profile.client.get("/customers/b/preferences", headers=other)).status_code == 404


async def test_nobody_is_in_a_segment_that_does_not_exist(profile: Profile) -> None:
    await profile.client.post("/customers", json={"customer_id": "a"})
    assert (await profile.client.get("/customers", params={"segment": "vip"})).json()["items"] == []
