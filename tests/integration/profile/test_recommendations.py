"""What is offered next: with figures that can be counted by hand, and nothing that would annoy."""

from typing import Any

import pytest

from shared.db import execute
from tests.integration.profile.house import Profile, token
from tests.integration.profile.test_counting import count
from tests.kit.builders import NOW, about_order, line, money, purchase, record, returned

SERVICE = "profile"


def bought(customer: str, *skus: str, days_ago: float = 100, order_id: str | None = None) -> Any:
    lines = [line(str(n), sku=sku) for n, sku in enumerate(skus)]
    return record("purchase-recorded", purchase(customer, order_id, lines=lines, days_ago=days_ago))


def product(sku: str, price: str = "100", category: str = "tea", **fields: Any) -> Any:
    said = {"sku": sku, "name": sku.title(), "category": category, "price": money(price), **fields}
    return record("product-changed", said, time=NOW.isoformat())


async def offers(profile: Profile, customer: str = "pos:1", **query: Any) -> list[dict[str, Any]]:
    await count(profile)
    answer = await profile.client.get(f"/customers/{customer}/recommendations", params=query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


async def crowd(profile: Profile) -> None:
    """Of 20 baskets 8 have tea, 6 of these a pot, too, 2 a cup; 2 have a pot alone, 10 rice."""
    baskets = [("tea", "pot")] * 4 + [("tea", "pot", "cup")] * 2 + [("tea",)] * 2 + [("pot",)] * 2 + [("rice",)] * 10
    await profile.take(*(bought(f"web:{n}", *skus) for n, skus in enumerate(baskets)))


async def test_what_others_buy_with_it_is_offered_with_its_figures(profile: Profile) -> None:
    await crowd(profile)
    await profile.take(bought("pos:1", "tea"), product("pot", "900", "ware"))
    [pot] = await offers(profile)
    assert (pot["kind"], pot["sku"], pot["name"], pot["price"]) == ("cross-sell", "pot", "Pot", money("900"))
    reason = pot["reason"]
    # 21 baskets: tea in 9, a pot in 8, both in 6. The cup, twice beside tea, is below the least support.
    assert (reason["code"], reason["because_of"], reason["together"]) == ("bought-together", "tea", 6)
    assert reason["support"] == pytest.approx(6 / 21)
    assert reason["confidence"] == pytest.approx(6 / 9)
    assert reason["lift"] == pytest.approx(6 * 21 / (9 * 8))


@pytest.mark.parametrize("why", ["returned", "lately", "cancelled"])
async def test_what_he_brought_back_or_bought_lately_is_not_offered(profile: Profile, why: str) -> None:
    await crowd(profile)
    await profile.take(bought("pos:1", "tea"))
    await profile.take(bought("pos:1", "pot", days_ago=20 if why != "returned" else 300, order_id="o"))
    if why == "returned":
        await profile.take(record("purchase-returned", returned("o", lines=[{"line_id": "0", "quantity": 1}])))
    if why == "cancelled":
        await profile.take(record("purchase-cancelled", about_order("o")))
    assert [one["sku"] for one in await offers(profile)] == (["pot"] if why == "cancelled" else [])


async def test_a_durable_thing_is_not_offered_twice_and_another_is_after_a_year(profile: Profile) -> None:
    await crowd(profile)
    await profile.take(bought("pos:1", "tea"), bought("pos:1", "pot", days_ago=500))
    assert [one["sku"] for one in await offers(profile)] == ["pot"]
    await profile.take(product("pot", durable=True))
    assert await offers(profile) == []


async def test_the_catalogue_leads_upwards(profile: Profile) -> None:
    await profile.take(
        bought("pos:1", "kettle", "oolong"),
        product("kettle", "1000", "ware"),
        product("kettle-2", "1500", "ware", upgrade_of="kettle"),
        product("filter", "50", "parts", accessory_of=["none", "kettle"]),
        product("oolong", "200"),
        product("oolong-like", "205"),
        product("oolong-fine", "300"),
        product("oolong-finer", "350"),
        product("oolong-gold", "900"),
    )
    found = {one["sku"]: one for one in await offers(profile)}
    # 205 is no step, 900 too steep a one.
    assert [(sku, one["kind"], one["reason"]["code"]) for sku, one in found.items()] == [
        ("filter", "cross-sell", "accessory"),
        ("kettle-2", "up-sell", "upgrade"),
        ("oolong-fine", "up-sell", "next-price-step"),
    ]
    assert found["oolong-fine"]["reason"]["because_of"] == "oolong"
    assert found["oolong-fine"]["reason"]["price_step"] == pytest.approx(0.5)


async def test_what_an_order_loses_is_no_longer_counted_for_others(profile: Profile) -> None:
    await crowd(profile)
    await profile.take(bought("pos:1", "tea"), *(bought("web:0", "tea", "cup", order_id=f"o{n}") for n in range(3)))
    assert "cup" in [one["sku"] for one in await offers(profile)]
    await profile.take(*(record("purchase-cancelled", about_order(f"o{n}", customer_id="web:0")) for n in range(3)))
    assert "cup" not in [one["sku"] for one in await offers(profile)]


async def test_all_ids_of_a_person_are_one_history(profile: Profile) -> None:
    await crowd(profile)
    await profile.take(bought("pos:1", "rice"), bought("pos:2", "tea"))
    assert await offers(profile, "pos:1") == []
    async with profile.service.db.transaction() as tx:
        await execute(tx, "INSERT INTO survivors (customer_id, survivor_id) VALUES ('pos:2', 'pos:1')")
    assert [one["sku"] for one in await offers(profile, "pos:1")] == ["pot"]
    assert await offers(profile, "pos:2") == await offers(profile, "pos:1")


async def test_a_customer_asks_for_himself_alone(profile: Profile) -> None:
    await crowd(profile)
    path = "/customers/web:1/recommendations"
    assert (await profile.client.get(path, headers=token("profile:read", "web:1"))).status_code == 200
    assert (await profile.client.get(path, headers=token("profile:read", "web:2"))).status_code == 404
    assert (await profile.client.get("/customers/none/recommendations")).status_code == 404


async def test_at_most_so_many_of_a_kind_are_told(profile: Profile) -> None:
    await profile.take(bought("pos:1", "pot"), *(product(f"part-{n}", accessory_of=["pot"]) for n in range(3)))
    assert [one["sku"] for one in await offers(profile, limit=2)] == ["part-0", "part-1"]
