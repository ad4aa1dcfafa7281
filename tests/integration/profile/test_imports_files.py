"""What is read of a file of customers, and what is refused of it."""

import json
from collections.abc import AsyncIterator

import pytest

from services.profile.imports import receiving
from shared.db import fetch
from tests.integration.profile.house import Profile, token
from tests.integration.profile.test_imports import HEADER, counts, send, shown, work

SERVICE = "profile"


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
