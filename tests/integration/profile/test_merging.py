"""Files that carry the same verified key are joined by rule: once, never against what somebody decided."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.profile.identities.domain import Side, stays_first
from tests.integration.profile.house import Profile
from tests.integration.profile.test_duplicates import CROWD, match, pairs, suggested
from tests.integration.profile.test_filling import patch
from tests.integration.profile.test_identities import ask, bought, consent, later, make, own_events, say, undo
from tests.kit.builders import NOW

SERVICE = "profile"
NO = {"granted": False, "source": "account-page", "wording_version": "2026-1"}
YES = NO | {"granted": True}


def verified(kind: str = "email", value: str = "x@example.com") -> dict[str, Any]:
    return {"contact_points": [{"kind": kind, "value": value, "verified": True}]}


async def merges(profile: Profile) -> list[dict[str, Any]]:
    """What was joined by rule or by staff, as ``GET /merges/{id}`` tells it."""
    told = [row["event"]["data"]["merge_id"] for row in await profile.published("customer-merged")]
    return [(await profile.client.get(f"/merges/{merge_id}")).json() for merge_id in told]


async def joined(profile: Profile) -> list[tuple[str, str]]:
    await match(profile)
    return [(one["from_id"], one["into_id"]) for one in await merges(profile)]


async def put(profile: Profile, name: str, **numbers: Any) -> httpx.Response:
    known = await profile.client.get(f"/policies/{name}")
    body = known.json()["versions"][0]["numbers"] | numbers
    return await profile.client.put(f"/policies/{name}", json=body, headers={"If-Match": known.headers["ETag"]})


async def identify(profile: Profile, customer: str, **identifier: Any) -> httpx.Response:
    return await profile.client.post(f"/customers/{customer}/identifiers", json=identifier)


async def test_the_older_file_stays_and_the_merge_tells_its_reason(profile: Profile) -> None:
    await make(profile, "old", name="A", **verified())
    later(profile)
    await make(profile, "new", name="B", **verified())
    await profile.take(bought("new", "o1", "100", 1))
    await match(profile)
    (made,) = await merges(profile)
    assert (made["from_id"], made["into_id"], made["automatic"]) == ("new", "old", True)
    assert made["reason"] == {"rule": "merging", "policy_version": 1, "verified": ["email"]}
    assert (await profile.view("new"))["value"]["order_count"] == 1
    assert (await profile.published("customer-merged"))[0]["event"]["data"]["caused_by"]["source"] == (
        "/roost/profile/merging"
    )
    await profile.take(*await own_events(profile, ["customer-merged"]))
    await match(profile)
    assert len(await merges(profile)) == 1
    assert await suggested(profile) == []


@given(st.permutations([Side("a", NOW, 2), Side("b", NOW, 1), Side("c", NOW - timedelta(1), 0), Side("d", NOW, 2)]))
@settings(max_examples=24)
def test_who_stays_is_the_same_in_any_order(sides: list[Side]) -> None:
    left = list(sides)
    while len(left) > 1:
        left.append(stays_first(left.pop(), left.pop(0))[0])
    assert left[0].customer_id == "c"
    assert [stays_first(one, other)[0].customer_id for one, other in zip(sides, reversed(sides), strict=True)] == [
        stays_first(other, one)[0].customer_id for one, other in zip(sides, reversed(sides), strict=True)
    ]
    assert stays_first(Side("a", NOW, 1), Side("b", NOW, 2))[0].customer_id == "b"
    assert stays_first(Side("b", NOW, 1), Side("a", NOW, 1))[0].customer_id == "a"


async def test_what_a_rule_joined_and_staff_parted_no_rule_joins_again(profile: Profile) -> None:
    for customer in ("a", "b", "c"):
        later(profile)
        await make(profile, customer, **verified())
    assert await joined(profile) == [("b", "a"), ("c", "a")]
    for one in await merges(profile):
        await undo(profile, one["id"])
    assert len(await joined(profile)) == 3, "b and c were never parted"
    assert (await merges(profile))[-1]["from_id"] == "c"
    await undo(profile, (await merges(profile))[-1]["id"])
    later(profile)
    await patch(profile, "a", name="Changed")
    assert len(await joined(profile)) == 3
    assert await suggested(profile) == []
    assert (await ask(profile, "a", "b")).status_code == 201


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (verified(), {"email": "x@example.com"}),
        (verified("messaging"), verified("messaging")),
        (verified() | {"kind": "company"}, verified()),
        (
            verified() | verified() | {"birthday": {"month": 1, "day": 2}},
            verified() | {"birthday": {"month": 1, "day": 3}},
        ),
        (verified("phone", "0912345678"), verified("phone", "0912345679")),
    ],
    ids=["one is unverified", "no strong kind", "person and company", "birthdays differ", "another number"],
)
async def test_nobody_is_joined_by_less(profile: Profile, one: dict[str, Any], other: dict[str, Any]) -> None:
    await make(profile, "a", **one)
    await make(profile, "b", **other)
    assert await joined(profile) == []


async def test_a_rejected_pair_is_never_joined_by_rule_not_even_under_other_ids(profile: Profile) -> None:
    await make(profile, "a", "b", email="x@example.com")
    (pair,) = await suggested(profile)
    assert (await profile.client.post(f"/duplicates/{pair['id']}/reject")).status_code == 200
    await make(profile, "z")
    assert (await ask(profile, "a", "z")).status_code == 201
    for customer in ("z", "b"):
        await patch(profile, customer, **verified())
    assert await joined(profile) == [("a", "z")]


async def test_a_policy_that_is_off_or_names_other_kinds_joins_nobody_until_it_does(profile: Profile) -> None:
    assert (await put(profile, "merging", on=False)).json()["versions"][0]["version"] == 2
    await make(profile, "a", "b", **verified())
    await make(profile, "c", "d", **verified("phone", "0912345678"))
    assert await joined(profile) == []
    assert pairs(await suggested(profile)) == [("a", "b"), ("c", "d")]
    await put(profile, "merging", on=True, kinds=["phone"])
    assert await joined(profile) == [("d", "c")]
    await put(profile, "merging", kinds=["email"])
    assert await joined(profile) == [("d", "c"), ("b", "a")]


async def test_other_weights_compare_everybody_again(profile: Profile) -> None:
    await make(profile, "a", "b", name="Tea House", birthday={"month": 1, "day": 2})
    assert len(await suggested(profile)) == 1
    answer = await put(profile, "similarity", suggest=60)
    assert [version["version"] for version in answer.json()["versions"]] == [2, 1]
    assert await suggested(profile) == []
    refused = await put(profile, "similarity", crowd=50)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/crowd")
    assert (await put(profile, "similarity", suggest=60)).json() == answer.json()


async def test_a_merge_by_rule_widens_no_consent(profile: Profile) -> None:
    await make(profile, "a", **verified())
    later(profile)
    await make(profile, "b", **verified())
    await say(profile, "a", YES)
    await say(profile, "b", NO)
    assert await joined(profile) == [("b", "a")]
    assert await consent(profile, "a") is await consent(profile, "b") is False


async def test_of_a_rule_and_staff_at_the_same_time_one_wins(profile: Profile) -> None:
    await make(profile, "a", "b", **verified())
    job = next(job for job in profile.service.runner.jobs if job.name == "match")
    answers = await asyncio.gather(ask(profile, "b", "a"), ask(profile, "a", "b"), job.run(), job.run())
    codes = sorted(answer.status_code for answer in answers[:2] if isinstance(answer, httpx.Response))
    assert codes in ([201, 409], [409, 409])
    assert len(await merges(profile)) == 1


async def test_a_card_that_two_have_verified_is_one_persons(profile: Profile) -> None:
    await make(profile, "a", "b", "c")
    await make(profile, "firm", kind="company")
    first = await identify(profile, "a", kind="card", value="8860 0001")
    assert (first.status_code, first.json()["verified"]) == (201, False)
    claimed = {"kind": "card", "value": "88600001", "verified": True}
    assert (await identify(profile, "b", **claimed)).status_code == 409
    assert (await identify(profile, "a", **claimed)).json() == first.json() | {"verified": True}
    assert (await identify(profile, "firm", **claimed)).json()["code"] == "identifier-taken"
    answers = await asyncio.gather(identify(profile, "b", **claimed), identify(profile, "b", **claimed))
    assert [answer.json()["customer_id"] for answer in answers] == ["a", "a"]
    (made,) = await merges(profile)
    assert (made["from_id"], made["into_id"], made["reason"]["verified"]) == ("b", "a", ["card"])
    await undo(profile, made["id"])
    assert (await identify(profile, "b", **claimed)).status_code == 409
    external = {"kind": "external", "value": "erp/1", "verified": True}
    assert (await identify(profile, "a", **external)).status_code == 201
    assert (await identify(profile, "c", **external)).status_code == 409


async def test_a_person_and_a_company_are_never_joined_but_a_bare_id_may_be_either(profile: Profile) -> None:
    await make(profile, "firm", kind="company")
    await make(profile, "person")
    await profile.take(bought("bare", "o1", "10", 1))
    for pair in (("person", "firm"), ("firm", "person")):
        refused = await ask(profile, *pair)
        assert (refused.status_code, refused.json()["code"]) == (409, "kinds-differ")
    assert (await ask(profile, "bare", "firm")).status_code == 201


async def test_an_address_of_a_crowd_joins_nobody_whether_its_people_come_at_once_or_one_by_one(
    profile: Profile,
) -> None:
    desk = verified("phone", "02-2345-6789")
    await make(profile, *(f"once-{n}" for n in range(CROWD + 1)), **verified("phone", "02-2345-0000"))
    assert await joined(profile) == []
    for n in range(CROWD + 3):
        later(profile)
        await make(profile, f"c{n}", **desk)
        await match(profile)
    assert await joined(profile) == [(f"c{n}", "c0") for n in range(1, CROWD)]


async def test_who_is_about_to_be_erased_is_joined_to_nobody_and_keeps_no_other_pair_waiting(profile: Profile) -> None:
    await make(profile, "a", "b", **verified())
    await make(profile, "c", "d", **verified("phone", "0912345678"))
    assert (await profile.client.post("/customers/a/erasure", json={})).status_code == 202
    assert await joined(profile) == [("d", "c")]
