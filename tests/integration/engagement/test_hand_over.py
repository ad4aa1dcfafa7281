"""At hand-off every gate is asked again; no message is lost and none doubled."""

import asyncio
import threading
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from tests.integration.engagement.house import (
    SENDER,
    Engagement,
    at_risk,
    complaint,
    consent,
    registered,
    risk_lowered,
)
from tests.integration.engagement.outside import Mailbox, Profile
from tests.kit.builders import NOW, purchase

SERVICE = "engagement"
BOUGHT = ("purchase-recorded", purchase("pos:1", "old", days_ago=62))


async def at_risk_with_mail(engagement: Engagement, profile: Profile, customer: str = "pos:1") -> None:
    profile.addresses[customer] = "someone@example.org"
    await engagement.take(("purchase-recorded", purchase(customer, days_ago=62)))
    await engagement.take(at_risk(customer))


async def gates(engagement: Engagement) -> dict[str, bool]:
    return {row["gate"]: row["passed"] for row in await engagement.rows("SELECT gate, passed FROM decisions")}


async def test_a_win_back_goes_out_by_mail_in_the_customer_s_language(
    engagement: Engagement, profile: Profile, mailbox: Mailbox
) -> None:
    profile.names["pos:1"] = "A. Customer"
    profile.locale = "zh-TW"
    await at_risk_with_mail(engagement, profile)
    await engagement.run("hand-over")
    [contact] = await engagement.contacts(purpose="win-back")
    assert contact["status"] == "sent"
    [message] = mailbox.taken
    assert message["From"] == SENDER
    assert message["To"] == "someone@example.org"
    assert message["Subject"] == "好久不見"
    assert message["Message-ID"] == f"<{contact['id']}@example.org>"
    assert mailbox.text().startswith("A. Customer 您好")
    assert profile.asked == [{"purpose": "marketing", "items": [{"customer_id": "pos:1", "channel": "email"}]}]
    [(_, sent)] = await engagement.published("contact-sent")
    assert (sent["contact_id"], sent["provider"]) == (contact["id"], "smtp")
    assert all((await gates(engagement)).values())


async def test_without_consent_no_mail_goes_out_and_staff_gets_a_task(
    engagement: Engagement, profile: Profile, mailbox: Mailbox
) -> None:
    profile.refusing.add("pos:1")
    await at_risk_with_mail(engagement, profile)
    await engagement.work()
    assert mailbox.taken == []
    [contact] = await engagement.contacts(purpose="win-back")
    [task] = await engagement.rows("SELECT * FROM tasks")
    assert (task["kind"], task["contact_id"]) == ("contact", contact["id"])
    assert contact["task_id"] == task["id"]
    assert not (await gates(engagement))["consent"]


async def test_who_said_no_to_staff_as_well_is_left_alone(
    engagement: Engagement, profile: Profile, mailbox: Mailbox
) -> None:
    profile.refusing.add("pos:1")
    await engagement.take(consent(channel="staff", granted=False))
    await at_risk_with_mail(engagement, profile)
    await engagement.run("hand-over")
    [contact] = await engagement.contacts(purpose="win-back")
    assert (contact["status"], contact["closed_reason"]) == ("suppressed", "no-consent")
    assert mailbox.taken == []
    assert await engagement.rows("SELECT * FROM tasks") == []


async def test_when_profile_does_not_answer_nothing_is_sent_and_it_is_asked_again(
    engagement: Engagement, profile: Profile, mailbox: Mailbox
) -> None:
    profile.silent = asyncio.Event()
    await at_risk_with_mail(engagement, profile)
    await engagement.run("hand-over")
    assert mailbox.taken == []
    assert await gates(engagement) == {"reachability": False}
    assert await engagement.next_due("hand-over") == NOW + timedelta(minutes=1)
    profile.silent.set()
    await engagement.pass_time(timedelta(minutes=1))
    assert len(mailbox.taken) == 1
    assert len(profile.asked) == 2


async def test_each_attempt_without_an_answer_waits_longer(
    engagement: Engagement, profile: Profile
) -> None:
    profile.silent = asyncio.Event()
    await at_risk_with_mail(engagement, profile)
    waits = []
    for _ in range(3):
        await engagement.run("hand-over")
        due = await engagement.next_due("hand-over")
        assert due is not None
        waits.append((due - engagement.clock.now()) // timedelta(minutes=1))
        engagement.clock.set(due)
    assert waits == [1, 2, 4]


async def test_a_crash_between_sending_and_noting_it_doubles_nothing(
    engagement: Engagement, profile: Profile, mailbox: Mailbox
) -> None:
    mailbox.hold = threading.Event()
    await at_risk_with_mail(engagement, profile)
    handing_over = asyncio.create_task(engagement.run("hand-over"))
    await asyncio.to_thread(mailbox.arrived.wait, 20)
    handing_over.cancel()
    await asyncio.gather(handing_over, return_exceptions=True)
    mailbox.hold.set()

    await engagement.run("hand-over")
    [contact] = await engagement.contacts(purpose="win-back")
    assert contact["status"] == "handing-over"
    assert await engagement.next_due("hand-over") == NOW + timedelta(minutes=2)
    await engagement.pass_time(timedelta(days=2))
    assert len(mailbox.taken) == 1
    [task] = await engagement.rows("SELECT * FROM tasks WHERE kind = 'verify-delivery'")
    assert contact["id"] in task["title"]
    async with engagement.client() as http:
        assert (await http.post(f"/tasks/{task['id']}/complete", json={"outcome": "done"})).status_code == 200
    [contact] = await engagement.contacts(purpose="win-back")
    assert contact["status"] == "sent"
    assert contact["made_at"] == NOW


async def test_a_doubtful_mail_that_never_left_goes_out_once_a_person_says_so(
    engagement: Engagement, profile: Profile, mailbox: Mailbox
) -> None:
    await at_risk_with_mail(engagement, profile)
    async with engagement.service.db.transaction() as tx:
        await tx.execute("UPDATE contacts SET status = 'handing-over', made_at = hand_over_at")
    await engagement.pass_time(timedelta(minutes=2))
    assert mailbox.taken == []
    [task] = await engagement.rows("SELECT * FROM tasks")
    async with engagement.client() as http:
        await http.post(f"/tasks/{task['id']}/complete", json={"outcome": "not-sent"})
    await engagement.work()
    assert len(mailbox.taken) == 1
    assert (await engagement.contacts(purpose="win-back"))[0]["status"] == "sent"


async def test_an_address_refused_for_good_fails_and_one_refused_for_now_is_tried_again(
    engagement: Engagement, profile: Profile, mailbox: Mailbox
) -> None:
    mailbox.refuse = "451 come back later"
    await at_risk_with_mail(engagement, profile)
    await engagement.run("hand-over")
    assert (await engagement.contacts(purpose="win-back"))[0]["status"] == "planned"
    mailbox.refuse = "550 5.1.1 <someone@example.org> has no mailbox here"
    await engagement.pass_time(timedelta(minutes=1))
    [contact] = await engagement.contacts(purpose="win-back")
    assert contact["status"] == "failed"
    [(_, failed)] = await engagement.published("contact-failed")
    assert failed["reason"] == "550 5.1.1", "what the server says may hold the address, and is not published"
    assert contact["closed_reason"] == "550 5.1.1"


async def test_where_the_house_itself_is_not_let_in_no_contact_is_lost(
    engagement: Engagement, profile: Profile, mailbox: Mailbox
) -> None:
    mailbox.refuse_sender = "530 5.7.0 authentication required"
    await at_risk_with_mail(engagement, profile)
    await engagement.run("hand-over")
    assert (await engagement.contacts(purpose="win-back"))[0]["status"] == "planned"
    mailbox.refuse_sender = None
    await engagement.pass_time(timedelta(minutes=1))
    assert (await engagement.contacts(purpose="win-back"))[0]["status"] == "sent"


async def test_what_changes_while_a_slow_server_keeps_the_queue_waiting_is_heeded(
    engagement: Engagement, profile: Profile, mailbox: Mailbox
) -> None:
    waiting = await _first_of_two_in_the_server_s_hands(engagement, profile, mailbox)
    async with engagement.client() as http:
        later = {"due_at": (NOW + timedelta(days=1)).isoformat()}
        assert (await http.post(f"/contacts/{waiting.second['id']}/reschedule", json=later)).status_code == 200
    await waiting.released()
    assert len(mailbox.taken) == 1
    [contact] = await engagement.contacts(id=waiting.second["id"])
    assert (contact["status"], contact["due_at"]) == ("planned", NOW + timedelta(days=1))


async def test_no_mail_leaves_in_quiet_hours_however_long_the_server_takes(
    engagement: Engagement, profile: Profile, mailbox: Mailbox
) -> None:
    waiting = await _first_of_two_in_the_server_s_hands(engagement, profile, mailbox)
    engagement.clock.set(NOW + timedelta(hours=11))
    await waiting.released()
    assert len(mailbox.taken) == 1
    [contact] = await engagement.contacts(id=waiting.second["id"])
    assert (contact["status"], contact["due_at"]) == ("planned", NOW + timedelta(hours=21))


@dataclass(frozen=True)
class _Waiting:
    second: dict[str, Any]
    handing_over: asyncio.Task[int]
    server: threading.Event

    async def released(self) -> None:
        self.server.set()
        await self.handing_over


async def _first_of_two_in_the_server_s_hands(
    engagement: Engagement, profile: Profile, mailbox: Mailbox
) -> _Waiting:
    mailbox.hold = threading.Event()
    for customer in ("pos:1", "pos:2"):
        await at_risk_with_mail(engagement, profile, customer)
    handing_over = asyncio.create_task(engagement.run("hand-over"))
    await asyncio.to_thread(mailbox.arrived.wait, 20)
    [second] = await engagement.contacts(purpose="win-back", status="planned")
    return _Waiting(second, handing_over, mailbox.hold)


async def test_without_a_mail_server_answering_it_is_tried_later(
    engagement: Engagement, profile: Profile, mailbox: Mailbox
) -> None:
    await at_risk_with_mail(engagement, profile)
    await at_risk_with_mail(engagement, profile, "pos:2")
    mailbox.stop()
    await engagement.run("hand-over")
    assert {c["status"] for c in await engagement.contacts(purpose="win-back")} == {"planned"}
    assert await engagement.next_due("hand-over") == NOW + timedelta(minutes=1)


async def test_two_contacts_that_staff_set_for_one_hour_leave_on_two_days(
    engagement: Engagement, profile: Profile, mailbox: Mailbox
) -> None:
    await at_risk_with_mail(engagement, profile)
    await engagement.run("plan")
    tomorrow = NOW + timedelta(days=1)
    async with engagement.client() as http:
        for contact in await engagement.contacts():
            body = {"due_at": tomorrow.isoformat()}
            assert (await http.post(f"/contacts/{contact['id']}/reschedule", json=body)).status_code == 200
    await engagement.pass_time(timedelta(days=1))
    assert [message["Subject"] for message in mailbox.taken] == ["We have missed you"]
    [late] = await engagement.contacts(purpose="cadence", status="planned")
    assert late["due_at"] == tomorrow + timedelta(hours=21)
    await engagement.pass_time(timedelta(days=1))
    assert [message["Subject"] for message in mailbox.taken] == ["We have missed you", "A word from us"]


async def test_in_quiet_hours_nothing_is_sent_until_morning(
    engagement: Engagement, profile: Profile, mailbox: Mailbox
) -> None:
    await at_risk_with_mail(engagement, profile)
    engagement.clock.set(NOW + timedelta(hours=11))
    await engagement.run("hand-over")
    assert mailbox.taken == []
    assert not (await gates(engagement))["quiet-hours"]
    assert await engagement.next_due("hand-over") == NOW + timedelta(hours=21)
    await engagement.pass_time(timedelta(hours=10))
    assert len(mailbox.taken) == 1


async def test_an_open_complaint_stops_marketing_until_it_is_answered(
    engagement: Engagement, profile: Profile, mailbox: Mailbox
) -> None:
    await engagement.take(complaint())
    await at_risk_with_mail(engagement, profile)
    await engagement.run("hand-over")
    [contact] = await engagement.contacts(purpose="win-back")
    assert (contact["status"], contact["closed_reason"]) == ("suppressed", "complaint-open")
    [(_, suppressed)] = await engagement.published("contact-suppressed")
    assert suppressed["reason"] == "complaint-open"
    assert mailbox.taken == []


async def test_a_welcome_to_somebody_who_turns_out_to_be_known_for_long_is_left_out(
    engagement: Engagement, profile: Profile, mailbox: Mailbox
) -> None:
    profile.addresses["pos:1"] = "someone@example.org"
    await engagement.take(registered("pos:1"))
    await engagement.run("plan")
    [welcome] = await engagement.contacts(purpose="welcome")
    await engagement.take(("purchase-recorded", purchase("pos:1", days_ago=200)))
    await engagement.work()
    [welcome] = await engagement.contacts(purpose="welcome")
    assert (welcome["status"], welcome["closed_reason"]) == ("suppressed", "too-late")
    assert mailbox.taken == []


async def test_many_are_asked_for_in_one_call(engagement: Engagement, profile: Profile, mailbox: Mailbox) -> None:
    customers = [f"pos:{n}" for n in range(30)]
    profile.addresses = {customer: f"c{n}@example.org" for n, customer in enumerate(customers)}
    await engagement.take(*[("purchase-recorded", purchase(customer, days_ago=62)) for customer in customers])
    await engagement.take(*[at_risk(customer) for customer in customers])
    await engagement.run("hand-over")
    assert len(profile.asked) == 1
    assert sorted(message["To"] for message in mailbox.taken) == sorted(profile.addresses.values())


async def test_a_lowered_risk_between_planning_and_hand_off_sends_nothing(
    engagement: Engagement, profile: Profile, mailbox: Mailbox
) -> None:
    await at_risk_with_mail(engagement, profile)
    await engagement.take(risk_lowered())
    await engagement.work()
    assert mailbox.taken == []
