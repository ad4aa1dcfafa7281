"""Files of customers taken back: what goes, what stays, and whose it is then."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from services.profile.imports import receiving
from shared.db import fetch
from tests.integration.profile.house import Profile
from tests.integration.profile.test_imports import counts, revert, send, shown, work
from tests.kit.builders import NOW, purchase, record
from tests.kit.waiting import until

SERVICE = "profile"


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


async def test_an_identifier_stays_as_long_as_an_import_or_a_person_names_it(profile: Profile) -> None:
    def cards(*values: str) -> dict[str, Any]:
        return {"identifiers": [{"kind": "card", "value": value} for value in values]}

    async def known() -> list[str]:
        asked = [(n, await profile.client.post("/lookups", json={"kind": "card", "value": n})) for n in "1234"]
        return [value for value, answer in asked if answer.json().get("customer_id") == "web:1"]

    first = await send(
        profile,
        [{"customer_id": "web:1", "name": "A", **cards("1", "1", "2", "3")}, {"customer_id": "b", **cards("4")}],
    )
    assert counts(first) == (2, 2, 0, 0, 0)
    assert (await profile.client.post("/merges", json={"from_id": "b", "into_id": "web:1"})).status_code == 201
    again = [{"customer_id": "web:1", **cards("1", "4")}, cards("2")]
    second, third = await send(profile, again), await send(profile, again)
    assert (counts(second), counts(third)) == ((2, 0, 0, 2, 0),) * 2
    by_hand = await profile.client.post("/customers/web:1/identifiers", json=cards("3")["identifiers"][0])
    assert by_hand.status_code == 201

    await revert(profile, second["id"])
    await revert(profile, first["id"])
    assert ((await profile.view("web:1"))["name"], await known()) == (None, ["1", "2", "3", "4"])
    await revert(profile, third["id"])
    assert await known() == ["3"]
