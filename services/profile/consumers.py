"""Which topic goes to which use case. The intake calls them in this order."""

from services.profile.products import application as products
from services.profile.purchases.application import PurchaseHistory
from services.profile.timeline.application import Timeline
from shared.messaging.intake import UseCase


def use_cases(history: PurchaseHistory, timeline: Timeline) -> dict[str, UseCase]:
    """The table."""
    return {
        "purchase-recorded": history.record,
        "purchase-returned": history.record,
        "purchase-cancelled": history.record,
        "purchase-delivered": history.record,
        "product-changed": products.record,
        "activity-recorded": timeline.record,
        "feedback-received": timeline.record,
        "consent-changed": timeline.record,
        "points-earned": timeline.record,
        "points-reversed": timeline.record,
        "points-expired": timeline.record,
        "tier-changed": timeline.record,
        "churn-scored": timeline.record,
        "customer-at-risk": timeline.record,
        "risk-lowered": timeline.record,
        "contact-planned": timeline.record,
        "contact-suppressed": timeline.record,
        "contact-sent": timeline.record,
        "contact-failed": timeline.record,
    }
