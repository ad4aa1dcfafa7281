"""Two ids of one person: joined, read as one, and parted again."""

import asyncio
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from shared.messaging.records import Record
from tests.integration.profile.house import Profile, token
from tests.integration.profile.test_permutations import contact, derived
from tests.kit.builders import NOW, at, money, purchase, record, returned

SERVICE = "profile"
YES = {"granted": True, "source": "account-page", "wording_version": "2026-1"}
NO = YES | {"granted": False}


async def merge(profile: Profile, from_id: str, into_id: str) -> str:
    answer = await ask(profile, from_id, into_id)
    assert answer.status_code == 201, answer.text
    made: str = answer.json()["id"]
    return made


async def ask(profile: Profile, from_id: str, into_id: str, **headers: str) -> httpx.Response:
    body = {"from_id": from_id, "into_id": into_id}
    return await profile.client.post("/merges", json=body, headers=headers)


async def undo(profile: Profile, merge_id: str) -> None:
    answer = await profile.client.post(f"/merges/{merge_id}/undo")
    assert answer.status_code == 200, answer.text


async def make(profile: Profile, *ids: str, **fields: Any) -> None:
    for customer_id in ids:
        answer = await profile.client.post("/customers", json={"customer_id": customer_id, **fields})
        assert answer.status_code == 201, answer.text


async def own_events(profile: Profile, topics: Iterable[str]) -> list[Record]:
    """What the service has published on its own topics, as it comes back from the broker."""
    return [
        Record(row["topic"], bytes(row["key"]), bytes(row["value"]))
        for row in await profile.published()
        if row["topic"] in topics
    ]


def later(profile: Profile) -> None:
    profile.clock.set(profile.clock.now() + timedelta(minutes=1))


def bought(customer: str, order: str, total: str, days_ago: float) -> Record:
    return record("purchase-recorded", purchase(customer, order, total=total, days_ago=days_ago))


async def worth(profile: Profile, customer: str) -> tuple[int, str]:
    value = (await profile.view(customer))["value"]
    return value["order_count"], value["lifetime_spend"]["amount"]


async def orders(profile: Profile, customer: str) -> list[str]:
    listed = (await profile.client.get(f"/customers/{customer}/purchases")).json()["items"]
    return [order["order_id"] for order in listed]


async def test_a_merge_answers_the_survivor_under_both_ids_and_the_undo_gives_both_back(profile: Profile) -> None:
    await make(profile, "till", name="Till", tags=["tea"])
    await make(profile, "web", name="Web", email="web@example.com")
    await profile.take(bought("till", "t1", "100", 9), bought("web", "w1", "50", 5), bought("web", "w2", "70", 2))
    alone = {who: await profile.view(who) for who in ("till", "web")}

    made = await merge(profile, "web", "till")
    joined = await profile.view("till")
    assert joined["value"]["order_count"] == 3
    assert joined["value"]["lifetime_spend"] == money("220.00")
    assert joined["value"]["last_purchase_at"] == alone["web"]["value"]["last_purchase_at"]
    assert (joined["name"], joined["tags"], joined["merged_into"]) == ("Till", ["tea"], None)
    assert await profile.view("web") == joined | {"merged_into": "till"}
    assert await orders(profile, "web") == await orders(profile, "till") == ["w2", "w1", "t1"]
    listed = (await profile.client.get("/customers")).json()["items"]
    assert [row["customer_id"] for row in listed] == ["till"]
    assert listed[0]["value"] | {"share": None} == joined["value"]

    await undo(profile, made)
    assert {who: await profile.view(who) for who in ("till", "web")} == alone
    assert [row["customer_id"] for row in (await profile.client.get("/customers")).json()["items"]] == ["till", "web"]


async def test_late_events_of_the_old_id_show_in_the_survivor_and_go_back_with_it(profile: Profile) -> None:
    await profile.take(bought("till", "t1", "100", 9), bought("web", "w1", "50", 5))
    made = await merge(profile, "web", "till")
    late = [
        bought("web", "w2", "70", 20),
        bought("web", "w3", "30", 0),
        record("purchase-returned", returned("w1", customer_id="web", amount=money("20"))),
    ]
    await profile.take(*late, bought("till", "t2", "5", 1))
    assert await worth(profile, "till") == (5, "235.00")
    assert await orders(profile, "till") == ["w3", "t2", "w1", "t1", "w2"]
    await undo(profile, made)
    assert await worth(profile, "till") == (2, "105.00")
    assert await worth(profile, "web") == (3, "130.00")
    await profile.take(bought("web", "w4", "1", 0), bought("till", "t3", "1", 0))
    assert await worth(profile, "web") == (4, "131.00")
    assert await worth(profile, "till") == (3, "106.00")


async def test_an_order_that_a_higher_version_moves_between_two_ids_of_one_person_counts_once(
    profile: Profile,
) -> None:
    await profile.take(bought("till", "o1", "100", 9), bought("web", "w1", "50", 5))
    await merge(profile, "web", "till")
    moved = purchase("web", "o1", total="90", days_ago=9, order_version=2)
    await profile.take(record("purchase-recorded", moved))
    assert await worth(profile, "till") == (2, "140.00")


async def test_points_complaints_contacts_and_the_story_are_those_of_all_ids(profile: Profile) -> None:
    earned = {"order_id": "o1", "programme_version": 1, "available_from": NOW.isoformat()}
    for customer, points in (("till", 50), ("web", 20)):
        feedback = {"customer_id": customer, "feedback_id": f"f-{customer}", "channel": "web", "kind": "complaint"}
        await profile.take(
            record("points-earned", derived(customer, 1, 9, points=points, **earned)),
            record("feedback-received", {**feedback, "occurred_at": at(4)}),
            record("tier-changed", derived(customer, 2, 7, direction="up", to_tier=f"tier of {customer}")),
        )
    await profile.take(record("contact-planned", derived("web", 1, 5, **contact("web"), due_at=NOW.isoformat())))
    await merge(profile, "web", "till")
    view = await profile.view("till")
    assert (view["points"], view["open_complaints"], view["tier"]) == (70, 2, "tier of till")
    assert view["next_contact"]["contact_id"] == "k-web"
    row = (await profile.client.get("/customers?tier=tier of till")).json()["items"][0]
    assert (row["customer_id"], row["points"]) == ("till", 70)
    story = (await profile.client.get("/customers/web/timeline?kinds=feedback-received")).json()["items"]
    assert [entry["data"]["feedback_id"] for entry in story] == ["f-web", "f-till"]


async def test_pages_of_two_ids_are_in_one_order(profile: Profile) -> None:
    await profile.take(*(bought("till" if n % 2 else "web", f"o{n}", "10", 10 - n) for n in range(6)))
    await merge(profile, "web", "till")
    for route in ("purchases", "timeline"):
        seen: list[str] = []
        cursor = ""
        while cursor is not None:
            page = (await profile.client.get(f"/customers/till/{route}?limit=2{cursor and '&cursor='}{cursor}")).json()
            seen += [one.get("data", one)["order_id"] for one in page["items"]]
            cursor = page["next_cursor"]
        assert seen == ["o5", "o4", "o3", "o2", "o1", "o0"], route


async def test_edits_after_a_merge_belong_to_the_survivor_whichever_id_they_name(profile: Profile) -> None:
    await make(profile, "till", "web", name="N")
    made = await merge(profile, "web", "till")
    read = await profile.client.get("/customers/web")
    changed = await profile.client.patch(
        "/customers/web", json={"tags": ["vip"]}, headers={"If-Match": read.headers["ETag"]}
    )
    assert (changed.status_code, changed.json()["customer_id"], changed.json()["merged_into"]) == (200, "till", "till")
    wishes = {"channel": "email", "hours": None, "frequency": 9}
    put = await profile.client.put(
        "/customers/web/preferences", json=wishes, headers={"If-Match": changed.headers["ETag"]}
    )
    assert put.json() == (await profile.client.get("/customers/till/preferences")).json() == wishes
    await undo(profile, made)
    till, web = await profile.view("till"), await profile.view("web")
    assert (till["tags"], till["preferred_every_days"]) == (["vip"], 9)
    assert (web["tags"], web["preferred_every_days"]) == ([], None)


async def test_a_bare_id_that_is_joined_gets_no_file_of_its_own(profile: Profile) -> None:
    await profile.take(bought("web", "w1", "50", 5))
    await make(profile, "till")
    await merge(profile, "web", "till")
    refused = await profile.client.post("/customers", json={"customer_id": "web", "name": "W"})
    assert (refused.status_code, refused.json()["code"], refused.json()["survivor"]) == (409, "customer-exists", "till")


async def test_a_merge_is_published_acknowledged_and_read(profile: Profile) -> None:
    await make(profile, "till", "web")
    first = await ask(profile, "web", "till", **{"Idempotency-Key": "k"})
    assert (await ask(profile, "web", "till", **{"Idempotency-Key": "k"})).json() == first.json()
    made = first.json()
    assert made | {"id": "", "merged_at": ""} == {
        "id": "", "version": 1, "from_id": "web", "into_id": "till", "active": True, "merged_at": "",
        "undone_at": None, "acknowledged_by": [], "automatic": False, "reason": None,
    }  # fmt: skip
    told = await own_events(profile, ["customer-merged"])
    assert len(told) == 1
    await profile.take(*told)
    await profile.take(*told)
    answers = await own_events(profile, ["merge-applied"])
    assert len(answers) == 1
    others = [
        record("merge-applied", derived("till", 1, 0, merge_id=made["id"], version=version, service=service))
        for service, version in (("loyalty", 1), ("churn", 2))
    ]
    await profile.take(*answers, *others)
    read = (await profile.client.get(f"/merges/{made['id']}")).json()
    assert read == made | {"acknowledged_by": ["loyalty", "profile"]}

    later(profile)
    undone = (await profile.client.post(f"/merges/{made['id']}/undo")).json()
    assert (undone["version"], undone["active"], undone["merged_at"]) == (2, False, made["merged_at"])
    assert undone["undone_at"] > made["merged_at"]
    assert undone["acknowledged_by"] == ["churn"]
    await profile.take(*await own_events(profile, ["customer-unmerged"]))
    assert [answer.value is not None for answer in await own_events(profile, ["merge-applied"])] == [True, True]


async def test_a_rebuild_from_the_topics_joins_them_again_in_any_order(profile: Profile) -> None:
    await profile.take(bought("till", "t1", "100", 9), bought("web", "w1", "50", 5))
    fact = {"merge_id": "m", "from_id": "web", "into_id": "till"}
    joined = record("customer-merged", derived("till", 1, 2, version=1, **fact))
    parted = record("customer-unmerged", derived("till", 2, 1, version=2, **fact))
    await profile.take(parted)
    await profile.take(joined)
    assert await worth(profile, "till") == (1, "100.00")
    await profile.take(record("customer-merged", derived("till", 3, 0, version=1, **fact | {"merge_id": "n"})))
    assert await worth(profile, "web") == (2, "150.00")


async def test_what_cannot_be_joined_is_refused_by_name(profile: Profile) -> None:
    await make(profile, "a", "b", "c")
    same, stranger = await ask(profile, "a", "a"), await ask(profile, "a", "nobody")
    assert (same.status_code, same.json()["code"]) == (422, "same-customer")
    assert (stranger.status_code, stranger.json()["errors"][0]["pointer"]) == (422, "/into_id")
    made = await merge(profile, "a", "b")
    for from_id, into_id in (("a", "b"), ("a", "c"), ("b", "a"), ("c", "a")):
        refused = await ask(profile, from_id, into_id)
        assert (refused.status_code, refused.json()["code"]) == (409, "already-merged")
        assert refused.json()["survivor"] == "b"
    await undo(profile, made)
    again = await profile.client.post(f"/merges/{made}/undo")
    assert (again.status_code, again.json()["code"]) == (409, "already-undone")
    assert (await profile.client.post("/merges/nothing/undo")).status_code == 404
    assert (await profile.client.get("/merges/nothing")).status_code == 404
    assert len(await profile.published("customer-merged")) == len(await profile.published("customer-unmerged")) == 1


async def test_of_merges_of_one_pair_at_the_same_time_one_wins(profile: Profile) -> None:
    await make(profile, "a", "b")
    answers = await asyncio.gather(ask(profile, "a", "b"), ask(profile, "b", "a"), ask(profile, "a", "b"))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409]
    assert len(await profile.published("customer-merged")) == 1


async def test_purchases_arriving_while_ids_are_joined_and_parted_are_never_lost(profile: Profile) -> None:
    await make(profile, "a", "b")

    async def joins() -> None:
        for _ in range(5):
            await undo(profile, await merge(profile, "b", "a"))
        await merge(profile, "b", "a")

    batches = [[bought(who, f"{who}{n}", "10", n) for who in "ab"] for n in range(10)]
    await asyncio.gather(joins(), *(profile.take(*batch) for batch in batches))
    assert await worth(profile, "b") == (20, "200.00")


async def test_a_survivor_takes_those_along_that_were_joined_to_him(profile: Profile) -> None:
    await profile.take(*(bought(who, f"o-{who}", amount, 1) for who, amount in (("a", "1"), ("b", "20"), ("c", "300"))))
    first = await merge(profile, "a", "b")
    second = await merge(profile, "b", "c")
    assert [await worth(profile, who) for who in "abc"] == [(3, "321.00")] * 3
    await undo(profile, first)
    assert [await worth(profile, who) for who in "abc"] == [(1, "1.00"), (2, "320.00"), (2, "320.00")]
    await undo(profile, second)
    assert [await worth(profile, who) for who in "abc"] == [(1, "1.00"), (1, "20.00"), (1, "300.00")]


@pytest.mark.parametrize("route", ["", "/purchases", "/timeline", "/consents", "/preferences"])
async def test_a_customers_token_follows_the_merge_and_sees_nobody_else(profile: Profile, route: str) -> None:
    await make(profile, "till", "web", "other")
    old, other = token("profile:read", "web"), token("profile:read", "other")

    async def sees(headers: dict[str, str], customer: str) -> int:
        return (await profile.client.get(f"/customers/{customer}{route}", headers=headers)).status_code

    made = await merge(profile, "web", "till")
    assert [await sees(old, who) for who in ("web", "till", "other")] == [200, 200, 404]
    assert [await sees(other, who) for who in ("web", "till")] == [404, 404]
    await undo(profile, made)
    assert [await sees(old, who) for who in ("web", "till")] == [200, 404]


async def test_merges_and_lookups_are_for_staff(profile: Profile) -> None:
    await make(profile, "a", "b")
    own = token("profile:read profile:write", "a")
    body = {"from_id": "a", "into_id": "b"}
    assert (await profile.client.post("/merges", json=body, headers=own)).status_code == 403
    look = {"kind": "email", "value": "a@example.com"}
    assert (await profile.client.post("/lookups", json=look, headers=own)).status_code == 403
    reader = token("profile:read")
    assert (await profile.client.post("/merges", json=body, headers=reader)).status_code == 403


async def consent(profile: Profile, customer: str) -> bool | None:
    """What reachability and the ledger say alike of marketing by e-mail; None if nothing was ever said."""
    asked = {"purpose": "marketing", "items": [{"customer_id": customer, "channel": "email"}]}
    told = (await profile.client.post("/internal/reachability", json=asked)).json()["items"][0]
    held = (await profile.client.get(f"/customers/{customer}/consents")).json()["items"]
    assert told["consent"] is bool(held and held[0]["granted"])
    assert told["customer_id"] == customer
    return held[0]["granted"] if held else None


async def say(profile: Profile, customer: str, what: dict[str, Any]) -> None:
    later(profile)
    answer = await profile.client.put(f"/customers/{customer}/consents/email/marketing", json=what)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("web", "till", "together"),
    [(None, None, None), (YES, None, True), (None, YES, True), (YES, YES, True), (NO, YES, False), (YES, NO, False)],
)
async def test_a_withdrawal_under_any_id_holds_against_a_grant_under_another(
    profile: Profile, web: dict[str, Any] | None, till: dict[str, Any] | None, together: bool | None
) -> None:
    await make(profile, "till", "web")
    for customer, said in (("web", web), ("till", till)):
        if said:
            await say(profile, customer, said)
    later(profile)
    made = await merge(profile, "web", "till")
    assert await consent(profile, "till") is await consent(profile, "web") is together
    await undo(profile, made)
    assert await consent(profile, "web") is (web and web["granted"])
    assert await consent(profile, "till") is (till and till["granted"])


async def test_what_he_says_after_the_merge_holds_and_an_undo_takes_no_withdrawal_back(profile: Profile) -> None:
    await make(profile, "till", "web")
    await say(profile, "web", NO)
    made = await merge(profile, "web", "till")
    assert await consent(profile, "till") is False
    await say(profile, "web", YES)
    assert await consent(profile, "till") is True
    await undo(profile, made)
    assert (await consent(profile, "web"), await consent(profile, "till")) == (False, True)

    await say(profile, "web", YES)
    made = await merge(profile, "web", "till")
    await say(profile, "till", NO)
    await undo(profile, made)
    assert (await consent(profile, "web"), await consent(profile, "till")) == (False, False)


async def test_the_survivors_address_is_used_and_where_he_has_none_the_others(profile: Profile) -> None:
    await make(profile, "till", email="till@example.com", name="T")
    await make(profile, "web", email="web@example.com", phone="0912345678", name="W")
    await make(profile, "third")
    made = await merge(profile, "web", "till")

    async def reach(customer: str, channel: str) -> tuple[str | None, str | None]:
        items = [{"customer_id": who, "channel": channel} for who in ("third", customer)]
        asked = {"purpose": "service", "items": items}
        told = (await profile.client.post("/internal/reachability", json=asked)).json()["items"]
        assert [one["customer_id"] for one in told] == ["third", customer]
        return told[1]["address"], told[1]["name"]

    assert await reach("till", "email") == await reach("web", "email") == ("till@example.com", "T")
    assert await reach("till", "sms") == ("+886912345678", "T")
    await undo(profile, made)
    assert await reach("till", "sms") == (None, "T")
    assert await reach("web", "email") == ("web@example.com", "W")


async def test_a_merge_that_comes_before_all_else_leaves_no_purchase_and_no_point_to_nobody(profile: Profile) -> None:
    """As when topics are read anew: the survivor has no file yet, and the other's events were read first."""
    earned = {"order_id": "w1", "programme_version": 1, "points": 50, "available_from": NOW.isoformat()}
    await profile.take(bought("web", "w1", "50", 5), record("points-earned", derived("web", 1, 5, **earned)))
    said = derived("till", 1, 1, merge_id="m1", version=1, from_id="web", into_id="till")
    await profile.take(record("customer-merged", said))

    (row,) = (await profile.client.get("/customers")).json()["items"]
    assert (row["customer_id"], row["value"]["order_count"], row["points"]) == ("till", 1, 50)
    assert (await profile.view("web"))["merged_into"] == "till"
