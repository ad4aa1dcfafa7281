"""A shop's own segments over HTTP: made, previewed, changed; who is in them, since when, and why."""

from datetime import timedelta
from typing import Any

import pytest

from shared.db import execute, fetch
from tests.integration.profile.house import Profile, token
from tests.integration.profile.test_segments import HOUSE, bought, changes, live_until, places, placing
from tests.kit.builders import NOW, purchase, record

SERVICE = "profile"
OFTEN = {"fact": "order_count", "op": ">=", "value": 2}
LATELY = {"fact": "days_since_last_purchase", "op": "<", "value": 10}


async def make(profile: Profile, rule: dict[str, Any], name: str = "regulars") -> Any:
    answer = await profile.client.post("/segments", json={"name": name, "rule": rule})
    assert answer.status_code == 201, answer.text
    await placing(profile).run()
    return answer


async def members(profile: Profile, name: str, query: str = "") -> list[str]:
    answer = await profile.client.get(f"/segments/{name}/members{query}")
    assert answer.status_code == 200, answer.text
    return [member["customer_id"] for member in answer.json()["items"]]


async def test_a_new_segment_places_everybody_and_every_move_is_told(profile: Profile) -> None:
    await bought(profile, "a", 1, 2)
    await bought(profile, "b", 3)
    await placing(profile).run()
    made = await make(profile, OFTEN)
    assert (made.json()["version"], made.json()["kind"], made.headers["ETag"]) == (1, "own", '"1"')
    assert await members(profile, "regulars") == ["a"]
    [told] = await changes(profile, segment="regulars")
    assert (told["customer_id"], told["from"], told["to"], told["cause"]) == ("a", "out", "in", "rule")
    assert told["inputs"] == {"order_count": 2}
    await bought(profile, "b", 0)
    await placing(profile).run()
    assert await members(profile, "regulars") == ["a", "b"]
    assert (await profile.view("b"))["segments"] == [
        "regulars", "class:regular", "lifecycle:new", "rfm:5-2-1", "value:EIV",
    ]  # fmt: skip
    placed = (await profile.client.get("/segments/regulars")).json()["placing"]
    assert (placed["placed"], placed["finished_at"] is not None) == (2, True)


async def test_a_preview_tells_who_would_move_and_moves_nobody(profile: Profile) -> None:
    await bought(profile, "a", 1, 2)
    await bought(profile, "b", 3)
    await make(profile, OFTEN)
    rule = {"not": OFTEN}
    seen = (await profile.client.post("/segments/regulars/preview", json={"rule": rule})).json()
    assert seen["examined"] == 2
    assert seen["moves"] == [
        {"from": "in", "to": "out", "count": 1, "examples": ["a"]},
        {"from": "out", "to": "in", "count": 1, "examples": ["b"]},
    ]
    assert await members(profile, "regulars") == ["a"]
    unmade = (await profile.client.post("/segments/others/preview", json={"rule": rule})).json()
    assert [(move["to"], move["count"]) for move in unmade["moves"]] == [("in", 1)]


async def test_a_preview_lists_nobody_whose_file_is_restricted_and_is_kept_of_whom_it_lists(profile: Profile) -> None:
    await bought(profile, "a", 1, 2)
    await bought(profile, "b", 1, 2)
    why = {"reason": "objection"}
    assert (await profile.client.put("/customers/a/restriction", json=why)).status_code == 200
    numbers = (await profile.client.get("/policies/lifecycle")).json()["versions"][0]["numbers"]
    for path, body in (("segments/often", {"rule": OFTEN}), ("policies/lifecycle", {**numbers, "new_days": 1})):
        seen = (await profile.client.post(f"/{path}/preview", json=body)).json()
        assert [move["examples"] for move in seen["moves"]] == [["b"]], path
    kept = (await profile.client.get("/customers/b/accesses")).json()["items"]
    assert {"POST /segments/{name}/preview", "POST /policies/lifecycle/preview"} <= {one["route"] for one in kept}


async def test_a_new_version_needs_the_present_one_and_places_everybody_again(profile: Profile) -> None:
    await bought(profile, "a", 1, 2)
    await bought(profile, "b", 3)
    tag = (await make(profile, OFTEN)).headers["ETag"]
    body = {"rule": {"not": OFTEN}}
    assert (await profile.client.put("/segments/regulars", json=body)).status_code == 428
    changed = await profile.client.put("/segments/regulars", json=body, headers={"If-Match": tag})
    assert (changed.status_code, changed.json()["version"], changed.headers["ETag"]) == (200, 2, '"2"')
    late = await profile.client.put("/segments/regulars", json={"rule": OFTEN}, headers={"If-Match": tag})
    assert late.status_code == 412
    await placing(profile).run()
    assert await members(profile, "regulars") == ["b"]
    versions = [(data["customer_id"], data["to"], data["rule_version"]) for data in await changes(profile, kind="own")]
    assert versions == [("a", "in", 1), ("a", "out", 2), ("b", "in", 2)]


async def test_a_rule_of_days_lets_go_by_itself_at_the_first_instant_it_no_longer_holds(profile: Profile) -> None:
    await bought(profile, "a", 0)
    await make(profile, LATELY, "recent")
    why = (await profile.client.get("/customers/a/segments/recent/explanation")).json()
    ends = HOUSE.day(NOW) + timedelta(days=10)
    assert (why["class"], why["next_class"], why["inputs"]) == ("in", "out", {"days_since_last_purchase": 0})
    assert why["next_transition_at"].startswith((ends - timedelta(days=1)).isoformat() + "T16:00:00")
    await live_until(profile, NOW + timedelta(days=20))
    [_, gone] = await changes(profile, segment="recent")
    assert (gone["to"], gone["cause"]) == ("out", "time")
    assert gone["occurred_at"].startswith((ends - timedelta(days=1)).isoformat() + "T16:00:00")
    assert await members(profile, "recent") == []


async def test_segments_are_told_as_of_any_time(profile: Profile) -> None:
    await bought(profile, "a", 0)
    await live_until(profile, NOW + timedelta(days=400))

    async def stood(days: float) -> dict[str, str]:
        as_of = (NOW + timedelta(days=days)).isoformat().replace("+", "%2B")
        answer = await profile.client.get(f"/customers/a/segments?as_of={as_of}")
        return {item["segment"]: item["class"] for item in answer.json()["items"]}

    assert await stood(-1) == {}
    assert await stood(1) == {"class": "regular", "lifecycle": "new", "rfm": "5-1-1", "value": "EIV"}
    assert (await stood(100))["lifecycle"] == "dormant"
    now = (await profile.client.get("/customers/a/segments")).json()["items"]
    assert {item["segment"]: item["class"] for item in now} == await places(profile, "a") == await stood(400)


async def test_an_explanation_tells_rule_inputs_cause_and_what_comes_next(profile: Profile) -> None:
    await bought(profile, "a", 0)
    await placing(profile).run()
    why = (await profile.client.get("/customers/a/segments/lifecycle/explanation")).json()
    assert (why["class"], why["rule_version"], why["rule"]["dormant_days"]) == ("new", 1, 90)
    assert (why["last_move"]["from"], why["last_move"]["cause"], why["next_class"]) == (None, "event", "dormant")
    own = token("profile:read", "a")
    path = "/customers/a/segments/lifecycle/explanation"
    assert (await profile.client.get(path, headers=own)).status_code == 200
    assert (await profile.client.get(path, headers=token("profile:read", "b"))).status_code == 404
    assert (await profile.client.get("/customers/a/segments", headers=token("profile:read", "b"))).status_code == 404
    assert (await profile.client.get("/customers/a/segments/none/explanation")).status_code == 404
    assert (await profile.client.get("/customers/no/segments")).status_code == 404


@pytest.mark.parametrize(
    ("rule", "pointer"),
    [
        ({}, "/rule"),
        ({"all": []}, "/rule/all"),
        ({"all": [OFTEN], "any": [OFTEN]}, "/rule"),
        ({"all": [OFTEN, {"fact": "shoe", "op": "=", "value": 42}]}, "/rule/all/1/fact"),
        ({"any": [{"not": {"fact": "tags", "op": ">", "value": "x"}}]}, "/rule/any/0/not/op"),
        ({"fact": "order_count", "op": ">=", "value": "3"}, "/rule/value"),
        ({"fact": "order_count", "op": ">=", "value": True}, "/rule/value"),
        ({"fact": "locale", "op": "in", "value": ["en", 5]}, "/rule/value/1"),
        ({"fact": "locale", "op": "in", "value": []}, "/rule/value"),
        ({**OFTEN, "since": 3}, "/rule/since"),
        ({"fact": "days_since_last_purchase", "op": "<", "value": 1e9}, "/rule/value"),
    ],
)
async def test_a_bad_rule_is_refused_at_its_node(profile: Profile, rule: dict[str, Any], pointer: str) -> None:
    answers = [
        await profile.client.post("/segments", json={"name": "bad", "rule": rule}),
        await profile.client.post("/segments/bad/preview", json={"rule": rule}),
    ]
    for answer in answers:
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (422, "invalid-rule")
        assert problem["errors"][0]["pointer"] == pointer


async def test_who_may_not_and_what_isnt_there(profile: Profile) -> None:
    made = await make(profile, OFTEN)
    again = await profile.client.post("/segments", json={"name": "regulars", "rule": OFTEN})
    built_in = await profile.client.post("/segments", json={"name": "rfm", "rule": OFTEN})
    assert [(answer.status_code, answer.json()["code"]) for answer in (again, built_in)] == [
        (409, "segment-exists"), (409, "segment-exists"),
    ]  # fmt: skip
    match = {"If-Match": made.headers["ETag"]}
    assert (await profile.client.put("/segments/rfm", json={"rule": OFTEN}, headers=match)).status_code == 409
    assert (await profile.client.put("/segments/none", json={"rule": OFTEN}, headers=match)).status_code == 404
    assert (await profile.client.get("/segments/none/members")).status_code == 404
    customer = token("profile:read profile:write", "a")
    assert (await profile.client.get("/segments", headers=customer)).status_code == 403
    assert (await profile.client.get("/segments", headers=token("profile:write"))).status_code == 403
    listed = (await profile.client.get("/segments?limit=3")).json()
    assert [segment["name"] for segment in listed["items"]] == ["class", "lifecycle", "regulars"]
    rest = (await profile.client.get(f"/segments?limit=3&cursor={listed['next_cursor']}")).json()
    assert [segment["name"] for segment in rest["items"]] == ["rfm", "value"]


async def test_a_segment_that_is_posted_again_with_its_key_is_made_once(profile: Profile) -> None:
    headers = {"Idempotency-Key": "k-1"}
    body = {"name": "regulars", "rule": OFTEN}
    first = await profile.client.post("/segments", json=body, headers=headers)
    again = await profile.client.post("/segments", json=body, headers=headers)
    assert (again.status_code, again.headers["Idempotency-Replayed"], again.json()) == (201, "true", first.json())


async def test_customers_are_listed_by_segment_and_by_class(profile: Profile) -> None:
    await bought(profile, "a", 1, 2)
    await bought(profile, "b", 100)
    await make(profile, OFTEN)

    async def listed(segment: str) -> list[str]:
        items = (await profile.client.get(f"/customers?segment={segment}")).json()["items"]
        return [item["customer_id"] for item in items]

    assert await listed("regulars") == ["a"]
    assert await listed("lifecycle:dormant") == ["b"]
    assert await listed("none") == []
    assert await members(profile, "lifecycle", "?class=dormant") == ["b"]
    unasked = await profile.client.get("/segments/lifecycle/members")
    assert (unasked.status_code, unasked.json()["errors"][0]["pointer"]) == (422, "/query/class")


async def test_a_class_that_nobody_can_be_in_is_refused(profile: Profile) -> None:
    await make(profile, OFTEN)
    for segment, known, unknown in (
        ("lifecycle", "returned", "vip"),
        ("rfm", "5-1-3", "6-1-1"),
        ("value", "PIV", "EV"),
        ("class", "regular", "new"),
        ("regulars", "out", "maybe"),
    ):
        assert await members(profile, segment, f"?class={known}") == []
        refused = await profile.client.get(f"/segments/{segment}/members?class={unknown}")
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/query/class"), segment
    assert (await profile.client.get("/segments/none/members?class=maybe")).status_code == 404


async def test_recalibration_shows_who_would_move_and_only_on_command_moves_them(profile: Profile) -> None:
    for n in range(1, 21):
        await profile.take(
            *(record("purchase-recorded", purchase(f"c{n}", total=str(n * 10), days_ago=n)) for _ in range(1 + n % 5))
        )
    await make(profile, {"fact": "rfm_r", "op": "=", "value": 5}, "fresh")
    await placing(profile).run()
    shown = (await profile.client.post("/segments/rfm/recalibration", json={})).json()
    assert (shown["applied"], shown["version"], shown["customers"]) == (False, 1, 20)
    assert shown["after"]["recency_days"] == [4, 8, 12, 16]
    before = {f"c{n}": (await places(profile, f"c{n}"))["rfm"] for n in range(1, 21)}
    await placing(profile).run()
    assert (await profile.view("c1"))["value"]["rfm"]["version"] == 1
    applied = (await profile.client.post("/segments/rfm/recalibration", json={"apply": True})).json()
    assert (applied["applied"], applied["version"], applied["moves"]) == (True, 2, shown["moves"])
    await placing(profile).run()
    after = {f"c{n}": (await places(profile, f"c{n}"))["rfm"] for n in range(1, 21)}
    moved = {(before[who], after[who]) for who in before if before[who] != after[who]}
    assert moved == {(move["from"], move["to"]) for move in shown["moves"]}
    assert sum(before[who] != after[who] for who in before) == shown["moved"] > 0
    assert {data["cause"] for data in await changes(profile, segment="rfm", rule_version=2)} == {"rule"}
    assert await members(profile, "fresh") == sorted(who for who in after if after[who].startswith("5-"))


async def test_too_few_customers_have_no_quintiles(profile: Profile) -> None:
    answer = await profile.client.post("/segments/rfm/recalibration", json={})
    assert (answer.status_code, answer.json()["code"]) == (409, "too-few-customers")


async def test_points_and_tier_move_who_a_rule_of_them_speaks_of(profile: Profile) -> None:
    await bought(profile, "a", 0)
    await make(profile, {"all": [{"fact": "points", "op": ">=", "value": 50}]}, "rich")
    assert await members(profile, "rich") == []
    async with profile.service.db.transaction() as tx:
        await execute(
            tx,
            "INSERT INTO standings (customer_id, points, complaints, tier_sequence, risk_sequence, reasons_sequence)"
            " VALUES ('a', 80, 0, 0, 0, 0)",
        )
        assert [row["customer_id"] for row in await fetch(tx, "SELECT customer_id FROM placement_marks")] == ["a"]
    await placing(profile).run()
    assert await members(profile, "rich") == ["a"]
