"""Replicas at work on the same customers at the same time."""

import asyncio

from tests.integration.profile.house import Profile
from tests.kit.builders import money, purchase, record

SERVICE = "profile"


async def test_batches_at_the_same_time_lose_nothing_of_a_new_customer(profile: Profile) -> None:
    batches = [
        [record("purchase-recorded", purchase(f"pos:{n}", days_ago=lane + n)) for n in range(5)] for lane in range(6)
    ]
    await asyncio.gather(*(profile.take(*batch) for batch in batches))
    for n in range(5):
        value = (await profile.view(f"pos:{n}"))["value"]
        assert (value["order_count"], value["lifetime_spend"]) == (6, money("600.00"))
    assert len(await profile.published("customer-registered")) == 5


async def test_two_patches_at_the_same_time_are_one_change_and_one_refusal(profile: Profile) -> None:
    made = await profile.client.post("/customers", json={"customer_id": "a"})
    headers = {"If-Match": made.headers["ETag"]}
    answers = await asyncio.gather(
        *(profile.client.patch("/customers/a", json={"tags": [tag]}, headers=headers) for tag in "xyz")
    )
    assert sorted(answer.status_code for answer in answers) == [200, 412, 412]
    assert len(await profile.published("customer-changed")) == 1
