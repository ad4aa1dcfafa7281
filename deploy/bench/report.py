"""What a run found: as a table with the bars it is held against, and as one JSON object."""

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel
from rich.table import Table

from deploy.bench.single import Single


@dataclass(frozen=True, slots=True)
class Bar:
    """What a figure is held against: at least so much, or with ``at_most`` no more."""

    limit: float
    at_most: bool = False

    def met(self, found: float) -> bool:
        """Whether the figure reaches it."""
        return found <= self.limit if self.at_most else found >= self.limit

    def marked(self, found: float, shown: str) -> str:
        """The figure as a table shows it."""
        return f"[green]{shown}[/]" if self.met(found) else f"[bold red]{shown} ✗[/]"

    def __str__(self) -> str:
        return f"{'≤' if self.at_most else '≥'} {self.limit:,g}"


VS_BATCH_OF_ONE, VS_FLOOR = Bar(15), Bar(0.3)
ALL_TOGETHER, ALL_IN_ONE = Bar(1_500), Bar(1_000)
MEMORY_MB, LATENCY_P99_MS = Bar(400, at_most=True), Bar(200, at_most=True)


class ServiceFigures(BaseModel):
    """One service by itself, in purchases a second, and what that is of its two measures."""

    events_per_second: float
    batch_of_one_per_second: float
    floor_per_second: float
    copy_per_second: float
    vs_batch_of_one: float
    vs_floor: float
    vs_copy: float
    cpu_us_per_event: float
    rows_per_event: float

    @classmethod
    def of(cls, single: Single) -> "ServiceFigures":
        return cls(
            events_per_second=round(single.events_per_second, 1),
            batch_of_one_per_second=round(single.batch_of_one_per_second, 1),
            floor_per_second=round(single.floor_per_second, 1),
            copy_per_second=round(single.copy_per_second, 1),
            vs_batch_of_one=round(single.vs_batch_of_one, 2),
            vs_floor=round(single.vs_floor, 3),
            vs_copy=round(single.vs_copy, 3),
            cpu_us_per_event=round(single.cpu_us_per_event, 1),
            rows_per_event=round(single.rows_per_event, 2),
        )


class Figures(BaseModel):
    """A whole run. Memory is of the Python processes alone: ``max_rss_mb`` the larger of the two that follow it.

    Resident memory, a page that processes share counted once.
    """

    events: int
    broker: Literal["tansu", "kafka"]
    services: dict[str, ServiceFigures]
    all_together_per_second: float
    all_in_one_per_second: float
    max_rss_mb: float
    processes_rss_mb: float
    in_one_rss_mb: float
    latency_p50_ms: float
    latency_p99_ms: float
    cores: int
    seconds: float

    def held(self) -> list[tuple[str, float, Bar]]:
        """Every figure that has a bar: its name, what was found, the bar."""
        return [
            *(
                (f"{name}, times its batch of one", f.vs_batch_of_one, VS_BATCH_OF_ONE)
                for name, f in self.services.items()
            ),
            *((f"{name}, of its floor", f.vs_floor, VS_FLOOR) for name, f in self.services.items()),
            *self.held_together(),
        ]

    def held_together(self) -> list[tuple[str, float, Bar]]:
        """The same of the four together."""
        return [
            ("as processes, purchases/s", self.all_together_per_second, ALL_TOGETHER),
            ("in one process, purchases/s", self.all_in_one_per_second, ALL_IN_ONE),
            ("memory as processes, MB", self.processes_rss_mb, MEMORY_MB),
            ("memory in one process, MB", self.in_one_rss_mb, MEMORY_MB),
            ("published to visible, p99, ms", self.latency_p99_ms, LATENCY_P99_MS),
        ]

    @property
    def missed(self) -> list[str]:
        """The bars that this run doesn't reach."""
        return [name for name, found, bar in self.held() if not bar.met(found)]


def service_table(figures: Figures) -> Table:
    """A row for each service."""
    table = Table(
        "service", "per s", "by one", "floor", f"/ by one ({VS_BATCH_OF_ONE})", f"/ floor ({VS_FLOOR})", "/ COPY",
        "CPU µs", "rows",
        title="Each service alone, purchases a second",
    )  # fmt: skip
    for name, found in figures.services.items():
        table.add_row(
            name,
            f"{found.events_per_second:,.0f}",
            f"{found.batch_of_one_per_second:,.0f}",
            f"{found.floor_per_second:,.0f}",
            VS_BATCH_OF_ONE.marked(found.vs_batch_of_one, f"{found.vs_batch_of_one:.1f}"),
            VS_FLOOR.marked(found.vs_floor, f"{found.vs_floor:.2f}"),
            f"{found.vs_copy:.2f}",
            f"{found.cpu_us_per_event:,.0f}",
            f"{found.rows_per_event:.1f}",
        )
    return table


def system_table(figures: Figures) -> Table:
    """What the four do together."""
    title = f"All four: {figures.events:,} purchases, {figures.broker}, {figures.cores} cores"
    table = Table("", "found", "bar", title=title)
    for name, found, bar in figures.held_together():
        table.add_row(name, bar.marked(found, f"{found:,.0f}"), str(bar))
    return table
