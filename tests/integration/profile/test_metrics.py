"""The key figures against plain Python over the same data, and what must hold of them whatever was bought."""

import csv
import gzip
import math
import random
from collections import defaultdict
from collections.abc import Iterator
from datetime import date, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from deploy.demo.replay import DATA, FirstRun, load, replay
from services.profile.policies.application import in_force
from services.profile.policies.domain import LifecyclePolicy
from services.profile.purchases.domain import Purchases
from services.profile.purchases.lifecycle import stage
from shared.db import execute
from shared.messaging.records import Record
from tests.integration.profile.house import Profile, in_batches, token
from tests.integration.profile.test_counting import count
from tests.kit.builders import NOW, about_order, money, purchase, record, returned

SERVICE = "profile"
TAIPEI = ZoneInfo("Asia/Taipei")
TODAY = NOW.astimezone(TAIPEI).date()
SHOP_CLOSED = NOW - timedelta(days=100)
Days = dict[str, dict[date, int]]
"""Whole TWD by customer and day."""


async def kpi(profile: Profile, name: str, since: date | None = None, until: date | None = None, **query: str) -> Any:
    params = {"from": since, "to": until, **query}
    answer = await profile.client.get(f"/kpis/{name}", params={key: str(day) for key, day in params.items() if day})
    assert answer.status_code == 200, answer.text
    return answer.json()


def ratio(answer: Any) -> tuple[int, int, int]:
    return answer["numerator"], answer["denominator"], answer["count"]


async def test_on_the_sample_every_figure_equals_plain_python(profile: Profile) -> None:
    sold = shifted_sample()
    events = replay(load(), FirstRun(SHOP_CLOSED, TAIPEI))
    for batch in in_batches([Record("purchase-recorded", one.key, one.value) for one in events], 500):
        await profile.take(*batch)
    await count(profile)
    first = min(min(days) for days in sold.values())
    async with profile.service.db.transaction() as tx:
        policy = (await in_force(tx)).lifecycle

    for since, until in [
        (first, TODAY),
        (first + timedelta(60), first + timedelta(90)),
        (TODAY - timedelta(90), TODAY),
    ]:
        earlier = within(sold, since - (until - since), since)
        now = within(sold, since, until)
        assert ratio(await kpi(profile, "retention", since, until)) == (
            len(earlier.keys() & now.keys()), len(earlier), orders(earlier) + orders(now),
        )  # fmt: skip
        assert ratio(await kpi(profile, "repurchase", since, until)) == (
            sum(len(days) > 1 for days in now.values()), len(now), orders(now),
        )  # fmt: skip
        assert_sales(await kpi(profile, "sales", since, until), now)
        assert_cohorts(await kpi(profile, "cohorts", since, until), sold, since, until)
    since = first + timedelta(60)
    assert_churn(await kpi(profile, "churn", since, TODAY), sold, since, TODAY, policy)


def shifted_sample() -> Days:
    """The file's own lines, so that nothing of the demo's reading is taken on trust but the shift of its days."""
    sold: Days = defaultdict(lambda: defaultdict(int))
    with gzip.open(DATA, "rt", encoding="utf-8", newline="") as file:
        rows = [(row["customer"], date.fromisoformat(row["date"]), int(row["price"])) for row in csv.DictReader(file)]
    shift = SHOP_CLOSED.astimezone(TAIPEI).date() - max(day for _, day, _ in rows)
    for customer, day, price in rows:
        sold[customer][day + shift] += price
    return sold


def within(sold: Days, since: date, until: date) -> Days:
    chosen = {who: {day: paid for day, paid in days.items() if since <= day < until} for who, days in sold.items()}
    return {who: days for who, days in chosen.items() if days}


def orders(sold: Days) -> int:
    return sum(len(days) for days in sold.values())


def assert_sales(answer: Any, now: Days) -> None:
    spent = sorted((sum(days.values()) for days in now.values()), reverse=True)
    best = spent[: math.ceil(len(spent) / 5)]
    assert (answer["numerator"], answer["denominator"]) == (f"{sum(spent)}.00", orders(now))
    assert (answer["buyers"], answer["returns_rate"]) == (len(now), 0.0 if now else None)
    assert answer["top"]["buyers"] == len(best)
    assert answer["top"]["net"]["amount"] == f"{sum(best)}.00"
    assert answer["top"]["share"] == (pytest.approx(sum(best) / sum(spent)) if spent else None)


def assert_cohorts(answer: Any, sold: Days, since: date, until: date) -> None:
    expected: dict[date, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    again = 0
    for who, days in within(sold, date.min, until).items():
        if (first := min(days)) >= since:
            later = {12 * (day.year - first.year) + day.month - first.month for day in days}
            again += max(later) > 0
            for months in later:
                expected[first.replace(day=1)][months].add(who)
    assert {row["month"]: {cell["later"]: cell["buyers"] for cell in row["months"]} for row in answer["cohorts"]} == {
        str(month): {n: len(who) for n, who in row.items()} for month, row in expected.items()
    }
    assert ratio(answer)[:2] == (again, sum(len(row[0]) for row in expected.values()))
    spent = sum(paid for days in sold.values() if min(days) >= since for day, paid in days.items() if day < until)
    assert sum(float(cell["net"]["amount"]) for row in answer["cohorts"] for cell in row["months"]) == spent


def assert_churn(answer: Any, sold: Days, since: date, until: date, policy: LifecyclePolicy) -> None:
    """By the stage of the customer file, looked at day by day."""
    weeks: dict[date, list[int]] = defaultdict(lambda: [0, 0, 0])
    opening = closing = churned = 0
    for days in within(sold, date.min, until).values():
        states = list(day_by_day(sorted(days), since, until, policy))
        for (_, before), (day, after) in pairwise(states):
            week = weeks[day - timedelta(days=day.weekday())]
            week[0] += before == "prospect" and after != "prospect"
            week[1] += before == "lost" and after not in ("lost", "prospect")
            week[2] += before != "lost" and after == "lost"
        was, is_ = (state not in ("prospect", "lost") for state in (states[0][1], states[-1][1]))
        opening += was
        closing += is_
        churned += was and not is_
    assert (answer["opening"], answer["closing"], answer["numerator"]) == (opening, closing, churned)
    assert churned > 0
    told = {row["week"]: [row["won"], row["won_back"], row["lost"]] for row in answer["weeks"]}
    assert told == {str(week): moves for week, moves in weeks.items() if any(moves)}


def day_by_day(bought: list[date], since: date, until: date, policy: LifecyclePolicy) -> Iterator[tuple[date, str]]:
    """The stage at the end of the day before ``since`` and of every day after."""
    for n in range((until - since).days + 1):
        today = since + timedelta(days=n - 1)
        known = [day for day in bought if day <= today]
        state = Purchases()
        if known:
            previous = known[-2] if len(known) > 1 else None
            state = Purchases(days=len(known), first_day=known[0], previous_day=previous, last_day=known[-1])
        yield today, stage(state, policy, today)


@pytest.mark.parametrize("seed", range(5))
async def test_who_came_and_who_went_explain_the_difference(profile: Profile, seed: int) -> None:
    dice = random.Random(seed)
    sold: Days = defaultdict(dict)
    records = []
    for customer in (f"pos:{n}" for n in range(12)):
        for _ in range(dice.randrange(1, 9)):
            ago = dice.randrange(0, 900)
            sold[customer][TODAY - timedelta(days=ago)] = 100
            records.append(record("purchase-recorded", purchase(customer, days_ago=ago)))
    await profile.take(*records)
    await count(profile)
    since, until = TODAY - timedelta(days=dice.randrange(200, 700)), TODAY - timedelta(days=dice.randrange(0, 150))
    answer = await kpi(profile, "churn", since, until)
    moves = sum(row["net"] for row in answer["weeks"])
    assert answer["opening"] + moves == answer["closing"]
    async with profile.service.db.transaction() as tx:
        policy = (await in_force(tx)).lifecycle
    told = {row["week"]: [row["won"], row["won_back"], row["lost"]] for row in answer["weeks"]}
    expected: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for days in within(sold, date.min, until).values():
        for (_, before), (day, after) in pairwise(day_by_day(sorted(days), since, until, policy)):
            moved = [before == "prospect" != after, before == "lost" != after, before != "lost" == after]
            for place, happened in enumerate(moved):
                expected[str(day - timedelta(days=day.weekday()))][place] += happened
    assert told == {week: row for week, row in expected.items() if any(row)}


async def test_sales_are_net_of_returns_and_other_currencies_stand_aside(profile: Profile) -> None:
    await profile.take(
        record("purchase-recorded", purchase("pos:1", "a", total="100")),
        record("purchase-recorded", purchase("pos:1", "b", total="60")),
        record("purchase-recorded", purchase("pos:2", "c", total="40", days_ago=1)),
        record("purchase-recorded", purchase("pos:2", "d", total="900", days_ago=2)),
        record("purchase-recorded", purchase("pos:2", "e", total="7", currency="USD")),
        record("purchase-returned", returned("a", amount=money("25"))),
        record("purchase-returned", returned("c", customer_id="pos:2")),
        record("purchase-cancelled", about_order("d", customer_id="pos:2")),
    )
    await count(profile)
    sales = await kpi(profile, "sales")
    assert (sales["numerator"], sales["denominator"], sales["count"], sales["buyers"]) == ("135.00", 2, 3, 1)
    assert (sales["gross"], sales["returned"]) == (money("200.00"), money("65.00"))
    assert (sales["value"], sales["returns_rate"]) == (67.5, 0.325)
    assert sales["unconverted"] == [{"orders": 1, "net": money("7.00", "USD")}]
    assert sales["as_of"] == NOW.isoformat().replace("+00:00", "Z")


async def test_ids_of_one_person_count_once_and_an_owner_sees_his_own(profile: Profile) -> None:
    for customer, days in (("pos:1", 1), ("web:1", 2), ("pos:2", 3)):
        await profile.take(record("purchase-recorded", purchase(customer, days_ago=days)))
    await profile.client.patch("/customers/pos:1", json={"owner": "staff:7"}, headers={"If-Match": "*"})
    async with profile.service.db.transaction() as tx:
        await execute(tx, "INSERT INTO survivors (customer_id, survivor_id) VALUES ('web:1', 'pos:1')")
    await count(profile)
    assert ratio(await kpi(profile, "repurchase")) == (1, 2, 3)
    assert ratio(await kpi(profile, "repurchase", owner="staff:7")) == (1, 1, 2)
    assert ratio(await kpi(profile, "cohorts", owner="nobody")) == (0, 0, 0)
    assert (await kpi(profile, "sales", owner="nobody"))["value"] is None


async def test_a_segment_is_who_stands_in_it_now(profile: Profile) -> None:
    for customer in ("pos:1", "web:1", "pos:2"):
        await profile.take(record("purchase-recorded", purchase(customer)))
    vip = {"name": "vip", "rule": {"fact": "tags", "op": "contains", "value": "vip"}}
    assert (await profile.client.post("/segments", json=vip)).status_code == 201
    placed = """
        INSERT INTO placements (customer_id, segment, class, since, rule_version, inputs)
        VALUES ('pos:1', 'lifecycle', 'mature', now(), 1, '{}'), ('web:1', 'lifecycle', 'new', now(), 1, '{}'),
               ('pos:1', 'vip', 'in', now(), 1, '{}'), ('pos:2', 'vip', 'out', now(), 1, '{}')
    """
    async with profile.service.db.transaction() as tx:
        await execute(tx, placed)
    await count(profile)
    assert (await kpi(profile, "sales", segment="lifecycle:new"))["orders"] == 1
    assert (await kpi(profile, "sales", segment="vip"))["orders"] == 1
    assert (await kpi(profile, "sales", segment="lifecycle"))["orders"] == 0
    assert (await kpi(profile, "churn", segment="vip", owner="staff:7"))["count"] == 0


async def test_history_that_is_loaded_counts_as_what_it_was(profile: Profile) -> None:
    await profile.take(record("purchase-recorded", purchase(days_ago=40), backfill=True))
    await count(profile)
    assert (await kpi(profile, "sales"))["orders"] == 1


async def test_a_period_ends_tomorrow_and_is_not_empty(profile: Profile) -> None:
    answer = await kpi(profile, "sales", until=TODAY + timedelta(days=400))
    assert answer["period"] == {"from": str(TODAY - timedelta(days=89)), "to": str(TODAY + timedelta(days=1))}
    for query in ("from=2026-11-20&to=2026-11-20", "from=2026-12-20", "from=0001-01-01", "to=x"):
        assert (await profile.client.get(f"/kpis/sales?{query}")).status_code == 422


async def test_figures_are_for_staff(profile: Profile) -> None:
    own = token("profile:read", "pos:1")
    assert (await profile.client.get("/kpis/churn", headers=own)).status_code == 403
