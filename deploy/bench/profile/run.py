"""``./roost bench profile``: what profile costs beside the purchases, each figure a ratio or held against a bar."""

import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from deploy.bench.profile import loading, night, segmentation, views
from deploy.bench.profile.report import ProfileFigures, profile_table
from deploy.bench.purchases import purchases
from deploy.bench.stage import Stage
from deploy.up import progress, run
from shared.observability import configure_logging

Show = Callable[[str, int, int], None]
"""Told of each section how far it is: its name, done, of."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much of everything."""

    purchases: int = 50_000
    customers: int = 200_000
    night: int = 1_000_000
    requests: int = 3_000
    kinds: int = 40_000
    turns: int = 2


QUICK = Size(purchases=2_000, customers=1_000, night=2_000, requests=100, kinds=1_000, turns=1)


def run_profile(size: Size, *, json: bool) -> None:
    """Measures; prints a table, or with ``json`` one JSON object as the last line of stdout. Progress on stderr."""
    configure_logging(json=False, level="WARNING")

    async def main() -> None:
        with Bars() as bars:
            figures = await measured(size, bars.show)
        if json:
            print(figures.model_dump_json(), flush=True)
            return
        out = Console()
        out.print(profile_table(figures))
        out.print(f"{figures.seconds:.0f} s; missed: {', '.join(figures.missed) or 'none'}", highlight=False)

    run(main())


async def measured(size: Size, show: Show) -> ProfileFigures:
    """All figures of a run. Raises AssertionError or ProcessFailed where the work itself isn't right."""
    began = time.monotonic()
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    made = list(purchases(size.purchases, midnight))
    async with Stage.built("tansu", ["profile"]) as stage:
        segmented = await segmentation.measure(stage, made, size.turns, _section(show, "segments"))
        async with stage.database("profile") as database:
            service = stage.build("profile", database.dsn)
            try:
                await service.start(())
                imported = await loading.load(stage, service, size.customers, _section(show, "import"))
                show("duplicates", 0, 1)
                searched = await loading.search(service, size.customers)
                show("duplicates", 1, 1)
                # One purchase in so many customers of the file, so that all of them have one.
                bought = list(purchases(min(len(made), 16_000, 8 * size.customers), midnight))
                customers = await views.furnish(service, database, bought)
            finally:
                await service.stop()
            viewed = await views.measure(stage, database, customers, size.requests, _section(show, "views"))
        show("night", 0, 1)
        async with stage.database("profile") as database:
            kinds = list(purchases(min(size.kinds, size.night), midnight))
            placed = await night.measure(stage, database, kinds, size.night)
        show("night", 1, 1)
    return ProfileFigures(
        purchases=size.purchases,
        customers=size.customers,
        night_customers=placed.customers,
        segmented_per_second=round(segmented.on_per_second, 1),
        unsegmented_per_second=round(segmented.off_per_second, 1),
        segmentation=round(segmented.ratio, 3),
        view_per_second=round(viewed.per_second, 1),
        view_p99_ms=round(viewed.p99_ms, 2),
        view_cpu_us=round(viewed.cpu_us, 1),
        empty_per_second=round(viewed.empty_per_second, 1),
        empty_p99_ms=round(viewed.empty_p99_ms, 2),
        empty_cpu_us=round(viewed.empty_cpu_us, 1),
        view=round(viewed.ratio, 3),
        import_per_second=round(imported.per_second, 1),
        import_received_seconds=round(imported.received_seconds, 2),
        import_applied_seconds=round(imported.applied_seconds, 2),
        duplicates_seconds=round(searched.seconds, 2),
        duplicates_pairs=searched.pairs,
        duplicates_of_all=searched.of_all,
        duplicates_suggested=searched.suggested,
        night_seconds=round(placed.seconds, 2),
        night_seconds_per_million=round(placed.seconds_per_million, 1),
        night_peak_mb=round(placed.peak_mb, 1),
        night_corrected=placed.corrected,
        cores=os.cpu_count() or 1,
        seconds=round(time.monotonic() - began, 1),
    )


@dataclass(slots=True)
class Bars(AbstractContextManager["Bars"]):
    """A bar for each section, on stderr."""

    _progress: Progress = field(
        default_factory=lambda: Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=progress
        )
    )
    _tasks: dict[str, TaskID] = field(default_factory=dict)

    def show(self, section: str, done: int, of: int) -> None:
        """How far a section is."""
        if section not in self._tasks:
            self._tasks[section] = self._progress.add_task(section, total=of)
        self._progress.update(self._tasks[section], completed=done, total=of)

    def __enter__(self) -> "Bars":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()


def _section(show: Show, name: str) -> Callable[[int, int], None]:
    return lambda done, of: show(name, done, of)
