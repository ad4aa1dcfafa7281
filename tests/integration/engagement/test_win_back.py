"""A win-back is planned with the forecast itself, and taken back with the purchase."""

from datetime import timedelta

from tests.integration.engagement.house import Engagement, at_risk, registered, risk_lowered
from tests.kit.builders import NOW, purchase

SERVICE = "engagement"
BOUGHT = ("purchase-recorded", purchase("pos:1", "old", days_ago=62))


async def test_a_forecast_plans_the_win_back_in_its_own_transaction(without_mail: Engagement) -> None:
    await without_mail.take(BOUGHT)
    await without_mail.take(at_risk())
    [contact] = await without_mail.contacts(purpose="win-back")
    assert contact["status"] == "planned"
    assert contact["due_at"] == NOW
    [planned] = [data for _, data in await without_mail.published("contact-planned") if data["purpose"] == "win-back"]
    assert planned["contact_id"] == contact["id"]
    assert "62 days since" in contact["reasons"]


async def test_a_purchase_takes_the_win_back_back_at_once(without_mail: Engagement) -> None:
    await without_mail.take(BOUGHT)
    await without_mail.take(at_risk())
    await without_mail.take(("purchase-recorded", purchase(days_ago=0)))
    [contact] = await without_mail.contacts(purpose="win-back")
    assert (contact["status"], contact["closed_reason"]) == ("cancelled", "bought")
    [(_, suppressed)] = await without_mail.published("contact-suppressed")
    assert (suppressed["reason"], suppressed["contact_id"]) == ("bought", contact["id"])
    await without_mail.work()
    assert len(await without_mail.contacts(purpose="win-back")) == 1


async def test_a_purchase_takes_back_the_task_that_staff_has_of_it(without_mail: Engagement) -> None:
    await without_mail.take(BOUGHT)
    await without_mail.take(at_risk())
    await without_mail.run("hand-over")
    await without_mail.take(("purchase-recorded", purchase(days_ago=0)))
    tasks = await without_mail.rows("SELECT status, outcome FROM tasks")
    assert tasks == [{"status": "cancelled", "outcome": "bought"}]


async def test_an_old_purchase_that_comes_late_takes_nothing_back(without_mail: Engagement) -> None:
    await without_mail.take(BOUGHT)
    await without_mail.take(at_risk())
    await without_mail.take(("purchase-recorded", purchase(days_ago=90)))
    assert len(await without_mail.contacts(purpose="win-back", status="planned")) == 1


async def test_a_better_forecast_takes_the_win_back_back(without_mail: Engagement) -> None:
    await without_mail.take(BOUGHT)
    await without_mail.take(at_risk())
    await without_mail.take(risk_lowered())
    [contact] = await without_mail.contacts(purpose="win-back")
    assert (contact["status"], contact["closed_reason"]) == ("cancelled", "risk-lowered")


async def test_a_forecast_that_came_after_the_purchase_it_missed_plans_nothing(without_mail: Engagement) -> None:
    await without_mail.take(("purchase-recorded", purchase(days_ago=0)))
    await without_mail.take(at_risk(days_ago=1))
    assert await without_mail.contacts(purpose="win-back") == []


async def test_at_night_the_win_back_waits_until_nine(without_mail: Engagement) -> None:
    without_mail.clock.set(NOW + timedelta(hours=12))
    await without_mail.take(BOUGHT)
    await without_mail.take(at_risk(days_ago=-0.5))
    [contact] = await without_mail.contacts(purpose="win-back")
    assert contact["due_at"] == NOW + timedelta(hours=21)
    assert await without_mail.next_due("hand-over") == contact["due_at"]


async def test_contacts_of_all_purposes_stay_within_the_caps_over_weeks(without_mail: Engagement) -> None:
    await without_mail.take(("purchase-recorded", purchase(days_ago=0.2)), registered(days_ago=0.2))
    await without_mail.take(at_risk(days_ago=0))
    days = []
    for _ in range(40):
        await without_mail.pass_time(timedelta(days=1))
        async with without_mail.client() as http:
            for task in (await http.get("/tasks")).json()["items"]:
                days.append(without_mail.clock.now().date())
                assert (await http.post(f"/tasks/{task['id']}/complete", json={})).status_code == 200
    assert len(days) >= 6
    for day in days:
        assert days.count(day) == 1
        assert sum(day <= other < day + timedelta(days=7) for other in days) <= 2
