"""What engagement publishes of surveys: how a customer rates, never what he wrote."""

from typing import Annotated

from msgspec import Meta

from shared.contracts.types import Derived, Id, Instant


class SurveyAnswered(Derived):
    """A customer answered a survey. ``rating``: how content he is, from 1 to 5; ``recommends``: how likely he would
    recommend the house, from 0 to 10 (Reichheld, 2003). ``order_id``, ``contact_id``: what it was about, and by which
    contact he was asked."""

    occurred_at: Instant
    survey_id: Id
    response_id: Id
    rating: Annotated[int, Meta(ge=1, le=5)] | None = None
    recommends: Annotated[int, Meta(ge=0, le=10)] | None = None
    order_id: Id | None = None
    contact_id: Id | None = None
