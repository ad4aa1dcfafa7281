"""Addresses at rest: sealed under a key of each customer, found by digest, gone with the key."""

import base64
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from pydantic import SecretStr, ValidationError

from services.profile.customers.application import Customers
from services.profile.settings import ProfileSettings
from services.profile.vault.application import Vault
from services.profile.vault.domain import Unreadable, WrongMasterKey
from shared.clock import VirtualClock
from shared.db import Database, execute, fetch
from shared.migrations import upgrade
from tests.integration.profile.house import MASTER_KEY, Profile, profile_over
from tests.integration.profile.test_imports import send
from tests.integration.profile.test_references import received, referring
from tests.kit.builders import NOW
from tests.kit.databases import Databases, opened

SERVICE = "profile"
POINTS: list[dict[str, Any]] = [
    {"kind": "email", "value": "planted@example.com", "verified": True},
    {"kind": "phone", "value": "+886912345678"},
    {"kind": "messaging", "value": "line:planted-id"},
    {"kind": "post", "value": "7 Planted Road, Taipei"},
]
KEY = {"Idempotency-Key": "k"}
TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
PLANTED = ("planted@", "912345678", "planted-id", "Planted Road", "8860777712345")


def spellings(secret: str) -> Iterable[str]:
    """How PostgreSQL and JSON may show the bytes of a text."""
    raw = secret.encode()
    yield from (secret, raw.hex(), "".join(f"\\{byte:03o}" for byte in raw))
    for offset in range(3):
        # Whole groups of three bytes alone: what stands around the secret changes the others.
        whole = raw[offset : len(raw) - (len(raw) - offset) % 3]
        yield base64.b64encode(whole).decode()


async def holding(db: Database) -> dict[str, str]:
    """The tables in which something planted can be read, and one such row."""
    found: dict[str, str] = {}
    async with db.transaction() as tx:
        for table in [str(row["tablename"]) for row in await fetch(tx, TABLES)]:
            for row in await fetch(tx, f'SELECT CAST(t AS text) AS shown FROM "{table}" AS t'):
                shown = str(row["shown"]).lower()
                if any(spelling.lower() in shown for secret in PLANTED for spelling in spellings(secret)):
                    found[table] = shown
    return found


async def plant(profile: Profile, customer: str = "a", **fields: object) -> None:
    body = {"customer_id": customer, "kind": "company", "name": "A", "contact_points": POINTS, **fields}
    key = {"Idempotency-Key": f"plant-{customer}"}
    made = await profile.client.post("/customers", json=body, headers=key)
    assert made.status_code == 201, made.text


def customers_of(db: Database, *secrets: str) -> Customers:
    return Customers(VirtualClock(NOW), "TW", Vault(db, secrets or (MASTER_KEY,)))


async def test_no_table_shows_an_address_that_came_in_over_http(profile: Profile) -> None:
    await plant(profile)
    client = profile.client
    answers = [
        await client.patch("/customers/a", json={"phone": "0912-345-678"}, headers={"If-Match": "*"}),
        await client.post("/customers/a/contact-persons", json={"name": "B", "contact_points": POINTS}, headers=KEY),
        await client.post("/customers/a/identifiers", json={"kind": "card", "value": "8860-7777 12345"}, headers=KEY),
        await client.post("/lookups", json={"kind": "email", "value": "Planted@example.com"}),
        await client.post("/internal/reachability", json={"purpose": "service", "items": [
            {"customer_id": "a", "channel": channel} for channel in ("email", "sms", "messaging", "post")
        ]}),
    ]  # fmt: skip
    assert [answer.status_code for answer in answers] == [200, 201, 201, 200, 200]
    assert [item["address"] for item in answers[-1].json()["items"]] == [
        "planted@example.com", "+886912345678", "line:planted-id", "7 Planted Road, Taipei",
    ]  # fmt: skip
    history = (await client.get("/customers/a/history", params={"field": "contact_points"})).json()["items"]
    assert {point["value"] for said in history for point in said["value"]} == {point["value"] for point in POINTS}
    events = [referring("1", value="0912345678"), referring("2", "email", "planted@example.com")]
    assert await received(profile, *events, referring("3", value="planted@")) == (
        2, 0, [(2, "invalid-contact-point", "/data/customer_ref/value")],
    )  # fmt: skip
    rows = "customer_id,email,phone\na,planted@second.example,0912345678\nb,planted@second.example,planted@no-phone\n"
    done = await send(profile, rows)
    assert (done["changed"], done["failed"]) == (1, 1)
    for job in profile.service.runner.jobs:
        await profile.service.runner.run_once(job)
    assert await holding(profile.service.db) == {}
    async with profile.service.db.transaction() as tx:
        await execute(tx, "UPDATE customers SET name = 'planted@'")
    assert (await holding(profile.service.db)).keys() == {"customers"}, "the scan sees what stands in the clear"


async def test_who_destroys_a_key_destroys_what_was_sealed_under_it(profile: Profile) -> None:
    await plant(profile)
    customers = customers_of(profile.service.db)
    async with profile.service.db.transaction() as tx:
        assert await customers.vault.destroy(tx, ["a", "b"]) == 1
        with pytest.raises(Unreadable):
            await customers.find(tx, "a")
        await customers.vault.sealers(tx, ["a"])
        with pytest.raises(Unreadable):
            await customers.find(tx, "a")


async def test_what_is_sealed_opens_for_its_customer_and_field_alone(profile: Profile) -> None:
    await plant(profile)
    await plant(profile, "b")
    customers = customers_of(profile.service.db)

    async def found_after(theft: str) -> None:
        async with profile.service.db.transaction() as tx:
            await execute(tx, theft)
            await customers.find(tx, "a")

    for theft in (
        "UPDATE contact_points AS p SET sealed = other.sealed FROM contact_points AS other"
        " WHERE p.customer_id = 'a' AND other.customer_id = 'b' AND p.kind = other.kind",
        "UPDATE contact_points AS p SET kind = 'post' WHERE kind = 'messaging' AND customer_id = 'a'",
        "UPDATE customer_keys AS k SET wrapped = other.wrapped FROM customer_keys AS other"
        " WHERE k.customer_id = 'a' AND other.customer_id = 'b'",
        "UPDATE contact_points SET sealed = set_byte(sealed, 20, get_byte(sealed, 20) # 1) WHERE customer_id = 'a'",
    ):
        with pytest.raises(Unreadable):
            await found_after(theft)
    assert (await profile.view("a"))["email"] == "planted@example.com"


async def test_another_master_key_takes_over_without_touching_what_is_sealed(profile: Profile) -> None:
    await plant(profile)
    db, later = profile.service.db, "another master key of the tests, also long"
    async with db.transaction() as tx:
        before = await fetch(tx, "SELECT sealed, digest FROM contact_points ORDER BY position")
    both = customers_of(db, later, MASTER_KEY)
    assert await both.vault.rewrap_due(VirtualClock(NOW)) == NOW
    assert (await both.vault.rewrap(), await both.vault.rewrap()) == (2, 0)
    assert await both.vault.rewrap_due(VirtualClock(NOW)) is None
    async with db.transaction() as tx:
        found = await customers_of(db, later).find(tx, "a")
        assert found is not None
        assert [point.value for point in found.contact_points] == [point["value"] for point in POINTS]
        index = await customers_of(db, later).vault.index(tx)
        assert index.digest("phone", "+886912345678") in [row["digest"] for row in before]
        assert before == await fetch(tx, "SELECT sealed, digest FROM contact_points ORDER BY position")
        with pytest.raises(WrongMasterKey):
            await customers_of(db).find(tx, "a")


async def test_addresses_from_before_are_sealed_and_leave_the_files_of_their_tables(databases: Databases) -> None:
    async with databases.fresh(None) as empty:
        await upgrade("profile", empty.owner_dsn, "roost_service", to="0005")
        owner = await asyncpg.connect(empty.owner_dsn)
        await owner.execute(FROM_BEFORE)
        with pytest.raises(LookupError, match="master_key"):
            await upgrade("profile", empty.owner_dsn, "roost_service")
        await upgrade("profile", empty.owner_dsn, "roost_service", {"master_key": MASTER_KEY})
        tables = [row["tablename"] for row in await owner.fetch(TABLES)]
        await owner.close()
        service = profile_over(empty, VirtualClock(NOW))
        async with opened(empty) as db:
            assert await holding(db) == {}
        async with service.db.transaction() as tx:
            customers = customers_of(service.db)
            file = await customers.find(tx, "a")
            said = await customers.history(tx, "a", "contact_points", after=None, limit=10)
            digest = (await customers.vault.index(tx)).digest("card", "8860777712345")
            assert await fetch(tx, "SELECT 1 FROM identifiers WHERE digest = :digest", digest=digest)
        await service.db.close()
        assert file is not None
        assert [point.value for point in file.contact_points] == ["planted@example.com"]
        [told] = next(one.value for one in said if one.value)
        assert told == {"kind": "email", "value": "planted@example.com", "verified": False}
        admin = await asyncpg.connect(databases.admin_dsn, database=urlsplit(empty.dsn).path[1:])
        await admin.execute("CHECKPOINT")
        for table in tables:
            content = await admin.fetchval("SELECT pg_read_binary_file(pg_relation_filepath($1))", table)
            assert not any(secret.encode() in content for secret in PLANTED), table
        await admin.close()


FROM_BEFORE = f"""
INSERT INTO customers (customer_id, kind, name, created_at, updated_at) VALUES ('a', 'company', 'A', '{NOW}', '{NOW}');
INSERT INTO contact_points VALUES ('a', 1, 'email', 'planted@example.com', false);
INSERT INTO file_fields (customer_id, field, value, source, true_at, recorded_at) VALUES
    ('a', 'contact_points.email', '[{{"kind": "email", "value": "planted@example.com", "verified": false}}]', 's',
     '{NOW}', '{NOW}'),
    ('a', 'contact_points.phone', '[]', 's', '{NOW}', '{NOW}');
INSERT INTO identifiers VALUES ('i', 'a', 'card', '8860777712345', '{NOW}');
INSERT INTO contact_persons VALUES
    ('p', 'a', 1, 'B', NULL, '[{{"kind": "phone", "value": "+886912345678", "verified": false}}]');
"""


def test_without_a_master_key_nothing_starts() -> None:
    with pytest.raises(ValidationError, match="set PROFILE_MASTER_KEY"):
        ProfileSettings()
    with pytest.raises(ValidationError, match="32 bytes"):
        ProfileSettings(master_key=SecretStr("too short"))
