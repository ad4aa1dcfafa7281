"""What a till knows a customer by: kept, found in any spelling, of one person, and never in a URL."""

import asyncio
import logging
from io import StringIO
from typing import Any

import httpx
import structlog

from shared.observability import configure_logging
from tests.integration.profile.house import Profile, token
from tests.integration.profile.test_identities import make, merge, undo

SERVICE = "profile"


async def add(profile: Profile, customer: str, kind: str, value: str, **headers: str) -> httpx.Response:
    body = {"kind": kind, "value": value}
    return await profile.client.post(f"/customers/{customer}/identifiers", json=body, headers=headers)


async def look(profile: Profile, kind: str, value: str) -> tuple[int, str]:
    answer = await profile.client.post("/lookups", json={"kind": kind, "value": value})
    return answer.status_code, answer.json().get("customer_id") or answer.json()["code"]


async def kept(profile: Profile, customer: str, **headers: Any) -> list[str]:
    answer = await profile.client.get(f"/customers/{customer}/identifiers", **headers)
    assert answer.status_code == 200, answer.text
    return sorted(one["value"] for one in answer.json()["items"])


async def test_a_lookup_answers_the_survivor_by_any_spelling(profile: Profile) -> None:
    await make(profile, "till", phone="0912345678")
    await make(profile, "web", email="Web@Example.com", phone="+886 912 345 678")
    assert await look(profile, "email", " web@example.COM ") == (200, "web")
    assert await look(profile, "phone", "+886912345678") == (409, "ambiguous")
    assert await look(profile, "email", "nobody@example.com") == (404, "not-found")
    assert await look(profile, "phone", "no number") == (422, "invalid-contact-point")
    assert (await look(profile, "shoe-size", "42"))[0] == 422
    await merge(profile, "web", "till")
    assert await look(profile, "phone", "0912-345-678") == (200, "till")
    assert await look(profile, "email", "web@example.com") == (200, "till")


async def test_an_identifier_is_found_in_any_spelling(profile: Profile) -> None:
    await make(profile, "a", "b")
    assert (await add(profile, "a", "card", "8860-0001 2345")).json()["value"] == "886000012345"
    await add(profile, "a", "member-number", "vip 7")
    await add(profile, "b", "external", "crm:Ab-1")
    assert await look(profile, "card", "886000012345") == (200, "a")
    assert await look(profile, "member-number", "VIP-7") == (200, "a")
    assert await look(profile, "external", "crm:Ab-1") == (200, "b")
    assert await look(profile, "external", "crm:ab-1") == (404, "not-found")
    assert await look(profile, "member-number", "886000012345") == (404, "not-found")
    assert await look(profile, "card", "- -") == (422, "invalid-identifier")


async def test_an_identifier_is_one_persons(profile: Profile) -> None:
    await make(profile, "a", "b", "c")
    first = await add(profile, "a", "card", "1", **{"Idempotency-Key": "k"})
    assert (await add(profile, "a", "card", "1", **{"Idempotency-Key": "k"})).json() == first.json()
    assert (await add(profile, "a", "card", "1")).json() == first.json()
    refused = await add(profile, "b", "card", "1")
    assert (refused.status_code, refused.json()["code"], refused.json()["customer_id"]) == (
        409,
        "identifier-taken",
        "a",
    )
    made = await merge(profile, "a", "b")
    assert (await add(profile, "b", "card", "1")).json() == first.json()
    assert (await add(profile, "a", "card", "2")).json()["customer_id"] == "b"
    assert await look(profile, "card", "1") == (200, "b")
    assert await kept(profile, "a") == await kept(profile, "b") == ["1", "2"]
    await undo(profile, made)
    assert (await kept(profile, "a"), await kept(profile, "b")) == (["1"], ["2"])
    assert await look(profile, "card", "1") == (200, "a")


async def test_of_two_who_claim_a_card_at_the_same_time_one_gets_it(profile: Profile) -> None:
    await make(profile, "a", "b")
    answers = await asyncio.gather(*(add(profile, customer, "card", "1") for customer in "abab"))
    assert sorted({answer.status_code for answer in answers}) == [201, 409]
    assert len(await kept(profile, "a") + await kept(profile, "b")) == 1


async def test_a_lost_card_is_taken_away_and_may_be_anothers(profile: Profile) -> None:
    await make(profile, "a", "b")
    card = (await add(profile, "a", "card", "1")).json()["identifier_id"]
    assert (await profile.client.delete(f"/customers/b/identifiers/{card}")).status_code == 404
    removed = await profile.client.delete(f"/customers/a/identifiers/{card}")
    assert (removed.status_code, removed.json()["value"]) == (200, "1")
    assert (await profile.client.delete(f"/customers/a/identifiers/{card}")).status_code == 404
    assert await look(profile, "card", "1") == (404, "not-found")
    assert (await add(profile, "b", "card", "1")).status_code == 201


async def test_identifiers_are_kept_of_customers_there_are_and_written_by_staff(profile: Profile) -> None:
    await make(profile, "a", "b")
    await add(profile, "a", "card", "1")
    assert (await add(profile, "nobody", "card", "2")).status_code == 404
    assert (await profile.client.get("/customers/nobody/identifiers")).status_code == 404
    own, other = token("profile:read profile:write", "a"), token("profile:read", "b")
    assert await kept(profile, "a", headers=own) == ["1"]
    assert (await profile.client.get("/customers/a/identifiers", headers=other)).status_code == 404
    assert (await add(profile, "a", "card", "3", **own)).status_code == 403


async def test_what_is_looked_up_is_not_logged(profile: Profile) -> None:
    log, handlers = StringIO(), logging.getLogger().handlers
    configure_logging(level="INFO", stream=log)
    try:
        await look(profile, "card", "4242424242")
        await look(profile, "phone", "0912345678")
    finally:
        structlog.reset_defaults()
        logging.getLogger().handlers = handlers
    assert "/lookups" in log.getvalue()
    assert "4242424242" not in log.getvalue()
    assert "912345678" not in log.getvalue()
