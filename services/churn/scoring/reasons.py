"""Why a customer is at risk: facts in words, and what the model says they add to the probability."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np

from services.churn.models.domain import History, Params, probability_of_no_purchase
from services.churn.scoring.policy import Policy
from services.churn.scoring.statistics import Statistics

Code = Literal["silence", "few-purchases", "slowing", "falling-basket", "returns", "open-complaint"]

_RECENT = 3
_LONGER = 1.5
_SMALLER = 0.7
_RETURNED_SHARE = 0.2


class Reason(msgspec.Struct, frozen=True):
    """`contribution`: probability points that this adds, >= 0; 0 for facts that stand beside the model. The
    sum never exceeds the probability; the rest is the level of customers who bought as recently as usual."""

    code: Code
    text: str
    contribution: float
    facts: dict[str, float]


def reasons(state: Statistics, params: Params, policy: Policy, today: int) -> list[Reason]:
    """`reasons_of` for one customer."""
    return reasons_of([state], params, policy, today)[0]


def reasons_of(states: Sequence[Statistics], params: Params, policy: Policy, today: int) -> list[list[Reason]]:
    """Reasons for each customer on the day `today`, the largest contribution first; none without a purchase.

    Contributions are steps of one path of counterfactuals: P as it is, less P had the last purchase been no
    longer ago than the usual gap (a one-time buyer: on that very day), is the silence; that less P with one
    purchase more on record is having bought so little, for customers with one repeat purchase at most.
    """
    buyers = [state for state in states if state.n_occasions]
    if not buyers:
        return [[] for _ in states]
    x, t_x, T = np.array([_path(state, max(today, state.last_day)) for state in buyers]).transpose(1, 0, 2)
    path = History.of(x.ravel(), t_x.ravel(), T.ravel())
    steps = iter(probability_of_no_purchase(params, path, policy.horizon_days).reshape(-1, 3).tolist())
    found: list[list[Reason]] = []
    for state in states:
        by_model = _by_model(state, max(today, state.last_day), *next(steps)) if state.n_occasions else []
        beside = [_slowing(state), _falling_basket(state), _returns(state), _open_complaint(state)]
        found.append(by_model + [reason for reason in beside if reason is not None] if by_model else [])
    return found


def _path(state: Statistics, today: int) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    """x, t_x, T of a customer as he is, in his rhythm, and with one purchase more."""
    x, silence, age = state.n_occasions - 1, today - state.last_day, float(today - state.first_day)
    recent, age_then = (0.0, 0.0) if state.usual_gap is None else (age - min(silence, state.usual_gap), age)
    return (x, x, x + 1), (state.gap_sum, recent, recent), (age, age_then, age_then)


def _by_model(state: Statistics, today: int, actual: float, in_rhythm: float, one_more: float) -> list[Reason]:
    x, silence, usual = state.n_occasions - 1, today - state.last_day, state.usual_gap
    facts = {"days": float(silence)} | ({} if usual is None else {"usual_gap": usual})
    text = f"{_count(silence, 'day')} since the {'only' if usual is None else 'last'} purchase"
    text += "" if usual is None else f"; usual gap {_number(usual)}"
    found = [Reason("silence", text, max(actual - in_rhythm, 0.0), facts)]
    if x <= 1:
        text = "bought once only" if x == 0 else "bought twice only"
        little = max(in_rhythm - one_more, 0.0)
        found.append(Reason("few-purchases", text, little, {"purchases": float(state.n_occasions)}))
    return sorted(found, key=lambda reason: -reason.contribution)


def _slowing(state: Statistics) -> Reason | None:
    gaps = state.recent_gaps
    if len(gaps) < 2 * _RECENT:
        return None
    recent, before = float(np.median(gaps[-_RECENT:])), float(np.median(gaps[:-_RECENT]))
    if recent < _LONGER * before:
        return None
    text = f"buys less often: every {_number(recent)} days, before every {_number(before)}"
    return Reason("slowing", text, 0.0, {"recent_gap": recent, "earlier_gap": before})


def _falling_basket(state: Statistics) -> Reason | None:
    values = state.recent_values
    if len(values) <= _RECENT:
        return None
    recent, before = float(np.mean(values[-_RECENT:])), float(np.mean(values[:-_RECENT]))
    if recent > _SMALLER * before:
        return None
    text = f"the last {_RECENT} baskets are {1 - recent / before:.0%} smaller than those before"
    return Reason("falling-basket", text, 0.0, {"recent_mean_minor": recent, "earlier_mean_minor": before})


def _returns(state: Statistics) -> Reason | None:
    bought = state.net_minor + state.returned_minor
    if state.n_returns == 0 or bought <= 0 or state.returned_minor < _RETURNED_SHARE * bought:
        return None
    share = state.returned_minor / bought
    text = f"{_count(state.n_returns, 'return')}, {share:.0%} of what was bought"
    return Reason("returns", text, 0.0, {"returns": float(state.n_returns), "share": share})


def _open_complaint(state: Statistics) -> Reason | None:
    if state.open_complaints <= 0:
        return None
    text = f"{_count(state.open_complaints, 'complaint')} open"
    return Reason("open-complaint", text, 0.0, {"complaints": float(state.open_complaints)})


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _number(value: float) -> str:
    return f"{value:g}"
