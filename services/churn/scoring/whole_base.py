"""Scoring the whole base: in chunks by id, each judged, written and announced in one transaction."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import structlog

from services.churn.models import application as models
from services.churn.models.gamma_gamma import GammaGamma
from services.churn.models.versions import ModelVersion
from services.churn.policies import application as policies
from services.churn.policies.application import PolicyVersion
from services.churn.scoring import store
from services.churn.scoring.announcing import Ground, announcements
from services.churn.scoring.application import Scoring, values
from services.churn.scoring.domain import Base, score
from services.churn.scoring.reasons import reasons_of
from services.churn.scoring.verdicts import Standing, Verdict, judge
from shared.contracts.types import Cause
from shared.db import Database, Row, Tx
from shared.jobs import ran
from shared.messaging import merges, outbox
from shared.messaging.outbox import Outgoing

log = structlog.get_logger()


class Counts(msgspec.Struct):
    """Of one run: customers scored, scores published, risks risen and fallen."""

    customers: int = 0
    published: int = 0
    raised: int = 0
    lowered: int = 0


@dataclass(frozen=True, slots=True)
class Run:
    """What one scoring goes by, from its first chunk to its last."""

    model: ModelVersion
    purchase_value: GammaGamma
    policy: PolicyVersion
    today: int
    ground: Ground
    cause: Cause


@dataclass(frozen=True, slots=True)
class WholeBase:
    """Scores everybody. Two runs at a time, or one again after a crash half-way, announce a crossing once: a chunk's
    rows are held while it is judged, and what was announced is written with it."""

    db: Database
    scoring: Scoring
    wake: Callable[[], None]
    chunk: int = 1_000

    async def score_all(self) -> int:
        """Scores every customer by the active model and the policy in force; answers the id of the noted scoring."""
        async with self.db.transaction() as tx:
            run = await self._prepare(tx)
        counts, after = Counts(), ""
        while True:
            async with self.db.transaction() as tx:
                held = await store.hold_chunk(tx, after, self.chunk)
                if held is None:
                    break
                await self._score(tx, held, run, counts)
            self.wake()
            after = held["customer_id"][-1]
        async with self.db.transaction() as tx:
            id = await store.add_scoring(
                tx,
                scored_at=run.ground.at,
                model_version=run.model.version,
                policy_version=run.policy.version,
                **msgspec.structs.asdict(counts),
            )
        log.info("base scored", action="churn.scored", model=run.model.version, **msgspec.structs.asdict(counts))
        return id

    async def nightly(self) -> int:
        """The job; answers how many scores it published."""
        id = await self.score_all()
        async with self.db.transaction() as tx:
            noted = await store.scoring(tx, id)
            assert noted is not None, "a scoring is kept for ever"
            await ran(tx, "score", noted["scored_at"])
        return int(noted["published"])

    async def _prepare(self, tx: Tx) -> Run:
        model, policy = await models.active(tx), await policies.current(tx)
        house, now = self.scoring.house, self.scoring.clock.now()
        return Run(
            model=model,
            purchase_value=await values(tx, model),
            policy=policy,
            today=self.scoring.today(now),
            ground=Ground(model.version, policy.policy.horizon_days, house.currency, "rescored", now),
            cause=Cause(source="/churn/jobs", id=f"scoring/{now.astimezone(house.zone).date().isoformat()}"),
        )

    async def _score(self, tx: Tx, held: Row, run: Run, counts: Counts) -> None:
        # In a thread: the numbers of some thousand customers would keep the loop from its other work.
        verdicts = await asyncio.to_thread(_judge, held, run)
        counts.customers += len(held["customer_id"])
        noted = {id for id, new in zip(held["customer_id"], held["loaded"], strict=True) if new}
        await store.note_loaded(tx, sorted(noted), loaded=False)
        if not verdicts:
            return
        loaded = await self._history_alone(tx, sorted(noted.intersection(one.customer_id for one in verdicts)))
        risen = [verdict.customer_id for verdict in verdicts if verdict.rose]
        states = await store.statistics_of(tx, risen) if risen else {}
        told = await asyncio.to_thread(
            reasons_of, [states[id] for id in risen], run.model.params, run.policy.policy, run.today
        )
        reasons = dict(zip(risen, told, strict=True))
        await store.write(tx, verdicts, run.ground)
        events = [
            Outgoing(data, backfill=verdict.customer_id in loaded)
            for verdict in verdicts
            for data in announcements(verdict, reasons.get(verdict.customer_id, ()), run.cause, run.ground)
        ]
        await outbox.append(tx, "churn", events, run.ground.at)
        counts.published += sum(verdict.worth for verdict in verdicts)
        counts.raised += len(risen)
        counts.lowered += sum(verdict.fell for verdict in verdicts)

    async def _history_alone(self, tx: Tx, persons: Sequence[str]) -> set[str]:
        """Those of these persons, held, of whom nothing live is known under any of their ids."""
        if not persons:
            return set()
        # Without the merges' lock, which comes before the rows': a merge of theirs waits for their rows.
        groups = await merges.groups_seen(tx, persons)
        known = await store.history_alone(tx, sorted({id for person in persons for id in groups.members(person)}))
        return {person for person in persons if all(known.get(id, True) for id in groups.members(person))}


def _judge(held: Row, run: Run) -> list[Verdict]:
    base = Base.of(*(held[name] for name in ("n_occasions", "first_day", "last_day", "n_valued", "net_minor")))
    standing = Standing(
        band=np.array(held["band"], dtype=np.int8),
        published=np.array(held["published"], dtype=np.float64),
        probability=np.array(held["probability"], dtype=np.float64),
        value_at_risk=np.array(held["value_at_risk"], dtype=np.int64),
        same_model=np.array(held["model_version"]) == run.model.version,
    )
    scores = score(base, run.model.params, run.purchase_value, run.policy.policy, run.today)
    return judge(held["customer_id"], standing, scores, run.policy.policy)
