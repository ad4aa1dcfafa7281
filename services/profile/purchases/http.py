"""The route of a customer's orders."""

from datetime import date, datetime
from typing import Annotated

from pydantic import BaseModel

from services.profile import examples
from services.profile.answers import MoneyView, money_view
from services.profile.customers.application import Customers
from services.profile.fields import CustomerInPath
from services.profile.identities.application import person
from services.profile.purchases.application import PurchaseHistory
from services.profile.purchases.domain import House, in_house
from services.profile.rates.domain import Rates
from shared.contracts.orders import Order, pieces
from shared.db import Database
from shared.http.auth import Principal, own_or_404, requires
from shared.http.pagination import Page, PageRequest
from shared.http.problems import not_found
from shared.http.routing import Router


class LineView(BaseModel):
    """A line with its share of the order's total, and what came back of it. Quantities are decimal strings."""

    line_id: str
    sku: str
    category: str | None
    quantity: str
    paid: MoneyView
    returned_quantity: str
    returned: MoneyView


class ReturnView(BaseModel):
    """What a return gave back."""

    return_id: str
    occurred_at: datetime
    amount: MoneyView


class ConvertedView(BaseModel):
    """What an order in another currency counts for in the house's, by the rate of its day that it was first counted
    with: units of the house's currency for one of the order's, a version of ``/rates``."""

    net: MoneyView
    rate: str
    valid_from: date
    version: int
    source: str


class OrderView(BaseModel):
    """An order as it stands: its highest version, net of returns. ``converted`` is null in the house's currency, and
    where there is no rate for its day."""

    order_id: str
    order_version: int
    occurred_at: datetime
    channel: str
    total: MoneyView
    net: MoneyView
    converted: ConvertedView | None
    lines: list[LineView]
    returns: list[ReturnView]
    cancelled_at: datetime | None
    delivered_at: datetime | None


def purchases_router(history: PurchaseHistory, customers: Customers, db: Database) -> Router:
    """``GET /customers/{customer_id}/purchases``."""
    router = Router(tags=["purchases"])

    @router.get(
        "/customers/{customer_id}/purchases",
        responses=examples.answer({"items": [examples.ORDER], "next_cursor": None}),
    )
    async def read_purchases(
        who: Annotated[Principal, requires("profile:read")], customer_id: CustomerInPath, paging: PageRequest
    ) -> Page[OrderView]:
        """A customer's orders under all his ids, newest first."""
        after = paging.after(tuple[datetime, str])
        async with db.transaction() as tx:
            asked = await person(tx, customer_id)
            own_or_404(who, *asked.ids)
            if not await customers.exists(tx, asked.customer_id):
                raise not_found()
            orders, rates = await history.page(tx, asked.ids, after=after, limit=paging.limit + 1)
        cursor = paging.next_cursor(orders, lambda order: (order.occurred_at, order.order_id))
        return Page(items=[_view(order, history.house, rates) for order in orders[: paging.limit]], next_cursor=cursor)

    return router


def _view(order: Order, house: House, rates: Rates) -> OrderView:
    def money(minor: int) -> MoneyView:
        return money_view(minor, order.currency)

    return OrderView(
        order_id=order.order_id,
        order_version=order.version,
        occurred_at=order.occurred_at,
        channel=order.channel,
        total=money(order.total),
        net=money(order.net),
        converted=_converted(order, house, rates),
        lines=[
            LineView(
                line_id=line.line_id,
                sku=line.sku,
                category=line.category,
                quantity=pieces(line.quantity),
                paid=money(line.paid),
                returned_quantity=pieces(line.returned_quantity),
                returned=money(line.returned),
            )
            for line in order.lines
        ],
        returns=[
            ReturnView(return_id=refund.return_id, occurred_at=refund.occurred_at, amount=money(refund.minor))
            for refund in order.refunds
        ],
        cancelled_at=order.cancelled_at,
        delivered_at=order.delivered_at,
    )


def _converted(order: Order, house: House, rates: Rates) -> ConvertedView | None:
    rate, worth = rates.get(order.order_id), in_house(order, house, rates)
    if rate is None or worth is None:
        return None
    return ConvertedView(
        net=money_view(worth.net, house.currency),
        rate=rate.rate,
        valid_from=rate.valid_from,
        version=rate.version,
        source=rate.source,
    )
