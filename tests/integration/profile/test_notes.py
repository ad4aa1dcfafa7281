"""Notes: written once, by whoever's token it is, for staff alone."""

from datetime import timedelta
from typing import Any

from tests.integration.profile.house import Profile, token
from tests.kit.builders import NOW, purchase, record

SERVICE = "profile"
PATH = "/customers/a/notes"


async def write(profile: Profile, text: str, path: str = PATH, **headers: str) -> Any:
    answer = await profile.client.post(path, json={"text": text}, headers=headers)
    assert answer.status_code == 201, answer.text
    return answer


async def test_notes_are_read_newest_first_in_pages_with_their_author(profile: Profile) -> None:
    await profile.client.post("/customers", json={"customer_id": "a"})
    for number in range(5):
        profile.clock.set(NOW + timedelta(minutes=number // 2))
        await write(profile, f"No. {number}")
    seen: list[dict[str, Any]] = []
    params: dict[str, Any] = {"limit": 2}
    while True:
        page = (await profile.client.get(PATH, params=params)).json()
        seen += page["items"]
        if (cursor := page["next_cursor"]) is None:
            break
        params["cursor"] = cursor
    assert sorted(note["text"] for note in seen) == [f"No. {number}" for number in range(5)]
    assert [note["written_at"] for note in seen] == sorted((note["written_at"] for note in seen), reverse=True)
    assert seen[0]["text"] == "No. 4"
    assert {note["author"] for note in seen} == {"developer"}


async def test_a_note_sent_again_is_written_once(profile: Profile) -> None:
    await profile.client.post("/customers", json={"customer_id": "a"})
    key = {"Idempotency-Key": "k"}
    first, again = await write(profile, "Once", **key), await write(profile, "Once", **key)
    assert (again.json(), again.headers["Idempotency-Replayed"]) == (first.json(), "true")
    assert len((await profile.client.get(PATH)).json()["items"]) == 1


async def test_notes_are_for_staff_and_on_a_customer_who_is_there(profile: Profile) -> None:
    await profile.client.post("/customers", json={"customer_id": "a"})
    own = token("profile:read profile:write", "a")
    assert (await profile.client.get(PATH, headers=own)).status_code == 403
    assert (await profile.client.post(PATH, json={"text": "x"}, headers=own)).status_code == 403
    assert (await profile.client.post("/customers/b/notes", json={"text": "x"})).status_code == 404
    assert (await profile.client.get("/customers/b/notes")).status_code == 404
    for text in ("", "x" * 4001, None):
        refused = await profile.client.post(PATH, json={"text": text})
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/text")
    await write(profile, "猫" * 4000)


async def test_a_note_is_no_event(profile: Profile) -> None:
    await profile.client.post("/customers", json={"customer_id": "a"})
    before = await profile.published()
    await write(profile, "Planted")
    assert await profile.published() == before


async def test_staff_read_notes_in_the_story_and_the_customer_does_not(profile: Profile) -> None:
    await profile.take(record("purchase-recorded", purchase("a", days_ago=1)))
    note = (await write(profile, "Planted")).json()
    await profile.take(record("purchase-recorded", purchase("a", order_id="later")))
    profile.clock.set(NOW + timedelta(hours=1))
    last = (await write(profile, "Last")).json()

    async def story(**asked: Any) -> list[dict[str, Any]]:
        answer = await profile.client.get("/customers/a/timeline", **asked)
        assert answer.status_code == 200, answer.text
        items: list[dict[str, Any]] = answer.json()["items"]
        return items

    everything = await story()
    assert everything[0] == {
        "kind": "note", "occurred_at": last["written_at"], "source": "/roost/profile", "id": last["note_id"],
        "data": {"note_id": last["note_id"], "customer_id": "a", "text": "Last", "author": "developer"},
    }  # fmt: skip
    assert sorted(entry["kind"] for entry in everything) == ["note", "note", "purchase-recorded", "purchase-recorded"]
    assert [entry["id"] for entry in await story(params={"kinds": "note"})] == [last["note_id"], note["note_id"]]
    assert {entry["kind"] for entry in await story(params={"kinds": "purchase-recorded"})} == {"purchase-recorded"}
    assert [entry["id"] for entry in await story(params={"before": last["written_at"], "kinds": "note"})] == [
        note["note_id"]
    ]
    own = token("profile:read", "a")
    assert {entry["kind"] for entry in await story(headers=own)} == {"purchase-recorded"}
    assert await story(headers=own, params={"kinds": "note"}) == []
    paged, cursor = [], None
    for _ in range(4):
        params = {"limit": "1"} | ({"cursor": cursor} if cursor else {})
        answer = await profile.client.get("/customers/a/timeline", params=params)
        paged += answer.json()["items"]
        cursor = answer.json()["next_cursor"]
    assert (paged, cursor) == (everything, None)


async def test_notes_on_every_id_of_a_person_are_read_together(profile: Profile) -> None:
    for customer in ("a", "b"):
        await profile.client.post("/customers", json={"customer_id": customer})
        await write(profile, f"On {customer}", f"/customers/{customer}/notes")
    await profile.client.post("/merges", json={"from_id": "a", "into_id": "b"})
    after = (await write(profile, "Afterwards")).json()
    assert after["customer_id"] == "b"
    for path in ("/customers/a", "/customers/b"):
        notes = (await profile.client.get(f"{path}/notes")).json()["items"]
        story = (await profile.client.get(f"{path}/timeline", params={"kinds": "note"})).json()["items"]
        assert {note["text"] for note in notes} == {"On a", "On b", "Afterwards"}
        assert [entry["id"] for entry in story] == [note["note_id"] for note in notes]
