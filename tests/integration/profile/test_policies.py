"""The numbers that a shop may set: versions, who would move, and everybody placed by the new ones."""

import asyncio
from typing import Any

import pytest
from fastapi.routing import APIRoute

from tests.integration.profile.house import Profile, token
from tests.integration.profile.test_changes import drops, look
from tests.integration.profile.test_identities import make
from tests.integration.profile.test_recommendations import bought, crowd, offers
from tests.integration.profile.test_reports import job
from tests.integration.profile.test_restrictions import POINTS, reach
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


REFUSED: dict[str, tuple[dict[str, Any], dict[str, dict[str, Any]]]] = {
    "lifecycle": ({"new_days": 60}, {
        "/dormant_days": {"dormant_days": 365}, "/new_days": {"new_days": 0}, "/lost_gaps": {"lost_gaps": 1000},
        "/unknown": {"unknown": 1},
    }),
    "value": ({"volumes_reached": 3}, {"/order": {"order": {}}, "/volumes_reached": {"volumes_reached": 4}}),
    "class": ({"vip_recency": 5}, {"/vip_recency": {"vip_recency": 6}}),
    "merging": ({"on": False}, {"/kinds/0": {"kinds": ["post"]}}),
    "similarity": ({"suggest": 60}, {"/crowd": {"crowd": 30}, "/weights": {"weights": {"email": 60}}}),
    "consent": ({"granted_by_default": []}, {
        "/granted_by_default": {"granted_by_default": ["service", "service"]},
        "/granted_by_default/0": {"granted_by_default": ["sale"]},
    }),
    "recommendations": ({"lift_at_least": "2"}, {
        "/price_step_at_least": {"price_step_at_least": "1.01"}, "/lift_at_least": {"lift_at_least": "-1"},
    }),
    "rhythm": ({"level": "0.001"}, {
        "/silent_days_at_least": {"silent_days_at_least": 400}, "/gaps_at_least": {"gaps_at_least": 25},
        "/level": {"level": "1"},
    }),
    "demand": ({"days": 14}, {
        "/orders_at_least": {"orders_at_least": 5}, "/days": {"days": 10}, "/change_at_least": {"change_at_least": "x"},
    }),
}  # fmt: skip
"""Of every policy other numbers, and by the pointer of the answer such as contradict each other or say nothing."""


@pytest.mark.parametrize("name", REFUSED)
async def test_a_policy_is_staffs_and_changes_by_versions_with_numbers_that_fit(profile: Profile, name: str) -> None:
    paths = {route.path for route in profile.service.app.routes if isinstance(route, APIRoute)}
    with_versions = {path.removeprefix("/policies/") for path in paths if path.count("/") == 2 and "/policies/" in path}
    assert with_versions == REFUSED.keys() | {"erasure"}
    path, (other, refused) = f"/policies/{name}", REFUSED[name]
    numbers, match = await in_force(profile, name)
    for pointer, wrong in refused.items():
        answer = await profile.client.put(path, json={**numbers, **wrong}, headers=match)
        [error] = answer.json()["errors"]
        assert (answer.status_code, error["pointer"]) == (422, pointer)
        assert "pattern" not in error["message"]
    wanted = {**numbers, **other}
    for scope, customer, status in (("profile:read profile:write", "pos:1", 403), ("profile:read", None, 403)):
        answer = await profile.client.put(path, json=wanted, headers=match | token(scope, customer))
        assert answer.status_code == status
    assert (await profile.client.get(path, headers=token("profile:read", "pos:1"))).status_code == 403
    assert (await profile.client.put(path, json=wanted)).status_code == 428
    both = await asyncio.gather(*(profile.client.put(path, json=wanted, headers=match) for _ in range(2)))
    changed, late = sorted(both, key=lambda answer: answer.status_code)
    assert (changed.status_code, late.status_code) == (200, 412), changed.text
    assert [(one["version"], one["numbers"]) for one in changed.json()["versions"]] == [(2, wanted), (1, numbers)]
    assert await in_force(profile, name) == (wanted, {"If-Match": changed.headers["ETag"]})
    same = await profile.client.put(path, json=wanted, headers={"If-Match": "*"})
    assert (len(same.json()["versions"]), same.headers["ETag"]) == (2, changed.headers["ETag"])


async def test_what_reads_a_policy_goes_by_the_next_version_at_once(profile: Profile) -> None:
    await make(profile, "a", contact_points=POINTS)
    await profile.take(*(record("purchase-recorded", purchase("a", days_ago=7 * n)) for n in range(5)))
    await crowd(profile)
    await profile.take(bought("a", "tea", days_ago=35))
    assert ("a@example.com", True, None) in await reach(profile, "a")
    assert [one["sku"] for one in await offers(profile, "a")] == ["pot"]
    for name, other in (
        ("consent", {"granted_by_default": []}), ("recommendations", {"together_at_least": 7}),
        ("rhythm", {"gaps_at_least": 4}),
    ):  # fmt: skip
        numbers, match = await in_force(profile, name)
        put = await profile.client.put(f"/policies/{name}", json={**numbers, **other}, headers=match)
        assert put.status_code == 200, put.text
    assert not any(consent for _, consent, _ in await reach(profile, "a"))
    assert await offers(profile, "a") == []
    await look(profile, 0, 20)
    [told] = await drops(profile)
    assert (told["customer_id"], told["gaps"], told["policy_version"]) == ("a", 5, 2)
