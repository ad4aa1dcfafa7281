"""``./roost demo``: the embedded system, real purchases through it, and a report of what became of them."""

import json as jsonlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from deploy.demo.findings import Findings, find
from deploy.demo.first_run import first_run
from deploy.demo.house_api import connected
from deploy.demo.publish import publish
from deploy.demo.replay import load, replay
from deploy.demo.report import WIDTH, Run, as_json, show
from deploy.quiet import Backlog
from deploy.system import Options, System
from deploy.up import progress, run_embedded, say, show_addresses
from shared.settings import HouseSettings

_IMPORTED = time.monotonic()


def run_demo(options: Options, *, customers: int | None, leave: bool, json: bool) -> None:
    """Replays, reports, and serves until a signal unless ``leave``.

    With ``json`` stdout has one line, the JSON object; the report for people is left out. Ends with exit code 1
    when something is not as it should be (each thing is named on stderr), with 130 when stopped before the report.
    """
    outcomes: list[Findings] = []

    async def use(system: System) -> None:
        run, findings = await _demonstrate(system, customers)
        outcomes.append(findings)
        if json:
            print(jsonlib.dumps(as_json(run, findings)), flush=True)
        else:
            out = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)
            show(out, run, findings, system.clock.now(), HouseSettings().zone)
            if not leave:
                show_addresses(system)
        for problem in findings.problems():
            say(problem)

    run_embedded(options, use, stay=not leave)
    if not outcomes:
        raise typer.Exit(130)
    if outcomes[0].problems():
        raise typer.Exit(1)


async def _demonstrate(system: System, customers: int | None) -> tuple[Run, Findings]:
    phases = _Phases({"ready": _since_process_start()})
    first = first_run(system.data_dir, system.clock.now(), HouseSettings().zone)
    events = replay(load(), first, customers)
    with _bars() as bars:
        with phases.of("publishing"), bars.of("publishing purchases", len(events)) as at:
            await publish(system.kafka, events, at)
        with phases.of("applying"):
            await _caught_up(system, bars, "applying them in every service")
        with phases.of("scoring"):
            await _score(system, bars)
            await _caught_up(system, bars, "telling everybody who is at risk")
        with phases.of("planning"):
            await system.run_job("engagement", "plan")
            await _caught_up(system, bars, "planning contacts")
    with phases.of("asking"):
        findings = await find(system, [event.order_id for event in events])
    seconds = phases.seconds
    flowing = seconds["publishing"] + seconds["applying"]
    return Run(len(events), _since_process_start(), flowing, seconds), findings


async def _score(system: System, bars: "_Bars") -> None:
    async with connected(system.url, system.token) as api:
        with bars.of("fitting the churn model", None):
            if not await api.post("/churn/models/train"):
                say("too few customers bought again for a model of their own: scoring by the one that is shipped")
        with bars.of("scoring every customer", None):
            await api.post("/churn/scorings")


async def _caught_up(system: System, bars: "_Bars", title: str) -> None:
    """Lag 0 in every group and every outbox empty, twice in a row; the bar shows how much of the most there was.

    Raises TimeoutError when a consumer has paused: it would be waited for in vain.
    """
    most = 0
    with bars.of(title, None) as at:

        def look(backlog: Backlog) -> None:
            nonlocal most
            most = max(most, backlog.total)
            at(most - backlog.total, most)
            for name, service in system.services.items():
                if service.consumer.state.startswith("paused"):
                    raise TimeoutError(f"{name} has {service.consumer.state}")

        await system.until_quiet(progress=look)


@dataclass(slots=True)
class _Phases:
    """How long each part took, in seconds."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        start = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - start


class _Bars:
    """Progress on stderr: bars on a terminal, a line for each part elsewhere."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars

    @contextmanager
    def of(self, title: str, total: int | None) -> Iterator[Callable[..., None]]:
        """Yields what is told (done so far, and the total where it was not known)."""
        if not progress.is_terminal:
            say(title if total is None else f"{title}: {total:,}")
        task = self._bars.add_task(title, total=total, counted="")

        def at(done: int, of: int | None = total) -> None:
            self._bars.update(task, completed=done, total=of, counted=f"{done:,}" if of else "")

        yield at
        if total is None:
            self._bars.update(task, completed=1, total=1)
        self._bars.stop_task(task)


@contextmanager
def _bars() -> Iterator[_Bars]:
    columns = (TextColumn("roost: {task.description}"), BarColumn(), TextColumn("{task.fields[counted]}"))
    with Progress(*columns, TimeElapsedColumn(), console=progress, disable=not progress.is_terminal) as bars:
        yield _Bars(bars)


def _since_process_start() -> float:
    """Seconds since this process began, a first start's install aside; since the import without /proc."""
    try:
        started = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        uptime = float(Path("/proc/uptime").read_text().split()[0])
    except OSError:
        return time.monotonic() - _IMPORTED
    return uptime - started / os.sysconf("SC_CLK_TCK") - float(os.environ.get("ROOST_INSTALL_SECONDS") or 0)
