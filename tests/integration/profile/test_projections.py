"""What events make of a customer, read back over HTTP."""

from datetime import timedelta
from typing import Any

import pytest

from services.profile.purchases.lifecycle import STAGES
from shared.db import fetch
from tests.integration.profile.house import Profile
from tests.integration.profile.test_permutations import contact, derived
from tests.kit.builders import NOW, about_order, at, cloud_event, line, money, purchase, record, returned

SERVICE = "profile"


async def spend(profile: Profile, customer: str = "pos:1") -> tuple[str, int]:
    value = (await profile.view(customer))["value"]
    assert value["lifetime_spend"]["currency"] == "TWD"
    return value["lifetime_spend"]["amount"], value["order_count"]


async def test_a_first_purchase_makes_a_bare_file_that_is_announced_once(profile: Profile) -> None:
    await profile.take(record("purchase-recorded", purchase(days_ago=3)), record("purchase-recorded", purchase()))
    await profile.take(record("activity-recorded", visit()))
    view = await profile.view("pos:1")
    assert (view["name"], view["lifecycle"], view["merged_into"]) == (None, "new", None)
    assert view["value"]["rfm"] == {"r": 5, "f": 2, "m": 1, "version": 1}
    registered = await profile.published("customer-registered")
    assert [event["event"]["data"]["customer_id"] for event in registered] == ["pos:1"]


def visit(customer: str = "pos:1", days_ago: float = 0) -> dict[str, Any]:
    return {"customer_id": customer, "activity_id": f"a-{customer}", "kind": "visit", "occurred_at": at(days_ago)}


@pytest.mark.parametrize(
    ("topic", "data"),
    [
        ("activity-recorded", visit()),
        ("purchase-delivered", about_order("o-1")),
        ("purchase-returned", returned("o-1")),
        ("tier-changed", derived("pos:1", 1, 0, direction="up", to_tier="gold")),
    ],
)
async def test_a_first_event_of_any_topic_makes_a_file(profile: Profile, topic: str, data: dict[str, Any]) -> None:
    await profile.take(record(topic, data))
    view = await profile.view("pos:1")
    assert (view["lifecycle"], view["value"]["rfm"], view["value"]["order_count"]) == ("prospect", None, 0)
    assert len(await profile.published("customer-registered")) == 1


async def test_a_return_before_its_purchase_waits_for_it(profile: Profile) -> None:
    lines = [line("1", amount="60"), line("2", amount="40")]
    await profile.take(record("purchase-returned", returned("o-1")))
    assert await spend(profile) == ("0.00", 0)
    await profile.take(record("purchase-recorded", purchase(order_id="o-1", lines=lines, days_ago=1)))
    assert await spend(profile) == ("40.00", 1)


async def test_a_higher_version_moves_the_order_to_another_customer(profile: Profile) -> None:
    await profile.take(record("purchase-recorded", purchase("pos:1", "o-1")))
    await profile.take(record("purchase-recorded", purchase("pos:2", "o-1", order_version=2, total="70")))
    assert await spend(profile, "pos:1") == ("0.00", 0)
    assert await spend(profile, "pos:2") == ("70.00", 1)
    assert (await profile.view("pos:1"))["lifecycle"] == "prospect"
    assert (await profile.client.get("/customers/pos:1/purchases")).json()["items"] == []
    assert (await profile.client.get("/customers/pos:1/timeline")).json()["items"] == []


async def test_another_purchase_of_the_same_number_is_a_conflict_and_the_first_stays(profile: Profile) -> None:
    await profile.take(record("purchase-recorded", purchase(order_id="o-1", total="100")))
    await profile.take(record("purchase-recorded", purchase(order_id="o-1", total="999")))
    assert await spend(profile) == ("100.00", 1)
    letters = (await profile.client.get("/dead-letters")).json()["items"]
    assert [letter["code"] for letter in letters] == ["key-conflict"]


async def test_other_currencies_are_counted_and_named_and_not_summed(profile: Profile) -> None:
    await profile.take(
        record("purchase-recorded", purchase(total="100")),
        record("purchase-recorded", purchase(total="7.50", currency="USD", days_ago=1)),
        record("purchase-recorded", purchase(total="2.50", currency="USD", days_ago=2)),
    )
    assert await spend(profile) == ("100.00", 3)
    assert (await profile.view("pos:1"))["value"]["unconverted"] == [money("10.00", "USD")]


async def test_the_largest_orders_add_up_past_what_one_event_may_carry(profile: Profile) -> None:
    most = "999999999999999"
    for currency in ("TWD", "USD"):
        for n in range(2):
            order = purchase(total=most, days_ago=n, currency=currency)
            await profile.take(record("purchase-recorded", order))
    listed = (await profile.client.get("/customers")).json()["items"][0]
    for shown in (listed["value"], (await profile.view("pos:1"))["value"]):
        assert shown["lifetime_spend"] == {"amount": "1999999999999998.00", "currency": "TWD"}
        assert shown["unconverted"] == [{"amount": "1999999999999998.00", "currency": "USD"}]


async def test_a_cancelled_order_and_one_given_back_whole_dont_count(profile: Profile) -> None:
    await profile.take(
        record("purchase-recorded", purchase(order_id="o-1")),
        record("purchase-recorded", purchase(order_id="o-2")),
        record("purchase-cancelled", about_order("o-1")),
        record("purchase-returned", returned("o-2")),
    )
    assert await spend(profile) == ("0.00", 0)
    orders = (await profile.client.get("/customers/pos:1/purchases")).json()["items"]
    assert {order["order_id"]: order["net"]["amount"] for order in orders} == {"o-1": "0.00", "o-2": "0.00"}


async def test_orders_are_listed_with_their_winning_version_and_returns_in_pages(profile: Profile) -> None:
    lines = [line("1", amount="30", quantity=3), line("2", amount="10", quantity="0.5")]
    await profile.take(
        *(record("purchase-recorded", purchase(order_id=f"o-{n}", days_ago=n)) for n in range(5)),
        record("purchase-recorded", purchase(order_id="o-1", days_ago=1, order_version=3, lines=lines, total="95")),
        record("purchase-returned", returned("o-1", days_ago=0.5)),
        record("purchase-delivered", about_order("o-1", days_ago=0.7)),
    )
    seen, cursor = [], ""
    while True:
        page = (await profile.client.get(f"/customers/pos:1/purchases?limit=2{cursor}")).json()
        seen += page["items"]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert [order["order_id"] for order in seen] == [f"o-{n}" for n in range(5)]
    replaced = seen[1]
    assert (replaced["order_version"], replaced["net"]) == (3, money("65.00"))
    assert replaced["lines"][0] | {"sku": "", "category": ""} == {
        "line_id": "1", "sku": "", "category": "", "quantity": "3", "paid": money("90.00"),
        "returned_quantity": "1", "returned": money("30.00"),
    }  # fmt: skip
    assert replaced["lines"][1]["quantity"] == "0.5"
    assert replaced["returns"][0]["amount"] == money("30.00")
    assert replaced["delivered_at"] is not None


async def test_the_view_shows_what_the_other_services_last_said(profile: Profile) -> None:
    due = (NOW + timedelta(days=2)).isoformat()
    why = [{"code": "silence", "text": "62 days since the last purchase", "contribution": 0.3}]
    at_risk = derived(
        "pos:1", 5, 1, probability=0.7, band="at-risk", horizon_days=90, value_at_risk=money("100"), reasons=why,
        model_version="m1",
    )  # fmt: skip
    await profile.take(
        record("churn-scored", derived("pos:1", 6, 1, probability=0.72, band="at-risk", model_version="m1")),
        record("customer-at-risk", at_risk),
        record("contact-planned", derived("pos:1", 1, 0, **contact("pos:1"), due_at=due)),
        record("contact-planned", derived("pos:1", 2, 0, **contact("x") | {"contact_id": "x"}, due_at=at(0))),
        record("contact-suppressed", derived("pos:1", 3, 0, **contact("x") | {"contact_id": "x"}, reason="bought")),
        record("feedback-received", complaint("f-1")),
        record("feedback-received", complaint("f-2")),
    )
    view = await profile.view("pos:1")
    assert view["risk"]["reasons"] == why
    assert (view["risk"]["band"], view["risk"]["probability"]) == ("at-risk", 0.72)
    assert view["next_contact"]["contact_id"] == "k-pos:1"
    assert view["open_complaints"] == 2
    lowered = derived(
        "pos:1", 7, 0, from_band="at-risk", to_band="low", cause="purchase", probability=0.2, model_version="m1"
    )
    await profile.take(record("risk-lowered", lowered))
    risk = (await profile.view("pos:1"))["risk"]
    assert (risk["band"], risk["reasons"]) == ("low", [])


def complaint(id: str) -> dict[str, Any]:
    return {
        "customer_id": "pos:1", "feedback_id": id, "channel": "web", "kind": "complaint", "occurred_at": at(0),
    }  # fmt: skip


async def test_the_timeline_tells_everything_newest_first_in_pages(profile: Profile) -> None:
    await profile.take(
        record("purchase-recorded", purchase(order_id="o-1", days_ago=9)),
        record("purchase-recorded", purchase(order_id="o-1", days_ago=9, order_version=2, total="50")),
        record("activity-recorded", visit(days_ago=5)),
        record("feedback-received", complaint("f-1")),
        record("tier-changed", derived("pos:1", 1, 2, direction="up", to_tier="gold")),
        record("tier-changed", derived("pos:2", 1, 2, direction="up", to_tier="gold")),
    )
    seen, cursor = [], ""
    while True:
        page = (await profile.client.get(f"/customers/pos:1/timeline?limit=1{cursor}")).json()
        seen += page["items"]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    kinds = [entry["kind"] for entry in seen]
    assert kinds == ["feedback-received", "tier-changed", "activity-recorded", "purchase-recorded"]
    assert seen[-1]["data"]["order_version"] == 2
    some = await profile.client.get(
        "/customers/pos:1/timeline", params={"kinds": "tier-changed,activity-recorded", "before": at(3)}
    )
    assert [entry["kind"] for entry in some.json()["items"]] == ["activity-recorded"]
    assert (await profile.client.get("/customers/pos:1/timeline?kinds=gossip")).status_code == 422


async def test_lists_filter_by_what_the_file_and_the_facts_say(profile: Profile) -> None:
    made = {"name": "Zoë 100%_tea", "tags": ["tea"], "owner": "staff:1"}
    assert (await profile.client.post("/customers", json={"customer_id": "a", **made})).status_code == 201
    for name in ("b", "c"):
        await profile.client.post("/customers", json={"customer_id": name, "name": f"Zoë {name}"})
    await profile.take(
        record("tier-changed", derived("b", 1, 0, direction="up", to_tier="gold")),
        record("churn-scored", derived("c", 1, 0, probability=0.9, band="critical", model_version="m")),
        record("purchase-recorded", purchase("c", days_ago=400)),
    )

    async def found(**filters: Any) -> list[str]:
        answer = await profile.client.get("/customers", params=filters)
        assert answer.status_code == 200, answer.text
        return [row["customer_id"] for row in answer.json()["items"]]

    assert await found() == ["a", "b", "c"]
    assert await found(q="ZOË") == ["a", "b", "c"]
    assert await found(q="zoë 100%_") == ["a"]
    assert await found(q="zoë 1%") == []
    assert await found(tag="tea") == await found(owner="staff:1") == ["a"]
    assert await found(tier="gold") == ["b"]
    assert await found(risk="critical") == await found(lifecycle="lost") == ["c"]
    assert await found(lifecycle="prospect", limit=1) == ["a"]
    assert await found(tag="tea", tier="gold") == []


async def test_lists_and_the_view_agree_on_every_stage(profile: Profile) -> None:
    """The stage is computed in Python for the view, in SQL for the filter."""
    gaps = [(), (0,), (89,), (90,), (91,), (365,), (30, 120), (30, 119), (1, 100, 200), (90, 180), (89, 179)]
    gaps += [tuple(range(last, last + 10 * n, 10)) for n in (4, 5, 6, 7) for last in (5, 29, 30, 31, 89, 90, 91)]
    gaps += [tuple(range(last, last + 45 * n, 45)) for n in (5, 6) for last in (134, 135, 269, 270)]
    gaps += [(last, *range(last + gap, last + gap + 40, 10)) for last in (3, 40) for gap in (29, 30, 31, 120)]
    gaps += [(last, *range(last + gap, last + gap + 50, 10)) for last in (3, 40) for gap in (29, 30, 31, 120)]
    records = [record("activity-recorded", visit(f"c-{n}")) for n in range(len(gaps))]
    records += [
        record("purchase-recorded", purchase(f"c-{n}", days_ago=days)) for n, all_ in enumerate(gaps) for days in all_
    ]
    await profile.take(*records)
    by_filter: dict[str, str] = {}
    for stage in STAGES:
        page = (await profile.client.get("/customers", params={"lifecycle": stage, "limit": 200})).json()
        by_filter |= {row["customer_id"]: stage for row in page["items"]}
    everybody = (await profile.client.get("/customers?limit=200")).json()["items"]
    assert by_filter == {row["customer_id"]: row["lifecycle"] for row in everybody}
    assert set(by_filter.values()) == set(STAGES)


async def test_stages_and_scores_move_with_time_alone(profile: Profile) -> None:
    await profile.take(record("purchase-recorded", purchase()))
    seen = []
    for days in (0, 90, 275):
        profile.clock.set(profile.clock.now() + timedelta(days=days))
        view = await profile.view("pos:1")
        seen.append((view["lifecycle"], view["value"]["rfm"]["r"]))
    assert seen == [("new", 5), ("dormant", 3), ("lost", 1)]


async def test_the_newest_product_stands_whatever_came_last(profile: Profile) -> None:
    def product(days_ago: float, name: str) -> Any:
        data = {"sku": "tea-1", "name": name, "category": "tea", "price": money("90")}
        return record("product-changed", data, time=at(days_ago))

    await profile.take(product(1, "new"))
    await profile.take(product(5, "old"), product(3, "older than new"))
    async with profile.service.db.transaction() as tx:
        rows = await fetch(tx, "SELECT convert_from(body, 'UTF8') AS body FROM products")
    assert [row["body"].count('"new"') for row in rows] == [1]


async def test_keys_of_events_are_forgotten_when_their_days_are_over(profile: Profile) -> None:
    sent = cloud_event("purchase-recorded", purchase())
    assert (await profile.client.post("/events", json=sent)).status_code == 202
    job = next(job for job in profile.service.runner.jobs if job.name == "expire-keys")
    await job.run()
    profile.clock.set(NOW + timedelta(days=38))
    due = await job.next_due()
    assert due is not None
    assert due <= profile.clock.now()
    assert await job.run() == 1
    async with profile.service.db.transaction() as tx:
        assert (await fetch(tx, "SELECT count(*) AS n FROM received_events"))[0]["n"] == 0
    after = await job.next_due()
    assert after is not None
    assert after > profile.clock.now()
