"""Two ids of one person, joined and parted again, in all four services."""

from typing import Any

import httpx

from deploy.system import System
from tests.e2e.test_one_purchase import bought
from tests.kit.builders import money, record
from tests.kit.system import answer, publish
from tests.kit.waiting import until

EVERYBODY = ["churn", "engagement", "loyalty", "profile"]


async def test_a_merge_joins_two_ids_everywhere_and_its_undo_parts_them(
    system: System, http: httpx.AsyncClient
) -> None:
    till, web = "e2e:till", "e2e:web"
    await publish(
        system,
        [
            record("purchase-recorded", bought(till, "e2e:till-1", total="1000.00", days_ago=40)),
            record("purchase-recorded", bought(web, "e2e:web-1", total="500.00", days_ago=30)),
        ],
    )
    await system.until_quiet(seconds=60)
    alone = {who: await everything(http, who) for who in (till, web)}

    merge = await command(http, "/profile/merges", {"from_id": web, "into_id": till})
    await acknowledged(http, merge["id"])
    await publish(system, [record("purchase-recorded", bought(web, "e2e:web-2", total="250.00", days_ago=25))])
    await system.until_quiet(seconds=60)
    joined = await everything(http, till)
    assert (joined["orders"], joined["spend"], joined["points"]) == (3, money("1750.00"), 175)
    assert await everything(http, web) == joined

    await command(http, f"/profile/merges/{merge['id']}/undo", {})
    await acknowledged(http, merge["id"])
    await system.until_quiet(seconds=60)
    assert await everything(http, till) == alone[till]
    parted = await everything(http, web)
    assert (parted["orders"], parted["spend"], parted["points"]) == (2, money("750.00"), 75)


async def everything(http: httpx.AsyncClient, customer: str) -> dict[str, Any]:
    """What three services say of a customer, as far as it doesn't move with the clock."""
    value = (await answer(http, f"/profile/customers/{customer}"))["value"]
    account = await answer(http, f"/loyalty/accounts/{customer}")
    risk = await answer(http, f"/churn/customers/{customer}")
    return {
        "orders": value["order_count"],
        "spend": value["lifetime_spend"],
        "points": account["available"] + account["pending"],
        "probability": round(risk["probability"], 2),
    }


async def command(http: httpx.AsyncClient, path: str, body: dict[str, Any]) -> dict[str, Any]:
    response = await http.post(path, json=body, headers={"Idempotency-Key": path})
    assert response.is_success, response.text
    found: dict[str, Any] = response.json()
    return found


async def acknowledged(http: httpx.AsyncClient, merge_id: str) -> None:
    async def by_all() -> bool:
        return sorted((await answer(http, f"/profile/merges/{merge_id}"))["acknowledged_by"]) == EVERYBODY

    await until(by_all, 60, what="all four services' acknowledgement")
