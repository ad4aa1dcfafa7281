"""Which topic is whose use case. They are called in this order."""

from services.loyalty.earning.application import Earning
from shared.messaging.facts import ORDER_KINDS
from shared.messaging.intake import UseCase


def use_cases(earning: Earning) -> dict[str, UseCase]:
    """Every event of an order is one use case's: a batch is judged at once."""
    return dict.fromkeys(ORDER_KINDS, earning.apply_orders)
