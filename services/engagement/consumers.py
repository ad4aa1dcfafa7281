"""Topic -> use case. Merges come first: their lock comes before any other."""

from services.engagement.contacts.merging import Merging
from services.engagement.customers.application import Customers
from services.engagement.feedback.application import Feedback
from shared.messaging.erasures import Erasing
from shared.messaging.intake import UseCase


def use_cases(
    merging: Merging, customers: Customers, feedback: Feedback, erasing: Erasing
) -> dict[str, UseCase]:
    """What engagement reads."""
    return {
        "customer-erased": erasing.apply,
        "customer-merged": merging.apply,
        "customer-unmerged": merging.apply,
        "purchase-recorded": customers.apply_orders,
        "purchase-returned": customers.apply_orders,
        "purchase-cancelled": customers.apply_orders,
        "purchase-delivered": customers.apply_orders,
        "feedback-received": feedback.apply,
        "customer-registered": customers.apply_file,
        "customer-changed": customers.apply_file,
        "consent-changed": customers.apply_file,
        "customer-at-risk": customers.apply_forecasts,
        "risk-lowered": customers.apply_forecasts,
    }
