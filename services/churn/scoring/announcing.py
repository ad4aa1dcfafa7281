"""What others learn of a scoring: the score, a risk that rose with its reasons, a risk that fell."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec

from services.churn.scoring.domain import LIFETIME_DAYS
from services.churn.scoring.policy import BANDS
from services.churn.scoring.reasons import Reason
from services.churn.scoring.verdicts import Verdict
from shared.contracts import risk
from shared.contracts.types import MAX_MINOR, Cause, Derived, Money
from shared.messaging.outbox import UNNUMBERED

Why = Literal["purchase", "rescored"]

PLACES = 6


class Ground(msgspec.Struct, frozen=True):
    """By what, why and when customers were scored. ``currency``: of the house."""

    model_version: str
    horizon_days: int
    currency: str
    why: Why
    at: datetime


def announcements(verdict: Verdict, reasons: Sequence[Reason], cause: Cause, ground: Ground) -> list[Derived]:
    """The events of one verdict; ``reasons`` are told of a risk that rose."""
    if not verdict.worth:
        return []
    customer_id, probability, band = verdict.customer_id, round(verdict.probability, PLACES), BANDS[verdict.band]
    events: list[Derived] = [
        risk.ChurnScored(
            customer_id=customer_id, sequence=UNNUMBERED, caused_by=cause, occurred_at=ground.at,
            probability=probability, band=band, model_version=ground.model_version, **_forecast(verdict, ground),
        )
    ]  # fmt: skip
    if verdict.rose and band != "low":
        events.append(
            risk.CustomerAtRisk(
                customer_id=customer_id, sequence=UNNUMBERED, caused_by=cause, occurred_at=ground.at,
                probability=probability, band=band, horizon_days=ground.horizon_days,
                # What one event may carry is said; the whole of it stands in the API.
                value_at_risk=Money.of(min(verdict.value_at_risk, MAX_MINOR), ground.currency),
                reasons=tuple(risk.Reason(code=r.code, text=r.text, contribution=round(r.contribution, PLACES))
                              for r in reasons),
                model_version=ground.model_version,
            )
        )  # fmt: skip
    if verdict.fell:
        events.append(
            risk.RiskLowered(
                customer_id=customer_id, sequence=UNNUMBERED, caused_by=cause, occurred_at=ground.at,
                from_band=BANDS[verdict.from_band], to_band=band, cause=ground.why, probability=probability,
                model_version=ground.model_version,
            )
        )  # fmt: skip
    return events


def _forecast(verdict: Verdict, ground: Ground) -> dict[str, Any]:
    if verdict.lifetime_value is None or verdict.expected_purchases is None:
        return {}
    return {
        "lifetime_value": Money.of(verdict.lifetime_value, ground.currency),
        "lifetime_days": LIFETIME_DAYS,
        "expected_purchases": round(verdict.expected_purchases, PLACES),
        "horizon_days": ground.horizon_days,
    }
