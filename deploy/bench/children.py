"""Python processes of a run: started as a deployment starts them, weighed while they work, stopped by SIGTERM."""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from signal import SIGTERM

import httpx
import psutil

from deploy.local.process import ProcessFailed, last_lines, spawn, stop

ROOT = Path(__file__).resolve().parent.parent.parent
STOP_SECONDS = 40.0
READY_SECONDS = 90.0
WEIGH_SECONDS = 0.5


@asynccontextmanager
async def child(*arguments: str, log: Path, environment: Mapping[str, str]) -> AsyncIterator["subprocess.Popen[bytes]"]:
    """``python -m …`` until the block ends; its output goes to ``log``."""
    started = spawn([sys.executable, "-m", *arguments], log=log, environment={"PYTHONPATH": str(ROOT), **environment})
    try:
        yield started
    finally:
        await stop(started, (SIGTERM, STOP_SECONDS))


async def finished(process: "subprocess.Popen[bytes]", log: Path, seconds: float) -> None:
    """Waits for a child's end. Raises ProcessFailed with its last lines if it fails or is late."""
    deadline = time.monotonic() + seconds
    while process.poll() is None:
        if time.monotonic() > deadline:
            raise ProcessFailed(f"the measured process took longer than {seconds:g} s\n{last_lines(log)}")
        await asyncio.sleep(0.05)
    if process.returncode:
        raise ProcessFailed(f"the measured process exited with {process.returncode}\n{last_lines(log)}")


async def until_ready(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Waits until a service's parts are all ready, its consumer's group formed."""
    with httpx.Client() as client:

        def ready() -> bool:
            with suppress(httpx.HTTPError):
                return client.get(f"{url}/health/ready").is_success
            return False

        await until(ready, url, process, log)


async def until(condition: Callable[[], bool], what: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Waits for a condition while the child lives. Raises ProcessFailed with its last lines."""
    deadline = time.monotonic() + READY_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        if condition():
            return
        await asyncio.sleep(0.1)
    raise ProcessFailed(f"{what} did not get ready\n{last_lines(log)}")


class Scale:
    """Weighs processes together, with the Python processes they start. ``peak_mb`` is the most seen at one time."""

    def __init__(self, pids: Sequence[int]) -> None:
        self.peak_mb = 0.0
        self._pids = pids

    @classmethod
    @asynccontextmanager
    async def under(cls, *pids: int) -> AsyncIterator["Scale"]:
        """Weighs until the block ends."""
        scale = cls(pids)
        task = asyncio.create_task(scale._weigh(), name="bench.scale")
        try:
            yield scale
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _weigh(self) -> None:
        while True:
            self.peak_mb = max(self.peak_mb, sum(map(resident_mb, self._pids)))
            await asyncio.sleep(WEIGH_SECONDS)


def resident_mb(pid: int) -> float:
    """Resident memory of a process and of its Python children, in MiB; 0 for one that has ended.

    A page that n processes share counts 1/n in each (Linux's PSS), so that a sum over processes is what they take of
    the machine. Elsewhere than on Linux it counts whole in each.
    """
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        family = [process, *(each for each in process.children(recursive=True) if "python" in each.name())]
        found = [each.memory_full_info() for each in family]
        return float(sum(getattr(each, "pss", each.rss) for each in found)) / 2**20
    return 0.0
