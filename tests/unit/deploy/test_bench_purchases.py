from collections import Counter
from datetime import UTC, datetime, timedelta
from statistics import mean

from deploy.bench.purchases import DAYS, NEW_DAYS, purchases
from shared.contracts.orders import read_order
from shared.messaging.envelope import read_record
from shared.messaging.events import Event

UNTIL = datetime(2026, 11, 20, tzinfo=UTC)
MADE = list(purchases(8_000, UNTIL))


def read() -> list[Event]:
    return [read_record("purchase-recorded", each.key, each.value, (), UNTIL) for each in MADE]


def test_the_same_day_and_seed_make_the_same_purchases() -> None:
    assert list(purchases(8_000, UNTIL)) == MADE
    assert list(purchases(8_000, UNTIL, seed=21)) != MADE


def test_a_purchase_has_three_lines_and_some_857_bytes() -> None:
    assert 820 <= mean(len(each.value) for each in MADE) <= 890
    assert {len(event.data.lines) for event in read()} == {3}


def test_every_purchase_keeps_the_contract_and_its_lines_make_its_total() -> None:
    for event in read():
        order = read_order(event.data, event.source, event.id)
        assert all(line.paid for line in order.lines)
        assert order.total == sum(line.quantity * int(line.unit_price.amount) * 100 for line in event.data.lines)


def test_purchases_come_in_time_order_over_two_years() -> None:
    times = [event.data.occurred_at for event in read()]
    assert times == sorted(times)
    assert UNTIL - timedelta(days=DAYS) <= times[0] <= times[-1] <= UNTIL
    assert times[-1] - times[0] > timedelta(days=DAYS - 30)


def test_there_is_a_customer_for_eight_purchases_and_they_buy_at_different_rates() -> None:
    counts = Counter(each.customer_id for each in MADE)
    assert len(counts) == 1_000
    assert max(counts.values()) > 40
    assert sum(n == 1 for n in counts.values()) > 100


def test_a_tenth_of_the_customers_is_new() -> None:
    first: dict[str, datetime] = {}
    for event in read():
        first.setdefault(event.key, event.data.occurred_at)
    new = sum(at > UNTIL - timedelta(days=NEW_DAYS) for at in first.values())
    assert 70 <= new <= 130


def test_tea_is_among_what_is_sold() -> None:
    assert any(line.category == "tea" for event in read() for line in event.data.lines)
