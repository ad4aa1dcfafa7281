"""Notes: written once, by whoever's token it is, for staff alone."""

from datetime import timedelta
from typing import Any

from tests.integration.profile.house import Profile, token
from tests.kit.builders import NOW

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
