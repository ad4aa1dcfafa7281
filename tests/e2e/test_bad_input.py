"""Bad records become dead letters with code and pointer, and the next events flow on."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, cast

import httpx
import msgspec
import pytest

from deploy.system import System
from shared.contracts.topics import SERVICES
from shared.db import Tx
from shared.messaging import kafka
from shared.messaging.events import Event
from shared.messaging.intake import Outcome, UseCase
from shared.messaging.records import Record
from shared.service import Service
from tests.e2e.test_one_purchase import bought
from tests.kit.builders import cloud_event, line, money, record
from tests.kit.system import answer, publish
from tests.kit.waiting import until

TOPIC = "purchase-recorded"
CUSTOMER = "e2e:bad"


def changed(order: str, **fields: Any) -> Record:
    return record(TOPIC, {**bought(CUSTOMER, order), **fields})


def raw(order: str, old: str, new: str) -> Record:
    """A record whose bytes no encoder of ours would write."""
    made = changed(order)
    assert made.value is not None
    assert old.encode() in made.value
    return made._replace(value=made.value.replace(old.encode(), new.encode()))


def bad_records() -> dict[str, tuple[Record, str, str]]:
    """Name -> (record, code, pointer)."""
    two_days_ahead = (datetime.now(UTC) + timedelta(days=2)).isoformat()
    good = changed("e2e:bad-0")
    lines = [line(str(n)) for n in range(501)]
    return {
        "invalid JSON": (good._replace(value=b'{"specversion": "1.0", '), "invalid-json", ""),
        "unknown type": (raw("e2e:bad-1", "purchase-recorded.v1", "purchase-guessed.v1"), "unknown-type", "/type"),
        "missing field": (raw("e2e:bad-2", '"channel"', '"chanel"'), "contract", "/data/channel"),
        "wrong field": (changed("e2e:bad-3", order_version="one"), "contract", "/data/order_version"),
        "NaN": (changed("e2e:bad-4", total=money("NaN")), "contract", "/data/total/amount"),
        "bare NaN": (raw("e2e:bad-5", '"amount":"100"', '"amount":NaN'), "invalid-json", ""),
        "negative money": (changed("e2e:bad-6", total=money("-1")), "contract", "/data/total/amount"),
        "unknown currency": (changed("e2e:bad-7", total=money("1", "ZZZ")), "contract", "/data/total"),
        "501 lines": (changed("e2e:bad-8", lines=lines), "contract", "/data/lines"),
        "300 KiB": (changed("e2e:bad-9", note="x" * 300 * 1024), "too-large", ""),
        "two days ahead": (
            changed("e2e:bad-10", occurred_at=two_days_ahead), "in-the-future", "/time"
        ),
        "null key": (changed("e2e:bad-11")._replace(key=None), "key-mismatch", "/data/customer_id"),
        "another key": (changed("e2e:bad-12")._replace(key=b"somebody"), "key-mismatch", "/data/customer_id"),
        "null value": (Record(TOPIC, CUSTOMER.encode(), None), "null-value", ""),
        "deep nesting": (good._replace(value=b"[" * 100_000), "", ""),
        "date without offset": (
            changed("e2e:bad-13", occurred_at="2026-01-01T00:00:00"), "contract", "/time"
        ),
    }  # fmt: skip


async def test_bad_records_become_dead_letters_in_every_service_and_the_next_events_flow_on(
    system: System, http: httpx.AsyncClient
) -> None:
    bad = bad_records()
    await publish(system, [made for made, _, _ in bad.values()])
    await publish(system, [record(TOPIC, bought(CUSTOMER, "e2e:good"))])
    await system.until_quiet(seconds=60)
    assert (await answer(http, f"/profile/customers/{CUSTOMER}"))["value"]["order_count"] == 1
    for service in SERVICES:
        letters = {letter["value_sha256"]: letter for letter in await letters_of(http, service)}
        for name, (made, code, pointer) in bad.items():
            letter = letters[sha256(made.value or b"").hexdigest()]
            assert not code or (letter["code"], letter["pointer"]) == (code, pointer), f"{service}: {name}: {letter}"


async def test_the_same_id_with_other_data_is_a_conflict_and_the_first_stays(
    system: System, http: httpx.AsyncClient
) -> None:
    first, second = (bought("e2e:conflict", f"e2e:conflict-{n}", total=f"{n}00.00") for n in (1, 2))
    await publish(system, [record(TOPIC, data, id="e2e:conflict") for data in (first, second)])
    await system.until_quiet(seconds=60)
    for service in SERVICES:
        assert (await letters_of(http, service))[-1]["code"] == "id-conflict"
    file = await answer(http, "/profile/customers/e2e:conflict")
    assert file["value"]["lifetime_spend"] == money("100.00")


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_compressed_records_are_read(system: System, http: httpx.AsyncClient, codec: str) -> None:
    producer = kafka.producer(system.kafka.model_copy(update={"compression": codec}))
    await producer.start()
    made = record(TOPIC, bought(f"e2e:{codec}", f"e2e:{codec}-1"))
    await producer.send_and_wait(made.topic, key=made.key, value=made.value)
    await producer.stop()
    await system.until_quiet(seconds=60)
    assert (await answer(http, f"/profile/customers/e2e:{codec}"))["value"]["order_count"] == 1


async def test_a_binary_event_is_read_like_a_structured_one(system: System, http: httpx.AsyncClient) -> None:
    event = cloud_event(TOPIC, bought("e2e:binary", "e2e:binary-1"))
    headers = {f"ce_{name}": str(event[name]).encode() for name in ("specversion", "id", "source", "type", "time")}
    value = msgspec.json.encode(event["data"])
    await publish(system, [Record(TOPIC, b"e2e:binary", value, tuple(headers.items()))])
    await system.until_quiet(seconds=60)
    assert (await answer(http, "/profile/customers/e2e:binary"))["value"]["order_count"] == 1


async def test_what_was_published_is_what_came_in_and_what_became_of_it(
    system: System, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Good, sent twice, contradicted, bad, unreadable, of somebody who was erased, and one that breaks the service."""
    await publish(system, [record(TOPIC, bought("e2e:erased", "e2e:erased-1"))])
    await system.until_quiet(seconds=60)
    erasure = (await http.post("/profile/customers/e2e:erased/erasure", json={})).json()["id"]

    async def erased() -> bool:
        return bool((await answer(http, f"/profile/erasures/{erasure}"))["state"] == "completed")

    await until(erased, 60, what="an erasure in all services")
    for service in system.services.values():
        use_cases = cast("dict[str, UseCase]", service.intake.use_cases)
        monkeypatch.setitem(use_cases, TOPIC, breaking(service, "flow-crash"))
    before = {name: await counted(http, name) for name in SERVICES}
    await publish(system, [
        *(made("e2e:counted", f"flow-{n}") for n in range(3)),
        *(made("e2e:counted", "flow-0") for _ in range(2)),
        made("e2e:counted", "flow-1", total=money("7")),
        made("e2e:counted", "flow-bad", total=money("-1")),
        *(made("e2e:erased", f"flow-erased-{n}") for n in range(2)),
        made("e2e:erased", "flow-erased-bad", total=money("-1")),
        made("e2e:counted", "flow-crash"),
        Record(TOPIC, b"e2e:counted", b"no event"),
    ])  # fmt: skip
    await system.until_quiet(seconds=60)
    for name in SERVICES:
        now = await counted(http, name)
        # The broker delivers at least once: what a group hands over in between comes in again, and is told again.
        once = Counter({"received": 11, "applied": 3, "duplicate": 2, "parked": 1, "dead": 2, "refused": 3})
        assert once <= now[COUNTED], f"{name}: {now[COUNTED]}"
        assert now[COUNTED]["applied"] == once["applied"], name
        assert Counter({"received": 1, "dead": 1}) <= now[""] - before[name][""], name
        for source, row in now.items():
            assert row["received"] == sum(row[outcome] for outcome in OUTCOMES), f"{name}: {source}"


COUNTED = "/shop/counted"
OUTCOMES = ("applied", "duplicate", "parked", "dead", "refused")


def made(customer: str, id: str, **fields: Any) -> Record:
    """A purchase of a source that publishes nothing else; of one id always the same bytes."""
    data = bought(customer, f"e2e:counted-{id}", occurred_at="2026-01-01T00:00:00+00:00", **fields)
    return record(TOPIC, data, id=id, source=COUNTED)


def breaking(service: Service, id: str) -> UseCase:
    """What a service does with purchases, but for one that it can't stand."""
    use_case = service.intake.use_cases[TOPIC]

    async def apply(tx: Tx, events: Sequence[Event]) -> Outcome:
        if any(event.id == id for event in events):
            raise ZeroDivisionError
        return await use_case(tx, events)

    return apply


async def counted(http: httpx.AsyncClient, service: str) -> dict[str, Counter[str]]:
    """The flow of a service by source, over all hours."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    cursor = None
    while True:
        page = await answer(http, f"/{service}/flow", limit=200, **({"cursor": cursor} if cursor else {}))
        for row in page["items"]:
            found[row["source"]].update({name: row[name] for name in ("received", *OUTCOMES)})
        if not (cursor := page["next_cursor"]):
            return found


async def letters_of(http: httpx.AsyncClient, service: str) -> list[Any]:
    """A service's dead letters, the oldest first."""
    items = (await answer(http, f"/{service}/dead-letters", limit=200))["items"]
    return sorted(items, key=lambda letter: letter["id"])
