"""What planning knows of a customer: the same whatever order the facts came in."""

from datetime import UTC, date, datetime
from itertools import permutations
from zoneinfo import ZoneInfo

import msgspec
import pytest

from services.engagement.customers.domain import (
    Customer,
    File,
    assessed,
    bought_by_fact,
    bought_by_order,
    consented,
    filed,
    fold,
    one_person,
)
from shared.contracts.customers import ConsentChanged, CustomerChanged, CustomerFields, CustomerRegistered
from shared.contracts.risk import CustomerAtRisk, RiskLowered
from shared.contracts.types import Cause, Money
from shared.messaging.facts import order_of
from tests.kit.builders import event, line, purchase
from tests.unit.engagement.mothers import NOW, ago

CAUSE = Cause(source="/roost/churn", id="1")


def at_risk(sequence: int) -> CustomerAtRisk:
    return CustomerAtRisk(
        customer_id="pos:1", sequence=sequence, caused_by=CAUSE, occurred_at=ago(10 - sequence),
        probability=0.7, band="at-risk", horizon_days=90, value_at_risk=Money.of(1, "TWD"), reasons=(),
        model_version="m1",
    )  # fmt: skip


def lowered(sequence: int) -> RiskLowered:
    return RiskLowered(
        customer_id="pos:1", sequence=sequence, caused_by=CAUSE, occurred_at=ago(10 - sequence),
        from_band="at-risk", to_band="low", cause="rescored", probability=0.1, model_version="m1",
    )  # fmt: skip


@pytest.mark.parametrize("lines", [[], [line(amount="10"), line("2", amount="3.5", quantity="1.5")]])
def test_an_order_says_the_same_whether_read_from_its_fact_or_as_a_whole(lines: list[dict[str, object]]) -> None:
    bought = event("purchase-recorded", purchase(total="0" if not lines else "15.25", lines=lines))
    assert bought_by_fact(bought.data, bought.source, bought.id) == bought_by_order(order_of(bought))


def test_the_gap_is_the_mean_between_orders_that_stand() -> None:
    days = (30, 20, 0)
    orders = [order_of(event("purchase-recorded", purchase(days_ago=n))) for n in days]
    cancelled = msgspec.structs.replace(orders[1], cancelled_at=NOW)
    assert fold(orders).gap_days == 15
    assert fold([orders[0], cancelled, orders[2]]).gap_days == 30
    assert fold(orders[:1]).gap_days is None


def test_forecasts_fold_to_the_same_in_any_order() -> None:
    events: list[CustomerAtRisk | RiskLowered] = [at_risk(1), lowered(2), at_risk(3), lowered(4), at_risk(5)]
    results = set()
    for order in permutations(events):
        who = Customer()
        for forecast in order:
            who = assessed(who, forecast)
        results.add(msgspec.json.encode(who))
    assert len(results) == 1
    assert who.risk.band == "at-risk"
    assert who.risk.episode == 5


def test_files_and_consents_fold_to_the_same_in_any_order() -> None:
    common = {"customer_id": "pos:1", "caused_by": CAUSE}
    early, late = {"locale": "en", "verify_by": date(2026, 12, 1)}, {"locale": "zh-TW", "verify_by": date(2027, 3, 1)}
    registered = CustomerRegistered(**common, sequence=1, occurred_at=ago(3), **early)  # type: ignore[arg-type]  # a row of names
    changed = CustomerChanged(**common, sequence=3, occurred_at=ago(1), **late)  # type: ignore[arg-type]  # a row of names
    yes, no = (
        ConsentChanged(**common, sequence=n, occurred_at=ago(2), channel="email", purpose="marketing", granted=n == 2)  # type: ignore[arg-type]  # a row of names
        for n in (2, 4)
    )
    results = set()
    facts: list[CustomerFields | ConsentChanged] = [registered, changed, yes, no]
    for order in permutations(facts):
        who = Customer()
        for fact in order:
            who = consented(who, fact) if isinstance(fact, ConsentChanged) else filed(who, fact)
        results.add(msgspec.json.encode(who))
    assert len(results) == 1
    assert (who.file.locale, who.file.registered_at) == ("zh-TW", ago(3))
    assert who.verify_at(ZoneInfo("Asia/Taipei")) == datetime(2027, 2, 28, 16, tzinfo=UTC)
    assert who.refuses("email", "marketing")
    assert not who.refuses("sms", "marketing")


def test_who_bought_after_the_forecast_is_no_longer_at_risk() -> None:
    who = assessed(Customer(), at_risk(1))
    before, after = (fold([order_of(event("purchase-recorded", purchase(days_ago=days)))]) for days in (10, 8))
    assert msgspec.structs.replace(who, purchases=before).at_risk_since == ago(9)
    assert msgspec.structs.replace(who, purchases=after).at_risk_since is None


def test_of_a_person_only_the_survivor_s_file_wants_to_be_verified_and_none_where_an_id_is_restricted() -> None:
    house, day = ZoneInfo("Asia/Taipei"), File(verify_by=date(2026, 12, 1))
    at = datetime(2026, 11, 30, 16, tzinfo=UTC)
    one, other = Customer(file=day), Customer(file=File(verify_by=date(2026, 11, 1)))
    assert one_person("b", {"a": other, "b": one}).verify_at(house) == at
    assert one_person("b", {"a": one, "b": Customer()}).verify_at(house) is None
    assert one_person("b", {"a": Customer(file=File(restricted=True)), "b": one}).verify_at(house) is None
