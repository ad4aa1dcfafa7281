"""Who asks at the same time is served in one transaction, and each has an answer of his own."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from contextvars import Context
from dataclasses import dataclass, field
from typing import Any, TypeVar

import structlog

from services.loyalty.redemptions.commands import Command
from services.loyalty.redemptions.desk import Desk
from services.loyalty.redemptions.sitting import ApartError
from shared.db import Database
from shared.http.idempotency import Claim, Replay, claim_all, disclaim

MOST = 64
"""So many commands share a transaction at the most."""
_T = TypeVar("_T")
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Waiting:
    claim: Claim
    command: Command[Any]
    alone: bool
    answer: "asyncio.Future[Any]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Teller:
    """Takes commands, each with its idempotency key, and serves those that wait together.

    What is of points alone stands in one line first, in which nobody is waited for. Whose accounts somebody else has
    locked goes to the line of that customer; so does what can't share a transaction, and whatever was in one that
    failed: by its key it has its effect once, whatever became of the first. A line is served one transaction at a time.
    """

    def __init__(self, db: Database, desk: Desk) -> None:
        self.db, self.desk = db, desk
        self._lines: dict[str | None, deque[_Waiting]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        # Customers' lines wait for locks: the one in which nobody is waited for has a connection whatever they do.
        self._places = asyncio.Semaphore(db.connections - 1)

    async def serve(self, claim: Claim, command: Command[_T]) -> _T | Replay:
        """What the command answers, or how the first one with its key ended. Raises what ``Desk`` says, and what
        ``idempotency.claim`` raises."""
        line, alone = (command.line, True) if command.is_for_reward else (None, False)
        while True:
            waiting = _Waiting(claim, command, alone)
            self._join(line, waiting)
            try:
                answer: _T | Replay = await waiting.answer
                return answer
            except ApartError as apart:
                line, alone = apart.line, apart.alone

    def _join(self, line: str | None, waiting: _Waiting) -> None:
        if line in self._lines:
            self._lines[line].append(waiting)
            return
        self._lines[line] = deque([waiting])
        # What several ask for is nobody's request: it has none of its context.
        task = asyncio.create_task(self._work(line), context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self, line: str | None) -> None:
        waiting = self._lines[line]
        try:
            while batch := _next(waiting):
                await self._answer(line, batch)
        finally:
            # At once with finding nobody waiting: whoever comes now begins the line anew. Who waits still, does so
            # for a loop that ends.
            del self._lines[line]
            for one in waiting:
                one.answer.cancel()

    async def _answer(self, line: str | None, batch: Sequence[_Waiting]) -> None:
        try:
            answers = await self._served(line, batch)
        except TimeoutError:
            # There was no connection to be had, and won't be for each of them by himself, nor for who waits longer yet.
            batch = [*batch, *self._lines[line]]
            self._lines[line].clear()
            answers = [TimeoutError("not served in time") for _ in batch]
        except Exception as error:
            if batch[0].alone:
                answers = [error]
            else:
                # What it says may quote a row.
                state = getattr(error, "sqlstate", None)
                _log.warning("served-apart", commands=len(batch), error=type(error).__name__, sqlstate=state)
                answers = [ApartError(one.command.line, alone=True) for one in batch]
        except BaseException:
            for one in batch:
                one.answer.cancel()
            raise
        for one, answer in zip(batch, answers, strict=True):
            if one.answer.done():
                # Whoever asked has gone.
                continue
            if isinstance(answer, Exception):
                one.answer.set_exception(answer)
            else:
                one.answer.set_result(answer)

    async def _served(self, line: str | None, batch: Sequence[_Waiting]) -> list[Any]:
        if line is None:
            return await self._together(batch, wait=False)
        async with self._place():
            return [await self._alone(batch[0])] if batch[0].alone else await self._together(batch, wait=True)

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        async with asyncio.timeout(self.db.patience):
            await self._places.acquire()
        try:
            yield
        finally:
            self._places.release()

    async def _together(self, batch: Sequence[_Waiting], *, wait: bool) -> list[Any]:
        async with self.db.transaction() as tx:
            answers: list[Any] = list(await claim_all(tx, [one.claim for one in batch]))
            fresh = [n for n, found in enumerate(answers) if found is None]
            served = await self.desk.serve(tx, [batch[n].command for n in fresh], wait=wait)
            for n, answer in zip(fresh, served, strict=True):
                answers[n] = answer
            await disclaim(tx, [batch[n].claim.attempt for n in fresh if isinstance(answers[n], Exception)])
        return answers

    async def _alone(self, one: _Waiting) -> Any:
        attempt, status, resource_id = one.claim
        async with self.db.transaction() as tx:
            if replay := await attempt.claim(tx, status=status, resource_id=resource_id):
                return replay
            return await self.desk.serve_alone(tx, one.command)


def _next(waiting: deque[_Waiting]) -> list[_Waiting]:
    """The first of a line who share a transaction, no key twice: the second comes next, and finds what became of the
    first. Or the first who is served alone."""
    batch: dict[tuple[str, str | None], _Waiting] = {}
    later: list[_Waiting] = []
    while waiting and len(batch) < MOST:
        if waiting[0].alone and batch:
            break
        one = waiting.popleft()
        if one.answer.done():
            continue
        attempt = one.claim.attempt
        if batch.setdefault((attempt.route, attempt.key), one) is not one:
            later.append(one)
        if one.alone:
            break
    waiting.extendleft(reversed(later))
    return list(batch.values())
