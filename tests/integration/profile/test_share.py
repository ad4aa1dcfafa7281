"""The customer's share: what he spends here of what he is estimated to spend altogether."""

from typing import Any

import msgspec
import pytest

from services.profile.overview.shapes import encoded, view
from tests.integration.profile.house import Profile
from tests.integration.profile.test_counting import count
from tests.integration.profile.test_filling import patch
from tests.integration.profile.test_identities import make, merge
from tests.integration.profile.test_imports import revert, send
from tests.integration.profile.test_overview import both
from tests.integration.profile.test_rates import convert, state
from tests.kit.builders import about_order, money, purchase, record, returned

SERVICE = "profile"
MIDNIGHT = 364.5
"""Days ago: the first instant of the house's 365 days up to now."""
MINUTE = 1 / 1440


async def share(profile: Profile, customer: str = "pos:1") -> dict[str, Any] | None:
    found: dict[str, Any] | None = (await profile.view(customer))["value"]["share"]
    return found


async def test_the_share_is_the_net_of_the_houses_last_365_days_over_the_estimate(profile: Profile) -> None:
    await make(profile, "pos:1", wallet_estimate=money("1000.00"), as_of="2026-11-01T00:00:00Z")
    await profile.take(
        record("purchase-recorded", purchase(order_id="today", total="200")),
        record("purchase-recorded", purchase(order_id="first", total="100", days_ago=MIDNIGHT)),
        record("purchase-recorded", purchase(order_id="before", total="700", days_ago=MIDNIGHT + MINUTE)),
        record("purchase-recorded", purchase(order_id="never", total="900", days_ago=3)),
        record("purchase-cancelled", about_order("never")),
        record("purchase-returned", returned("today", amount=money("50"))),
    )
    await count(profile)
    assert await share(profile) == {
        "share": 0.25, "numerator": money("250.00"), "denominator": money("1000.00"), "days": 365,
        "last_day": "2026-11-20", "estimate": money("1000.00"), "estimated_at": "2026-11-01T00:00:00Z",
    }  # fmt: skip
    alone, whole = await both(profile, "pos:1")
    assert alone == whole
    assert alone is not None
    assert msgspec.json.decode(encoded(alone)) == view(whole).model_dump(mode="json")
    await patch(profile, "pos:1", wallet_estimate=None)
    assert await share(profile) is None


async def test_without_a_rate_there_is_no_share(profile: Profile) -> None:
    await make(profile, "pos:1", wallet_estimate=money("40.00", "USD"))
    await profile.take(record("purchase-recorded", purchase(order_id="o", total="300")))
    await count(profile)
    assert await share(profile) is None
    await state(profile, "USD", "30")
    found = await share(profile)
    assert found is not None
    assert (found["share"], found["denominator"], found["estimate"]) == (0.25, money("1200.00"), money("40.00", "USD"))
    await profile.take(record("purchase-recorded", purchase(total="3", currency="EUR", days_ago=1)))
    await count(profile)
    assert await share(profile) is None, "one order is in a currency without a rate"
    await state(profile, "EUR", "100", days_ago=1)
    await convert(profile)
    found = await share(profile)
    assert found is not None
    assert (found["share"], found["numerator"]) == (0.5, money("600.00"))


async def test_who_is_joined_has_the_orders_of_all_his_ids_over_the_newest_estimate(profile: Profile) -> None:
    await make(profile, "till")
    await make(profile, "web", wallet_estimate=money("400.00"))
    await profile.take(*(record("purchase-recorded", purchase(who)) for who in ("till", "web")))
    await count(profile)
    await merge(profile, "web", "till")
    found = await share(profile, "till")
    assert found is not None
    assert (found["share"], found["numerator"]) == (0.5, money("200.00"))


@pytest.mark.parametrize("bad", [money("0"), money("0.00"), money("1", "XXX"), money("1.001"), money("-1"), "1000 TWD"])
async def test_an_estimate_that_is_no_money_is_refused(profile: Profile, bad: Any) -> None:
    answer = await profile.client.post("/customers", json={"customer_id": "a", "wallet_estimate": bad})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"][:16]) == (422, "/wallet_estimate")


async def test_an_estimate_is_imported_kept_with_its_source_and_taken_back(profile: Profile) -> None:
    await make(profile, "a", wallet_estimate=money("400.00"), as_of="2026-11-01T00:00:00Z")
    sent = b"customer_id,wallet_estimate,as_of\na,1200.50 TWD,2026-11-02T00:00:00Z\nb,some,\n"
    job = await send(profile, sent)
    assert (job["changed"], job["failed"]) == (1, 1)
    assert (await profile.view("a"))["wallet_estimate"] == money("1200.50")
    history = (await profile.client.get("/customers/a/history?field=wallet_estimate")).json()["items"]
    assert [(said["value"], said["source"], said["stands"]) for said in history] == [
        (money("1200.50"), f"import:{job['id']}", True), (money("400.00"), history[1]["source"], False),
    ]  # fmt: skip
    await revert(profile, job["id"])
    assert (await profile.view("a"))["wallet_estimate"] == money("400.00")
