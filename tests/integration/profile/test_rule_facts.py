"""Rules over what was bought and over the shop's own attributes: by events, by time, in silence where it was loaded."""

from datetime import timedelta
from importlib import import_module
from typing import Any

import pytest

from services.profile.counting import store
from services.profile.counting.store import take
from shared.db import execute, fetch
from tests.integration.profile.house import Profile
from tests.integration.profile.test_counting import count, counting_of
from tests.integration.profile.test_filling import patch
from tests.integration.profile.test_identities import make, merge
from tests.integration.profile.test_segments import changes, live_until, places, placing
from tests.kit.builders import NOW, about_order, at, line, purchase, record, returned

SERVICE = "profile"
TEA = {"fact": "categories_90_days", "op": "contains", "value": "tea"}


async def segment(profile: Profile, name: str, rule: dict[str, Any]) -> None:
    answer = await profile.client.post("/segments", json={"name": name, "rule": rule})
    assert answer.status_code == 201, answer.text


async def buy(profile: Profile, customer: str, order: str, category: str, days_ago: float = 0, **said: Any) -> None:
    data = purchase(customer, order, lines=[line(sku=f"sku-{category}", category=category)], days_ago=days_ago)
    await profile.take(record("purchase-recorded", data, **said))


async def settled(profile: Profile) -> None:
    await count(profile)
    await placing(profile).run()


async def test_who_bought_of_a_category_is_in_until_ninety_days_have_passed(profile: Profile) -> None:
    await buy(profile, "a", "o-1", "tea", days_ago=10)
    await buy(profile, "b", "o-2", "coffee")
    await settled(profile)
    preview = (await profile.client.post("/segments/tea/preview", json={"rule": TEA})).json()
    assert [(move["count"], move["examples"]) for move in preview["moves"]] == [(1, ["a"])]
    await segment(profile, "tea", TEA)
    await placing(profile).run()
    assert ((await places(profile, "a"))["tea"], "tea" in await places(profile, "b")) == ("in", False)
    await buy(profile, "b", "o-3", "tea")
    await settled(profile)
    assert (await places(profile, "b"))["tea"] == "in"
    await live_until(profile, NOW + timedelta(days=81))
    assert [(await places(profile, who))["tea"] for who in "ab"] == ["out", "in"]
    [left] = await changes(profile, segment="tea", to="out")
    assert (left["customer_id"], left["cause"], left["inputs"]["categories_90_days"]) == ("a", "time", "")
    assert await placing(profile).recompute() == 0


async def test_what_was_given_back_is_bought_no_more_and_what_a_joined_id_bought_is_his(profile: Profile) -> None:
    often = {"all": [{"fact": "orders_365_days", "op": ">=", "value": 2}, {"fact": "skus", "op": "contains",
             "value": "sku-tea"}, {"fact": "average_order", "op": ">", "value": 0}]}  # fmt: skip
    await segment(profile, "tea", TEA)
    await segment(profile, "often", often)
    await buy(profile, "a", "o-1", "tea")
    await buy(profile, "web", "o-2", "coffee")
    await settled(profile)
    await merge(profile, "web", "a")
    await settled(profile)
    stands = await places(profile, "a")
    assert (stands["tea"], stands["often"]) == ("in", "in")
    await profile.take(record("purchase-returned", returned("o-1", customer_id="a")))
    await settled(profile)
    stands = await places(profile, "a")
    assert (stands["tea"], stands["often"]) == ("out", "out")
    assert await placing(profile).recompute() == 0


async def test_loaded_orders_are_placed_in_silence_and_live_ones_are_told(profile: Profile) -> None:
    await segment(profile, "tea", TEA)
    await buy(profile, "old", "o-1", "tea", days_ago=20, backfill=True)
    await buy(profile, "new", "o-2", "tea")
    await settled(profile)
    assert [(await places(profile, who))["tea"] for who in ("old", "new")] == ["in", "in"]
    assert [told["customer_id"] for told in await changes(profile, segment="tea")] == ["new"]


@pytest.mark.parametrize("first", ["counting", "placing"])
async def test_what_is_given_back_moves_in_silence_if_the_return_was_loaded_whatever_its_order_was(
    profile: Profile, first: str
) -> None:
    tea = {"fact": "categories", "op": "contains", "value": "tea"}
    await segment(profile, "tea", tea)
    await buy(profile, "old", "o-1", "tea", days_ago=20, backfill=True)
    await buy(profile, "new", "o-2", "tea")
    await settled(profile)
    await profile.take(record("purchase-returned", returned("o-1", customer_id="old")))
    await profile.take(record("purchase-returned", returned("o-2", customer_id="new"), backfill=True))
    if first == "placing":
        await placing(profile).run()
    await settled(profile)
    assert [(await places(profile, who))["tea"] for who in ("old", "new")] == ["out", "out"]
    told = [(move["customer_id"], move["to"]) for move in await changes(profile, segment="tea")]
    assert told == [("new", "in"), ("old", "out")]


async def test_what_is_live_is_told_though_it_came_when_the_loaded_of_its_order_was_noted_already(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    await segment(profile, "tea", TEA)
    await buy(profile, "a", "o-1", "tea", backfill=True)
    await settled(profile)
    taken_by = "services.profile.counting.application.store.take"

    async def interrupted(*args: Any) -> Any:
        monkeypatch.setattr(taken_by, take)
        await profile.take(record("purchase-returned", returned("o-1", customer_id="a")))
        await placing(profile).run()
        return await take(*args)

    await profile.take(record("purchase-delivered", about_order("o-1", customer_id="a"), backfill=True))
    monkeypatch.setattr(taken_by, interrupted)
    await counting_of(profile).run()
    await placing(profile).run()
    assert (await places(profile, "a"))["tea"] == "out"
    assert [move["to"] for move in await changes(profile, segment="tea")] == ["out"]


async def test_what_is_live_and_what_is_loaded_of_an_order_between_two_counts_is_told(profile: Profile) -> None:
    await segment(profile, "tea", TEA)
    for who, order in (("a", "o-1"), ("b", "o-2")):
        await buy(profile, who, order, "tea", backfill=True)
    await settled(profile)
    facts = [
        record("purchase-delivered", about_order("o-1", customer_id="a"), backfill=True),
        record("purchase-returned", returned("o-1", customer_id="a")),
        record("purchase-returned", returned("o-2", customer_id="b")),
        record("purchase-delivered", about_order("o-2", customer_id="b"), backfill=True),
    ]
    for fact in facts:
        await profile.take(fact)
        await placing(profile).run()
        async with profile.service.db.transaction() as tx:
            await store.mark(tx)
    await settled(profile)
    assert {move["customer_id"] for move in await changes(profile, segment="tea", to="out")} == {"a", "b"}


async def test_who_has_said_nothing_for_a_month_is_found_whatever_he_said_and_under_whichever_id(
    profile: Profile,
) -> None:
    def said(customer: str, number: int, days_ago: float, kind: str = "praise") -> Any:
        data = {"customer_id": customer, "feedback_id": f"f-{number}", "channel": "web", "kind": kind}
        return record("feedback-received", {**data, "occurred_at": at(days_ago)})

    await segment(profile, "mute", {"fact": "days_since_last_feedback", "op": ">=", "value": 30})
    # The newest first: what comes later is older.
    await profile.take(said("a", 1, 5), said("a", 2, 40), said("web", 3, 1, "complaint"), said("b", 4, 31))
    await placing(profile).run()
    assert [(await places(profile, who)).get("mute", "out") for who in ("a", "web", "b")] == ["out", "out", "in"]
    await merge(profile, "web", "a")
    await live_until(profile, NOW + timedelta(days=28))
    assert (await places(profile, "a"))["mute"] == "out"
    await live_until(profile, NOW + timedelta(days=29))
    assert (await places(profile, "a"))["mute"] == "in"
    assert await placing(profile).recompute() == 0
    migration = import_module("services.profile.migrations.versions.0021_feedback")
    async with profile.service.db.transaction() as tx:
        kept = await fetch(tx, "SELECT customer_id, feedback_at FROM standings ORDER BY customer_id")
        await execute(tx, "UPDATE standings SET feedback_at = NULL")
        await execute(tx, migration.SAID)
        assert await fetch(tx, "SELECT customer_id, feedback_at FROM standings ORDER BY customer_id") == kept


async def test_a_rule_reads_attributes_and_the_fields_of_a_file(profile: Profile) -> None:
    declared = {"type": "integer", "description": "Of the shoe"}
    assert (await profile.client.put("/attributes/shoe", json=declared)).is_success
    rule = {"all": [{"fact": "attributes.shoe", "op": ">=", "value": 42}, {"fact": "industry", "op": "=",
            "value": "hotel"}, {"fact": "company_size", "op": "<", "value": 50}, {"fact": "special_needs",
            "op": "contains", "value": "quiet room"}]}  # fmt: skip
    await segment(profile, "large", rule)
    fields = {"industry": "hotel", "company_size": 12, "special_needs": ["quiet room"], "attributes": {"shoe": 41}}
    await make(profile, "a", **fields)
    await settled(profile)
    assert "large" not in await places(profile, "a")
    await patch(profile, "a", attributes={"shoe": 43})
    await placing(profile).run()
    assert (await places(profile, "a"))["large"] == "in"
    why = (await profile.client.get("/customers/a/segments/large/explanation")).json()
    assert why["inputs"]["attributes.shoe"] == 43

    wrong = {"any": [{"fact": "attributes.shoe", "op": "=", "value": "large"}]}
    for path, body in (("/segments", {"name": "wrong", "rule": wrong}), ("/segments/wrong/preview", {"rule": wrong})):
        refused = await profile.client.post(path, json=body)
        assert refused.status_code == 422
        assert refused.json()["errors"][0]["pointer"] == "/rule/any/0/value"
