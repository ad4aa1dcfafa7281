"""The 360° view has two ways, one for who has one id alone and one for everybody: they say the same."""

from datetime import timedelta
from typing import Any

import msgspec

from services.profile.customers.application import Customers
from services.profile.identities.application import person
from services.profile.overview.application import Overview, Overviews
from services.profile.overview.shapes import CustomerView, encoded, view
from services.profile.policies.application import in_force, put
from services.profile.purchases.domain import House
from services.profile.vault.application import Vault
from shared.settings import HouseSettings
from tests.integration.profile.house import MASTER_KEY, Profile
from tests.integration.profile.test_identities import merge
from tests.integration.profile.test_permutations import contact, derived
from tests.integration.profile.test_segments import placing
from tests.kit.builders import NOW, money, purchase, record

SERVICE = "profile"
FILE: dict[str, Any] = {
    "customer_id": "a", "kind": "person", "name": "好茶客", "email": "a@example.org", "phone": "+886912345678",
    "locale": "zh-TW", "time_zone": "Asia/Taipei", "tags": ["tea", "vip"], "owner": "staff:1",
    "birthday": {"month": 6, "day": 30, "calendar": "lunar", "leap_month": True},
    "anniversaries": [{"name": "wedding", "month": 2, "day": 29}], "attributes": {"shoe": 42.5, "club": None},
    "team": {"analyst": "staff:2"}, "interests": ["tea"], "tenure_start": "2020-01-01T00:00:00+08:00",
    "preferred_channel": "email", "preferred_hours": "09:00-18:00", "special_needs": ["stairs"],
}  # fmt: skip

FORECAST: dict[str, Any] = {
    "lifetime_value": money("5230.00"), "lifetime_days": 365, "expected_purchases": 1.37, "horizon_days": 90,
}  # fmt: skip


async def both(profile: Profile, customer: str) -> tuple[Overview | None, Overview]:
    house = House(HouseSettings().currency, HouseSettings().time_zone)
    customers = Customers(profile.clock, "TW", Vault(profile.service.db, [MASTER_KEY]))
    overviews = Overviews(customers, house, profile.clock)
    async with profile.service.db.connection() as reader:
        alone = await overviews.alone(reader, customer)
    async with profile.service.db.transaction() as tx:
        asked = await person(tx, customer)
        file = await overviews.customers.find(tx, asked.customer_id)
        assert file is not None
        return alone, await overviews.of(tx, file, asked)


async def test_who_has_one_id_alone_is_read_in_one_statement_and_shown_the_same(profile: Profile) -> None:
    assert (await profile.client.post("/customers", json=FILE)).status_code == 201
    why = [{"code": "silent", "text": "silent for 40 days", "contribution": 0.25}]
    risk = derived("a", 5, 1, probability=0.7, band="at-risk", horizon_days=90, value_at_risk=money("9"), reasons=why)
    await profile.take(
        record("purchase-recorded", purchase("a", days_ago=3)),
        record("purchase-recorded", purchase("a", days_ago=200, currency="EUR")),
        record("purchase-recorded", purchase("bare")),
        record("tier-changed", derived("a", 3, 7, direction="up", to_tier="silver")),
        record("churn-scored", derived("a", 4, 2, probability=0.7, band="at-risk", model_version="m", **FORECAST)),
        record("customer-at-risk", {**risk, "model_version": "m"}),
        record("contact-planned", derived("a", 1, 5, **contact("a"), due_at=NOW.isoformat())),
    )
    await placing(profile).run()
    for customer in ("a", "bare"):
        alone, whole = await both(profile, customer)
        assert alone == whole
        assert alone.segments
        shown = msgspec.json.decode(encoded(alone))
        assert shown == view(whole).model_dump(mode="json")
        assert shown.keys() == CustomerView.model_fields.keys()
    assert shown["risk"] is shown["next_contact"] is shown["birthday"] is None
    told = await profile.view("a")
    assert told["risk"]["reasons"] == why
    assert (told["next_contact"]["contact_id"], told["birthday"]["calendar"]) == ("k-a", "lunar")


    assert told["value"]["clv"] == {
        "amount": "5230.00", "currency": "TWD", "days": 365, "expected_purchases": 1.37, "horizon_days": 90,
        "model_version": "m", "scored_at": "2026-11-18T04:00:00Z",
    }  # fmt: skip


async def test_of_who_is_joined_the_survivors_own_forecast_is_shown_and_exported(profile: Profile) -> None:
    for customer, worth in (("old", "900.00"), ("survivor", "70.00")):
        said = {**FORECAST, "lifetime_value": money(worth), "probability": 0.2, "band": "low", "model_version": "m"}
        await profile.take(record("churn-scored", derived(customer, 1, 1, **said)))
    await merge(profile, "old", "survivor")
    assert (await profile.view("old"))["value"]["clv"]["amount"] == "70.00"
    listed = (await profile.client.get("/customers")).json()["items"]
    assert [(row["customer_id"], row["value"]["clv"]["amount"]) for row in listed] == [("survivor", "70.00")]
    exported = (await profile.client.get("/customers/old/export")).json()["standings"]
    assert {row["customer_id"]: row["forecast"]["value"] for row in exported} == {
        "old": money("900.00"), "survivor": money("70.00"),
    }  # fmt: skip


async def test_who_is_joined_is_read_with_all_his_ids(profile: Profile) -> None:
    await profile.take(*(record("purchase-recorded", purchase(who)) for who in "ab"))
    await merge(profile, "b", "a")
    for customer in "ab":
        alone, whole = await both(profile, customer)
        assert alone is None
        assert whole.said.purchases.orders == 2


async def test_a_policy_that_was_just_put_is_in_force_in_the_next_view(profile: Profile) -> None:
    await profile.take(record("purchase-recorded", purchase("a", days_ago=20)))
    assert (await profile.view("a"))["value"]["rfm"]["r"] == 5
    async with profile.service.db.transaction() as tx:
        strict = msgspec.structs.replace((await in_force(tx)).rfm, recency_days=(1, 2, 3, 400))
        await put(tx, "rfm", strict)
    assert (await profile.view("a"))["value"]["rfm"] == {"r": 2, "f": 1, "m": 1, "version": 2}
    profile.clock.set(NOW + timedelta(days=500))
    assert (await profile.view("a"))["lifecycle"] == "lost"
