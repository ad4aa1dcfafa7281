"""Scores of many customers at once, from their statistics and a fitted model, with numpy alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from services.churn.models.domain import (
    Floats,
    History,
    Ints,
    Params,
    expected_purchases_if_alive,
    probability_alive,
    probability_of_no_purchase,
)
from services.churn.models.gamma_gamma import GammaGamma, expected_value
from services.churn.scoring.policy import Flags, Policy
from services.churn.scoring.statistics import Statistics

LIFETIME_DAYS = 365


@dataclass(frozen=True, slots=True)
class Base:
    """The statistics that scores need of n customers, (n,) each: days as ordinals, money in minor units."""

    n_occasions: Ints
    first_day: Ints
    last_day: Ints
    n_valued: Ints
    net_minor: Ints

    @classmethod
    def of(
        cls,
        n_occasions: ArrayLike,
        first_day: ArrayLike,
        last_day: ArrayLike,
        n_valued: ArrayLike,
        net_minor: ArrayLike,
    ) -> Base:
        """Columns as integers, from whatever the store read."""
        columns = (n_occasions, first_day, last_day, n_valued, net_minor)
        return cls(*(np.asarray(column, dtype=np.int64) for column in columns))

    @classmethod
    def from_statistics(cls, states: Sequence[Statistics]) -> Base:
        """A column a field, from states already read."""
        rows = [(s.n_occasions, s.first_day, s.last_day, s.n_valued, s.net_minor) for s in states]
        return cls.of(*np.array(rows, dtype=np.int64).reshape(len(rows), 5).T)

    def __len__(self) -> int:
        return len(self.n_occasions)

    def of_buyers(self) -> Base:
        """Those with a purchase."""
        bought = self.n_occasions > 0
        columns = (self.n_occasions, self.first_day, self.last_day, self.n_valued, self.net_minor)
        return Base(*(column[bought] for column in columns))

    def silence(self, today: int) -> Ints:
        """Days since the last purchase, (n,); 0 where it lies ahead of today."""
        return np.maximum(today - self.last_day, 0)

    def history(self, today: int) -> History:
        """x, t_x, T in days. A last purchase ahead of today (clocks differ) makes its own day the present."""
        x = np.maximum(self.n_occasions - 1, 0)
        T = np.maximum(today, self.last_day) - self.first_day
        return History.of(x, self.last_day - self.first_day, T)

    def mean_value(self) -> float | None:
        """Minor units an occasion over the base, for `gamma_gamma.prior`; None where nothing was paid."""
        valued = int(self.n_valued.sum())
        return float(self.net_minor.sum()) / valued if valued else None


@dataclass(frozen=True, slots=True)
class Scores:
    """(n,) each; NaN for customers without a purchase. `probability`: of no purchase in the policy's horizon.
    `expected_purchases`: in the horizon. Money in minor units. `eligible`: for a band other than low."""

    probability: Floats
    alive: Floats
    expected_purchases: Floats
    expected_value: Floats
    lifetime_value: Floats
    value_at_risk: Floats
    eligible: Flags


def score(base: Base, params: Params, values: GammaGamma, policy: Policy, today: int) -> Scores:
    """Scores of all customers on the day `today` (ordinal in the house's zone).

    lifetime_value = P(alive) * E[purchases in 365 days | alive] * E[value of a purchase]: revenue,
    undiscounted. value_at_risk = probability * E[purchases in 365 days | alive] * E[value of a purchase]: the
    year's revenue of an active customer times the chance of silence. Lifetime value falls to 0 with P(alive),
    value at risk does not, so that winning back is ranked by what there is to win.
    """
    history = base.history(today)
    alive = probability_alive(params, history)
    probability = probability_of_no_purchase(params, history, policy.horizon_days)
    in_horizon = alive * expected_purchases_if_alive(params, history, policy.horizon_days)
    value = expected_value(values, base.n_valued, base.net_minor / np.maximum(base.n_valued, 1))
    year = expected_purchases_if_alive(params, history, LIFETIME_DAYS) * value
    bought = base.n_occasions > 0
    silent = base.silence(today) >= policy.min_silence_days
    unknown = np.where(bought, 0.0, np.nan)
    return Scores(
        probability=probability + unknown,
        alive=alive + unknown,
        expected_purchases=in_horizon + unknown,
        expected_value=value + unknown,
        lifetime_value=alive * year + unknown,
        value_at_risk=probability * year + unknown,
        eligible=bought & silent & (base.n_occasions >= policy.min_purchases),
    )
