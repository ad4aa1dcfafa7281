"""``GET /models``, ``GET /models/{version}``, ``POST /models/train``, ``POST /models/{version}/promote``."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated

from fastapi import Response
from pydantic import BaseModel, ConfigDict

from services.churn.models import application
from services.churn.models.domain import Kind
from services.churn.models.versions import ModelVersion
from services.churn.openapi import answers
from services.churn.training.application import Training
from shared.db import Database
from shared.http.auth import Principal, staff_only
from shared.http.idempotency import Attempt, idempotency_key
from shared.http.pagination import Page, PageRequest
from shared.http.routing import Router


class _View(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class ParamsView(_View):
    """Of a BG/NBD or MBG/NBD; ``alpha`` and the log-likelihood are in days, ``n`` counts the customers."""

    kind: str
    r: float
    alpha: float
    a: float
    b: float
    log_likelihood: float
    n: int
    converged: bool


class PurchaseValueView(_View):
    """Of a gamma-gamma; ``v`` in minor units of the house currency."""

    p: float
    q: float
    v: float
    log_likelihood: float
    n: int
    converged: bool


class CalibrationView(_View):
    """Customers scored in [low, high): mean probability, and the share that bought nothing."""

    low: float
    high: float
    n: int
    predicted: float
    observed: float


class BaselineView(_View):
    """How well one simple figure ranks."""

    auc: float
    pr_auc: float


class EvaluationView(_View):
    """How well the model, fitted on what was known at the end of the day ``cut``, foretold who would buy nothing in
    the ``horizon_days`` after it. ``lift``: by tenth, riskiest first."""

    cut: date
    horizon_days: int
    n: int
    base_rate: float
    auc: float
    pr_auc: float
    brier: float
    calibration: list[CalibrationView]
    lift: list[float]
    baselines: dict[str, BaselineView]


class ModelView(_View):
    """A version of the model. ``purchase_value`` is null where too few customers paid twice in the house currency;
    ``evaluation`` where nothing could be held out; ``trained_at`` for the prior that is shipped."""

    version: str
    status: str
    trained_at: datetime | None
    params: ParamsView
    purchase_value: PurchaseValueView | None
    evaluation: EvaluationView | None


_EXAMPLE = {
    "version": "mbg-nbd-2", "status": "active", "trained_at": "2026-11-20T19:00:00Z",
    "params": {"kind": "mbg-nbd", "r": 0.91, "alpha": 21.4, "a": 0.31, "b": 2.2, "log_likelihood": -81230.5,
               "n": 9800, "converged": True},
    "purchase_value": {"p": 1.9, "q": 3.1, "v": 61234.5, "log_likelihood": -70412.1, "n": 9800, "converged": True},
    "evaluation": {
        "cut": "2026-08-22", "horizon_days": 90, "n": 8100, "base_rate": 0.44, "auc": 0.79, "pr_auc": 0.76,
        "brier": 0.18, "calibration": [{"low": 0.4, "high": 0.5, "n": 900, "predicted": 0.45, "observed": 0.43}],
        "lift": [2.0, 1.8, 1.5], "baselines": {"recency": {"auc": 0.71, "pr_auc": 0.68}},
    },
}  # fmt: skip


class TrainingBody(BaseModel):
    """What to fit; without it, the kind of the active model."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"kind": "mbg-nbd"}})

    kind: Kind | None = None


def models_router(db: Database, training: Training) -> Router:
    """The routes of the models."""
    router = Router(tags=["models"])

    @router.get("/models", responses=answers({"items": [_EXAMPLE], "next_cursor": None}))
    async def list_models(_: Annotated[Principal, staff_only("churn:read")], paging: PageRequest) -> Page[ModelView]:
        """All versions, newest first."""
        after = paging.after(tuple[int])
        async with db.transaction() as tx:
            found: Sequence[ModelVersion] = await application.newest_first(
                tx, min(after[0], 2**31 - 1) if after else 2**31 - 1, paging.limit + 1
            )
        items = [_view(model) for model in found[: paging.limit]]
        return Page(items=items, next_cursor=paging.next_cursor(found, lambda model: (model.id,)))

    @router.get("/models/{version}", responses=answers(_EXAMPLE))
    async def read_model(_: Annotated[Principal, staff_only("churn:read")], version: str) -> ModelView:
        """One version with its evaluation."""
        async with db.transaction() as tx:
            return _view(await application.find(tx, version))

    @router.post("/models/train", status_code=201, responses=answers(_EXAMPLE, 201))
    async def train(
        _: Annotated[Principal, staff_only("churn:write")],
        attempt: Annotated[Attempt, idempotency_key()],
        response: Response,
        body: TrainingBody | None = None,
    ) -> ModelView:
        """Fits a new version on all that is known, and scores by it from now on; answers when it is done. 409
        `not-enough-history` until 10 customers have bought again, `training-in-progress` while another fit runs."""
        async with db.transaction() as tx:
            if replay := await attempt.claim(tx):
                replay.mark(response)
                return _view(await application.find(tx, replay.resource_id))
            trained = await training.train(tx, body.kind if body else None)
            await attempt.remember(tx, status=201, resource_id=trained.version)
            return _view(trained)

    @router.post("/models/{version}/promote", responses=answers(_EXAMPLE))
    async def promote(
        _: Annotated[Principal, staff_only("churn:write")],
        version: str,
        attempt: Annotated[Attempt, idempotency_key()],
        response: Response,
    ) -> ModelView:
        """Scores by this version from now on; the bands follow at the next scoring."""
        async with db.transaction() as tx:
            if replay := await attempt.claim(tx):
                replay.mark(response)
                return _view(await application.find(tx, replay.resource_id))
            promoted = await application.promote(tx, version)
            await attempt.remember(tx, status=200, resource_id=version)
            return _view(promoted)

    return router


def _view(model: ModelVersion) -> ModelView:
    """The version as the API shows it."""
    holdout = model.holdout
    evaluation = None
    if holdout is not None:
        evaluation = EvaluationView(
            cut=holdout.cut,
            horizon_days=holdout.horizon_days,
            n=holdout.evaluation.n,
            base_rate=holdout.evaluation.base_rate,
            auc=holdout.evaluation.auc,
            pr_auc=holdout.evaluation.pr_auc,
            brier=holdout.evaluation.brier,
            calibration=[CalibrationView.model_validate(part) for part in holdout.evaluation.calibration],
            lift=list(holdout.evaluation.lift),
            baselines={name: BaselineView.model_validate(part) for name, part in holdout.baselines.items()},
        )
    return ModelView(
        version=model.version,
        status=model.status,
        trained_at=model.trained_at,
        params=ParamsView.model_validate(model.params),
        purchase_value=PurchaseValueView.model_validate(model.purchase_value) if model.purchase_value else None,
        evaluation=evaluation,
    )

