"""A customer's risk as of now, and the list of those at risk by the last scoring."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import numpy as np

from services.churn.models import application as models
from services.churn.policies import application as policies
from services.churn.scoring import store
from services.churn.scoring.application import Scoring, values
from services.churn.scoring.domain import Base, score
from services.churn.scoring.policy import BANDS, Band, next_bands
from services.churn.scoring.reasons import Reason, reasons_of
from services.churn.scoring.statistics import Statistics
from shared.db import Row, Tx

Order = Literal["value_at_risk", "probability"]

HISTORY = 100


class UnknownCustomer(LookupError):
    """No event of this customer has come."""

    code = "not-found"


@dataclass(frozen=True, slots=True)
class Risk:
    """Money in minor units; figures of the model are None for who has no purchase that stands. `silence`, `age`: whole
    days of the house's zone since the last and since the first purchase."""

    probability: float | None
    band: Band
    horizon_days: int
    expected_purchases: float | None
    lifetime_value: int | None
    value_at_risk: int | None
    reasons: Sequence[Reason]
    purchases: int
    silence: int | None
    age: int | None
    usual_gap: float | None
    model_version: str
    scored_at: datetime
    history: Sequence[Row]


@dataclass(frozen=True, slots=True)
class AtRisk:
    """A customer above low by the last scoring; `reasons` and `silence` are of today."""

    customer_id: str
    band: Band
    probability: float
    value_at_risk: int
    reasons: Sequence[Reason]
    silence: int
    model_version: str
    scored_at: datetime


async def risk_of(tx: Tx, scoring: Scoring, customer_id: str) -> Risk:
    """One customer by the active model at this instant. Raises UnknownCustomer.

    The band is the one that the next scoring would give: from the last one's, with hysteresis.
    """
    found = await store.find(tx, customer_id)
    if found is None:
        raise UnknownCustomer(f"Churn has heard nothing of {customer_id}.")
    state, before = found
    model, policy = await models.active(tx), (await policies.current(tx)).policy
    now = scoring.clock.now()
    today = scoring.today(now)
    base = Base.from_statistics([state])
    scores = score(base, model.params, await values(tx, model), policy, today)
    band = next_bands(np.array([before], dtype=np.int8), scores.probability, policy, scores.eligible)
    bought = state.n_occasions > 0
    return Risk(
        probability=_known(scores.probability[0]),
        band=BANDS[band[0]],
        horizon_days=policy.horizon_days,
        expected_purchases=_known(scores.expected_purchases[0]),
        lifetime_value=_minor(scores.lifetime_value[0]),
        value_at_risk=_minor(scores.value_at_risk[0]),
        reasons=reasons_of([state], model.params, policy, today)[0],
        purchases=state.n_occasions,
        silence=int(base.silence(today)[0]) if bought else None,
        age=max(today - state.first_day, 0) if bought else None,
        usual_gap=state.usual_gap,
        model_version=model.version,
        scored_at=now,
        history=await store.history(tx, customer_id, HISTORY),
    )


async def at_risk(
    tx: Tx,
    scoring: Scoring,
    *,
    order: Order,
    band: Band | None,
    min_value: int,
    after: tuple[Any, str] | None,
    limit: int,
) -> list[AtRisk]:
    """Customers above low by the last scoring, `band` alone if given, worth `min_value` minor units or more, from
    behind `after` (what they are ordered by, id)."""
    bands = [BANDS.index(band)] if band else [1, 2]
    found = await store.at_risk(tx, order, bands, min_value, after, limit)
    model, policy = await models.active(tx), (await policies.current(tx)).policy
    today = scoring.today()
    states: list[Statistics] = [state for _, state in found]
    told = reasons_of(states, model.params, policy, today)
    return [
        AtRisk(
            customer_id=row["customer_id"],
            band=BANDS[row["band"]],
            probability=row["probability"],
            value_at_risk=row["value_at_risk"],
            reasons=reasons,
            silence=max(today - state.last_day, 0),
            model_version=row["model_version"],
            scored_at=row["scored_at"],
        )
        for (row, state), reasons in zip(found, told, strict=True)
    ]


def _known(figure: float) -> float | None:
    return None if math.isnan(figure) else float(figure)


def _minor(figure: float) -> int | None:
    return None if math.isnan(figure) else max(round(float(figure)), 0)
