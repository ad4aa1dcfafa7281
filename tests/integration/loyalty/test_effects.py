"""What a rule or a reward brings, against customers whom it is kept from."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from services.loyalty.effects import store
from services.loyalty.effects.domain import is_held_out
from shared.db import fetch
from tests.integration.loyalty.shop import Shop
from tests.integration.loyalty.test_merges import bought, merged
from tests.integration.loyalty.test_referrals import erased
from tests.kit.builders import NOW, at, money, record, returned

SERVICE = "loyalty"
DAY = timedelta(days=1)
RULE: dict[str, Any] = {
    "id": "extra", "order": 1, "on": "purchase", "effect": {"bonus": 40}, "holdout": {"percent": 30},
}  # fmt: skip
IDS = [f"c-{n:03}" for n in range(160)]
HELD = [one for one in IDS if is_held_out("extra", one, 30)]
FREE = [one for one in IDS if one not in HELD]


def staff(shop: Shop) -> httpx.AsyncClient:
    return shop.client("loyalty:read loyalty:write")


def body(**changes: Any) -> dict[str, Any]:
    later = {"from": at(0), "to": (NOW + 30 * DAY).isoformat()}
    return {"name": "Pays?", "what": {"rule_id": "extra"}, **later, "holdout_percent": 30, **changes}


async def post(shop: Shop, **changes: Any) -> int:
    base = {"award": 1, "per": money("10.00"), "value": money("0.50")}
    return await shop.post(active_from=at(0), rules=[{**RULE, **changes}], points=base, tiers=[], pending_days=0)


async def reward(http: httpx.AsyncClient, **fields: Any) -> str:
    said = {"name": "Tin", "kind": "product", "points": 0, "holdout": {"percent": 30}, **fields}
    answer = await http.post("/rewards", json=said)
    assert answer.status_code == 201, answer.text
    assert answer.json()["holdout"] == said["holdout"]
    return str(answer.json()["id"])


async def test_a_rule_is_kept_from_those_who_are_held_out_and_from_nobody_else(shop: Shop) -> None:
    await post(shop)
    shop.clock.set(NOW + DAY)
    await shop.take(*(bought(one, f"o-{one}", "100", -0.5) for one in IDS))
    had = {one: (await shop.balance(one)).lifetime_earned for one in IDS}
    assert had == {one: 10 if one in HELD else 50 for one in IDS}
    assert HELD


async def test_the_database_holds_out_the_same_as_the_rules_do(shop: Shop) -> None:
    odd = ["pos:1", "web:A.b-c_9~", *IDS]
    await shop.take(*(bought(one, f"o-{n}") for n, one in enumerate(odd)))
    async with shop.db.transaction() as tx:
        rows = await fetch(tx, "SELECT customer_id, account_id FROM accounts")
        for row in rows:
            for percent in (1, 30, 50):
                found = await store.is_held_out(tx, "extra", [row["account_id"]], percent)
                assert found == is_held_out("extra", row["customer_id"], percent)
    assert len(rows) == len(odd)


async def test_the_figures_are_those_of_who_had_bought_before_each_on_his_side(shop: Shop) -> None:
    await post(shop)
    await shop.take(*(bought(one, f"old-{one}", "70", 30) for one in IDS), bought("c-joined", "j-1", "70", 30))
    async with staff(shop) as http:
        made = await http.post("/effects", json=body(), headers={"Idempotency-Key": "k"})
        assert made.status_code == 201, made.text
        assert (await http.post("/effects", json=body(), headers={"Idempotency-Key": "k"})).json() == made.json()
        path = f"/effects/{made.json()['id']}"
        begun = (await http.get(path)).json()
        assert begun["treated"]["persons"] + begun["held_out"]["persons"] == len(IDS) + 1
        assert begun["treated"]["spend"] == begun["held_out"]["spend"] == "0.00"
        shop.clock.set(NOW + 40 * DAY)
        for n, one in enumerate(IDS):
            total = str(300 + n % 7 * 10 if one in FREE else 200 + n % 5 * 10)
            await shop.take(bought(one, f"new-{one}", total, -3))
        # After the period, in another currency, of somebody new, and given back: none of it counts.
        await shop.take(
            bought(FREE[0], "late", "9999", -35), bought(FREE[1], "usd", "9999", -4, currency="USD"),
            bought("c-new", "first", "9999", -4), bought(HELD[0], "back", "9999", -4),
            record("purchase-returned", returned("back", customer_id=HELD[0], days_ago=-5)),
        )  # fmt: skip
        await shop.take(merged("c-joined", HELD[1] if not is_held_out("extra", "c-joined", 30) else FREE[1]))
        found = (await http.get(path)).json()
        assert found == (await http.get(path)).json()
        assert [one["id"] for one in (await http.get("/effects")).json()["items"]] == [made.json()["id"]]
        assert (await http.get("/effects/ef_none")).status_code == 404
    left_out = HELD[1] if not is_held_out("extra", "c-joined", 30) else FREE[1]
    spends = {
        side: [(300 + n % 7 * 10 if one in FREE else 200 + n % 5 * 10) for n, one in enumerate(IDS)
               if (one in FREE) == (side == "treated") and one != left_out]
        for side in ("treated", "held_out")
    }  # fmt: skip
    means = {side: sum(each) / len(each) for side, each in spends.items()}
    for side, each in spends.items():
        assert (found[side]["persons"], found[side]["spend"]) == (len(each), f"{sum(each)}.00")
    assert found["on_both_sides"] == 1
    more = found["incremental"]
    assert float(more["per_person"]) == pytest.approx(means["treated"] - means["held_out"], abs=0.01)
    assert float(more["low"]) < float(more["per_person"]) < float(more["high"])
    assert found["lacking"] is None
    points, apart = found["cost"]["points"], means["treated"] - means["held_out"]
    assert points == pytest.approx(len(spends["treated"]) * (40 + apart / 10), rel=0.05)
    assert float(found["cost"]["money"]) == pytest.approx(points / 2, abs=0.5)
    assert float(found["gain_by_cost"]) == pytest.approx(float(more["total"]) / float(found["cost"]["money"]), rel=1e-3)
    assert (found["measured_to"], found["holdout_kept"]) == (found["to"], True)


async def test_with_too_few_it_says_how_many_there_are_and_that_a_version_has_given_the_holdout_up(shop: Shop) -> None:
    await post(shop)
    await shop.take(*(bought(one, f"o-{one}", "70", 30) for one in IDS[:40]))
    async with staff(shop) as http:
        path = f"/effects/{(await http.post('/effects', json=body())).json()['id']}"
        found = (await http.get(path)).json()
        held = sum(one in HELD for one in IDS[:40])
        assert (found["incremental"], found["gain_by_cost"], found["cost"]["points"]) == (None, None, None)
        assert found["lacking"] == {"treated": 40 - held, "held_out": held, "least": 30}
        assert found["holdout_kept"]
        shop.clock.set(NOW + 3 * DAY)
        await shop.post(active_from=at(-2), rules=[{key: RULE[key] for key in ("id", "order", "on", "effect")}])
        assert not (await http.get(path)).json()["holdout_kept"]


async def test_what_was_never_kept_from_anybody_is_not_measured(shop: Shop) -> None:
    await post(shop)
    async with staff(shop) as http:
        for said, status, code in (
            (body(holdout_percent=20), 409, "holdout-differs"),
            (body(**{"from": at(5)}), 422, "validation"),
            (body(what={"rule_id": "nothing"}), 422, "validation"),
            (body(what={"reward_id": "rw_nothing"}), 422, "validation"),
            (body(what={}), 422, "validation"),
            (body(to=at(0)), 422, "validation"),
            (body(what={"reward_id": await reward(http)}, **{"from": at(1)}), 409, "begun-before"),
        ):
            answer = await http.post("/effects", json=said)
            assert answer.status_code == status, answer.text
            if status == 409:
                assert answer.json()["code"] == code
        plain = await http.post("/rewards", json={"name": "Tin", "kind": "product", "points": 1})
        answer = await http.post("/effects", json=body(what={"reward_id": plain.json()["id"]}))
        assert answer.json()["code"] == "no-holdout"
        await shop.post(active_from=at(-9), rules=[{**RULE, "holdout": {"percent": 5}}])
        assert (await http.post("/effects", json=body())).json()["code"] == "holdout-changes"
    async with shop.client(customer_id=IDS[0]) as himself:
        assert (await himself.get("/effects")).status_code == 403


async def test_a_reward_is_not_offered_to_who_is_held_out_and_staff_see_why(shop: Shop) -> None:
    await shop.take(*(bought(one, f"o-{one}") for one in IDS))
    async with staff(shop) as http:
        id = await reward(http)
        held = next(one for one in IDS if is_held_out(id, one, 30))
        free = next(one for one in IDS if not is_held_out(id, one, 30))
        seen = {
            one: (await http.get("/rewards", params={"customer_id": one})).json()["items"][0]["customer"]
            for one in (held, free)
        }
        assert [each["code"] for each in seen[held]["refusals"]] == ["held-out"]
        assert (seen[held]["may_take"], seen[free]["may_take"]) == (False, True)
        assert await taken(http, id, held) == (409, "held-out")
        assert await taken(http, id, free) == (201, None)
        made = await http.post("/effects", json=body(what={"reward_id": id}))
        shop.clock.set(NOW + DAY)
        assert await taken(http, id, free) == (201, None)
        shop.clock.set(NOW + 2 * DAY)
        found = (await http.get(f"/effects/{made.json()['id']}")).json()
        said = {"points": None, "money": None, "uses": 2, "uses_of_treated": 2}
        assert (found["cost"], found["net"], found["gain_by_cost"]) == (said, None, None)
    own = "loyalty:read loyalty:write"
    async with shop.client(own, held) as his, shop.client(own, free) as other:
        assert (await his.get("/rewards")).json()["items"] == []
        assert (await his.get("/rewards", params={"customer_id": held})).json()["items"] == []
        assert (await his.get(f"/rewards/{id}")).status_code == 404
        assert await taken(his, id, held) == (409, "reward-inactive")
        assert len((await other.get("/rewards")).json()["items"]) == 1
        assert (await other.get(f"/rewards/{id}")).status_code == 200


async def test_who_has_one_id_that_is_held_out_is_not_offered_it_under_any(shop: Shop) -> None:
    await shop.take(*(bought(one, f"o-{one}") for one in IDS))
    async with staff(shop) as http:
        id = await reward(http)
        held = next(one for one in IDS if is_held_out(id, one, 30))
        free = next(one for one in IDS if not is_held_out(id, one, 30))
        await shop.take(merged(held, free))
        assert await taken(http, id, free) == (409, "held-out")


async def test_the_erased_are_on_no_side(shop: Shop) -> None:
    await post(shop)
    await shop.take(*(bought(one, f"o-{one}", "70", 30) for one in IDS[:5]))
    await shop.take(erased(IDS[0]))
    async with staff(shop) as http:
        found = (await http.get(f"/effects/{(await http.post('/effects', json=body())).json()['id']}")).json()
    assert found["treated"]["persons"] + found["held_out"]["persons"] == 4


@pytest.mark.parametrize("on", ["birthday", "referral"])
async def test_only_a_rule_on_purchases_has_a_holdout(shop: Shop, on: str) -> None:
    said = {
        "name": "house", "currency": "TWD", "active_from": at(0), "points": {"award": 1, "per": money("10.00")},
        "pending_days": 14, "expiry": {"kind": "never"},
    }  # fmt: skip
    effect = {"referrer": {"bonus": 1}} if on == "referral" else {"bonus": 1}
    async with staff(shop) as http:
        for rule, status in (({**RULE, "on": on, "effect": effect}, 422), (RULE, 201)):
            assert (await http.post("/programmes", json={**said, "rules": [rule]})).status_code == status


async def taken(http: httpx.AsyncClient, id: str, customer: str) -> tuple[int, str | None]:
    asked = {"customer_id": customer, "reward_id": id}
    answer = await http.post("/redemptions", json=asked, headers={"Idempotency-Key": uuid4().hex})
    return answer.status_code, answer.json().get("code")


async def test_a_reward_costs_what_the_versions_said_that_the_treated_took_and_its_effect_is_told_net(
    shop: Shop,
) -> None:
    await shop.post(active_from=at(400), rules=[], tiers=[])
    await shop.take(*(bought(one, f"old-{one}", "70", 30) for one in IDS))
    async with staff(shop) as http:
        id = await reward(http, cost=money("12.50"), holdout={"percent": 50})
        held = [one for one in IDS if is_held_out(id, one, 50)]
        free = [one for one in IDS if one not in held]
        made = await http.post("/effects", json=body(what={"reward_id": id}, holdout_percent=50))
        path = f"/effects/{made.json()['id']}"
        figures = (await http.get(path)).json()
        assert figures["cost"] == {"points": None, "money": "0.00", "uses": 0, "uses_of_treated": 0}
        shop.clock.set(NOW + DAY)
        await shop.take(*(bought(one, f"n-{one}", "300" if one in free else "100", -0.5) for one in IDS))
        newcomer = next(one for one in (f"n-{n}" for n in range(99)) if not is_held_out(id, one, 50))
        await shop.take(bought(newcomer, "first", "10", -0.5))
        for one in (*free[:3], newcomer):
            assert await taken(http, id, one) == (201, None)
        changed = await http.patch(f"/rewards/{id}", json={"cost": money("20.00")}, headers={"If-Match": '"1"'})
        assert changed.json()["cost"] == money("20.00")
        assert await taken(http, id, free[0]) == (201, None)
        answer = await http.post(
            "/redemptions", json={"customer_id": free[1], "reward_id": id}, headers={"Idempotency-Key": "back"}
        )
        rolled: dict[str, Any] = {"json": {"reason": "broken"}, "headers": {"Idempotency-Key": "back"}}
        assert (await http.post(f"/redemptions/{answer.json()['id']}/rollback", **rolled)).status_code == 200
        # Who was joined to somebody who is held out counts on neither side, nor does what he took.
        assert await taken(http, id, free[4]) == (201, None)
        await shop.take(merged(free[4], held[0]))
        shop.clock.set(NOW + 2 * DAY)
        found = (await http.get(path)).json()
        assert found["cost"] == {"points": None, "money": "57.50", "uses": 6, "uses_of_treated": 4}
        total, persons = 200 * (len(free) - 1), len(free) - 1
        assert (found["treated"]["persons"], found["incremental"]["total"]) == (persons, f"{total}.00")
        assert found["net"]["total"] == f"{total - 57.5:.2f}"
        for end in ("low", "high"):
            whole = float(found["incremental"][end]) * persons
            assert float(found["net"][end]) == pytest.approx(whole - 57.5, abs=0.01 * persons)
        assert float(found["gain_by_cost"]) == pytest.approx(total / 57.5, abs=1e-4)
        # One that was taken as it said nothing of its cost leaves the whole unknown.
        gone = await http.patch(f"/rewards/{id}", json={"cost": None}, headers={"If-Match": '"2"'})
        assert (gone.status_code, gone.json()["cost"]) == (200, None)
        assert (await http.get(path)).json()["cost"]["money"] == "57.50"
        assert await taken(http, id, free[2]) == (201, None)
        shop.clock.set(NOW + 3 * DAY)
        found = (await http.get(path)).json()
        assert found["cost"] == {"points": None, "money": None, "uses": 7, "uses_of_treated": 5}
        assert (found["net"], found["gain_by_cost"]) == (None, None)


async def test_what_a_rule_costs_is_an_estimate_itself_so_its_net_has_no_interval(shop: Shop) -> None:
    await post(shop)
    await shop.take(*(bought(one, f"old-{one}", "70", 30) for one in IDS))
    async with staff(shop) as http:
        path = f"/effects/{(await http.post('/effects', json=body())).json()['id']}"
        shop.clock.set(NOW + DAY)
        await shop.take(*(bought(one, f"n-{one}", "300" if one in FREE else "100", -0.5) for one in IDS))
        found = (await http.get(path)).json()
    more, cost, net = found["incremental"]["total"], found["cost"]["money"], found["net"]
    assert float(net["total"]) == pytest.approx(float(more) - float(cost), abs=0.01)
    assert (net["low"], net["high"]) == (None, None)
    assert (found["cost"]["uses"], found["cost"]["uses_of_treated"]) == (None, None)


async def test_what_a_reward_costs_the_house_is_in_its_currency_and_no_customer_s_to_see(shop: Shop) -> None:
    await shop.take(bought(IDS[0], "o-1"))
    async with staff(shop) as http:
        said = {"name": "Tin", "kind": "product", "points": 0, "cost": money("12.50")}
        for foreign in (money("3.00", "USD"), money("0.00")):
            assert (await http.post("/rewards", json={**said, "cost": foreign})).status_code == 422
        made = (await http.post("/rewards", json=said)).json()
        path = f"/rewards/{made['id']}"
        refused = await http.patch(path, json={"cost": money("3.00", "USD")}, headers={"If-Match": '"1"'})
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/cost/currency")
        assert (await http.get(path)).json()["cost"] == money("12.50")
        assert (await http.get("/rewards")).json()["items"][0]["cost"] == money("12.50")
    async with shop.client(customer_id=IDS[0]) as himself:
        for seen in (path, "/rewards", f"/rewards?customer_id={IDS[0]}"):
            answer = await himself.get(seen)
            assert answer.status_code == 200
            assert "12.50" not in answer.text
