"""Files of customers over HTTP: what they write, and what a crash and a second time leave of them."""

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from services.profile.imports import receiving, store
from shared.db import fetch
from tests.integration.profile.house import Profile
from tests.kit.builders import NOW

SERVICE = "profile"
HEADER = "customer_id,name,email,phone,tags,consents.email.marketing,consents.source,consents.wording_version"


async def send(
    profile: Profile, body: str | bytes | Sequence[dict[str, Any]], media: str = "text/csv", **query: Any
) -> dict[str, Any]:
    """Sends a file, has the job work through it, and answers the import."""
    if not isinstance(body, str | bytes):
        body, media = "\n".join(json.dumps(row) for row in body), "application/x-ndjson"
    answer = await profile.client.post("/imports", content=body, headers={"Content-Type": media}, params=query)
    assert answer.status_code == 202, answer.text
    await work(profile)
    return await shown(profile, answer.json()["id"])


async def work(profile: Profile) -> None:
    [job] = [job for job in profile.service.runner.jobs if job.name == "import"]
    await profile.service.runner.run_once(job)
    assert await job.next_due() is None, "nothing is left to do"


async def shown(profile: Profile, import_id: str, path: str = "") -> dict[str, Any]:
    answer = await profile.client.get(f"/imports/{import_id}{path}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def revert(profile: Profile, import_id: str) -> dict[str, Any]:
    answer = await profile.client.post(f"/imports/{import_id}/revert")
    assert answer.status_code == 202, answer.text
    await work(profile)
    return await shown(profile, import_id)


def counts(job: dict[str, Any]) -> tuple[int, ...]:
    return tuple(job[name] for name in ("rows", "created", "changed", "unchanged", "failed"))


async def test_a_row_is_a_customer_with_addresses_tags_and_consent(profile: Profile) -> None:
    rows = "\ufeff" + HEADER + '\r\npos:1,"Planted, Name",Planted@Example.com,0912-345-678,tea; vip,yes,till,2026-1\r\n'
    done = await send(profile, rows)
    assert (done["state"], counts(done)) == ("done", (1, 1, 0, 0, 0))
    view = await profile.view("pos:1")
    assert (view["name"], view["email"], view["phone"]) == ("Planted, Name", "planted@example.com", "+886912345678")
    assert view["tags"] == ["tea", "vip"]
    consents = (await profile.client.get("/customers/pos:1/consents")).json()["items"]
    assert [(one["channel"], one["purpose"], one["granted"], one["source"]) for one in consents] == [
        ("email", "marketing", True, "till")
    ]
    history = (await profile.client.get("/customers/pos:1/history")).json()["items"]
    assert {said["source"] for said in history} == {f"import:{done['id']}"}


async def test_what_an_import_keeps_of_a_file_is_sealed(profile: Profile) -> None:
    content = f"{HEADER}\npos:1,Planted,planted@example.com,not a phone,,,,\n"
    await profile.client.post("/imports", content=content, headers={"Content-Type": "text/csv"})
    planted = "SELECT count(*) AS found FROM {} AS t WHERE position(:word in CAST(t AS text)) > 0"
    for word in ("Planted", b"Planted".hex()):
        for table in ("import_chunks", "import_faults"):
            async with profile.service.db.transaction() as tx:
                assert (await fetch(tx, planted.format(table), word=word))[0]["found"] == 0
        await work(profile)


async def test_the_same_file_again_changes_nothing(profile: Profile) -> None:
    content = f"{HEADER}\npos:1,A,a@example.com,0912345678,tea,yes,till,2026-1\n"
    first = await send(profile, content)
    before = await profile.state_hash(), await profile.published()
    headers = {"Content-Type": "text/csv", "Idempotency-Key": "k-1"}
    again = [await profile.client.post("/imports", content=content, headers=headers) for _ in range(2)]
    assert again[0].json()["same_content_as"] == first["id"]
    assert (again[1].json()["id"], again[1].headers["Idempotency-Replayed"]) == (again[0].json()["id"], "true")
    other = await profile.client.post("/imports", content=content + "pos:2,B,,,,,,\n", headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")
    await work(profile)
    assert counts(await shown(profile, again[0].json()["id"])) == (1, 0, 0, 1, 0)
    assert (await profile.state_hash(), await profile.published()) == before
    history = (await profile.client.get("/customers/pos:1/history")).json()["items"]
    assert len(history) == len({said["field"] for said in history})


async def test_a_row_is_found_by_an_identifier_and_a_taken_one_is_refused(profile: Profile) -> None:
    card = {"identifiers": [{"kind": "card", "value": "12-34"}]}
    first = await send(profile, [{**card, "name": "A"}, {**card, "tags": ["tea"]}])
    assert counts(first) == (2, 1, 1, 0, 0)
    who = (await profile.client.post("/lookups", json={"kind": "card", "value": "1234"})).json()["customer_id"]
    view = await profile.view(who)
    assert (view["name"], view["tags"]) == ("A", ["tea"])
    other = await send(profile, [{"customer_id": "web:2", **card}])
    assert counts(other) == (1, 0, 0, 0, 1)
    assert (await shown(profile, other["id"], "/errors"))["items"][0]["code"] == "identifier-taken"


async def test_a_dry_run_tells_what_would_happen_and_writes_nothing(profile: Profile) -> None:
    await send(profile, [{"customer_id": "web:1", "name": "A"}])
    before = await profile.state_hash(), await profile.published()
    rows = [{"customer_id": "web:1", "name": "B"}, {"customer_id": "web:2", "name": "C"}, {"customer_id": "web:2"}]
    done = await send(profile, [*rows, {"customer_id": "web:3", "email": "no"}], dry_run=True)
    assert counts(done) == (4, 1, 1, 1, 1)
    assert [(one["row"], one["outcome"], one["fields"]) for one in done["differences"]] == [
        (1, "changed", [{"field": "name", "before": "A", "after": "B"}]),
        (2, "created", [{"field": "name", "before": None, "after": "C"}]),
    ]
    assert (await profile.state_hash(), await profile.published()) == before
    assert (await profile.client.get("/customers/web:2")).status_code == 404
    refused = await profile.client.post(f"/imports/{done['id']}/revert")
    assert (refused.status_code, refused.json()["code"]) == (409, "not-revertible")


async def test_an_import_goes_on_after_a_crash_where_it_stood(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiving, "CHUNK_ROWS", 2)
    rows = [{"customer_id": f"web:{n}", "name": f"N{n}"} for n in range(5)]
    real = store.progress

    async def crash(tx: Any, import_id: str, number: int, tally: Any) -> None:
        await real(tx, import_id, number, tally)
        if number == 1:
            raise ConnectionError("the process is gone")

    monkeypatch.setattr(store, "progress", crash)
    with pytest.raises(ConnectionError):
        await send(profile, rows)
    [stopped] = (await profile.client.get("/imports")).json()["items"]
    assert (stopped["state"], stopped["done"]) == ("running", 2)
    monkeypatch.setattr(store, "progress", real)
    await work(profile)
    assert counts(await shown(profile, stopped["id"])) == (5, 5, 0, 0, 0)
    assert len(await profile.published("customer-registered")) == 5
    async with profile.service.db.transaction() as tx:
        assert (await fetch(tx, "SELECT count(*) AS n FROM file_fields"))[0]["n"] == 5
        assert (await fetch(tx, "SELECT count(*) AS n FROM import_chunks"))[0]["n"] == 0


async def test_an_older_consent_never_widens_what_the_customer_said_since(profile: Profile) -> None:
    said = {"granted": False, "source": "account-page", "wording_version": "2026-1"}
    await send(profile, [{"customer_id": "web:1", "name": "A"}])
    await profile.client.put("/customers/web:1/consents/email/marketing", json=said)
    old = {"channel": "email", "purpose": "marketing", **said, "granted": True}
    as_of = (NOW - timedelta(days=3)).isoformat()
    done = await send(profile, [{"customer_id": "web:1", "consents": [old], "as_of": as_of}])
    assert counts(done) == (1, 0, 0, 1, 0)
    [consent] = (await profile.client.get("/customers/web:1/consents")).json()["items"]
    assert consent["granted"] is False


async def test_an_import_that_fails_keeps_no_other_waiting(profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    real, broken = store.progress, ""

    async def fail(tx: Any, import_id: str, number: int, tally: Any) -> None:
        if import_id == broken:
            raise ZeroDivisionError("a fault of ours")
        await real(tx, import_id, number, tally)

    monkeypatch.setattr(store, "progress", fail)
    sent = [
        await profile.client.post("/imports", content=row, headers={"Content-Type": "application/x-ndjson"})
        for row in (b'{"customer_id": "web:1"}', b'{"customer_id": "web:2"}')
    ]
    broken, sound = (one.json()["id"] for one in sent)
    with pytest.raises(ZeroDivisionError):
        await work(profile)
    assert ((await shown(profile, broken))["state"], (await shown(profile, sound))["state"]) == ("running", "done")
    broken = ""
    await work(profile)
    assert (await profile.view("web:1"))["customer_id"] == "web:1"
