"""Rules and classes without a database: what they say of a day, and the exact day on which they say otherwise."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.profile.policies.domain import (
    ClassPolicy,
    ConsentPolicy,
    LifecyclePolicy,
    Policies,
    RfmCutPoints,
    ValuePolicy,
)
from services.profile.purchases.domain import House, Purchases
from services.profile.segments.domain import (
    BUILT_IN,
    IN,
    OUT,
    Segment,
    class_on,
    inputs_on,
    labels,
    next_change,
    of_label,
    place,
    start_of,
)
from services.profile.segments.facts import FACTS, Book, Bought, Known, facts_on
from services.profile.segments.rules import MAX_DEPTH, InvalidRule, read_rule
from services.profile.segments.value import Sign

DAY = date(2026, 11, 20)
BOOK = Book(
    Policies(
        rfm=RfmCutPoints((30, 60, 120, 240), (2, 4, 8, 16), {"*": (50, 150, 500, 1500)}, 1),
        lifecycle=LifecyclePolicy(90, 180, 6, 90, 365, 90, 5, 3, 6, 30, 90, 1),
        consent=ConsentPolicy(("service",), 1),
        value=ValuePolicy(
            {"*": 50}, {"*": 150}, {"*": 40}, 2, 4, 60, {"*": 50},
            {"inquiry": 3, "add-to-cart": 2, "content-read": 1}, 30, 3, 1,
        ),
        classes=ClassPolicy(3, 2, 2, 1),
    ),
    House("TWD", "Asia/Taipei"),
)  # fmt: skip


@st.composite
def purchases(draw: st.DrawFn) -> Purchases:
    gaps = draw(st.lists(st.integers(1, 200), max_size=9))
    ago = draw(st.integers(-3, 500))
    days = [DAY - timedelta(ago)]
    for gap in gaps:
        days.insert(0, days[0] - timedelta(gap))
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return Purchases(
        orders=len(days) + draw(st.integers(0, 3)), spend=draw(st.integers(0, 10**7)), days=len(days),
        first_day=days[0], previous_day=days[-2] if len(days) > 1 else None, last_day=days[-1], first_at=at, last_at=at,
    )  # fmt: skip


signs = st.lists(
    st.builds(
        Sign,
        st.integers(-3, 60).map(lambda ago: DAY - timedelta(ago)),
        st.sampled_from(["inquiry", "add-to-cart", "content-read", "visit"]),
        st.sampled_from([0, 400_000]),
    ),
    max_size=6,
)
orders = st.lists(
    st.builds(
        Bought,
        st.integers(-3, 400).map(lambda ago: DAY - timedelta(ago)),
        st.sampled_from(["web", "store"]),
        st.sampled_from([None, 0, 90_000]),
        st.just(("a",)),
        st.sampled_from([(), ("tea",), ("coffee", "tea")]),
    ),
    max_size=5,
)
people = st.builds(
    Known,
    customer_id=st.just("a"),
    tags=st.lists(st.sampled_from(["tea", "vip"]), max_size=2).map(tuple),
    locale=st.sampled_from([None, "en", "zh-TW"]),
    points=st.integers(0, 100),
    attributes=st.sampled_from([{}, *({"expected_monthly_spend": said} for said in ("99", "nonsense", "NaN"))]),
    orders=orders.map(tuple),
    purchases=st.one_of(st.just(Purchases()), purchases()),
    signs=signs.map(tuple),
    complaints=st.integers(0, 3),
    feedback_day=st.one_of(st.none(), st.integers(-3, 200).map(lambda ago: DAY - timedelta(ago))),
    contacted=st.lists(st.integers(-3, 200).map(lambda ago: DAY - timedelta(ago)), max_size=6).map(tuple),
    contact_planned=st.sampled_from([None, "win-back", "service"]),
)


def condition(fact: str, op: str, value: Any) -> dict[str, Any]:
    return {"fact": fact, "op": op, "value": value}


conditions = st.one_of(
    st.builds(
        condition,
        st.sampled_from(
            [
                "days_since_last_purchase",
                "days_since_first_purchase",
                "days_since_last_contact",
                "days_since_last_feedback",
                "order_count",
                "rfm_r",
                "points",
                "complaints",
            ]
        ),
        st.sampled_from(["=", "!=", "<", "<=", ">", ">="]),
        st.one_of(st.integers(-2, 300), st.floats(0, 300)),
    ),
    st.builds(condition, st.just("days_since_last_purchase"), st.just("in"), st.lists(st.integers(0, 60), min_size=1)),
    st.builds(condition, st.just("contacts_sent_90_days"), st.sampled_from(["=", "<", ">="]), st.integers(0, 4)),
    st.builds(condition, st.just("contact_planned"), st.just("="), st.just("win-back")),
    st.builds(
        condition,
        st.sampled_from(["orders_30_days", "orders_365_days", "spend_90_days", "average_order"]),
        st.sampled_from(["=", "<", ">="]),
        st.sampled_from([0, 1, 2, 900, 1800]),
    ),
    st.builds(
        condition, st.sampled_from(["categories", "categories_90_days"]), st.just("contains"), st.just("tea")
    ),
    st.builds(condition, st.just("lifecycle"), st.just("="), st.sampled_from(["new", "active", "dormant", "lost"])),
    st.builds(condition, st.just("value"), st.just("in"), st.just(["PI", "PII", "EI"])),
    st.builds(condition, st.just("tags"), st.just("contains"), st.just("tea")),
    st.builds(condition, st.sampled_from(["locale", "rfm_m"]), st.just("known"), st.booleans()),
)
trees = st.recursive(
    conditions,
    lambda inner: st.one_of(
        st.builds(lambda parts: {"all": parts}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda parts: {"any": parts}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda part: {"not": part}, inner),
    ),
    max_leaves=6,
)
segments = st.one_of(
    st.sampled_from([Segment(name, 1) for name in BUILT_IN]),
    trees.map(lambda tree: Segment("own", 1, read_rule(tree))),
)


@given(people, segments)
def test_a_class_stays_until_the_day_it_was_said_to_change_and_changes_on_it(known: Known, segment: Segment) -> None:
    now = class_on(known, segment, BOOK, DAY)
    turns = next_change(known, segment, BOOK, DAY)
    horizon = turns or DAY + timedelta(2000)
    # Every day of the nearest year and a half, and the last one before the change.
    days = {DAY + timedelta(n) for n in range(1, 550)} | {horizon - timedelta(1)}
    assert {class_on(known, segment, BOOK, day) for day in days if DAY < day < horizon} <= {now}
    if turns:
        assert class_on(known, segment, BOOK, turns) != now


@given(people, segments)
def test_placing_again_changes_nothing_before_the_instant_and_moves_at_it(known: Known, segment: Segment) -> None:
    at = start_of(DAY, BOOK.house)
    placed, _ = place("a", known, segment, None, BOOK, at, "event")
    if placed is None:
        assert class_on(known, segment, BOOK, DAY) in (None, OUT)
        return
    again, move = place("a", known, segment, placed, BOOK, at + timedelta(hours=23), "event")
    assert (again, move) == (placed, None)
    if placed.next_at:
        still, move = place("a", known, segment, placed, BOOK, placed.next_at - timedelta(microseconds=1), "time")
        assert (still, move) == (placed, None)
        _, move = place("a", known, segment, placed, BOOK, placed.next_at, "time")
        assert move is not None
        assert (move.before, move.at) == (placed.place, placed.next_at)


@given(people, trees)
def test_logic_of_trees_is_that_of_their_parts(known: Known, tree: dict[str, Any]) -> None:
    rule = read_rule(tree)
    facts = facts_on(known, frozenset(FACTS), BOOK, DAY)
    holds = rule.holds(facts)
    assert rule.holds({name: facts[name] for name in rule.reads}) is holds
    assert read_rule({"not": tree}).holds(facts) is not holds
    assert read_rule({"all": [tree, tree]}).holds(facts) is holds
    assert read_rule({"any": [tree, {"not": tree}]}).holds(facts) is True
    assert read_rule({"all": [tree, {"not": tree}]}).holds(facts) is False


@pytest.mark.parametrize("zone", ["Asia/Taipei", "Europe/Berlin", "America/Santiago", "Africa/Cairo", "UTC"])
@given(st.dates(date(2000, 1, 1), date(2035, 1, 1)))
def test_a_day_begins_at_its_first_instant_whatever_the_clocks_do(zone: str, day: date) -> None:
    house = House("TWD", zone)
    start = start_of(day, house)
    assert house.day(start) == day
    assert house.day(start - timedelta(microseconds=1)) < day


def test_of_what_isnt_known_nothing_holds_but_that_it_isnt_known() -> None:
    nobody = Known("a")
    facts = facts_on(nobody, frozenset(FACTS), BOOK, DAY)
    for op in ("=", "!="):
        assert not read_rule(condition("locale", op, "en")).holds(facts)
    assert not read_rule(condition("days_since_last_purchase", ">", 5)).holds(facts)
    assert read_rule(condition("tags", "known", False)).holds(facts)
    assert read_rule(condition("points", "known", True)).holds(facts)


def test_money_is_compared_as_it_is_written() -> None:
    known = Known("a", purchases=Purchases(orders=1, spend=1210))
    facts = facts_on(known, frozenset({"lifetime_spend"}), BOOK, DAY)
    assert read_rule(condition("lifetime_spend", "=", 12.1)).holds(facts)
    assert not read_rule(condition("lifetime_spend", ">", 12.1)).holds(facts)
    assert inputs_on(known, Segment("own", 1, read_rule(condition("lifetime_spend", "=", 12.1))), BOOK, DAY) == {
        "lifetime_spend": "12.10"
    }


@pytest.mark.parametrize(
    ("fact", "op", "value"),
    [("orders_30_days", ">", 0), ("spend_90_days", ">", 0), ("skus_90_days", "contains", "tea-1"),
     ("categories_90_days", "contains", "tea")],
)  # fmt: skip
def test_an_order_of_tomorrow_is_of_the_days_up_to_today_only_tomorrow(fact: str, op: str, value: Any) -> None:
    tomorrow = DAY + timedelta(1)
    known = Known("a", orders=(Bought(tomorrow, "web", 100, ("tea-1",), ("tea",)),))
    rule = read_rule(condition(fact, op, value))
    assert not rule.holds(facts_on(known, rule.reads, BOOK, DAY))
    assert rule.holds(facts_on(known, rule.reads, BOOK, tomorrow))
    assert next_change(known, Segment("soon", 1, rule), BOOK, DAY) == tomorrow


def test_a_rule_too_deep_or_too_large_is_refused_where_it_becomes_so() -> None:
    deep: dict[str, Any] = condition("points", ">", 1)
    for _ in range(MAX_DEPTH):
        deep = {"not": deep}
    with pytest.raises(InvalidRule) as refused:
        read_rule(deep)
    assert refused.value.pointer == "/not" * MAX_DEPTH
    with pytest.raises(InvalidRule, match="200 nodes"):
        read_rule({"any": [condition("points", ">", 1)] * 200})


@pytest.mark.parametrize(
    ("spend", "orders", "gaps", "expected"),
    [
        (3_000_000, 5, [20, 20, 20, 20], "EI"),
        (3_000_000, 2, [20], "EII"),
        (10_000, 5, [20, 20, 20, 20], "EIII"),
        (3_000, 1, [], "EIV"),
        (3_000_000, 4, [10, 10, 161], "EII"),
    ],
)
def test_customers_are_classed_by_contribution_and_stability(
    spend: int, orders: int, gaps: list[int], expected: str
) -> None:
    first = DAY - timedelta(sum(gaps))
    bought = Purchases(orders=orders, spend=spend, days=len(gaps) + 1, first_day=first, last_day=DAY)
    assert class_on(Known("a", purchases=bought), Segment("value", 1), BOOK, DAY) == expected


@pytest.mark.parametrize(
    ("expected_monthly", "kinds", "cart", "expected"),
    [
        ("80", ["inquiry"], 0, "PI"),
        (None, ["add-to-cart", "content-read"], 6000, "PI"),
        ("80", ["content-read"], 0, "PII"),
        ("10", ["add-to-cart", "content-read"], 0, "PIII"),
        ("much", [], 0, "PIV"),
    ],
)
def test_prospects_are_classed_by_what_they_may_bring_and_how_much_they_mean_it(
    expected_monthly: str | None, kinds: list[str], cart: int, expected: str
) -> None:
    said = {"expected_monthly_spend": expected_monthly}
    known = Known("a", attributes=said, signs=tuple(Sign(DAY, kind, cart) for kind in kinds))
    assert class_on(known, Segment("value", 1), BOOK, DAY) == expected


@pytest.mark.parametrize(
    ("said", "place"),
    [("50", "PII"), ("50.125", "PII"), ("49.99", "PIV"), ("1e9999999", "PIV"), ("-1e9999999", "PIV"), ("NaN", "PIV"),
     ("9" * 400, "PIV"), ("a lot", "PIV"), ("", "PIV")],
)  # fmt: skip
def test_what_a_prospect_is_expected_to_spend_may_be_any_text(said: str, place: str) -> None:
    assert class_on(Known("a", attributes={"expected_monthly_spend": said}), Segment("value", 1), BOOK, DAY) == place


@pytest.mark.parametrize(
    ("value", "op", "against", "holds"),
    [
        ("gold", "=", "gold", True), ("gold", "in", ["silver", "gold"], True), ("gold", "=", 7, False),
        (42, ">=", 42, True), (42, ">", 41.5, True), ("12.50", "=", 12.5, True), ("12.5x", "<", 100, False),
        ("NaN", "<", 100, False), (True, "=", True, True), (True, "=", 1, False), (1, "=", True, False),
        ("2026-03-01", "<", "2026-04-01", True), (None, "!=", "gold", False), ("gold", "!=", "silver", True),
        (None, "known", False, True), ("", "known", True, True), ("1000", ">=", 1000, True), ("-2.5", "<", 0, True),
        ("1_000", ">=", 1000, False), ("１０００", ">=", 1000, False), (" 1000 ", ">=", 1000, False),
        ("1000\n", ">=", 1000, False), ("1e3", ">=", 1000, False), (1e-7, "<", 1, True),
    ],
)  # fmt: skip
def test_an_attribute_is_held_against_values_of_its_own_type_alone(
    value: Any, op: str, against: Any, holds: bool
) -> None:
    rule = read_rule(condition("attributes.card", op, against))
    known = Known("a", attributes={} if value is None else {"card": value})
    assert rule.holds(facts_on(known, rule.reads, BOOK, DAY)) is holds


@pytest.mark.parametrize(
    ("declared", "op", "against", "pointer"),
    [
        ("integer", "=", "7", "/all/0/value"), ("boolean", "=", 1, "/all/0/value"), ("date", ">", 7, "/all/0/value"),
        ("string", "<", "m", "/all/0/op"), (None, ">", True, "/all/0/op"), (None, "in", [1, "a"], "/all/0/value"),
        (None, "=", None, "/all/0/value"), (None, "=", ["a"], "/all/0/value"),
    ],
)  # fmt: skip
def test_what_an_attribute_cant_be_is_refused_at_its_place(declared: Any, op: str, against: Any, pointer: str) -> None:
    with pytest.raises(InvalidRule) as refused:
        read_rule({"all": [condition("attributes.card", op, against)]}, {"card": declared} if declared else {})
    assert refused.value.pointer == pointer


def test_a_word_for_where_somebody_stands_is_read_back() -> None:
    words = labels([("lifecycle", "new"), ("tea", IN), ("coffee", OUT), ("rfm", "5-1-1")])
    assert words == ["tea", "lifecycle:new", "rfm:5-1-1"]
    assert [of_label(word) for word in words] == [("tea", IN), ("lifecycle", "new"), ("rfm", "5-1-1")]
