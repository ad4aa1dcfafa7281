"""Python processes that start something local and can be killed."""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from signal import SIGKILL
from typing import Any

ROOT = Path(__file__).parents[3]
SCRIPT = """
import asyncio, json, sys
from pathlib import Path
{imports}
async def main():
    thing = await {thing}.start(Path(sys.argv[1]))
    print(json.dumps({report}), flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


@asynccontextmanager
async def holder(data_dir: Path, thing: str, report: str, imports: str) -> AsyncIterator[tuple[int, Any]]:
    """A process that started `thing` on `data_dir`: its pid and its report. Ends by SIGKILL."""
    script = SCRIPT.format(thing=thing, report=report, imports=imports)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script, str(data_dir)),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        assert process.stdout is not None
        yield process.pid, json.loads(await asyncio.wait_for(process.stdout.readline(), 60))
    finally:
        process.send_signal(SIGKILL)
        await process.wait()


def alive(pid: int) -> bool:
    """Whether a process of that number runs; one that ended and waits for its parent does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(") ")[2][0] not in "ZX"


async def eventually(condition: Callable[[], bool], seconds: float = 15) -> None:
    """Wait until the condition holds; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        await asyncio.sleep(0.01)
