"""Occasions that aren't purchases give what the rules say: once each, up to their caps, as of when they happened."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shared.contracts.topics import TOPICS
from shared.db import fetch
from shared.messaging.records import Record
from tests.integration.loyalty.shop import Shop, open_shop
from tests.integration.loyalty.test_redemptions import C, books, erased, lots, tables, whole
from tests.kit.builders import NOW, at, money, record
from tests.kit.databases import TestDatabase

SERVICE = "loyalty"
EXAMPLES = Path("shared/contracts/examples")
DAY = timedelta(days=1)
CAUSE = {"source": "/roost/engagement/requests", "id": "r"}
COUPON = {"percent": "10", "valid_days": 90}
ON = {
    "complaint-resolved": "complaint-resolved", "survey-answered": "survey-answered", "activity-recorded": "activity",
    "customer-at-risk": "customer-at-risk", "customer-returned": "customer-returned",
}  # fmt: skip


def rule(on: str, bonus: int = 50, id: str | None = None, **more: Any) -> dict[str, Any]:
    return {"id": id or on, "order": 1, "on": on, "effect": {"bonus": bonus}, **more}


def derived(customer: str = C, days_ago: float = 0, sequence: int = 1) -> dict[str, Any]:
    return {"customer_id": customer, "sequence": sequence, "caused_by": CAUSE, "occurred_at": at(days_ago)}


def resolved(complaint: str = "k-1", customer: str = C, days_ago: float = 0, **more: Any) -> Record:
    return record("complaint-resolved", {**derived(customer, days_ago), "complaint_id": complaint}, **more)


def active(activity: str, kind: str = "share", customer: str = C, days_ago: float = 0, **more: Any) -> Record:
    data = {"customer_id": customer, "activity_id": activity, "kind": kind, "occurred_at": at(days_ago)}
    return record("activity-recorded", data, **more)


def told(topic: str, customer: str = C) -> Record:
    more: dict[str, Any] = {
        "complaint-resolved": {"complaint_id": "k-1"},
        "survey-answered": {"survey_id": "s-1", "response_id": "a-1"},
        "activity-recorded": {"activity_id": "v-1", "kind": "share"},
        "customer-at-risk": {
            "probability": 0.8, "band": "at-risk", "horizon_days": 90, "value_at_risk": money("10"), "reasons": [],
            "model_version": "m",
        },
        "customer-returned": {"from": "lost", "silent_days": 200, "rule_version": 1},
    }  # fmt: skip
    return record(topic, {**derived(customer), **more[topic]}, id=f"{topic}-1")


@asynccontextmanager
async def another(database: TestDatabase) -> AsyncIterator[Shop]:
    async with open_shop(database) as shop:
        yield shop


async def coupons(shop: Shop, customer: str = C) -> list[Any]:
    async with shop.client() as http:
        items: list[Any] = (await http.get(f"/accounts/{customer}/coupons")).json()["items"]
    return items


async def gifts(shop: Shop) -> list[Any]:
    async with shop.db.transaction() as tx:
        sql = "SELECT rule, kind, wanted, points FROM occasion_gifts ORDER BY occurred_at, rule, points"
        return [tuple(row.values()) for row in await fetch(tx, sql)]


@pytest.mark.parametrize("topic", ON)
async def test_what_is_told_many_times_gives_once(shop: Shop, topic: str) -> None:
    await shop.post(rules=[rule(ON[topic])])
    one = told(topic)
    await shop.take(one, one)
    await shop.take(one)
    # The inbox forgets; what was given stays.
    async with shop.db.transaction() as tx:
        await fetch(tx, "DELETE FROM inbox")
    await shop.take(one)
    assert await books(shop) == {"available": 50}
    granted = await shop.published("points-granted")
    kinds = {"complaint-resolved": "compensation", "customer-at-risk": "gift", "customer-returned": "gift"}
    assert [(said["kind"], said["points"]) for said in granted] == [(kinds.get(topic, "occasion"), 50)]
    assert sum(said["points"] for said in await shop.published("points-earned")) == 50
    await whole(shop)


@pytest.mark.parametrize("topic", ON)
async def test_the_contract_s_own_example_gives(shop: Shop, topic: str) -> None:
    await shop.post(rules=[rule(ON[topic])], active_from="2020-01-01T00:00:00+00:00")
    example = msgspec.json.decode((EXAMPLES / f"{TOPICS[topic].type}.json").read_bytes())
    shop.clock.set(NOW + 400 * DAY)
    await shop.take(Record(topic, example["data"]["customer_id"].encode(), msgspec.json.encode(example)))
    assert [row[:2] for row in await gifts(shop)] == [(ON[topic], ON[topic])]
    await whole(shop)


async def test_without_a_rule_nothing_is_opened_for_anybody(shop: Shop) -> None:
    await shop.take(*(told(topic) for topic in ON if topic != "complaint-resolved"))
    async with shop.db.transaction() as tx:
        assert not await fetch(tx, "SELECT 1 FROM accounts")


async def test_a_complaint_is_compensated_once_whatever_is_reopened_and_resolved_again(shop: Shop) -> None:
    await shop.take(resolved(days_ago=3), resolved(days_ago=2))
    await shop.post(rules=[rule("complaint-resolved", id="another-rule")], active_from=at(1.5))
    await shop.take(resolved(days_ago=1), resolved("k-2", days_ago=1))
    assert [one["percent"] for one in await coupons(shop)] == ["10"]
    assert await books(shop) == {"available": 50}
    assert len(await shop.published("coupon-issued")) == 1
    await whole(shop)


async def test_the_version_in_force_when_it_happened_judges(shop: Shop) -> None:
    await shop.post(rules=[rule("survey-answered", 10)], active_from=at(10))
    await shop.post(rules=[rule("survey-answered", 90)], active_from=at(5))
    for n, days_ago in enumerate((20, 7, 1)):
        survey = {"survey_id": "s", "response_id": f"a-{n}"}
        await shop.take(record("survey-answered", {**derived(days_ago=days_ago), **survey}))
    assert [one[3] for one in await gifts(shop)] == [10, 90]
    lot = next(one for one in await lots(shop) if one["points"] == 10)
    assert (lot["available_from"], lot["expires_at"]) == ("2026-11-13T04:00:00Z", "2027-11-13T04:00:00Z")
    await whole(shop)


async def test_only_the_kinds_that_a_rule_names_give(shop: Shop) -> None:
    await shop.post(rules=[rule("activity", 5, when={"kind": ["share", "login"]}), rule("activity", 1, "any")])
    await shop.take(active("v-1"), active("v-2", "visit"), active("v-3", "login"))
    assert await books(shop) == {"available": 13}


async def test_a_cap_trims_what_a_customer_is_given_in_a_period(shop: Shop) -> None:
    await shop.post(rules=[rule("activity", 5, cap={"points": 12, "per": "month"})], active_from=at(100))
    await shop.take(*(active(f"v-{n}", days_ago=n / 10) for n in range(5)))
    assert await books(shop) == {"available": 12}
    await shop.take(active("v-9", days_ago=40), active("v-8", customer="c-2"))
    assert (await books(shop), await books(shop, "c-2")) == ({"available": 17}, {"available": 5})
    assert sorted((wanted, points) for _, _, wanted, points in await gifts(shop)) == [
        (5, 0), (5, 0), (5, 2), (5, 5), (5, 5), (5, 5), (5, 5),
    ]  # fmt: skip
    await whole(shop)


async def test_a_cap_holds_for_processes_at_once(shop: Shop, test_database: TestDatabase) -> None:
    await shop.post(rules=[rule("activity", 5, cap={"points": 22, "per": "year"})])
    async with another(test_database) as one, another(test_database) as two:
        await asyncio.gather(*(where.take(active(f"v-{n}")) for n in range(20) for where in (one, two)))
    assert await books(shop) == {"available": 22}
    assert len(await gifts(shop)) == 20
    await whole(shop)


async def test_what_happened_first_comes_first_for_a_cap_whenever_it_arrives(shop: Shop) -> None:
    await shop.post(rules=[rule("activity", 5, cap={"points": 12, "per": "month"})], active_from=at(100))
    for days_ago in (1, 2, 3, 4):
        await shop.take(active(f"v-{days_ago}", days_ago=days_ago))
        await whole(shop)
    assert [points for *_, points in await gifts(shop)] == [5, 5, 2, 0]
    assert {one["occurred_at"]: one["points"] for one in await lots(shop)} == {
        "2026-11-16T04:00:00Z": 5, "2026-11-17T04:00:00Z": 5, "2026-11-18T04:00:00Z": 2,
    }  # fmt: skip
    earned = sum(one["points"] for one in await shop.published("points-earned"))
    assert earned - sum(one["points"] for one in await shop.published("points-reversed")) == 12


async def test_of_two_tellings_of_a_complaint_the_earlier_stands(shop: Shop) -> None:
    await shop.post(rules=[rule("complaint-resolved")], active_from=at(100))
    await shop.take(resolved(days_ago=2))
    await shop.take(resolved(days_ago=5))
    await shop.take(resolved(days_ago=1))
    assert [(one["occurred_at"], one["points"]) for one in await lots(shop)] == [("2026-11-15T04:00:00Z", 50)]
    assert await books(shop) == {"available": 50}
    await whole(shop)


async def test_history_gives_nothing_unless_the_programme_says_so(shop: Shop) -> None:
    await shop.post(rules=[rule("activity")], active_from=at(5))
    await shop.post(rules=[rule("activity")], active_from=at(2), backfill_earns=True)
    await shop.take(active("v-1", days_ago=3, backfill=True), active("v-2", days_ago=1, backfill=True))
    assert await books(shop) == {"available": 50}


async def test_what_topics_tell_again_is_there_already(shop: Shop, test_database: TestDatabase) -> None:
    await shop.post(rules=[rule("complaint-resolved")])
    await shop.take(resolved())
    granted = (await shop.published("points-granted"))[0]
    topic = granted.pop("topic")
    # As a ledger that was lost has them: the grant first, then what made it.
    async with shop.db.transaction() as tx:
        await fetch(tx, "DELETE FROM inbox")
        await fetch(tx, "DELETE FROM occasion_gifts")
    await shop.take(record(topic, granted), resolved())
    assert await books(shop) == {"available": 50}
    await whole(shop)


async def test_nothing_that_stays_of_an_occasion_names_its_customer(shop: Shop) -> None:
    await shop.post(rules=[*(rule(on) for on in ON.values()), rule("birthday", 5)])
    said = {name: told(name) for name in ON}
    for n, (topic, one) in enumerate(said.items(), start=1):
        envelope = msgspec.json.decode(one.value or b"")
        if topic != "activity-recorded":
            # As our own services name what they publish.
            envelope |= {"id": f"{C}:{n}", "source": "/roost/engagement"}
        await shop.take(one._replace(value=msgspec.json.encode(envelope)))
    await shop.take(record("customer-registered", {**derived(), "birthday": {"month": 11, "day": 20}}))
    await shop.job("celebrations").run()
    assert await books(shop) == {"available": 255}
    await shop.take(erased(C))
    kept = await tables(shop)
    for name in ("ledger", "lots", "accounts", "occasion_gifts", "celebrations", "outbox", "inbox"):
        assert not [row for row in kept[name] if C in str(row)], name
    await whole(shop)


async def test_an_erasure_leaves_no_day_and_no_name(shop: Shop) -> None:
    await shop.post(rules=[rule("activity"), rule("birthday", 5)])
    file = {"birthday": {"month": 11, "day": 20}}
    await shop.take(record("customer-registered", {**derived(), **file}), active("v-1"))
    await shop.job("celebrations").run()
    assert await books(shop) == {"available": 55}
    await shop.take(erased(C))
    async with shop.db.transaction() as tx:
        rows = [str(row) for name in ("occasion_gifts", "celebrations") for row in await fetch(tx, f"TABLE {name}")]
    assert rows
    assert not [row for row in rows if C in row or "11-20" in row.split("celebrated")[-1]]
    await shop.take(active("v-2"))
    assert len(await gifts(shop)) == 2
    await whole(shop)


REFUSED = [
    (rule("activity", when={"store": ["s"]}), "/rules/0/when"),
    (rule("survey-answered", when={"kind": ["share"]}), "/rules/0/when"),
    (rule("purchase", when={"kind": ["share"]}), "/rules/0/when/kind"),
    (rule("activity", cap={"points": 5, "per": "day", "scope": "programme"}), "/rules/0/cap/scope"),
    (rule("birthday", group="g"), "/rules/0/group"),
    ({**rule("birthday"), "effect": {"multiply": "2"}}, "/rules/0/effect"),
    ({**rule("purchase"), "effect": {"coupon": COUPON}}, "/rules/0/effect/coupon"),
    ({**rule("activity"), "effect": {"coupon": COUPON}}, "/rules/0/effect/coupon"),
    ({**rule("birthday", cap={"points": 5, "per": "day"}), "effect": {"coupon": COUPON}}, "/rules/0/cap"),
]


@pytest.mark.parametrize(("body", "pointer"), REFUSED)
async def test_a_rule_that_would_be_ignored_is_refused(shop: Shop, body: Any, pointer: str) -> None:
    async with shop.client("admin") as http:
        version = (await http.get("/programmes/current")).json()
        for name in ("version", "posted_at", "not_yet_evaluated"):
            version.pop(name)
        version = {name: value for name, value in version.items() if value is not None}
        answer = await http.post("/programmes", json={**version, "rules": [body]}, headers={"Idempotency-Key": "k"})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer), answer.text


async def test_every_occasion_is_evaluated(shop: Shop) -> None:
    every = [*ON.values(), "birthday", "anniversary"]
    async with shop.client("admin") as http:
        version = (await http.get("/programmes/current")).json()
        for name in ("version", "posted_at", "not_yet_evaluated"):
            version.pop(name)
        body = {**{name: value for name, value in version.items() if value is not None}, "rules": [*map(rule, every)]}
        body["rules"][0]["effect"] = {"coupon": COUPON}
        answer = await http.post("/programmes", json=body, headers={"Idempotency-Key": "k"})
    assert answer.status_code == 201, answer.text
    assert answer.json()["not_yet_evaluated"] == []
