"""What customers do and say without buying: published by sites, apps and desks."""

from typing import Annotated, Literal

from msgspec import Meta, field

from shared.contracts.types import Attributes, CustomerId, Id, Instant, Money, Struct

ActivityKind = Literal[
    "visit", "view-category", "view-promotion", "content-read", "add-to-cart", "inquiry", "trial-started",
    "use-feature", "login", "support-contact", "share", "other",
]  # fmt: skip
FeedbackKind = Literal["complaint", "inquiry", "service-request", "suggestion", "praise", "review"]
PriceClass = Literal["everyday", "considered", "luxury"]


class ActivityRecorded(Struct):
    """A visit, an inquiry, a login: signs of life between purchases."""

    customer_id: CustomerId
    activity_id: Id
    kind: ActivityKind
    occurred_at: Instant
    sku: Id | None = None
    category: Id | None = None
    value: Money | None = None
    attributes: Attributes = field(default_factory=dict)


class FeedbackReceived(Struct):
    """A complaint, a question, praise: never its text, which engagement keeps."""

    customer_id: CustomerId
    feedback_id: Id
    channel: Id
    kind: FeedbackKind
    occurred_at: Instant
    rating: Annotated[int, Meta(ge=1, le=5)] | None = None
    topic: Id | None = None
    sku: Id | None = None
    order_id: Id | None = None


class ProductChanged(Struct):
    """A product of the catalogue, keyed by ``sku``; the newest by event time stands."""

    sku: Id
    name: Annotated[str, Meta(min_length=1, max_length=500)]
    category: Id
    price: Money
    price_class: PriceClass | None = None
    durable: bool | None = None
    accessory_of: Annotated[tuple[Id, ...], Meta(max_length=100)] = ()
    upgrade_of: Id | None = None
