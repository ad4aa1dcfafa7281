"""What is sent again after more than a year has no effect in any service, whatever was forgotten meanwhile."""

from datetime import timedelta

import pytest

from shared.contracts.topics import SERVICES
from tests.integration.shared.test_kills import running, state, story
from tests.kit.builders import NOW
from tests.kit.databases import Databases

# What came in is counted and known anew.
_ARRIVALS = ("flow", "inbox")


@pytest.mark.parametrize("name", SERVICES)
async def test_a_story_sent_again_after_four_hundred_days_changes_nothing(databases: Databases, name: str) -> None:
    async with running(databases, name) as (service, _):
        service.intake.clock.set(NOW + timedelta(days=400))  # type: ignore[attr-defined]  # a virtual clock
        for _ in range(3):
            for job in service.runner.jobs:
                await service.runner.run_once(job)
        before, said = await state(service.db), [one for one in story() if one.topic in service.topics]
        await service.intake.take(said)
        after = await state(service.db)
        assert {table: after[table] for table in after if table not in _ARRIVALS} == {
            table: before[table] for table in before if table not in _ARRIVALS
        }
        assert service.intake.counts["duplicate"] == len(said)
        assert service.intake.counts["applied"] == len(said), "those of the first time"
