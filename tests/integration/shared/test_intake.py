"""Records taken in: each has its effect once, or becomes a dead letter; and the count balances."""

import asyncio
import io
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import groupby

import asyncpg
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.clock import VirtualClock
from shared.db import Database, Tx, execute, fetch
from shared.messaging import inbox
from shared.messaging.dead_letters import DeadLetter
from shared.messaging.erased import Erased
from shared.messaging.events import Event, Rejection
from shared.messaging.intake import Intake, Outcome, TooManyFailures
from shared.messaging.records import Record
from shared.observability import new_traceparent
from tests.integration.shared.effects import (
    create_effects,
    effects,
    flow_rows,
    intake_of,
    query,
    totals,
    write_effects,
)
from tests.kit.builders import NOW, SOURCE, about_order, purchase, record, returned
from tests.kit.databases import TestDatabase

SERVICE = "shared"
TOPIC = "purchase-recorded"


@pytest_asyncio.fixture
async def db(test_database: TestDatabase, database: Database) -> AsyncIterator[Database]:
    await create_effects(test_database)
    yield database


def bought(id: str, **fields: object) -> Record:
    return record(TOPIC, purchase(**fields), id=id)  # type: ignore[arg-type]  # a test says what it needs


async def refuse_bad(tx: Tx, events: Sequence[Event]) -> Outcome:
    """Fails for events named crash…, refuses those named refuse…, applies the rest."""
    await write_effects(tx, [event for event in events if not event.id.startswith("refuse")])
    if any(event.id.startswith("crash") for event in events):
        raise RuntimeError("an event that the code can't stand")
    return Outcome(rejected=[Rejection(event, "refused", "no") for event in events if event.id.startswith("refuse")])


async def test_an_event_has_its_effect_once_however_often_it_comes(db: Database) -> None:
    intake = intake_of(db)
    one = bought("e-1", order_id="o-1")
    await intake.take([one, one])
    await intake.take([one, bought("e-2")])
    await asyncio.gather(*(intake.take([one, bought("e-3", order_id="o-3")]) for _ in range(4)))
    assert await effects(db) == {"e-1": 1, "e-2": 1, "e-3": 1}
    assert await totals(db) == {"received": 12, "applied": 3, "duplicate": 9, "parked": 0, "dead": 0}
    assert intake.counts == {"applied": 3, "duplicate": 9}


async def test_the_same_id_with_other_data_is_a_conflict_and_the_first_stands(db: Database) -> None:
    intake = intake_of(db)
    first, second = bought("e-1", order_id="o-1"), bought("e-1", order_id="o-2")
    await intake.take([first, second])
    await intake.take([second])
    assert await effects(db) == {"e-1": 1}
    letters = await query(db, "SELECT value, code, pointer, times FROM dead_letters")
    assert letters == [{"value": second.value, "code": "id-conflict", "pointer": "/id", "times": 2}]
    assert await totals(db) == {"received": 3, "applied": 1, "duplicate": 0, "parked": 0, "dead": 2}


async def test_bad_records_become_dead_letters_and_the_rest_of_the_batch_flows_on(db: Database) -> None:
    intake = intake_of(db)
    bad = [
        Record(TOPIC, b"pos:1", b"\xff not JSON"),
        Record(TOPIC, None, bought("e-9").value),
        Record(TOPIC, b"pos:1", None),
        Record(TOPIC, None, None),
        Record(TOPIC, b"\x00", b"[" * 100_000, (("ce_source", b"\x00"), ("ce_specversion", b"1.0"))),
        Record("purchase-returned", b"pos:1", bought("e-8").value),
    ]
    await intake.take([bought("e-1"), *bad, bought("e-2")])
    assert await effects(db) == {"e-1": 1, "e-2": 1}
    kept = await query(db, "SELECT topic, key, value, code FROM dead_letters ORDER BY id")
    # The two records without a value are one letter: unique by topic and value.
    assert Counter(row["code"] for row in kept) == {
        "invalid-json": 1, "key-mismatch": 1, "null-value": 1, "contract": 1, "wrong-topic": 1,
    }  # fmt: skip
    assert {row["value"] for row in kept} == {letter.value for letter in bad}
    assert (await totals(db))["dead"] == len(bad)
    announced = await query(db, "SELECT topic, value FROM outbox ORDER BY id")
    topics = {row["topic"] for row in announced}
    assert topics == {f"{TOPIC}.profile.dead-letter", "purchase-returned.profile.dead-letter"}


async def test_a_dead_letter_is_logged_with_its_trace_and_without_its_content(db: Database, log: io.StringIO) -> None:
    trace = new_traceparent()
    where = log.tell()
    headers = (("traceparent", trace.encode()),)
    await intake_of(db).take([Record(TOPIC, b"pos:1", b"somebody's secret", headers, 3, 77)])
    [line] = [json.loads(line) for line in log.getvalue()[where:].splitlines() if "intake.dead" in line]
    assert (line["trace_id"], line["partition"], line["offset"]) == (trace.split("-")[1], 3, 77)
    assert (line["topic"], line["code"]) == (TOPIC, "invalid-json")
    assert "secret" not in str(line)


async def test_one_event_that_breaks_us_is_parked_alone(db: Database) -> None:
    intake = intake_of(db, use_case=refuse_bad)
    await intake.take([bought(f"e-{n}") for n in range(40)] + [bought("crash")] + [bought(f"f-{n}") for n in range(9)])
    assert set((await effects(db)).values()) == {1}
    assert len(await effects(db)) == 49
    letters = await query(db, "SELECT outcome, code, source FROM dead_letters")
    assert letters == [{"outcome": "parked", "code": "unexpected-error", "source": SOURCE}]
    assert await totals(db) == {"received": 50, "applied": 49, "duplicate": 0, "parked": 1, "dead": 0}


async def test_what_the_reading_itself_cannot_stand_is_parked(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    intake = intake_of(db)

    def break_on_poison(topic: str, key: bytes | None, value: bytes | None, *rest: object) -> Event:
        if value == b"poison":
            raise ZeroDivisionError
        return read_record(topic, key, value, *rest)  # type: ignore[arg-type]

    from shared.messaging import intake as module
    from shared.messaging.envelope import read_record

    monkeypatch.setattr(module, "read_record", break_on_poison)
    await intake.take([bought("e-1"), Record(TOPIC, b"pos:1", b"poison"), bought("e-2")])
    assert await effects(db) == {"e-1": 1, "e-2": 1}
    assert (await totals(db))["parked"] == 1


async def test_an_argument_that_the_driver_refuses_parks_its_event(db: Database) -> None:
    async def overflow(tx: Tx, events: Sequence[Event]) -> Outcome:
        await write_effects(tx, events)
        if any(event.id == "crash" for event in events):
            await fetch(tx, "SELECT CAST(:n AS int)", n=2**40)
        return Outcome()

    await intake_of(db, use_case=overflow).take([bought("e-1"), bought("crash")])
    assert await effects(db) == {"e-1": 1}
    assert (await totals(db))["parked"] == 1


async def test_a_parked_event_is_applied_by_a_replay_after_mending(db: Database) -> None:
    clock = VirtualClock(NOW)
    await intake_of(db, use_case=refuse_bad, clock=clock).take([bought("crash"), bought("e-1")])
    clock.set(NOW.replace(hour=NOW.hour + 3))
    mended = intake_of(db, clock=clock)
    [letter] = await query(db, "SELECT id FROM dead_letters")
    async with db.transaction() as tx:
        assert await mended.replay(tx, letter["id"])  # type: ignore[arg-type]
    async with db.transaction() as tx:
        assert not await mended.replay(tx, letter["id"])  # type: ignore[arg-type]
    assert await effects(db) == {"crash": 1, "e-1": 1}
    assert await flow_rows(db) == {
        (SOURCE, NOW): {"received": 2, "applied": 2, "duplicate": 0, "parked": 0, "dead": 0}
    }


async def test_deadlocks_are_run_again(db: Database, test_database: TestDatabase) -> None:
    """Two batches lock two rows in opposite order: PostgreSQL ends one of them, the intake runs it again."""
    owner = await asyncpg.connect(test_database.owner_dsn)
    await owner.execute("CREATE TABLE IF NOT EXISTS seats (n int PRIMARY KEY, taken int NOT NULL)")
    await owner.execute("INSERT INTO seats VALUES (1, 0), (2, 0)")
    await owner.close()
    both_hold_one = asyncio.Barrier(2)
    runs: Counter[str] = Counter()

    def taking(name: str, *seats: int) -> Intake:
        async def take(tx: Tx, events: Sequence[Event]) -> Outcome:
            runs[name] += 1
            for seat in seats:
                await execute(tx, "UPDATE seats SET taken = taken + 1 WHERE n = :n", n=seat)
                if seat == seats[0] and runs[name] == 1:
                    await both_hold_one.wait()
            return await write_effects(tx, events)

        return intake_of(db, use_case=take)

    await asyncio.gather(taking("up", 1, 2).take([bought("e-1")]), taking("down", 2, 1).take([bought("e-2")]))
    assert sorted(runs.values()) == [1, 2]
    assert await effects(db) == {"e-1": 1, "e-2": 1}
    assert await query(db, "SELECT taken FROM seats") == [{"taken": 2}, {"taken": 2}]
    assert (await totals(db))["parked"] == 0


async def test_a_lost_connection_is_run_again(db: Database, test_database: TestDatabase) -> None:
    killed: list[int] = []

    async def lose_the_first(tx: Tx, events: Sequence[Event]) -> Outcome:
        if not killed:
            killed.append((await fetch(tx, "SELECT pg_backend_pid() AS pid"))[0]["pid"])
            await terminate(test_database, killed[0])
        return await write_effects(tx, events)

    await intake_of(db, use_case=lose_the_first).take([bought("e-1")])
    assert killed
    assert await effects(db) == {"e-1": 1}


async def terminate(test_database: TestDatabase, pid: int) -> None:
    """Ends a server process; a role may end its own."""
    other = await asyncpg.connect(test_database.dsn)
    assert await other.fetchval("SELECT pg_terminate_backend($1, 5000)", pid)
    await other.close()


async def test_when_too_much_fails_the_intake_stops_parking(db: Database) -> None:
    intake = intake_of(db, use_case=refuse_bad)
    batch = [bought(f"crash-{n}") for n in range(100)]
    with pytest.raises(TooManyFailures):
        await intake.take(batch)
    assert (await totals(db))["parked"] == 51
    with pytest.raises(TooManyFailures):
        await intake.take([bought("e-1")])
    intake.resume()
    await intake.take([bought("e-1")])
    assert await effects(db) == {"e-1": 1}


async def test_failures_of_long_ago_are_forgotten(db: Database) -> None:
    intake = intake_of(db, use_case=refuse_bad)
    for age in range(2):
        for n in range(50):
            await intake.take([bought(f"crash-{age}-{n}")])
        for n in range(10):
            await intake.take([bought(f"e-{age}-{n}-{m}") for m in range(500)])
    assert (await totals(db))["parked"] == 100


KINDS = st.sampled_from(
    [
        "new", "same", "conflict", "broken", "refuse", "crash", "refuse-again", "crash-again", "key", "erased",
        "erased-and-broken",
    ]
)  # fmt: skip


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.lists(KINDS, min_size=1, max_size=12), min_size=1, max_size=4), run=st.uuids())
async def test_received_is_applied_and_duplicate_and_parked_and_dead_and_refused(
    db: Database, batches: list[list[str]], run: object
) -> None:
    """Whatever comes in whatever order, every delivery is counted once, and replays only move what was counted."""
    before = await totals(db)
    erased = Erased(b"a key of the tests")
    async with db.transaction() as tx:
        await erased.add(tx, ["pos:gone"], "e_1", NOW)
    intake = intake_of(db, use_case=refuse_bad, erased=erased)
    number = 0
    for kinds in batches:
        records = []
        for kind in kinds:
            number += 1
            records.append(
                {
                    "new": bought(f"new-{run}-{number}"),
                    "same": record(TOPIC, purchase(order_id=f"same-{run}"), id=f"same-{run}"),
                    "conflict": bought(f"same-{run}"),
                    "broken": Record(TOPIC, b"pos:1", f"{run} {number}".encode()),
                    "refuse": bought(f"refuse-{run}-{number}"),
                    "crash": bought(f"crash-{run}-{number}"),
                    "refuse-again": record(TOPIC, purchase(order_id=f"refuse-{run}"), id=f"refuse-{run}"),
                    "crash-again": record(TOPIC, purchase(order_id=f"crash-{run}"), id=f"crash-{run}"),
                    "key": Record(TOPIC, b"pos:9", bought(f"key-{run}-{number}").value),
                    "erased": bought(f"erased-{run}-{number}", customer_id="pos:gone"),
                    "erased-and-broken": Record(TOPIC, b"pos:gone", f"{run} {number}".encode()),
                }[kind]
            )
        await intake.take(records)
        await assert_balanced(db)
    received = sum(len(kinds) for kinds in batches)
    refused = sum(kind.startswith("erased") for kinds in batches for kind in kinds)
    now = await totals(db)
    assert now["received"] == before["received"] + received
    assert now.get("refused", 0) == before.get("refused", 0) + refused
    for letter in await query(db, "SELECT id FROM dead_letters WHERE outcome = 'parked' AND replayed_at IS NULL"):
        async with db.transaction() as tx:
            assert await intake_of(db).replay(tx, letter["id"])  # type: ignore[arg-type]
    await assert_balanced(db)
    assert (await totals(db))["received"] == before["received"] + received
    assert set((await effects(db)).values()) <= {1}


async def assert_balanced(db: Database) -> None:
    for row in (await flow_rows(db)).values():
        assert row["received"] == sum(n for name, n in row.items() if name != "received")
        assert min(row.values()) >= 0


@pytest.mark.parametrize("where", ["erased", "inbox", "conflicts", "use cases"])
async def test_a_record_that_is_lost_on_the_way_shows(
    db: Database, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Each place that decides about records is made to forget one, and says nothing of it."""
    erased = Erased(b"a key of the tests")
    intake = intake_of(db, erased=erased)
    await intake.take([bought("e-1", order_id="o-1")])
    if where == "erased":

        async def sift(
            tx: Tx, readable: Sequence[tuple[Record, Event]], letters: Sequence[DeadLetter]
        ) -> tuple[Sequence[tuple[Record, Event]], Sequence[DeadLetter]]:
            return readable[:-1], letters

        monkeypatch.setattr(Erased, "sift", staticmethod(sift))
    elif where == "use cases":
        monkeypatch.setattr("shared.messaging.intake.groupby", lambda events, key: groupby(events[:-1], key))
    else:
        admit = inbox.admit

        async def forgetful(tx: Tx, events: Sequence[Event], now: datetime) -> inbox.Admission:
            found = await admit(tx, events, now)
            if where == "inbox":
                return replace(found, fresh=found.fresh[:-1])
            return replace(found, conflicts=found.conflicts[:-1])

        monkeypatch.setattr(inbox, "admit", forgetful)
    await intake.take([bought("e-1", order_id="o-2"), bought("e-3"), bought("e-4")])
    [row] = (await flow_rows(db)).values()
    assert row.pop("received") == 4, "as many as were handed over"
    assert sum(row.values()) == 3, "and one of them became nothing"


async def test_use_cases_are_called_in_the_order_of_their_table(db: Database) -> None:
    calls: list[tuple[str, ...]] = []

    async def note(tx: Tx, events: Sequence[Event]) -> Outcome:
        calls.append(tuple(event.topic.name for event in events))
        return Outcome()

    async def also(tx: Tx, events: Sequence[Event]) -> Outcome:
        return await note(tx, events)

    table = {TOPIC: note, "purchase-returned": note, "purchase-cancelled": also}
    intake = Intake("profile", table, db, VirtualClock(NOW), lambda: None)
    await intake.take(
        [
            record("purchase-cancelled", about_order("o-1")),
            record("purchase-returned", returned("o-1")),
            bought("e-1"),
            record("purchase-returned", returned("o-2")),
        ]
    )
    assert calls == [(TOPIC, "purchase-returned", "purchase-returned"), ("purchase-cancelled",)]
