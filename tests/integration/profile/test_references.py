"""Events that refer to their customer by what a till knows of him."""

import asyncio
from typing import Any

import pytest

from services.profile.customers.application import Customers
from shared.db import fetch
from tests.integration.profile.house import Profile
from tests.integration.profile.test_events_http import BATCH, post
from tests.integration.profile.test_identities import make, merge, own_events, undo
from tests.kit.builders import cloud_event, money, purchase

SERVICE = "profile"
PHONE = "0912345678"
REFERENCES = {
    "phone": (PHONE, "+886 912 345 678"),
    "email": ("Till@Example.com", "till@example.com"),
    "messaging": ("line  till", "line till"),
    "member-number": ("m-10 01", "M1001"),
    "card": ("8860 0001", "88600001"),
    "external": ("erp/77", " erp/77"),
}


def referring(id: str, kind: str = "phone", value: str = PHONE, **fields: Any) -> dict[str, Any]:
    event = cloud_event("purchase-recorded", purchase(order_id=f"o-{id}", **fields), id=id)
    del event["data"]["customer_id"]
    event["data"]["customer_ref"] = {"kind": kind, "value": value}
    return event


async def received(profile: Profile, *events: Any) -> tuple[int, int, list[tuple[int, str, str]]]:
    answer = await post(profile, list(events), BATCH)
    assert answer.status_code == 202, answer.text
    told = answer.json()
    return told["accepted"], told["duplicates"], [(r["index"], r["code"], r["pointer"]) for r in told["rejected"]]


async def published(profile: Profile) -> dict[str, str]:
    """Event id -> customer, of what went to the topic."""
    rows = await profile.published("purchase-recorded")
    assert all(row["key"].decode() == row["event"]["data"]["customer_id"] for row in rows)
    return {row["event"]["id"]: row["event"]["data"]["customer_id"] for row in rows}


async def test_whoever_has_it_is_meant_and_a_stranger_gets_one_file(profile: Profile) -> None:
    await make(profile, "known", phone=PHONE, email=REFERENCES["email"][0])
    events = [
        referring(f"{kind}-{n}", kind, value) for kind, ways in REFERENCES.items() for n, value in enumerate(ways)
    ]
    assert await received(profile, *events) == (12, 0, [])
    meant = await published(profile)
    assert {meant[f"{kind}-{n}"] for kind in ("phone", "email") for n in range(2)} == {"known"}
    made = {kind: meant[f"{kind}-0"] for kind in REFERENCES if kind not in ("phone", "email")}
    assert all(meant[f"{kind}-1"] == customer for kind, customer in made.items())
    assert len(set(made.values())) == 4
    for kind, customer in made.items():
        found = await profile.client.post("/lookups", json={"kind": kind, "value": REFERENCES[kind][0]})
        assert found.json() == {"customer_id": customer}
    assert len(await profile.published("customer-registered")) == 5


async def test_two_tills_that_meet_a_stranger_at_once_make_one_file(profile: Profile) -> None:
    await asyncio.gather(*(received(profile, referring(f"e{n}")) for n in range(4)))
    assert len(set((await published(profile)).values())) == 1


async def test_the_same_event_is_a_duplicate_whoever_has_the_address_by_now(profile: Profile) -> None:
    await make(profile, "a", phone=PHONE)
    await make(profile, "b")
    sent = referring("e1")
    assert await received(profile, sent, sent, referring("e1", total="5")) == (1, 1, [(2, "id-conflict", "/id")])
    made = await merge(profile, "a", "b")
    assert await received(profile, sent, referring("e2")) == (1, 1, [])
    await undo(profile, made)
    etag = (await profile.client.get("/customers/a")).headers["ETag"]
    await profile.client.patch("/customers/a", json={"phone": "0987654321"}, headers={"If-Match": etag})
    assert await received(profile, sent) == (0, 1, [])
    await make(profile, "c", "d", phone=PHONE)
    assert await received(profile, sent, referring("e1", "phone", "0987654321")) == (0, 1, [(1, "id-conflict", "/id")])
    assert await published(profile) == {"e1": "a", "e2": "a"}


async def test_what_several_have_is_refused_until_it_is_one_persons(profile: Profile) -> None:
    await make(profile, "a", "b", phone=PHONE)
    alone = await post(profile, referring("e1"))
    assert (alone.status_code, alone.json()["code"]) == (409, "ambiguous")
    other = referring("e2", "card", "1")
    assert await received(profile, referring("e1"), other, referring("e1")) == (
        1, 0, [(0, "ambiguous", "/data/customer_ref"), (2, "ambiguous", "/data/customer_ref")],
    )  # fmt: skip
    await merge(profile, "a", "b")
    assert await received(profile, referring("e1")) == (1, 0, [])
    assert (await published(profile))["e1"] == "b"


async def test_nothing_of_it_is_kept_but_in_the_file(profile: Profile) -> None:
    sent = referring("e1") | {"subject": "+886912345678"}
    sent["data"]["phone"] = PHONE
    card = referring("e2", "card", "8860-0001")
    assert await received(profile, sent, sent, card, referring("e3", "card", "x" * 129)) == (
        2, 1, [(3, "contract", "/data/customer_ref/value")],
    )  # fmt: skip
    await profile.take(*await own_events(profile, ["purchase-recorded"]))
    async with profile.service.db.transaction() as tx:
        for table in ("outbox", "received_events", "idempotency_keys", "inbox", "facts", "dead_letters", "customers"):
            rows = await fetch(tx, f"SELECT to_jsonb({table}) AS columns FROM {table}")
            assert rows or table in ("idempotency_keys", "dead_letters")
            kept = " ".join(str(row["columns"]) for row in rows)
            for planted in ("912345678", "88600001", "8860-0001"):
                assert planted not in kept, table
                assert planted.encode().hex() not in kept, table
    for row in await profile.published("purchase-recorded"):
        assert set(row["event"]) == {"specversion", "id", "source", "type", "time", "datacontenttype", "data"}
        assert set(row["event"]["data"]) == set(purchase())


@pytest.mark.parametrize(
    ("reference", "code", "pointer"),
    [
        ({"kind": "phone", "value": "12"}, "invalid-contact-point", "/data/customer_ref/value"),
        ({"kind": "card", "value": " - "}, "invalid-identifier", "/data/customer_ref/value"),
        ({"kind": "name", "value": "x"}, "contract", "/data/customer_ref/kind"),
        ({"kind": "card", "value": "a\u0000b"}, "contract", "/data/customer_ref/value"),
        ({"kind": "card"}, "contract", "/data/customer_ref"),
        (5, "contract", "/data/customer_ref"),
    ],
)
async def test_a_reference_that_is_none_is_refused_by_name(
    profile: Profile, reference: Any, code: str, pointer: str
) -> None:
    event = referring("e1")
    event["data"]["customer_ref"] = reference
    assert await received(profile, event) == (0, 0, [(0, code, pointer)])


async def test_a_reference_beside_an_id_or_of_a_product_is_refused(profile: Profile) -> None:
    both = referring("e1")
    both["data"]["customer_id"] = "a"
    product = cloud_event("product-changed", {"sku": "tea", "name": "Tea", "category": "tea", "price": money("1")})
    product["data"]["customer_ref"] = {"kind": "card", "value": "1"}
    refused = [(n, "contract", "/data/customer_ref") for n in range(2)]
    assert await received(profile, both, product) == (0, 0, refused)
    assert await profile.published() == []


async def test_a_number_that_somebody_gets_while_a_stranger_is_made_of_it_means_him(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make(profile, "known")
    real = Customers.create

    async def interrupted(*args: Any, **fields: Any) -> Any:
        monkeypatch.setattr(Customers, "create", real)
        card = {"kind": "card", "value": "8860 0001"}
        assert (await profile.client.post("/customers/known/identifiers", json=card)).status_code == 201
        return await real(*args, **fields)

    monkeypatch.setattr(Customers, "create", interrupted)
    assert await received(profile, referring("1", "card", "88600001")) == (1, 0, [])
    assert await published(profile) == {"1": "known"}
