"""The nightly jobs fall due at their wall-clock times in the house's zone, and at no other."""

from datetime import UTC, datetime, timedelta

from services.churn.models import application as models
from shared.jobs import Job
from tests.integration.churn.house import Churn
from tests.kit.builders import purchase

SERVICE = "churn"
TRAIN = datetime(2026, 11, 20, 19, tzinfo=UTC)
SCORE = datetime(2026, 11, 20, 20, tzinfo=UTC)


def job(churn: Churn, name: str) -> Job:
    return next(job for job in churn.service.runner.jobs if job.name == name)


async def run(churn: Churn, name: str) -> int:
    return await churn.service.runner.run_once(job(churn, name))


async def test_training_is_due_at_three_and_scoring_at_four_in_the_houses_zone(churn: Churn) -> None:
    assert await job(churn, "train").next_due() == TRAIN
    assert await job(churn, "score").next_due() == SCORE


async def test_a_job_looked_at_before_its_time_does_nothing(churn: Churn) -> None:
    await churn.take(("purchase-recorded", purchase(days_ago=300)))
    churn.clock.set(SCORE.replace(hour=19, minute=59, second=59))
    assert await run(churn, "score") == 0
    assert await churn.published() == []
    assert await job(churn, "score").next_due() == SCORE


async def test_a_job_runs_once_at_its_time_and_moves_on_by_a_day(churn: Churn) -> None:
    await churn.take(("purchase-recorded", purchase(days_ago=300)))
    churn.clock.set(SCORE)
    assert await run(churn, "score") == 1
    assert await run(churn, "score") == 0
    assert await job(churn, "score").next_due() == SCORE.replace(day=21)


async def test_a_night_that_was_missed_is_made_up_for(churn: Churn) -> None:
    churn.clock.set(SCORE)
    await run(churn, "score")
    await churn.take(("purchase-recorded", purchase(days_ago=300)))
    churn.clock.set(SCORE.replace(day=24, hour=9))
    assert await run(churn, "score") == 1
    assert await job(churn, "score").next_due() == SCORE.replace(day=24)


async def test_a_night_with_too_little_history_moves_on_and_keeps_the_model(churn: Churn) -> None:
    churn.clock.set(TRAIN)
    assert await run(churn, "train") == 0
    assert await job(churn, "train").next_due() == TRAIN.replace(day=21)
    async with churn.service.db.transaction() as tx:
        assert (await models.active(tx)).version == "prior-1"


async def take_history(churn: Churn) -> None:
    for number in range(12):
        await churn.take(
            ("purchase-recorded", purchase(f"pos:{number}", days_ago=150 + number)),
            ("purchase-recorded", purchase(f"pos:{number}", days_ago=110 + number)),
        )


async def test_a_night_with_history_makes_a_version(churn: Churn) -> None:
    await take_history(churn)
    churn.clock.set(TRAIN)
    assert await run(churn, "train") == 1
    async with churn.service.db.transaction() as tx:
        model = await models.active(tx)
    assert (model.version, model.trained_at) == ("mbg-nbd-2", TRAIN)


async def test_nights_without_a_purchase_make_a_version_a_week(churn: Churn) -> None:
    await take_history(churn)
    made = []
    for night in range(9):
        churn.clock.set(TRAIN + timedelta(days=night))
        if night == 2:
            await churn.take(("purchase-recorded", purchase("pos:1", days_ago=0)))
        made.append(await run(churn, "train"))
        assert await job(churn, "train").next_due() == TRAIN + timedelta(days=night + 1)
    assert made == [1, 0, 1, 0, 0, 0, 0, 0, 0]
    churn.clock.set(TRAIN + timedelta(days=9))
    assert await run(churn, "train") == 1
