"""Synthetic purchases: the same for a seed and a last day, shaped like a shop's, in time order."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec
import numpy as np

SOURCE = "/bench/shop"
SEED = 20
DAYS = 730
EVENTS_PER_CUSTOMER = 8
NEW_SHARE, NEW_DAYS = 0.1, 90
GONE_SHARE = 0.3
LINES = 3
CATEGORIES = ("tea", "coffee", "bakery", "snacks", "fruit", "gifts", "teaware", "flowers")
NAMES = ("Alishan oolong", "Fresh roast", "Pineapple cake", "Sesame bites", "Dried mango", "Gift box", "Cup", "Bouquet")
CHANNELS = ("store", "web", "app")

_encode = msgspec.json.Encoder().encode


class Purchase(NamedTuple):
    """A purchase-recorded as it goes to the broker."""

    customer_id: str
    event_id: str
    value: bytes

    @property
    def key(self) -> bytes:
        return self.customer_id.encode()


def purchases(events: int, until: datetime, seed: int = SEED) -> Iterator[Purchase]:
    """``events`` purchases of the two years before ``until``, sorted by time.

    About ``events / 8`` customers, who buy at gamma-distributed rates (Ehrenberg 1959); a tenth of them joined in
    the last 90 days, and three in ten stopped somewhere on the way.
    """
    random = np.random.default_rng(seed)
    customers, days = _who_and_when(events, random)
    numbers = random.integers(0, 1 << 30, size=(events, LINES + 1))
    for n, (customer, day, drawn) in enumerate(zip(customers, days, numbers, strict=True)):
        at = until - timedelta(days=DAYS) + timedelta(seconds=round(day * 86_400))
        yield purchase(f"bench:{customer}", f"bench:{n}", at, [int(number) for number in drawn])


def purchase(customer_id: str, event_id: str, at: datetime, drawn: list[int]) -> Purchase:
    """One of them; everything that isn't given follows from the ``drawn`` numbers, one for each line and one more."""
    lines = [_line(n, number) for n, number in enumerate(drawn[1:], 1)]
    total = sum(cost for cost, _ in lines)
    data = {
        "customer_id": customer_id,
        "order_id": event_id,
        "occurred_at": at.isoformat(),
        "channel": CHANNELS[drawn[0] % len(CHANNELS)],
        "total": _money(total),
        "lines": [line for _, line in lines],
        "store": f"tp-{drawn[0] % 40:02}",
        "staff_id": f"staff:{drawn[0] % 7}",
        "tax": _money(total // 21),
    }
    event = {
        "specversion": "1.0",
        "id": event_id,
        "source": SOURCE,
        "type": "purchase-recorded.v1",
        "time": at.isoformat(),
        "datacontenttype": "application/json",
        "data": data,
    }
    return Purchase(customer_id, event_id, _encode(event))


def _who_and_when(events: int, random: np.random.Generator) -> tuple[list[int], list[float]]:
    """Everybody buys on the day he joins; the other purchases fall to customers by rate and time alive."""
    n = max(1, events // EVENTS_PER_CUSTOMER)
    new = random.random(n) < NEW_SHARE
    joined = np.where(new, DAYS - NEW_DAYS * random.random(n), (DAYS - NEW_DAYS) * random.random(n))
    alive = (DAYS - joined) * np.where(random.random(n) < GONE_SHARE, random.random(n), 1.0)
    weights = random.gamma(0.8, size=n) * alive
    customers = np.concatenate([np.arange(n), random.choice(n, size=events - n, p=weights / weights.sum())])
    days = joined[customers] + alive[customers] * random.random(events)
    days[:n] = joined
    order = np.argsort(days, kind="stable")
    return customers[order].tolist(), days[order].tolist()


def _line(n: int, drawn: int) -> tuple[int, dict[str, object]]:
    """What the line costs, and the line."""
    kind, quantity, price = drawn % len(CATEGORIES), 1 + drawn // 8 % 3, 30 + drawn // 64 % 400
    line = {
        "line_id": str(n),
        "sku": f"471{drawn % 10_000:010}",
        "quantity": quantity,
        "unit_price": _money(price),
        "name": f"{NAMES[kind]} no. {drawn % 10_000}",
        "category": CATEGORIES[kind],
    }
    return quantity * price, line


def _money(amount: int) -> dict[str, str]:
    return {"amount": str(amount), "currency": "TWD"}
