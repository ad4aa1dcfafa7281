"""A new model version from all that is known: read here, fitted in a child process, kept here."""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
import structlog

from services.churn.models import application as models
from services.churn.models.domain import Kind
from services.churn.models.fitting import MINIMUM_REPEAT_BUYERS, NotEnoughHistory
from services.churn.models.versions import ModelVersion
from services.churn.policies import application as policies
from services.churn.scoring.application import Scoring
from services.churn.scoring.domain import Base
from services.churn.training import store
from services.churn.training.child import train_apart
from services.churn.training.domain import Sample
from shared.clock import Clock
from shared.db import Database, Tx
from shared.jobs import ran
from shared.settings import HouseSettings

log = structlog.get_logger()
_SILENCE = timedelta(days=7)


class TrainingRunning(RuntimeError):
    """Another fit is under way."""

    code = "training-in-progress"


@dataclass(slots=True)
class Training:
    """Fits models on the base. scipy lives and dies with the child, so that the service stays small and awake."""

    db: Database
    clock: Clock
    house: HouseSettings
    scoring: Scoring
    _learned: tuple[bytes, datetime] | None = field(default=None, init=False)

    async def train(self, tx: Tx, kind: Kind | None = None) -> ModelVersion:
        """Fits a model (``kind`` None: that of the active one), keeps it and puts it in use.

        Raises NotEnoughHistory below 10 customers who bought again, TrainingRunning while another fit is under way.
        """
        if not await store.lead(tx):
            raise TrainingRunning("Another fit is running; its version will be the newest in a moment.")
        policy = (await policies.current(tx)).policy
        kind = kind or (await models.active(tx)).params.kind
        today = self.scoring.today()
        base = (await self.scoring.base(tx)).of_buyers()
        if (bought_again := int((base.n_occasions > 1).sum())) < MINIMUM_REPEAT_BUYERS:
            raise NotEnoughHistory(f"{bought_again} customers bought again, {MINIMUM_REPEAT_BUYERS} are needed")
        customer, day = await store.purchase_days(tx, self.house.time_zone)
        sample = Sample(base.history(today), base.n_valued, base.net_minor, customer, day, today)
        trained = await train_apart(sample, kind, policy.horizon_days)
        model = await models.add(tx, trained, self.clock.now())
        log.info("model trained", action="churn.trained", version=model.version, customers=model.params.n)
        return model

    async def nightly(self) -> int:
        """The job: a new version, or none where history is short, another fit runs, or nothing was bought since the
        last one and a week has not passed: silence tells something too, but not every night."""
        now = self.clock.now()
        try:
            async with self.db.transaction() as tx:
                known = _digest((await self.scoring.base(tx)).of_buyers())
                before, at = self._learned or (b"", now)
                due = known != before or now >= at + _SILENCE
                if due:
                    await self.train(tx)
                await ran(tx, "train", now)
        except (NotEnoughHistory, TrainingRunning) as reason:
            log.info("no model trained", action="churn.untrained", code=reason.code, reason=str(reason))
            async with self.db.transaction() as tx:
                await ran(tx, "train", now)
            return 0
        if due:
            self._learned = (known, now)
        return int(due)


def _digest(base: Base) -> bytes:
    columns = (base.n_occasions, base.first_day, base.last_day, base.n_valued, base.net_minor)
    return hashlib.sha256(np.stack([column[np.lexsort(columns)] for column in columns]).tobytes()).digest()

