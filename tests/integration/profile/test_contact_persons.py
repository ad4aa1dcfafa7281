"""Who speaks for a company: letters and calls go to a person, by his name, where he agrees."""

from typing import Any

import asyncpg
import pytest

from shared.db import execute
from tests.integration.profile.house import Profile
from tests.integration.profile.test_consent_http import YES, reach
from tests.integration.profile.test_identities import make, merge

SERVICE = "profile"
PATH = "/customers/firm/contact-persons"


async def person(profile: Profile, name: str, *, path: str = PATH, **fields: Any) -> str:
    points = [{"kind": "email", "value": f"{name.lower()}@firm.example.com"}]
    answer = await profile.client.post(path, json={"name": name, "contact_points": points, **fields})
    assert answer.status_code == 201, answer.text
    made: str = answer.json()["person_id"]
    return made


async def says(profile: Profile, who: str, granted: bool, where: str = "email/marketing") -> None:
    answer = await profile.client.put(f"{PATH}/{who}/consents/{where}", json=YES | {"granted": granted})
    assert answer.status_code == 200, answer.text


async def reached(profile: Profile, purpose: str = "marketing", channel: str = "email") -> tuple[Any, ...]:
    [one] = await reach(profile, purpose, ("firm", channel))
    return one["person_id"], one["name"], one["address"], one["consent"], one["why_not"]


async def test_a_company_is_written_to_through_its_main_person_who_agrees(profile: Profile) -> None:
    await make(profile, "firm", kind="company", name="Firm", email="info@firm.example.com")
    buyer = await person(profile, "Buyer")
    boss = await person(profile, "Boss", main=True)
    info = "info@firm.example.com"

    # A service message needs no consent: it goes to the main person. Marketing goes to nobody who wasn't asked.
    assert await reached(profile, "service") == (boss, "Boss", "boss@firm.example.com", True, None)
    assert (await reached(profile))[3:] == (False, "no-consent")
    await profile.client.put("/customers/firm/consents/email/marketing", json=YES)
    # What the company agreed to is for its own address.
    assert await reached(profile) == (None, "Firm", info, True, None)
    await says(profile, buyer, True)
    assert await reached(profile) == (buyer, "Buyer", "buyer@firm.example.com", True, None)
    await says(profile, boss, True)
    assert (await reached(profile))[:2] == (boss, "Boss")
    await says(profile, boss, False)
    assert (await reached(profile))[:2] == (buyer, "Buyer")
    await says(profile, boss, False, "email/service")
    assert (await reached(profile, "service"))[:2] == (buyer, "Buyer")
    # By phone none of them can be reached, and what the company refuses it refuses for all.
    assert (await reached(profile, "service", "phone"))[4] == "no-address"
    await profile.client.put("/customers/firm/consents/email/marketing", json=YES | {"granted": False})
    assert await reached(profile) == (None, "Firm", info, False, "no-consent")

    told = (await profile.client.get(f"{PATH}/{boss}/consents")).json()["items"]
    assert [(one["channel"], one["purpose"], one["granted"]) for one in told] == [
        ("email", "marketing", False), ("email", "service", False),
    ]  # fmt: skip
    export = (await profile.client.get("/customers/firm/export")).json()
    assert [(one["person_id"], one["granted"]) for one in export["contact_person_consents"]] == [
        (buyer, True), (boss, True), (boss, False), (boss, False),
    ]  # fmt: skip


async def test_who_refuses_is_not_reached_by_the_companys_address_that_is_his_too(profile: Profile) -> None:
    await make(profile, "firm", kind="company", name="Firm", email="boss@firm.example.com")
    boss = await person(profile, "Boss")
    await profile.client.put("/customers/firm/consents/email/marketing", json=YES)
    assert await reached(profile) == (None, "Firm", "boss@firm.example.com", True, None)
    await says(profile, boss, False)
    assert await reached(profile) == (None, "Firm", None, False, "no-consent")


async def test_one_person_is_the_main_one_and_a_joined_companys_come_after(profile: Profile) -> None:
    await make(profile, "firm", kind="company", name="Firm")
    await make(profile, "other", kind="company", name="Other")
    first = await person(profile, "First", main=True)
    second = await person(profile, "Second", main=True)
    assert [one["main"] for one in (await profile.client.get(PATH)).json()["items"]].count(True) == 1
    assert (await reached(profile, "service"))[0] == second
    etag = {"If-Match": (await profile.client.get(f"{PATH}/{first}")).headers["ETag"]}
    assert etag == {"If-Match": '"2"'}, "whoever had read him as the main one must look again"
    assert (await profile.client.patch(f"{PATH}/{first}", json={"main": True}, headers=etag)).is_success
    assert (await reached(profile, "service"))[0] == first
    await person(profile, "Third", path="/customers/other/contact-persons", main=True)
    await merge(profile, "other", "firm")
    assert (await reached(profile, "service"))[0] == first


async def test_the_ledger_of_a_person_takes_no_change_and_goes_with_the_company(profile: Profile) -> None:
    await make(profile, "firm", kind="company", name="Firm")
    boss = await person(profile, "Boss")
    await says(profile, boss, True)
    for change in ("UPDATE contact_person_consents SET granted = false", "TRUNCATE contact_person_consents"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with profile.service.db.transaction() as tx:
                await execute(tx, change)
    unknown = await profile.client.put(f"{PATH}/p_nobody/consents/email/marketing", json=YES)
    assert unknown.status_code == 404
    assert (await profile.client.get(f"{PATH}/p_nobody/consents")).status_code == 404
