"""A person is forgotten by the running system: in every table of every service, and on every topic."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from typer.testing import CliRunner

from deploy.cli import app
from deploy.system import System
from shared.contracts.topics import SERVICES, TOPICS, dead_letter_topic
from shared.messaging import kafka
from tests.e2e.test_one_purchase import bought
from tests.kit.builders import cloud_event, record
from tests.kit.scanning import places_of
from tests.kit.system import answer, client, publish
from tests.kit.waiting import until

TILL, WEB, COMPANY = "e2e:zz-forget-1", "e2e:zz-forget-2", "e2e:zz-forget-3"
NAME, PHONE, EMAIL, NOTE, TEXT = (
    "Planted Forgetme", "886912345678", "forgetme@example.com", "prefers to be called late", "The cup came in shards",
)  # fmt: skip
IMPORTED = ["Imported Forgetme", "imported-forgetme@example.com", "Failed Forgetme", "failed-forgetme@example.com"]
PERSONAL = [NAME, PHONE, EMAIL, NOTE, TEXT, *IMPORTED]


async def test_a_person_is_forgotten_everywhere_and_never_met_again(
    system: System, http: httpx.AsyncClient, tmp_path: Path
) -> None:
    await planted(system, http)
    for service, db in system.databases.items():
        assert {TILL, WEB} <= {word for _, word in await places_of(db, [TILL, WEB])}, f"{service} knows both ids"
    kept = {word for name in ("profile", "engagement") for _, word in await places_of(system.databases[name], PERSONAL)}
    assert kept == {NAME, NOTE, TEXT, EMAIL, IMPORTED[0]}, "what isn't sealed the scan finds; an e-mail in a text"

    said = await everything(system)
    assert [word for word in PERSONAL if word.encode() in said] == [], "no topic ever had a word of it"
    # The company whose contact he is goes first: it is a customer of its own.
    for customer in (COMPANY, WEB):
        started = await http.post(f"/profile/customers/{customer}/erasure", json={"reason": f"a letter of {NAME}"})
        assert started.status_code == 202, started.text
        id = started.json()["id"]

    async def completed() -> Any:
        erasure = await answer(http, f"/profile/erasures/{id}")
        return erasure if erasure["state"] == "completed" else None

    done = await until(completed, 60, what="all four services' acknowledgement")
    assert sorted(one["service"] for one in done["acknowledgements"]) == sorted(SERVICES)
    assert not done["overdue"]
    file, key = tmp_path / "receipt.json", tmp_path / "key.pem"
    file.write_text((await http.get(f"/profile/erasures/{id}")).text)
    verified = CliRunner().invoke(app, ["erasure", "verify", str(file), "--data", str(system.data_dir)])
    assert verified.exit_code == 0, verified.output
    key.write_text(CliRunner().invoke(app, ["erasure", "key", "--data", str(system.data_dir)]).stdout)
    assert CliRunner().invoke(app, ["erasure", "verify", str(file), "--key", str(key)]).exit_code == 0
    file.write_text(done["receipt"][:-8] + "AAAAAAAA")
    assert CliRunner().invoke(app, ["erasure", "verify", str(file), "--data", str(system.data_dir)]).exit_code == 1

    # A purchase that was on its way, and one that comes a year later: they end as letters without a word.
    await publish(system, [record("purchase-recorded", bought(who, f"late-{who[-1]}")) for who in (TILL, WEB)])
    await system.until_quiet(seconds=60)
    for service, db in system.databases.items():

        async def left(of: Any = db) -> Any:
            return await places_of(of, [*PERSONAL, TILL, WEB]) == []

        # Published rows of the embedded mode go when everybody has read them.
        await until(left, 30, what=f"nothing is left in {service}: {await places_of(db, [*PERSONAL, TILL, WEB])}")
        letters = await answer(http, f"/{service}/dead-letters", topic="purchase-recorded", limit=200)
        refused = [one for one in letters["items"] if one["code"] == "customer-erased"]
        assert len(refused) >= 2
        assert all(one["key"] is None for one in refused)
    assert (await http.get(f"/profile/customers/{TILL}")).status_code == 410
    assert (await http.get(f"/loyalty/accounts/{WEB}")).status_code == 410
    async with client(system, "profile:read", TILL) as himself:
        assert (await himself.get(f"/profile/customers/{TILL}")).status_code == 404
    assert (await answer(http, "/loyalty/ledger/verification"))["ok"]
    said = await everything(system)
    assert TILL.encode() in said, "topics keep opaque ids until their retention ends"
    assert [word for word in PERSONAL if word.encode() in said] == []


async def planted(system: System, http: httpx.AsyncClient) -> None:
    """Two ids of one person, with all that a person leaves behind."""
    file = {"customer_id": TILL, "name": NAME, "phone": f"+{PHONE}", "email": EMAIL}
    await command(http, "/profile/customers", file)
    await command(http, "/profile/customers", {"customer_id": WEB, "name": NAME})
    await command(http, f"/profile/customers/{TILL}/notes", {"text": f"{NAME} {NOTE}"})
    await publish(
        system,
        [
            record("purchase-recorded", bought(TILL, "zz-1", total="1000.00", days_ago=40)),
            record("purchase-recorded", bought(WEB, "zz-2", total="500.00", days_ago=3)),
        ],
    )
    written = {"customer_id": WEB, "channel": "web", "kind": "complaint", "text": f"{TEXT}. {NAME}, {EMAIL}"}
    await command(http, "/engagement/feedback", written)
    await command(http, "/profile/customers", {"customer_id": COMPANY, "kind": "company", "name": "Trading Company"})
    speaks = {"name": NAME, "role": "buyer", "contact_points": [{"kind": "email", "value": EMAIL}]}
    await command(http, f"/profile/customers/{COMPANY}/contact-persons", speaks)
    sale = cloud_event("purchase-recorded", bought(TILL, "zz-3", total="90.00"))
    sale["data"] = {name: value for name, value in sale["data"].items() if name != "customer_id"}
    sale["data"]["customer_ref"] = {"kind": "phone", "value": f"+{PHONE}"}
    await command(http, "/profile/events", sale)
    await imported(http)
    await command(http, "/profile/merges", {"from_id": WEB, "into_id": TILL})
    await system.until_quiet(seconds=60)


async def imported(http: httpx.AsyncClient) -> None:
    """A row that is taken in, and one that is at fault."""
    name, email, failed_name, failed_email = IMPORTED
    rows = f"{WEB},{name},{email},\n{TILL},{failed_name},{failed_email},not a phone\n"
    content = f"customer_id,name,email,phone\n{rows}"
    sent = await http.post("/profile/imports", content=content, headers={"Content-Type": "text/csv"})
    assert sent.status_code == 202, sent.text

    async def done() -> Any:
        found = await answer(http, f"/profile/imports/{sent.json()['id']}")
        return found if found["state"] == "done" else None

    job = await until(done, 60, what="the import")
    assert (job["changed"], job["failed"]) == (1, 1)
    back = await http.get(f"/profile/imports/{job['id']}/failed-rows")
    assert failed_name in back.text


async def command(http: httpx.AsyncClient, path: str, body: dict[str, Any]) -> None:
    response = await http.post(path, json=body)
    assert response.is_success, response.text


async def everything(system: System) -> bytes:
    """The keys and values of every record on every topic, from the beginning."""
    names = {*TOPICS, *(dead_letter_topic(topic, service) for topic in TOPICS for service in SERVICES)}
    reader = AIOKafkaConsumer(bootstrap_servers=system.kafka.bootstrap_servers, fetch_max_wait_ms=50)
    admin = AIOKafkaAdminClient(bootstrap_servers=system.kafka.bootstrap_servers)
    said: list[bytes] = []
    try:
        await reader.start()
        await admin.start()
        ends = await kafka.ends(reader, await kafka.places_of(admin, names))
        left = {place: end for place, end in ends.items() if end}
        reader.assign(list(left))
        await reader.seek_to_beginning()
        async with asyncio.timeout(30):
            while left:
                for records in (await reader.getmany(timeout_ms=100)).values():
                    said += [(one.key or b"") + b" " + (one.value or b"") for one in records]
                left = {place: end for place, end in left.items() if await reader.position(place) < end}
    finally:
        await admin.close()
        await reader.stop()
    return b"\n".join(said)
