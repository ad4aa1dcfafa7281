"""What a run found: as a table with the bars it is held against, and as one JSON object."""

from pydantic import BaseModel
from rich.table import Table

from deploy.bench.report import Bar

EARNING, REDEMPTION = Bar(0.5), Bar(0.4)
BACKTEST_SECONDS, BACKTEST_MB = Bar(180, at_most=True), Bar(400, at_most=True)


class LoyaltyFigures(BaseModel):
    """A whole run."""

    purchases: int
    customers: int
    many_rules_per_second: float
    one_rule_per_second: float
    earning: float
    account_per_second: float
    account_p50_ms: float
    account_p99_ms: float
    empty_per_second: float
    empty_p50_ms: float
    empty_p99_ms: float
    backtest_orders: int
    backtest_seconds: float
    backtest_seconds_per_100k: float
    backtest_peak_mb: float
    backtest_meanwhile_p99_ms: float
    redemptions_hot_per_second: float
    redemptions_spread_per_second: float
    redemption_hot: float
    redemption_spread: float
    bare_hot_per_second: float
    bare_spread_per_second: float
    cores: int
    seconds: float

    def held(self) -> list[tuple[str, float, str, Bar]]:
        """Every figure that has a bar: its name, what was found, how that is shown, the bar."""
        return [
            ("earning with 50 rules, of one", self.earning, f"{self.earning:.2f}", EARNING),
            (
                "backtest, 12 months of 100,000 customers, s",
                self.backtest_seconds_per_100k,
                f"{self.backtest_seconds_per_100k:,.0f}",
                BACKTEST_SECONDS,
            ),
            (
                "the service's memory meanwhile, MB",
                self.backtest_peak_mb,
                f"{self.backtest_peak_mb:,.0f}",
                BACKTEST_MB,
            ),
            ("one customer's redemptions, of bare", self.redemption_hot, f"{self.redemption_hot:.2f}", REDEMPTION),
            ("10,000 customers', of bare", self.redemption_spread, f"{self.redemption_spread:.2f}", REDEMPTION),
        ]

    @property
    def missed(self) -> list[str]:
        """The bars that this run doesn't reach."""
        return [name for name, found, _, bar in self.held() if not bar.met(found)]


def loyalty_table(figures: LoyaltyFigures) -> Table:
    """Every bar, and the figures behind it."""
    f = figures
    behind = [
        f"{f.many_rules_per_second:,.0f} and {f.one_rule_per_second:,.0f} purchases/s, {f.purchases:,} a turn",
        f"{f.customers:,} customers, {f.backtest_orders:,} orders in {f.backtest_seconds:.1f} s",
        f"accounts read meanwhile: p99 {f.backtest_meanwhile_p99_ms:.1f} ms",
        f"{f.redemptions_hot_per_second:,.0f}/s, three transactions each; {f.bare_hot_per_second:,.0f} bare ones",
        f"{f.redemptions_spread_per_second:,.0f}/s, three transactions each; {f.bare_spread_per_second:,.0f} bare ones",
    ]
    table = Table("", "found", "bar", "behind it", title=f"Loyalty, {f.cores} cores")
    for (name, found, shown, bar), more in zip(f.held(), behind, strict=True):
        table.add_row(name, bar.marked(found, shown), str(bar), more)
    table.add_row(
        "an account read, p50 and p99, ms",
        f"{f.account_p50_ms:.1f}, {f.account_p99_ms:.1f}",
        "",
        f"{f.account_per_second:,.0f}/s; an empty route {f.empty_p50_ms:.1f}, {f.empty_p99_ms:.1f},"
        f" {f.empty_per_second:,.0f}/s",
    )
    return table
