"""CDNOW's published sample as the models' papers use it: weeks, calibrated to 1997-09-30."""

from __future__ import annotations

import csv
import gzip
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

import numpy as np

from services.churn.models.domain import Floats, History, Ints, summarise

SAMPLE = Path(__file__).parents[2] / "data" / "cdnow_sample.csv.gz"
CALIBRATED_TO = date(1997, 9, 30).toordinal()
HOLDOUT_WEEKS = 39


@dataclass(frozen=True)
class Cdnow:
    customer: Ints
    day: Ints
    dollars: Floats
    ids: Ints
    days: History

    @property
    def weeks(self) -> History:
        return History(self.days.x, self.days.t_x / 7, self.days.T / 7)

    @property
    def holdout(self) -> Floats:
        """Purchase days in weeks 40-78, a customer of `ids` each."""
        after = (self.day > CALIBRATED_TO) & (self.day <= CALIBRATED_TO + 7 * HOLDOUT_WEEKS)
        occasions = np.unique(np.stack([self.customer[after], self.day[after]], axis=1), axis=0)
        return np.array([np.sum(occasions[:, 0] == customer) for customer in self.ids], dtype=np.float64)

    @property
    def repeat_spend(self) -> tuple[Floats, Floats]:
        """Count and average dollars of repeat purchase days in calibration, a customer each."""
        seen = self.day <= CALIBRATED_TO
        occasions, which = np.unique(
            np.stack([self.customer[seen], self.day[seen]], axis=1), axis=0, return_inverse=True
        )
        spent = np.bincount(which.ravel(), weights=self.dollars[seen])
        _, first, by_customer = np.unique(occasions[:, 0], return_index=True, return_inverse=True)
        spent[first] = 0.0
        total = np.bincount(by_customer, weights=spent)
        return self.days.x, total / np.maximum(self.days.x, 1)


@cache
def cdnow() -> Cdnow:
    with gzip.open(SAMPLE, "rt") as file:
        rows = list(csv.DictReader(file))
    customer = np.array([int(row["sample_customer"]) for row in rows])
    day = np.array([date.fromisoformat(row["date"]).toordinal() for row in rows])
    ids, history = summarise(customer, day, observed_to=CALIBRATED_TO)
    return Cdnow(customer, day, np.array([float(row["dollars"]) for row in rows]), ids, history)
