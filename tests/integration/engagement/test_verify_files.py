"""A file that wants to be verified is work for staff from its day on, once, until it was verified."""

from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

from tests.integration.engagement.house import Engagement, changed, merged, registered

SERVICE = "engagement"
OPENING = datetime(2026, 11, 24, 16, tzinfo=UTC)
"""Of 25 November in Taipei."""


async def tasks(engagement: Engagement, customer: str = "pos:1") -> list[tuple[Any, ...]]:
    """(due, status, outcome, assignee) of the customer's tasks, in the order of their making."""
    await engagement.run("verify-files")
    rows = await engagement.rows("SELECT * FROM tasks WHERE kind = 'verify-file' ORDER BY created_at, due_at")
    return [(r["due_at"], r["status"], r["outcome"], r["assignee"]) for r in rows if r["customer_id"] == customer]


async def test_a_file_is_the_owner_s_work_from_its_day_on_and_once(without_mail: Engagement) -> None:
    await without_mail.take(registered(verify_by="2026-11-25", owner="staff:1"))
    assert await without_mail.next_due("verify-files") == OPENING
    assert await without_mail.next_due("plan") is not None
    without_mail.clock.set(OPENING - timedelta(seconds=1))
    assert await tasks(without_mail) == []
    without_mail.clock.set(OPENING)
    assert await tasks(without_mail) == [(OPENING, "open", None, "staff:1")]
    await without_mail.take(changed(verify_by="2026-11-25", owner="staff:1", locale="en"))
    assert len(await tasks(without_mail)) == 1
    async with without_mail.client() as http:
        [task] = (await http.get("/tasks", params={"kind": "verify-file"})).json()["items"]
        done = await http.post(
            f"/tasks/{task['id']}/complete", json={"outcome": "done"}, headers={"Idempotency-Key": "k"}
        )
    assert done.is_success, done.text
    await without_mail.take(changed(verify_by="2026-11-25", restricted=True), changed("pos:2", verify_by="2026-11-25"))
    await without_mail.take(changed(verify_by="2026-11-25"))
    assert [task[1] for task in await tasks(without_mail)] == ["done"]
    assert [task[1:] for task in await tasks(without_mail, "pos:2")] == [("open", None, None)]
    assert await without_mail.next_due("verify-files") is None


async def test_a_task_ends_when_the_file_was_verified_restricted_or_merged_and_comes_back_where_it_is_due_again(
    without_mail: Engagement,
) -> None:
    first = [(OPENING, "cancelled", "verified", None)]
    without_mail.clock.set(OPENING + timedelta(days=2))
    await without_mail.take(registered(verify_by="2026-11-25"))
    assert await tasks(without_mail) == [(OPENING, "open", None, None)]
    await without_mail.take(changed(verify_by="2026-11-29"))
    again = OPENING + timedelta(days=4)
    assert await tasks(without_mail) == first
    assert await without_mail.next_due("verify-files") == again
    without_mail.clock.set(again)
    assert await tasks(without_mail) == [*first, (again, "open", None, None)]
    await without_mail.take(changed(verify_by="2026-11-29", restricted=True))
    ended = [*first, (again, "cancelled", "restricted", None)]
    assert await tasks(without_mail) == ended
    without_mail.clock.set(again + timedelta(hours=1))
    await without_mail.take(changed(verify_by="2026-11-29"))
    assert await tasks(without_mail) == [*ended, (again, "open", None, None)]
    await without_mail.take(merged("pos:1", "pos:2"))
    ended.append((again, "cancelled", "merged", None))
    assert await tasks(without_mail) == ended
    assert await tasks(without_mail, "pos:2") == []
    await without_mail.take(changed("pos:2", verify_by="2026-11-25"))
    assert [task[:2] for task in await tasks(without_mail, "pos:2")] == [(OPENING, "open")]
    without_mail.clock.set(again + timedelta(hours=2))
    await without_mail.take(merged("pos:1", "pos:2", version=2))
    assert await tasks(without_mail) == [*ended, (again, "open", None, None)]
    assert [task[:2] for task in await tasks(without_mail, "pos:2")] == [(OPENING, "open")]


async def test_any_order_of_a_file_s_events_leaves_the_same_task_open(without_mail: Engagement) -> None:
    without_mail.clock.set(OPENING + timedelta(days=9))
    for n, order in enumerate(permutations(range(3))):
        who = f"pos:o{n}"
        events = [
            registered(who, verify_by="2026-11-20"),
            changed(who, verify_by="2027-11-20"),
            changed(who, verify_by="2026-11-25", owner="staff:2"),
        ]
        for place in order:
            await without_mail.take(events[place])
            await without_mail.run("verify-files")
        assert [task for task in await tasks(without_mail, who) if task[1] == "open"] == [
            (OPENING, "open", None, "staff:2")
        ]
        assert await without_mail.next_due("verify-files") is None
