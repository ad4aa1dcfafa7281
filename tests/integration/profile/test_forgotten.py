"""By what an erased person was known makes nobody anew, whatever old things still arrive."""

import asyncio
import json
from datetime import timedelta
from typing import Any

from shared.db import execute, fetch
from shared.messaging.envelope import read_event
from tests.integration.profile.house import Profile
from tests.integration.profile.test_erasures import PLANTED, TILL, announced, applied, erase, planted
from tests.kit.builders import cloud_event, purchase
from tests.kit.scanning import places_of
from tests.kit.waiting import until

SERVICE = "profile"


async def test_an_old_event_or_file_that_knows_him_by_something_else_does_not_make_him_anew(profile: Profile) -> None:
    await planted(profile)
    etag = {"If-Match": (await profile.client.get(f"/customers/{TILL}")).headers["ETag"]}
    assert (await profile.client.patch(f"/customers/{TILL}", json={"phone": "0987654321"}, headers=etag)).is_success
    await erase(profile, TILL)
    await applied(profile)
    profile.clock.set(profile.clock.now() + timedelta(days=400))

    def sale(id: str, kind: str, value: str, days_ago: float = 1) -> Any:
        event = cloud_event("purchase-recorded", purchase(order_id=f"o-{id}", days_ago=days_ago), id=id)
        del event["data"]["customer_id"]
        event["data"]["customer_ref"] = {"kind": kind, "value": value}
        return event

    # His number of before and of last, his card; an address that somebody else has, too, is somebody else's.
    phones = (f"+{PLANTED[1]}", "0987654321")
    batch = [sale(number, "phone", number) for number in phones] + [sale("card", "member-number", PLANTED[4])]
    batch += [sale("shared", "email", PLANTED[2]), sale("again", "member-number", PLANTED[4], days_ago=-399)]
    answer = await profile.client.post(
        "/events", content=json.dumps(batch), headers={"Content-Type": "application/cloudevents-batch+json"}
    )
    told = [(one["index"], one["code"], one["pointer"]) for one in answer.json()["rejected"]]
    assert (answer.json()["accepted"], told) == (2, [(n, "customer-erased", "/data/customer_ref") for n in range(3)])
    sold = {row["event"]["id"]: row["key"] for row in await profile.published("purchase-recorded")}
    assert sold["shared"] == b"pos:other"
    assert sold["again"].startswith(b"c_"), "who comes back after his erasure is somebody new"

    assert await places_of(profile.service.db, PLANTED[:2]) == []


async def test_an_event_that_waits_for_his_erasure_makes_nobody_of_his_number(profile: Profile) -> None:
    await planted(profile)
    await erase(profile, TILL)
    event = cloud_event("purchase-recorded", purchase(order_id="o-late", days_ago=1), id="late")
    del event["data"]["customer_id"]
    event["data"]["customer_ref"] = {"kind": "phone", "value": f"+{PLANTED[1]}"}
    erased = await announced(profile)
    async with profile.service.db.transaction() as tx:
        use_case = profile.service.intake.use_cases["customer-erased"]
        await use_case(tx, [read_event(erased.value or b"", profile.clock.now())])
        posting = asyncio.create_task(
            profile.client.post("/events", json=[event], headers={"Content-Type": "application/cloudevents-batch+json"})
        )
        await until(lambda: waiting_for_a_lock(profile), 10, what="the request waits for the erasure")
    answer = (await posting).json()
    assert (answer["accepted"], [one["code"] for one in answer["rejected"]]) == (0, ["customer-erased"])
    assert await places_of(profile.service.db, PLANTED[:2]) == []


async def waiting_for_a_lock(profile: Profile) -> bool:
    async with profile.service.db.connection() as reader:
        return bool(await reader.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))


async def test_who_cant_be_read_any_more_is_erased_all_the_same(profile: Profile) -> None:
    await planted(profile)
    await erase(profile, TILL)
    async with profile.service.db.transaction() as tx:
        await execute(tx, "UPDATE customer_keys SET wrapped = '\\x00' WHERE customer_id = :who", who=TILL)
    await applied(profile)
    assert len(await profile.published("erasure-completed")) == 1
    async with profile.service.db.transaction() as tx:
        assert await fetch(tx, "SELECT 1 FROM customer_keys WHERE customer_id = :who", who=TILL) == []
        assert (await fetch(tx, "SELECT count(*) AS n FROM forgotten"))[0]["n"] >= 2


async def test_an_old_import_that_names_his_member_number_is_refused_by_row(profile: Profile) -> None:
    await planted(profile)
    await erase(profile, TILL)
    await applied(profile)
    before, since = (profile.clock.now() - timedelta(days=1), profile.clock.now() + timedelta(minutes=1))
    profile.clock.set(since)
    rows = [f"{PLANTED[4]},{PLANTED[0]},", f"{PLANTED[4]},{PLANTED[0]},{before.isoformat()}", "M-2,Somebody New,",
            f"{PLANTED[4]},Newly Known,{since.isoformat()}"]  # fmt: skip
    body = "\n".join(["identifiers.member-number,name,as_of", *rows, ""])
    file = await profile.client.post("/imports", content=body, headers={"Content-Type": "text/csv"})
    [job] = [job for job in profile.service.runner.jobs if job.name == "import"]
    await profile.service.runner.run_once(job)
    done = (await profile.client.get(f"/imports/{file.json()['id']}")).json()
    assert (done["created"], done["failed"]) == (2, 2), "who is known by it since his erasure is somebody new"
    faults = (await profile.client.get(f"/imports/{done['id']}/errors")).json()["items"]
    assert [(one["row"], one["code"], one["pointer"]) for one in faults] == [
        (row, "customer-erased", "/identifiers") for row in (1, 2)
    ]
    assert await places_of(profile.service.db, PLANTED[:1]) == []
