"""What profile says of the sample's shop and of each of its customers, and what pandas makes of the file itself."""

from datetime import timedelta
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest

from deploy.demo.replay import DATA, FirstRun, load, replay
from shared.messaging.records import Record
from tests.integration.profile.house import Profile, in_batches
from tests.integration.profile.test_counting import count
from tests.integration.profile.test_metrics import TAIPEI, TODAY, kpi, ratio
from tests.integration.profile.test_segments import placing
from tests.kit.builders import NOW

SERVICE = "profile"
SHOP_CLOSED = NOW - timedelta(days=45)
RECENCY_DAYS, ORDERS, SPEND = [30, 60, 120, 240], [2, 4, 8, 16], [1500, 5000, 15000, 50000]
"""The first cut-points of rfm, which no route tells."""
DAY = pd.Timedelta(days=1)


async def test_on_the_sample_all_figures_and_every_customer_equal_pandas(profile: Profile) -> None:
    events = replay(load(), FirstRun(SHOP_CLOSED, TAIPEI))
    for batch in in_batches([Record("purchase-recorded", one.key, one.value) for one in events], 500):
        await profile.take(*batch)
    await count(profile)
    orders = orders_of_the_file()
    lifecycle = await policy(profile, "lifecycle")
    first, today = orders["day"].min(), pd.Timestamp(TODAY)
    for since, until in [(first, today), (first + 60 * DAY, first + 90 * DAY), (today - 90 * DAY, today)]:
        await assert_figures(profile, orders, since, until)
    await assert_churn(profile, orders, first + 60 * DAY, today, lifecycle)
    await assert_customers(profile, orders, today, lifecycle)


def orders_of_the_file() -> pd.DataFrame:
    """A row a customer and day: what was paid, in whole TWD, and which of his purchase days it is."""
    lines = pd.read_csv(DATA, usecols=["date", "customer", "price"], dtype={"customer": str}, parse_dates=["date"])
    shift = pd.Timestamp(SHOP_CLOSED.astimezone(TAIPEI).date()) - lines["date"].max()
    lines["day"], lines["customer"] = lines["date"] + shift, "tafeng:" + lines["customer"]
    orders = lines.groupby(["customer", "day"], as_index=False)["price"].sum().sort_values(["customer", "day"])
    mine = orders.groupby("customer")["day"]
    orders["nth"], orders["first"], orders["previous"] = mine.cumcount() + 1, mine.transform("min"), mine.shift()
    return orders


async def assert_figures(profile: Profile, orders: pd.DataFrame, since: pd.Timestamp, until: pd.Timestamp) -> None:
    period = since.date(), until.date()
    now = orders[orders["day"].between(since, until, inclusive="left")]
    before = orders[orders["day"].between(since - (until - since), since, inclusive="left")]
    by_customer = now.groupby("customer")["price"].agg(["size", "sum"])
    stayed = before["customer"].drop_duplicates().isin(now["customer"])
    assert ratio(await kpi(profile, "retention", *period)) == (stayed.sum(), len(stayed), len(before) + len(now))
    repeated = by_customer["size"] > 1
    assert ratio(await kpi(profile, "repurchase", *period)) == (repeated.sum(), len(repeated), len(now))

    sales = await kpi(profile, "sales", *period)
    spent = by_customer["sum"].sort_values(ascending=False)
    best = spent.head(-(-len(spent) // 5))
    assert (sales["numerator"], sales["denominator"]) == (f"{spent.sum()}.00", len(now))
    assert (sales["buyers"], sales["top"]["buyers"]) == (len(spent), len(best))
    assert sales["top"]["net"]["amount"] == f"{best.sum()}.00"
    assert sales["top"]["share"] == pytest.approx(best.sum() / spent.sum())

    cohorts = await kpi(profile, "cohorts", *period)
    won = orders[(orders["first"] >= since) & (orders["day"] < until)]
    month, started = won["day"].dt.to_period("M"), won["first"].dt.to_period("M")
    later = (month.dt.year - started.dt.year) * 12 + month.dt.month - started.dt.month
    table = won.assign(month=won["first"].dt.strftime("%Y-%m-01"), later=later).groupby(["month", "later"])
    told = {
        (row["month"], cell["later"]): (cell["buyers"], cell["net"]["amount"])
        for row in cohorts["cohorts"] for cell in row["months"]
    }  # fmt: skip
    expected = table.agg(buyers=("customer", "nunique"), net=("price", "sum"))
    assert told == {place: (buyers, f"{net}.00") for place, buyers, net in expected.itertuples()}


def stages(known: pd.DataFrame, policy: dict[str, int]) -> pd.Series:
    """The stage of life on ``today``, of rows that tell the last purchase day until then, and those before it."""
    first, last, previous = known["first"], known["day"], known["previous"]
    idle, tenure = (known["today"] - last) / DAY, (known["today"] - first) / DAY

    def limit(end: pd.Series, nth: pd.Series, name: str) -> pd.Series:
        rhythm = np.ceil(policy[f"{name}_gaps"] * ((end - first) / DAY) / (nth - 1).clip(lower=1))
        own = rhythm.clip(lower=policy[f"shortest_{name}_days"])
        return own.where(nth >= policy["rhythm_purchase_days"], policy[f"{name}_days"])

    woken = (last - previous) / DAY >= limit(previous, known["nth"] - 1, "dormant")
    of_age = (tenure >= policy["mature_days"]) & (known["nth"] >= policy["mature_purchase_days"])
    chosen = np.select(
        [
            last.isna(), idle >= limit(last, known["nth"], "lost"), idle >= limit(last, known["nth"], "dormant"),
            woken & (idle < policy["returned_days"]), tenure < policy["new_days"], of_age,
        ],
        ["prospect", "lost", "dormant", "returned", "new", "mature"],
        "active",
    )  # fmt: skip
    return pd.Series(chosen, known.index)


async def assert_churn(
    profile: Profile, orders: pd.DataFrame, since: pd.Timestamp, until: pd.Timestamp, policy: dict[str, int]
) -> None:
    """By the stage at the end of each day, of everybody."""
    days = pd.date_range(since - DAY, until - DAY, name="today")
    customers = orders["customer"].drop_duplicates()
    grid = pd.merge(days.to_frame(index=False), customers, how="cross")
    known = pd.merge_asof(
        grid, orders.sort_values("day"), left_on="today", right_on="day", by="customer", direction="backward"
    )
    table = known.assign(stage=stages(known, policy)).pivot(index="customer", columns="today", values="stage")
    was, now = table.iloc[:, :-1].to_numpy(), table.iloc[:, 1:].to_numpy()
    moves = pd.DataFrame(
        {
            "won": ((was == "prospect") & (now != "prospect")).sum(axis=0),
            "won_back": ((was == "lost") & ~np.isin(now, ["lost", "prospect"])).sum(axis=0),
            "lost": ((was != "lost") & (now == "lost")).sum(axis=0),
        },
        index=days[1:],
    )
    weeks = moves.groupby(moves.index.to_period("W").start_time).sum()
    weeks = weeks[weeks.any(axis=1)]
    gone = ["prospect", "lost"]
    opening, closing = ~table.iloc[:, 0].isin(gone), ~table.iloc[:, -1].isin(gone)
    churned = (opening & ~closing).sum()
    answer = await kpi(profile, "churn", since.date(), until.date())
    assert churned > 0
    assert (answer["opening"], answer["closing"], answer["numerator"]) == (opening.sum(), closing.sum(), churned)
    assert {row["week"]: (row["won"], row["won_back"], row["lost"]) for row in answer["weeks"]} == {
        str(week.date()): tuple(row) for week, *row in weeks.itertuples()
    }


async def assert_customers(
    profile: Profile, orders: pd.DataFrame, today: pd.Timestamp, lifecycle: dict[str, int]
) -> None:
    """Each one's worth, scores, stage and class: as listed, and as placed."""
    last = orders.groupby("customer").tail(1).set_index("customer").assign(today=today)
    sums = orders.groupby("customer")["price"].agg(orders="size", spend="sum")
    idle = (today - last["day"]) / DAY
    expected = pd.DataFrame(
        {
            "orders": sums["orders"],
            "spend": sums["spend"],
            "r": 5 - np.searchsorted(RECENCY_DAYS, idle, side="left"),
            "f": 1 + np.searchsorted(ORDERS, sums["orders"], side="right"),
            "m": 1 + np.searchsorted(SPEND, sums["spend"], side="right"),
            "lifecycle": stages(last, lifecycle),
            "value": classes(last, sums, await policy(profile, "value")),
        }
    )
    assert expected["lifecycle"].nunique() > 3
    assert expected["value"].nunique() == 4
    listed = pd.DataFrame(
        {
            "customer": row["customer_id"], "orders": row["value"]["order_count"],
            "spend": int(row["value"]["lifetime_spend"]["amount"].removesuffix(".00")),
            **{score: row["value"]["rfm"][score] for score in "rfm"}, "lifecycle": row["lifecycle"],
        }
        for row in await everything(profile.client, "/customers")
    ).set_index("customer")  # fmt: skip
    pd.testing.assert_frame_equal(listed, expected[listed.columns].astype(listed.dtypes), check_names=False)

    work = placing(profile)
    await work.run()
    profile.clock.set(profile.clock.now() + timedelta(minutes=1))
    while await work.run():
        pass
    scores = expected[["r", "f", "m"]].astype(str)
    placed = expected.assign(rfm=scores["r"].str.cat([scores["f"], scores["m"]], sep="-"))
    for segment in ("lifecycle", "value", "rfm"):
        for place, members in placed.groupby(segment):
            found = await everything(profile.client, f"/segments/{segment}/members", **{"class": str(place)})
            assert [one["customer_id"] for one in found] == sorted(members.index), f"{segment} {place}"


def classes(last: pd.DataFrame, sums: pd.DataFrame, policy: dict[str, Any]) -> pd.Series:
    """Contribution and stability. Compared as whole numbers: a volume that is just reached is reached."""
    span = ((last["day"] - last["first"]) / DAY).astype(int)
    reached = sum(
        (sums["spend"] * volume >= policy[name]["TWD"] * over).astype(int)
        for name, volume, over in [
            ("monthly", 30, span.clip(lower=30)), ("quarterly", 90, span.clip(lower=90)), ("order", 1, sums["orders"])
        ]
    )  # fmt: skip
    high = reached >= policy["volumes_reached"]
    gaps = policy["stable_gap_days"] * (last["nth"] - 1)
    stable = (last["nth"] >= policy["stable_purchase_days"]) & (span <= gaps)
    return pd.Series(np.select([high & stable, high, stable], ["EI", "EII", "EIII"], "EIV"), last.index)


async def policy(profile: Profile, name: str) -> dict[str, Any]:
    answer = await profile.client.get(f"/policies/{name}")
    found: dict[str, Any] = answer.json()["versions"][0]["numbers"]
    return found


async def everything(client: httpx.AsyncClient, path: str, **query: str) -> list[dict[str, Any]]:
    """A list, page by page."""
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        answer = await client.get(path, params={"limit": "200", **query, **cursor})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found += page["items"]
        if not page["next_cursor"]:
            return found
        cursor = {"cursor": page["next_cursor"]}
