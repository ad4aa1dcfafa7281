"""POST /events: what is let in, what is refused, and with which words."""

from typing import Any

import httpx
import msgspec

from tests.integration.profile.house import Profile, token
from tests.kit.builders import at, cloud_event, line, money, purchase, record

SERVICE = "profile"
BATCH = "application/cloudevents-batch+json"


def bought(id: str = "e-1", **fields: Any) -> dict[str, Any]:
    return cloud_event("purchase-recorded", purchase(order_id=fields.pop("order_id", id), **fields), id=id)


async def post(profile: Profile, body: Any, content_type: str = "application/json", **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    answer = await profile.client.post("/events", content=content, headers={"Content-Type": content_type, **headers})
    assert answer.status_code < 500, answer.text
    return answer


TOO_DEEP = msgspec.json.encode(bought())[:-2] + b', "attributes": ' + b"[" * 20_000 + b"]" * 20_000 + b"}}"
BAD: list[tuple[str, bytes | dict[str, Any], str, str]] = [
    ("invalid json", b'{"specversion": ', "invalid-json", ""),
    ("NaN as a number", msgspec.json.encode(bought()).replace(b'"100"', b"NaN"), "invalid-json", ""),
    ("NaN as text", bought(total="NaN"), "contract", "/data/total/amount"),
    ("negative money", bought(total="-5"), "contract", "/data/total/amount"),
    ("unknown currency", bought(currency="XXX"), "contract", "/data/total"),
    ("too many decimals", bought(total="1.001"), "contract", "/data/total"),
    ("501 lines", bought(lines=[line(str(n)) for n in range(501)]), "contract", "/data/lines"),
    ("300 KiB", bought(attributes={"a": "x" * 300_000}), "too-large", ""),
    ("2 days ahead", bought(days_ago=-2), "in-the-future", "/time"),
    ("no offset", bought() | {"time": "2026-11-20T08:15:00"}, "contract", "/time"),
    ("no offset in data", bought() | {"data": purchase() | {"occurred_at": "2026-11-20T08:15:00"}}, "contract",
     "/data/occurred_at"),
    ("too deep", TOO_DEEP, "too-deep", ""),
    ("unknown type", bought() | {"type": "purchase-dreamt.v1"}, "unknown-type", "/type"),
    ("not from outside", cloud_event("tier-changed", {
        "customer_id": "a", "sequence": 1, "caused_by": {"source": "s", "id": "1"}, "occurred_at": at(0),
        "direction": "up"}), "not-accepted", "/type"),
    ("a NUL", bought() | {"subject": "a\u0000b"}, "nul-character", ""),
    ("missing field", bought() | {"data": {"customer_id": "a"}}, "contract", "/data/order_id"),
    ("no object", b"5", "contract", ""),
    ("no data", {key: value for key, value in bought().items() if key != "data"}, "contract", "/data"),
    ("a line twice", bought(lines=[line("1"), line("1")]), "contract", "/data"),
    ("a bad customer", bought(customer_id="a b"), "contract", "/data/customer_id"),
]  # fmt: skip


async def test_a_bad_event_alone_is_a_problem(profile: Profile) -> None:
    found = {}
    for name, body, _, _ in BAD:
        answer = await post(profile, body, "application/cloudevents+json")
        problem = answer.json()
        assert answer.headers["content-type"] == "application/problem+json", name
        found[name] = (answer.status_code, problem["code"], problem["errors"][0]["pointer"])
    assert found == {name: (400 if code == "invalid-json" else 422, code, pointer) for name, _, code, pointer in BAD}
    assert await profile.published() == []


async def test_a_bad_event_in_a_batch_leaves_its_neighbours_alone(profile: Profile) -> None:
    found = {}
    for name, body, _, _ in BAD:
        bad = body if isinstance(body, bytes) else msgspec.json.encode(body)
        if name == "invalid json":
            bad = b'{"specversion": }'
        good = [msgspec.json.encode(bought(f"{name}-{n}")) for n in (1, 2)]
        answer = await post(profile, b"[" + b", ".join([good[0], bad, good[1]]) + b"]", BATCH)
        received = answer.json()
        assert (answer.status_code, received["accepted"], received["duplicates"]) == (202, 2, 0), name
        [one] = received["rejected"]
        found[name] = (one["index"], one["code"], one["pointer"])
    assert found == {name: (1, code, pointer) for name, _, code, pointer in BAD}
    ids = [event["event"]["id"] for event in await profile.published()]
    assert ids == [f"{name}-{n}" for name, *_ in BAD for n in (1, 2)]


async def test_an_event_goes_to_its_topic_as_it_came(profile: Profile) -> None:
    sent = bought() | {"subject": "pos:1", "extension": "kept", "backfill": True}
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    answer = await post(profile, sent, "application/cloudevents+json; charset=utf-8", traceparent=trace)
    assert (answer.status_code, answer.json()) == (202, {"accepted": 1, "duplicates": 0, "rejected": []})
    [event] = await profile.published()
    assert (event["topic"], event["key"], event["event"]) == ("purchase-recorded", b"pos:1", sent)
    assert msgspec.json.decode(event["headers"])["traceparent"].startswith(trace[:36])


async def test_products_are_keyed_by_sku(profile: Profile) -> None:
    product = cloud_event("product-changed", {"sku": "tea", "name": "Tea", "category": "tea", "price": money("1")})
    assert (await post(profile, product)).status_code == 202
    assert (await profile.published())[0]["key"] == b"tea"


async def test_the_same_event_again_is_a_duplicate_and_other_data_a_conflict(profile: Profile) -> None:
    await post(profile, bought("e-1"))
    again = await post(profile, bought("e-1"))
    assert (again.status_code, again.json()) == (202, {"accepted": 0, "duplicates": 1, "rejected": []})
    other = await post(profile, bought("e-1", total="999"))
    assert (other.status_code, other.json()["code"]) == (409, "id-conflict")
    batch = await post(
        profile, [bought("e-1"), bought("e-1", total="999"), bought("e-2"), bought("e-2"), bought("e-2", total="5")]
    )
    assert (batch.status_code, batch.json()["accepted"], batch.json()["duplicates"]) == (202, 1, 2)
    assert [(one["index"], one["code"]) for one in batch.json()["rejected"]] == [(1, "id-conflict"), (4, "id-conflict")]
    assert [event["event"]["id"] for event in await profile.published()] == ["e-1", "e-2"]


async def test_a_thousand_events_fit_a_batch_and_no_more(profile: Profile) -> None:
    events = [msgspec.json.encode(bought(f"e-{n}", order_id=f"o-{n}")) for n in range(1001)]
    assert (await post(profile, b"[" + b",".join(events[:1000]) + b"]")).json()["accepted"] == 1000
    for wrong in (b"[" + b",".join(events) + b"]", b"[]"):
        answer = await post(profile, wrong)
        assert (answer.status_code, answer.json()["code"]) == (422, "batch-size")


async def test_bodies_have_a_limit_a_type_and_an_end(profile: Profile) -> None:
    assert (await post(profile, b"[" + b" " * 1_048_576 + b"]")).status_code == 413
    assert (await post(profile, bought(), "text/plain")).status_code == 415
    assert (await post(profile, b"[{}", BATCH)).status_code == 400
    assert (await post(profile, b"")).status_code == 400
    assert (await post(profile, b"\xff\xfe")).status_code == 400


async def test_publishers_need_a_scope(profile: Profile) -> None:
    assert (await post(profile, bought(), Authorization="")).status_code == 401
    for scope, customer, status in (
        ("profile:read", None, 403), ("profile:write", "pos:1", 403), ("events:write", None, 202),
        ("profile:write", None, 202),
    ):  # fmt: skip
        assert (await post(profile, bought(), **token(scope, customer))).status_code == status


async def test_what_was_posted_is_applied_once_when_it_comes_back_from_the_topic(profile: Profile) -> None:
    sent = bought("e-1", total="120")
    await post(profile, sent)
    again = record("purchase-recorded", sent["data"], id="e-1")
    await profile.take(again)
    await profile.take(again)
    assert (await profile.view("pos:1"))["value"]["lifetime_spend"] == money("120.00")
