"""Files of customers over HTTP: what they write, what they refuse, what a crash and a second time leave of them."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from services.profile.imports import receiving, store
from shared.db import fetch
from tests.integration.profile.house import Profile, token
from tests.kit.builders import NOW, purchase, record
from tests.kit.waiting import until

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


async def test_faulty_rows_are_told_one_by_one_and_can_be_mended_and_sent_again(profile: Profile) -> None:
    rows = [
        "customer_id,name,email,attributes.shoe,birthday",
        "pos:1,Good,good@example.com,42,08-15",
        "pos:2,Bad,nowhere,42,",
        ',No key,"a@example.com",1,',
        'pos:3,"two\nlines",b@example.com,large,02-30',
        'pos:4,"a "stray" quote",,,',
        "pos:5,Good too,,,lunar:L04-10",
    ]
    await profile.client.put("/attributes/shoe", json={"type": "integer"})
    done = await send(profile, "\n".join(rows))
    assert counts(done) == (6, 2, 0, 0, 4)
    faults = (await shown(profile, done["id"], "/errors?limit=2"))["items"]
    assert [(one["row"], one["code"], one["pointer"]) for one in faults] == [
        (2, "invalid-contact-point", "/email"),
        (3, "key-missing", "/customer_id"),
    ]
    cursor = (await shown(profile, done["id"], "/errors?limit=2"))["next_cursor"]
    rest = (await shown(profile, done["id"], f"/errors?cursor={cursor}"))["items"]
    assert [(one["row"], one["code"], one["pointer"]) for one in rest] == [
        (4, "invalid-request", "/attributes/shoe"),
        (5, "malformed-csv", ""),
    ]
    mended = (await profile.client.get(f"/imports/{done['id']}/failed-rows")).text
    mended = mended.replace("nowhere", "some@where.example.com").replace("large", "43").replace("02-30", "02-03")
    mended = mended.replace(",No key,a@", "pos:9,No key,a@").replace('"stray"', "stray")
    again = await send(profile, mended)
    assert counts(again) == (4, 4, 0, 0, 0), await shown(profile, again["id"], "/errors")
    assert (await profile.view("pos:3"))["name"] == "two\nlines"


async def test_a_file_that_cannot_be_right_is_refused_whole(profile: Profile) -> None:
    async def refused(content: bytes, media: str = "text/csv") -> tuple[int, str, str]:
        answer = await profile.client.post("/imports", content=content, headers={"Content-Type": media})
        problem = answer.json()
        return answer.status_code, problem["code"], problem["detail"]

    status, code, detail = await refused(b"customer_id,nmae\n1,A\n")
    assert (status, code) == (422, "unknown-column")
    assert "'name'" in detail
    assert (await refused(b"name\nA\n"))[:2] == (422, "key-missing")
    assert (await refused(b"customer_id,consents.email.marketing\n1,yes\n"))[:2] == (422, "consent-unproven")
    assert (await refused(b"customer_id\n"))[:2] == (422, "empty-file")
    assert (await refused(b"{}", "application/json"))[:2] == (415, "unsupported-media-type")
    assert (await refused(b"customer_id\n1", "text/csv; charset=big5"))[:2] == (415, "unsupported-charset")
    assert (await profile.client.get("/imports")).json()["items"] == []
    forbidden = await profile.client.post("/imports", content=b"x", headers=token("profile:write", "pos:1"))
    assert forbidden.status_code == 403


async def test_gb18030_is_read_where_it_is_declared_and_wrong_bytes_spoil_their_row_alone(profile: Profile) -> None:
    rows = "customer_id,name\nwx:1,茶客\nwx:2,𠮷先生\n".encode("gb18030")
    assert counts(await send(profile, rows, "text/csv; charset=GB18030")) == (2, 2, 0, 0, 0)
    assert [(await profile.view(who))["name"] for who in ("wx:1", "wx:2")] == ["茶客", "𠮷先生"]
    undeclared = await send(profile, rows + b"wx:3,plain\n", name="undeclared")
    assert counts(undeclared) == (3, 1, 0, 0, 2)
    assert {one["code"] for one in (await shown(profile, undeclared["id"], "/errors"))["items"]} == {"wrong-encoding"}


async def test_a_body_in_pieces_is_read_as_one(profile: Profile) -> None:
    whole = f"{HEADER}\r\n" + "".join(f'pos:{n},"茶\r\n{n}",,,,,,\r\n' for n in range(30))

    async def pieces() -> AsyncIterator[bytes]:
        content = whole.encode()
        for start in range(0, len(content), 7):
            yield content[start : start + 7]

    answer = await profile.client.post("/imports", content=pieces(), headers={"Content-Type": "text/csv"})
    await work(profile)
    assert counts(await shown(profile, answer.json()["id"])) == (30, 30, 0, 0, 0)
    assert (await profile.view("pos:29"))["name"] == "茶\r\n29"


async def test_bad_lines_of_ndjson_are_faults_of_their_rows(profile: Profile) -> None:
    lines = [
        '{"customer_id": "web:1", "name": "A", "attributes": {"shoe": 42}, "phones": ["0912345678", "+886223456789"]}',
        "{nothing",
        "[]",
        '{"customer_id": "web:2", "name": "\\u0000"}',
        '{"customer_id": "web:3", "nmae": "B"}',
        '{"customer_id": "web:1", "name": null}',
    ]
    done = await send(profile, "\n".join(lines), "application/x-ndjson")
    assert counts(done) == (6, 1, 1, 0, 4)
    view = await profile.view("web:1")
    assert (view["name"], view["attributes"]) == (None, {"shoe": 42})
    assert [point["value"] for point in view["contact_points"]] == ["+886912345678", "+886223456789"]
    faults = (await shown(profile, done["id"], "/errors"))["items"]
    assert [(one["row"], one["pointer"]) for one in faults] == [(2, ""), (3, ""), (4, "/name"), (5, "/nmae")]


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


async def test_a_revert_takes_back_what_still_stands_and_leaves_later_edits(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiving, "CHUNK_ROWS", 3)
    consent = {"channel": "email", "purpose": "marketing", "granted": True, "source": "s", "wording_version": "1"}
    before = [{"customer_id": "web:1", "name": "Before", "email": "before@example.com", "tags": ["tea"]}]
    await send(profile, before)
    unspoilt = await profile.view("web:1")
    profile.clock.set(NOW + timedelta(hours=1))
    rows: list[dict[str, Any]] = [
        {"customer_id": "web:1", "name": "Wrong", "email": "wrong@example.com", "owner": "staff:1", "tags": ["x"]},
        {"customer_id": "web:2", "name": "Made", "phone": "0912345678"},
        {"customer_id": "web:3", "name": "Bought since"},
        {"customer_id": "web:4", "name": "Edited since", "identifiers": [{"kind": "card", "value": "7"}]},
        {"customer_id": "web:2", "name": "Made twice", "consents": [consent]},
    ]
    wrong = await send(profile, rows)
    profile.clock.set(NOW + timedelta(hours=2))
    await profile.take(record("purchase-recorded", purchase("web:3")))
    for who, patch in (("web:1", {"tags": ["later"]}), ("web:4", {"locale": "zh-TW"})):
        tag = (await profile.client.get(f"/customers/{who}")).headers["ETag"]
        await profile.client.patch(f"/customers/{who}", json=patch, headers={"If-Match": tag})

    done = await revert(profile, wrong["id"])
    assert (done["state"], done["revert"]["removed"], done["revert"]["restored"], done["revert"]["kept"]) == (
        "reverted", 1, 3, 2,
    )  # fmt: skip
    after = await profile.view("web:1")
    assert (after["name"], after["email"], after["owner"], after["tags"]) == (
        "Before", "before@example.com", None, ["later"],
    )  # fmt: skip
    assert unspoilt["contact_points"] == after["contact_points"]
    assert (await profile.client.get("/customers/web:2")).status_code == 404
    assert ((await profile.view("web:3"))["name"], (await profile.view("web:3"))["value"]["order_count"]) == (None, 1)
    assert ((await profile.view("web:4"))["name"], (await profile.view("web:4"))["locale"]) == (None, "zh-TW")
    assert (await profile.client.post("/lookups", json={"kind": "card", "value": "7"})).status_code == 404
    leftovers = (await shown(profile, wrong["id"], "/leftovers"))["items"]
    assert [(one["customer_id"], one["code"]) for one in leftovers] == [
        ("web:3", "touched-since"),
        ("web:4", "touched-since"),
    ]
    withdrawn = (await profile.published("consent-changed"))[-1]["event"]["data"]
    assert (withdrawn["customer_id"], withdrawn["granted"]) == ("web:2", False)
    again = await send(profile, rows)
    assert counts(again) == (5, 1, 4, 0, 0)


def _days_ago(days: int) -> str:
    return (NOW - timedelta(days=days)).isoformat()


_FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["A", "B"]),
        "email": st.sampled_from(["A@Example.com", "b@example.com"]),
        "phone": st.sampled_from(["0912345678", "02-2345-6789"]),
        "tags": st.sampled_from([[], ["tea"], ["tea", "vip"]]),
        "attributes": st.dictionaries(st.sampled_from(["shoe", "hat"]), st.integers(1, 3), max_size=2),
        "birthday": st.sampled_from([{"month": 8, "day": 15, "calendar": "lunar"}]),
        "team": st.sampled_from([{"analyst": "staff:1"}, {"after-sales": "staff:2"}]),
        "as_of": st.integers(1, 3).map(_days_ago),
    },
)
_SAID = st.booleans().map(lambda yes: {"granted": yes, "source": "s", "wording_version": "1"})
_runs = iter(range(1_000_000))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from("xy"), _FIELDS, st.none() | _SAID), min_size=1, max_size=5), st.booleans())
@example([("x", {"name": name, "as_of": _days_ago(days)}, None) for name, days in (("A", 2), ("A", 3), ("B", 3))], True)
async def test_an_import_writes_what_the_routes_write(
    profile: Profile,
    monkeypatch: pytest.MonkeyPatch,
    rows: list[tuple[str, dict[str, Any], dict[str, Any] | None]],
    timed: bool,
) -> None:
    monkeypatch.setattr(receiving, "CHUNK_ROWS", 2)
    run = next(_runs)
    for _, fields, _ in rows:
        if timed:
            fields.setdefault("as_of", NOW.isoformat())
        else:
            fields.pop("as_of", None)
    imported, routed = f"i{run}", f"r{run}"
    await send(
        profile,
        [
            {"customer_id": f"{imported}:{who}", **fields}
            | (
                {"consents": [{"channel": "sms", "purpose": "survey", **said}]}
                if said and "as_of" not in fields
                else {}
            )
            for who, fields, said in rows
        ],
    )
    for who, fields, said in rows:
        await _by_routes(profile, f"{routed}:{who}", fields, None if "as_of" in fields else said)
    for who in {who for who, *_ in rows}:
        ids = (f"{imported}:{who}", f"{routed}:{who}")
        assert await _everything(profile, ids[0]) == await _everything(profile, ids[1])


async def _by_routes(profile: Profile, who: str, fields: dict[str, Any], said: dict[str, Any] | None) -> None:
    known = await profile.client.get(f"/customers/{who}")
    if known.status_code == 404:
        answer = await profile.client.post("/customers", json={"customer_id": who, **fields})
    else:
        match = {"If-Match": known.headers["ETag"]}
        answer = await profile.client.patch(f"/customers/{who}", json=fields, headers=match)
    assert answer.is_success, answer.text
    if said:
        assert (await profile.client.put(f"/customers/{who}/consents/sms/survey", json=said)).is_success


async def _everything(profile: Profile, who: str) -> dict[str, Any]:
    view = {name: value for name, value in (await profile.view(who)).items() if name != "customer_id"}
    history = (await profile.client.get(f"/customers/{who}/history?limit=200")).json()["items"]
    consents = (await profile.client.get(f"/customers/{who}/consents")).json()["items"]
    events = [
        {name: value for name, value in one["event"]["data"].items() if name not in ("customer_id", "caused_by")}
        for one in await profile.published()
        if one["key"] == who.encode()
    ]
    async with profile.service.db.transaction() as tx:
        marks = await fetch(
            tx, "SELECT DISTINCT cause, backfill FROM placement_marks WHERE customer_id = :who", who=who
        )
    return {
        "view": view,
        "history": {json.dumps([said["field"], said["value"], said["true_at"]]) for said in history},
        "consents": consents,
        "events": events,
        "marks": [dict(mark) for mark in marks],
    }


async def test_a_quotation_that_never_ends_or_ends_rows_later_costs_its_line_alone(profile: Profile) -> None:
    # More than a field of Python's reader may have, in one piece.
    rows = [f"pos:{n},Name {n} {'x' * 60}" for n in range(2500)]
    rows[5], rows[900] = 'pos:5,"Name 5', 'pos:900,"Name" 900'
    content = "customer_id,name\n" + "\n".join(rows) + "\n"
    done = await send(profile, content)
    assert counts(done) == (2500, 2498, 0, 0, 2)
    again = await send(profile, content.replace('"Name" 900', "Name 900"), dry_run=True)
    assert (again["rows"], again["failed"]) == (2500, 1)
    assert (await profile.client.get(f"/imports/{done['id']}/failed-rows")).text.splitlines()[1:] == [
        rows[5], rows[900],
    ]  # fmt: skip


async def test_an_address_in_the_place_of_an_id_is_not_kept_in_the_clear(profile: Profile) -> None:
    done = await send(profile, "customer_id,name\nplanted@example.com,A\nno such id,B\npos:1,C\n")
    assert counts(done) == (3, 1, 0, 0, 2)
    async with profile.service.db.transaction() as tx:
        kept = await fetch(tx, "SELECT CAST(f AS text) AS shown, customer_id FROM import_faults AS f")
    assert [row["customer_id"] for row in kept] == [None, None]
    assert not any("planted" in row["shown"] for row in kept)


async def test_long_rows_make_chunks_of_fewer(profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiving, "CHUNK_CHARACTERS", 1000)
    rows = "".join(json.dumps({"customer_id": f"web:{n}", "name": "n" * 150}) + "\n" for n in range(20))
    await profile.client.post("/imports", content=rows, headers={"Content-Type": "application/x-ndjson"})
    async with profile.service.db.transaction() as tx:
        chunks = await fetch(tx, "SELECT first_row, octet_length(body) AS size FROM import_chunks ORDER BY chunk")
    assert [row["first_row"] for row in chunks] == [1, 7, 13, 19]
    assert all(row["size"] < 1500 for row in chunks)
    await work(profile)
    [done] = (await profile.client.get("/imports")).json()["items"]
    assert counts(done) == (20, 20, 0, 0, 0)


async def test_a_purchase_that_arrives_while_its_import_is_taken_back_keeps_its_customer(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = await send(profile, [{"customer_id": "web:1", "name": "A"}])
    await profile.client.post(f"/imports/{done['id']}/revert")
    recorded, go_on = asyncio.Event(), asyncio.Event()
    use_cases = dict(profile.service.intake.use_cases)
    real = use_cases["purchase-recorded"]

    async def slow(tx: Any, events: Any) -> Any:
        outcome = await real(tx, events)
        recorded.set()
        await go_on.wait()
        return outcome

    monkeypatch.setattr(profile.service.intake, "use_cases", use_cases | {"purchase-recorded": slow})
    taking = asyncio.create_task(profile.take(record("purchase-recorded", purchase("web:1"))))
    await recorded.wait()
    working = asyncio.create_task(work(profile))

    async def waits() -> Any:
        async with profile.service.db.transaction() as tx:
            return await fetch(tx, "SELECT 1 FROM pg_locks WHERE NOT granted") or working.done()

    await until(waits, what="the revert at the lock")
    go_on.set()
    await asyncio.gather(taking, working)
    view = await profile.view("web:1")
    assert (view["name"], view["value"]["order_count"]) == (None, 1)


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


async def test_what_another_import_has_said_too_stays_until_that_is_taken_back(profile: Profile) -> None:
    rows = [{"customer_id": f"web:{n}", "name": f"N{n}", "email": f"n{n}@example.com"} for n in range(3)]
    first = await send(profile, rows)
    profile.clock.set(NOW + timedelta(hours=1))
    second = await send(profile, [rows[0], rows[1] | {"tags": ["tea"]}])
    assert counts(second) == (2, 0, 1, 1, 0)
    profile.clock.set(NOW + timedelta(hours=2))
    wrong = await send(profile, [{"customer_id": "web:0", "name": "Wrong"}])
    await revert(profile, wrong["id"])
    assert (await revert(profile, first["id"]))["revert"]["removed"] == 1
    views = [await profile.view(who) for who in ("web:0", "web:1")]
    assert [(view["name"], view["email"], view["tags"]) for view in views] == [
        ("N0", "n0@example.com", []), ("N1", "n1@example.com", ["tea"]),
    ]  # fmt: skip
    assert (await profile.client.get("/customers/web:2")).status_code == 404
    await revert(profile, second["id"])
    views = [await profile.view(who) for who in ("web:0", "web:1")]
    assert [(view["name"], view["email"], view["tags"]) for view in views] == [(None, None, [])] * 2
