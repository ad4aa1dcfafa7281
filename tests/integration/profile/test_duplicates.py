"""Who may be one person: suggested with what speaks for it, decided by staff."""

import asyncio
from typing import Any

from shared.db import fetch
from shared.messaging.envelope import read_event
from tests.integration.profile.house import Profile, token
from tests.integration.profile.test_identities import ask, make, merge, undo
from tests.kit.waiting import until

SERVICE = "profile"
CROWD = 5
"""By the first version of the policy."""


async def match(profile: Profile) -> None:
    """What the job does a moment later."""
    job = next(job for job in profile.service.runner.jobs if job.name == "match")
    await job.run()
    assert await job.next_due() is None


async def suggested(profile: Profile) -> list[dict[str, Any]]:
    await match(profile)
    answer = await profile.client.get("/duplicates")
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


def pairs(found: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    return [tuple(customer["customer_id"] for customer in one["customers"]) for one in found]


async def test_customers_who_share_an_address_are_suggested_with_what_speaks_for_it(profile: Profile) -> None:
    birthday = {"month": 8, "day": 15, "calendar": "lunar"}
    await make(profile, "a", name="Good Tea House", email="m@example.com", phone="0912345678", birthday=birthday)
    await make(profile, "b", name="house good tea", email="M@Example.com", phone="+886912345678", birthday=birthday)
    await make(profile, "c", name="Somebody Else", phone="0912 345 678")
    await make(profile, "d", name="Good Tea House", birthday=birthday)
    found = await suggested(profile)
    assert pairs(found) == [("a", "b"), ("a", "d"), ("b", "d"), ("a", "c"), ("b", "c")]
    assert [one["score"] for one in found] == [100, 55, 55, 50, 50]
    fields = [[evidence["field"] for evidence in one["evidence"]] for one in found]
    assert fields[0] == ["email", "phone", "name", "birthday"]
    assert fields[1:] == [["name", "birthday"]] * 2 + [["phone"]] * 2


async def test_the_longest_ids_make_a_pair_too(profile: Profile) -> None:
    await make(profile, "a" * 64, "b" * 64, email="x@example.com")
    (one,) = await suggested(profile)
    assert (await profile.client.post(f"/duplicates/{one['id']}/reject")).status_code == 200


async def test_an_address_of_a_crowd_is_nobodys_evidence(profile: Profile) -> None:
    for number in range(CROWD):
        await make(profile, f"c{number}", email="desk@example.com")
    assert len(await suggested(profile)) == CROWD * (CROWD - 1) // 2
    await make(profile, "one-more", email="desk@example.com")
    assert await suggested(profile) == []


async def test_a_rejected_pair_never_comes_back_not_even_under_another_id(profile: Profile) -> None:
    await make(profile, "a", "b", email="x@example.com")
    await make(profile, "z")
    (one,) = await suggested(profile)
    for _ in range(2):
        answer = await profile.client.post(f"/duplicates/{one['id']}/reject", headers={"Idempotency-Key": "k"})
        assert (answer.status_code, answer.json()) == (200, {"id": one["id"]})
    assert await suggested(profile) == []
    joined = await merge(profile, "a", "z")
    assert await suggested(profile) == []
    await make(profile, "d", email="x@example.com")
    assert pairs(await suggested(profile)) == [("b", "d"), ("d", "z")]
    await undo(profile, joined)
    assert pairs(await suggested(profile)) == [("a", "d"), ("b", "d")]
    refused = await profile.client.post(f"/duplicates/{one['id']}/accept", json={"into_id": "a"})
    assert (refused.status_code, refused.json()["code"]) == (409, "rejected")
    assert (await ask(profile, "b", "a")).status_code == 201


async def test_an_accepted_pair_is_merged_and_suggested_again_after_an_undo(profile: Profile) -> None:
    await make(profile, "a", "b", email="x@example.com")
    (one,) = await suggested(profile)
    accepted = [
        await profile.client.post(
            f"/duplicates/{one['id']}/accept", json={"into_id": "b"}, headers={"Idempotency-Key": "k"}
        )
        for _ in range(2)
    ]
    assert accepted[0].json() == accepted[1].json()
    assert [answer.status_code for answer in accepted] == [201, 201]
    assert await suggested(profile) == []
    assert (await profile.view("a"))["merged_into"] == "b"
    again = await profile.client.post(f"/duplicates/{one['id']}/accept", json={"into_id": "b"})
    assert (again.status_code, again.json()["code"]) == (409, "already-merged")
    await undo(profile, accepted[0].json()["id"])
    assert pairs(await suggested(profile)) == [("a", "b")]


async def test_what_is_no_pair_is_not_found_and_a_third_cannot_stay(profile: Profile) -> None:
    await make(profile, "a", "b", email="x@example.com")
    (one,) = await suggested(profile)
    third = await profile.client.post(f"/duplicates/{one['id']}/accept", json={"into_id": "c"})
    assert (third.status_code, third.json()["errors"][0]["pointer"]) == (422, "/into_id")
    assert (await profile.client.post("/duplicates/nothing/reject")).status_code == 404
    assert (await profile.client.get("/duplicates", headers=token("profile:read", "a"))).status_code == 403
    reader = token("profile:read")
    assert (await profile.client.post(f"/duplicates/{one['id']}/reject", headers=reader)).status_code == 403


async def test_pages_of_suggestions_hold_each_pair_once(profile: Profile) -> None:
    await asyncio.gather(*(make(profile, f"{side}{n}", email=f"e{n}@example.com") for n in range(7) for side in "ab"))
    seen: list[tuple[str, ...]] = []
    cursor = ""
    await match(profile)
    while cursor is not None:
        page = (await profile.client.get(f"/duplicates?limit=3{cursor and '&cursor='}{cursor}")).json()
        seen += pairs(page["items"])
        cursor = page["next_cursor"]
    assert seen == [(f"a{n}", f"b{n}") for n in range(7)]


async def test_a_rejection_leaves_nothing_of_who_is_erased_meanwhile_or_later(profile: Profile) -> None:
    await make(profile, "a", "b", "c", email="x@example.com")
    first, second = [one["id"] for one in await suggested(profile)][:2]
    key = {"Idempotency-Key": "k"}
    assert (await profile.client.post(f"/duplicates/{first}/reject", headers=key)).status_code == 200
    again = await profile.client.post(f"/duplicates/{first}/reject", headers=key)
    assert (again.json(), again.headers["Idempotency-Replayed"]) == ({"id": first}, "true")
    await profile.client.post("/customers/a/erasure", json={})
    [said] = await profile.published("customer-erased")
    event = read_event(said["value"], profile.clock.now())
    async with profile.service.db.transaction() as tx:
        await profile.service.intake.use_cases["customer-erased"](tx, [event])
        late = asyncio.create_task(profile.client.post(f"/duplicates/{second}/reject"))

        async def waits() -> Any:
            async with profile.service.db.transaction() as other:
                return await fetch(other, "SELECT 1 FROM pg_locks WHERE NOT granted") or late.done()

        await until(waits, what="the rejection at the lock")
    assert (await late).status_code == 404
    async with profile.service.db.transaction() as tx:
        assert await fetch(tx, "SELECT 1 FROM rejected_duplicates") == []
        kept = await fetch(tx, "SELECT resource_id FROM idempotency_keys")
    assert [row["resource_id"] for row in kept] == ["rejected"]
