"""The demo's events: real baskets, in our days, the same in every run."""

from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.demo.first_run import first_run
from deploy.demo.replay import SOURCE, Basket, BasketLine, FirstRun, baskets, load, replay, unit_price
from shared.contracts.purchases import PurchaseRecorded
from shared.messaging.envelope import MAX_BYTES, read_record

TAIPEI = ZoneInfo("Asia/Taipei")
EVENING = datetime(2026, 11, 22, 22, 30, tzinfo=TAIPEI)
BASKET = Basket("007", date(2001, 2, 28), (BasketLine("110405", "471", 3, 10), BasketLine("120101", "472", 1, 153)))


def made(found: list[Basket], at: datetime = EVENING, customers: int | None = None) -> list[PurchaseRecorded]:
    """The purchases as a service reads them from the topic."""
    events = [
        read_record("purchase-recorded", replayed.key, replayed.value, (), at)
        for replayed in replay(found, FirstRun(at, TAIPEI), customers)
    ]
    return [event.data for event in events]


def row(customer: str, day: str, product: str = "471", price: int = 20) -> dict[str, str]:
    return {
        "customer": customer, "date": day, "category": "11", "product": product, "quantity": "1", "price": str(price)
    }  # fmt: skip


def test_a_basket_is_what_a_customer_bought_on_one_day() -> None:
    rows = [row("2", "2001-02-28"), row("1", "2001-02-27"), row("1", "2001-02-28"), row("1", "2001-02-27", "472")]
    assert [(b.customer, b.day.isoformat(), len(b.lines)) for b in baskets(rows)] == [
        ("1", "2001-02-27", 2),
        ("1", "2001-02-28", 1),
        ("2", "2001-02-28", 1),
    ]


def test_the_whole_data_becomes_one_valid_event_a_basket_in_the_order_of_time() -> None:
    found = load()
    purchases = made(found)
    assert len(purchases) == len({data.order_id for data in purchases}) == 7_027
    assert len({data.customer_id for data in purchases}) == 2_000
    assert sum(len(data.lines) for data in purchases) == 48_133
    assert purchases == sorted(purchases, key=lambda data: data.occurred_at)


def test_ids_and_source_are_made_of_customer_and_day() -> None:
    (replayed,) = replay([BASKET], FirstRun(EVENING, TAIPEI))
    event = read_record("purchase-recorded", replayed.key, replayed.value, (), EVENING)
    assert (event.source, event.id) == (SOURCE, "tafeng:007:2001-02-28:1")
    assert (event.key, event.data.order_id) == ("tafeng:007", "tafeng:007:2001-02-28")
    assert event.time == event.data.occurred_at


def test_a_basket_is_sold_in_the_store_for_twd_and_its_total_is_what_the_till_took() -> None:
    (data,) = made([BASKET])
    assert (data.channel, data.total.amount, data.total.currency) == ("store", "163", "TWD")
    assert [(line.line_id, line.sku, line.category, line.quantity, line.unit_price.amount) for line in data.lines] == [
        ("1", "471", "110405", 3, "3.333333"),
        ("2", "472", "120101", 1, "153"),
    ]


@pytest.mark.parametrize(
    ("price", "quantity", "unit"),
    [(20, 1, "20"), (100, 10, "10"), (45, 2, "22.5"), (2, 3, "0.666667"), (1, 64, "0.015625"), (1, 128, "0.007812")],
)
def test_a_price_that_does_not_divide_is_rounded_half_to_even_at_six_decimals(
    price: int, quantity: int, unit: str
) -> None:
    assert unit_price(price, quantity) == unit


@given(st.integers(1, 10**6), st.integers(1, 10**4))
def test_a_unit_price_is_within_half_a_millionth_of_the_exact_one(price: int, quantity: int) -> None:
    assert abs(Decimal(unit_price(price, quantity)) * quantity - price) <= Decimal("0.0000005") * quantity


def test_the_last_day_of_the_data_is_the_day_of_the_first_run_in_the_houses_zone() -> None:
    late = datetime(2026, 11, 22, 16, 30, tzinfo=UTC)
    earlier = Basket("007", date(2000, 11, 1), BASKET.lines)
    days = [data.occurred_at.astimezone(TAIPEI).date() for data in made([BASKET, earlier], late)]
    assert days == [date(2026, 7, 27), date(2026, 11, 23)]


def test_fewer_customers_are_the_first_by_id_and_their_events_are_the_same() -> None:
    found = list(baskets([row("3", "2001-02-28"), row("1", "2001-02-20"), row("2", "2001-02-21")]))
    everything = replay(found, FirstRun(EVENING, TAIPEI))
    two = replay(found, FirstRun(EVENING, TAIPEI), 2)
    assert [replayed.key for replayed in two] == [b"tafeng:1", b"tafeng:2"]
    assert two == everything[:2]


def test_times_of_day_are_spread_over_the_opening_hours() -> None:
    hours = Counter(data.occurred_at.astimezone(TAIPEI).hour for data in made(load()))
    assert sorted(hours) == list(range(9, 21))
    assert min(hours.values()) > 7_027 / 12 * 0.8


@given(st.datetimes(datetime(2026, 11, 22), datetime(2026, 11, 22, 23, 59, 59)))
def test_no_basket_lies_after_the_first_run_or_on_another_day(wall: datetime) -> None:
    now = wall.replace(tzinfo=TAIPEI)
    found = [Basket(str(n), BASKET.day, BASKET.lines) for n in range(20)]
    times = [data.occurred_at.astimezone(TAIPEI) for data in made(found, now)]
    assert max(times) <= now
    assert {at.date() for at in times} == {now.date()}
    assert all(at.hour >= 9 for at in times) or now.time() <= time(9)


def test_the_baskets_of_other_days_keep_their_time_whenever_the_first_run_was() -> None:
    yesterday = Basket("007", BASKET.day - timedelta(days=1), BASKET.lines)
    morning = EVENING.replace(hour=7)
    assert made([BASKET, yesterday], morning)[0].occurred_at == made([BASKET, yesterday], EVENING)[0].occurred_at


def test_a_later_run_repeats_the_events_of_the_first_one_byte_by_byte(data_dir: Path) -> None:
    data_dir.mkdir()
    first = first_run(data_dir, EVENING, TAIPEI)
    later = first_run(data_dir, EVENING + timedelta(days=3), ZoneInfo("Europe/Lisbon"))
    assert first == FirstRun(EVENING, TAIPEI)
    assert replay([BASKET], first) == replay([BASKET], later)


def test_the_largest_basket_is_far_below_the_limit_of_an_event() -> None:
    assert max(len(replayed.value) for replayed in replay(load(), FirstRun(EVENING, TAIPEI))) < MAX_BYTES / 10


def test_nothing_of_a_persons_age_or_address_is_published() -> None:
    fields = msgspec.json.decode(replay([BASKET], FirstRun(EVENING, TAIPEI))[0].value)["data"]
    assert set(fields) == {"customer_id", "order_id", "occurred_at", "channel", "total", "lines"}
