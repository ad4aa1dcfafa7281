"""Who read whose data is kept, behind the answers, and for ever."""

from typing import Any

import asyncpg
import pytest

from services.profile.accesses import application, store
from services.profile.accesses.application import AccessRecord
from services.profile.accesses.domain import Access
from shared.db import Tx, execute, fetch
from shared.http.auth import issue_token
from tests.integration.profile.house import SECRET, Profile, token
from tests.integration.profile.test_identities import make, merge
from tests.kit.builders import NOW
from tests.kit.databases import TestDatabase
from tests.kit.waiting import until

SERVICE = "profile"


async def accesses(profile: Profile, customer: str = "a", **params: Any) -> list[tuple[str, str]]:
    """Subject and route, the newest first, without this way of asking itself."""
    answer = await profile.client.get(f"/customers/{customer}/accesses", params={"limit": 200, **params})
    assert answer.status_code == 200, answer.text
    found = [(item["subject"], item["route"].split("/", 1)[1]) for item in answer.json()["items"]]
    return [(subject, route) for subject, route in found if not route.endswith("/accesses")]


def clerk(scope: str = "profile:read") -> dict[str, str]:
    return {"Authorization": f"Bearer {issue_token(SECRET, scope, subject='clerk')}"}


async def test_a_read_tells_who_by_which_route_for_what_and_when(profile: Profile) -> None:
    await make(profile, "a", name="Planted Name", email="planted@example.com")
    asked = {**clerk("profile:read loyalty:read"), "X-Purpose": "complaint-7", "X-Request-Id": "r-1"}
    assert (await profile.client.get("/customers/a", headers=asked)).status_code == 200
    told = (await profile.client.get("/customers/a/accesses", headers=clerk())).json()["items"]
    assert told[0] == {
        "at": NOW.isoformat().replace("+00:00", "Z"), "subject": "clerk", "scope": "loyalty:read profile:read",
        "route": "GET /customers/{customer_id}", "purpose": "complaint-7", "request_id": "r-1",
    }  # fmt: skip
    assert [item["route"] for item in told] == ["GET /customers/{customer_id}", "POST /customers"]
    await profile.client.get("/customers/a", headers=clerk() | {"X-Purpose": "of planted@example.com"})
    assert (await profile.client.get("/customers/a/accesses", headers=clerk())).json()["items"][0]["purpose"] is None


async def test_lists_and_lookups_and_hand_off_are_kept_with_whom_they_showed(profile: Profile) -> None:
    await make(profile, "a", "b", email="same@example.com", name="A")
    await make(profile, "c", phone="+886912345678")
    for customer in "abc":
        await accesses(profile, customer)
    client, headers = profile.client, clerk("profile:read internal")
    await client.get("/customers", params={"limit": 2}, headers=headers)
    await client.post("/lookups", json={"kind": "phone", "value": "+886912345678"}, headers=headers)
    items = [{"customer_id": customer, "channel": "email"} for customer in ("a", "nobody")]
    await client.post("/internal/reachability", json={"purpose": "service", "items": items}, headers=headers)
    for job in profile.service.runner.jobs:
        await profile.service.runner.run_once(job)
    await client.get("/duplicates", headers=headers)
    await client.get("/segments/lifecycle/members", params={"class": "prospect"}, headers=headers)
    await client.get("/customers/a/timeline", headers=headers)
    await client.get("/customers/zzz", headers=headers)
    await client.get("/customers/b", headers=token("loyalty:read"))
    by_clerk = {who: [route for by, route in await accesses(profile, who) if by == "clerk"] for who in "abc"}
    assert by_clerk == {
        "a": ["customers/{customer_id}/timeline", "segments/{name}/members", "duplicates", "internal/reachability",
              "customers"],
        "b": ["segments/{name}/members", "duplicates", "customers"],
        "c": ["segments/{name}/members", "lookups"],
    }  # fmt: skip
    async with profile.service.db.transaction() as tx:
        rows = await fetch(tx, "SELECT CAST(t AS text) AS line FROM accesses AS t")
    assert not [row for row in rows if "example.com" in row["line"] or "912345678" in row["line"]]


async def test_who_is_told_whose_an_identifier_is_has_seen_it(profile: Profile) -> None:
    for customer in "ab":
        await make(profile, customer)
    card = {"kind": "card", "value": "77"}
    for customer, status in (("a", 201), ("b", 409)):
        path = f"/customers/{customer}/identifiers"
        assert (await profile.client.post(path, json=card, headers=clerk("profile:write"))).status_code == status
    route = ("clerk", "customers/{customer_id}/identifiers")
    assert (await accesses(profile, "a")).count(route) == 2
    assert (await accesses(profile, "b")).count(route) == 0


async def test_the_record_follows_a_merge_is_paged_and_is_staffs(profile: Profile) -> None:
    await make(profile, "a", "b")
    for _ in range(3):
        await profile.client.get("/customers/a", headers=clerk())
    await merge(profile, "a", "b")
    await profile.client.get("/customers/b", headers=clerk())
    seen, cursor = [], None
    while True:
        params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await profile.client.get("/customers/b/accesses", params=params)).json()
        seen += [item["subject"] for item in page["items"] if item["route"] == "GET /customers/{customer_id}"]
        if (cursor := page["next_cursor"]) is None:
            break
    assert seen == ["clerk"] * 4
    own = token("profile:read", "b")
    assert (await profile.client.get("/customers/b/accesses", headers=own)).status_code == 403
    assert (await profile.client.get("/customers/nobody/accesses")).status_code == 404


async def test_nobody_changes_the_record_not_even_the_tables_owner(
    profile: Profile, test_database: TestDatabase
) -> None:
    await make(profile, "a")
    await accesses(profile)
    owner = await asyncpg.connect(test_database.owner_dsn)
    for table, column in (("accesses", "subject"), ("accessed_customers", "customer")):
        for change in (f"UPDATE {table} SET {column} = NULL", f"DELETE FROM {table}", f"TRUNCATE {table}"):
            with pytest.raises(Exception, match="permission denied"):
                async with profile.service.db.transaction() as tx:
                    await execute(tx, change)
            with pytest.raises(asyncpg.RaiseError, match="append-only"):
                await owner.execute(change)
    await owner.close()


async def test_a_failure_is_counted_and_made_good_and_a_stop_in_order_loses_nothing(
    profile: Profile, test_database: TestDatabase
) -> None:
    def counted(name: str) -> float | None:
        found: float | None = profile.service.app.state.registry.get_sample_value(f"roost_accesses_{name}_total")
        return found

    await make(profile, "a")
    owner = await asyncpg.connect(test_database.owner_dsn)
    await owner.execute("ALTER TABLE accesses RENAME TO gone")
    assert (await profile.client.get("/customers/a")).status_code == 200
    assert (await profile.client.get("/customers/a/accesses")).status_code == 500
    assert counted("unwritten") == 1
    await owner.execute("ALTER TABLE gone RENAME TO accesses")
    assert len(await accesses(profile)) == 2
    await profile.client.get("/customers/a", headers=clerk())
    assert await owner.fetchval("SELECT count(*) FROM accesses WHERE subject = 'clerk'") == 0
    await profile.service.stop()
    assert await owner.fetchval("SELECT count(*) FROM accesses WHERE subject = 'clerk'") == 1
    assert counted("lost") == 0
    await owner.close()


async def test_what_comes_in_during_a_write_is_written_together_later_and_again_by_itself_where_that_fails(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = Access(NOW, "clerk", "profile:read", "GET /customers/{customer_id}", None, "r-1")
    record = AccessRecord(profile.service.db, profile.clock, str.encode)
    written: list[int] = []

    async def busily(tx: Tx, accesses: Any) -> None:
        written.append(len(accesses))
        if len(written) == 1:
            monkeypatch.setattr(application, "SECONDS", 0.01)
            for customer in ("b", "c", "c"):
                record.note(access, [customer])
        if len(written) == 2:
            raise ConnectionError
        await add(tx, accesses)

    add = store.add
    monkeypatch.setattr(store, "add", busily)
    record.note(access, ["a"])
    await record.flush()
    assert written == [1]

    async def together() -> bool:
        return written == [1, 3, 3]

    await until(together)
    await record.close()
    async with profile.service.db.transaction() as tx:
        assert [len(await record.page(tx, [who], None, 9)) for who in "abc"] == [1, 1, 2]
