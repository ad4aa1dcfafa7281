"""``./roost up``: the embedded system until somebody stops it."""

import asyncio
import json as jsonlib
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import typer
import uvloop
from rich.console import Console

from deploy.local.kafka_jars import KafkaUnavailable
from deploy.local.lock import DirectoryInUse
from deploy.local.ports import PortTaken
from deploy.local.process import ProcessFailed
from shared.observability import configure_logging

if TYPE_CHECKING:
    from deploy.system import Options, System

EXPECTED = (DirectoryInUse, PortTaken, ProcessFailed, KafkaUnavailable, OSError, TimeoutError)

progress = Console(stderr=True)


def serve_embedded(options: "Options", *, json: bool) -> None:
    """Runs the system until SIGINT or SIGTERM; prints where it is."""

    async def announce(system: "System") -> None:
        if json:
            print(jsonlib.dumps(system.describe()), flush=True)
        else:
            show_addresses(system)

    run_embedded(options, announce, stay=True)


def run_embedded(options: "Options", use: Callable[["System"], Awaitable[None]], *, stay: bool) -> None:
    """Runs the system around ``use``; with ``stay`` it serves on until a signal. A signal ends both, cleanly."""
    from deploy.system import running

    configure_logging(json=False, level="WARNING")

    async def main() -> None:
        stopped = stop_on_signals()
        async with running(options, say) as system:
            work = asyncio.ensure_future(use(system))
            stop = asyncio.ensure_future(stopped.wait())
            await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                work.cancel()
                with suppress(asyncio.CancelledError):
                    await work
                return
            work.result()
            if stay:
                await stop
            stop.cancel()

    run(main())


def run(main: Coroutine[Any, Any, None]) -> None:
    """Runs ``main`` on uvloop; what users can mend is told in a line, not as a traceback."""
    try:
        uvloop.run(main)
    except EXPECTED as error:
        progress.print(f"roost: {error}", markup=False, highlight=False)
        raise typer.Exit(1) from None


def stop_on_signals() -> asyncio.Event:
    """An event that SIGINT and SIGTERM set."""
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    return stopped


def say(line: str) -> None:
    """A line of progress, on stderr."""
    progress.print(f"roost: {line}", style="dim", highlight=False)


def show_addresses(system: "System") -> None:
    """Where everything is, on stdout."""
    out = Console(file=sys.stdout, highlight=False, soft_wrap=True)
    out.print(f"\n[bold]Roost is up[/] at {system.url}   (Ctrl-C stops it)")
    for name in system.services:
        out.print(f"  {name:<11} {system.url}/{name}/docs")
    out.print(f"  broker      {system.kafka.bootstrap_servers}")
    out.print(f"  token       {system.token}\n", markup=False)
