"""Consent and reachability: who may be written to, and where."""

from typing import Any

import asyncpg
import pytest

from shared.db import execute, fetch
from tests.integration.profile.house import Profile, token

SERVICE = "profile"
YES = {"granted": True, "source": "account-page", "wording_version": "2026-1"}


async def say(profile: Profile, what: dict[str, Any], where: str = "email/marketing", **headers: Any) -> Any:
    return await profile.client.put(f"/customers/a/consents/{where}", json=what, **headers)


async def reach(profile: Profile, purpose: str, *items: tuple[str, str]) -> list[dict[str, Any]]:
    asked = {"purpose": purpose, "items": [{"customer_id": who, "channel": channel} for who, channel in items]}
    answer = await profile.client.post("/internal/reachability", json=asked, headers=token("internal"))
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


async def make(profile: Profile, customer_id: str = "a", **fields: Any) -> None:
    answer = await profile.client.post("/customers", json={"customer_id": customer_id, **fields})
    assert answer.status_code == 201


async def test_a_customers_own_token_may_say_what_he_agrees_to(profile: Profile) -> None:
    await make(profile)
    own, other = token("profile:write", "a"), token("profile:write", "b")
    assert (await say(profile, YES, headers=other)).status_code == 404
    assert (await say(profile, YES, headers=token("profile:read", "a"))).status_code == 403
    said = await say(profile, YES, headers=own)
    assert said.status_code == 200
    assert said.json() | {"recorded_at": ""} == YES | {
        "channel": "email", "purpose": "marketing", "recorded_at": "",
    }  # fmt: skip
    assert (await profile.client.get("/customers/a/consents")).json()["items"] == [said.json()]


async def test_every_entry_stays_and_only_a_change_is_announced(profile: Profile) -> None:
    await make(profile)
    for granted in (True, True, False, True):
        await say(profile, YES | {"granted": granted})
    changes = [event["event"]["data"]["granted"] for event in await profile.published("consent-changed")]
    assert changes == [True, False, True]
    async with profile.service.db.transaction() as tx:
        assert (await fetch(tx, "SELECT count(*) AS n FROM consents"))[0]["n"] == 4


async def test_the_ledger_shows_every_entry_to_him_and_to_staff_page_by_page(profile: Profile) -> None:
    await make(profile)
    await make(profile, "b")
    for granted in (True, False):
        await say(profile, YES | {"granted": granted, "wording_version": f"2026-{granted:d}"})
    assert (await profile.client.put("/customers/b/consents/phone/service", json=YES)).is_success
    assert (await profile.client.post("/merges", json={"from_id": "b", "into_id": "a"})).status_code == 201

    told, cursor = [], None
    for page in range(3):
        params = {"limit": 1} | ({"cursor": cursor} if cursor else {})
        answer = await profile.client.get("/customers/a/consents/history", params=params)
        [entry], cursor = answer.json()["items"], answer.json()["next_cursor"]
        told.append((entry["customer_id"], entry["channel"], entry["granted"], entry["wording_version"]))
        assert (cursor is None) == (page == 2)
    assert told == [("b", "phone", True, "2026-1"), ("a", "email", False, "2026-0"), ("a", "email", True, "2026-1")]
    own = await profile.client.get("/customers/b/consents/history", headers=token("profile:read", "a"))
    assert len(own.json()["items"]) == 3
    strange = await profile.client.get("/customers/a/consents/history", headers=token("profile:read", "c"))
    assert strange.status_code == 404


@pytest.mark.parametrize("change", ["UPDATE consents SET granted = true", "DELETE FROM consents", "TRUNCATE consents"])
async def test_the_database_refuses_to_rewrite_consent(profile: Profile, change: str) -> None:
    with pytest.raises(asyncpg.PostgresError, match=r"permission denied|append-only"):
        async with profile.service.db.transaction() as tx:
            await execute(tx, change)


async def test_consent_for_nobody_or_nothing_is_refused(profile: Profile) -> None:
    await make(profile)
    assert (await profile.client.put("/customers/no/consents/email/marketing", json=YES)).status_code == 404
    assert (await say(profile, YES, "pigeon/marketing")).status_code == 422
    assert (await say(profile, YES, "email/gossip")).status_code == 422
    assert (await say(profile, {"granted": True})).status_code == 422


async def test_reachability_tells_address_and_consent_item_by_item(profile: Profile) -> None:
    await make(profile, "a", name="A", email="a@example.com", phone="0912345678", locale="zh-TW")
    await make(profile, "b", email="b@example.com", time_zone="Asia/Tokyo")
    await say(profile, YES)
    await say(profile, YES | {"granted": False}, "sms/service")
    known = {"locale": "zh-TW", "time_zone": None, "name": "A", "why_not": None, "person_id": None}
    nothing = {"address": None, "consent": False, "locale": None, "time_zone": None, "name": None, "person_id": None}
    mute = {"why_not": "no-consent"}
    assert await reach(profile, "marketing", ("b", "email"), ("a", "email"), ("a", "sms"), ("no", "email")) == [
        nothing | mute
        | {"customer_id": "b", "channel": "email", "address": "b@example.com", "time_zone": "Asia/Tokyo"},
        known | {"customer_id": "a", "channel": "email", "address": "a@example.com", "consent": True},
        known | {"customer_id": "a", "channel": "sms", "address": "+886912345678", "consent": False} | mute,
        nothing | {"customer_id": "no", "channel": "email", "why_not": "unknown"},
    ]
    service = await reach(profile, "service", ("b", "email"), ("b", "sms"), ("a", "sms"), ("no", "email"))
    assert [item["consent"] for item in service] == [True, False, False, False]
    assert [item["why_not"] for item in service] == [None, "no-address", "no-consent", "unknown"]


async def test_reachability_takes_500_items_of_services_alone(profile: Profile) -> None:
    item = {"customer_id": "a", "channel": "email"}
    headers = token("internal")
    full = {"purpose": "survey", "items": [item] * 500}
    over = {"purpose": "survey", "items": [item] * 501}
    assert len((await profile.client.post("/internal/reachability", json=full, headers=headers)).json()["items"]) == 500
    assert (await profile.client.post("/internal/reachability", json=over, headers=headers)).status_code == 422
    staff = token("profile:read profile:write")
    assert (await profile.client.post("/internal/reachability", json=full, headers=staff)).status_code == 403
