"""The catalogue over HTTP and by events: one rule of time for both."""

from datetime import timedelta
from typing import Any

import pytest

from shared.messaging.records import Record
from tests.integration.profile.house import Profile, token
from tests.kit.builders import NOW, money, record

SERVICE = "profile"
POT: dict[str, Any] = {"name": "Pot", "category": "ware", "price": money("900.00")}


def changed(sku: str = "pot", *, days_ago: float = 0, **fields: Any) -> Any:
    happened = (NOW - timedelta(days=days_ago)).isoformat()
    return record("product-changed", {"sku": sku, **POT, **fields}, time=happened)


async def test_a_put_makes_a_product_that_reads_back_whole(profile: Profile) -> None:
    whole = {
        **POT, "price_class": "considered", "durable": True, "accessory_of": ['odd "sku", {1}', "tea\\2"],
        "upgrade_of": "cup",
    }  # fmt: skip
    made = await profile.client.put("/products/ware/pot-1", json=whole)
    assert made.status_code == 200, made.text
    read = await profile.client.get("/products/ware/pot-1")
    assert read.json() == {"sku": "ware/pot-1", **whole, "changed_at": NOW.isoformat().replace("+00:00", "Z")}
    assert read.headers["ETag"] == made.headers["ETag"]
    assert (await profile.client.get("/products/none")).status_code == 404


async def test_a_put_needs_the_version_that_it_replaces(profile: Profile) -> None:
    first = await profile.client.put("/products/pot", json=POT)
    assert (await profile.client.put("/products/pot", json=POT)).status_code == 428
    dear = {**POT, "price": money("990.00")}
    second = await profile.client.put("/products/pot", json=dear, headers={"If-Match": first.headers["ETag"]})
    assert second.json()["price"] == money("990.00")
    stale = await profile.client.put("/products/pot", json=POT, headers={"If-Match": first.headers["ETag"]})
    assert stale.status_code == 412
    missing = await profile.client.put("/products/none", json=POT, headers={"If-Match": '"1"'})
    assert missing.status_code == 412


async def test_a_put_and_an_event_win_or_lose_by_their_time(profile: Profile) -> None:
    await profile.client.put("/products/pot", json=POT)
    await profile.take(changed(days_ago=1, name="Old pot"))
    assert (await profile.client.get("/products/pot")).json()["name"] == "Pot"
    await profile.take(changed(days_ago=-0.5, name="Tomorrow's pot"))
    tomorrows = await profile.client.get("/products/pot")
    assert tomorrows.json()["name"] == "Tomorrow's pot"
    late = await profile.client.put("/products/pot", json=POT, headers={"If-Match": tomorrows.headers["ETag"]})
    assert (late.status_code, late.json()["code"]) == (409, "newer-product-known")
    profile.clock.set(NOW + timedelta(days=1))
    put = await profile.client.put("/products/pot", json=POT, headers={"If-Match": "*"})
    assert put.json()["name"] == "Pot"


async def test_a_put_is_published_and_changes_nothing_when_it_comes_back(profile: Profile) -> None:
    made = await profile.client.put("/products/pot", json=POT)
    dear = {**POT, "price": money("990.00")}
    put = await profile.client.put("/products/pot", json=dear, headers={"If-Match": made.headers["ETag"]})
    published = await profile.published("product-changed")
    assert [(one["key"], one["event"]["data"]["price"]) for one in published] == [
        (b"pot", money("900.00")), (b"pot", money("990.00")),
    ]  # fmt: skip
    for one in (*published, *reversed(published)):
        await profile.take(Record(one["topic"], one["key"], one["value"]))
    assert profile.service.intake.counts["dead"] == 0
    read = await profile.client.get("/products/pot")
    assert (read.headers["ETag"], read.json()) == (put.headers["ETag"], put.json())


async def test_the_list_is_by_category_in_pages(profile: Profile) -> None:
    await profile.take(*(changed(f"pot-{n}") for n in range(3)), changed("tea", category="tea"))
    skus, cursor = [], ""
    while cursor is not None:
        page = (await profile.client.get(f"/products?category=ware&limit=2{cursor and '&cursor='}{cursor}")).json()
        skus += [product["sku"] for product in page["items"]]
        cursor = page["next_cursor"]
    assert skus == ["pot-0", "pot-1", "pot-2"]
    assert len((await profile.client.get("/products")).json()["items"]) == 4


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"price": money("1.005")}, "/price"),
        ({"price": money("1", "ABC")}, "/price"),
        ({"upgrade_of": "pot"}, "/upgrade_of"),
        ({"colour": "red"}, "/colour"),
    ],
)
async def test_what_no_event_could_say_is_refused(profile: Profile, wrong: dict[str, Any], pointer: str) -> None:
    refused = await profile.client.put("/products/pot", json={**POT, **wrong})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, pointer)


async def test_customers_read_the_catalogue_and_staff_writes_it(profile: Profile) -> None:
    await profile.client.put("/products/pot", json=POT)
    own = token("profile:read profile:write", "pos:1")
    assert (await profile.client.get("/products/pot", headers=own)).status_code == 200
    assert (await profile.client.put("/products/pot", json=POT, headers=own)).status_code == 403
    reader = token("profile:read")
    assert (await profile.client.put("/products/pot", json=POT, headers=reader)).status_code == 403
