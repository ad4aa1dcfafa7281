"""Fields that a survivor's file lacks are read from the files that were joined to it."""

from datetime import timedelta

from tests.integration.profile.house import Profile
from tests.integration.profile.test_identities import later, make, merge, undo
from tests.kit.builders import NOW

SERVICE = "profile"
BIRTHDAY = {"month": 8, "day": 15, "calendar": "lunar", "leap_month": False}


async def patch(profile: Profile, customer: str, **fields: object) -> None:
    etag = (await profile.client.get(f"/customers/{customer}")).headers["ETag"]
    answer = await profile.client.patch(f"/customers/{customer}", json=fields, headers={"If-Match": etag})
    assert answer.status_code == 200, answer.text


async def test_empty_fields_are_filled_by_the_newest_truth_and_an_undo_gives_both_files_back(profile: Profile) -> None:
    await make(profile, "till", name="Till", attributes={"shoe": 42})
    shared = {"name": "Web", "locale": "zh-TW", "email": "web@example.com"}
    await make(profile, "web", **shared, birthday=BIRTHDAY, attributes={"shoe": 40, "hat": 7}, team={"analyst": "s:1"})
    long_ago = (NOW - timedelta(days=90)).isoformat()
    await make(profile, "app", as_of=long_ago, locale="en", phone="0912345678", birthday=BIRTHDAY | {"day": 1})
    alone = {who: await profile.view(who) for who in ("till", "web", "app")}
    merges = [await merge(profile, who, "till") for who in ("app", "web")]

    joined = await profile.view("web")
    assert (joined["customer_id"], joined["merged_into"]) == ("till", "till")
    assert (joined["name"], joined["locale"], joined["birthday"]) == ("Till", "zh-TW", BIRTHDAY)
    assert (joined["email"], joined["phone"]) == ("web@example.com", "+886912345678")
    assert (joined["attributes"], joined["team"]) == ({"shoe": 42, "hat": 7}, {"analyst": "s:1"})
    assert joined["filled_from"] == {
        "attributes.hat": "web", "birthday": "web", "contact_points.email": "web", "contact_points.phone": "app",
        "locale": "web", "team.analyst": "web",
    }  # fmt: skip
    answer = await profile.client.get("/customers/app/history", params={"field": "locale"})
    told = [(said["customer_id"], said["value"], said["stands"]) for said in answer.json()["items"]]
    assert told == [("web", "zh-TW", True), ("app", "en", True)]
    missing = {fault["field"] for fault in joined["quality"]["reasons"] if fault["code"] == "missing"}
    assert missing.isdisjoint({"email", "phone", "birthday", "locale"})

    later(profile)
    await patch(profile, "web", tags=["vip"])
    assert (await profile.view("till"))["filled_from"] == joined["filled_from"]
    for made in reversed(merges):
        await undo(profile, made)
    after = {who: await profile.view(who) for who in alone}
    assert {who: after[who] for who in ("web", "app")} == {who: alone[who] for who in ("web", "app")}
    kept = {**after["till"], "tags": [], "updated_at": alone["till"]["updated_at"]}
    assert (kept, after["till"]["tags"]) == (alone["till"], ["vip"])


async def test_what_was_taken_away_stays_away_until_it_is_true_again(profile: Profile) -> None:
    await make(profile, "web", occupation="teacher")
    await make(profile, "till")
    await merge(profile, "web", "till")
    later(profile)
    await patch(profile, "till", occupation=None)
    view = await profile.view("till")
    assert (view["occupation"], view["filled_from"]) == (None, {})
