"""What a run found: as a table with the bars it is held against, and as one JSON object."""

from pydantic import BaseModel
from rich.table import Table

from deploy.bench.report import Bar

SEGMENTATION, VIEW, IMPORT = Bar(0.7), Bar(0.35), Bar(5_000)
PAIRS_OF_ALL = Bar(0.01, at_most=True)
NIGHT_SECONDS, NIGHT_MB = Bar(120, at_most=True), Bar(1_000, at_most=True)


class ProfileFigures(BaseModel):
    """A whole run."""

    purchases: int
    customers: int
    night_customers: int
    segmented_per_second: float
    unsegmented_per_second: float
    segmentation: float
    view_per_second: float
    view_p99_ms: float
    view_cpu_us: float
    empty_per_second: float
    empty_p99_ms: float
    empty_cpu_us: float
    view: float
    import_per_second: float
    import_received_seconds: float
    import_applied_seconds: float
    duplicates_seconds: float
    duplicates_pairs: int
    duplicates_of_all: float
    duplicates_suggested: int
    night_seconds: float
    night_seconds_per_million: float
    night_peak_mb: float
    night_corrected: int
    cores: int
    seconds: float

    def held(self) -> list[tuple[str, float, str, Bar]]:
        """Every figure that has a bar: its name, what was found, how that is shown, the bar."""
        return [
            ("intake with segments, of without", self.segmentation, f"{self.segmentation:.2f}", SEGMENTATION),
            ("360° view, of an empty route", self.view, f"{self.view:.2f}", VIEW),
            ("import, rows/s", self.import_per_second, f"{self.import_per_second:,.0f}", IMPORT),
            (
                "duplicates, pairs compared of all",
                self.duplicates_of_all,
                f"{self.duplicates_of_all:.2e}",
                PAIRS_OF_ALL,
            ),
            (
                "a million customers' night, s",
                self.night_seconds_per_million,
                f"{self.night_seconds_per_million:,.0f}",
                NIGHT_SECONDS,
            ),
            ("the night's memory, MB", self.night_peak_mb, f"{self.night_peak_mb:,.0f}", NIGHT_MB),
        ]

    @property
    def missed(self) -> list[str]:
        """The bars that this run doesn't reach."""
        return [name for name, found, _, bar in self.held() if not bar.met(found)]


def profile_table(figures: ProfileFigures) -> Table:
    """Every bar, and the figures behind it."""
    f = figures
    behind = [
        f"{f.segmented_per_second:,.0f} and {f.unsegmented_per_second:,.0f} purchases/s, {f.purchases:,} a turn",
        f"{f.view_per_second:,.0f}/s, p99 {f.view_p99_ms:.1f} ms, {f.view_cpu_us:,.0f} µs of CPU;"
        f" {f.empty_per_second:,.0f}/s, p99 {f.empty_p99_ms:.1f} ms, {f.empty_cpu_us:,.0f} µs",
        f"{f.customers:,} rows: {f.import_received_seconds:.1f} s received, {f.import_applied_seconds:.1f} s applied",
        f"{f.duplicates_pairs:,} pairs of {f.customers:,} customers in {f.duplicates_seconds:.1f} s,"
        f" {f.duplicates_suggested:,} suggested",
        f"{f.night_customers:,} customers in {f.night_seconds:.1f} s, {f.night_corrected} corrected",
        "",
    ]
    table = Table("", "found", "bar", "behind it", title=f"Profile, {f.cores} cores")
    for (name, found, shown, bar), more in zip(f.held(), behind, strict=True):
        table.add_row(name, bar.marked(found, shown), str(bar), more)
    return table
