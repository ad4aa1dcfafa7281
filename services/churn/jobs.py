"""Nightly: a new model, then everybody's score by it."""

from collections.abc import Awaitable, Callable
from datetime import datetime, time, timedelta

from services.churn.scoring.whole_base import WholeBase
from services.churn.settings import ChurnSettings
from services.churn.training.application import Training
from shared.clock import Clock
from shared.db import Database
from shared.jobs import Job, last_run, next_daily
from shared.settings import HouseSettings

_LOOK = timedelta(seconds=30)


def jobs(
    settings: ChurnSettings, db: Database, clock: Clock, house: HouseSettings, training: Training, whole_base: WholeBase
) -> list[Job]:
    """The table of periodic work."""
    started = clock.now()

    def nightly(name: str, at: time, work: Callable[[], Awaitable[int]]) -> Job:
        async def next_due() -> datetime:
            async with db.transaction() as tx:
                last = await last_run(tx, name)
            # Before the first run the next night counts from the start: a base that fills is not scored half-way.
            return next_daily(last or started, at, house.zone)

        async def run() -> int:
            return await work() if await next_due() <= clock.now() else 0

        return Job(name, _LOOK, run, next_due)

    return [
        nightly("train", settings.train_at, training.nightly),
        nightly("score", settings.score_at, whole_base.nightly),
    ]
