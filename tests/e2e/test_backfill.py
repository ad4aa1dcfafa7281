"""A shop's history and its customer base are loaded: all services take them in, and nobody is written to."""

from typing import Any

import httpx

from deploy.system import System
from tests.e2e.test_one_purchase import ago, bought
from tests.kit.builders import record
from tests.kit.system import answer, publish
from tests.kit.waiting import until

REGULAR, SEEN, HEARD, FILED = "e2e:old:regular", "e2e:old:seen", "e2e:old:heard", "e2e:old:filed"


async def test_history_and_an_imported_customer_base_set_off_no_contact_and_a_live_purchase_does(
    system: System, http: httpx.AsyncClient
) -> None:
    visit = {"customer_id": SEEN, "activity_id": "e2e:old:visit", "kind": "visit", "occurred_at": ago(days=30)}
    praise = {"customer_id": HEARD, "feedback_id": "e2e:old:praise", "channel": "web", "kind": "praise"}
    history = [("purchase-recorded", bought(REGULAR, f"e2e:old:{n}", days_ago=5 + 7 * n)) for n in range(4)]
    history += [("activity-recorded", visit), ("feedback-received", {**praise, "occurred_at": ago(days=20)})]
    await publish(system, [record(topic, data, backfill=True) for topic, data in history])
    await system.until_quiet(seconds=60)
    rows = "\n".join(["customer_id,locale", f"{FILED},en", f"{REGULAR},en"])
    taken = await http.post("/profile/imports", content=rows, headers={"Content-Type": "text/csv"})
    assert taken.status_code == 202, taken.text

    async def done() -> bool:
        return bool((await answer(http, f"/profile/imports/{taken.json()['id']}"))["state"] == "done")

    await until(done, 60, what="the end of the import")
    await system.until_quiet(seconds=60)
    assert (await answer(http, f"/profile/customers/{REGULAR}"))["value"]["order_count"] == 4
    assert [await contacts(system, http, who) for who in (REGULAR, SEEN, HEARD, FILED)] == [[], [], [], []]

    live = [record("purchase-recorded", bought(who, f"{who}:live", days_ago=0)) for who in (REGULAR, FILED)]
    await publish(system, live)
    await system.until_quiet(seconds=60)
    assert [await contacts(system, http, who) for who in (REGULAR, FILED)] == [["cadence"], ["cadence"]]


async def contacts(system: System, http: httpx.AsyncClient, customer: str) -> list[Any]:
    """The purposes of his contacts, once everybody who is to be planned is."""
    await system.run_job("engagement", "plan")
    return [one["purpose"] for one in (await answer(http, f"/engagement/customers/{customer}/next-contacts"))["items"]]
