"""What couldn't be applied is kept as it came, once, and can be applied later."""

import asyncio
from datetime import timedelta

import pytest

from shared.clock import VirtualClock
from shared.contracts.topics import dead_letter_topic
from shared.db import Database
from shared.messaging import dead_letters, facts
from shared.messaging.dead_letters import DeadLetter
from shared.messaging.events import InvalidEvent
from shared.messaging.facts import Recorded
from shared.messaging.intake import Intake, Outcome
from shared.messaging.records import Record
from tests.integration.shared.effects import flow_rows, intake_of, query
from tests.kit.builders import NOW, SOURCE, purchase, record

SERVICE = "shared"
TOPIC = "purchase-recorded"
BYTES = Record(TOPIC, b"\xff\x00", b"\xfe\x00\xff", (("ce_id", b"\x00\xff"), ("x", b"")))


def recording(db: Database, clock: VirtualClock | None = None) -> Intake:
    """An intake that writes facts down."""

    async def use_case(tx: object, events: object) -> Outcome:
        recorded: Recorded = await facts.record(tx, events)  # type: ignore[arg-type]
        return Outcome(recorded.duplicates, recorded.conflicts)

    return intake_of(db, use_case=use_case, clock=clock)


async def shown(db: Database) -> list[dict[str, object]]:
    async with db.transaction() as tx:
        return await dead_letters.waiting(tx)


async def replay(db: Database, intake: Intake, id: object) -> bool:
    async with db.transaction() as tx:
        return await intake.replay(tx, id)  # type: ignore[arg-type]


async def test_bytes_are_kept_as_they_came_and_shown_as_base64(database: Database) -> None:
    await intake_of(database).take([BYTES])
    [row] = await shown(database)
    assert (row["value"], row["encoding"], row["key"]) == ("/gD/", "base64", "/wA=")
    async with database.transaction() as tx:
        found = await dead_letters.find(tx, row["id"])  # type: ignore[arg-type]
    assert found is not None
    assert found[0].record == BYTES


async def test_text_is_shown_as_text(database: Database) -> None:
    await intake_of(database).take([Record(TOPIC, b"pos:1", "不是 JSON".encode())])
    [row] = await shown(database)
    assert (row["value"], row["encoding"], row["code"]) == ("不是 JSON", "text", "invalid-json")


async def test_the_same_value_on_a_topic_is_one_letter_counted(database: Database) -> None:
    clock = VirtualClock(NOW)
    intake = intake_of(database, clock=clock)
    await intake.take([BYTES, BYTES])
    clock.set(NOW + timedelta(hours=1))
    await asyncio.gather(*(intake.take([BYTES._replace(key=b"k")]) for _ in range(3)))
    await intake.take([BYTES._replace(topic="purchase-returned")])
    rows = {row["topic"]: row for row in await shown(database)}
    assert {topic: row["times"] for topic, row in rows.items()} == {TOPIC: 5, "purchase-returned": 1}
    assert (rows[TOPIC]["first_seen_at"], rows[TOPIC]["last_seen_at"]) == (NOW, NOW + timedelta(hours=1))
    assert {row["n"] for row in await query(database, "SELECT count(*) AS n FROM outbox GROUP BY topic")} == {4, 1}
    assert await query(database, "SELECT DISTINCT topic FROM outbox ORDER BY topic") == [
        {"topic": dead_letter_topic(TOPIC, "profile")},
        {"topic": dead_letter_topic("purchase-returned", "profile")},
    ]


async def test_a_letter_is_applied_once_its_time_has_come(database: Database) -> None:
    clock = VirtualClock(NOW)
    intake = recording(database, clock)
    await intake.take([record(TOPIC, purchase(days_ago=-2), id="e-1")])
    [row] = await shown(database)
    assert (row["code"], row["source"]) == ("in-the-future", SOURCE)
    with pytest.raises(InvalidEvent) as still:
        await replay(database, intake, row["id"])
    assert still.value.code == "in-the-future"
    clock.set(NOW + timedelta(days=2))
    assert await replay(database, intake, row["id"])
    assert await shown(database) == []
    assert not await replay(database, intake, row["id"])
    assert await query(database, "SELECT event_id FROM facts") == [{"event_id": "e-1"}]
    assert await flow_rows(database) == {
        (SOURCE, NOW): {"received": 1, "applied": 1, "duplicate": 0, "parked": 0, "dead": 0}
    }
    await intake.take([record(TOPIC, purchase("pos:1", "other"), id="e-2")])
    assert intake.counts == {"dead": 1, "applied": 2}


async def test_a_letter_that_is_still_refused_stays_and_leaves_no_trace(database: Database) -> None:
    intake = recording(database)
    first, second = (record(TOPIC, purchase("pos:1", "o-1", total=total), id=f"e-{total}") for total in ("1", "2"))
    await intake.take([first])
    await intake.take([second])
    [row] = await shown(database)
    assert (row["code"], row["pointer"]) == ("key-conflict", "/data")
    with pytest.raises(InvalidEvent):
        await replay(database, intake, row["id"])
    assert len(await shown(database)) == 1
    assert await query(database, "SELECT id FROM inbox") == [{"id": "e-1"}]


async def test_a_letter_whose_fact_has_come_another_way_is_a_duplicate(database: Database) -> None:
    clock = VirtualClock(NOW)
    intake = recording(database, clock)
    ahead = purchase("pos:1", "o-1", days_ago=-2)
    await intake.take([record(TOPIC, ahead, id="e-1")])
    clock.set(NOW + timedelta(days=2))
    await intake.take([record(TOPIC, ahead, id="e-2")])
    [row] = await shown(database)
    assert await replay(database, intake, row["id"])
    assert (await flow_rows(database))[SOURCE, NOW] == {
        "received": 1, "applied": 0, "duplicate": 1, "parked": 0, "dead": 0,
    }  # fmt: skip


async def test_two_replays_at_once_apply_a_letter_once(database: Database) -> None:
    clock = VirtualClock(NOW)
    intake = recording(database, clock)
    await intake.take([record(TOPIC, purchase(days_ago=-2), id="e-1")])
    [row] = await shown(database)
    clock.set(NOW + timedelta(days=2))
    assert sorted(await asyncio.gather(*(replay(database, intake, row["id"]) for _ in range(4)))) == [
        False, False, False, True,
    ]  # fmt: skip
    assert (await flow_rows(database))[SOURCE, NOW]["applied"] == 1


async def test_letters_page_by_id_and_by_topic(database: Database) -> None:
    intake = intake_of(database)
    await intake.take([Record(TOPIC, b"k", f"{n}!".encode()) for n in range(5)])
    await intake.take([Record("purchase-returned", b"k", b"!")])
    async with database.transaction() as tx:
        assert await dead_letters.count(tx) == 6
        newest = await dead_letters.waiting(tx, limit=2)
        older = await dead_letters.waiting(tx, before=newest[-1]["id"], limit=9)  # type: ignore[arg-type]
        returned = await dead_letters.waiting(tx, topic="purchase-returned")
    ids = [row["id"] for row in newest + older]
    assert ids == sorted(ids, reverse=True)  # type: ignore[type-var]
    assert (len(newest), len(older), len(returned)) == (2, 4, 1)


async def test_what_a_letter_says_may_hold_anything(database: Database) -> None:
    letter = DeadLetter(BYTES, "dead", "contract", "a\x00b", "/x\x00", "")
    async with database.transaction() as tx:
        await dead_letters.keep(tx, "profile", [letter], NOW)
    [row] = await shown(database)
    assert (row["detail"], row["pointer"]) == ("ab", "/x")
