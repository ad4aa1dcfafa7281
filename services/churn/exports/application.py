"""What churn says of a person now, and why: computed when asked, by no table held."""

from dataclasses import dataclass, fields
from typing import Any

from services.churn.scoring import reading
from services.churn.scoring.application import Scoring
from services.churn.scoring.reading import UnknownCustomer
from shared.db import Tx


@dataclass(frozen=True, slots=True)
class Forecasts:
    """The use case of this module."""

    scoring: Scoring

    async def sections(self, tx: Tx, survivor: str) -> dict[str, list[dict[str, Any]]]:
        """``forecasts``: the person's by the active model with its reasons, none where no event of his counts. Money in
        minor units over a year; past changes of band are in ``crossings``."""
        try:
            risk = await reading.risk_of(tx, self.scoring, survivor)
        except UnknownCustomer:
            return {"forecasts": []}
        told = {field.name: getattr(risk, field.name) for field in fields(risk) if field.name != "history"}
        return {"forecasts": [{"customer_id": survivor, **told}]}
