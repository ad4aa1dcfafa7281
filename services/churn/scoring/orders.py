"""What churn takes of an order."""

from services.churn.scoring.statistics import PurchaseFact
from shared.contracts.orders import Order
from shared.contracts.purchases import PurchaseRecorded


def fact_of(order: Order, currency: str) -> PurchaseFact:
    """The order as it stands. Other currencies than the house's, and gifts, are counted and not summed; of a cancelled
    order nothing is left."""
    at_home = order.currency == currency
    returns = () if order.cancelled_at else order.refunds
    return PurchaseFact(
        order_id=order.order_id,
        occurred_at=order.occurred_at,
        net_minor=_worth(order.net, at_home) if order.counts else 0,
        source=order.source,
        id=order.event_id,
        returns=len(returns),
        returned_minor=sum(refund.minor for refund in returns) if at_home else 0,
    )


def fact_of_purchase(purchase: PurchaseRecorded, source: str, id: str, currency: str) -> PurchaseFact:
    """The same of an order that nothing but its first version is known of, without spreading its total on lines."""
    at_home = purchase.total.currency == currency
    worth = _worth(purchase.total.minor, at_home) if purchase.lines else 0
    return PurchaseFact(purchase.order_id, purchase.occurred_at, worth, source, id)


def _worth(net: int, at_home: bool) -> int | None:
    return net if at_home and net > 0 else None
