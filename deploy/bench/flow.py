"""``./roost bench flow``: purchases through each service and through all, within one run."""

import os
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from rich.console import Console

from deploy.bench import latency, single, together
from deploy.bench.purchases import purchases
from deploy.bench.report import Figures, ServiceFigures, service_table, system_table
from deploy.bench.stage import Stage
from deploy.system import BrokerKind
from deploy.up import run, say
from shared.contracts.topics import SERVICES
from shared.observability import configure_logging

SAMPLE = 2_000
LATENCY_SECONDS = 20.0


def run_flow(events: int, *, broker: BrokerKind, json: bool) -> None:
    """Measures, then prints tables, or with ``json`` one JSON object as the last line of stdout. Progress on stderr."""
    configure_logging(json=False, level="WARNING")

    async def main() -> None:
        figures = await measured(events, broker, say)
        if json:
            print(figures.model_dump_json(), flush=True)
            return
        out = Console()
        out.print(service_table(figures), system_table(figures))
        out.print(f"{figures.seconds:.0f} s; missed: {', '.join(figures.missed) or 'none'}", highlight=False)

    run(main())


async def measured(
    events: int,
    broker: BrokerKind,
    say: Callable[[str], None],
    by_itself: Sequence[str] = SERVICES,
    turns: int = single.TURNS,
) -> Figures:
    """All figures of a run of ``events`` purchases; the samples shrink with it. ``by_itself`` are measured alone, too,
    so many times.

    Raises ProcessFailed where a purchase doesn't come through: a figure without all of them would say nothing.
    """
    began = time.monotonic()
    say(f"making {events} purchases, starting PostgreSQL")
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    made = list(purchases(events, midnight))
    async with Stage.built(broker) as stage:
        alone = {
            name: await single.measure(stage, name, made, min(SAMPLE, events // 5), say, turns) for name in by_itself
        }
        say("all four as processes")
        async with together.as_processes(stage) as running:
            processes = await together.flow(running, made, say)
        say("all four in one process")
        async with together.in_one_process(stage) as running:
            in_one = await together.flow(running, made, say)
            say(f"{latency.PER_SECOND} purchases a second")
            seen = await latency.measure(running, min(LATENCY_SECONDS, max(3.0, events / 2_500)))
    return Figures(
        events=events,
        broker=broker,
        services={name: ServiceFigures.of(found) for name, found in alone.items()},
        all_together_per_second=round(processes.per_second, 1),
        all_in_one_per_second=round(in_one.per_second, 1),
        max_rss_mb=round(max(processes.peak_mb, in_one.peak_mb), 1),
        processes_rss_mb=round(processes.peak_mb, 1),
        in_one_rss_mb=round(in_one.peak_mb, 1),
        latency_p50_ms=round(seen.p50_ms, 1),
        latency_p99_ms=round(seen.p99_ms, 1),
        cores=os.cpu_count() or 1,
        seconds=round(time.monotonic() - began, 1),
    )
