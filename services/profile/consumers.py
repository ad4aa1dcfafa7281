"""Which topic goes to which use case. The intake calls them in this order."""

from services.profile.erasures.application import Erasures
from services.profile.identities.application import Identities
from services.profile.products import application as products
from services.profile.purchases.application import PurchaseHistory
from services.profile.timeline.application import Timeline
from shared.messaging.erasures import Erasing
from shared.messaging.intake import UseCase


def use_cases(
    history: PurchaseHistory, timeline: Timeline, identities: Identities, erasures: Erasures, erasing: Erasing
) -> dict[str, UseCase]:
    """The table. Erasures and merges come first: their lock goes before all others."""
    return {
        "customer-erased": erasing.apply,
        "erasure-completed": erasures.acknowledge,
        "customer-merged": identities.apply,
        "customer-unmerged": identities.apply,
        "merge-applied": identities.acknowledge,
        "purchase-recorded": history.record,
        "purchase-returned": history.record,
        "purchase-cancelled": history.record,
        "purchase-delivered": history.record,
        "product-changed": products.record,
        "activity-recorded": timeline.record,
        "feedback-received": timeline.record,
        "consent-changed": timeline.record,
        "purchase-rhythm-dropped": timeline.record,
        "points-earned": timeline.record,
        "points-reversed": timeline.record,
        "points-spent": timeline.record,
        "points-expired": timeline.record,
        "points-expiring": timeline.record,
        "tier-changed": timeline.record,
        "coupon-issued": timeline.record,
        "coupon-redeemed": timeline.record,
        "reward-redeemed": timeline.record,
        "reward-overdue": timeline.record,
        "referral-qualified": timeline.record,
        "churn-scored": timeline.record,
        "customer-at-risk": timeline.record,
        "risk-lowered": timeline.record,
        "contact-planned": timeline.record,
        "contact-suppressed": timeline.record,
        "contact-sent": timeline.record,
        "contact-failed": timeline.record,
        "contact-delivered": timeline.record,
        "contact-answered": timeline.record,
        "complaint-opened": timeline.record,
        "complaint-resolved": timeline.record,
        "complaint-reopened": timeline.record,
        "complaint-closed": timeline.record,
        "survey-answered": timeline.record,
        "promise-made": timeline.record,
        "promise-kept": timeline.record,
        "promise-broken": timeline.record,
    }
