"""Supermarket baskets as the purchases of today's shop: the same data directory gives the same events for ever.

A basket is what a customer bought on one day. Dates are shifted so that the last day of the data is the day of the
first run; the time of day is drawn from the basket's id, because the data has none.
"""

import csv
import gzip
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from zoneinfo import ZoneInfo

from shared.contracts.purchases import PurchaseLine, PurchaseRecorded
from shared.contracts.types import PRICE_PLACES, Money, Price
from shared.messaging.envelope import write_event

DATA = Path(__file__).parent / "data" / "tafeng_sample.csv.gz"
SOURCE = "/demo/tafeng"
CURRENCY = "TWD"
OPENS, CLOSES = time(9), time(21)

_MICRO = Decimal(1).scaleb(-PRICE_PLACES)


@dataclass(frozen=True, slots=True)
class FirstRun:
    """When a data directory saw its first demo, and the zone whose days count; kept for later runs."""

    at: datetime
    zone: ZoneInfo

    @property
    def day(self) -> date:
        return self.at.astimezone(self.zone).date()


@dataclass(frozen=True, slots=True)
class BasketLine:
    """A line of the till: ``price`` is for all its pieces, in whole TWD."""

    category: str
    product: str
    quantity: int
    price: int


@dataclass(frozen=True, slots=True)
class Basket:
    """What a customer bought on a day of the data."""

    customer: str
    day: date
    lines: tuple[BasketLine, ...]

    @property
    def order_id(self) -> str:
        return f"tafeng:{self.customer}:{self.day.isoformat()}"


@dataclass(frozen=True, slots=True)
class Replayed:
    """A basket as it is published: the record's key and its CloudEvent."""

    order_id: str
    key: bytes
    value: bytes


def load(path: Path = DATA) -> list[Basket]:
    """All baskets of the data file, by customer and day."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return list(baskets(csv.DictReader(file)))


def baskets(rows: Iterable[Mapping[str, str]]) -> Iterator[Basket]:
    """Rows of the till as baskets, by customer and day; lines keep the order of the rows."""

    def of_whom_and_when(row: Mapping[str, str]) -> tuple[str, str]:
        return row["customer"], row["date"]

    for (customer, day), lines in groupby(sorted(rows, key=of_whom_and_when), of_whom_and_when):
        yield Basket(customer, date.fromisoformat(day), tuple(_line(row) for row in lines))


def replay(found: Sequence[Basket], first_run: FirstRun, customers: int | None = None) -> list[Replayed]:
    """The events of the first ``customers`` customers (by id; None: of all), in the order of their time.

    The shift is that of the whole data, so that more customers in a later run repeat the same events.
    """
    shift = first_run.day - max(basket.day for basket in found)
    chosen = set(sorted({basket.customer for basket in found})[:customers])
    purchases = [
        purchase(basket, happened_at(basket, shift, first_run)) for basket in found if basket.customer in chosen
    ]
    return [
        Replayed(
            data.order_id,
            data.customer_id.encode(),
            write_event(data, source=SOURCE, id=f"{data.order_id}:{data.order_version}", time=data.occurred_at),
        )
        for data in sorted(purchases, key=lambda data: (data.occurred_at, data.order_id))
    ]


def happened_at(basket: Basket, shift: timedelta, first_run: FirstRun) -> datetime:
    """The instant of a basket, in whole seconds of the house's zone: between 9 and 21, and never after the first run.

    Before 9 in the morning of the first run, the shop of that day has been open since midnight.
    """
    day = basket.day + shift
    opens = datetime.combine(day, OPENS, first_run.zone)
    closes = min(datetime.combine(day, CLOSES, first_run.zone), first_run.at.astimezone(first_run.zone))
    if closes <= opens:
        opens = datetime.combine(day, time(0), first_run.zone)
    fraction = int.from_bytes(sha256(basket.order_id.encode()).digest()[:8]) / 2**64
    return opens + timedelta(seconds=int((closes - opens).total_seconds() * fraction))


def purchase(basket: Basket, occurred_at: datetime) -> PurchaseRecorded:
    """The basket as a paid order: its total is what the till took, whatever rounding a piece's price needs."""
    return PurchaseRecorded(
        customer_id=f"tafeng:{basket.customer}",
        order_id=basket.order_id,
        occurred_at=occurred_at,
        channel="store",
        total=Money(amount=str(sum(line.price for line in basket.lines)), currency=CURRENCY),
        lines=tuple(
            PurchaseLine(
                line_id=str(number),
                sku=line.product,
                category=line.category,
                quantity=line.quantity,
                unit_price=Price(amount=unit_price(line.price, line.quantity), currency=CURRENCY),
            )
            for number, line in enumerate(basket.lines, 1)
        ),
    )


def unit_price(price: int, quantity: int) -> str:
    """The price of one piece: exact where it divides within 6 decimals, else rounded half to even."""
    exact = (Decimal(price) / quantity).quantize(_MICRO, ROUND_HALF_EVEN)
    return f"{exact:f}".rstrip("0").rstrip(".")


def _line(row: Mapping[str, str]) -> BasketLine:
    return BasketLine(row["category"], row["product"], int(row["quantity"]), int(row["price"]))
