"""Two ids of one person, joined, edited and parted again, in all four services."""

from typing import Any
from uuid import uuid4

import httpx

from deploy.system import System
from shared.messaging.records import Record
from tests.e2e.test_one_purchase import ago, bought
from tests.kit.builders import money, record
from tests.kit.system import answer, publish
from tests.kit.waiting import until

EVERYBODY = ["churn", "engagement", "loyalty", "profile"]
TILL, WEB, TWIN = "e2e:till", "e2e:web", "e2e:twin"
"""The survivor; who is joined to him; and who does all that ``WEB`` does, and is never joined to anybody."""
EDITED = {"tags", "interests", "quality"}
PLANNED = {"plan", "next_contact"}
VOLATILE = {"created_at", "updated_at", "scored_at", "since", "merged_into"}
"""Of a contact planned anew, of a file, of a reading, of a place taken again; and who was asked for."""
SHOPS = {"clv", "lifetime_value", "value_at_risk", "history"}
"""A year's spend is judged by what everybody spends, so others' purchases move it; and what was told stays told."""


async def test_a_merge_joins_two_ids_everywhere_and_its_undo_gives_both_back_with_the_edits(
    system: System, http: httpx.AsyncClient
) -> None:
    for who in (TILL, WEB, TWIN):
        file = {"customer_id": who, "name": "One Person", "email": "one@example.com", "tags": ["tea"]}
        await command(http, "/profile/customers", file)
    at = {order: ago(days=number) for order, number in {"a": 140, "b": 80, "c": 30}.items()}
    await publish(
        system,
        [
            purchase(TILL, "a", "3000.00", at["a"]),
            purchase(TILL, "b", "1000.00", at["b"]),
            *(purchase(who, "c", "1500.00", at["c"]) for who in (WEB, TWIN)),
        ],
    )
    await system.until_quiet(seconds=60)
    await command(http, "/churn/scorings", {})
    for who in (TILL, WEB, TWIN):
        await told(http, who, risk="at-risk", segment="class:regular")
    await system.until_quiet(seconds=60)
    await until(lambda: planned(http, "win-back"), 60, what="a plan for all three who are at risk")
    alone = {TILL: await everything(http, TILL), WEB: await as_one(http, WEB, TWIN)}
    assert alone[TILL]["account"]["tier"] is None
    assert alone[TILL]["risk"]["band"] == "at-risk"

    merge = await command(http, "/profile/merges", {"from_id": WEB, "into_id": TILL})
    await acknowledged(http, merge["id"])
    at["d"] = ago(days=0)
    await publish(system, [purchase(who, "d", "250.00", at["d"]) for who in (WEB, TWIN)])
    await system.until_quiet(seconds=60)
    # What is edited of the person, under the id that is no longer his own.
    patched = {"tags": ["tea", "regular"], "interests": ["oolong"]}
    answered = await http.patch(f"/profile/customers/{WEB}", json=patched, headers={"If-Match": "*"})
    assert answered.status_code == 200, answered.text
    await command(http, f"/profile/customers/{WEB}/notes", {"text": "prefers to be called late"})
    await say(http, WEB, "email/marketing", granted=True)
    await say(http, WEB, "email/survey", granted=False)
    for who in (WEB, TWIN):
        rated = {"customer_id": who, "channel": "web", "kind": "review", "rating": 5, "text": "good tea"}
        await command(http, "/engagement/feedback", rated)
    await told(http, TILL, tier="silver", segment="rfm:5-3-3")
    await system.until_quiet(seconds=60)
    joined = await as_one(http, TILL, WEB)
    value, account = joined["view"]["value"], joined["account"]
    assert (value["order_count"], value["lifetime_spend"], points(joined)) == (4, money("5750.00"), 575)
    assert account["tier"]["name"] == "silver"
    assert (joined["risk"]["band"], joined["risk"]["purchase_days"]) == ("low", 4)
    assert (joined["view"]["tags"], len(joined["notes"]), len(joined["consents"])) == (["tea", "regular"], 1, 2)
    assert await survivors(http) == {TILL: None, WEB: TILL}

    await command(http, f"/profile/merges/{merge['id']}/undo", {})
    await acknowledged(http, merge["id"])
    await system.until_quiet(seconds=60)
    # What was told of the one is as it was, but for what was edited: that stays with him who answered for both.
    # A contact is due by when it was planned, which the undo does anew: at once, in the hours of the house.
    await as_it_was(http, TILL, alone[TILL], *EDITED, "notes", "consents", *PLANNED)
    after = await everything(http, TILL)
    assert [due(contact) for contact in after["plan"]] == [due(contact) for contact in alone[TILL]["plan"]]
    changed = {name for name, part in after["view"].items() if part != alone[TILL]["view"][name]}
    assert changed - PLANNED == EDITED
    assert {name: after["view"][name] for name in patched} == patched
    assert [note["text"] for note in after["notes"]] == ["prefers to be called late"]
    assert said(after) == {("email", "marketing"): True, ("email", "survey"): False}
    # The other is as if he had never been joined: with his late purchase, and the withdrawal, which holds for both.
    twin = await everything(http, TWIN)
    await as_it_was(http, WEB, twin, "consents", *PLANNED)
    parted = await everything(http, WEB)
    assert [due(contact) for contact in parted["plan"]] == [due(contact) for contact in twin["plan"]]
    assert parted["view"]["tags"] == ["tea"]
    assert (parted["view"]["value"]["order_count"], points(parted)) == (2, 175)
    assert await survivors(http) == {TILL: None, WEB: None}
    assert (parted["notes"], said(parted)) == ([], {("email", "survey"): False})


async def as_one(http: httpx.AsyncClient, one: str, other: str) -> dict[str, Any]:
    """What is told of both alike, once it is."""

    async def alike() -> dict[str, Any] | None:
        found = await everything(http, one)
        return found if await everything(http, other) == found else None

    found = await until(alike, 30, what=f"{one} and {other} alike")
    assert found is not None
    return found


async def planned(http: httpx.AsyncClient, purpose: str) -> bool:
    plans = [(await answer(http, f"/engagement/customers/{who}/next-contacts"))["items"] for who in (TILL, WEB, TWIN)]
    return all(purpose in [contact["purpose"] for contact in plan] for plan in plans)


async def as_it_was(http: httpx.AsyncClient, customer: str, before: dict[str, Any], *edited: str) -> None:
    """Waits until all that is told of a customer is what was told before, but for what was edited."""

    def untouched(found: dict[str, Any]) -> dict[str, Any]:
        parts = {name: part for name, part in found.items() if name not in edited}
        return parts | {"view": {name: value for name, value in found["view"].items() if name not in edited}}

    now: dict[str, Any] = {}

    async def is_it() -> bool:
        now.update(await everything(http, customer))
        return untouched(now) == untouched(before)

    try:
        await until(is_it, 60)
    except AssertionError:
        assert untouched(now) == untouched(before)


def due(contact: dict[str, Any]) -> tuple[str, str, str]:
    return contact["purpose"], contact["channel"], contact["status"]


def points(found: dict[str, Any]) -> int:
    account = found["account"]
    return int(account["available"] + account["pending"])


async def survivors(http: httpx.AsyncClient) -> dict[str, str | None]:
    return {who: (await answer(http, f"/profile/customers/{who}"))["merged_into"] for who in (TILL, WEB)}


def purchase(customer: str, order: str, total: str, at: str) -> Record:
    return record("purchase-recorded", bought(customer, f"{customer}-{order}", total=total, occurred_at=at))


async def everything(http: httpx.AsyncClient, customer: str) -> dict[str, Any]:
    """All that four services say of a customer, without his ids, and what moves with every reading."""
    paths = {
        "view": f"/profile/customers/{customer}",
        "segments": f"/profile/customers/{customer}/segments",
        "notes": f"/profile/customers/{customer}/notes",
        "consents": f"/profile/customers/{customer}/consents",
        "account": f"/loyalty/accounts/{customer}",
        "lots": f"/loyalty/accounts/{customer}/lots",
        "risk": f"/churn/customers/{customer}",
        "plan": f"/engagement/customers/{customer}/next-contacts",
    }
    found: dict[str, Any] = {}
    for name, path in paths.items():
        said = await answer(http, path)
        found[name] = steady(said.get("items", said))
    return found


def steady(said: Any) -> Any:
    """Without what names the customer, so that two may be compared, and without what is of the moment."""
    if isinstance(said, list):
        return [steady(one) for one in said]
    if isinstance(said, dict):
        kept = {name for name in said.keys() - VOLATILE - SHOPS if "id" not in name.split("_")}
        return {name: steady(said[name]) for name in kept}
    return said


def said(found: dict[str, Any]) -> dict[tuple[str, str], bool]:
    return {(one["channel"], one["purpose"]): one["granted"] for one in found["consents"]}


async def say(http: httpx.AsyncClient, customer: str, where: str, *, granted: bool) -> None:
    body = {"granted": granted, "source": "account-page", "wording_version": "2026-1"}
    answered = await http.put(f"/profile/customers/{customer}/consents/{where}", json=body)
    assert answered.status_code == 200, answered.text


async def told(
    http: httpx.AsyncClient, customer: str, *, risk: str | None = None, tier: str | None = None, segment: str = ""
) -> None:
    async def is_told() -> bool:
        view = await answer(http, f"/profile/customers/{customer}")
        return (
            (risk is None or (view["risk"] or {}).get("band") == risk)
            and (tier is None or view["tier"] == tier)
            and (not segment or segment in view["segments"])
        )

    await until(is_told, 60, what=f"{customer}: {risk} {tier} {segment}")


async def command(http: httpx.AsyncClient, path: str, body: dict[str, Any]) -> dict[str, Any]:
    response = await http.post(path, json=body, headers={"Idempotency-Key": uuid4().hex})
    assert response.is_success, response.text
    found: dict[str, Any] = response.json()
    return found


async def acknowledged(http: httpx.AsyncClient, merge_id: str) -> None:
    async def by_all() -> bool:
        return sorted((await answer(http, f"/profile/merges/{merge_id}"))["acknowledged_by"]) == EVERYBODY

    await until(by_all, 60, what="all four services' acknowledgement")
