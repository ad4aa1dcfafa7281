"""Whose band, published score or standing in the list of risks changes by a scoring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from services.churn.models.domain import Floats, Ints
from services.churn.scoring.domain import Scores
from services.churn.scoring.policy import Codes, Flags, Policy, next_bands, worth_publishing

_LARGEST = 10**17


@dataclass(frozen=True, slots=True)
class Standing:
    """What the last scoring left of customers, (n,) each: NaN and a value of -1 where there was none.
    `same_model`: it was by the model of the scoring to come."""

    band: Codes
    published: Floats
    probability: Floats
    value_at_risk: Ints
    same_model: Flags

    @classmethod
    def never_listed(cls, band: Sequence[int], published: Sequence[float | None]) -> Standing:
        """Of customers of whom only these two are known: all that is scored is news."""
        n = len(band)
        return cls(
            band=np.array(band, dtype=np.int8),
            published=np.array(published, dtype=np.float64),
            probability=np.full(n, np.nan),
            value_at_risk=np.full(n, -1),
            same_model=np.zeros(n, dtype=np.bool_),
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """One customer after a scoring. Bands are codes into BANDS, money in minor units; `published` is the probability
    that others know after it, `worth` whether they must be told. `lifetime_value` and `expected_purchases` are None
    where there is no purchase."""

    customer_id: str
    from_band: int
    band: int
    probability: float
    published: float
    value_at_risk: int
    worth: bool
    lifetime_value: int | None
    expected_purchases: float | None

    @property
    def rose(self) -> bool:
        return self.band > self.from_band

    @property
    def fell(self) -> bool:
        return self.band < self.from_band


def judge(customers: Sequence[str], before: Standing, scores: Scores, policy: Policy) -> list[Verdict]:
    """The verdicts that change something, in the order of the customers; judging again after them gives none.

    Who has no purchase any more has no probability: the one last published stands.
    """
    band = next_bands(before.band, scores.probability, policy, scores.eligible)
    worth = worth_publishing(before.published, scores.probability, before.band, band, policy)
    probability = np.where(np.isnan(scores.probability), before.published, scores.probability)
    published = np.where(worth, probability, before.published)
    value, lifetime = _minor(scores.value_at_risk), _minor(scores.lifetime_value)
    bought = ~np.isnan(scores.probability)
    moved = (probability != before.probability) | (value != before.value_at_risk) | ~before.same_model
    return [
        Verdict(
            customer_id=customers[i],
            from_band=int(before.band[i]),
            band=int(band[i]),
            probability=float(probability[i]),
            published=float(published[i]),
            value_at_risk=int(value[i]),
            worth=bool(worth[i]),
            lifetime_value=int(lifetime[i]) if bought[i] else None,
            expected_purchases=float(scores.expected_purchases[i]) if bought[i] else None,
        )
        for i in np.flatnonzero(worth | ((band > 0) & moved)).tolist()
    ]


def _minor(money: Floats) -> Ints:
    """Whole minor units of what one event may carry, (n,)."""
    return np.clip(np.rint(np.nan_to_num(money)), 0, _LARGEST).astype(np.int64)
