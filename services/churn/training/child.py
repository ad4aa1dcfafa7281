"""A process of its own for a fit: scipy comes and goes with it, and the service's loop stays free."""

import asyncio
import contextlib
import os
import pickle
import sys
from threading import Thread

from services.churn.models.domain import Kind
from services.churn.models.fitting import NotEnoughHistory
from services.churn.models.versions import Trained
from services.churn.training.domain import Sample, train

_START = "import sys; sys.path[:] = sys.argv[1:]; from services.churn.training.child import main; main()"


class FitFailed(RuntimeError):
    """The child ended without an answer; what it said went to stderr."""


async def train_apart(sample: Sample, kind: Kind, horizon_days: int) -> Trained:
    """`train`, in a child that ends with its answer, with this call's cancellation, or with the service.

    Raises NotEnoughHistory as `train` does, and FitFailed.
    """
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _START, *sys.path, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert child.stdin is not None, "a pipe"
    assert child.stdout is not None, "a pipe"
    try:
        with contextlib.suppress(ConnectionError):
            child.stdin.write(pickle.dumps((sample, kind, horizon_days)))
            await child.stdin.drain()
        answer = await child.stdout.read()
        if not answer:
            raise FitFailed(f"the fit ended with status {await child.wait()}")
    finally:
        if child.returncode is None:
            child.kill()
        child.stdin.close()
        await child.wait()
    outcome: Trained | NotEnoughHistory = pickle.loads(answer)
    if isinstance(outcome, NotEnoughHistory):
        raise outcome
    return outcome


def main() -> None:
    """The child: a job on stdin, its outcome on stdout."""
    job = pickle.load(sys.stdin.buffer)
    Thread(target=_end_with_the_parent, daemon=True).start()
    outcome: Trained | NotEnoughHistory
    try:
        outcome = train(*job)
    except NotEnoughHistory as reason:
        outcome = reason
    sys.stdout.buffer.write(pickle.dumps(outcome))
    sys.stdout.buffer.close()
    os._exit(0)


def _end_with_the_parent() -> None:
    # The pipe stays open as long as the parent lives: a fit must not outlive who asked for it.
    sys.stdin.buffer.read()
    os._exit(1)
