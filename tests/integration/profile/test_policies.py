"""The numbers that place customers: versions, who would move, and everybody placed by the new ones."""

from typing import Any

import pytest

from tests.integration.profile.house import Profile, token
from tests.integration.profile.test_reports import job
from tests.kit.builders import purchase, record

SERVICE = "profile"


async def in_force(profile: Profile, name: str) -> tuple[dict[str, Any], dict[str, str]]:
    answer = await profile.client.get(f"/policies/{name}")
    newest: dict[str, Any] = answer.json()["versions"][0]
    return newest["numbers"], {"If-Match": answer.headers["ETag"]}


@pytest.mark.parametrize(
    ("name", "other", "move"),
    [
        ("lifecycle", {"dormant_days": 20, "shortest_dormant_days": 20}, ("pos:1", "new", "dormant")),
        ("class", {"vip_frequency": 1, "vip_monetary": 3}, ("pos:2", "regular", "vip")),
        ("value", {"monthly": {"*": 1}, "quarterly": {"*": 1}}, ("pos:1", "EIV", "EII")),
    ],
)
async def test_who_would_move_does_by_the_next_version(
    profile: Profile, name: str, other: dict[str, Any], move: tuple[str, str, str]
) -> None:
    await profile.take(
        record("purchase-recorded", purchase("pos:1", days_ago=30)),
        record("purchase-recorded", purchase("pos:2", total="9000", days_ago=5)),
    )
    who, before, after = move
    own = {"name": "follows", "rule": {"fact": name, "op": "=", "value": after}}
    assert (await profile.client.post("/segments", json=own)).status_code == 201
    await job(profile, "place").run()
    numbers, etag = await in_force(profile, name)
    preview = (await profile.client.post(f"/policies/{name}/preview", json={**numbers, **other})).json()
    assert preview == {
        "examined": 2, "moves": [{"from": before, "to": after, "count": 1, "examples": [who]}],
    }  # fmt: skip
    assert (await in_force(profile, name))[1] == etag
    assert (await profile.client.put(f"/policies/{name}", json={**numbers, **other})).status_code == 428
    changed = await profile.client.put(f"/policies/{name}", json={**numbers, **other}, headers=etag)
    assert [one["version"] for one in changed.json()["versions"]] == [2, 1]
    await job(profile, "place").run()
    assert {"follows", f"{name}:{after}"} <= set((await profile.view(who))["segments"])
    [moved] = [
        one["event"]["data"]
        for one in await profile.published("segment-changed")
        if one["event"]["data"]["segment"] == name and one["event"]["data"]["cause"] == "rule"
    ]
    assert (moved["customer_id"], moved["from"], moved["to"], moved["rule_version"]) == (*move, 2)
    again = await profile.client.put(f"/policies/{name}", json={**numbers, **other}, headers={"If-Match": "*"})
    assert len(again.json()["versions"]) == 2


async def test_numbers_that_contradict_each_other_are_refused(profile: Profile) -> None:
    numbers, etag = await in_force(profile, "lifecycle")
    for wrong in ({"dormant_days": 365}, {"new_days": 0}, {"lost_gaps": 1000}, {"unknown": 1}):
        refused = await profile.client.put("/policies/lifecycle", json={**numbers, **wrong}, headers=etag)
        assert refused.status_code == 422, wrong
    value, etag = await in_force(profile, "value")
    assert (await profile.client.put("/policies/value", json={**value, "order": {}}, headers=etag)).status_code == 422
    reader = token("profile:read")
    assert (await profile.client.put("/policies/value", json=value, headers=etag | reader)).status_code == 403
    own = token("profile:read", "pos:1")
    assert (await profile.client.get("/policies/value", headers=own)).status_code == 403
