from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.churn.scoring.policy import (
    BANDS,
    Band,
    InvalidPolicy,
    Policy,
    next_band,
    next_bands,
    worth_publishing,
)

POLICY = Policy()
PROBABILITY = st.floats(0.0, 1.0)


@pytest.mark.parametrize(
    ("previous", "probability", "band"),
    [
        (None, 0.59, "low"), ("low", 0.60, "at-risk"), ("low", 0.85, "critical"), (None, 0.90, "critical"),
        ("at-risk", 0.50, "at-risk"), ("at-risk", 0.49, "low"), ("at-risk", 0.84, "at-risk"),
        ("critical", 0.75, "critical"), ("critical", 0.74, "at-risk"), ("critical", 0.55, "at-risk"),
        ("critical", 0.49, "low"),
    ],
)  # fmt: skip
def test_bands_are_entered_and_left_at_their_own_thresholds(
    previous: Band | None, probability: float, band: Band
) -> None:
    assert next_band(previous, probability, POLICY) == band


@given(st.sampled_from([None, *BANDS]), st.lists(st.floats(0.5, 0.5999), min_size=1))
def test_a_band_never_flaps_while_the_probability_moves_inside_the_gap(
    previous: Band | None, walk: list[float]
) -> None:
    settled = band = next_band(previous, walk[0], POLICY)
    for probability in walk[1:]:
        band = next_band(band, probability, POLICY)
        assert band == settled


@given(st.sampled_from(BANDS), st.sampled_from(BANDS), PROBABILITY, PROBABILITY)
def test_a_higher_probability_or_band_before_never_gives_a_lower_band(
    one: Band, other: Band, p: float, q: float
) -> None:
    low, high = sorted((BANDS.index(one), BANDS.index(other)))
    p, q = sorted((p, q))
    assert BANDS.index(next_band(BANDS[low], p, POLICY)) <= BANDS.index(next_band(BANDS[high], q, POLICY))


@given(st.sampled_from(BANDS), PROBABILITY)
def test_a_band_is_settled_after_one_step(previous: Band, probability: float) -> None:
    band = next_band(previous, probability, POLICY)
    assert next_band(band, probability, POLICY) == band


@given(st.lists(st.tuples(st.sampled_from(BANDS), PROBABILITY, st.booleans()), min_size=1))
def test_many_at_once_are_as_one_by_one(rows: list[tuple[Band, float, bool]]) -> None:
    previous = np.array([BANDS.index(band) for band, _, _ in rows], dtype=np.int8)
    eligible = np.array([flag for _, _, flag in rows])
    codes = next_bands(previous, np.array([p for _, p, _ in rows]), POLICY, eligible)
    assert [BANDS[code] for code in codes] == [next_band(b, p, POLICY, eligible=e) for b, p, e in rows]


def test_who_is_not_eligible_is_low_whatever_the_probability() -> None:
    assert next_band("critical", 0.99, POLICY, eligible=False) == "low"


def test_scores_are_published_by_the_step_by_the_band_and_the_first_time() -> None:
    published = np.array([0.30, 0.30, 0.30, 0.59, np.nan, np.nan])
    now = np.array([0.34, 0.35, 0.25, 0.60, 0.10, np.nan])
    before, band = np.zeros(6, np.int8), np.array([0, 0, 0, 1, 0, 0], np.int8)
    assert worth_publishing(published, now, before, band, POLICY).tolist() == [
        False,
        True,
        True,
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"at_risk_leave": 0.7}, {"critical_leave": 0.9}, {"critical_enter": 0.55, "critical_leave": 0.52},
        {"critical_leave": 0.4}, {"at_risk_enter": 1.2}, {"publishing_step": 0.0}, {"horizon_days": 0},
        {"min_purchases": 0}, {"min_silence_days": -1}, {"at_risk_leave": float("nan")},
    ],
)  # fmt: skip
def test_contradictory_policies_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(InvalidPolicy):
        Policy(**change)  # type: ignore[arg-type]
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(change, Policy)


def test_a_policy_survives_json() -> None:
    policy = Policy(horizon_days=30, at_risk_enter=0.7)
    assert msgspec.json.decode(msgspec.json.encode(policy), type=Policy) == policy
