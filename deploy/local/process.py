"""Child processes that end with us."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from signal import SIGKILL, Signals

LAUNCHER = Path(__file__).with_name("launcher.py")


class ProcessFailed(RuntimeError):
    """A child process ended, or did not get ready in time; the message ends with its last lines."""


@dataclass(frozen=True)
class Identity:
    """The user a child runs as; `search` lets it walk through folders closed to him (see launcher.py)."""

    uid: int
    gid: int
    search: bool


def spawn(
    command: Sequence[str | Path],
    *,
    log: Path,
    death_signal: Signals = SIGKILL,
    identity: Identity | None = None,
    cwd: Path = Path("/"),
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start `command` (an absolute path and arguments), output appended to `log`, in a session of its own.

    It gets `death_signal` when the thread that called this ends, or the whole process (Linux). A session of
    its own keeps Ctrl-C from it, so that we can drain first. Its environment is `environment`, not ours.
    """
    order = {"parent": os.getpid(), "signal": int(death_signal), **(asdict(identity) if identity else {})}
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", LAUNCHER, json.dumps(order), *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env={"PATH": os.environ.get("PATH", os.defpath), "TZ": "UTC", **(environment or {})},
            start_new_session=True,
        )


async def run(
    command: Sequence[str | Path],
    *,
    log: Path,
    seconds: float,
    identity: Identity | None = None,
    cwd: Path = Path("/"),
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run `command` to its end within `seconds`; ProcessFailed with its last lines otherwise."""
    child = spawn(command, log=log, identity=identity, cwd=cwd, environment=environment)
    try:
        if not await ended(child, seconds):
            raise ProcessFailed(f"{Path(command[0]).name} took longer than {seconds:g} s\n{last_lines(log)}")
    finally:
        await stop(child, (SIGKILL, 5))
    if child.returncode:
        raise ProcessFailed(f"{Path(command[0]).name} exited with {child.returncode}\n{last_lines(log)}")


async def stop(child: subprocess.Popen[bytes], *steps: tuple[Signals, float]) -> None:
    """Send each signal until the child ends within the seconds beside it, at last SIGKILL to its group."""
    for signal, seconds in steps:
        if child.poll() is not None:
            return
        child.send_signal(signal)
        if await ended(child, seconds):
            return
    if child.poll() is None:
        os.killpg(child.pid, SIGKILL)
        await ended(child, 5)


async def ended(child: subprocess.Popen[bytes], seconds: float) -> bool:
    """Whether the child ends within so many seconds."""
    deadline = time.monotonic() + seconds
    while child.poll() is None:
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.01)
    return True


def last_lines(log: Path, count: int = 15) -> str:
    """The end of a log, for an error's message."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 8_000))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-count:])
