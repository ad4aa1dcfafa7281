"""The route of what to offer a customer next."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Query
from pydantic import BaseModel

from services.profile import examples
from services.profile.customers.application import Customers
from services.profile.fields import CustomerInPath
from services.profile.identities.application import person
from services.profile.recommendations.application import Recommendations
from services.profile.recommendations.domain import Code, Kind, Recommendation
from services.profile.restrictions.application import Restrictions
from shared.db import Database
from shared.http.auth import Principal, own_or_404, requires
from shared.http.problems import not_found
from shared.http.routing import Router

_EXAMPLE: dict[str, Any] = {
    "items": [
        {
            "kind": "cross-sell",
            "sku": "tea-pot-1",
            "name": "Tea pot",
            "category": "ware",
            "price": {"amount": "900.00", "currency": "TWD"},
            "reason": {
                "code": "bought-together",
                "text": "in 30 of 120 baskets with tea-1 (25%), 4.2 times as often as by chance",
                "because_of": "tea-1",
                "together": 30,
                "support": 0.01,
                "confidence": 0.25,
                "lift": 4.2,
                "price_step": None,
            },
        }
    ],
    "policy_version": 1,
    "as_of": "2026-11-20T08:15:00Z",
}


class PriceView(BaseModel):
    """A decimal string in a currency of ISO 4217."""

    amount: str
    currency: str


class OfferReasonView(BaseModel):
    """``because_of`` is what the customer keeps. ``together``: baskets with both; ``support``: their share of all
    baskets; ``confidence``: of those with ``because_of``; ``lift``: how many times as often as by chance.
    ``price_step``: how much dearer, as a share."""

    code: Code
    text: str
    because_of: str
    together: int | None
    support: float | None
    confidence: float | None
    lift: float | None
    price_step: float | None


class RecommendationView(BaseModel):
    """A product to offer. Name, category and price are null where the catalogue doesn't know it."""

    kind: Kind
    sku: str
    name: str | None
    category: str | None
    price: PriceView | None
    reason: OfferReasonView


class RecommendationsView(BaseModel):
    """Cross-sell first, then up-sell, each in the order to offer. ``as_of``: when baskets were last counted."""

    items: list[RecommendationView]
    policy_version: int
    as_of: datetime | None


def recommendations_router(
    recommendations: Recommendations, restrictions: Restrictions, customers: Customers, db: Database
) -> Router:
    """``GET /customers/{customer_id}/recommendations``; a customer's own token may ask, too."""
    router = Router(tags=["recommendations"])

    @router.get("/customers/{customer_id}/recommendations", responses=examples.answer(_EXAMPLE))
    async def read_recommendations(
        who: Annotated[Principal, requires("profile:read")],
        customer_id: CustomerInPath,
        limit: Annotated[int, Query(ge=1, le=50, description="At most so many of each kind")] = 10,
    ) -> RecommendationsView:
        """What to offer next, with the reason: nothing bought lately, nothing brought back. Nothing to who is
        restricted."""
        async with db.transaction() as tx:
            asked = await person(tx, customer_id)
            own_or_404(who, *asked.ids)
            if not await customers.exists(tx, asked.customer_id):
                raise not_found()
            unused = await restrictions.standing(tx, asked) is not None
            found = await recommendations.of(tx, () if unused else asked.ids, limit)
        return RecommendationsView(
            items=[_view(one) for one in found.items], policy_version=found.policy_version, as_of=found.counted_at
        )

    return router


def _view(one: Recommendation) -> RecommendationView:
    product, reason, pair = one.product, one.reason, one.reason.pair
    return RecommendationView(
        kind=one.kind,
        sku=one.sku,
        name=product.name if product else None,
        category=product.category if product else None,
        price=PriceView(amount=product.price.amount, currency=product.price.currency) if product else None,
        reason=OfferReasonView(
            code=reason.code,
            text=reason.text,
            because_of=reason.because_of,
            together=pair.together if pair else None,
            support=pair.support if pair else None,
            confidence=pair.confidence if pair else None,
            lift=pair.lift if pair else None,
            price_step=reason.price_step,
        ),
    )
