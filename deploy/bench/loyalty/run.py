"""``./roost bench loyalty``: what loyalty costs, each figure a ratio, beside another one, or held against a bar."""

import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.console import Console

from deploy.bench.loyalty import backtest, earning, reading, redemption
from deploy.bench.loyalty.report import LoyaltyFigures, loyalty_table
from deploy.bench.profile.run import Bars, Show
from deploy.bench.purchases import purchases
from deploy.bench.stage import Stage
from deploy.up import run
from shared.observability import configure_logging


@dataclass(frozen=True, slots=True)
class Size:
    """How much of everything."""

    purchases: int = 20_000
    customers: int = 100_000
    redemptions: int = 10_000
    requests: int = 3_000
    turns: int = 3


QUICK = Size(purchases=1_500, customers=200, redemptions=200, requests=100, turns=1)


def run_loyalty(size: Size, *, json: bool) -> None:
    """Measures; prints a table, or with ``json`` one JSON object as the last line of stdout. Progress on stderr."""
    configure_logging(json=False, level="WARNING")

    async def main() -> None:
        with Bars() as bars:
            figures = await measured(size, bars.show)
        if json:
            print(figures.model_dump_json(), flush=True)
            return
        out = Console()
        out.print(loyalty_table(figures))
        out.print(f"{figures.seconds:.0f} s; missed: {', '.join(figures.missed) or 'none'}", highlight=False)

    run(main())


async def measured(size: Size, show: Show) -> LoyaltyFigures:
    """All figures of a run. Raises AssertionError or ProcessFailed where the work itself isn't right."""
    began = time.monotonic()
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    made = list(purchases(size.purchases, midnight))
    async with Stage.built("tansu", ["loyalty"]) as stage:
        earned = await earning.measure(stage, made, size.turns, lambda done, of: show("rules", done, of))
        account, empty = await reading.measure(
            stage, made[:16_000], size.requests, lambda done, of: show("accounts", done, of)
        )
        tested = await backtest.measure(stage, size.customers, midnight, lambda done, of: show("backtest", done, of))
        async with stage.database("loyalty") as database:
            redeemed = await redemption.measure(
                stage, database, size.redemptions, size.turns, lambda done, of: show("redemptions", done, of)
            )
    return LoyaltyFigures(
        purchases=size.purchases,
        customers=tested.customers,
        many_rules_per_second=round(earned.many_per_second, 1),
        one_rule_per_second=round(earned.one_per_second, 1),
        earning=round(earned.ratio, 3),
        account_per_second=round(account.per_second, 1),
        account_p50_ms=round(account.p50_ms, 2),
        account_p99_ms=round(account.p99_ms, 2),
        empty_per_second=round(empty.per_second, 1),
        empty_p50_ms=round(empty.p50_ms, 2),
        empty_p99_ms=round(empty.p99_ms, 2),
        backtest_orders=tested.orders,
        backtest_seconds=round(tested.seconds, 2),
        backtest_seconds_per_100k=round(tested.seconds_per_100k, 1),
        backtest_peak_mb=round(tested.peak_mb, 1),
        backtest_meanwhile_p99_ms=round(tested.meanwhile_p99_ms, 2),
        redemptions_hot_per_second=round(redeemed.hot_per_second, 1),
        redemptions_spread_per_second=round(redeemed.spread_per_second, 1),
        redemption_hot=round(redemption.STEPS * redeemed.hot_per_second / redeemed.bare_hot_per_second, 3),
        redemption_spread=round(redemption.STEPS * redeemed.spread_per_second / redeemed.bare_spread_per_second, 3),
        bare_hot_per_second=round(redeemed.bare_hot_per_second, 1),
        bare_spread_per_second=round(redeemed.bare_spread_per_second, 1),
        cores=os.cpu_count() or 1,
        seconds=round(time.monotonic() - began, 1),
    )
