"""What a checkout is told of a customer's privileges, and when."""

from datetime import timedelta
from typing import Any

from tests.integration.loyalty.shop import Shop
from tests.integration.loyalty.test_merges import NEW, OLD, bought, merged
from tests.kit.builders import NOW, purchase, record

SERVICE = "loyalty"
TIERS: list[dict[str, Any]] = [
    {
        "name": "silver",
        "qualify": {"spend": "1000", "window_days": 365},
        "privileges": [{"code": "free-shipping"}],
        "text": {"en": "Silver"},
    },
    {
        "name": "gold",
        "qualify": {"spend": "5000", "window_days": 365},
        "privileges": [
            {"code": "discount", "percent": "5", "text": {"en": "A little off"}},
            {"code": "longer-credit", "days": 60, "limit": {"amount": "50000.00", "currency": "TWD"}},
        ],
    },
]


async def test_a_checkout_is_told_the_tier_its_privileges_and_when_it_falls(shop: Shop) -> None:
    version = await shop.post(tiers=TIERS)
    await shop.take(record("purchase-recorded", purchase("c-1", "o-1", total="5000", days_ago=10)))
    async with shop.client() as http:
        answer = await http.get("/accounts/c-1/privileges")
    assert answer.status_code == 200, answer.text
    falls = NOW + timedelta(days=365 + 30 - 10)
    assert answer.json() == {
        "customer_id": "c-1",
        "merged_into": None,
        "tier": "gold",
        "text": {},
        "since": "2026-11-10T04:00:00Z",
        "privileges": [
            {"code": "discount", "percent": "5", "text": {"en": "A little off", "zh-CN": "优惠 5%"}},
            {
                "code": "longer-credit",
                "days": 60,
                "limit": {"amount": "50000.00", "currency": "TWD"},
                "text": {"en": "60 days to pay, up to 50000.00 TWD", "zh-CN": "账期 60 天，额度 50000.00 TWD"},
            },
        ],
        "falls_at": falls.isoformat().replace("+00:00", "Z"),
        "falls_to": None,
        "programme_version": version,
    }


async def test_the_privileges_are_those_of_the_tier_held_at_the_instant_whatever_ran(shop: Shop) -> None:
    await shop.post(tiers=TIERS, tier_grace_days=0)
    await shop.take(
        record("purchase-recorded", purchase("c-1", "o-1", total="4500", days_ago=300)),
        record("purchase-recorded", purchase("c-1", "o-2", total="1000", days_ago=10)),
    )
    async with shop.client() as http:
        before = (await http.get("/accounts/c-1/privileges")).json()
        assert (before["tier"], before["falls_to"]) == ("gold", "silver")
        shop.clock.set(NOW + timedelta(days=65))
        after = (await http.get("/accounts/c-1/privileges")).json()
        assert [one["code"] for one in after["privileges"]] == ["free-shipping"]
        assert after["text"] == {"en": "Silver"}
        shop.clock.set(NOW + timedelta(days=700))
        last = (await http.get("/accounts/c-1/privileges")).json()
        assert (last["tier"], last["privileges"], last["falls_at"]) == (None, [], None)


async def test_who_asks_again_with_the_etag_is_told_that_nothing_changed(shop: Shop) -> None:
    await shop.post(tiers=TIERS)
    await shop.take(record("purchase-recorded", purchase("c-1", "o-1", total="1000", days_ago=10)))
    async with shop.client() as http:
        tag = (await http.get("/accounts/c-1/privileges")).headers["ETag"]
        same = await http.get("/accounts/c-1/privileges", headers={"If-None-Match": tag})
        assert (same.status_code, same.content, same.headers["ETag"]) == (304, b"", tag)
        await shop.take(record("purchase-recorded", purchase("c-1", "o-2", total="4000", days_ago=1)))
        other = await http.get("/accounts/c-1/privileges", headers={"If-None-Match": tag})
        assert (other.status_code, other.json()["tier"]) == (200, "gold")


async def test_a_person_has_the_privileges_of_all_his_ids_together_and_nobody_sees_another_s(shop: Shop) -> None:
    await shop.post(tiers=TIERS)
    await shop.take(bought(OLD, "o-1", "3000", 40), bought(NEW, "o-2", "2000", 3), bought("c-9", "o-9", "10"))
    await shop.take(merged())
    async with shop.client(customer_id=OLD) as himself:
        own = (await himself.get(f"/accounts/{OLD}/privileges")).json()
        assert (own["tier"], own["merged_into"]) == ("gold", NEW)
        assert (await himself.get("/accounts/c-9/privileges")).status_code == 404
    async with shop.client() as http:
        assert (await http.get("/accounts/nobody/privileges")).status_code == 404
    async with shop.client("profile:read") as http:
        assert (await http.get(f"/accounts/{OLD}/privileges")).status_code == 403


async def test_an_unknown_privilege_is_refused_with_its_place(shop: Shop) -> None:
    async with shop.client("loyalty:read loyalty:write") as http:
        body = (await http.get("/programmes/current")).json()
        for name in ("version", "posted_at", "not_yet_evaluated"):
            del body[name]
        tier = {"name": "gold", "qualify": {"spend": "9000", "window_days": 365}}
        body["tiers"] = [*body["tiers"], {**tier, "privileges": [{"code": "free-lunch"}]}]
        unknown = await http.post("/programmes", json=body)
        assert unknown.status_code == 422
        assert [error["pointer"] for error in unknown.json()["errors"]] == ["/tiers/1/privileges/0"]
        body["tiers"][1]["privileges"] = [{"code": "trial"}, {"code": "trial", "days": 3}]
        twice = await http.post("/programmes", json=body)
        assert [error["pointer"] for error in twice.json()["errors"]] == ["/tiers/1/privileges/1/code"]
        body["tiers"][1]["privileges"] = [{"code": "trial", "days": 3}]
        assert (await http.post("/programmes", json=body)).status_code == 201


async def test_a_version_with_codes_that_are_no_longer_known_is_read_as_it_was_kept(shop: Shop) -> None:
    tiers = [{**TIERS[0], "privileges": [{"code": "free-lunch", "on": "fridays"}]}]
    await shop.post(tiers=tiers)
    await shop.take(record("purchase-recorded", purchase("c-1", "o-1", total="1000", days_ago=10)))
    async with shop.client() as http:
        current = await http.get("/programmes/current")
        assert current.json()["tiers"][0]["privileges"] == [{"code": "free-lunch", "on": "fridays"}]
        told = (await http.get("/accounts/c-1/privileges")).json()["privileges"]
        assert told == [{"code": "free-lunch", "on": "fridays", "text": {}}]
