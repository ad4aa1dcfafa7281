"""Whom a rule joined because of what a file of customers said, and the file taken back."""

from typing import Any

import pytest

from services.profile.imports import receiving
from tests.integration.profile.house import Profile
from tests.integration.profile.test_duplicates import match
from tests.integration.profile.test_filling import patch
from tests.integration.profile.test_identities import bought, later, make, own_events
from tests.integration.profile.test_imports import revert, send, shown
from tests.integration.profile.test_merging import joined, merges, verified

SERVICE = "profile"
PHONE = {"kind": "phone", "value": "+886912345678", "verified": True}


async def standing(profile: Profile) -> list[tuple[str, str]]:
    """Who is joined to whom, after the rules have looked at everybody."""
    await match(profile)
    return [(one["from_id"], one["into_id"]) for one in await merges(profile) if one["active"]]


async def test_a_merge_by_rule_goes_with_the_import_that_set_it_off(profile: Profile) -> None:
    await make(profile, "a", name="A", **verified())
    for customer in ("b", "c"):
        later(profile)
        await make(profile, customer, contact_points=[PHONE])
    await profile.take(bought("b", "o1", "100", 1), bought("a", "o2", "70", 1))
    later(profile)
    wrong = [{"customer_id": "b", "contact_points": [*verified()["contact_points"], PHONE]}]
    done = await send(profile, wrong)
    assert await joined(profile) == [("b", "a"), ("c", "a")], "c by the phone that b has"
    await patch(profile, "a", locale="zh-TW")

    later(profile)
    await revert(profile, done["id"])
    parted = [row["event"]["data"] for row in await profile.published("customer-unmerged")]
    assert sorted((one["from_id"], one["version"]) for one in parted) == [("b", 2), ("c", 2)]
    assert {(one["caused_by"]["source"], one["caused_by"]["id"]) for one in parted} == {
        ("/roost/profile/imports", f"{done['id']}:revert")
    }
    assert await standing(profile) == [("c", "b")], "what b and c have in common nobody has taken back"
    views = [await profile.view(customer) for customer in ("a", "b")]
    assert [(view["name"], view["email"], view["phone"], view["locale"]) for view in views] == [
        ("A", "x@example.com", None, "zh-TW"), (None, None, PHONE["value"], None),
    ]  # fmt: skip
    assert [view["value"]["lifetime_spend"]["amount"] for view in views] == ["70.00", "100.00"]
    assert (await shown(profile, done["id"], "/leftovers"))["items"] == []

    await profile.take(*await own_events(profile, ["customer-merged", "customer-unmerged"]))
    assert await standing(profile) == [("c", "b")], "as every service takes it in"
    await send(profile, wrong)
    assert ("b", "a") in await standing(profile), "nobody has looked at the two and found them to be two"


async def test_a_merge_stays_while_another_import_speaks_for_it_and_is_told_where_nothing_has(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiving, "CHUNK_ROWS", 1)

    def said(customer: str, address: str) -> dict[str, Any]:
        return {"customer_id": customer, **verified(value=address)}

    await make(profile, "a", **verified(value="a@example.com"))
    later(profile)
    both = [said("e", "e@example.com"), said("f", "e@example.com")]
    first = await send(profile, [said("b", "a@example.com"), said("c", "c@example.com"), *both])
    later(profile)
    await make(profile, "d", **verified(value="c@example.com"))
    assert await joined(profile) == [("b", "a"), ("d", "c"), ("f", "e")]
    later(profile)
    second = await send(profile, [said("c", "c@example.com")])
    await patch(profile, "a", contact_points=[])

    await revert(profile, first["id"])
    assert await standing(profile) == [("b", "a"), ("d", "c")]
    left = (await shown(profile, first["id"], "/leftovers"))["items"]
    told = [(one["customer_id"], one["detail"].split()[0]) for one in left if one["code"] == "merged-since"]
    assert told == [("b", (await merges(profile))[0]["id"])]
    await revert(profile, second["id"])
    assert await standing(profile) == [("b", "a")]
