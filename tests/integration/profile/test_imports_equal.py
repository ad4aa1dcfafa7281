"""An import and the routes write the same."""

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from services.profile.imports import receiving
from shared.db import fetch
from tests.integration.profile.house import Profile
from tests.integration.profile.test_imports import send
from tests.kit.builders import NOW

SERVICE = "profile"


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
        "wallet_estimate": st.sampled_from([{"amount": "9.50", "currency": "TWD"}, {"amount": "8", "currency": "USD"}]),
        "team": st.sampled_from([{"analyst": "staff:1"}, {"after-sales": "staff:2"}]),
        "as_of": st.integers(1, 3).map(_days_ago),
    },
)
_SAID = st.booleans().map(lambda yes: {"granted": yes, "source": "s", "wording_version": "1"})
_runs = iter(range(1_000_000))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from("xy"), _FIELDS, st.none() | _SAID), min_size=1, max_size=5), st.booleans())
@example([("x", {"name": name, "as_of": _days_ago(days)}, None) for name, days in (("A", 2), ("A", 3), ("B", 3))], True)
@example([("y", {}, None), ("y", {"email": "A@Example.com"}, None)], False)
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
