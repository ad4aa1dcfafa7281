"""When a probability becomes a risk band: thresholds with hysteresis, and the step worth publishing."""

from __future__ import annotations

from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Codes = NDArray[np.int8]
Flags = NDArray[np.bool_]
Band = Literal["low", "at-risk", "critical"]

# A band's code in arrays is its place here.
BANDS: tuple[Band, ...] = ("low", "at-risk", "critical")


class InvalidPolicy(ValueError):
    """Thresholds that contradict each other."""

    code = "invalid-policy"


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Thresholds are on P(no purchase in `horizon_days`): a band is entered at `*_enter` or above and left
    below `*_leave`. Customers with fewer than `min_purchases` purchase days, or fewer than `min_silence_days`
    days since the last one, are `low` whatever the probability: who bought yesterday has not gone silent."""

    horizon_days: int = 90
    at_risk_enter: float = 0.60
    at_risk_leave: float = 0.50
    critical_enter: float = 0.85
    critical_leave: float = 0.75
    publishing_step: float = 0.05
    min_purchases: int = 1
    min_silence_days: int = 14

    def __post_init__(self) -> None:
        if not 1 <= self.horizon_days <= 3650:
            raise InvalidPolicy("horizon_days must be from 1 to 3650")
        if not 0.0 < self.at_risk_leave < self.at_risk_enter <= 1.0:
            raise InvalidPolicy("needs 0 < at_risk_leave < at_risk_enter <= 1")
        if not 0.0 < self.critical_leave < self.critical_enter <= 1.0:
            raise InvalidPolicy("needs 0 < critical_leave < critical_enter <= 1")
        if self.at_risk_enter > self.critical_enter or self.at_risk_leave > self.critical_leave:
            raise InvalidPolicy("critical must not lie below at-risk")
        if not 0.0 < self.publishing_step <= 1.0:
            raise InvalidPolicy("publishing_step must lie in (0, 1]")
        if self.min_purchases < 1 or self.min_silence_days < 0:
            raise InvalidPolicy("min_purchases must be at least 1, min_silence_days at least 0")


def next_band(previous: Band | None, probability: float, policy: Policy, *, eligible: bool = True) -> Band:
    """The band after `previous` (None: never scored). Between leave and enter nothing changes, so that a
    probability moving inside the gap never flaps."""
    if not eligible:
        return "low"
    if probability >= (policy.critical_leave if previous == "critical" else policy.critical_enter):
        return "critical"
    if probability >= (policy.at_risk_enter if previous in (None, "low") else policy.at_risk_leave):
        return "at-risk"
    return "low"


def next_bands(previous: Codes, probability: Floats, policy: Policy, eligible: Flags) -> Codes:
    """`next_band` for (n,) customers, bands as codes into BANDS; never scored is 0; NaN is low."""
    critical = probability >= np.where(previous == 2, policy.critical_leave, policy.critical_enter)
    at_risk = probability >= np.where(previous == 0, policy.at_risk_enter, policy.at_risk_leave)
    return np.where(eligible, np.where(critical, 2, np.where(at_risk, 1, 0)), 0).astype(np.int8)


def worth_publishing(
    published: Floats, probability: Floats, published_band: Codes, band: Codes, policy: Policy
) -> Flags:
    """Which of (n,) scores differ by the step or in band from the last published; NaN: none yet."""
    unpublished = np.isnan(published) & ~np.isnan(probability)
    # A float such as 0.35 - 0.30 falls short of 0.05 by rounding only.
    moved = np.abs(probability - published) >= policy.publishing_step - 1e-9
    worth: Flags = unpublished | moved | (band != published_band)
    return worth
