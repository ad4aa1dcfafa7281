"""``GET /customers/{id}``, ``GET /at-risk``, ``POST /scorings``."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from fastapi import Query, Response
from pydantic import BaseModel

from services.churn.openapi import answers
from services.churn.scoring import reading, store
from services.churn.scoring.announcing import PLACES
from services.churn.scoring.policy import BANDS, Band
from services.churn.scoring.reading import Order
from services.churn.scoring.reasons import Reason
from services.churn.scoring.whole_base import WholeBase
from shared.contracts.currencies import MINOR_UNITS
from shared.contracts.types import AMOUNT, decimal_of, scaled
from shared.db import Database, Tx
from shared.http.auth import Principal, own_or_404, requires, staff_only
from shared.http.idempotency import Attempt, idempotency_key
from shared.http.pagination import Page, PageRequest
from shared.http.problems import invalid
from shared.http.routing import Router
from shared.messaging import merges


class MoneyView(BaseModel):
    """An amount as a decimal string, and its ISO 4217 currency."""

    amount: str
    currency: str


class ReasonView(BaseModel):
    """``contribution``: probability points that this adds; 0 for facts that stand beside the model."""

    code: str
    text: str
    contribution: float
    facts: dict[str, float]


class CrossingView(BaseModel):
    """A change of band that was published."""

    at: datetime
    from_band: Band
    to_band: Band
    cause: str
    probability: float
    model_version: str


class RiskView(BaseModel):
    """A customer's risk as of ``scored_at``, the instant of the answer. ``probability``: of no purchase within
    ``horizon_days``; ``expected_purchases``: in the same days. Money over a year: ``lifetime_value`` is what the
    customer will bring, ``value_at_risk`` what is lost if he has gone silent. Figures are null where no purchase
    stands. ``history``: the newest crossings first."""

    customer_id: str
    probability: float | None
    band: Band
    horizon_days: int
    expected_purchases: float | None
    lifetime_value: MoneyView | None
    value_at_risk: MoneyView | None
    reasons: list[ReasonView]
    purchase_days: int
    days_since_last_purchase: int | None
    days_since_first_purchase: int | None
    usual_gap_days: float | None
    model_version: str
    scored_at: datetime
    history: list[CrossingView]


class AtRiskView(BaseModel):
    """A customer at risk by the last scoring; ``reasons`` are of today."""

    customer_id: str
    band: Band
    probability: float
    value_at_risk: MoneyView
    reasons: list[ReasonView]
    days_since_last_purchase: int
    model_version: str
    scored_at: datetime


class ScoringView(BaseModel):
    """A scoring of the whole base: customers scored, scores published, risks risen and fallen."""

    id: int
    scored_at: datetime
    model_version: str
    policy_version: int
    customers: int
    published: int
    raised: int
    lowered: int


_REASON = {"code": "silence", "text": "62 days since the last purchase; usual gap 18", "contribution": 0.41,
           "facts": {"days": 62, "usual_gap": 18}}  # fmt: skip
_MONEY = {"amount": "1840.00", "currency": "TWD"}
_RISK = {
    "customer_id": "pos:1001", "probability": 0.612, "band": "at-risk", "horizon_days": 90, "expected_purchases": 0.8,
    "lifetime_value": {"amount": "2210.00", "currency": "TWD"}, "value_at_risk": _MONEY, "reasons": [_REASON],
    "purchase_days": 9, "days_since_last_purchase": 62, "days_since_first_purchase": 240, "usual_gap_days": 18,
    "model_version": "mbg-nbd-2", "scored_at": "2026-11-20T08:15:00Z",
    "history": [{"at": "2026-11-19T20:00:00Z", "from_band": "low", "to_band": "at-risk", "cause": "rescored",
                 "probability": 0.603, "model_version": "mbg-nbd-2"}],
}  # fmt: skip
_AT_RISK = {
    "customer_id": "pos:1001", "band": "at-risk", "probability": 0.612, "value_at_risk": _MONEY, "reasons": [_REASON],
    "days_since_last_purchase": 62, "model_version": "mbg-nbd-2", "scored_at": "2026-11-19T20:00:00Z",
}  # fmt: skip
_SCORING = {
    "id": 7, "scored_at": "2026-11-19T20:00:00Z", "model_version": "mbg-nbd-2", "policy_version": 1,
    "customers": 9800, "published": 312, "raised": 41, "lowered": 5,
}  # fmt: skip


def scoring_router(db: Database, whole_base: WholeBase) -> Router:
    """The routes of scores."""
    router = Router(tags=["risk"])
    scoring = whole_base.scoring
    currency = scoring.house.currency

    @router.get("/customers/{id}", responses=answers(_RISK))
    async def read_customer(principal: Annotated[Principal, requires("churn:read")], id: str) -> RiskView:
        """One person's risk with its reasons, computed at this instant by the active model. By an id that was merged
        into another it is the other's."""
        async with db.transaction() as tx:
            groups = await merges.groups_of(tx, [id])
            own_or_404(principal, *groups.members(id))
            survivor = groups.survivor(id)
            risk = await reading.risk_of(tx, scoring, survivor)
        return RiskView(
            customer_id=survivor,
            probability=_rounded(risk.probability),
            band=risk.band,
            horizon_days=risk.horizon_days,
            expected_purchases=_rounded(risk.expected_purchases),
            lifetime_value=None if risk.lifetime_value is None else _money(risk.lifetime_value, currency),
            value_at_risk=None if risk.value_at_risk is None else _money(risk.value_at_risk, currency),
            reasons=_reasons(risk.reasons),
            purchase_days=risk.purchases,
            days_since_last_purchase=risk.silence,
            days_since_first_purchase=risk.age,
            usual_gap_days=risk.usual_gap,
            model_version=risk.model_version,
            scored_at=risk.scored_at,
            history=[
                CrossingView(
                    at=row["crossed_at"],
                    from_band=BANDS[row["from_band"]],
                    to_band=BANDS[row["to_band"]],
                    cause=row["cause"],
                    probability=round(row["probability"], PLACES),
                    model_version=row["model_version"],
                )
                for row in risk.history
            ],
        )

    @router.get("/at-risk", responses=answers({"items": [_AT_RISK], "next_cursor": None}))
    async def list_at_risk(
        _: Annotated[Principal, staff_only("churn:read")],
        paging: PageRequest,
        band: Annotated[Band | None, Query(description="At-risk or critical alone")] = None,
        min_value: Annotated[str | None, Query(description="In the house currency, as a decimal string")] = None,
        order: Order = "value_at_risk",
    ) -> Page[AtRiskView]:
        """Whom to win back first: customers at risk or critical by the last scoring, the largest first."""
        least = 0 if min_value is None else _amount(min_value, currency)
        key: type[tuple[float, str]] | type[tuple[int, str]]
        key = tuple[int, str] if order == "value_at_risk" else tuple[float, str]
        async with db.transaction() as tx:
            found = await reading.at_risk(
                tx, scoring, order=order, band=band, min_value=least, after=paging.after(key), limit=paging.limit + 1
            )
        items = [
            AtRiskView(
                customer_id=one.customer_id,
                band=one.band,
                probability=round(one.probability, PLACES),
                value_at_risk=_money(one.value_at_risk, currency),
                reasons=_reasons(one.reasons),
                days_since_last_purchase=one.silence,
                model_version=one.model_version,
                scored_at=one.scored_at,
            )
            for one in found[: paging.limit]
        ]
        cursor = paging.next_cursor(found, lambda one: (getattr(one, order), one.customer_id))
        return Page(items=items, next_cursor=cursor)

    @router.post("/scorings", status_code=201, responses=answers(_SCORING, 201))
    async def score_now(
        _: Annotated[Principal, staff_only("churn:write")],
        attempt: Annotated[Attempt, idempotency_key()],
        response: Response,
    ) -> ScoringView:
        """Scores the whole base now, as the nightly job does; answers when it is done."""
        async with db.transaction() as tx:
            if replay := await attempt.claim(tx):
                replay.mark(response)
                return await _scoring(tx, int(replay.resource_id))
            id = await whole_base.score_all()
            await attempt.remember(tx, status=201, resource_id=str(id))
            return await _scoring(tx, id)

    return router


async def _scoring(tx: Tx, id: int) -> ScoringView:
    return ScoringView.model_validate(dict(await store.scoring(tx, id) or {}))


def _reasons(reasons: Sequence[Reason]) -> list[ReasonView]:
    return [
        ReasonView(code=r.code, text=r.text, contribution=round(r.contribution, PLACES), facts=r.facts) for r in reasons
    ]


def _money(minor: int, currency: str) -> MoneyView:
    return MoneyView(amount=decimal_of(minor, currency), currency=currency)


def _amount(text: str, currency: str) -> int:
    places = MINOR_UNITS[currency]
    if not re.match(AMOUNT, text) or len(text.partition(".")[2]) > places:
        raise invalid("/query/min_value", f"An amount of {currency}: digits, and up to {places} decimals.")
    return scaled(text, places)


def _rounded(figure: float | None) -> float | None:
    return None if figure is None else round(figure, PLACES)
